// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/action_text.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "maps/drop_reason.h"
#include "user/base/error.h"
#include "user/flow/fields.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;

namespace {

const PortNames& names() {
  static const PortNames all{std::map<std::string, PortNo>{
      {"veth0", PortNo{1}}, {"veth1", PortNo{2}}, {"drop", PortNo{3}}, {"vm-4", PortNo{4}}, {"5g", PortNo{5}}}};
  return all;
}

ActionList actions_of(const std::string& rule) { return parse_flow(rule, FlowMod::Command::kAdd, names()).actions; }

// How the actions of a rule are shown.
std::string shown(const std::string& rule) { return format_actions(actions_of(rule)); }

std::string refusal(const std::string& rule) {
  try {
    (void)actions_of(rule);
  } catch (const TextError& error) {
    return error.what();
  }
  return "accepted";
}

shunt_action output_to(std::uint16_t port) {
  shunt_action action{};
  action.type = SHUNT_ACT_OUTPUT;
  action.arg = port;
  return action;
}

shunt_action of_type(shunt_action_type type, std::uint16_t arg = 0, std::uint8_t field = 0) {
  shunt_action action{};
  action.type = static_cast<std::uint8_t>(type);
  action.field = field;
  action.arg = arg;
  return action;
}

// The datapath actions of the set_field actions in a rule, for a packet.
std::string dp_shown(const std::string& rule, const FlowKey& packet) {
  std::vector<shunt_action> out;
  for (const Action& action : actions_of(rule))
    if (const auto* set = std::get_if<SetFieldAction>(&action)) append_set_field(packet, set->set, out);
  return format_dp_actions(out);
}

FlowKey packet_of(std::uint16_t eth_type, std::uint8_t protocol) {
  FlowKey key{};
  key.eth_type = be16{eth_type};
  key.nw_proto = protocol;
  return key;
}

}  // namespace

