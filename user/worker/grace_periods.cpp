// SPDX-License-Identifier: Apache-2.0
#include "user/worker/grace_periods.h"

#include <spdlog/spdlog.h>

#include <exception>

namespace shunt {

void GracePeriods::start() {
  stopping_ = false;
  thread_ = std::thread{[this] { run(); }};
}

void GracePeriods::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void GracePeriods::request(std::uint64_t epoch) {
  {
    const std::lock_guard lock{mutex_};
    requested_.store(epoch);
  }
  wake_.notify_one();
}

void GracePeriods::run() {
  std::unique_lock lock{mutex_};
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || busy(); });
    if (stopping_) return;
    const std::uint64_t epoch = requested_.load();
    lock.unlock();
    try {
      wait_();
      completed_.store(epoch, std::memory_order_release);
    } catch (const std::exception& error) {
      // Nothing is freed then: the cache fills up, and what is cached stays right.
      spdlog::error("no grace period for the flow cache: {}", error.what());
      lock.lock();
      wake_.wait_for(lock, std::chrono::seconds{1}, [this] { return stopping_; });
      continue;
    }
    done_();
    lock.lock();
  }
}

}  // namespace shunt
