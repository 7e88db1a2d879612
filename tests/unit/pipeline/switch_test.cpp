// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/switch.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "user/base/error.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;
using Command = FlowMod::Command;

namespace {

constexpr TimePoint kStart{std::chrono::hours{1}};

BridgePort port(std::uint32_t number) {
  return {PortNo{number}, DpPort{100 + number}, "p" + std::to_string(number), {}, true};
}

FlowMod mod(Command command, const std::string& text) { return parse_flow(text, command, {}); }

struct OneBridge {
  Switch config;
  BridgeId id = config.add_bridge("br0");

  OneBridge() {
    for (std::uint32_t number : {1u, 2u, 3u}) config.add_port(id, port(number));
    apply({mod(Command::kDelete, "")});
  }

  Change apply(const std::vector<FlowMod>& mods, TimePoint now = kStart) { return config.apply(id, mods, now); }
  Change add(const std::string& text) { return apply({mod(Command::kAdd, text)}); }

  // Rules as text, best first.
  std::string rules(const std::string& filter = "") {
    std::string texts;
    for (const RuleRef& rule : config.list(id, mod(Command::kDelete, filter))) {
      if (!texts.empty()) texts += "; ";
      if (rule->cookie != 0) texts += "cookie " + std::to_string(rule->cookie) + " ";
      texts += format_flow_spec({Command::kAdd, {}, rule->priority, 0, {}, rule->match, rule->actions, {}});
    }
    return texts;
  }
  std::size_t count() { return config.list(id, FlowMod{}).size(); }
  RuleRef only_rule() {
    const auto all = config.list(id, mod(Command::kDelete, ""));
    REQUIRE(all.size() == 1);
    return all.front();
  }
};

}  // namespace

