// SPDX-License-Identifier: Apache-2.0
// Userspace's half of upcall_order (maps/flow.h): a packet that was handed up is finished when it was sent or dropped,
// and only then may a young flow's packets pass in the kernel.
//
// A packet that the kernel dropped behind its count (receive ring full) is never finished by anyone: repair() settles
// buckets in which nothing has moved since it last looked.
//
// Threads: expect() and finish() by workers; repair() by one of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "maps/flow.h"

namespace shunt {

class OrderGate {
 public:
  explicit OrderGate(std::span<shunt_order> order) : order_{order}, before_(order.size()) {}

  void finish(std::uint32_t bucket) noexcept {
    if (bucket < order_.size()) finished(bucket).fetch_add(1, std::memory_order_release);
  }

  // A packet that several threads send in parts is finished so many times more than it was handed up. Before the first
  // of them may finish it.
  void expect(std::uint32_t bucket, std::uint32_t more) noexcept {
    if (bucket < order_.size())
      std::atomic_ref<__u32>{order_[bucket].handed_up}.fetch_add(more, std::memory_order_release);
  }

  // Call it with longer pauses than a packet stays in userspace: once a second.
  void repair() noexcept {
    for (std::uint32_t bucket = 0; bucket < order_.size(); ++bucket) {
      const std::uint32_t up = std::atomic_ref<__u32>{order_[bucket].handed_up}.load(std::memory_order_acquire);
      std::uint32_t done = finished(bucket).load(std::memory_order_acquire);
      const shunt_order seen = before_[bucket];
      before_[bucket] = {up, done};
      if (up != done && seen.handed_up == up && seen.finished == done)
        finished(bucket).compare_exchange_strong(done, up, std::memory_order_release, std::memory_order_relaxed);
    }
  }

 private:
  [[nodiscard]] std::atomic_ref<__u32> finished(std::uint32_t bucket) const noexcept {
    return std::atomic_ref<__u32>{order_[bucket].finished};
  }
  std::span<shunt_order> order_;
  std::vector<shunt_order> before_;
};

}  // namespace shunt
