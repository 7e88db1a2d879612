// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/group_select.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <random>

using namespace shunt;

namespace {

std::vector<BucketRef> buckets(std::initializer_list<std::uint16_t> weights) {
  std::vector<BucketRef> made;
  for (const std::uint16_t weight : weights) {
    auto bucket = std::make_shared<Bucket>();
    bucket->weight = weight;
    made.push_back(std::move(bucket));
  }
  return made;
}

std::map<std::uint16_t, double> shares(std::span<const std::uint16_t> slots) {
  std::map<std::uint16_t, double> made;
  for (const std::uint16_t bucket : slots) made[bucket] += 1.0 / static_cast<double>(slots.size());
  return made;
}

constexpr auto kAllLive = [](std::uint16_t) { return true; };

}  // namespace

TEST_SUITE("group select") {
  TEST_CASE("a bucket's share of the slots is its weight's within a thousandth, in as few slots as that takes") {
    CHECK(make_slots(buckets({1})).size() == 1);
    CHECK(make_slots(buckets({5, 5})).size() == 2);
    CHECK(make_slots(buckets({1, 1, 1, 1})).size() == 4);
    CHECK(make_slots(buckets({3, 1})).size() == 4);
    CHECK(make_slots(buckets({})).empty());
    CHECK(make_slots(buckets({0, 0})).empty());
    CHECK(shares(make_slots(buckets({1, 999}))).size() == 2);  // however small a weight is
    std::mt19937 random{1};
    for (int i = 0; i < 200; ++i) {
      std::vector<BucketRef> some;
      std::uint64_t total = 0;
      for (auto count = 1 + random() % 40; count > 0; --count) {
        auto bucket = std::make_shared<Bucket>();
        bucket->weight = static_cast<std::uint16_t>(random() % 8 == 0 ? random() % 65536 : random() % 20);
        total += bucket->weight;
        some.push_back(std::move(bucket));
      }
      const auto slots = make_slots(some);
      if (total == 0) continue;
      REQUIRE(std::has_single_bit(slots.size()));
      REQUIRE(slots.size() <= kMaxSlots);
      const auto given = shares(slots);
      for (std::size_t b = 0; b < some.size(); ++b) {
        const auto share = given.find(static_cast<std::uint16_t>(b));
        const double wanted = static_cast<double>(some[b]->weight) / static_cast<double>(total);
        CHECK(std::abs((share == given.end() ? 0.0 : share->second) - wanted) <= 0.0010001);
        if (some[b]->weight == 0) CHECK(share == given.end());
      }
    }
  }

  TEST_CASE("a choice looks at as many bits as there are slots") {
    const auto slots = make_slots(buckets({3, 1}));
    unsigned bits = 0;
    std::map<std::uint16_t, unsigned> chosen;
    for (std::uint32_t hash = 0; hash < 64; ++hash) {
      const auto bucket = choose_slot(slots, hash, kAllLive, bits);
      REQUIRE(bucket);
      CHECK(bits == 2);
      ++chosen[*bucket];
      CHECK(choose_slot(slots, hash | 0xfff0, kAllLive, bits) == bucket);
    }
    CHECK(chosen == std::map<std::uint16_t, unsigned>{{0, 48}, {1, 16}});
  }

  TEST_CASE("where a bucket is down the others share its part by their weights, and keep their own") {
    for (const auto& weights :
         {std::initializer_list<std::uint16_t>{1, 1, 1, 1}, {5, 3, 2, 2}, {1, 1, 1}, {100, 7, 50}}) {
      const auto some = buckets(weights);
      const auto slots = make_slots(some);
      for (std::uint16_t down = 0; down < some.size(); ++down) {
        const auto live = [&](std::uint16_t bucket) { return bucket != down; };
        std::map<std::uint16_t, double> given;
        unsigned bits = 0;
        constexpr std::uint32_t kHashes = 4096;
        for (std::uint32_t hash = 0; hash < kHashes; ++hash) {
          const auto before = choose_slot(slots, hash, kAllLive, bits);
          const unsigned bits_before = bits;
          const auto after = choose_slot(slots, hash, live, bits);
          REQUIRE(after);
          if (*before != down) {
            CHECK(after == before);
            CHECK(bits == bits_before);
          } else {
            CHECK(*after != down);
            CHECK(bits <= kMaxSlotBits);
          }
          given[*after] += 1.0 / kHashes;
        }
        double total = 0;
        for (std::size_t b = 0; b < some.size(); ++b) total += b == down ? 0 : some[b]->weight;
        for (std::size_t b = 0; b < some.size(); ++b) {
          if (b == down) continue;
          CHECK(std::abs(given[static_cast<std::uint16_t>(b)] - some[b]->weight / total) <= 0.002);
        }
      }
    }
  }

  TEST_CASE("no live bucket: none") {
    const auto slots = make_slots(buckets({1, 2}));
    unsigned bits = 0;
    CHECK_FALSE(choose_slot(
        slots, 5, [](std::uint16_t) { return false; }, bits));
    CHECK_FALSE(choose_slot({}, 5, kAllLive, bits));
    CHECK(bits == 0);
  }
}
