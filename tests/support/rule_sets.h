// SPDX-License-Identifier: Apache-2.0
// Matches, keys and random rule sets for tests of whatever uses rules.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "user/flow/flow_key.h"
#include "user/pipeline/rule.h"

namespace shunt {

Match eth_dst(std::uint64_t mac);
Match ipv4_dst(std::uint32_t address, unsigned prefix_length);  // with eth_type
Match ipv4_src(std::uint32_t address, unsigned prefix_length);
Match tcp_dst(std::uint16_t port);  // with eth_type and nw_proto
Match in_port(std::uint32_t number);
Match both(const Match& a, const Match& b);

// Rules over every field of the key, with masks of many shapes, overlapping prefixes and priorities that all differ.
// Values are drawn from few, so that rules meet the same packets.
std::vector<RuleRef> random_rules(std::mt19937_64& random, std::size_t count);
PipelineKey random_key(std::mt19937_64& random);
// A key that one of the rules matches, or nearly.
PipelineKey key_near(std::mt19937_64& random, const std::vector<RuleRef>& rules);

}  // namespace shunt
