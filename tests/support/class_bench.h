// SPDX-License-Identifier: Apache-2.0
// Rule sets in the manner of ClassBench's three kinds of seeds (Taylor and Turner, 2007): access lists, firewalls and
// IP chains over the IPv4 5-tuple, and packets for them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "user/flow/flow_key.h"
#include "user/pipeline/rule.h"

namespace shunt {

// How the prefix lengths and ports of a kind of rule set are spread.
struct RuleMix {
  const char* name;
  std::vector<unsigned> src_lengths, dst_lengths;  // drawn evenly; 0: any
  unsigned any_src_port, any_dst_port;             // percent of rules
  unsigned port_range;                             // percent of the other ports that are prefixes
};
std::span<const RuleMix> rule_mixes();  // acl, fw, ipc
const RuleMix& rule_mix(std::string_view name);  // throws Error where there is none of that name

// `count` rules of which no two have one match, with random priorities from 1 to 60,000.
std::vector<RuleRef> rules_of(const RuleMix& mix, std::size_t count, std::mt19937_64& random);
// A packet that some rule matches, what the rule leaves open filled in.
PipelineKey packet_of(std::span<const RuleRef> rules, std::mt19937_64& random);

}  // namespace shunt
