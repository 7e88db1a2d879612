// SPDX-License-Identifier: Apache-2.0
#include "user/worker/doorbell.h"

#include <poll.h>
#include <sys/eventfd.h>

#include "user/base/error.h"

namespace shunt {

Doorbell::Doorbell() : fd_{check(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "doorbell: eventfd")} {}

void Doorbell::ring() noexcept {
  // An exchange is a full barrier: what was queued before is seen by a sleeper that arms after.
  if (asleep_.exchange(false, std::memory_order_seq_cst)) (void)::eventfd_write(fd_.get(), 1);
}

void Doorbell::arm() noexcept {
  asleep_.store(true, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void Doorbell::disarm() noexcept {
  asleep_.store(false, std::memory_order_seq_cst);
  eventfd_t value;
  (void)::eventfd_read(fd_.get(), &value);
}

void Doorbell::wait(std::chrono::milliseconds timeout) noexcept {
  pollfd descriptor{fd_.get(), POLLIN, 0};
  (void)::poll(&descriptor, 1, static_cast<int>(timeout.count()));
}

}  // namespace shunt
