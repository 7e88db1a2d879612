// SPDX-License-Identifier: Apache-2.0
#include "tests/oracle/scenario.h"

#include <fmt/format.h>

#include <algorithm>

#include "tests/oracle/action_text.h"
#include "tests/oracle/match_text.h"

namespace shunt::test {
namespace {

constexpr std::uint8_t kTables = 5;

VlanSet random_set(Random& random) {
  static constexpr std::array<std::uint16_t, 5> kVids{0, 10, 11, 20, 30};
  VlanSet set;
  for (const std::uint16_t vid : kVids)
    if (random.one_in(2)) set.set(vid);
  if (set.none()) set.set(10);
  return set;
}

VlanConfig random_vlan(Random& random, bool access) {
  static constexpr std::array<std::uint16_t, 4> kTags{10, 10, 11, 20};
  static constexpr std::array<VlanMode, 7> kModes{
      VlanMode::kTrunk,        VlanMode::kTrunk,          VlanMode::kAccess,     VlanMode::kAccess,
      VlanMode::kNativeTagged, VlanMode::kNativeUntagged, VlanMode::kDot1qTunnel};
  VlanConfig vlan;
  do vlan.mode = random.of(kModes);
  while (vlan.mode == VlanMode::kAccess && !access);
  if (vlan.mode != VlanMode::kTrunk) vlan.tag = VlanId{random.of(kTags)};
  const bool has_trunks =
      vlan.mode == VlanMode::kTrunk || vlan.mode == VlanMode::kNativeTagged || vlan.mode == VlanMode::kNativeUntagged;
  if (has_trunks && random.one_in(2)) vlan.trunks = random_set(random);
  if (vlan.mode == VlanMode::kDot1qTunnel) {
    if (random.one_in(3)) vlan.cvlans = random_set(random);
    if (random.one_in(2)) vlan.qinq_ethtype = 0x8100;
  }
  if (random.one_in(3)) vlan.priority_tags = random.one_in(2) ? PriorityTags::kIfNonzero : PriorityTags::kAlways;
  return vlan;
}

Layout random_layout(Random& random) {
  Layout layout;
  const bool plain = random.one_in(3), access = random.one_in(2);
  for (std::uint32_t i = 1; i <= kPortCount; ++i) {
    PortSetting port;
    port.number = PortNo{i};
    if (!plain) {
      port.vlan = random_vlan(random, access);
      port.flood = !random.one_in(8);
      port.is_protected = random.one_in(5);
    }
    port.up = !random.one_in(8);
    layout.ports.push_back(port);
  }
  layout.ports.front().up = true;
  if (!plain && random.one_in(3)) layout.flood_vlans.push_back(10);
  return layout;
}

std::string random_group(Random& random, const ActionChoices& choices, std::uint32_t id) {
  static const std::vector<std::string> kTypes{"all", "all", "indirect", "select", "ff"};
  const std::string type = random.of(kTypes);
  std::string text = fmt::format("group_id={},type={}", id, type);
  // By dp_hash theirs sends the packet through the datapath again, and forgets what follows a clone or a bucket with
  // such a group.
  const bool may_be_inside = choices.clones || choices.buckets_lead_on;
  if (type == "select" && (may_be_inside || random.one_in(2))) text += ",selection_method=hash,fields(eth_src,ip_src)";
  // A group of one live bucket: which one a select group takes is each switch's own choice.
  const auto buckets = type == "indirect" || type == "select" ? 1 : 1 + random.below(3);
  for (std::size_t i = 0; i < buckets; ++i) {
    text += ",bucket=";
    if (type == "select") text += "weight:5,";
    if (type == "ff") text += fmt::format("watch_port:{},", 1 + random.below(kPortCount));
    text += "actions=" + random_bucket(random, choices);
  }
  return text;
}

// A conjunctive match of two dimensions, and the rule it leads to.
void add_conjunction(Random& random, Scenario& scenario, const ActionChoices& choices, std::uint16_t priority) {
  const std::uint32_t id = 1 + static_cast<std::uint32_t>(random.below(3)) + priority * 16u;
  for (int i = 0; i < 2; ++i)
    scenario.rules.push_back(fmt::format("table=0,priority={},ip,nw_src={},actions=conjunction({},1/2)", priority,
                                         ipv4_text(0x0a000001 + static_cast<std::uint32_t>(random.below(3)) + i * 256u),
                                         id));
  for (int i = 0; i < 2; ++i)
    scenario.rules.push_back(fmt::format("table=0,priority={},tcp,tp_dst={},actions=conjunction({},2/2)", priority,
                                         i == 0 ? 80 : 443 + random.below(2), id));
  Promise promise;
  promise.l3 = FrameSpec::L3::kIpv4;
  scenario.rules.push_back(fmt::format("table=0,priority={},conj_id={},ip,actions={}", priority, id,
                                       random_actions(random, choices, promise, 0)));
}

// What a controller may ask for: a list that runs as if a rule held it, from no port.
std::string random_packet_out(Random& random, const std::vector<std::uint32_t>& ports) {
  switch (random.below(5)) {
    case 0:
      return "normal";
    case 1:
      return fmt::format("mod_dl_src:{},normal", mac_text(random_mac(random)));
    case 2:
      return fmt::format("output:{},table", random.of(ports));
    case 3:
      return fmt::format("mod_dl_dst:{},table", mac_text(random_mac(random)));
    default:
      return "table";
  }
}

}  // namespace

Scenario random_scenario(std::uint64_t seed, std::uint64_t number, std::size_t frames) {
  Scenario scenario;
  Random layouts{seed * 1'000'003 + number / kCasesALayout};
  scenario.layout = random_layout(layouts);

  Random random{seed * 7'368'787 + number * 2 + 1};
  for (std::uint64_t warm_up = 0; warm_up < 8; ++warm_up) static_cast<void>(random.bits());
  const auto kind = number % 4;
  ActionChoices choices;
  std::vector<std::uint32_t> in_ports;
  for (const PortSetting& port : scenario.layout.ports) {
    choices.ports.push_back(port.number.value);
    if (port.up) in_ports.push_back(port.number.value);
  }
  choices.normal = kind >= 2;
  choices.mpls = kind != 2;
  choices.learn = kind == 3;
  choices.tables = kTables;
  choices.clones = random.one_in(2);
  choices.checks_length = random.one_in(3);
  choices.buckets_lead_on = !random.one_in(3);

  if (kind == 1 || kind == 3) {
    // A group may name those with greater numbers: no loops.
    constexpr std::uint32_t kGroups = 4;
    for (std::uint32_t id = kGroups; id > 0; --id) {
      choices.first_group = id + 1;
      choices.group_count = kGroups - id;
      scenario.groups.push_back(random_group(random, choices, id));
    }
    choices.first_group = 1;
    choices.group_count = kGroups;
  }

  std::vector<FrameSpec> specs;
  std::uint16_t priority = 10;
  const bool only_normal = kind == 2 && random.one_in(2);
  for (std::uint8_t table = 0; table < kTables && !only_normal; ++table) {
    const auto count = table == 0 ? 4 + random.below(6) : 1 + random.below(4);
    for (std::uint64_t i = 0; i < count; ++i) {
      const FrameSpec spec = specs.empty() || random.one_in(2) ? random_spec(random, in_ports)
                                                               : nearby(random, random.of(specs), in_ports);
      specs.push_back(spec);
      const MatchText match = random_match(random, spec, table != 0);
      priority = static_cast<std::uint16_t>(priority + 1 + random.below(3));
      const std::string actions = random_actions(random, choices, match.promise, table);
      const bool ends = actions.find("fin_timeout") != std::string::npos && random.one_in(2);
      scenario.rules.push_back(fmt::format("table={},priority={},{}{}actions={}", table, priority,
                                           ends ? "idle_timeout=350,hard_timeout=450," : "",
                                           match.text.empty() ? "" : match.text + ",", actions));
    }
    if (random.one_in(2))
      scenario.rules.push_back(
          fmt::format("table={},priority=1,actions={}", table, random_actions(random, choices, Promise{}, table)));
  }
  if (only_normal) {
    scenario.rules.emplace_back("table=0,priority=1,actions=normal");
    if (random.one_in(3))
      scenario.rules.emplace_back("table=0,priority=2,dl_dst=02:00:00:00:00:03,actions=normal,output:1");
  } else if (random.one_in(4)) {
    add_conjunction(random, scenario, choices, static_cast<std::uint16_t>(priority + 5));
  }
  // Priorities rise from rule to rule; which rules come first is chance.
  for (std::size_t i = 0; i < frames; ++i) {
    FrameSpec spec = specs.empty() || random.one_in(5) ? random_spec(random, in_ports) : random.of(specs);
    if (!specs.empty() && random.one_in(2)) spec = nearby(random, spec, in_ports);
    specs.push_back(spec);
    if (random.one_in(12))
      scenario.inputs.push_back({spec.in_port, build(spec), random_packet_out(random, choices.ports)});
    else
      scenario.inputs.push_back({spec.in_port, damaged(random, build(spec)), {}});
  }
  return scenario;
}

}  // namespace shunt::test
