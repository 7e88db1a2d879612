// SPDX-License-Identifier: Apache-2.0
// How long something took, how often: a histogram with buckets of powers of two from a microsecond to a second.
// LatencyHistogram is what a thread counts into, without read-modify-write; Latencies is what others read and add up.
//
// Threads: record() by the one owner; read() by any.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace shunt {

struct Latencies {
  static constexpr std::size_t kBounds = 21;
  // Bucket i holds what took at most 1 us << i; the last one holds the rest.
  std::array<std::uint64_t, kBounds + 1> counts{};
  std::uint64_t nanoseconds = 0;  // all together

  [[nodiscard]] static constexpr double bound_seconds(std::size_t bucket) {
    return static_cast<double>(std::uint64_t{1} << bucket) / 1e6;
  }
  [[nodiscard]] static constexpr std::size_t bucket_of(std::uint64_t ns) noexcept {
    if (ns <= 1000) return 0;
    return std::min<std::size_t>(static_cast<std::size_t>(std::bit_width((ns - 1) / 1000)), kBounds);
  }
  void record(std::chrono::nanoseconds time, std::uint64_t times = 1) noexcept {
    const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0));
    counts[bucket_of(ns)] += times;
    nanoseconds += ns * times;
  }
  [[nodiscard]] std::uint64_t count() const noexcept {
    std::uint64_t sum = 0;
    for (const std::uint64_t n : counts) sum += n;
    return sum;
  }
  void add(const Latencies& other) noexcept {
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
    nanoseconds += other.nanoseconds;
  }
};

class LatencyHistogram {
 public:
  // `times` things that took so long each. What the clock makes negative counts as nothing.
  void record(std::chrono::nanoseconds time, std::uint64_t times = 1) noexcept {
    const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0));
    add(counts_[Latencies::bucket_of(ns)], times);
    add(nanoseconds_, ns * times);
  }
  [[nodiscard]] Latencies read() const noexcept {
    Latencies copy;
    for (std::size_t i = 0; i < counts_.size(); ++i) copy.counts[i] = counts_[i].load(std::memory_order_relaxed);
    copy.nanoseconds = nanoseconds_.load(std::memory_order_relaxed);
    return copy;
  }

 private:
  static void add(std::atomic<std::uint64_t>& at, std::uint64_t n) noexcept {
    at.store(at.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::array<std::atomic<std::uint64_t>, Latencies::kBounds + 1> counts_{};
  std::atomic<std::uint64_t> nanoseconds_{0};
};

}  // namespace shunt