TEST_SUITE("rule actions as text") {
  TEST_CASE("outputs") {
    CHECK(shown("actions=output:2") == "output:2");
    CHECK(shown("actions=2,veth0,output:veth1") == "output:2,output:1,output:2");
    CHECK(shown("actions=normal") == "NORMAL");
    CHECK(shown("actions=FLOOD,all,In_Port,local") == "FLOOD,ALL,IN_PORT,LOCAL");
    CHECK(shown("actions=output:LOCAL,output:65528") == "LOCAL,IN_PORT");
    CHECK(shown("actions=output(port=1,max_len=100)") == "output(port=1,max_len=100)");
    CHECK(shown("actions=output(port=veth1 max_len=64),output=1") == "output(port=2,max_len=64),output:1");
    CHECK(shown("actions=output:1 output:2") == "output:1,output:2");
    CHECK(format_actions(actions_of("actions=1,3,4,5"), names()) ==
          "output:veth0,output:drop,output:vm-4,output:\"5g\"");
    CHECK(shown("actions=\"drop\"") == "output:3");
    CHECK(shown("actions=\"5g\",output:\"5g\"") == "output:5,output:5");
  }

  TEST_CASE("drop stands alone, and no actions are a drop") {
    CHECK(shown("actions=drop") == "drop");
    CHECK(shown("actions=") == "drop");
    CHECK(actions_of("actions=").size() == 1);
    CHECK(format_actions({}) == "drop");
    CHECK(refusal("actions=drop,1") == "column 9: drop stands alone, without other actions");
    CHECK(refusal("actions=1,drop") == "column 11: drop stands alone, without other actions");
  }

  TEST_CASE("fields are set whole, by mask and by bits") {
    CHECK(shown("actions=mod_dl_src:00:11:22:33:44:55,mod_dl_dst:01:02:03:04:05:06") ==
          "mod_dl_src:00:11:22:33:44:55,mod_dl_dst:01:02:03:04:05:06");
    CHECK(shown("ip,actions=set_field:10.0.0.1->ip_src") == "mod_nw_src:10.0.0.1");
    CHECK(shown("ip,actions=set_field:10.1.0.0/255.255.0.0->nw_dst") == "set_field:10.1.0.0/16->ip_dst");
    CHECK(shown("tcp,actions=set_field:80->tcp_dst") == "set_field:80->tcp_dst");
    CHECK(shown("tcp,actions=mod_tp_dst:80,mod_tp_src:81") == "mod_tp_dst:80,mod_tp_src:81");
    CHECK(shown("ipv6,actions=set_field:fe80::1->ipv6_dst") == "set_field:fe80::1->ipv6_dst");
    CHECK(shown("ip,actions=mod_nw_tos:8,mod_nw_ttl:3,mod_nw_ecn:2") == "mod_nw_tos:8,mod_nw_ttl:3,mod_nw_ecn:2");
    CHECK(shown("actions=load:3->NXM_OF_ETH_DST[0..5]") == "set_field:00:00:00:00:00:03/00:00:00:00:00:3f->eth_dst");
    CHECK(shown("ip,actions=load:0xa000001->NXM_OF_IP_SRC[]") == "mod_nw_src:10.0.0.1");
    CHECK(shown("ip,actions=load:10.0.0.1->NXM_OF_IP_SRC[]") == "mod_nw_src:10.0.0.1");
    CHECK(shown("ip,actions=load:1->OXM_OF_IP_DSCP[5]") == "set_field:0x20/0x20->ip_dscp");
    CHECK(shown("ipv6,actions=load:1->NXM_NX_IPV6_SRC[64..127]") == "set_field:0:0:0:1::/64->ipv6_src");
    CHECK(shown("arp,actions=load:2->NXM_OF_ARP_OP[],set_field:10.0.0.1->arp_spa") ==
          "set_field:2->arp_op,set_field:10.0.0.1->arp_spa");
  }

  TEST_CASE("bits are moved from field to field") {
    CHECK(shown("actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]") == "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]");
    CHECK(shown("ip,actions=move:ip_src[0..15]->NXM_OF_IP_DST[16..31]") ==
          "move:NXM_OF_IP_SRC[0..15]->NXM_OF_IP_DST[16..31]");
    CHECK(shown("dl_vlan=5,actions=move:vlan_vid[3]->NXM_OF_ETH_DST[7]") ==
          "move:OXM_OF_VLAN_VID[3]->NXM_OF_ETH_DST[7]");
    CHECK(shown("dl_vlan=5,actions=move:NXM_OF_ETH_SRC[0..11]->NXM_OF_VLAN_TCI[0..11]") ==
          "move:NXM_OF_ETH_SRC[0..11]->OXM_OF_VLAN_VID[]");
    CHECK(refusal("ip,actions=move:NXM_OF_IP_SRC[0..15]->NXM_OF_IP_DST[]") ==
          "column 17: the source is 16 bits wide, the destination 32");
    CHECK(refusal("actions=move:NXM_OF_IN_PORT[]->NXM_OF_IP_DST[]") ==
          "column 14: a port number cannot be moved to a header field");
    CHECK(refusal("dl_vlan=5,actions=move:NXM_OF_ETH_SRC[0..15]->NXM_OF_VLAN_TCI[]").find("of vlan_tci") !=
          std::string::npos);
  }

  TEST_CASE("tags are pushed, popped and rewritten") {
    CHECK(shown("actions=strip_vlan") == "pop_vlan");
    CHECK(shown("actions=mod_vlan_vid:5,mod_vlan_pcp:3") == "mod_vlan_vid:5,mod_vlan_pcp:3");
    CHECK(shown("actions=push_vlan:0x8100,set_field:4106->vlan_vid,1") ==
          "push_vlan:0x8100,set_field:4106->vlan_vid,output:1");
    CHECK(shown("actions=push_vlan:0x88a8,set_field:10->vlan_vid") == "push_vlan:0x88a8,set_field:4106->vlan_vid");
    CHECK(shown("dl_vlan=3,actions=set_field:5->vlan_pcp") == "set_field:5->vlan_pcp");
    CHECK(shown("dl_vlan=3,actions=set_vlan_vid:7,set_vlan_pcp:1") == "set_field:4103->vlan_vid,set_field:1->vlan_pcp");
    CHECK(shown("actions=load:0->NXM_OF_VLAN_TCI[]") == "pop_vlan");
    CHECK(shown("actions=load:0x7005->NXM_OF_VLAN_TCI[]") == "mod_vlan_vid:5,mod_vlan_pcp:3");
    CHECK(shown("dl_vlan=3,actions=load:5->NXM_OF_VLAN_TCI[0..11]") == "set_field:4101->vlan_vid");
    CHECK(shown("actions=set_field:5->dl_vlan") == "mod_vlan_vid:5");
    CHECK(refusal("actions=load:1->NXM_OF_VLAN_TCI[12]").find("bit 12") != std::string::npos);
    CHECK(refusal("actions=push_vlan:0x9100") == "column 19: 0x9100 is no VLAN TPID (0x8100 or 0x88a8)");
    CHECK(refusal("actions=push_vlan:0x8100,push_vlan:0x88a8") == "accepted");
    CHECK(refusal("dl_vlan=5,actions=push_vlan:0x8100,push_vlan:0x88a8") ==
          "column 36: the packet has two tags here already: a third cannot be pushed");
    CHECK(refusal("actions=mod_vlan_vid:4096") == "column 22: the VLAN ID 4096 is out of range (at most 4095)");
  }

  TEST_CASE("a set_field wants its field in the match, or from the actions before") {
    CHECK(refusal("ip,actions=set_field:80->tcp_dst") ==
          "column 22: tcp_dst needs tcp or tcp6 in the match, or from the actions before");
    CHECK(refusal("udp,actions=load:80->NXM_OF_TCP_DST[]").find("tcp_dst needs") != std::string::npos);
    CHECK(refusal("actions=set_field:5->vlan_vid").find("vlan_vid needs a VLAN tag") != std::string::npos);
    CHECK(refusal("dl_vlan=5,actions=pop_vlan,set_field:5->vlan_vid").find("vlan_vid needs") != std::string::npos);
    CHECK(refusal("dl_vlan=5,vlan_tci1=0x1000/0x1000,actions=pop_vlan,set_field:5->vlan_vid") == "accepted");
    CHECK(refusal("dl_vlan=5,actions=push_vlan:0x8100,pop_vlan,set_field:5->vlan_vid") == "accepted");
    CHECK(refusal("actions=mod_vlan_vid:5,set_field:3->vlan_pcp") == "accepted");
    CHECK(refusal("in_port=1,actions=mod_nw_src:10.0.0.1,mod_tp_dst:5,dec_ttl,2") == "accepted");
  }

  TEST_CASE("values and names that do not fit are refused with their column") {
    CHECK(refusal("actions=outptu:1") == "column 9: no action and no port is called 'outptu' (did you mean 'output'?)");
    CHECK(refusal("actions=zebra") == "column 9: no action and no port is called 'zebra'");
    CHECK(refusal("actions=1,output:veth7") == "column 18: the bridge has no port 'veth7' (did you mean 'veth0'?)");
    CHECK(refusal("actions=output") == "column 9: output wants a value: output:...");
    CHECK(refusal("actions=output:") == "column 9: output wants a value: output:...");
    CHECK(refusal("actions=output:0").find("no port number") != std::string::npos);
    CHECK(refusal("actions=output(port=1)").find("wants both") != std::string::npos);
    CHECK(refusal("actions=output(port=1,max_len=13)") == "column 31: max_len is at least 14, an Ethernet header");
    CHECK(refusal("actions=output(port=1,max_len=100,x=1)").find("'x=1'") != std::string::npos);
    CHECK(refusal("actions=output(port=1") == "column 15: the closing parenthesis is missing");
    CHECK(refusal("actions=\"veth0") == "column 9: the closing quote is missing");
    CHECK(refusal("actions=output:NXM_OF_IN_PORT[]").find("not supported yet") != std::string::npos);
    CHECK(refusal("actions=controller") == "column 9: action controller is not supported yet");
    CHECK(refusal("actions=CONTROLLER:65535").find("not supported yet") != std::string::npos);
    CHECK(refusal("actions=resubmit(,1)") == "column 9: action resubmit is not supported yet");
    CHECK(refusal("actions=set_field:1") == "column 19: '1' lacks \"->FIELD\"");
    CHECK(refusal("actions=set_field:1->eth_typo").find("did you mean 'eth_type'") != std::string::npos);
    CHECK(refusal("actions=set_field:0x800->eth_type") == "column 26: eth_type cannot be written");
    CHECK(refusal("actions=load:1->NXM_OF_IN_PORT[]") == "column 17: in_port cannot be written");
    CHECK(refusal("ip,actions=load:0x100->NXM_OF_IP_SRC[0..7]") ==
          "column 17: the value 0x100 is out of range (at most 255)");
    CHECK(refusal("ip,actions=load:1->NXM_OF_IP_SRC[30..32]").find("the bit 32") != std::string::npos);
    CHECK(refusal("ip,actions=load:1->NXM_OF_IP_SRC[8..7]").find("the lower bit") != std::string::npos);
    CHECK(refusal("ip,actions=mod_nw_tos:5").find("nw_ecn") != std::string::npos);
    CHECK(refusal("ip,actions=mod_nw_src:10.0.0.0/8").find("takes no mask") != std::string::npos);
    CHECK(refusal("actions=dec_ttl(1,2)").find("not supported yet") != std::string::npos);
    CHECK(refusal("actions=strip_vlan:5") == "column 19: strip_vlan takes no value");
    CHECK(refusal("actions=normal:5") == "column 15: normal takes no value");
  }

  TEST_CASE("a rule has at most 1024 actions") {
    std::string text = "actions=1";
    for (int i = 1; i < 1024; ++i) text += ",1";
    CHECK(refusal(text) == "accepted");
    CHECK(refusal(text + ",1").find("more than 1024 actions") != std::string::npos);
  }
}

