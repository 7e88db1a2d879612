// SPDX-License-Identifier: Apache-2.0
// A thread that waits for grace periods, so that the revalidator need not: one may take 8-20 ms. Epochs are the megaflow
// table's; the newest one asked for stands for those before it.
//
// Threads: start(), stop() control; request() and completed() the revalidator.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace shunt {

class GracePeriods {
 public:
  // `wait` returns when a grace period that began after its call has passed; `done` is called after each.
  GracePeriods(std::function<void()> wait, std::function<void()> done)
      : wait_{std::move(wait)}, done_{std::move(done)} {}
  ~GracePeriods() { stop(); }

  void start();
  void stop();

  void request(std::uint64_t epoch);
  [[nodiscard]] bool busy() const { return requested_.load() != completed_.load(); }
  [[nodiscard]] std::uint64_t completed() const { return completed_.load(std::memory_order_acquire); }

 private:
  void run();

  const std::function<void()> wait_, done_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::atomic<std::uint64_t> requested_{0}, completed_{0};
  std::thread thread_;
};

}  // namespace shunt
