// SPDX-License-Identifier: Apache-2.0
// A bounded queue from one thread to one other, without locks. A full ring refuses: the caller keeps the value.
//
// Threads: push() by the one producer, pop() by the one consumer; size() by any, as a hint.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <utility>
#include <vector>

namespace shunt {

template <typename T>
class SpscRing {
 public:
  explicit SpscRing(std::size_t capacity) : slots_(std::bit_ceil(capacity)) {}  // rounded up to a power of two
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  [[nodiscard]] bool push(T&& value) noexcept {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - known_head_ == slots_.size()) {
      known_head_ = head_.load(std::memory_order_acquire);
      if (tail - known_head_ == slots_.size()) return false;
    }
    slots_[tail & (slots_.size() - 1)] = std::move(value);
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  // Pushes make(0) ... make(count - 1), all of them or none: the consumer never sees a part.
  template <typename Make>
  [[nodiscard]] bool push_all(std::size_t count, Make&& make) noexcept {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (slots_.size() - (tail - known_head_) < count) {
      known_head_ = head_.load(std::memory_order_acquire);
      if (slots_.size() - (tail - known_head_) < count) return false;
    }
    for (std::size_t i = 0; i < count; ++i) slots_[(tail + i) & (slots_.size() - 1)] = make(i);
    tail_.store(tail + count, std::memory_order_release);
    return true;
  }

  [[nodiscard]] bool pop(T& value) noexcept {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head == known_tail_) {
      known_tail_ = tail_.load(std::memory_order_acquire);
      if (head == known_tail_) return false;
    }
    value = std::move(slots_[head & (slots_.size() - 1)]);
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  [[nodiscard]] std::size_t size() const noexcept {
    return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_acquire);
  }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] std::size_t capacity() const noexcept { return slots_.size(); }

 private:
  std::vector<T> slots_;
  alignas(64) std::atomic<std::size_t> head_{0};
  std::size_t known_tail_ = 0;  // consumer's copy
  alignas(64) std::atomic<std::size_t> tail_{0};
  std::size_t known_head_ = 0;  // producer's copy
};

}  // namespace shunt
