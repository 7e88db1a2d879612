// SPDX-License-Identifier: Apache-2.0
// Text of rules, groups and meters from anywhere: it is taken or refused with a position inside it, and what was taken
// is shown as text that is taken again, means the same and is shown the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/meter_text.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;

namespace {

const PortNames& names() {
  static const PortNames all{
      std::map<std::string, PortNo>{{"veth0", PortNo{1}}, {"all", PortNo{2}}, {"9p", PortNo{3}}}};
  return all;
}

void round_trip(const FlowMod& mod) {
  const std::string shown = format_flow_spec(mod, names());
  const FlowMod again = parse_flow(shown, mod.command, names());
  FUZZ_CHECK(format_flow_spec(again, names()) == shown);
  FUZZ_CHECK(again.match == mod.match && again.actions == mod.actions);
  FUZZ_CHECK(equal(mod.match.value & mod.match.mask, mod.match.value));
}

void round_trip(const GroupMod& mod) {
  const std::string shown = format_group_spec(mod, names());
  const GroupMod again = parse_group(shown, mod.command, names());
  FUZZ_CHECK(format_group_spec(again, names()) == shown);
  FUZZ_CHECK(again.group == mod.group && again.buckets.size() == mod.buckets.size());
  for (std::size_t i = 0; i < mod.buckets.size(); ++i) FUZZ_CHECK(again.buckets[i].actions == mod.buckets[i].actions);
}

void round_trip(const MeterMod& mod) {
  const std::string shown = format_meter_spec(mod);
  const MeterMod again = parse_meter(shown, mod.command);
  FUZZ_CHECK(format_meter_spec(again) == shown && again.config.bands == mod.config.bands);
}

void read(std::string_view text, unsigned kind) {
  if (kind < 5) {
    for (const FlowMod& mod : parse_flows(text, static_cast<FlowMod::Command>(kind), names())) round_trip(mod);
  } else if (kind < 11) {
    for (const GroupMod& mod : parse_groups(text, static_cast<GroupMod::Command>(kind - 5), names())) round_trip(mod);
  } else {
    for (const MeterMod& mod : parse_meters(text, static_cast<MeterMod::Command>(kind - 11))) round_trip(mod);
  }
}

}  // namespace

// The first byte, modulo 14, is the command: of rules 'T' is add and 'W' delete, of groups 'Y' is add and '^'
// remove_bucket, of meters '_' is add.
std::vector<std::string> shunt::test::fuzz_seeds() {
  return {
      "Tpriority=100,tcp,in_port=1,nw_dst=10.0.0.0/8,tp_dst=80 actions=output:2\n",
      "Ttable=3, cookie=0x2a, udp6,ipv6_src=fe80::/10,tp_src=0x10/0xf0 actions=NORMAL # comment\n",
      "Tdl_vlan=10,dl_vlan_pcp=3 actions=strip_vlan,output(port=veth0,max_len=96),\"9p\"\n",
      "Tvlan_tci=0x1000/0x1000,vlan_tci1=0x1014/0x1fff actions=pop_vlan,set_field:5->vlan_pcp,mod_vlan_vid:7\n",
      "Tarp,arp_op=1,arp_spa=10.0.0.1,arp_tha=00:00:00:00:00:01/ff:00:00:00:00:01 "
      "actions=load:2->NXM_OF_ARP_OP[],FLOOD\n",
      "Ticmp6,icmp_type=135,icmp_code=0,nd_target=::1,nd_sll=1:2:3:4:5:6 actions=set_field:::2/::f->nd_target,LOCAL\n",
      "Tmpls,mpls_label=5,mpls_bos=0,mpls_lse1=0x100/0x100 actions=set_field:9->mpls_ttl,drop\n",
      "Tsctp,ip_frag=not_later,nw_tos=8,nw_ecn=1,nw_ttl=64 "
      "actions=dec_ttl,mod_tp_src:5,mod_nw_tos:4,move:ip_src[0..7]->ip_dst[8..15]\n",
      "Ttcp,tcp_flags=+syn-ack actions=push_vlan:0x88a8,set_field:4106->vlan_vid,all\ntcp,tcp_flags=syn|ack actions=\n",
      "Wcookie=5/-1,out_port=LOCAL,ip\nmodify ip actions=drop\ndelete_strict priority=3\n",
      "Tcookie=0x0, duration=3.142s, table=0, n_packets=5, n_bytes=490, actions=mod_dl_src:00:11:22:33:44:55,in_port\n",
      "Tidle_timeout=5,hard_timeout=6,send_flow_rem,importance=3,reg0=5/7,xxreg1=9,metadata=1/3,tun_id=7,pkt_mark=1 "
      "actions=meter:1,push:reg0[0..5],pop:reg1[],clear_actions,write_actions(group:3,set_field:1->reg0,controller),"
      "write_metadata:1/3,goto_table:9\n",
      "Tudp actions=learn(table=2,eth_type=0x800,nw_proto=17,udp_dst=udp_src,load:5->reg2[0..5],output:in_port,limit=5,"
      "result_dst=reg0[3]),check_pkt_larger(1500)->reg0[0],fin_timeout(idle_timeout=1)\n",
      "Tactions=multipath(eth_src,50,hrw,12,0,reg0[]),bundle_load(symmetric_l4,5,active_backup,ofport,reg0[],members:1,"
      "2),"
      "sample(probability=9,sampling_port=1,egress),controller(id=3,userdata=aa.bb,pause),note:01.02\n",
      "Tip "
      "actions=clone(push_mpls:0x8847,set_field:5->mpls_label,clone(1)),dec_ttl(1,2),push_pbb,set_field:5->pbb_isid,"
      "resubmit(\"9p\",3),enqueue:1:2,pop_queue,exit\n",
      "Tactions=conjunction(5,1/2),conjunction(6,2/64),note:\nipv6,ipv6_exthdr=+frag-hop "
      "actions=apply_actions(1,drop)\n",
      "Vcookie=1/-1,cookie=2,tcp,actions=resubmit(,3)\ndelete out_group=3\n",
      "Ygroup_id=1,type=select,selection_method=hash,selection_method_param=5,fields(ip_src,tcp_dst=0xff),"
      "bucket=bucket_id:7,weight:10,watch_port:\"9p\",actions=set_field:5->tcp_dst,1,bucket=2\nadd group_id=2,type=ff,"
      "bucket=watch_group:1,group:1\ninsert_bucket group_id=1,command_bucket_id=first,bucket=drop # end\n",
      "^group_id=1,command_bucket_id=all\n",
      "_meter=1,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=100,type=dscp_remark rate=5 burst_size=0 "
      "prec_level=1\nmeter=2 pktps bands=\ntype=drop rate=9\n delete meter=all\n",
  };
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text{reinterpret_cast<const char*>(data) + 1, size - 1};
  try {
    read(text, data[0] % 14u);
  } catch (const LineError& error) {
    FUZZ_CHECK(error.line() >= 1 && error.column() >= 1 && error.column() <= text.size() + 1);
  }
  return 0;
}
