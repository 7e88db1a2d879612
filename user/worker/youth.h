// SPDX-License-Identifier: Apache-2.0
// When flows that were just published may stop to ask, packet by packet, whether an earlier one is still in userspace
// (SHUNT_FLOW_YOUNG, upcall_order): asking costs time, and keeps them out of the exact-match cache.
//
// They may when each bucket was seen with nothing on its way after they were published, for from then on nothing of
// them goes up. But a bucket never is where a packet was lost behind its count, and hardly ever where more comes than a
// worker can do: so youth ends some time, later where a worker waits for its processor, for what it has not sent then
// is old.
//
// Threads: reached() by each worker; ends_before() by the revalidator.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "maps/flow.h"
#include "user/base/clock.h"

namespace shunt {

class Youth {
 public:
  static constexpr std::chrono::milliseconds kLength{50}, kLongest{100};  // where no worker is late
  static constexpr std::chrono::milliseconds kLongestLate{500};
  static constexpr std::chrono::milliseconds kLate{10};  // one is whose next packet may have waited for so long
  static constexpr std::chrono::milliseconds kLook{20};  // between two at the buckets: 128 KB that others write
  static constexpr std::chrono::milliseconds kPulse{5};  // workers tell so often, for kLongest after a packet

  Youth(unsigned workers, std::span<const shunt_order> order) : workers_(workers), order_{order} {}

  // After each round of a worker: all that came to it before `time` has been sent or dropped.
  void reached(unsigned worker, TimePoint time) noexcept {
    workers_[worker].time.store(time, std::memory_order_release);
  }

  // Flows whose youth began before this need not ask any more. To be called when all flows that were published so far
  // are in force.
  [[nodiscard]] TimePoint ends_before(TimePoint now);

 private:
  struct alignas(64) Reached {
    std::atomic<TimePoint> time{TimePoint{}};
  };

  std::vector<Reached> workers_;
  const std::span<const shunt_order> order_;
  TimePoint late_{};                   // when a worker was late the last time
  TimePoint mark_{};                   // each bucket is waited for to be quiet after it:
  std::vector<std::uint32_t> busy_{};  // those that were not yet
  TimePoint looked_{};                 // at the buckets
  TimePoint cleared_{};                // the mark before: each bucket was quiet since

  void look(TimePoint now);
  [[nodiscard]] bool is_quiet(std::uint32_t bucket) const noexcept;
};

}  // namespace shunt
