// SPDX-License-Identifier: Apache-2.0
#include "user/flow/chain_index.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <utility>

using namespace shunt;

namespace {

constexpr std::uint64_t kNoReader = std::numeric_limits<std::uint64_t>::max();

struct Index {
  Arena arena;
  Garbage garbage{arena};
  ChainIndex chains;
};

// What the index has of a hash, next to what it was given.
int wrong_of(const Index& index, const std::map<std::uint32_t, ChainIndex::Found>& all, std::uint32_t hash) {
  const auto [chain, best] = index.chains.find(hash);
  const auto at = all.find(hash);
  if (at == all.end()) return chain != 0 ? 1 : 0;
  return chain != at->second.chain || best != at->second.best ? 1 : 0;
}

}  // namespace

TEST_SUITE("chain index") {
  TEST_CASE("what comes, changes and goes is found as in a map") {
    // Hashes that are near to each other are of one line, or of a few that overflow.
    for (const auto& [hashes, step] : {std::pair{3u, 1u}, {40u, 1u}, {40u, 0x10000u}, {5'000u, 0x9e3779b1u}}) {
      CAPTURE(hashes);
      CAPTURE(step);
      std::mt19937_64 random{hashes};
      Index index;
      std::map<std::uint32_t, ChainIndex::Found> all;
      int wrong = 0;
      const auto any = [&, h = hashes, s = step] { return static_cast<std::uint32_t>(1 + random() % h) * s; };
      for (std::uint32_t i = 1; i <= 40'000; ++i) {
        const std::uint32_t hash = any();
        if (random() % 3 == 0) {
          index.chains.set(hash, {0, 0}, index.garbage);
          all.erase(hash);
        } else {
          all[hash] = {i, static_cast<std::uint16_t>(random())};
          index.chains.set(hash, all[hash], index.garbage);
        }
        wrong += wrong_of(index, all, hash) + wrong_of(index, all, any());
        if (i % 1'000 == 0) index.garbage.free(kNoReader);
      }
      for (std::uint32_t i = 1; i <= hashes; ++i) wrong += wrong_of(index, all, i * step);
      CHECK(wrong == 0);
    }
  }

  TEST_CASE("each chain is visited once, at once and in pieces, also while others come") {
    Index index;
    std::set<std::uint32_t> chains;
    for (std::uint32_t i = 1; i <= 1'000; ++i) {
      index.chains.set(i * 0x9e3779b1, {i, 1}, index.garbage);
      chains.insert(i);
    }
    std::multiset<std::uint32_t> seen;
    index.chains.for_each([&](std::uint32_t chain) { seen.insert(chain); });
    CHECK(seen == std::multiset<std::uint32_t>(chains.begin(), chains.end()));

    seen.clear();
    ChainIndex::Place place;
    std::uint32_t next = 1'001;
    std::size_t visited = 0, most_visited = 0;
    const auto visit = [&](std::uint32_t chain) {
      ++visited;
      if (chain <= 1'000) seen.insert(chain);
    };
    for (std::size_t most = 7; index.chains.for_some(place, most, visit); most = 7, visited = 0) {
      CHECK(most == 0);
      most_visited = std::max(most_visited, visited);
      for (int i = 0; i < 50; ++i, ++next) index.chains.set(next * 0x9e3779b1, {next, 1}, index.garbage);
    }
    CHECK(most_visited <= 12);  // two lines
    CHECK(seen == std::multiset<std::uint32_t>(chains.begin(), chains.end()));
  }

  TEST_CASE("entries that come and go for long take no more memory, and are found by few lines") {
    Index index;
    std::size_t most = 0;
    for (std::uint32_t i = 1; i <= 200'000; ++i) {
      index.chains.set(i * 0x9e3779b1, {i, 1}, index.garbage);
      if (i > 100'000) index.chains.set((i - 100'000) * 0x9e3779b1, {0, 0}, index.garbage);
      if (i == 100'000) most = index.chains.page_bytes();
      if (i % 1'000 == 0) index.garbage.free(kNoReader);
    }
    CHECK(index.chains.page_bytes() <= most * 2);
    int found = 0;
    for (std::uint32_t i = 1; i <= 200'000; ++i) found += index.chains.find(i * 0x9e3779b1).chain != 0 ? 1 : 0;
    CHECK(found == 100'000);
  }
}
