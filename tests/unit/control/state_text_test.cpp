// SPDX-License-Identifier: Apache-2.0
// What is stored comes back as it was: rules with every action, pipelines made by chance, ports, tables, MACs.
#include "user/control/state_text.h"

#include <doctest/doctest.h>

#include <random>

#include "tests/support/random_pipeline.h"
#include "tests/unit/pipeline/random_actions.h"
#include "user/base/error.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;
using namespace shunt::test;

namespace {

// The rule as a user would have to write it, and as the switch holds it then; false where no user could. (Pipelines
// made by chance also hold what texts never make: fields without their protocol, values outside their masks.)
bool write_as_user(const Rule& made, Rule& written) {
  FlowMod mod;
  try {
    mod = parse_flow(format_stored(made), FlowMod::Command::kAdd, {});
  } catch (const TextError&) {
    return false;
  }
  written.table = *mod.table;
  written.priority = mod.priority;
  written.match = mod.match;
  written.actions = mod.actions;
  return true;
}

void check_round_trip(const Rule& rule) {
  const std::string text = format_stored(rule);
  INFO(text);
  FlowMod mod;
  REQUIRE_NOTHROW(mod = parse_stored_rule(text));
  CHECK(mod.table == rule.table);
  CHECK(mod.priority == rule.priority);
  CHECK(mod.flags == rule.flags);
  CHECK(mod.importance == rule.importance);
  CHECK(mod.cookie == rule.cookie);
  CHECK((mod.match == rule.match));
  // No actions, and the action `drop`, are written alike and do the same.
  const ActionList actions = rule.actions.empty() ? ActionList{DropAction{}} : rule.actions;
  CHECK((mod.actions == actions));
  CHECK(mod.idle_timeout == rule.idle_timeout);
  CHECK(mod.hard_timeout == rule.hard_timeout);
}

}  // namespace

TEST_SUITE("stored texts") {
  TEST_CASE("rules with any action come back as they were") {
    std::mt19937_64 random{1};
    RandomActions actions{random};
    for (int i = 0; i < 3000; ++i) {
      Rule rule;
      rule.table = static_cast<std::uint8_t>(random() % kTableCount);
      rule.priority = static_cast<std::uint16_t>(random());
      rule.cookie = random() % 3 == 0 ? 0 : random();
      rule.flags = static_cast<std::uint16_t>(random() % 32);
      rule.importance = static_cast<std::uint16_t>(random());
      rule.idle_timeout = static_cast<std::uint16_t>(random());
      rule.hard_timeout = static_cast<std::uint16_t>(random());
      if (random() % 2 == 0) rule.match = match_on(FieldId::kInPort, 1 + random() % 9);
      rule.actions = actions.rule(rule.match, rule.table);
      check_round_trip(rule);
    }
  }

  TEST_CASE("pipelines made by chance come back as they were") {
    std::size_t rules = 0;
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
      CAPTURE(seed);
      std::mt19937_64 random{seed};
      HandmadeBridge bridge;
      RandomPipeline{[&](unsigned n) { return static_cast<unsigned>(random() % n); }}.fill(bridge);
      const SwitchState& state = bridge.state();
      for (const auto& table : state.bridges.at(0)->tables)
        if (table != nullptr)
          for (const RuleRef& rule : table->rules(state.version)) {
            Rule written;
            if (!write_as_user(*rule, written)) continue;
            check_round_trip(written);
            ++rules;
          }
    }
    CHECK(rules > 500);
  }

  TEST_CASE("ports, bridges, tables and MACs come back as they were") {
    StoredPort port;
    port.request.interface = "e0";
    port.request.number = PortNo{7};
    port.request.mode = PortMode::kGeneric;
    port.request.queues = 3;
    port.request.create_tap = true;
    port.request.vlan.mode = VlanMode::kDot1qTunnel;
    port.request.vlan.tag = VlanId{12};
    port.request.vlan.cvlans = VlanSet{};
    port.request.vlan.cvlans->set(5);
    port.request.vlan.qinq_ethtype = 0x8100;
    port.request.vlan.priority_tags = PriorityTags::kAlways;
    port.request.flags = {false, true, false, true, true};
    port.ifindex = Ifindex{44};
    port.netns = 4026531840;
    port.changes = R"([{"key":"up","text":"up","link":44,"undo":"down"}])";
    const StoredPort same = parse_stored_port(format_stored(port));
    CHECK(format_stored(same) == format_stored(port));
    CHECK(same.request.vlan == port.request.vlan);
    CHECK(same.request.flags == port.request.flags);
    CHECK(same.changes == port.changes);
    CHECK(same.netns == port.netns);

    StoredBridge bridge{"br0", {}, 9, std::chrono::seconds{8}};
    bridge.flood_vlans.set(7);
    CHECK(format_stored(parse_stored_bridge(format_stored(bridge))) == format_stored(bridge));
    const TableConfig table{"a \"name\"", TableConfig::Miss::kContinue, 0, true};
    CHECK(parse_stored_table(format_stored(table)) == table);
    const FdbKey key{VlanId{4095}, MacAddr::from_number(0xfeffffffffff)};
    const FdbEntry entry = parse_stored_mac(id_of(key), format_stored(PortNo{0xff00}, true));
    CHECK((entry.key == key));
    CHECK(entry.port == PortNo{0xff00});
    CHECK(entry.is_static);
  }

  TEST_CASE("what is no row of ours is an error, and nothing worse") {
    CHECK_THROWS_AS((void)parse_stored_port("{}"), Error);
    CHECK_THROWS_AS((void)parse_stored_port("[1"), Error);
    CHECK_THROWS_AS((void)parse_stored_port(R"({"name":3,"ofport":1})"), Error);
    CHECK_THROWS_AS((void)parse_stored_bridge(R"({"name":"br0","flood_vlans":"x"})"), Error);
    CHECK_THROWS_AS((void)parse_stored_mac(1, "7 statics"), Error);
    CHECK_THROWS_AS((void)parse_stored_rule("nonsense"), Error);
  }

  TEST_CASE("what a bridge is told of OpenFlow comes back as it was") {
    StoredBridge bridge;
    bridge.name = "br0";
    CHECK((parse_stored_bridge(format_stored(bridge)).openflow == OpenFlowSettings{}));
    bridge.openflow = {0x0123456789abcdef, FailMode::kSecure, {{"ptcp:6634", 0}, {"tcp:192.0.2.1:6653", 3}}};
    CHECK((parse_stored_bridge(format_stored(bridge)).openflow == bridge.openflow));
    // As an earlier version wrote it.
    CHECK((parse_stored_bridge(R"({"name":"br0"})").openflow == OpenFlowSettings{}));
  }
}
