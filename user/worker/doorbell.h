// SPDX-License-Identifier: Apache-2.0
// Wakes a thread that sleeps over queues, at the cost of one load while it is awake.
//
// The sleeper: arm(), look at its queues once more, sleep on fd() (or wait()), disarm(). Who queued something: ring().
// Threads: ring() any; the rest by the sleeper.
#pragma once

#include <atomic>
#include <chrono>

#include "user/base/unique_fd.h"

namespace shunt {

class Doorbell {
 public:
  Doorbell();

  void ring() noexcept;
  void arm() noexcept;
  void disarm() noexcept;                                      // and takes the ring off the descriptor
  void wait(std::chrono::milliseconds timeout) noexcept;       // sleeps until ring(), or that long
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }  // readable after ring()

 private:
  UniqueFd fd_;
  std::atomic<bool> asleep_{false};
};

}  // namespace shunt
