// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/trace.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "bpf/datapath/parse.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/rule_text.h"
#include "user/pipeline/trace_fields.h"
#include "user/pipeline/trace_frame.h"

using namespace shunt;

namespace {

constexpr TimePoint kStart{std::chrono::hours{1}};

// Ports 1 to 4, named p1 to p4: datapath ports 11 to 14.
struct Bridge {
  Switch config;
  BridgeId id = config.add_bridge("br0");
  PortNames names;

  Bridge() {
    std::map<std::string, PortNo> ports;
    for (std::uint32_t i = 1; i <= 4; ++i) {
      const std::string name = "p" + std::to_string(i);
      BridgePort port;
      port.number = PortNo{i};
      port.dp = DpPort{10 + i};
      port.name = name;
      config.add_port(id, port);
      ports[name] = PortNo{i};
    }
    names = PortNames{ports};
    const FlowMod all = parse_flow("", FlowMod::Command::kDelete, names);
    config.apply(id, {&all, 1}, kStart);
  }
  void add(const std::string& rules) {
    const std::vector<FlowMod> mods = parse_flows(rules, FlowMod::Command::kAdd, names);
    config.apply(id, mods, kStart);
  }
  void add_group(const std::string& text) {
    const GroupMod mod = parse_group(text, GroupMod::Command::kAdd, names);
    config.apply_group(id, {&mod, 1}, kStart);
  }
  // `text` is a packet's fields, in_port among them.
  [[nodiscard]] FlowKey key(const std::string& text) const {
    const FlowMod given = parse_flow(text, FlowMod::Command::kDelete, names);
    FlowKey made = complete_key(flow_part(given.match.value), flow_part(given.match.mask));
    made.in_port += 10;
    return made;
  }
  [[nodiscard]] Trace trace(const std::string& text) const {
    return trace_packet(*config.state(), key(text), nullptr, names);
  }
};

std::string steps(const Trace& trace) {
  std::string text;
  for (const TraceStep& step : trace.steps) text += std::string(step.depth, '>') + step.text + "\n";
  return text;
}

bool has_step(const Trace& trace, TraceStep::Kind kind, const std::string& text) {
  return std::ranges::any_of(trace.steps,
                             [&](const TraceStep& step) { return step.kind == kind && step.text == text; });
}

using Kind = TraceStep::Kind;

}  // namespace

