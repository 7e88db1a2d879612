// SPDX-License-Identifier: Apache-2.0
// The state of an instance, kept on disk: what was set by command is there after a restart.
//
// Control collects the changes of one command in a batch and submits it; a thread of the store commits what has come,
// several batches in one transaction. Who must be sure waits for it (wait); nobody else does.
//
// Where a commit fails (full disk, say), the switch goes on and the store is `failing`: what comes is dropped until
// control hands over everything anew (rewrite), which it is to try now and then. A damaged file is put aside, and the
// store begins empty.
//
// Threads: control, but for its own thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "user/base/error.h"
#include "user/state/state_clock.h"
#include "user/state/state_database.h"
#include "user/state/state_rows.h"

namespace shunt {

// The change is in force; the disk does not know it.
class NotStored : public Error {
  using Error::Error;
};

class StateStore {
 public:
  // `directory` is made where it is missing (mode 0750). Throws Error where it cannot be used, or where a newer Shunt
  // wrote its file.
  StateStore(const std::string& directory, const std::string& instance);
  ~StateStore();  // commits what was submitted, and that the daemon stopped in order
  StateStore(const StateStore&) = delete;
  StateStore& operator=(const StateStore&) = delete;

  // What was stored when it was opened; the second call gets nothing.
  [[nodiscard]] StateImage take_image() { return std::exchange(image_, {}); }
  [[nodiscard]] const StateClock& clock() const { return *clock_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  // The last daemon stopped in order: what it stored is what it knew.
  [[nodiscard]] bool was_stopped() const { return was_stopped_; }

  void put(StateTable table, std::uint32_t bridge, std::int64_t id, RowText text, RowTimes times = {}) {
    batch_.push_back({StateOp::Kind::kPut, table, bridge, id, std::move(text), times});
  }
  void remove(StateTable table, std::uint32_t bridge, std::int64_t id) {
    batch_.push_back({StateOp::Kind::kRemove, table, bridge, id, {}, {}});
  }
  void remove_rows(StateTable table, std::uint32_t bridge) {
    batch_.push_back({StateOp::Kind::kRemoveRows, table, bridge, 0, {}, {}});
  }
  void remove_bridge(std::uint32_t bridge) { batch_.push_back({StateOp::Kind::kRemoveBridge, {}, bridge, 0, {}, {}}); }
  [[nodiscard]] bool is_empty() const { return batch_.empty(); }  // nothing was collected
  // What was collected is one batch now, on its way to the disk. An empty one says that the daemon is alive.
  void submit();
  // The batch that is collected holds everything, in place of what is stored; submits it.
  void rewrite();

  // Waits until everything that was submitted is on the disk. Throws NotStored.
  void wait();
  // Something did not reach the disk: rewrite() is due. Why, for the log.
  [[nodiscard]] std::optional<std::string> failure() const;

 private:
  // More than this waits: control waits, too. A replacement of a million rules is two million.
  static constexpr std::size_t kMaxQueued = 4'000'000;

  void open();
  void open_clock();
  void note_daemon(const char* word);
  void enqueue(bool replaces_all);
  void run();
  void commit(std::vector<StateBatch>& batches);
  void tidy();

  std::string path_;
  std::unique_ptr<StateDatabase> database_;  // the thread's own once it runs; null: could not be opened
  std::optional<StateClock> clock_;
  StateImage image_;
  bool was_stopped_ = false;
  StateBatch batch_;

  mutable std::mutex mutex_;
  std::condition_variable work_, done_;
  struct Queued {
    StateBatch batch;
    bool replaces_all;
  };
  std::deque<Queued> queue_;
  std::size_t queued_ops_ = 0;
  std::uint64_t submitted_ = 0, handled_ = 0;  // batches
  std::string failure_;                        // empty: all is well
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace shunt
