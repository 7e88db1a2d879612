// SPDX-License-Identifier: Apache-2.0
#include "user/flow/shared_prefixes.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <set>
#include <vector>

using namespace shunt;

TEST_SUITE("user/flow shared prefixes") {
  TEST_CASE("a bag of priorities knows its greatest, from few to many and back") {
    std::mt19937 random{1};
    PriorityBag bag;
    std::multiset<std::uint16_t> reference;
    for (const int most : {3, 12, 200, 5, 30, 0}) {
      for (int i = 0; i < 2'000; ++i) {
        const bool grows = static_cast<int>(reference.size()) < most && random() % 8 != 0;
        if (grows) {
          const auto priority = static_cast<std::uint16_t>(random() % 40);
          bag.insert(priority);
          reference.insert(priority);
        } else if (!reference.empty()) {
          const auto at = std::next(reference.begin(), static_cast<long>(random() % reference.size()));
          bag.remove(*at);
          reference.erase(at);
        }
        REQUIRE(bag.size() == reference.size());
        REQUIRE(bag.max() == (reference.empty() ? 0 : *reference.rbegin()));
      }
    }
    CHECK(bag.empty());
  }

  TEST_CASE("prefixes keep their own bags, those of one hash, too") {
    constexpr unsigned kPrefixes = 200'000;  // of which seven pairs have one hash
    Arena arena;
    Garbage garbage{arena};
    SharedPrefixes<std::uint32_t> shared{arena, garbage};
    const auto prefix = [](unsigned i) { return i / 2 * 0x01000193; };
    const auto length = [](unsigned i) { return 31 + i % 2; };
    const auto priority = [](unsigned i) { return static_cast<std::uint16_t>(i % 60'000); };
    for (unsigned i = 0; i < kPrefixes; ++i) shared.make(prefix(i), length(i)).insert(priority(i));
    for (unsigned i = 0; i < kPrefixes; i += 3) shared.drop(prefix(i), length(i));
    unsigned wrong = 0;
    for (unsigned i = 0; i < kPrefixes; ++i) {
      if (i % 3 == 0) continue;
      const PriorityBag& bag = shared.find(prefix(i), length(i));
      wrong += bag.size() != 1 || bag.max() != priority(i);
    }
    CHECK(wrong == 0);
  }
}