TEST_SUITE("datapath actions as text") {
  TEST_CASE("sets of one header that follow each other are shown together") {
    CHECK(dp_shown("ip,actions=mod_nw_ttl:63", packet_of(0x0800, 6)) == "set(ip(ttl=63))");
    CHECK(dp_shown("ip,actions=mod_nw_ttl:63,mod_nw_src:10.0.0.1", packet_of(0x0800, 6)) ==
          "set(ipv4(src=10.0.0.1,ttl=63))");
    CHECK(dp_shown("tcp,actions=mod_nw_dst:10.0.0.1,mod_tp_dst:80,mod_dl_dst:00:00:00:00:00:01",
                   packet_of(0x0800, 6)) == "set(ipv4(dst=10.0.0.1)),set(tp(dst=80)),set(eth(dst=00:00:00:00:00:01))");
    CHECK(dp_shown("ip,actions=mod_nw_ttl:63,mod_nw_ttl:62", packet_of(0x0800, 6)) ==
          "set(ip(ttl=63)),set(ip(ttl=62))");
  }

  TEST_CASE("an IPv6 address is shown whole") {
    CHECK(dp_shown("ipv6,actions=set_field:fe80::1->ipv6_dst", packet_of(0x86dd, 6)) == "set(ipv6(dst=fe80::1))");
    CHECK(dp_shown("ipv6,actions=set_field:::5/::ffff->ipv6_src", packet_of(0x86dd, 6)) == "set(ipv6(src=::5/::ffff))");
  }

  TEST_CASE("ARP is not shown as IPv4") {
    CHECK(dp_shown("arp,actions=set_field:10.0.0.1->arp_spa,set_field:2->arp_op", packet_of(0x0806, 1)) ==
          "set(arp(op=2,sip=10.0.0.1))");
  }

  TEST_CASE("the other actions") {
    shunt_action push = of_type(SHUNT_ACT_PUSH_VLAN);
    push.value[0] = 0x81;
    push.value[3] = 10;
    CHECK(format_dp_actions(std::vector<shunt_action>{push, output_to(2)}) == "push_vlan(vid=10,pcp=0),2");
    push.value[0] = 0x88;
    push.value[1] = 0xa8;
    push.value[2] = 0x60;
    CHECK(format_dp_actions(std::vector<shunt_action>{push}) == "push_vlan(tpid=0x88a8,vid=10,pcp=3)");
    CHECK(format_dp_actions({}) == "drop");
    CHECK(format_dp_actions(std::vector<shunt_action>{
              of_type(SHUNT_ACT_POP_VLAN), of_type(SHUNT_ACT_DEC_TTL), of_type(SHUNT_ACT_TRUNCATE, 100),
              of_type(SHUNT_ACT_OUTPUT, 3, 1)}) == "pop_vlan,dec_ttl,trunc(100),in_port(3)");
    CHECK(format_dp_actions(std::vector<shunt_action>{of_type(SHUNT_ACT_OUTPUT_GROUP, 5)}) == "group(5)");
    CHECK(format_dp_actions(std::vector<shunt_action>{of_type(SHUNT_ACT_DROP, 0, SHUNT_DROP_RULE)}) == "drop(rule)");
    CHECK(format_dp_actions(std::vector<shunt_action>{of_type(SHUNT_ACT_DROP, 0, 200)}) == "drop(unknown)");
    CHECK(format_dp_actions(std::vector<shunt_action>{of_type(SHUNT_ACT_USERSPACE, 0, SHUNT_UPCALL_ACTION)}) ==
          "userspace(action)");
    CHECK(format_dp_actions(std::vector<shunt_action>{output_to(2)}, [](DpPort) { return std::string{"veth1"}; }) ==
          "veth1");
  }
}
