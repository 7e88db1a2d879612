// SPDX-License-Identifier: Apache-2.0
// The free frames of the UMEM: a bounded lock-free pool from which workers take, and to which they give, whole batches.
//
// The pool is a stack of batches. A batch is a chain of frames (next_ in their own slots of an index array), so that a
// transfer of up to kBatch frames is one compare-and-swap; the head carries a tag that each change raises, which rules
// out ABA. A FrameCache is a worker's own small store in front of it, so that most frames never touch the shared head.
//
// Threads: FramePool any; a FrameCache belongs to one thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

namespace shunt {

using Frame = std::uint32_t;  // number of a frame: its address in the UMEM is Frame * Umem::kFrameSize

class FramePool {
 public:
  static constexpr std::uint32_t kBatch = 64;

  explicit FramePool(std::uint32_t frame_count);  // full: holds every frame
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  // Takes one batch: 1..kBatch frames into `frames`, or 0 when the pool is empty. `frames` has room for kBatch.
  [[nodiscard]] std::uint32_t take(std::span<Frame> frames) noexcept;
  void give(std::span<const Frame> frames) noexcept;  // any number

  [[nodiscard]] std::uint32_t capacity() const { return capacity_; }
  [[nodiscard]] std::uint32_t free_count() const noexcept { return free_.load(std::memory_order_relaxed); }

 private:
  struct Link {
    std::atomic<Frame> next;        // within the batch
    std::atomic<Frame> next_batch;  // first frames only: the batch below
  };
  void push(std::span<const Frame> batch) noexcept;

  const std::uint32_t capacity_;
  const std::unique_ptr<Link[]> links_;
  alignas(64) std::atomic<std::uint64_t> head_;  // tag << 32 | first frame of the top batch
  alignas(64) std::atomic<std::uint32_t> free_{0};
};

class FrameCache {
 public:
  explicit FrameCache(FramePool& pool) : pool_{pool} {}
  FrameCache(const FrameCache&) = delete;
  FrameCache& operator=(const FrameCache&) = delete;
  ~FrameCache() { flush(); }

  [[nodiscard]] bool take(Frame& frame) noexcept {
    if (count_ == 0 && (count_ = pool_.take(frames_)) == 0) return false;
    frame = frames_[--count_];
    return true;
  }
  void give(Frame frame) noexcept {
    if (count_ == kCapacity) {
      count_ -= FramePool::kBatch;
      pool_.give(std::span{frames_}.subspan(count_, FramePool::kBatch));
    }
    frames_[count_++] = frame;
  }
  // Gives everything back to the pool, so that an idle worker hoards nothing.
  void flush() noexcept {
    pool_.give(std::span{frames_}.first(count_));
    count_ = 0;
  }
  [[nodiscard]] std::uint32_t count() const { return count_; }

 private:
  static constexpr std::uint32_t kCapacity = 4 * FramePool::kBatch;
  FramePool& pool_;
  std::uint32_t count_ = 0;
  std::array<Frame, kCapacity> frames_;
};

}  // namespace shunt