TEST_SUITE("trace") {
  TEST_CASE("rules, actions and changes are told table by table") {
    Bridge bridge;
    bridge.add(
        "priority=10,ip,nw_dst=10.0.0.2,cookie=0x5,actions=dec_ttl,mod_dl_src:02:00:00:00:00:99,resubmit(,1)\n"
        "table=1,priority=7,ip,actions=output:p2\n");
    const Trace trace = bridge.trace("in_port=p1,tcp,nw_dst=10.0.0.2,tp_dst=80");
    INFO(steps(trace));
    CHECK(has_step(trace, Kind::kTable, "table 0"));
    CHECK(has_step(trace, Kind::kRule, "priority=10,ip,nw_dst=10.0.0.2, cookie=0x5"));
    CHECK(has_step(trace, Kind::kAction, "dec_ttl"));
    CHECK(has_step(trace, Kind::kChange, "nw_ttl 64 -> 63"));
    CHECK(has_step(trace, Kind::kChange, "dl_src 00:00:00:00:00:00 -> 02:00:00:00:00:99"));
    CHECK(has_step(trace, Kind::kTable, "table 1"));
    CHECK(has_step(trace, Kind::kRule, "priority=7,ip, cookie=0x0"));
    const auto table_1 =
        std::ranges::find_if(trace.steps, [](const TraceStep& step) { return step.text == "table 1"; });
    REQUIRE(table_1 != trace.steps.end());
    CHECK(table_1->depth == 1);
    CHECK(trace.translation.rules.size() == 2);
    CHECK_FALSE(trace.near_miss);
  }

  TEST_CASE("nothing has changed before the first action") {
    Bridge bridge;
    bridge.add("actions=p2\n");
    CHECK(std::ranges::count(bridge.trace("in_port=p1,ip").steps, Kind::kChange, &TraceStep::kind) == 0);
  }

  TEST_CASE("a trace translates as the datapath does") {
    Bridge bridge;
    bridge.add("ip,actions=push_vlan:0x8100,set_field:4196->vlan_vid,p2,pop_vlan,p3\nactions=drop\n");
    for (const char* packet : {"in_port=p1,tcp,nw_dst=10.0.0.2", "in_port=p2,arp", "in_port=p3,ip,dl_vlan=5"}) {
      const Trace trace = bridge.trace(packet);
      const Translation made = translate(*bridge.config.state(), bridge.key(packet));
      CHECK(equal(trace.translation.mask, made.mask));
      REQUIRE(trace.translation.actions.size() == made.actions.size());
      CHECK(
          std::equal(made.actions.begin(), made.actions.end(), trace.translation.actions.begin(),
                     [](const shunt_action& a, const shunt_action& b) { return std::memcmp(&a, &b, sizeof a) == 0; }));
      CHECK(trace.translation.drop == made.drop);
    }
  }

  TEST_CASE("what a clone changes ends with it") {
    Bridge bridge;
    bridge.add("ip,actions=clone(mod_nw_dst:9.9.9.9,p2),mod_nw_tos:32,p3\n");
    const Trace trace = bridge.trace("in_port=p1,ip,nw_dst=10.0.0.2");
    INFO(steps(trace));
    CHECK(has_step(trace, Kind::kChange, "nw_dst 10.0.0.2 -> 9.9.9.9"));
    CHECK_FALSE(has_step(trace, Kind::kChange, "nw_dst 9.9.9.9 -> 10.0.0.2"));
    CHECK(has_step(trace, Kind::kChange, "nw_tos 0 -> 32"));
  }

  TEST_CASE("groups show their type and the bucket that was chosen") {
    Bridge bridge;
    bridge.add_group(
        "group_id=4,type=ff,bucket=bucket_id:1,watch_port:p2,actions=p2,bucket=bucket_id:2,watch_port:p3,actions=p3");
    bridge.add("actions=group:4\n");
    const Trace trace = bridge.trace("in_port=p1,ip");
    INFO(steps(trace));
    CHECK(has_step(trace, Kind::kGroup, "group 4 (ff), bucket 1: output:p2"));
    CHECK(trace.translation.actions.size() == 1);
  }

  TEST_CASE("what normal decided is told, and what it learns") {
    Bridge bridge;
    bridge.add("actions=normal\n");
    const Trace trace = bridge.trace("in_port=p1,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,ip");
    INFO(steps(trace));
    CHECK(has_step(trace, Kind::kNote, "learns 02:00:00:00:00:01 in VLAN 0 on port p1"));
    CHECK(std::ranges::count(trace.steps, Kind::kNote, &TraceStep::kind) >= 2);
  }

  TEST_CASE("rules that the packet makes others learn are told") {
    Bridge bridge;
    bridge.add("actions=learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),p2\n");
    const Trace trace = bridge.trace("in_port=p1,dl_src=02:00:00:00:00:01,ip");
    INFO(steps(trace));
    CHECK(std::ranges::any_of(trace.steps, [](const TraceStep& step) {
      return step.kind == Kind::kNote && step.text.starts_with("learns the rule table=1") &&
             step.text.find("dl_dst=02:00:00:00:00:01") != std::string::npos;
    }));
  }
}

