// SPDX-License-Identifier: Apache-2.0
// What is encoded is decoded to the same: matches and rules of pipelines made by chance, in each version.
#include <doctest/doctest.h>

#include <random>

#include "tests/support/random_pipeline.h"
#include "user/openflow/codec/action_codec.h"
#include "user/openflow/codec/flow_codec.h"
#include "user/openflow/codec/group_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/meter_codec.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;
using namespace shunt::openflow;

namespace {

// The fields of a rule's match, as a controller would have to name them: with what they hang on.
Match with_prerequisites(Match match) {
  const FieldBits address = read_field(field(FieldId::kIpDst), match.mask);
  if (match.mask.nw_proto != 0 || match.mask.nw_ttl != 0 || address != 0) {
    match.mask.eth_type = be16{0xffff};
    match.value.eth_type = be16{0x0800};
  }
  // Chance may want a VID of packets without a tag.
  if ((match.mask.vlan[0].tci.host() & ~match.value.vlan[0].tci.host() & SHUNT_VLAN_PRESENT) != 0)
    match.value.vlan[0].tci = be16{0};
  match.mask.vlan[1] = {};
  match.value.vlan[1] = {};
  if (match.mask.nw_ttl != 0) match.mask.nw_ttl = 0xff;
  return match;
}

// Actions that every version can say, as they come back.
ActionList sayable(const ActionList& actions, Version version) {
  ActionList kept;
  for (const Action& action : actions) {
    if (version == Version::k10) {
      const bool no_form =
          std::holds_alternative<PushVlanAction>(action) || std::holds_alternative<WriteActionsAction>(action) ||
          std::holds_alternative<ClearActionsAction>(action) || std::holds_alternative<GotoTableAction>(action);
      if (no_form) continue;
    } else if (std::holds_alternative<SetVlanVidAction>(action) || std::holds_alternative<SetVlanPcpAction>(action)) {
      continue;  // two actions there
    }
    kept.push_back(action);
  }
  if (kept.empty()) kept.emplace_back(DropAction{});
  return kept;
}

template <typename Encode>
std::vector<std::uint8_t> written(Encode&& encode) {
  Writer out;
  encode(out);
  return out.release();
}

}  // namespace

