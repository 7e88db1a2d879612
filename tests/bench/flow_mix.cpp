// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/flow_mix.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cmath>

namespace shunt::bench {

std::vector<sequence_entry> numbered_flows(std::uint32_t count) {
  std::vector<sequence_entry> flows(count);
  for (std::uint32_t number = 0; number < count; number++) {
    sequence_entry& flow = flows[number];
    flow.source = htonl(0x0a010000u + BENCH_SOURCE(number));
    flow.destination = htonl(0x0a020001u);
    flow.source_port = htons(BENCH_SOURCE_PORT(number));
    flow.destination_port = htons(9);
    flow.protocol = IPPROTO_UDP;
    flow.source_mac = BENCH_SOURCE_MAC(number);
  }
  return flows;
}

ZipfSampler::ZipfSampler(std::uint32_t count, double exponent) : up_to_(count) {
  double sum = 0;
  for (std::uint32_t rank = 0; rank < count; rank++) up_to_[rank] = sum += std::pow(rank + 1.0, -exponent);
  for (double& share : up_to_) share /= sum;
}

std::uint32_t ZipfSampler::operator()(std::mt19937_64& random) const {
  const double draw = std::uniform_real_distribution<double>{}(random);
  const auto found = std::ranges::upper_bound(up_to_, draw);
  return static_cast<std::uint32_t>(std::min<std::ptrdiff_t>(found - up_to_.begin(), std::ssize(up_to_) - 1));
}

double ZipfSampler::share(std::uint32_t rank) const { return up_to_[rank] - (rank == 0 ? 0 : up_to_[rank - 1]); }

void shuffle(std::vector<sequence_entry>& flows, std::uint64_t seed) {
  std::mt19937_64 random{seed};
  std::ranges::shuffle(flows, random);
}

std::vector<sequence_entry> zipf_sequence(std::span<const sequence_entry> flows, std::uint32_t draws,
                                          std::uint64_t seed) {
  const ZipfSampler sampler{static_cast<std::uint32_t>(flows.size()), 1.0};
  std::mt19937_64 random{seed};
  std::vector<sequence_entry> sequence(draws);
  for (sequence_entry& entry : sequence) entry = flows[sampler(random)];
  return sequence;
}

}  // namespace shunt::bench
