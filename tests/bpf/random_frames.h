// SPDX-License-Identifier: Apache-2.0
// Frames and action lists by a seeded generator, well-formed and not, for the differential test.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "maps/actions.h"
#include "tests/support/packet_builder.h"

namespace shunt::test {

using Random = std::mt19937_64;

// A number that the environment sets, such as SHUNT_SEED.
std::uint64_t from_environment(const char* name, std::uint64_t otherwise);

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
