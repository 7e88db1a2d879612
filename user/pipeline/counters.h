// SPDX-License-Identifier: Apache-2.0
// Packets and bytes that something was met by, and when last. Rules, tables, groups and buckets have one each.
//
// Workers add what they handle, the revalidator what the kernel counted; anybody reads. A copy starts with the values.
#pragma once

#include <atomic>
#include <cstdint>

#include "user/base/clock.h"

namespace shunt {

class FlowCounters {
 public:
  FlowCounters() = default;
  FlowCounters(const FlowCounters& other) noexcept { *this = other; }
  FlowCounters& operator=(const FlowCounters& other) noexcept {
    packets_.store(other.packets(), std::memory_order_relaxed);
    bytes_.store(other.bytes(), std::memory_order_relaxed);
    used_.store(other.used_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    return *this;
  }

  void add(std::uint64_t packets, std::uint64_t bytes, TimePoint when) const noexcept {
    packets_.fetch_add(packets, std::memory_order_relaxed);
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
    touch(when);
  }
  void touch(TimePoint when) const noexcept {  // never goes back
    if (const auto ticks = when.time_since_epoch().count(); ticks > used_.load(std::memory_order_relaxed))
      used_.store(ticks, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t packets() const noexcept { return packets_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] TimePoint used() const noexcept {  // the epoch of the clock: never
    return TimePoint{TimePoint::duration{used_.load(std::memory_order_relaxed)}};
  }

 private:
  mutable std::atomic<std::uint64_t> packets_{0}, bytes_{0};
  mutable std::atomic<TimePoint::rep> used_{0};
};

}  // namespace shunt
