// SPDX-License-Identifier: Apache-2.0
#include "user/afxdp/frame_pool.h"

#include <algorithm>
#include <numeric>

namespace shunt {
namespace {

constexpr Frame kEnd = ~Frame{0};

constexpr std::uint64_t head_of(std::uint64_t old_head, Frame first) { return (((old_head >> 32) + 1) << 32) | first; }

}  // namespace

FramePool::FramePool(std::uint32_t frame_count)
    : capacity_{frame_count}, links_{std::make_unique<Link[]>(frame_count)}, head_{kEnd} {
  std::array<Frame, kBatch> batch;
  // From the top down, so that the lowest addresses are used first and stay warm.
  for (std::uint32_t end = frame_count; end > 0;) {
    const std::uint32_t count = std::min(end, kBatch);
    std::iota(batch.begin(), batch.begin() + count, end - count);
    give(std::span{batch}.first(count));
    end -= count;
  }
}

std::uint32_t FramePool::take(std::span<Frame> frames) noexcept {
  std::uint64_t head = head_.load(std::memory_order_acquire);
  Frame first;
  do {
    first = static_cast<Frame>(head);
    if (first == kEnd) return 0;
    // If another thread took this batch meanwhile the value read is stale, and the tag fails the exchange.
  } while (!head_.compare_exchange_weak(head, head_of(head, links_[first].next_batch.load(std::memory_order_relaxed)),
                                        std::memory_order_acq_rel, std::memory_order_acquire));
  std::uint32_t count = 0;
  for (Frame frame = first; frame != kEnd; frame = links_[frame].next.load(std::memory_order_relaxed))
    frames[count++] = frame;
  free_.fetch_sub(count, std::memory_order_relaxed);
  return count;
}

void FramePool::give(std::span<const Frame> frames) noexcept {
  while (!frames.empty()) {
    const std::size_t count = std::min<std::size_t>(frames.size(), kBatch);
    push(frames.first(count));
    frames = frames.subspan(count);
  }
}

void FramePool::push(std::span<const Frame> batch) noexcept {
  for (std::size_t i = 0; i < batch.size(); ++i)
    links_[batch[i]].next.store(i + 1 < batch.size() ? batch[i + 1] : kEnd, std::memory_order_relaxed);
  free_.fetch_add(static_cast<std::uint32_t>(batch.size()), std::memory_order_relaxed);
  const Frame first = batch.front();
  std::uint64_t head = head_.load(std::memory_order_relaxed);
  do {
    links_[first].next_batch.store(static_cast<Frame>(head), std::memory_order_relaxed);
  } while (
      !head_.compare_exchange_weak(head, head_of(head, first), std::memory_order_acq_rel, std::memory_order_relaxed));
}

}  // namespace shunt
