// SPDX-License-Identifier: Apache-2.0
// Rule sets after ClassBench's three kinds, written as every switch under test reads them, and flows that they match.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/bench/traffic.h"

namespace shunt::bench {

struct RuleTraffic {
  std::string rules;                  // a line each, in the syntax of ovs-ofctl; all send to port 2
  std::vector<sequence_entry> flows;  // no two have one 5-tuple
};

// `kind` is acl, fw or ipc. Throws Error for another.
RuleTraffic make_rule_traffic(const std::string& kind, std::size_t rule_count, std::uint32_t flow_count,
                              std::uint64_t seed);

}  // namespace shunt::bench
