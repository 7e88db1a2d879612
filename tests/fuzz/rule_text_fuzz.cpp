// SPDX-License-Identifier: Apache-2.0
// Rule text from anywhere: it is taken or refused with a position inside it, and what was taken is shown as text that
// is taken again and shown the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz.h"
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
  FUZZ_CHECK(equal(again.match.value, mod.match.value) && equal(again.match.mask, mod.match.mask));
  FUZZ_CHECK(equal(mod.match.value & mod.match.mask, mod.match.value));
}

}  // namespace

// The first byte is the command: '2' is add, '5' delete.
std::vector<std::string> shunt::test::fuzz_seeds() {
  return {
      "2priority=100,tcp,in_port=1,nw_dst=10.0.0.0/8,tp_dst=80 actions=output:2\n",
      "2table=3, cookie=0x2a, udp6,ipv6_src=fe80::/10,tp_src=0x10/0xf0 actions=NORMAL # comment\n",
      "2dl_vlan=10,dl_vlan_pcp=3 actions=strip_vlan,output(port=veth0,max_len=96),\"9p\"\n",
      "2vlan_tci=0x1000/0x1000,vlan_tci1=0x1014/0x1fff actions=pop_vlan,set_field:5->vlan_pcp,mod_vlan_vid:7\n",
      "2arp,arp_op=1,arp_spa=10.0.0.1,arp_tha=00:00:00:00:00:01/ff:00:00:00:00:01 "
      "actions=load:2->NXM_OF_ARP_OP[],FLOOD\n",
      "2icmp6,icmp_type=135,icmp_code=0,nd_target=::1,nd_sll=1:2:3:4:5:6 actions=set_field:::2/::f->nd_target,LOCAL\n",
      "2mpls,mpls_label=5,mpls_bos=0,mpls_lse1=0x100/0x100 actions=set_field:9->mpls_ttl,drop\n",
      "2sctp,ip_frag=not_later,nw_tos=8,nw_ecn=1,nw_ttl=64 "
      "actions=dec_ttl,mod_tp_src:5,mod_nw_tos:4,move:ip_src[0..7]->ip_dst[8..15]\n",
      "2tcp,tcp_flags=+syn-ack actions=push_vlan:0x88a8,set_field:4106->vlan_vid,all\ntcp,tcp_flags=syn|ack actions=\n",
      "5cookie=5/-1,out_port=LOCAL,ip\nmodify ip actions=drop\ndelete_strict priority=3\n",
      "2cookie=0x0, duration=3.142s, table=0, n_packets=5, n_bytes=490, actions=mod_dl_src:00:11:22:33:44:55,in_port\n",
  };
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto command = static_cast<FlowMod::Command>(data[0] % 5);
  const std::string_view text{reinterpret_cast<const char*>(data) + 1, size - 1};
  try {
    for (const FlowMod& mod : parse_flows(text, command, names())) round_trip(mod);
  } catch (const LineError& error) {
    FUZZ_CHECK(error.line() >= 1 && error.column() >= 1 && error.column() <= text.size() + 1);
  }
  return 0;
}
