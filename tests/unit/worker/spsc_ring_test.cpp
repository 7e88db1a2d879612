// SPDX-License-Identifier: Apache-2.0
#include "user/worker/spsc_ring.h"

#include <doctest/doctest.h>

#include <memory>
#include <thread>

using namespace shunt;

TEST_SUITE("spsc ring") {
  TEST_CASE("a full ring refuses and keeps what the caller wanted to push") {
    SpscRing<std::unique_ptr<int>> ring{3};
    CHECK(ring.capacity() == 4);
    for (int i = 0; i < 4; ++i) CHECK(ring.push(std::make_unique<int>(i)));
    auto fifth = std::make_unique<int>(5);
    CHECK_FALSE(ring.push(std::move(fifth)));
    REQUIRE(fifth != nullptr);
    std::unique_ptr<int> out;
    REQUIRE(ring.pop(out));
    CHECK(*out == 0);
    CHECK(ring.push(std::move(fifth)));
    CHECK(ring.size() == 4);
  }

  TEST_CASE("values come out once each, in the order in which they went in, across two threads") {
    SpscRing<int> ring{64};
    constexpr int kCount = 200'000;
    std::thread producer{[&] {
      for (int i = 0; i < kCount;) {
        int value = i;
        if (ring.push(std::move(value)))
          ++i;
        else
          std::this_thread::yield();
      }
    }};
    bool in_order = true;
    for (int expected = 0; expected < kCount;) {
      int value;
      if (ring.pop(value))
        in_order = in_order && value == expected++;
      else
        std::this_thread::yield();
    }
    producer.join();
    CHECK(in_order);
    CHECK(ring.empty());
  }

  TEST_CASE("what is pushed together appears together, or not at all") {
    SpscRing<int> small{8};
    REQUIRE(small.push_all(6, [](std::size_t i) { return static_cast<int>(i); }));
    CHECK_FALSE(small.push_all(3, [](std::size_t) { return 9; }));
    CHECK(small.size() == 6);

    SpscRing<int> ring{64};
    constexpr int kGroups = 50'000, kParts = 3;
    std::thread producer{[&] {
      for (int group = 0; group < kGroups;) {
        if (ring.push_all(kParts, [&](std::size_t i) { return group * kParts + static_cast<int>(i); }))
          ++group;
        else
          std::this_thread::yield();
      }
    }};
    bool whole = true, in_order = true;
    for (int expected = 0; expected < kGroups * kParts;) {
      const std::size_t there = ring.size();
      whole = whole && there % kParts == 0;
      if (there == 0) std::this_thread::yield();
      int value;
      for (std::size_t i = 0; i < there && ring.pop(value); ++i) in_order = in_order && value == expected++;
    }
    producer.join();
    CHECK(whole);
    CHECK(in_order);
  }
}
