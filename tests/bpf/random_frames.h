// SPDX-License-Identifier: Apache-2.0
// Frames and action lists by a seeded generator, well-formed and not, for the differential test.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "maps/actions.h"
#include "tests/support/packet_builder.h"

namespace shunt::test {

using Random = std::mt19937_64;

// A number that the environment sets, such as SHUNT_SEED.
std::uint64_t from_environment(const char* name, std::uint64_t otherwise);

// Runs `body(random)` SHUNT_ROUNDS times, or as often as usual, and returns how often; a failed check says by which
// SHUNT_SEED, in which round.
template <typename Body>
std::uint64_t for_rounds(std::uint64_t usual, Body body) {
  const auto seed = from_environment("SHUNT_SEED", std::random_device{}());
  const auto rounds = from_environment("SHUNT_ROUNDS", usual);
  CAPTURE(seed);
  Random random{seed};
  for (std::uint64_t round = 0; round < rounds; ++round) {
    CAPTURE(round);
    body(random);
  }
  return rounds;
}

// A frame of at least an Ethernet header: any protocol the parser knows, sometimes cut short or with bytes changed.
Bytes random_frame(Random& random);

// Edits in any order, then a way out: at most SHUNT_MAX_ACTIONS. Outputs go to ports 1 to 3.
std::vector<shunt_action> random_actions(Random& random);

// Frames with names: corners that a generator seldom meets.
struct NamedFrame {
  const char* name;
  Bytes frame;
};
std::vector<NamedFrame> corner_frames();

}  // namespace shunt::test
