// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/switch.h"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "user/base/error.h"
#include "user/base/of_error.h"
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
      FlowMod shown;
      shown.priority = rule->priority;
      shown.match = rule->match;
      shown.actions = rule->actions;
      texts += format_flow_spec(shown);
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
    CHECK(is_zero(rules[0]->match.mask));
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

  TEST_CASE("a change of a port concerns whoever looked at it, new VLANs all of its bridge's flows, a new name none") {
    OneBridge bridge;
    const auto tag = [](PortNo number) { return tag_of(DependencyKind::kPort, number.value); };
    BridgePort changed = port(2);
    CHECK(bridge.config.update_port(bridge.id, changed).empty());
    changed.name = "renamed";
    CHECK(bridge.config.update_port(bridge.id, changed).empty());
    CHECK(bridge.config.find_bridge("br0")->find(PortNo{2})->name == "renamed");
    for (const auto& flip : {&BridgePort::up, &BridgePort::flood, &BridgePort::receive, &BridgePort::forward,
                             &BridgePort::packet_in, &BridgePort::protected_port}) {
      changed.*flip = !(changed.*flip);
      const Change change = bridge.config.update_port(bridge.id, changed);
      CHECK_FALSE(change.all);
      CHECK(change.tags == (tag(PortNo{2}) | tag(kPortAll)));
    }
    changed.vlan = VlanConfig::access(VlanId{5});
    CHECK(bridge.config.update_port(bridge.id, changed).all);
    const Change removed = bridge.config.remove_port(bridge.id, PortNo{2});
    CHECK_FALSE(removed.all);
    CHECK(removed.tags == (tag(PortNo{2}) | tag(kPortAll)));
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
    bridge.only_rule()->counters.add(7, 700, kStart);
    bridge.add("priority=5,tcp,tp_dst=80,actions=output:2");
    CHECK(bridge.rules() == "priority=5,tcp,tp_dst=80 actions=output:2");
    CHECK(bridge.only_rule()->counters.packets() == 0);
    bridge.add("priority=6,tcp,tp_dst=80,actions=output:3");
    CHECK(bridge.count() == 2);
  }

  TEST_CASE("modify changes the actions of each rule that it covers, and keeps counters, cookie and age") {
    OneBridge bridge;
    bridge.add("cookie=0x5,priority=5,tcp,tp_dst=80,actions=output:1");
    bridge.only_rule()->counters.add(7, 700, kStart);
    bridge.apply({mod(Command::kModify, "tcp,actions=drop")}, kStart + std::chrono::seconds{9});
    CHECK(bridge.rules() == "cookie 5 priority=5,tcp,tp_dst=80 actions=drop");
    CHECK(bridge.only_rule()->counters.packets() == 7);
    CHECK(bridge.only_rule()->counters.bytes() == 700);
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
    first->counters.add(10, 0, kStart);
    bridge.apply({mod(Command::kModify, "tcp,actions=output:2")});
    first->counters.add(5, 300, kStart);
    bridge.apply({mod(Command::kModify, "tcp,actions=output:3")});
    bridge.config.collect(bridge.config.version());
    CHECK(bridge.only_rule()->counters.packets() == 15);
    CHECK(bridge.only_rule()->counters.bytes() == 300);
    bridge.config.collect(bridge.config.version());
    CHECK(bridge.only_rule()->counters.packets() == 15);
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
    CHECK(left_after(Command::kDeleteStrict, "priority=1,tcp") == "123");  // of no table: of all, as Open vSwitch
  }

  TEST_CASE("modify of no table is of all, and adds to table 0 where it is to") {
    OneBridge bridge;
    bridge.apply({mod(Command::kAdd, "priority=2,tcp,actions=drop"), mod(Command::kAdd, "table=7,tcp,actions=drop")});
    bridge.apply({mod(Command::kModify, "tcp,actions=output:1")});
    CHECK(bridge.rules("out_port=1").find("; ") != std::string::npos);
    bridge.apply({mod(Command::kModifyStrict, "priority=2,tcp,actions=output:2")});
    CHECK(bridge.rules("out_port=1") == "tcp actions=output:1");
    FlowMod missing = mod(Command::kModify, "udp,actions=output:3");
    missing.modify_adds = true;
    bridge.apply({missing});
    CHECK(bridge.rules("table=0,udp") == "udp actions=output:3");
    // Where a table is no later one, that is so for the rules that are there.
    CHECK_THROWS_AS(bridge.apply({mod(Command::kModify, "tcp,actions=goto_table:5")}), OfError);
  }

  TEST_CASE("with check_overlap a rule is refused that a packet could meet as well as one of its priority") {
    OneBridge bridge;
    bridge.add("priority=5,tcp,tp_dst=80,actions=output:1");
    const auto code = [&](const std::string& text) -> std::optional<OfErrorCode> {
      FlowMod checked = mod(Command::kAdd, text);
      checked.flags |= kCheckOverlap;
      checked.line = 4;
      try {
        bridge.apply({checked});
      } catch (const OfError& error) {
        CHECK(error.line() == 4);
        return error.code();
      }
      return std::nullopt;
    };
    CHECK(code("priority=5,ip,nw_src=10.0.0.1,actions=drop") == OfErrorCode::kOverlap);
    CHECK(code("priority=5,actions=drop") == OfErrorCode::kOverlap);
    CHECK(code("priority=6,ip,nw_src=10.0.0.1,actions=drop") == std::nullopt);
    CHECK(code("priority=5,udp,actions=drop") == std::nullopt);
    CHECK(code("table=1,priority=5,tcp,actions=drop") == std::nullopt);
    CHECK(code("priority=5,tcp,tp_dst=80,actions=drop") == std::nullopt);  // takes its place
    bridge.add("priority=5,ip,nw_src=10.0.0.1,actions=drop");              // nobody asked
    // Rules of the same request count, and those that it deleted do not.
    FlowMod first = mod(Command::kAdd, "priority=9,tcp,tp_src=1,actions=drop");
    FlowMod second = mod(Command::kAdd, "priority=9,tcp,tp_dst=2,actions=drop");
    first.flags = second.flags = kCheckOverlap;
    const auto version = bridge.config.version();
    CHECK_THROWS_AS(bridge.apply({first, second}), OfError);
    CHECK(bridge.config.version() == version);
    bridge.apply({first, mod(Command::kDelete, "tcp,tp_src=1"), second});
    CHECK(bridge.rules("tcp,tp_dst=2") == "priority=9,tcp,tp_dst=2 actions=drop");
  }

  TEST_CASE("modify gives a new cookie where it is told to, and counts anew with reset_counts; the rest stays") {
    OneBridge bridge;
    FlowMod rule = mod(Command::kAdd, "cookie=0x5,priority=5,tcp,actions=output:1");
    rule.importance = 3;
    rule.flags = kSendFlowRemoved;
    rule.idle_timeout = 30;
    bridge.apply({rule});
    bridge.only_rule()->counters.add(7, 700, kStart);
    FlowMod change = mod(Command::kModify, "tcp,actions=output:1");
    change.flags = 0;
    change.importance = 9;
    change.idle_timeout = 1;
    change.new_cookie = 6;
    bridge.apply({change});
    CHECK(bridge.only_rule()->cookie == 6);
    CHECK(bridge.only_rule()->importance == 3);
    CHECK(bridge.only_rule()->flags == kSendFlowRemoved);
    CHECK(bridge.only_rule()->idle_timeout == 30);
    CHECK(bridge.only_rule()->counters.packets() == 7);
    const RuleRef before = bridge.only_rule();
    change.flags = kResetCounts;
    bridge.apply({change});
    before->counters.add(1, 100, kStart);  // by a flow of the older version
    CHECK(bridge.only_rule()->counters.packets() == 0);
    CHECK(bridge.only_rule()->cookie == 6);
    // It was in use: as if it never had been, its idle timeout would be long over.
    bridge.apply({change}, kStart + std::chrono::minutes{9});
    CHECK(bridge.config.expire(kStart + std::chrono::minutes{9} + std::chrono::seconds{29}).removed.empty());
    CHECK(bridge.config.expire(kStart + std::chrono::minutes{9} + std::chrono::seconds{31}).removed.size() == 1);
  }

  TEST_CASE("rules and groups in one list: each finds what is before it, and a group takes the rules before its end") {
    OneBridge bridge;
    const auto group = [](GroupMod::Command command, std::uint32_t id) {
      GroupMod made;
      made.command = command;
      made.group = id;
      return made;
    };
    const auto apply = [&](const std::vector<Modification>& mods) {
      return bridge.config.apply(bridge.id, mods, kStart);
    };
    using Group = GroupMod::Command;
    apply({group(Group::kAdd, 1), mod(Command::kAdd, "priority=1,actions=group:1"), group(Group::kAdd, 2),
           mod(Command::kAdd, "priority=2,actions=group:2,group:2")});
    // Of the groups that go, the rules that were there and those of this list; one that comes again is another.
    const Change change = apply({mod(Command::kAdd, "priority=3,actions=group:1"), group(Group::kDelete, 1),
                                 mod(Command::kAdd, "priority=1,actions=output:1"), group(Group::kAdd, 1),
                                 mod(Command::kAdd, "priority=4,actions=group:1"), group(Group::kDelete, 2)});
    CHECK(bridge.rules() == "priority=4 actions=group:1; priority=1 actions=output:1");
    CHECK(change.removed.size() == 2);
    CHECK(bridge.config.group_references(bridge.id) == std::map<std::uint32_t, std::uint32_t>{{1, 1}});
    CHECK_THROWS_AS(apply({group(Group::kDelete, 1), mod(Command::kAdd, "actions=group:1")}), OfError);
    CHECK(bridge.rules() == "priority=4 actions=group:1; priority=1 actions=output:1");
  }

  // Each run of groups between rules copied all groups, and kept the copy: several gigabytes.
  TEST_CASE("a list of many rules and groups in turn is done in no time") {
    OneBridge bridge;
    std::vector<Modification> mods;
    for (std::uint16_t i = 0; i < 10'000; ++i) {
      GroupMod group;
      group.group = i;
      mods.emplace_back(group);
      FlowMod rule = mod(Command::kAdd, "actions=drop");
      rule.priority = i;
      mods.emplace_back(rule);
    }
    const auto start = Clock::now();
    bridge.config.apply(bridge.id, mods, kStart);
    CHECK(bridge.count() == 10'000);
    CHECK(Clock::now() - start < std::chrono::seconds{30});
  }

  TEST_CASE("loose changes of a list that would look at too many rules are refused") {
    OneBridge bridge;
    std::vector<FlowMod> rules;
    for (std::uint16_t i = 0; i < 10'000; ++i) {
      rules.push_back(mod(Command::kAdd, "actions=drop"));
      rules.back().priority = i;
    }
    bridge.apply(rules);
    std::vector<Modification> mods(1000, mod(Command::kDelete, "cookie=1/-1"));
    CHECK(bridge.config.apply(bridge.id, mods, kStart).empty());
    mods.resize(2001, mods[0]);
    CHECK_THROWS_AS(bridge.config.apply(bridge.id, mods, kStart), OfError);
    CHECK(bridge.count() == 10'000);
  }

  TEST_CASE("deletion selects by the group that a rule forwards to, wherever it says so") {
    OneBridge bridge;
    for (const std::uint32_t id : {1u, 2u}) {
      GroupMod group;
      group.group = id;
      bridge.config.apply_group(bridge.id, group, kStart);
    }
    bridge.apply({mod(Command::kAdd, "priority=1,actions=group:1"),
                  mod(Command::kAdd, "priority=2,actions=write_actions(group:1)"),
                  mod(Command::kAdd, "priority=3,actions=clone(output:3,group:2)")});
    FlowMod filter = mod(Command::kDelete, "");
    filter.out_group = 1;
    CHECK(bridge.config.list(bridge.id, filter).size() == 2);
    const Change change = bridge.apply({filter});
    CHECK(change.removed.size() == 2);
    CHECK(change.removed[0].reason == RemovedReason::kDelete);
    CHECK(bridge.count() == 1);
    filter.out_group.reset();
    filter.out_port = PortNo{3};
    bridge.apply({filter});
    CHECK(bridge.count() == 0);
  }

  TEST_CASE("who was removed is told, but for rules that another took the place of or that were never seen") {
    OneBridge bridge;
    bridge.add("tcp,actions=output:1");
    CHECK(bridge.add("tcp,actions=output:2").removed.empty());
    CHECK(bridge.apply({mod(Command::kModify, "tcp,actions=drop")}).removed.empty());
    const Change change = bridge.apply({mod(Command::kAdd, "udp,actions=drop"), mod(Command::kDelete, "")});
    REQUIRE(change.removed.size() == 1);
    CHECK(change.removed[0].rule->match.value.nw_proto == 6);
  }

  TEST_CASE("replace finds room in a full table, and tells rules apart by all that they are") {
    OneBridge bridge;
    TableConfig settings;
    settings.max_rules = 2;
    bridge.config.set_table(bridge.id, 0, settings);
    bridge.apply({mod(Command::kAdd, "tcp,actions=output:1"), mod(Command::kAdd, "udp,actions=output:1")});
    std::vector<FlowMod> wanted{mod(Command::kAdd, "arp,actions=output:1"), mod(Command::kAdd, "udp,actions=output:1")};
    CHECK(bridge.config.replace(bridge.id, wanted, kStart).removed.size() == 1);
    CHECK(bridge.count() == 2);
    wanted[1].hard_timeout = 5;
    CHECK_FALSE(bridge.config.replace(bridge.id, wanted, kStart).empty());
    CHECK(bridge.config.replace(bridge.id, wanted, kStart).empty());
    wanted.push_back(mod(Command::kAdd, "arp,actions=drop"));  // the last one said counts
    bridge.config.replace(bridge.id, wanted, kStart);
    CHECK(bridge.rules("arp") == "arp actions=drop");
    wanted.push_back(mod(Command::kAdd, "sctp,actions=drop"));
    CHECK_THROWS_AS(bridge.config.replace(bridge.id, wanted, kStart), OfError);
    CHECK(bridge.count() == 2);
  }

  TEST_CASE("who is asked before a change is published may forbid it: then nothing has changed") {
    OneBridge bridge;
    bridge.add("priority=7,actions=output:1");
    const std::string before = bridge.rules();
    const std::uint64_t version = bridge.config.version();
    std::vector<Change> asked;
    bool forbidden = true;
    bridge.config.before_publishing([&](const Change& change) {
      asked.push_back(change);
      if (forbidden) throw 1;
    });
    GroupMod group;
    group.group = 1;
    BridgePort access = port(1);
    access.vlan = VlanConfig::access(VlanId{5});
    CHECK_THROWS_AS(bridge.apply({mod(Command::kAdd, "priority=9,actions=output:2"),
                                  mod(Command::kModify, "actions=drop")}), int);
    CHECK_THROWS_AS(bridge.config.replace(bridge.id, {}, kStart), int);
    CHECK_THROWS_AS(bridge.config.apply_group(bridge.id, group, kStart), int);
    CHECK_THROWS_AS(bridge.config.update_port(bridge.id, access), int);
    CHECK(asked.size() == 4);
    CHECK(bridge.rules() == before);
    CHECK(bridge.config.version() == version);
    CHECK(bridge.config.find_bridge(bridge.id)->groups->empty());
    CHECK(bridge.config.find_bridge(bridge.id)->find(PortNo{1})->vlan == port(1).vlan);
    forbidden = false;
    const Change change = bridge.add("priority=9,actions=output:2");
    CHECK(change.version == bridge.config.version());
    CHECK(asked.back().version == change.version);
    CHECK(asked.back().rules.size() == change.rules.size());
    CHECK(bridge.count() == 2);
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
    REQUIRE(change.rules.size() == 3);
    CHECK(change.rules[0].table == 0);
    CHECK(change.rules[0].match.value.in_port == 102);
    CHECK(change.rules[0].match.mask.in_port == 0xffffffff);
    CHECK(change.rules[0].match.value.nw_proto == 6);
    CHECK(change.rules[1].match.mask.in_port == 0);
    // No packet comes in there; one whose in_port is rewritten may meet the rule all the same.
    CHECK(change.rules[2].match.value.in_port == 0);
    CHECK(change.rules[2].match.mask.in_port == 0xffffffff);
    CHECK(bridge.add("udp,actions=output:1").rules.size() == 1);  // replaced: one match
  }

  TEST_CASE("a change of many rules concerns all flows") {
    OneBridge bridge;
    std::vector<FlowMod> mods;
    for (int i = 0; i < 1000; ++i)
      mods.push_back(mod(Command::kAdd, "tcp,tp_dst=" + std::to_string(i) + ",actions=drop"));
    const Change change = bridge.apply(mods);
    CHECK(change.all);
    CHECK(change.rules.empty());
  }

  TEST_CASE("replace makes the rules those of the list; a rule that stays keeps its counters") {
    OneBridge bridge;
    bridge.add("tcp,actions=output:1");
    bridge.add("udp,actions=output:1");
    bridge.add("arp,actions=output:1");
    for (const RuleRef& rule : bridge.config.list(bridge.id, FlowMod{})) rule->counters.add(9, 0, kStart);
    const std::vector<FlowMod> wanted{mod(Command::kAdd, "tcp,actions=output:1"),
                                      mod(Command::kAdd, "udp,actions=output:2"),
                                      mod(Command::kAdd, "icmp,actions=output:1")};
    const Change change = bridge.config.replace(bridge.id, wanted, kStart);
    CHECK(change.rules.size() == 3);
    CHECK(bridge.count() == 3);
    CHECK(bridge.rules("arp").empty());
    CHECK(bridge.config.list(bridge.id, mod(Command::kDelete, "tcp"))[0]->counters.packets() == 9);
    CHECK(bridge.config.list(bridge.id, mod(Command::kDelete, "udp"))[0]->counters.packets() == 0);
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
    PipelineMask mask{};
    const PipelineKey key = mod(Command::kDelete, "tcp").match.value;
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
