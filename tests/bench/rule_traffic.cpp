// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/rule_traffic.h"

#include <bit>
#include <cstring>
#include <random>
#include <set>

#include "tests/support/class_bench.h"
#include "user/pipeline/rule_text.h"

namespace shunt::bench {
namespace {

constexpr __u8 kSourceMac = 0x80;

sequence_entry flow_of(const PipelineKey& key) {
  sequence_entry flow{};
  std::memcpy(&flow.source, key.ip_src + 12, 4);
  std::memcpy(&flow.destination, key.ip_dst + 12, 4);
  flow.source_port = std::bit_cast<__be16>(key.tp_src);
  flow.destination_port = std::bit_cast<__be16>(key.tp_dst);
  flow.protocol = key.nw_proto;
  flow.source_mac = kSourceMac;
  return flow;
}

}  // namespace

RuleTraffic make_rule_traffic(const std::string& kind, std::size_t rule_count, std::uint32_t flow_count,
                              std::uint64_t seed) {
  std::mt19937_64 random{seed};
  const std::vector<RuleRef> rules = rules_of(rule_mix(kind), rule_count, random);
  RuleTraffic traffic;
  for (const RuleRef& rule : rules) {
    FlowMod mod = flow_mod_of(*rule);
    mod.actions = {OutputAction{PortNo{2}}};
    traffic.rules += format_flow_spec(mod) + "\n";
  }
  std::set<std::string> seen;
  while (traffic.flows.size() < flow_count) {
    const sequence_entry flow = flow_of(packet_of(rules, random));
    if (seen.emplace(reinterpret_cast<const char*>(&flow), sizeof flow).second) traffic.flows.push_back(flow);
  }
  return traffic;
}

}  // namespace shunt::bench
