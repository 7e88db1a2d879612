// SPDX-License-Identifier: Apache-2.0
#include "user/worker/eviction.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

using namespace shunt;

namespace {

EvictionCandidate candidate(std::uint32_t slot, std::uint16_t port, std::uint8_t hits, int used) {
  return {slot, port, hits, TimePoint{} + std::chrono::seconds{used}};
}

std::vector<std::uint32_t> victims(const std::vector<EvictionCandidate>& candidates, std::size_t count) {
  std::vector<std::uint32_t> slots = choose_victims(candidates, count);
  std::ranges::sort(slots);
  return slots;
}

using Slots = std::vector<std::uint32_t>;

}  // namespace

TEST_SUITE("eviction") {
  TEST_CASE("flows with fewer hits go first, of these the ones that were used longest ago") {
    const std::vector<EvictionCandidate> candidates{candidate(0, 1, 3, 1), candidate(1, 1, 0, 9), candidate(2, 1, 0, 4),
                                                    candidate(3, 1, 5, 0), candidate(4, 1, 0, 6)};
    CHECK(victims(candidates, 0).empty());
    CHECK(victims(candidates, 2) == Slots{2, 4});
    CHECK(victims(candidates, 3) == Slots{1, 2, 4});
    CHECK(victims(candidates, 4) == Slots{0, 1, 2, 4});
    CHECK(victims(candidates, 5) == Slots{0, 1, 2, 3, 4});
    CHECK(victims(candidates, 99) == Slots{0, 1, 2, 3, 4});
    CHECK(choose_victims({}, 3).empty());
  }

  TEST_CASE("of flows alike in hits, the port that has most of them loses its oldest") {
    std::vector<EvictionCandidate> candidates;
    for (std::uint32_t slot = 0; slot < 10; ++slot) candidates.push_back(candidate(slot, 1, 0, 100 + static_cast<int>(slot)));
    for (std::uint32_t slot = 10; slot < 13; ++slot) candidates.push_back(candidate(slot, 2, 0, 0));  // older than all of port 1's
    CHECK(victims(candidates, 7) == Slots{0, 1, 2, 3, 4, 5, 6});
    CHECK(victims(candidates, 9).size() == 9);
    const Slots nine = victims(candidates, 9);
    CHECK(std::ranges::count_if(nine, [](std::uint32_t slot) { return slot >= 10; }) == 1);  // two are left of each
  }

  TEST_CASE("a port with many flows that work keeps them") {
    std::vector<EvictionCandidate> candidates;
    for (std::uint32_t slot = 0; slot < 100; ++slot) candidates.push_back(candidate(slot, 1, 4, 0));
    for (std::uint32_t slot = 100; slot < 110; ++slot) candidates.push_back(candidate(slot, 2, 0, 9));
    const Slots ten = victims(candidates, 10);
    CHECK(std::ranges::all_of(ten, [](std::uint32_t slot) { return slot >= 100; }));
  }

  TEST_CASE("random: as many as were asked for, no one twice, nobody with fewer hits stays, shares are fair") {
    std::mt19937 engine{7};
    const auto random = [&engine](std::uint32_t below) { return static_cast<std::uint32_t>(engine() % below); };
    for (int round = 0; round < 200; ++round) {
      std::vector<EvictionCandidate> candidates;
      const std::uint32_t all = random(300);
      for (std::uint32_t slot = 0; slot < all; ++slot)
        candidates.push_back(candidate(slot, static_cast<std::uint16_t>(1 + random(1 + slot % 5)),
                                       static_cast<std::uint8_t>(random(3)), static_cast<int>(random(50))));
      const std::size_t count = random(all + 2);
      const Slots chosen = victims(candidates, count);
      CHECK(chosen.size() == std::min<std::size_t>(count, all));
      CHECK(std::ranges::adjacent_find(chosen) == chosen.end());
      const auto goes = [&](const EvictionCandidate& each) { return std::ranges::binary_search(chosen, each.slot); };
      std::uint8_t worst_gone = 0;
      for (const EvictionCandidate& each : candidates)
        if (goes(each)) worst_gone = std::max(worst_gone, each.hits);
      std::vector<std::size_t> left(8), gone(8);
      for (const EvictionCandidate& each : candidates) {
        if (each.hits < worst_gone) CHECK(goes(each));
        if (each.hits == worst_gone && !chosen.empty()) ++(goes(each) ? gone : left)[each.port];
      }
      // Who lost one has no fewer left than anybody, but for one.
      for (std::size_t loser = 0; loser < left.size(); ++loser)
        for (std::size_t other = 0; gone[loser] > 0 && other < left.size(); ++other)
          CHECK(left[loser] + 1 >= left[other]);
    }
  }
}
