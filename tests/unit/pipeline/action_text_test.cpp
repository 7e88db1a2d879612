// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/action_text.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "maps/drop_reason.h"
#include "user/base/error.h"
#include "user/base/of_error.h"
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

OfErrorCode code_of(const std::string& rule) {
  try {
    (void)actions_of(rule);
  } catch (const TextError& error) {
    REQUIRE(error.code());
    return *error.code();
  }
  FAIL("accepted");
  return {};
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
  DpActions out;
  for (const Action& action : actions_of(rule))
    if (const auto* set = std::get_if<SetFieldAction>(&action)) append_set_field(packet, written_by(*set), out);
  return format_dp_actions(as_span(out));
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
    CHECK(shown("actions=move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]") == "move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]");
    CHECK(shown("actions=move:in_port_oxm->reg0,move:reg0[0..15]->in_port") ==
          "move:OXM_OF_IN_PORT[]->NXM_NX_REG0[],move:NXM_NX_REG0[0..15]->NXM_OF_IN_PORT[]");
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
    CHECK(refusal("actions=ct(commit)") == "column 9: action ct is not supported yet");
    CHECK(refusal("actions=encap(ethernet)") == "column 9: action encap is not supported yet");
    CHECK(refusal("actions=set_field:1") == "column 19: '1' lacks \"->FIELD\"");
    CHECK(refusal("actions=set_field:1->eth_typo").find("did you mean 'eth_type'") != std::string::npos);
    CHECK(refusal("actions=load:0x800->eth_type") == "column 21: eth_type cannot be written");
    CHECK(refusal("actions=load:1->NXM_NX_CONJ_ID[]") == "column 17: conj_id cannot be written");
    CHECK(refusal("ip,actions=load:0x100->NXM_OF_IP_SRC[0..7]") ==
          "column 17: the value 0x100 is out of range (at most 255)");
    CHECK(refusal("ip,actions=load:1->NXM_OF_IP_SRC[30..32]").find("the bit 32") != std::string::npos);
    CHECK(refusal("ip,actions=load:1->NXM_OF_IP_SRC[8..7]").find("the lower bit") != std::string::npos);
    CHECK(refusal("ip,actions=mod_nw_tos:5").find("nw_ecn") != std::string::npos);
    CHECK(refusal("ip,actions=mod_nw_src:10.0.0.0/8").find("takes no mask") != std::string::npos);
    CHECK(refusal("actions=dec_ttl()").find("wants controllers") != std::string::npos);
    CHECK(refusal("actions=strip_vlan:5") == "column 19: strip_vlan takes no value");
    CHECK(refusal("actions=normal:5") == "column 15: normal takes no value");
  }

  TEST_CASE("registers and metadata are fields") {
    CHECK(shown("actions=set_field:5->reg0,set_field:5/7->reg1,load:0xff->NXM_NX_REG2[8..15]") ==
          "set_field:0x5->reg0,set_field:0x5/0x7->reg1,set_field:0xff00/0xff00->reg2");
    CHECK(shown("actions=set_field:0x123456789abcdef01234->xxreg1,load:5->xreg0[3..10]") ==
          "set_field:0x123456789abcdef01234->xxreg1,set_field:0x28/0x7f8->xreg0");
    CHECK(shown("actions=set_field:7->metadata,set_field:8->pkt_mark,set_tunnel:5,set_tunnel64:0x1234567890") ==
          "set_field:0x7->metadata,set_field:0x8->pkt_mark,set_field:0x5->tun_id,set_field:0x1234567890->tun_id");
    CHECK(
        shown("actions=set_field:5->in_port,load:0->in_port,load:0xffff->NXM_OF_IN_PORT[],set_field:LOCAL->in_port") ==
        "set_field:5->in_port,set_field:0->in_port,set_field:NONE->in_port,set_field:LOCAL->in_port");
    CHECK(shown("actions=push:reg0[0..5],pop:NXM_NX_REG1[],push:eth_src,pop:xxreg0[3..100]") ==
          "push:NXM_NX_REG0[0..5],pop:NXM_NX_REG1[],push:NXM_OF_ETH_SRC[],pop:NXM_NX_XXREG0[3..100]");
    CHECK(refusal("actions=set_field:5->skb_priority") == "column 22: skb_priority cannot be written");
    CHECK(refusal("actions=set_field:5->actset_output") == "column 22: actset_output cannot be written");
    CHECK(refusal("actions=pop:NXM_OF_VLAN_TCI[]").find("the VID (bits 0 to 11)") != std::string::npos);
    CHECK(refusal("actions=push:tcp_src").find("tcp_src needs tcp or tcp6") != std::string::npos);
  }

  TEST_CASE("where a packet goes") {
    CHECK(shown("actions=output:reg0[0..15],output:NXM_NX_REG1[],output:reg1[3],output:reg2") ==
          "output:NXM_NX_REG0[0..15],output:NXM_NX_REG1[],output:NXM_NX_REG1[3],output:NXM_NX_REG2[]");
    CHECK(shown("actions=controller,CONTROLLER:128,controller(),output:controller,controller(max_len=0)") ==
          "CONTROLLER:65535,CONTROLLER:128,CONTROLLER:65535,CONTROLLER:65535,CONTROLLER:0");
    CHECK(
        shown("actions=controller(id=5,max_len=100,reason=no_match,userdata=aa.bb,pause),controller(userdata=0102)") ==
        "controller(reason=no_match,max_len=100,id=5,userdata=aa.bb,pause),controller(userdata=01.02)");
    CHECK(shown("actions=controller(reason=invalid_ttl,meter_id=1)") == "controller(reason=invalid_ttl,meter_id=1)");
    CHECK(shown("actions=enqueue:1:5,enqueue(veth1,6),set_queue:7,pop_queue,group:3") ==
          "enqueue:1:5,enqueue:2:6,set_queue:7,pop_queue,group:3");
    CHECK(shown("actions=meter:1,2") == "meter:1,output:2");
    CHECK(shown("actions=sample(probability=5),sample(probability=9,collector_set_id=1,obs_domain_id=2,"
                "obs_point_id=3,sampling_port=1,ingress)") ==
          "sample(probability=5,collector_set_id=0,obs_domain_id=0,obs_point_id=0),"
          "sample(probability=9,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=1,ingress)");
    CHECK(format_actions(actions_of("actions=enqueue:5g:1,resubmit(5g,3),bundle(eth_src,0,hrw,ofport,members:5g,2)"),
                         names()) ==
          "enqueue:\"5g\":1,resubmit(\"5g\",3),bundle(eth_src,0,hrw,ofport,members:\"5g\",veth1)");
    CHECK(refusal("actions=controller(reason=none)") ==
          "column 27: 'none' is no reason (no_match, action, invalid_ttl, action_set, group, packet_out)");
    CHECK(refusal("actions=controller(id=1,id=2)").find("column 25: 'id=2'") == 0);
    CHECK(refusal("actions=controller(userdata=abc)") == "column 31: bytes are pairs of hexadecimal digits: aa.bb.cc");
    CHECK(refusal("actions=output:none") == "column 16: this port takes no output");
    CHECK(refusal("actions=enqueue:normal:1") == "column 17: enqueue takes one port");
    CHECK(refusal("actions=group:4294967041").find("no group") != std::string::npos);
    CHECK(refusal("actions=meter:0") == "column 15: 0 is no meter: they are 1 to 4294901760");
    CHECK(refusal("actions=sample(collector_set_id=5)") == "column 16: sample wants probability=N, out of 65535");
    CHECK(refusal("actions=sample(probability=0)").find("samples nothing") != std::string::npos);
  }

  TEST_CASE("labels, PBB tags and TTLs") {
    CHECK(shown("actions=push_mpls:0x8847,set_mpls_label:5,set_mpls_tc:3,set_mpls_ttl(64),dec_mpls_ttl,copy_ttl_out") ==
          "push_mpls:0x8847,set_mpls_label(5),set_mpls_tc(3),set_mpls_ttl(64),dec_mpls_ttl,copy_ttl_out");
    CHECK(shown("ip,actions=dec_ttl(1,2),dec_ttl,push_mpls:0x8848,copy_ttl_in,pop_mpls:0x0800,dec_ttl") ==
          "dec_ttl(1,2),dec_ttl,push_mpls:0x8848,copy_ttl_in,pop_mpls:0x0800,dec_ttl");
    CHECK(shown("actions=push_pbb:0x88e7,set_field:500->pbb_isid,set_field:1->pbb_uca,pop_pbb") ==
          "push_pbb:0x88e7,set_field:500->pbb_isid,set_field:1->pbb_uca,pop_pbb");
    CHECK(refusal("actions=push_mpls:0x0800") == "column 19: 0x0800 is no EtherType of MPLS (0x8847 or 0x8848)");
    CHECK(refusal("actions=push_pbb:0x88a8") == "column 18: 0x88a8 is no EtherType of PBB (0x88e7)");
    CHECK(refusal("actions=pop_mpls:5").find("no EtherType") != std::string::npos);
  }

  TEST_CASE("what a packet has follows the labels and tags that are pushed and popped") {
    CHECK(refusal("actions=set_field:5->mpls_label").find("mpls_label needs mpls or mplsm") != std::string::npos);
    CHECK(refusal("actions=push_mpls:0x8847,set_field:5->mpls_label") == "accepted");
    CHECK(refusal("tcp,actions=push_mpls:0x8847,set_field:1.2.3.4->ip_src").find("ip_src needs ip") !=
          std::string::npos);
    CHECK(refusal("mpls,actions=pop_mpls:0x0800,set_field:1.2.3.4->ip_src") == "accepted");
    CHECK(refusal("mpls,actions=pop_mpls:0x0800,set_field:80->tcp_dst").find("tcp_dst needs") != std::string::npos);
    CHECK(refusal("actions=pop_mpls:0x0800,set_field:1.2.3.4->ip_src").find("ip_src needs ip") != std::string::npos);
    CHECK(refusal("mpls,actions=pop_mpls:0x8847,set_field:5->mpls_tc") == "accepted");
    CHECK(refusal("mpls,actions=push:mpls_lse1").find("mpls_bos=0") != std::string::npos);
    CHECK(refusal("mpls,mpls_bos=0,actions=set_field:1->mpls_bos,push:mpls_lse1").find("mpls_bos=0") !=
          std::string::npos);
    CHECK(refusal("mpls,actions=push_mpls:0x8847,push:mpls_lse1") == "accepted");
    CHECK(refusal("ip,actions=push_mpls:0x8847,push:mpls_lse1").find("mpls_bos=0") != std::string::npos);
    CHECK(refusal("ip,actions=push_pbb,set_field:5->ip_dscp").find("ip_dscp needs") != std::string::npos);
    CHECK(refusal("dl_vlan=5,actions=push_pbb,set_field:5->vlan_pcp").find("vlan_pcp needs") != std::string::npos);
    CHECK(refusal("tcp,actions=clone(push_mpls:0x8847,set_field:5->mpls_label),set_field:80->tcp_dst") == "accepted");
    CHECK(refusal("actions=write_actions(set_field:80->tcp_dst,set_field:5->mpls_label)") == "accepted");
  }

  TEST_CASE("instructions and what steers the pipeline") {
    CHECK(shown("actions=1,clear_actions,write_actions(output:1,group:3),write_metadata:0x5/0xf,goto_table:5") ==
          "output:1,clear_actions,write_actions(output:1,group:3),write_metadata:0x5/0xf,goto_table:5");
    CHECK(shown("actions=write_metadata:5") == "write_metadata:0x5");
    CHECK(shown("actions=meter:1,apply_actions(1,2),write_actions()") ==
          "meter:1,output:1,output:2,write_actions(drop)");
    CHECK(shown("actions=resubmit:5,resubmit(,3),resubmit(in_port,3),resubmit(2,),resubmit(1,2)") ==
          "resubmit:5,resubmit(,3),resubmit(,3),resubmit:2,resubmit(1,2)");
    CHECK(shown("actions=clone(set_field:1->reg0,output:1,clone(2)),clone(),exit,note:aa.bb.cc,note:,note:0102") ==
          "clone(set_field:0x1->reg0,output:1,clone(output:2)),clone(drop),exit,note:aa.bb.cc,note:,note:01.02");
    CHECK(shown("actions=conjunction(5,1/2),conjunction(6,3/3),note:00") ==
          "conjunction(5,1/2),conjunction(6,3/3),note:00");
    CHECK(shown("tcp,actions=fin_timeout(idle_timeout=5,hard_timeout=6),fin_timeout(hard_timeout=3),fin_timeout()") ==
          "fin_timeout(idle_timeout=5,hard_timeout=6),fin_timeout(hard_timeout=3),fin_timeout()");
    CHECK(shown("actions=check_pkt_larger(1500)->reg0[0],2") == "check_pkt_larger(1500)->NXM_NX_REG0[0],output:2");
    CHECK(shown("actions=write_actions(controller,set_queue:1)") == "write_actions(CONTROLLER:65535,set_queue:1)");
  }

  TEST_CASE("instructions stand in OpenFlow's order, each once, and only in the rule itself") {
    CHECK(refusal("actions=output:1,meter:1") ==
          "column 18: meter comes too late: the order is meter, actions, clear_actions, write_actions, "
          "write_metadata, goto_table");
    CHECK(refusal("actions=goto_table:5,1").find("column 22: an action comes too late") == 0);
    CHECK(refusal("actions=write_actions(1),clear_actions").find("clear_actions comes too late") != std::string::npos);
    CHECK(refusal("actions=goto_table:5,goto_table:6") == "column 22: goto_table was given already");
    CHECK(refusal("actions=clone(goto_table:5)") == "column 15: goto_table cannot stand inside another action");
    CHECK(refusal("actions=write_actions(write_metadata:5)").find("cannot stand inside") != std::string::npos);
    CHECK(refusal("actions=clone(meter:1)").find("cannot stand inside") != std::string::npos);
    CHECK(refusal("actions=write_actions(1,learn(eth_src))") == "column 25: learn cannot stand in an action set");
    CHECK(refusal("actions=write_actions(clone(1))").find("cannot stand in an action set") != std::string::npos);
    CHECK(refusal("actions=goto_table:0").find("the rule is in table 0") != std::string::npos);
    CHECK(refusal("table=5,actions=goto_table:5") ==
          "column 28: goto_table goes on to a later table, and the rule is in table 5");
    CHECK(refusal("table=5,actions=goto_table:6") == "accepted");
    CHECK(refusal("actions=goto_table:254") == "column 20: the table 254 is out of range (at most 253)");
    CHECK(refusal("actions=resubmit(,)").find("wants another port or a table") != std::string::npos);
    CHECK(refusal("actions=resubmit(,255)").find("out of range") != std::string::npos);
  }

  TEST_CASE("a rule with conjunction has nothing but conjunctions and notes") {
    CHECK(refusal("actions=conjunction(5,1/2),1") ==
          "column 28: beside conjunction only conjunction and note may stand");
    CHECK(refusal("actions=conjunction(5,0/2)") == "column 23: clauses count from 1");
    CHECK(refusal("actions=conjunction(5,3/2)").find("the clause 3 is out of range (at most 2)") != std::string::npos);
    CHECK(refusal("actions=conjunction(5,1/1)") == "column 25: a conjunction has at least 2 clauses");
    CHECK(refusal("actions=conjunction(5,1/65)").find("at most 64") != std::string::npos);
    CHECK(refusal("actions=conjunction(5)").find("conjunction(ID,K/N)") != std::string::npos);
    CHECK(refusal("actions=clone(conjunction(5,1/2))").find("not inside another action") != std::string::npos);
  }

  TEST_CASE("spreading over links and members") {
    CHECK(shown("actions=multipath(eth_src,50,hrw,12,0,NXM_NX_REG0[]),multipath(symmetric_l3l4+udp,5,iter_hash,4,8,"
                "reg1[0..7])") ==
          "multipath(eth_src,50,hrw,12,0,NXM_NX_REG0[]),"
          "multipath(symmetric_l3l4+udp,5,iter_hash,4,8,NXM_NX_REG1[0..7])");
    CHECK(
        shown("actions=bundle(eth_src,0,hrw,ofport,slaves:1,2),bundle_load(symmetric_l4,5,active_backup,ofport,reg0[],"
              "members:1,2),bundle(nw_src,0,hrw,ofport,members:)") ==
        "bundle(eth_src,0,hrw,ofport,members:1,2),bundle_load(symmetric_l4,5,active_backup,ofport,NXM_NX_REG0[],"
        "members:1,2),bundle(nw_src,0,hrw,ofport,members:)");
    CHECK(refusal("actions=multipath(eth_src,50,hrw,12,0,reg0[0])") == "column 39: 1 bits do not hold 12 links");
    CHECK(refusal("actions=multipath(eth_src,50,hrw,0,0,reg0)") == "column 34: there is at least one link");
    CHECK(refusal("actions=multipath(eth_src,50,best,4,0,reg0)").find("'best' is no algorithm") != std::string::npos);
    CHECK(refusal("actions=multipath(eth_src,50,hrw,4,0)") == "column 37: multipath lacks the field to write");
    CHECK(refusal("actions=bundle_load(eth_src,0,hrw,ofport,reg0[0..3],members:1)").find("16 bits") !=
          std::string::npos);
    CHECK(refusal("actions=bundle(eth_src,0,hrw,ofport,members:normal)").find("ports of the bridge") !=
          std::string::npos);
  }

  TEST_CASE("rules that packets make") {
    CHECK(shown("actions=learn(NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])") ==
          "learn(table=1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])");
    CHECK(
        shown("udp,actions=learn(table=2,idle_timeout=5,priority=100,cookie=0x5,eth_type=0x800,nw_proto=17,"
              "udp_dst=udp_src,NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],eth_src,load:reg0->reg1,load:5->reg2[0..5],"
              "output:in_port,fin_idle_timeout=3,send_flow_rem,delete_learned,limit=5,result_dst=reg0[3])") ==
        "learn(table=2,idle_timeout=5,fin_idle_timeout=3,priority=100,send_flow_rem,delete_learned,cookie=0x5,limit=5,"
        "result_dst=NXM_NX_REG0[3],eth_type=0x800,nw_proto=17,NXM_OF_UDP_DST[]=NXM_OF_UDP_SRC[],"
        "NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],NXM_OF_ETH_SRC[],load:NXM_NX_REG0[]->NXM_NX_REG1[],"
        "load:0x5->NXM_NX_REG2[0..5],output:NXM_OF_IN_PORT[])");
    CHECK(shown("actions=learn(eth_src=00:00:00:00:00:01,reg0[0..3]=5,reg1[0..5]=reg2[1..6],in_port=LOCAL)") ==
          "learn(table=1,eth_src=00:00:00:00:00:01,NXM_NX_REG0[0..3]=0x5,NXM_NX_REG1[0..5]=NXM_NX_REG2[1..6],"
          "in_port=LOCAL)");
    CHECK(shown("actions=learn()") == "learn(table=1)");
    CHECK(refusal("actions=learn(eth_type=0x800,ip_dst=ip_src)").find("ip_src needs ip") != std::string::npos);
    CHECK(refusal("ip,actions=learn(ip_dst=ip_src)") == "column 18: ip_dst needs ip among the matches before");
    CHECK(refusal("ip,actions=learn(eth_src,load:5->ip_dst)").find("ip_dst needs ip among") != std::string::npos);
    CHECK(refusal("actions=learn(eth_src=eth_dst[0..15])").find("16 bits wide, the destination 48") !=
          std::string::npos);
    CHECK(refusal("actions=learn(eth_type[0..3]=5)") == "column 15: eth_type is matched whole");
    CHECK(refusal("actions=learn(table=255)") == "column 21: the table 255 is out of range (at most 253)");
    CHECK(refusal("actions=learn(table=1,table=2)") == "column 23: table was given already");
    CHECK(refusal("actions=learn(result_dst=reg0)") == "column 26: the result is one bit: reg0[0]");
    CHECK(refusal("actions=learn(frobnicate)").find("'frobnicate' is no field") != std::string::npos);
    CHECK(refusal("actions=check_pkt_larger(1500)->reg0") == "column 33: the answer is one bit: reg0[0]");
    CHECK(refusal("actions=check_pkt_larger:1500").find("check_pkt_larger(BYTES)->FIELD[bit]") != std::string::npos);
  }

  TEST_CASE("the column of an error inside other actions is that of the text") {
    const std::string text = "actions=clone(1,clone(2,set_field:1->eth_typo))";
    CHECK(refusal(text).find(fmt::format("column {}: ", text.find("eth_typo") + 1)) == 0);
    const std::string set = "actions=write_actions(output:1,output:veth9)";
    CHECK(refusal(set).find(fmt::format("column {}: ", set.find("veth9") + 1)) == 0);
    const std::string apply = "actions=apply_actions( group:3 , output:veth9 )";
    CHECK(refusal(apply).find(fmt::format("column {}: ", apply.find("veth9") + 1)) == 0);
  }

  TEST_CASE("refusals have OpenFlow's names") {
    CHECK(code_of("actions=outptu:1") == OfErrorCode::kBadType);
    CHECK(code_of("actions=output:none") == OfErrorCode::kBadOutPort);
    CHECK(code_of("actions=group:0xffffff01") == OfErrorCode::kBadOutGroup);
    CHECK(code_of("actions=meter:0") == OfErrorCode::kInvalidMeter);
    CHECK(code_of("actions=set_queue:0xffffffff") == OfErrorCode::kBadQueue);
    CHECK(code_of("actions=push_vlan:0x9100") == OfErrorCode::kBadArgument);
    CHECK(code_of("dl_vlan=5,actions=push_vlan:0x8100,push_vlan:0x88a8") == OfErrorCode::kBadTag);
    CHECK(code_of("actions=set_field:80->tcp_dst") == OfErrorCode::kMatchInconsistent);
    CHECK(code_of("actions=load:1->eth_type") == OfErrorCode::kBadSetType);
    CHECK(code_of("tcp,actions=set_field:99999->tcp_dst") == OfErrorCode::kBadSetArgument);
    CHECK(code_of("ip,actions=set_field:1.2.3.4/33->ip_dst") == OfErrorCode::kBadSetArgument);
    CHECK(code_of("actions=goto_table:0") == OfErrorCode::kBadTableId);
    CHECK(code_of("actions=goto_table:1,2") == OfErrorCode::kUnsupportedOrder);
    CHECK(code_of("actions=clear_actions,clear_actions") == OfErrorCode::kDuplicateInstruction);
    CHECK(code_of("actions=clone(goto_table:1)") == OfErrorCode::kBadInstruction);
    CHECK(code_of("actions=write_actions(exit)") == OfErrorCode::kBadType);
    CHECK(code_of("actions=conjunction(1,1/9999)") == OfErrorCode::kBadArgument);
  }

  TEST_CASE("actions nest 15 deep, and no deeper") {
    std::string text = "1";
    for (int i = 0; i < 15; ++i) text = "clone(" + text + ")";
    CHECK(refusal("actions=" + text) == "accepted");
    CHECK(code_of("actions=clone(" + text + ")") == OfErrorCode::kTooManyActions);
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

  TEST_CASE("labels, tags and what runs beside") {
    shunt_action push = of_type(SHUNT_ACT_PUSH_MPLS);
    const __u8 lse[] = {0x88, 0x47, 0x00, 0x01, 0x07, 0x40};  // label 16, TC 3, bottom, TTL 64
    std::copy(std::begin(lse), std::end(lse), push.value);
    shunt_action pop = of_type(SHUNT_ACT_POP_MPLS);
    pop.value[0] = 0x08;
    shunt_action pbb = of_type(SHUNT_ACT_PUSH_PBB);
    pbb.value[0] = 0x68;
    pbb.value[3] = 9;
    CHECK(
        format_dp_actions(std::vector<shunt_action>{push, pop, pbb, of_type(SHUNT_ACT_POP_PBB)}) ==
        "push_mpls(label=16,tc=3,ttl=64,bos=1,eth_type=0x8847),pop_mpls(eth_type=0x0800),push_pbb(isid=9,uca=1,pcp=3),"
        "pop_pbb");
    CHECK(format_dp_actions(std::vector<shunt_action>{of_type(SHUNT_ACT_METER, 7), of_type(SHUNT_ACT_SET_QUEUE, 3),
                                                      of_type(SHUNT_ACT_DEC_MPLS_TTL), of_type(SHUNT_ACT_COPY_TTL_OUT),
                                                      of_type(SHUNT_ACT_COPY_TTL_IN), of_type(SHUNT_ACT_SAMPLE, 32768),
                                                      of_type(SHUNT_ACT_CONTROLLER, 1)}) ==
          "meter(7),set_queue(3),dec_mpls_ttl,copy_ttl_out,copy_ttl_in,sample(50.0%,0),controller(1)");
  }

  TEST_CASE("what is saved and restored is shown as a clone") {
    CHECK(format_dp_actions(std::vector<shunt_action>{of_type(SHUNT_ACT_SAVE), of_type(SHUNT_ACT_POP_VLAN),
                                                      output_to(1), of_type(SHUNT_ACT_RESTORE), output_to(2)}) ==
          "clone(pop_vlan,1),2");
    DpActions nested{of_type(SHUNT_ACT_SAVE), of_type(SHUNT_ACT_SAVE)};
    for (const Action& action : actions_of("ip,actions=mod_nw_ttl:63"))
      append_set_field(packet_of(0x0800, 6), written_by(std::get<SetFieldAction>(action)), nested);
    nested.push_back(of_type(SHUNT_ACT_RESTORE));
    nested.push_back(of_type(SHUNT_ACT_RESTORE));
    CHECK(format_dp_actions(as_span(nested)) == "clone(clone(set(ip(ttl=63))))");
    CHECK(format_dp_actions(std::vector<shunt_action>{of_type(SHUNT_ACT_SAVE), output_to(1)}) == "clone(1)");
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
