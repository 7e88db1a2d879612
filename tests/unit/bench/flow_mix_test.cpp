// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/flow_mix.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

namespace shunt::bench {
namespace {

auto tuple_of(const sequence_entry& entry) {
  return std::tuple{entry.source, entry.destination, entry.source_port, entry.destination_port, entry.protocol};
}

TEST_SUITE("flow mix") {
  TEST_CASE("no two flow numbers share a 5-tuple") {
    std::set<decltype(tuple_of({}))> seen;
    for (const sequence_entry& flow : numbered_flows(100'000)) seen.insert(tuple_of(flow));
    CHECK(seen.size() == 100'000);
  }

  TEST_CASE("by Zipf's law rank r comes 1/(r + 1) times as often as the first") {
    constexpr std::uint32_t kCount = 1000, kDraws = 1'000'000;
    const ZipfSampler sampler{kCount, 1.0};
    std::mt19937_64 random{1};
    std::vector<std::uint32_t> drawn(kCount);
    for (std::uint32_t i = 0; i < kDraws; i++) drawn[sampler(random)]++;
    double sum = 0;
    for (std::uint32_t rank = 0; rank < kCount; rank++) sum += sampler.share(rank);
    CHECK(sum == doctest::Approx(1));
    for (const std::uint32_t rank : {0u, 1u, 9u, 99u, 999u}) {
      CHECK(sampler.share(rank) == doctest::Approx(sampler.share(0) / (rank + 1)));
      // Four standard deviations of a count.
      const double expected = sampler.share(rank) * kDraws;
      CHECK(std::abs(drawn[rank] - expected) < 4 * std::sqrt(expected));
    }
  }

  TEST_CASE("one flow is drawn every time") {
    const auto sequence = zipf_sequence(numbered_flows(1), 100, 1);
    CHECK(std::ranges::all_of(sequence, [&](const auto& entry) { return tuple_of(entry) == tuple_of(sequence[0]); }));
  }

  TEST_CASE("a shuffle keeps each flow once") {
    auto flows = numbered_flows(1000);
    shuffle(flows, 1);
    CHECK(tuple_of(flows[0]) != tuple_of(numbered_flows(1)[0]));
    std::set<decltype(tuple_of({}))> seen;
    for (const sequence_entry& flow : flows) seen.insert(tuple_of(flow));
    CHECK(seen.size() == 1000);
  }
}

}  // namespace
}  // namespace shunt::bench