TEST_SUITE("switch") {
  TEST_CASE("a new bridge has one rule: normal, at priority 0") {
    Switch config;
    const BridgeId id = config.add_bridge("br0");
    const auto rules = config.list(id, FlowMod{});
    REQUIRE(rules.size() == 1);
    CHECK(rules[0]->priority == 0);
    CHECK(equal(rules[0]->match.mask, FlowMask{}));
    CHECK(std::get<OutputAction>(rules[0]->actions.at(0)).port == kPortNormal);
    CHECK(config.find_bridge("br0")->id == id);
    CHECK(config.find_bridge("br1") == nullptr);
  }

  TEST_CASE("what cannot be is refused, and nothing changes") {
    OneBridge bridge;
    Switch& config = bridge.config;
    const auto version = config.version();
    const auto state = config.state();
    CHECK_THROWS_AS(config.add_bridge("br0"), Error);
    CHECK_THROWS_AS(config.add_bridge(""), Error);
    CHECK_THROWS_AS(config.del_bridge("br0"), Error);  // has ports
    CHECK_THROWS_AS(config.del_bridge("other"), Error);
    CHECK_THROWS_AS(config.add_port(BridgeId{9}, port(4)), Error);
    const auto refused = [&](auto change) {
      BridgePort wrong = port(4);
      change(wrong);
      CHECK_THROWS_AS(config.add_port(bridge.id, wrong), Error);
    };
    refused([](BridgePort& p) { p.number = PortNo{1}; });
    refused([](BridgePort& p) { p.number = PortNo{0}; });
    refused([](BridgePort& p) { p.number = PortNo{0xff00}; });
    refused([](BridgePort& p) { p.number = kPortNormal; });
    refused([](BridgePort& p) { p.dp = DpPort{101}; });
    refused([](BridgePort& p) { p.dp = DpPort{0}; });
    refused([](BridgePort& p) { p.dp = DpPort{SHUNT_MAX_PORTS}; });
    refused([](BridgePort& p) { p.name = "p2"; });
    refused([](BridgePort& p) { p.vlan.tag = VlanId{4095}; });
    refused([](BridgePort& p) {
      p.vlan.tag = VlanId{5};
      p.vlan.trunks = VlanSet{};
    });
    CHECK_THROWS_AS(config.remove_port(bridge.id, PortNo{4}), Error);
    CHECK_THROWS_AS(config.update_port(bridge.id, port(4)), Error);
    CHECK(config.version() == version);
    CHECK(config.state() == state);
  }

  TEST_CASE("each change makes a new state and leaves the older ones as they were") {
    OneBridge bridge;
    const auto before = bridge.config.state();
    CHECK(before->version == bridge.config.version());
    bridge.config.add_port(bridge.id, {kPortLocal, DpPort{7}, "br0", {}, true});
    const auto after = bridge.config.state();
    CHECK(after->version == before->version + 1);
    CHECK(before->bridges[0]->ports.size() == 3);
    CHECK(before->bridge_of[7] == nullptr);
    REQUIRE(after->bridge_of[7] == after->bridges[0].get());
    CHECK(after->bridges[0]->find(kPortLocal)->dp == DpPort{7});
    CHECK(after->bridges[0]->find(DpPort{7})->number == kPortLocal);
    CHECK(after->bridges[0]->find(DpPort{101})->number == PortNo{1});
    CHECK(after->bridges[0]->find(DpPort{8}) == nullptr);
    CHECK(after->bridges[0]->find(PortNo{8}) == nullptr);
  }

  TEST_CASE("a change of ports concerns all of its bridge's flows, a new name none") {
    OneBridge bridge;
    BridgePort changed = port(2);
    CHECK(bridge.config.update_port(bridge.id, changed).empty());
    changed.name = "renamed";
    CHECK(bridge.config.update_port(bridge.id, changed).empty());
    CHECK(bridge.config.find_bridge("br0")->find(PortNo{2})->name == "renamed");
    changed.up = false;
    CHECK(bridge.config.update_port(bridge.id, changed).all);
    changed.vlan.tag = VlanId{5};
    CHECK(bridge.config.update_port(bridge.id, changed).all);
    const Change removed = bridge.config.remove_port(bridge.id, PortNo{2});
    CHECK(removed.all);
    CHECK(removed.bridge == bridge.id);
    CHECK(removed.version == bridge.config.version());
    bridge.config.remove_port(bridge.id, PortNo{1});
    bridge.config.remove_port(bridge.id, PortNo{3});
    CHECK(bridge.config.del_bridge("br0").all);
    CHECK(bridge.config.state()->bridges.empty());
  }

  TEST_CASE("add replaces the rule of the same match and priority, and its counters start again") {
    OneBridge bridge;
    bridge.add("priority=5,tcp,tp_dst=80,actions=output:1");
    bridge.only_rule()->packets = 7;
    bridge.add("priority=5,tcp,tp_dst=80,actions=output:2");
    CHECK(bridge.rules() == "priority=5,tcp,tp_dst=80 actions=output:2");
    CHECK(bridge.only_rule()->packets == 0);
    bridge.add("priority=6,tcp,tp_dst=80,actions=output:3");
    CHECK(bridge.count() == 2);
  }

  TEST_CASE("modify changes the actions of each rule that it covers, and keeps counters, cookie and age") {
    OneBridge bridge;
    bridge.add("cookie=0x5,priority=5,tcp,tp_dst=80,actions=output:1");
    bridge.only_rule()->packets = 7;
    bridge.only_rule()->bytes = 700;
    bridge.apply({mod(Command::kModify, "tcp,actions=drop")}, kStart + std::chrono::seconds{9});
    CHECK(bridge.rules() == "cookie 5 priority=5,tcp,tp_dst=80 actions=drop");
    CHECK(bridge.only_rule()->packets == 7);
    CHECK(bridge.only_rule()->bytes == 700);
    CHECK(bridge.only_rule()->created == kStart);
    SUBCASE("of none: nothing happens") {
      const auto version = bridge.config.version();
      CHECK(bridge.apply({mod(Command::kModify, "udp,actions=output:1")}).empty());
      CHECK(bridge.apply({mod(Command::kModifyStrict, "priority=6,tcp,tp_dst=80,actions=output:1")}).empty());
      CHECK(bridge.config.version() == version);
      CHECK(bridge.count() == 1);
    }
    SUBCASE("strict: match and priority are the rule's own") {
      bridge.apply({mod(Command::kModifyStrict, "priority=5,tcp,actions=output:3")});
      CHECK(bridge.rules() == "cookie 5 priority=5,tcp,tp_dst=80 actions=drop");
      bridge.apply({mod(Command::kModifyStrict, "priority=5,tcp,tp_dst=80,actions=output:3")});
      CHECK(bridge.rules() == "cookie 5 priority=5,tcp,tp_dst=80 actions=output:3");
    }
    SUBCASE("a cookie selects") {
      bridge.apply({mod(Command::kModify, "cookie=0x4/0x1,tcp,actions=output:3")});
      CHECK(bridge.rules() == "cookie 5 priority=5,tcp,tp_dst=80 actions=drop");
      bridge.apply({mod(Command::kModify, "cookie=0x4/0x4,tcp,actions=output:3")});
      CHECK(bridge.rules() == "cookie 5 priority=5,tcp,tp_dst=80 actions=output:3");
    }
  }

  TEST_CASE("what is credited to a rule after it was modified reaches its successor") {
    OneBridge bridge;
    bridge.add("tcp,actions=output:1");
    const RuleRef first = bridge.only_rule();
    first->packets = 10;
    bridge.apply({mod(Command::kModify, "tcp,actions=output:2")});
    first->packets += 5;
    first->bytes += 300;
    bridge.apply({mod(Command::kModify, "tcp,actions=output:3")});
    bridge.config.collect(bridge.config.version());
    CHECK(bridge.only_rule()->packets == 15);
    CHECK(bridge.only_rule()->bytes == 300);
    bridge.config.collect(bridge.config.version());
    CHECK(bridge.only_rule()->packets == 15);
  }

  TEST_CASE("delete removes the rules that its match covers, by cookie and output port if asked to") {
    OneBridge bridge;
    const auto fill = [&] {
      bridge.apply({mod(Command::kDelete, ""), mod(Command::kAdd, "cookie=1,priority=4,tcp,tp_dst=80,actions=output:1"),
                    mod(Command::kAdd, "cookie=2,priority=3,tcp,nw_dst=10.0.0.0/8,actions=output:2"),
                    mod(Command::kAdd, "cookie=3,priority=2,udp,actions=output:1,output:2"),
                    mod(Command::kAdd, "table=7,cookie=4,priority=1,tcp,actions=drop")});
    };
    const auto left_after = [&](Command command, const std::string& text) {
      fill();
      bridge.apply({mod(command, text)});
      std::string left;
      for (const RuleRef& rule : bridge.config.list(bridge.id, FlowMod{})) left += std::to_string(rule->cookie);
      return left;
    };
    CHECK(left_after(Command::kDelete, "tcp") == "3");
    CHECK(left_after(Command::kDelete, "table=0,tcp") == "34");
    CHECK(left_after(Command::kDelete, "tcp,tp_dst=80") == "234");
    CHECK(left_after(Command::kDelete, "ip,nw_dst=10.0.0.0/9") == "1234");
    CHECK(left_after(Command::kDelete, "ip,nw_dst=10.0.0.0/7") == "134");
    CHECK(left_after(Command::kDelete, "cookie=0x1/0x1") == "24");
    CHECK(left_after(Command::kDelete, "out_port=1") == "24");
    CHECK(left_after(Command::kDelete, "") == "");
    CHECK(left_after(Command::kDeleteStrict, "priority=4,tcp,tp_dst=80") == "234");
    CHECK(left_after(Command::kDeleteStrict, "priority=5,tcp,tp_dst=80") == "1234");
    CHECK(left_after(Command::kDeleteStrict, "priority=4,tcp") == "1234");
    CHECK(left_after(Command::kDeleteStrict, "table=7,priority=1,tcp") == "123");
  }

  TEST_CASE("a list of changes is done in order, or not at all") {
    OneBridge bridge;
    bridge.add("tcp,actions=output:1");
    const auto version = bridge.config.version();
    FlowMod impossible = mod(Command::kAdd, "udp,actions=output:1");
    impossible.table = std::uint8_t{254};
    CHECK_THROWS_AS(bridge.apply({mod(Command::kDelete, ""), mod(Command::kAdd, "udp,actions=output:2"),
                                  mod(Command::kModify, "udp,actions=drop"), impossible}),
                    Error);
    CHECK(bridge.config.version() == version);
    CHECK(bridge.rules() == "tcp actions=output:1");
    bridge.apply({mod(Command::kDelete, ""), mod(Command::kAdd, "udp,actions=output:2"),
                  mod(Command::kModify, "udp,actions=drop")});
    CHECK(bridge.rules() == "udp actions=drop");
  }

  TEST_CASE("a change names the matches that it touched, in the datapath's ports") {
    OneBridge bridge;
    const Change change =
        bridge.apply({mod(Command::kAdd, "in_port=2,tcp,actions=drop"), mod(Command::kAdd, "udp,actions=drop"),
                      mod(Command::kAdd, "in_port=77,actions=drop")});
    CHECK(change.version == bridge.config.version());
    CHECK(change.bridge == bridge.id);
    CHECK_FALSE(change.all);
    REQUIRE(change.matches.size() == 2);  // no packet comes in on port 77
    CHECK(change.matches[0].value.in_port == 102);
    CHECK(change.matches[0].mask.in_port == 0xffffffff);
    CHECK(change.matches[0].value.nw_proto == 6);
    CHECK(change.matches[1].mask.in_port == 0);
    CHECK(bridge.add("udp,actions=output:1").matches.size() == 1);  // replaced: one match
  }

  TEST_CASE("a change of many rules concerns all flows") {
    OneBridge bridge;
    std::vector<FlowMod> mods;
    for (int i = 0; i < 1000; ++i)
      mods.push_back(mod(Command::kAdd, "tcp,tp_dst=" + std::to_string(i) + ",actions=drop"));
    const Change change = bridge.apply(mods);
    CHECK(change.all);
    CHECK(change.matches.empty());
  }

  TEST_CASE("replace makes the rules those of the list; a rule that stays keeps its counters") {
    OneBridge bridge;
    bridge.add("tcp,actions=output:1");
    bridge.add("udp,actions=output:1");
    bridge.add("arp,actions=output:1");
    for (const RuleRef& rule : bridge.config.list(bridge.id, FlowMod{})) rule->packets = 9;
    const std::vector<FlowMod> wanted{mod(Command::kAdd, "tcp,actions=output:1"),
                                      mod(Command::kAdd, "udp,actions=output:2"),
                                      mod(Command::kAdd, "icmp,actions=output:1")};
    const Change change = bridge.config.replace(bridge.id, wanted, kStart);
    CHECK(change.matches.size() == 3);
    CHECK(bridge.count() == 3);
    CHECK(bridge.rules("arp").empty());
    CHECK(bridge.config.list(bridge.id, mod(Command::kDelete, "tcp"))[0]->packets == 9);
    CHECK(bridge.config.list(bridge.id, mod(Command::kDelete, "udp"))[0]->packets == 0);
    const auto version = bridge.config.version();
    CHECK(bridge.config.replace(bridge.id, wanted, kStart).empty());
    CHECK(bridge.config.version() == version);
    CHECK_FALSE(bridge.config.replace(bridge.id, {}, kStart).empty());
    CHECK(bridge.rules().empty());
  }

  TEST_CASE("older states keep their rules until they are collected") {
    OneBridge bridge;
    bridge.add("tcp,actions=output:1");
    const auto before = bridge.config.state();
    bridge.apply({mod(Command::kDelete, "")});
    FlowMask mask{};
    const FlowKey key = mod(Command::kDelete, "tcp").match.value;
    const auto find = [&](const SwitchState& state) {
      return state.bridges[0]->tables[0]->lookup(key, state.version, mask);
    };
    CHECK(find(*before) != nullptr);
    CHECK(find(*bridge.config.state()) == nullptr);
    bridge.config.collect(before->version);
    CHECK(find(*before) != nullptr);
    bridge.config.collect(bridge.config.version());
    CHECK(find(*bridge.config.state()) == nullptr);
  }
}
