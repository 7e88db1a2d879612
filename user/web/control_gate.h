// SPDX-License-Identifier: Apache-2.0
// How another thread asks the control thread for something: a call that its event loop runs, awaited for a bounded
// time, with a bounded number of calls that wait.
//
// Threads: ask() by any but control; the rest by control.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>

#include "user/base/error.h"
#include "user/base/unique_fd.h"
#include "user/control/event_loop.h"

namespace shunt {

// Control has no time: it is busy with a long command, or the daemon ends.
class ControlBusy : public Error {
  using Error::Error;
};

class ControlGate {
 public:
  explicit ControlGate(EventLoop& loop);  // borrows
  ~ControlGate();                         // closes
  ControlGate(const ControlGate&) = delete;
  ControlGate& operator=(const ControlGate&) = delete;

  // Runs `work` in the control thread and returns what it made. Throws ControlBusy where it did not come to its turn,
  // and Error with the text of what it threw. It may still run later, so it must own what it uses.
  template <typename Work>
  auto ask(Work work) {
    auto result = std::make_shared<std::optional<std::invoke_result_t<Work>>>();
    run([result, work = std::move(work)]() mutable { *result = work(); });
    return std::move(**result);
  }

  // Calls that wait, and all to come, are refused from here on.
  void close();

 private:
  static constexpr std::size_t kMostWaiting = 16;
  static constexpr std::chrono::seconds kLimit{3};
  struct Call;

  void run(std::function<void()> work);
  void serve();
  std::deque<std::shared_ptr<Call>> take();

  EventLoop& loop_;
  UniqueFd doorbell_;
  std::mutex mutex_;
  bool open_ = true;
  std::deque<std::shared_ptr<Call>> calls_;
};

}  // namespace shunt
