// SPDX-License-Identifier: Apache-2.0
// Writes what is saved of the counters (saved_counters.h) in a thread of its own: of a million flows it is 72 MB, for
// which no command should wait. Nothing is written where nothing has changed.
//
// Threads: submit() by any one; the rest control.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "user/base/clock.h"
#include "user/control/saved_counters.h"

namespace shunt {

class CounterSaver {
 public:
  explicit CounterSaver(std::string path);
  ~CounterSaver();  // what was submitted is written
  CounterSaver(const CounterSaver&) = delete;
  CounterSaver& operator=(const CounterSaver&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  // The file holds these already.
  void holds(const SavedCounters& counters);

  // Whether it is time for a save: the one before has ended, and all of them take a small part of the time.
  [[nodiscard]] bool is_due(TimePoint now) const;
  void begin(TimePoint now);  // a save: it ends with submit(), or abandon()
  void submit(SavedCounters&& counters);
  void abandon();
  void wait(std::chrono::seconds limit) const;  // until none is going on; not longer than that

 private:
  void run();
  void write(const SavedCounters& counters) noexcept;

  const std::string path_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool saving_ = false, stopping_ = false;
  std::optional<SavedCounters> submitted_;
  TimePoint began_{}, next_{};
  // The thread's own, once something was submitted.
  std::uint64_t saved_ = 0;  // checksum() of what is in the file
  bool failed_ = false;
  std::thread thread_;
};

}  // namespace shunt