TEST_SUITE("openflow codec: round trip") {
  TEST_CASE("a match comes back as it was, in OXM and in NXM") {
    std::mt19937 random{1};
    test::RandomPipeline pipeline{[&](unsigned n) { return static_cast<unsigned>(random() % n); }};
    for (int i = 0; i < 5000; ++i) {
      const Match match = with_prerequisites(pipeline.match());
      INFO(format_match(match));
      for (const Version version : kVersions) {
        const auto bytes = written([&](Writer& out) { encode_fields(out, match, version); });
        CHECK(decode_fields(bytes) == match);
        if (version == Version::k10) continue;
        const auto padded = written([&](Writer& out) { encode_match(out, match, version); });
        CHECK(padded.size() % 8 == 0);
        Reader in{padded};
        CHECK(decode_match(in) == match);
        CHECK(in.done());
      }
    }
  }

  TEST_CASE("actions come back as they were, each that the text knows") {
    struct Case {
      const char* match;
      const char* actions;
    };
    static constexpr Case kCases[] = {
        {"", "output:1,output:0xfffffffe,IN_PORT,NORMAL,FLOOD,ALL,controller:64,controller"},
        {"tcp", "mod_nw_src:10.0.0.1,mod_nw_dst:10.0.0.2,mod_nw_ttl:9,dec_ttl,output:2"},
        {"tcp", "set_field:10.0.0.0/8->ip_src,set_field:1->nw_ecn,load:5->NXM_NX_REG3[4..9],output:2"},
        {"tcp6", "set_field:fe80::/16->ipv6_src,set_field:::1->ipv6_dst,set_field:7->ipv6_label,output:2"},
        {"dl_vlan=5", "set_field:4->vlan_pcp,set_field:9->vlan_vid,pop_vlan,output:3"},
        {"", "push_vlan:0x88a8,output:3"},
        {"mpls", "set_mpls_label:5,set_mpls_tc:3,set_mpls_ttl:7,dec_mpls_ttl,pop_mpls:0x800,output:1"},
        {"ip", "push_mpls:0x8847,set_mpls_label:9,output:1"},
        {"arp",
         "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],"
         "load:0x0a000001->NXM_OF_ARP_SPA[],IN_PORT"},
        {"", "resubmit(,5),resubmit(3,),resubmit(3,7),exit"},
        {"", "push:NXM_OF_ETH_SRC[],pop:NXM_OF_ETH_DST[],push:NXM_NX_REG2[0..4],pop:NXM_NX_REG3[5..9]"},
        {"", "set_queue:7,output:1,pop_queue,output:2"},
        {"",
         "load:0x123456789->OXM_OF_METADATA[],set_field:0x55->tun_id,set_field:1->pkt_mark,load:3->OXM_OF_PKT_REG2[]"},
        {"", "set_field:0x12345678901234567890/0xffffffffff00ffffffff->xxreg1"},
        {"", "output:NXM_NX_REG1[0..15],output(port=3,max_len=100)"},
        {"", "clone(mod_dl_src:02:00:00:00:00:01,output:3),output:4"},
        {"", "controller(reason=no_match,max_len=40,id=9),controller(userdata=01.02.03,pause,meter_id=7)"},
        {"", "multipath(symmetric_l3l4+udp,50,hrw,12,9,NXM_NX_REG0[0..5])"},
        {"",
         "bundle(eth_src,0,hrw,ofport,members:4,8),bundle_load(symmetric_l4,7,active_backup,ofport,NXM_NX_REG4[0..15],"
         "members:1,2)"},
        {"tcp", "fin_timeout(idle_timeout=5,hard_timeout=9),check_pkt_larger(1400)->NXM_NX_REG0[3],output:1"},
        {"",
         "sample(probability=12,collector_set_id=1,obs_domain_id=2,obs_point_id=3),"
         "sample(probability=13,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=5,egress)"},
        {"", "conjunction(5,1/3),conjunction(6,2/2)"},
        {"",
         "learn(table=7,idle_timeout=3,hard_timeout=4,priority=5,cookie=0x6,fin_idle_timeout=1,fin_hard_timeout=2,"
         "send_flow_rem,delete_learned,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],eth_type=0x800,"
         "load:NXM_NX_REG1[0..3]->NXM_NX_REG2[4..7],load:9->NXM_NX_REG5[],output:NXM_OF_IN_PORT[])"},
        {"", "learn(table=7,limit=10,result_dst=reg3[7],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"},
        {"", "group:7"},
        {"ip", "dec_ttl(1,2,3)"},
        {"", "set_field:3->in_port,load:0->in_port"},
    };
    const PortNames names;
    for (const Case& c : kCases) {
      INFO(c.match << " actions=" << c.actions);
      const Match match = parse_flow(std::string{c.match}, FlowMod::Command::kDelete, names).match;
      const ActionList actions = parse_actions(c.actions, match, names);
      for (const Version version : kVersions) {
        INFO("OpenFlow " << name_of(version));
        const auto bytes =
            written([&](Writer& out) { encode_actions(out, sayable(actions, version), version, match); });
        const ActionList back = decode_actions(bytes, version, ActionPlace::kList, match);
        CHECK(format_actions(back) == format_actions(sayable(actions, version)));
        const auto again = written([&](Writer& out) { encode_actions(out, back, version, match); });
        CHECK(again == bytes);
      }
    }
  }

  TEST_CASE("matches that users write come back as they were") {
    const PortNames names;
    for (const char* text :
         {"icmp6,icmp_type=135,nd_target=fe80::1,nd_sll=02:00:00:00:00:01",
          "icmp6,icmp_type=136,nd_tll=02:00:00:00:00:01", "icmp6,icmp_type=128,icmp_code=0",
          "icmp,icmp_type=8,icmp_code=0", "arp,arp_op=1,arp_spa=10.0.0.1,arp_tpa=10.0.0.0/8", "tcp,tcp_flags=+syn-ack",
          "tcp,tp_src=0x10/0xf0", "sctp6,tp_dst=5", "udp6,ipv6_src=fe80::/16,ipv6_label=0x123",
          "mpls,mpls_label=5,mpls_tc=3,mpls_bos=1,mpls_ttl=9", "ip,nw_tos=32,nw_ecn=1,nw_ttl=3,nw_frag=later",
          "dl_vlan=5,dl_vlan_pcp=3", "vlan_tci=0x1000/0x1000", "vlan_tci=0x0000/0x1fff", "vlan_tci=0x2000/0x2000",
          "dl_type=0x88e7,pbb_isid=5", "tun_id=5/7,metadata=1/3,reg3=5,xxreg1=7,pkt_mark=1,conj_id=4", "in_port=LOCAL",
          "ipv6,ipv6_exthdr=5/7"}) {
      INFO(text);
      const Match match = parse_flow(text, FlowMod::Command::kDelete, names).match;
      for (const Version version : kVersions) {
        const auto bytes = written([&](Writer& out) { encode_fields(out, match, version); });
        CHECK(format_match(decode_fields(bytes)) == format_match(match));
      }
    }
  }

  TEST_CASE("OpenFlow 1.0's match says what it can") {
    const PortNames names;
    for (const char* text :
         {"tcp,nw_src=10.0.0.0/8,nw_dst=10.1.2.3,tp_dst=80", "arp,arp_op=1,arp_spa=10.0.0.1",
          "icmp,icmp_type=8,icmp_code=0",
          "in_port=3,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,dl_vlan=5,dl_vlan_pcp=3", "ip,nw_tos=32", ""}) {
      INFO(text);
      const Match match = parse_flow(text, FlowMod::Command::kDelete, names).match;
      const auto bytes = written([&](Writer& out) { encode_match10(out, match); });
      CHECK(bytes.size() == kMatch10Size);
      Reader in{bytes};
      CHECK(format_match(decode_match10(in)) == format_match(match));
    }
  }

  TEST_CASE("what a version calls otherwise is called by its field") {
    const PortNames names;
    const Match match = parse_flow("udp", FlowMod::Command::kDelete, names).match;
    const ActionList actions = parse_actions("mod_tp_src:1,mod_tp_dst:2,mod_nw_tos:4,mod_vlan_vid:5", match, names);
    const auto back = [&](Version version) {
      const auto bytes = written([&](Writer& out) { encode_actions(out, actions, version, match); });
      return format_actions(decode_actions(bytes, version, ActionPlace::kList, match));
    };
    CHECK(back(Version::k10) == "mod_tp_src:1,mod_tp_dst:2,mod_nw_tos:4,mod_vlan_vid:5");
    CHECK(back(Version::k13) ==
          "set_field:1->udp_src,set_field:2->udp_dst,set_field:1->ip_dscp,push_vlan:0x8100,set_field:4101->vlan_vid");
  }

  TEST_CASE("types are set whole, and what lies below is not known any more") {
    const PortNames names;
    const Match match = parse_flow("tcp", FlowMod::Command::kDelete, names).match;
    const auto decoded = [&](const char* text) {
      const auto bytes =
          written([&](Writer& out) { encode_actions(out, parse_actions(text, match, names), Version::k13, match); });
      return format_actions(decode_actions(bytes, Version::k13, ActionPlace::kList, match));
    };
    CHECK(decoded("set_field:17->nw_proto,set_field:0x8848->eth_type") ==
          "set_field:17->nw_proto,set_field:0x8848->eth_type");
    CHECK_THROWS_AS(parse_actions("set_field:17->nw_proto,set_field:5->tcp_dst", match, names), TextError);
  }

  TEST_CASE("flow-mods of pipelines made by chance come back as they were") {
    std::mt19937 random{7};
    for (int i = 0; i < 200; ++i) {
      test::RandomPipeline pipeline{[&](unsigned n) { return static_cast<unsigned>(random() % n); }};
      test::HandmadeBridge bridge;
      pipeline.fill(bridge);
      for (const RuleRef& rule : bridge.rules) {
        for (const Version version : kVersions) {
          FlowModMessage message;
          FlowMod& mod = message.mod;
          mod.table = rule->table;
          mod.priority = rule->priority;
          mod.cookie = random();
          mod.idle_timeout = static_cast<std::uint16_t>(random() % 100);
          mod.flags = kSendFlowRemoved;
          mod.match = with_prerequisites(rule->match);
          mod.actions = rule->actions;
          const auto bytes = written([&](Writer& out) { encode_flow_mod(out, message, version, 5); });
          CHECK(read_header(bytes).length == bytes.size());
          const MessageFormat* format = find_message(version, bytes);
          REQUIRE(format != nullptr);
          const Bytes body = Bytes{bytes}.subspan(format->experimenter != 0 ? 16 : 8);
          FlowModMessage back;
          try {
            back = version == Version::k10 ? decode_nx_flow_mod(body, true) : decode_flow_mod(body, version, false);
          } catch (const OfError& error) {
            // Fields without their prerequisites, which chance has made, are refused for what they are.
            INFO(format_flow_spec(mod) << ": " << error.what());
            CHECK((error.code() == OfErrorCode::kMatchInconsistent || error.code() == OfErrorCode::kBadTag));
            continue;
          }
          INFO(format_match(mod.match) << " came back as " << format_match(back.mod.match));
          CHECK(back.mod.match == mod.match);
          CHECK(back.mod.table == mod.table);
          CHECK(back.mod.cookie == mod.cookie);
          CHECK(back.mod.priority == mod.priority);
          const auto again = written([&](Writer& out) { encode_flow_mod(out, back, version, 5); });
          CHECK(again.size() <= bytes.size());
        }
      }
    }
  }

  TEST_CASE("groups come back as they were") {
    const PortNames names;
    for (const char* text :
         {"group_id=1,type=all,bucket=bucket_id:0,actions=output:1,bucket=bucket_id:1,actions=output:2",
          "group_id=2,type=select,bucket=bucket_id:0,weight:10,watch_port:3,actions=dec_ttl,output:3",
          "group_id=3,type=ff,bucket=bucket_id:0,watch_port:1,actions=output:1,bucket=bucket_id:1,watch_group:2,"
          "actions=group:2",
          "group_id=4,type=indirect,bucket=bucket_id:0,actions=push_vlan:0x8100,set_field:5->vlan_vid,output:1"}) {
      INFO(text);
      const GroupMod mod = parse_group(text, GroupMod::Command::kAdd, names);
      for (const Version version : {Version::k13, Version::k14, Version::k15}) {
        const auto bytes = written([&](Writer& out) { encode_group_mod(out, mod, version, 1); });
        GroupMod back = decode_group_mod(Bytes{bytes}.subspan(8), version, false);
        REQUIRE(back.buckets.size() == mod.buckets.size());
        for (std::size_t i = 0; i < mod.buckets.size(); ++i) {
          if (version < Version::k15) back.buckets[i].id = mod.buckets[i].id;
          CHECK(back.buckets[i].id == mod.buckets[i].id);
          CHECK(back.buckets[i].weight == mod.buckets[i].weight);
          CHECK(back.buckets[i].watch_port == mod.buckets[i].watch_port);
          CHECK(back.buckets[i].watch_group == mod.buckets[i].watch_group);
          CHECK(back.buckets[i].actions == mod.buckets[i].actions);
        }
      }
    }
  }

  TEST_CASE("meters come back as they were") {
    MeterMod mod;
    mod.config = {.id = 7, .packets = true, .burst = true, .stats = true, .bands = {}};
    mod.config.bands = {{SHUNT_BAND_DROP, 100, 10, 0}, {SHUNT_BAND_DSCP_REMARK, 50, 5, 2}};
    const auto bytes = written([&](Writer& out) { encode_meter_mod(out, mod, Version::k13, 1); });
    const MeterMod back = decode_meter_mod(Bytes{bytes}.subspan(8));
    CHECK(back.config.id == 7);
    CHECK(back.config.packets);
    CHECK(back.config.bands == mod.config.bands);
  }
}