TEST_SUITE("trace: the nearest rule") {
  TEST_CASE("the rule that differs in the fewest fields is named with what differs") {
    Bridge bridge;
    bridge.add(
        "priority=100,tcp,nw_dst=10.0.1.0/24,tp_dst=80,actions=p2\n"
        "priority=100,tcp,nw_dst=10.0.1.0/24,nw_src=9.9.9.9,tp_dst=443,actions=p3\n");
    const Trace trace = bridge.trace("in_port=p1,tcp,nw_dst=10.0.0.9,tp_dst=80");
    CHECK(trace.translation.drop == SHUNT_DROP_TABLE_MISS);
    REQUIRE(trace.near_miss);
    CHECK(trace.near_miss->rule->actions == ActionList{OutputAction{PortNo{2}}});
    CHECK(trace.near_miss->differences == std::vector<std::string>{"nw_dst is 10.0.0.9, the rule wants 10.0.1.0/24"});
  }

  TEST_CASE("among rules with as many fields the one with fewer bits, then the higher priority, is nearer") {
    Bridge bridge;
    bridge.add("priority=5,udp,tp_dst=81,actions=p2\npriority=9,udp,tp_dst=127,actions=p3\n");
    CHECK(bridge.trace("in_port=p1,udp,tp_dst=80").near_miss->rule->priority == 5);
    bridge.add("priority=8,udp,tp_dst=82,actions=p4\n");
    CHECK(bridge.trace("in_port=p1,udp,tp_dst=80").near_miss->rule->priority == 8);
  }

  TEST_CASE("rules that drop, and rules in another's shadow, would not have let it pass") {
    Bridge bridge;
    bridge.add(
        "priority=200,ip,nw_src=10.0.0.5,actions=drop\n"
        "priority=100,tcp,tp_dst=80,actions=p2\n"
        "priority=50,ip,nw_src=10.0.0.6,actions=drop\n"
        "priority=0,actions=p3\n");
    const Trace trace = bridge.trace("in_port=p1,tcp,nw_src=10.0.0.5,tp_dst=80");
    CHECK(trace.translation.drop == SHUNT_DROP_RULE);
    // Whatever its other fields, a packet from 10.0.0.5 meets the first rule.
    CHECK_FALSE(trace.near_miss);
  }

  TEST_CASE("a drop rule's packet is told the rule above it that it nearly met") {
    Bridge bridge;
    bridge.add("priority=100,tcp,tp_dst=80,actions=p2\npriority=10,tcp,actions=drop\npriority=0,actions=p3\n");
    const Trace trace = bridge.trace("in_port=p1,tcp,tp_dst=81");
    REQUIRE(trace.near_miss);
    CHECK(trace.near_miss->rule->priority == 100);
    CHECK(trace.near_miss->differences == std::vector<std::string>{"tp_dst is 81, the rule wants 80"});
  }

  TEST_CASE("a rule whose way on ends in a drop is passed over") {
    Bridge bridge;
    bridge.add(
        "priority=9,udp,tp_dst=81,actions=resubmit(,1)\n"
        "priority=5,udp,tp_dst=83,actions=p2\n"
        "table=1,actions=drop\n");
    CHECK(bridge.trace("in_port=p1,udp,tp_dst=80").near_miss->rule->priority == 5);
  }

  TEST_CASE("what an action wrote on the way is compared as the table met it") {
    Bridge bridge;
    bridge.add(
        "actions=load:5->reg0,resubmit(,1)\n"
        "table=1,reg0=6,actions=p2\n");
    const Trace trace = bridge.trace("in_port=p1,ip");
    REQUIRE(trace.near_miss);
    CHECK(trace.near_miss->table == 1);
    CHECK(trace.near_miss->differences == std::vector<std::string>{"reg0 is 0x5, the rule wants 0x6"});
  }

  TEST_CASE("fields that the packet has not got are said to be missing") {
    Bridge bridge;
    bridge.add("dl_vlan=5,tcp,tp_dst=80,actions=p2\n");
    const Trace trace = bridge.trace("in_port=p1,udp,tp_dst=80");
    REQUIRE(trace.near_miss);
    CHECK(trace.near_miss->differences ==
          std::vector<std::string>{"vlan is none, the rule wants 5", "nw_proto is 17, the rule wants 6"});
  }

  TEST_CASE("a packet from another port would have passed") {
    Bridge bridge;
    bridge.add("in_port=p3,actions=p2\n");
    const Trace trace = bridge.trace("in_port=p1,arp");
    REQUIRE(trace.near_miss);
    CHECK(trace.near_miss->differences == std::vector<std::string>{"in_port is p1, the rule wants p3"});
  }
}

TEST_SUITE("trace: frames") {
  TEST_CASE("a composed frame has the key it was made from") {
    Bridge bridge;
    for (const char* text :
         {"in_port=p1", "in_port=p1,dl_type=0x88cc,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02",
          "in_port=p1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=5,tp_dst=80,nw_tos=32,nw_ttl=9,tcp_flags=syn|ack",
          "in_port=p1,udp,dl_vlan=5,dl_vlan_pcp=3,tp_dst=53", "in_port=p1,icmp,icmp_type=8,icmp_code=1",
          "in_port=p1,tcp6,ipv6_src=fe80::1,ipv6_dst=fe80::2,ipv6_label=7,tp_dst=80", "in_port=p1,sctp,tp_dst=7",
          "in_port=p1,icmp6,icmp_type=135,nd_target=fe80::9,nd_sll=02:00:00:00:00:07",
          "in_port=p1,arp,arp_op=2,arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_sha=02:00:00:00:00:01",
          "in_port=p1,mpls,mpls_label=100,mpls_tc=3", "in_port=p1,udp,ip_frag=later", "in_port=p1,tcp,ip_frag=first"}) {
      const FlowKey key = bridge.key(text);
      std::vector<std::uint8_t> bytes = compose_frame(key);
      CHECK(bytes.size() >= SHUNT_MIN_FRAME);
      shunt_frame frame{bytes.data(), static_cast<__u32>(bytes.size()), 0, 0};
      FlowKey parsed{};
      shunt_headers headers{};
      REQUIRE(shunt_parse(&frame, static_cast<__u32>(bytes.size()), key.in_port,
                          SHUNT_FEATURE_ALL & ~SHUNT_FEATURE_EXTHDR, &parsed, &headers) == SHUNT_DROP_NONE);
      INFO(std::string{text});
      CHECK(equal(parsed, key));
    }
  }
}
