// SPDX-License-Identifier: Apache-2.0
#include "user/afxdp/frame_pool.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <thread>
#include <vector>

using namespace shunt;

namespace {

std::vector<Frame> take_all(FramePool& pool) {
  std::vector<Frame> all;
  std::array<Frame, FramePool::kBatch> batch;
  while (const std::uint32_t count = pool.take(batch)) all.insert(all.end(), batch.begin(), batch.begin() + count);
  std::sort(all.begin(), all.end());
  return all;
}

std::vector<Frame> every_frame(std::uint32_t count) {
  std::vector<Frame> frames(count);
  std::iota(frames.begin(), frames.end(), 0u);
  return frames;
}

}  // namespace

TEST_SUITE("frame pool") {
  TEST_CASE("a new pool holds every frame once") {
    for (const std::uint32_t count : {64u, 65u, 1000u}) {
      FramePool pool{count};
      CHECK(pool.free_count() == count);
      CHECK(take_all(pool) == every_frame(count));
      CHECK(pool.free_count() == 0);
    }
  }

  TEST_CASE("an empty pool gives nothing, and what is given back comes out again") {
    FramePool pool{64};
    const std::vector<Frame> frames = take_all(pool);
    std::array<Frame, FramePool::kBatch> batch;
    CHECK(pool.take(batch) == 0);
    pool.give(std::span{frames}.first(3));
    pool.give(std::span{frames}.subspan(3, 1));
    CHECK(pool.free_count() == 4);
    CHECK(take_all(pool) == std::vector<Frame>{0, 1, 2, 3});
  }

  TEST_CASE("more frames than a batch go back in one call") {
    FramePool pool{300};
    const std::vector<Frame> frames = take_all(pool);
    pool.give(frames);
    CHECK(take_all(pool) == every_frame(300));
  }

  TEST_CASE("threads that take and give at once lose no frame and share none") {
    constexpr std::uint32_t kFrames = 4096;
    FramePool pool{kFrames};
    std::vector<std::atomic<int>> holders(kFrames);
    std::atomic<bool> shared{false};
    const auto work = [&](unsigned seed) {
      FrameCache cache{pool};
      std::vector<Frame> mine;
      for (int step = 0; step < 20'000; ++step) {
        seed = seed * 1664525 + 1013904223;
        Frame frame;
        if ((seed >> 16) % 2 == 0 && mine.size() < 500 && cache.take(frame)) {
          if (holders[frame].fetch_add(1) != 0) shared = true;
          mine.push_back(frame);
        } else if (!mine.empty()) {
          frame = mine.back();
          mine.pop_back();
          holders[frame].fetch_sub(1);
          cache.give(frame);
        }
      }
      for (const Frame frame : mine) {
        holders[frame].fetch_sub(1);
        cache.give(frame);
      }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; ++i) threads.emplace_back(work, i + 1);
    for (std::thread& thread : threads) thread.join();
    CHECK_FALSE(shared);
    CHECK(pool.free_count() == kFrames);
    CHECK(take_all(pool) == every_frame(kFrames));
  }
}

TEST_SUITE("frame cache") {
  TEST_CASE("a cache gives surplus back to the pool and the rest when it ends") {
    FramePool pool{512};
    {
      FrameCache cache{pool};
      std::vector<Frame> frames;
      for (Frame frame; cache.take(frame);) frames.push_back(frame);
      CHECK(frames.size() == 512);
      CHECK(pool.free_count() == 0);
      for (const Frame frame : frames) cache.give(frame);
      CHECK(pool.free_count() >= 512 - 256);
      CHECK(pool.free_count() + cache.count() == 512);
    }
    CHECK(pool.free_count() == 512);
    CHECK(take_all(pool) == every_frame(512));
  }
}
