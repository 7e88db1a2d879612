// SPDX-License-Identifier: Apache-2.0
#include "user/worker/doorbell.h"

#include <poll.h>
#include <sys/eventfd.h>

#include "user/base/error.h"

namespace shunt {

Doorbell::Doorbell() : fd_{check(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "doorbell: eventfd")} {}

void Doorbell::ring() noexcept {
  // Both sides exchange: either this one comes second and finds the sleeper armed, or arm() does and sees what was
  // queued.
  if (asleep_.exchange(false, std::memory_order_acq_rel)) (void)::eventfd_write(fd_.get(), 1);
}

void Doorbell::arm() noexcept { (void)asleep_.exchange(true, std::memory_order_acq_rel); }

void Doorbell::disarm() noexcept {
  asleep_.store(false, std::memory_order_release);
  eventfd_t value;
  (void)::eventfd_read(fd_.get(), &value);
}

void Doorbell::wait(std::chrono::milliseconds timeout) noexcept {
  pollfd descriptor{fd_.get(), POLLIN, 0};
  (void)::poll(&descriptor, 1, static_cast<int>(timeout.count()));
}

}  // namespace shunt
