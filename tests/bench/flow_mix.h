// SPDX-License-Identifier: Apache-2.0
// Which flows the generator sends, and how often each: made beforehand, as a sequence of frames that the generator then
// goes through again and again. All is drawn from seeds, so that each run sends the same.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "tests/bench/traffic.h"

namespace shunt::bench {

// Frames of the sequence, one behind the other.
struct SequencePart {
  std::uint32_t first = 0, count = 0;
};

// The flows 0 to count - 1, as traffic.h numbers them: UDP, 16,384 source ports, 64 source MACs.
std::vector<sequence_entry> numbered_flows(std::uint32_t count);

// Draws ranks from 0 up to a count by Zipf's law: rank r as often as (r + 1) to the power of -exponent.
class ZipfSampler {
 public:
  ZipfSampler(std::uint32_t count, double exponent);  // count > 0
  std::uint32_t operator()(std::mt19937_64& random) const;
  [[nodiscard]] double share(std::uint32_t rank) const;  // of all draws

 private:
  std::vector<double> up_to_;  // share of the ranks up to this
};

// Puts flows in a random order: sent in it each comes as often as the others, and neighbours in time are none in
// memory.
void shuffle(std::vector<sequence_entry>& flows, std::uint64_t seed);

// `draws` frames of these flows by Zipf's law with exponent 1. Which flow has which rank is their order.
std::vector<sequence_entry> zipf_sequence(std::span<const sequence_entry> flows, std::uint32_t draws,
                                          std::uint64_t seed);

}  // namespace shunt::bench
