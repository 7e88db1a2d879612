// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/rule_text.h"

#include <doctest/doctest.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <initializer_list>
#include <string>

#include "user/base/of_error.h"
#include "user/flow/fields.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/meter_text.h"

using namespace shunt;
using Command = FlowMod::Command;

namespace {

const PortNames& names() {
  static const PortNames all{std::map<std::string, PortNo>{
      {"veth0", PortNo{1}}, {"veth1", PortNo{2}}, {"vm-3", PortNo{3}}, {"7up", PortNo{4}}, {"local", PortNo{5}}}};
  return all;
}

FlowMod add(std::string_view text) { return parse_flow(text, Command::kAdd, names()); }

// The match alone, as it is shown.
std::string match_of(const std::string& text) { return format_match(add(text + " actions=drop").match); }

std::string refusal(std::string_view text, Command command = Command::kAdd) {
  try {
    (void)parse_flow(text, command, names());
  } catch (const TextError& error) {
    return error.what();
  }
  return "accepted";
}

std::string match_refusal(const std::string& text) { return refusal(text + " actions=drop"); }

OfErrorCode code_of(const std::string& match) {
  try {
    (void)add(match + " actions=drop");
  } catch (const TextError& error) {
    REQUIRE(error.code());
    return *error.code();
  }
  FAIL("accepted");
  return {};
}

}  // namespace

TEST_SUITE("rule text: matches") {
  TEST_CASE("keywords stand for types and protocols") {
    CHECK(match_of("ip") == "ip");
    CHECK(match_of("tcp") == "tcp");
    CHECK(match_of("dl_type=0x0800,nw_proto=17") == "udp");
    CHECK(match_of("ip6,nw_proto=58") == "icmp6");
    CHECK(match_of("sctp6") == "sctp6");
    CHECK(match_of("rarp") == "rarp");
    CHECK(match_of("mplsm") == "mplsm");
    CHECK(match_of("eth") == "");
    CHECK(match_of("dl_type=0x88cc") == "dl_type=0x88cc");
    CHECK(match_of("ip,nw_proto=2") == "ip,nw_proto=2");
    CHECK(match_of("") == "");
  }

  TEST_CASE("fields are shown in ovs-ofctl's order, whatever the order of the text") {
    CHECK(match_of("tp_dst=80,nw_dst=10.1.2.3/8,in_port=1,dl_vlan=10,tcp,dl_src=00:00:00:00:00:01") ==
          "tcp,in_port=1,dl_vlan=10,dl_src=00:00:00:00:00:01,nw_dst=10.0.0.0/8,tp_dst=80");
    CHECK(match_of("arp_op=1 arp arp_spa=10.0.0.0/255.255.0.0") == "arp,arp_spa=10.0.0.0/16,arp_op=1");
    CHECK(match_of("ip,ip_frag=not_later,nw_tos=4") == "ip,nw_tos=4,nw_frag=not_later");
    CHECK(match_of("tcp6,tcp_flags=+syn-ack,ipv6_label=0x5/0xf") ==
          "tcp6,ipv6_label=0x00005/0x0000f,tcp_flags=+syn-ack");
    CHECK(match_of("icmp6,icmp_type=135,nd_target=fe80::1,nd_sll=00:00:00:00:00:01") ==
          "icmp6,icmp_type=135,nd_target=fe80::1,nd_sll=00:00:00:00:00:01");
    CHECK(match_of("mpls,mpls_label=3,mpls_bos=1") == "mpls,mpls_label=3,mpls_bos=1");
    CHECK(match_of("ip,ip_dscp=7,ip_ecn=1") == "ip,nw_tos=28,nw_ecn=1");
  }

  TEST_CASE("metadata stands where ovs-ofctl has it") {
    CHECK(match_of("tun_id=5,metadata=7/15,in_port=1,reg0=3,reg1=5/7,xreg1=5,xxreg2=9,tcp,pkt_mark=5,conj_id=3") ==
          "pkt_mark=0x5,conj_id=3,tcp,reg0=0x3,reg1=0x5/0x7,reg2=0,reg3=0x5,reg8=0,reg9=0,reg10=0,reg11=0x9,"
          "tun_id=0x5,metadata=0x7/0xf,in_port=1");
    CHECK(match_of("tunnel_id=5/7") == "tun_id=0x5/0x7");
    CHECK(match_of("actset_output=5,ip") == "actset_output=5,ip");
    CHECK(match_of("actset_output=unset") == "actset_output=UNSET");
    CHECK(match_of("skb_priority=0x10") == "skb_priority=0x10");
    CHECK(match_of("reg0=5,xreg0=0x500000000/0xffffffff00000000") == "reg0=0x5");
    CHECK(match_refusal("reg0=6,xreg0=0x500000000/0xffffffff00000000").find("contradicts") != std::string::npos);
  }

  TEST_CASE("extension headers, PBB and the physical port") {
    CHECK(match_of("ipv6,ipv6_exthdr=+frag-hop") == "ipv6,ipv6_exthdr=+frag-hop");
    CHECK(match_of("ipv6,ipv6_exthdr=0x010/0x050") == "ipv6,ipv6_exthdr=+frag-hop");
    CHECK(match_of("ipv6,ipv6_exthdr=frag|unseq") == "ipv6,ipv6_exthdr=frag|unseq");
    CHECK(match_of("ipv6,ipv6_exthdr=0") == "ipv6,ipv6_exthdr=0");
    CHECK(match_of("tcp6,ipv6_exthdr=+nonext+esp+auth+dest+router+unrep") ==
          "tcp6,ipv6_exthdr=+nonext+esp+auth+dest+router+unrep");
    CHECK(match_refusal("ipv6,ipv6_exthdr=+flag") ==
          "column 18: '+flag' are no extension headers (write +frag-hop, frag|hop, or a number)");
    CHECK(match_of("pbb,pbb_isid=500,pbb_uca=1") == "dl_type=0x88e7,pbb_isid=500,pbb_uca=1");
    CHECK(match_of("dl_type=0x88e7,pbb_isid=0x100/0xff00") == "dl_type=0x88e7,pbb_isid=0x100/0xff00");
    CHECK(match_of("in_port_oxm=5") == "in_port=5");
    CHECK(match_of("in_phy_port=5,in_port=5") == "in_port=5");
    CHECK(match_refusal("in_phy_port=5") == "column 1: in_phy_port needs in_port in the match");
    CHECK(match_refusal("in_port=4,in_phy_port=5").find("in_phy_port contradicts") != std::string::npos);
  }

  TEST_CASE("masks are taken where OpenFlow or Open vSwitch takes them, and refused elsewhere") {
    for (const char* text :
         {"in_port=1/3",           "dl_type=0x800/0xff00", "dl_vlan=5/7",         "vlan_pcp=3/1",
          "dl_vlan_pcp=3/1",       "ip,nw_proto=6/7",      "ip,ip_dscp=2/2",      "ip,nw_tos=8/8",
          "ip,nw_ecn=1/1",         "ip,nw_ttl=3/7",        "icmp,icmp_type=8/8",  "icmp,icmp_code=0/1",
          "icmp6,icmpv6_type=1/1", "arp,arp_op=1/1",       "mpls,mpls_label=5/7", "mpls,mpls_tc=1/1",
          "mpls,mpls_bos=1/1",     "mpls,mpls_ttl=1/1",    "pbb,pbb_uca=1/1",     "actset_output=1/1",
          "conj_id=3/5",           "skb_priority=1/1"}) {
      CAPTURE(text);
      CHECK(match_refusal(text).find("takes no mask") != std::string::npos);
      CHECK(code_of(text) == OfErrorCode::kBadMatchMask);
    }
    for (const char* text : {"metadata=1/3",
                             "tun_id=1/3",
                             "reg3=1/3",
                             "xreg3=1/3",
                             "xxreg3=1/3",
                             "pkt_mark=1/3",
                             "dl_src=00:00:00:00:00:01/00:00:00:00:00:03",
                             "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
                             "vlan_vid=0x1001/0x1003",
                             "vlan_tci=0x1001/0x1003",
                             "ip,nw_src=10.0.0.0/8",
                             "ip,nw_dst=10.0.0.1/255.0.0.255",
                             "arp,arp_spa=10.0.0.0/8",
                             "arp,arp_tpa=10.0.0.0/8",
                             "arp,arp_sha=00:00:00:00:00:01/00:00:00:00:00:03",
                             "arp,arp_tha=00:00:00:00:00:01/00:00:00:00:00:03",
                             "ipv6,ipv6_src=fe80::/10",
                             "ipv6,ipv6_dst=::1/::ff",
                             "ipv6,ipv6_label=5/7",
                             "ipv6,ipv6_exthdr=1/3",
                             "pbb,pbb_isid=1/3",
                             "tcp,tcp_flags=2/2",
                             "ip,ip_frag=1/1",
                             "tcp,tcp_src=1/3",
                             "udp,udp_dst=1/3",
                             "sctp,sctp_src=1/3",
                             "icmp6,icmp_type=135,nd_target=fe80::/10",
                             "icmp6,icmp_type=135,nd_sll=00:00:00:00:00:01/00:00:00:00:00:03",
                             "icmp6,icmp_type=136,nd_tll=00:00:00:00:00:01/00:00:00:00:00:03"}) {
      CAPTURE(text);
      CHECK(match_refusal(text) == "accepted");
    }
  }

  TEST_CASE("each field of OpenFlow 1.3 can be matched, and each prerequisite of it is needed") {
    struct Case {
      const char* prerequisite;
      const char* field;
    };
    for (const Case& c : std::initializer_list<Case>{{"", "in_port=1"},
                                                     {"in_port=1", "in_phy_port=1"},
                                                     {"", "metadata=1"},
                                                     {"", "eth_dst=00:00:00:00:00:01"},
                                                     {"", "eth_src=00:00:00:00:00:01"},
                                                     {"", "eth_type=0x800"},
                                                     {"", "vlan_vid=0x1001"},
                                                     {"", "vlan_pcp=1"},
                                                     {"ip", "ip_dscp=1"},
                                                     {"ipv6", "ip_ecn=1"},
                                                     {"ip", "ip_proto=6"},
                                                     {"ip", "ip_src=1.2.3.4"},
                                                     {"ip", "ip_dst=1.2.3.4"},
                                                     {"tcp", "tcp_src=1"},
                                                     {"tcp6", "tcp_dst=1"},
                                                     {"udp", "udp_src=1"},
                                                     {"udp6", "udp_dst=1"},
                                                     {"sctp", "sctp_src=1"},
                                                     {"sctp6", "sctp_dst=1"},
                                                     {"icmp", "icmp_type=1"},
                                                     {"icmp", "icmp_code=1"},
                                                     {"arp", "arp_op=1"},
                                                     {"arp", "arp_spa=1.2.3.4"},
                                                     {"arp", "arp_tpa=1.2.3.4"},
                                                     {"arp", "arp_sha=00:00:00:00:00:01"},
                                                     {"arp", "arp_tha=00:00:00:00:00:01"},
                                                     {"ipv6", "ipv6_src=::1"},
                                                     {"ipv6", "ipv6_dst=::1"},
                                                     {"ipv6", "ipv6_label=1"},
                                                     {"icmp6", "icmpv6_type=1"},
                                                     {"icmp6", "icmpv6_code=1"},
                                                     {"icmp6,icmpv6_type=135", "nd_target=::1"},
                                                     {"icmp6,icmpv6_type=135", "nd_sll=00:00:00:00:00:01"},
                                                     {"icmp6,icmpv6_type=136", "nd_tll=00:00:00:00:00:01"},
                                                     {"mpls", "mpls_label=1"},
                                                     {"mplsm", "mpls_tc=1"},
                                                     {"mpls", "mpls_bos=1"},
                                                     {"pbb", "pbb_isid=1"},
                                                     {"", "tunnel_id=1"},
                                                     {"ipv6", "ipv6_exthdr=+frag"}}) {
      CAPTURE(c.field);
      CHECK(match_refusal(fmt::format("{},{}", c.prerequisite, c.field)) == "accepted");
      if (*c.prerequisite != 0) CHECK(code_of(c.field) == OfErrorCode::kBadPrerequisite);
    }
  }

  TEST_CASE("refusals have OpenFlow's names") {
    CHECK(code_of("nw_scr=1") == OfErrorCode::kBadMatchField);
    CHECK(code_of("ct_state=+new") == OfErrorCode::kBadMatchField);
    CHECK(code_of("tcp,tp_dst=99999") == OfErrorCode::kBadMatchValue);
    CHECK(code_of("in_port=normal") == OfErrorCode::kBadMatchValue);
    CHECK(code_of("in_port=veth9") == OfErrorCode::kBadMatchValue);
    CHECK(code_of("vlan_vid=5") == OfErrorCode::kBadMatchValue);
    CHECK(code_of("ip,nw_src=10.0.0.0/33") == OfErrorCode::kBadMatchMask);
    CHECK(code_of("tp_dst=80") == OfErrorCode::kBadPrerequisite);
    CHECK(code_of("tcp,udp") == OfErrorCode::kDuplicateField);
    CHECK(code_of("ip,nw_src=1.1.1.1,ip_src=1.1.1.1") == OfErrorCode::kDuplicateField);
    CHECK(code_of("table=254") == OfErrorCode::kFlowModBadTable);
    CHECK(code_of("hard_timeout=99999") == OfErrorCode::kBadTimeout);
  }

  TEST_CASE("every name of a field is the same field") {
    CHECK(match_of("tcp,ip_src=1.2.3.4,eth_dst=00:00:00:00:00:01,tcp_dst=5,ip_ttl=3") ==
          match_of("tcp,nw_src=1.2.3.4,dl_dst=00:00:00:00:00:01,tp_dst=5,nw_ttl=3"));
    CHECK(match_of("icmp6,icmpv6_type=135") == match_of("icmp6,icmp_type=135"));
    CHECK(match_of("arp,nw_src=10.0.0.1,nw_proto=1") == "arp,arp_spa=10.0.0.1,arp_op=1");
  }

  TEST_CASE("VLAN matches mean what ovs-fields(7) says") {
    CHECK(match_of("dl_vlan=10") == "dl_vlan=10");
    CHECK(match_of("dl_vlan=0") == "dl_vlan=0");
    CHECK(match_of("dl_vlan=0xffff") == "vlan_tci=0x0000");
    CHECK(match_of("vlan_vid=0") == "vlan_tci=0x0000/0x1fff");
    CHECK(match_of("vlan_vid=0x100a") == "dl_vlan=10");
    CHECK(match_of("vlan_vid=0x1000/0x1000") == "vlan_tci=0x1000/0x1000");
    CHECK(match_of("vlan_vid=0x1005/0x100f") == "vlan_tci=0x1005/0x100f");
    CHECK(match_of("dl_vlan_pcp=3") == "dl_vlan_pcp=3");
    CHECK(match_of("dl_vlan=5,vlan_pcp=2") == "dl_vlan=5,dl_vlan_pcp=2");
    CHECK(match_of("vlan_tci=0x100a/0x1fff") == "dl_vlan=10");
    CHECK(match_of("vlan_tci=0") == "vlan_tci=0x0000");
    CHECK(match_of("vlan_tci1=0x1005,vlan_tci=0x1000/0x1000") == "vlan_tci=0x1000/0x1000,vlan_tci1=0x1005");
    CHECK(match_of("vlan_tpid=0x88a8") == "vlan_tpid=0x88a8");
    const Match tagged = add("dl_vlan=10,actions=drop").match;
    CHECK(tagged.mask.vlan[0].tci.host() == 0x1fff);
    CHECK(tagged.value.vlan[0].tci.host() == 0x100a);
    CHECK(add("dl_vlan=0xffff,actions=drop").match.mask.vlan[0].tci.host() == 0xffff);
  }

  TEST_CASE("bits under the mask are cleared, and a mask of nothing matches everything") {
    CHECK(match_of("tcp,tp_src=80/0xff00") == "tcp,tp_src=0x0/0xff00");
    CHECK(match_of("ip,nw_src=0.0.0.0/0") == "ip");
    CHECK(match_of("ipv6,ipv6_dst=fe80::1/10") == "ipv6,ipv6_dst=fe80::/10");
  }

  TEST_CASE("ports are numbers, names and LOCAL") {
    CHECK(add("in_port=7 actions=drop").match.value.in_port == 7);
    CHECK(add("in_port=veth1 actions=drop").match.value.in_port == 2);
    CHECK(add("in_port=\"vm-3\" actions=drop").match.value.in_port == 3);
    CHECK(add("in_port=\"7up\" actions=drop").match.value.in_port == 4);
    CHECK(add("in_port=\"local\" actions=drop").match.value.in_port == 5);
    CHECK(add("in_port=local actions=drop").match.value.in_port == kPortLocal.value);
    CHECK(add("in_port=65534 actions=drop").match.value.in_port == kPortLocal.value);
    CHECK(format_match(add("in_port=2 actions=drop").match, names()) == "in_port=veth1");
    CHECK(format_match(add("in_port=4 actions=drop").match, names()) == "in_port=\"7up\"");
    CHECK(format_match(add("in_port=5 actions=drop").match, names()) == "in_port=\"local\"");
    CHECK(format_match(add("in_port=LOCAL actions=drop").match, names()) == "in_port=LOCAL");
    CHECK(match_refusal("in_port=0") == "column 9: 0 is no port number (1 to 65280, or a reserved one)");
    CHECK(match_refusal("in_port=normal") == "column 9: no packet comes in on normal");
    CHECK(match_refusal("in_port=vethO") == "column 9: the bridge has no port 'vethO' (did you mean 'veth0'?)");
  }

  TEST_CASE("a field without its prerequisite is refused, and the message names what is missing") {
    CHECK(match_refusal("tp_src=80") ==
          "column 1: tp_src needs tcp, udp or sctp (tcp6, udp6, sctp6 for IPv6) in the match");
    CHECK(match_refusal("udp,tcp_flags=syn") == "column 5: tcp_flags needs tcp or tcp6 in the match");
    CHECK(match_refusal("nw_proto=6") == "column 1: nw_proto needs ip or ipv6 in the match");
    CHECK(match_refusal("ipv6,nw_src=10.0.0.1") == "column 6: nw_src needs ip in the match");
    CHECK(match_refusal("icmp6,nd_target=::1").find("icmp_type=135") != std::string::npos);
    CHECK(match_refusal("icmp6,icmp_type=136,nd_sll=00:00:00:00:00:01").find("nd_sll needs") != std::string::npos);
    CHECK(match_refusal("pbb_isid=5") == "column 1: pbb_isid needs pbb (dl_type=0x88e7) in the match");
    CHECK(match_refusal("ip,ipv6_exthdr=+frag") == "column 4: ipv6_exthdr needs ipv6 in the match");
    CHECK(match_refusal("tcp,ip_frag=later,tp_dst=80").find("tp_dst needs") != std::string::npos);
    CHECK(match_refusal("mpls,mpls_lse1=5").find("mpls_bos=0") != std::string::npos);
  }

  TEST_CASE("what is said twice or contradicts itself is refused") {
    CHECK(match_refusal("ip,nw_dst=1.1.1.1,nw_dst=1.1.1.2") == "column 19: nw_dst was given already");
    CHECK(match_refusal("ip,nw_dst=1.1.1.1,ip_dst=1.1.1.1") == "column 19: ip_dst was given already");
    CHECK(match_refusal("ip,dl_type=0x806") == "column 4: dl_type contradicts what the match says already");
    CHECK(match_refusal("tcp,udp") == "column 5: udp contradicts what the match says already");
    CHECK(match_refusal("dl_vlan=5,vlan_tci=0") == "column 11: vlan_tci contradicts what the match says already");
    CHECK(match_refusal("ip,ip") == "column 4: ip was given already");
    CHECK(match_refusal("tcp,dl_type=0x800,nw_proto=6") == "accepted");
    CHECK(match_refusal("priority=1,priority=2") == "column 12: priority was given already");
  }

  TEST_CASE("what is not known is refused, with the nearest name") {
    CHECK(match_refusal("nw_scr=10.0.0.1") == "column 1: unknown field or keyword 'nw_scr' (did you mean 'nw_src'?)");
    CHECK(match_refusal("prority=5") == "column 1: unknown field or keyword 'prority' (did you mean 'priority'?)");
    CHECK(match_refusal("in_port=1,zebra=5") == "column 11: unknown field or keyword 'zebra'");
    CHECK(match_refusal("tun_src=1.2.3.4") == "column 1: tun_src is not supported yet");
    CHECK(match_refusal("ct_state=+new") == "column 1: ct_state is not supported yet");
    CHECK(match_refusal("reg16=5").find("unknown field or keyword 'reg16'") != std::string::npos);
    CHECK(match_refusal("NXM_OF_ETH_SRC=5").find("unknown field") != std::string::npos);
    CHECK(match_refusal("tcp=5") == "column 4: 'tcp' stands alone, without a value");
    CHECK(match_refusal("nw_src") == "column 1: nw_src wants a value: nw_src=...");
    CHECK(match_refusal("ip,nw_src=") == "column 11: '' is not an IPv4 address for ip_src");
    CHECK(match_refusal("vlan_vid=10") ==
          "column 10: no packet has a VID without a tag: write dl_vlan=10 or vlan_vid=0x100a");
  }
}

TEST_SUITE("rule text: rules") {
  TEST_CASE("table, priority and cookie have OpenFlow's defaults and ranges") {
    const FlowMod plain = add("actions=drop");
    CHECK(plain.priority == 32768);
    CHECK(plain.cookie == 0);
    CHECK_FALSE(plain.table);
    const FlowMod full = add("table=253, priority=65535, cookie=0xffffffffffffffff, actions=drop");
    CHECK(full.table == 253);
    CHECK(full.priority == 65535);
    CHECK(full.cookie == ~std::uint64_t{0});
    CHECK(match_refusal("table=254") == "column 7: table 254 is out of range (at most 253)");
    CHECK(match_refusal("priority=65536") == "column 10: priority 65536 is out of range (at most 65535)");
    CHECK(match_refusal("priority=010") == "column 10: priority '010' begins with 0: write it without, or as 0x...");
    CHECK(match_refusal("cookie=1/2") == "column 9: the cookie of a new rule takes no mask");
    CHECK(match_refusal("priority=") == "column 1: priority wants a value: priority=...");
  }

  TEST_CASE("deletions select by cookie, table and out_port, and have no actions") {
    const FlowMod all = parse_flow("", Command::kDelete, names());
    CHECK_FALSE(all.table);
    CHECK(is_zero(all.match.mask));
    const FlowMod some = parse_flow("table=all,cookie=0x17/0xf,out_port=veth1,tcp", Command::kDelete, names());
    CHECK(some.cookie == 7);
    CHECK(some.cookie_mask == 0xf);
    CHECK(some.out_port == PortNo{2});
    CHECK(parse_flow("out_group=7", Command::kDelete, names()).out_group == 7);
    CHECK(match_refusal("out_group=7").find("out_group selects") != std::string::npos);
    CHECK(parse_flow("cookie=5/-1", Command::kDelete, names()).cookie_mask == ~std::uint64_t{0});
    CHECK(refusal("cookie=5", Command::kDelete) == "column 8: a cookie that selects has a mask: cookie=5/-1");
    CHECK(refusal("actions=drop", Command::kDelete) == "column 1: a deletion or a filter has no actions");
    CHECK(refusal("priority=5", Command::kDelete).find("only the strict forms") != std::string::npos);
    CHECK(parse_flow("priority=5", Command::kDeleteStrict, names()).priority == 5);
    CHECK(match_refusal("out_port=1").find("out_port selects") != std::string::npos);
  }

  TEST_CASE("a rule without actions is refused") {
    CHECK(refusal("tcp") == "column 4: the actions are missing (actions=...)");
    CHECK(match_refusal("allow_hidden_fields=true").find("not supported yet") != std::string::npos);
  }

  TEST_CASE("timeouts, importance and flags are those of ovs-ofctl") {
    const FlowMod mod =
        add("idle_timeout=10,hard_timeout=20,importance=3,send_flow_rem,check_overlap,reset_counts,"
            "no_packet_counts,no_byte_counts,priority=100,tcp,actions=output:2");
    CHECK(mod.idle_timeout == 10);
    CHECK(mod.hard_timeout == 20);
    CHECK(mod.importance == 3);
    CHECK(mod.flags == (kSendFlowRemoved | kCheckOverlap | kResetCounts | kNoPacketCounts | kNoByteCounts));
    CHECK(format_flow_spec(mod) ==
          "idle_timeout=10, hard_timeout=20, send_flow_rem check_overlap reset_counts no_packet_counts no_byte_counts "
          "importance=3, priority=100,tcp actions=output:2");
    CHECK(match_refusal("idle_timeout=65536") == "column 14: idle_timeout 65536 is out of range (at most 65535)");
    CHECK(match_refusal("idle_timeout=1,idle_timeout=2") == "column 16: idle_timeout was given already");
    CHECK(match_refusal("send_flow_rem=1") == "column 14: 'send_flow_rem' stands alone, without a value");
    CHECK(refusal("idle_timeout=5,tcp", Command::kDelete).find("idle_timeout is for new rules") != std::string::npos);
    CHECK(refusal("send_flow_rem,actions=1", Command::kModify).find("for new rules") != std::string::npos);
    CHECK(refusal("reset_counts,actions=1", Command::kModify) == "accepted");
  }

  TEST_CASE("a modification selects by one cookie and sets another") {
    const FlowMod mod = parse_flow("cookie=1/-1,cookie=2,actions=1", Command::kModify, names());
    CHECK(mod.cookie == 1);
    CHECK(mod.cookie_mask == ~std::uint64_t{0});
    CHECK(mod.new_cookie == 2);
    CHECK(parse_flow("cookie=7,actions=1", Command::kModifyStrict, names()).new_cookie == 7);
    CHECK(refusal("cookie=1/-1,cookie=2/-1,actions=1", Command::kModify) == "column 13: cookie was given already");
    CHECK(refusal("cookie=1,cookie=2,actions=1", Command::kModify) == "column 10: cookie was given already");
    CHECK(match_refusal("cookie=1,cookie=2") == "column 10: cookie was given already");
  }

  TEST_CASE("a rule is listed as ovs-ofctl dump-flows does, and the line can be added again") {
    Rule rule;
    rule.table = 3;
    rule.priority = 100;
    rule.cookie = 0x2a;
    const FlowMod mod = add("tcp,in_port=1,nw_dst=10.0.0.0/8 actions=output:2");
    rule.match = mod.match;
    rule.actions = mod.actions;
    rule.counters.add(5, 490, rule.created + std::chrono::milliseconds{1100});
    const TimePoint now = rule.created + std::chrono::milliseconds{3042};
    const std::string line = format_flow(rule, now);
    CHECK(line ==
          "cookie=0x2a, duration=3.042s, table=3, n_packets=5, n_bytes=490, idle_age=1, "
          "priority=100,tcp,in_port=1,nw_dst=10.0.0.0/8 actions=output:2");
    CHECK(format_flow(rule, now, names())
              .ends_with("priority=100,tcp,in_port=veth0,nw_dst=10.0.0.0/8 actions=output:veth1"));
    const FlowMod again = add(line);
    CHECK(again.table == 3);
    CHECK(again.cookie == 0x2a);
    CHECK(again.priority == 100);
    CHECK(equal(again.match.value, rule.match.value));
    rule.priority = kDefaultPriority;
    rule.match = {};
    CHECK(format_flow(rule, now).ends_with("n_bytes=490, idle_age=1, actions=output:2"));
    rule.idle_timeout = 10;
    rule.hard_timeout = 60;
    rule.importance = 7;
    rule.flags = kSendFlowRemoved;
    rule.modified = (rule.created + std::chrono::milliseconds{1500}).time_since_epoch().count();
    const std::string full = format_flow(rule, rule.created + std::chrono::seconds{4});
    CHECK(full ==
          "cookie=0x2a, duration=4s, table=3, n_packets=5, n_bytes=490, idle_timeout=10, hard_timeout=60, "
          "send_flow_rem importance=7, idle_age=2, hard_age=2, actions=output:2");
    CHECK(add(full).idle_timeout == 10);
    CHECK(add(full).flags == kSendFlowRemoved);
    CHECK(match_refusal("duration=long") == "column 1: 'long' is no duration");
  }
}

TEST_SUITE("rule text: files") {
  TEST_CASE("lines are rules, with comments, blank lines and command words") {
    const auto mods = parse_flows(
        "# the first\n\n  priority=1,tcp actions=output:1  # http\nadd ip,actions=drop\r\n"
        "modify tcp,actions=2\nmodify_strict priority=7,tcp,actions=2\ndelete,udp\ndelete_strict priority=3\n",
        Command::kAdd, names());
    REQUIRE(mods.size() == 6);
    CHECK(mods[0].command == Command::kAdd);
    CHECK(mods[0].priority == 1);
    CHECK(mods[0].line == 3);
    CHECK(mods[5].line == 8);
    CHECK(mods[1].command == Command::kAdd);
    CHECK(mods[2].command == Command::kModify);
    CHECK(mods[3].command == Command::kModifyStrict);
    CHECK(mods[3].priority == 7);
    CHECK(mods[4].command == Command::kDelete);
    CHECK(format_match(mods[4].match) == "udp");
    CHECK(mods[5].command == Command::kDeleteStrict);
    CHECK(parse_flows("tcp\nudp", Command::kDelete, names()).size() == 2);
    CHECK(parse_flows("", Command::kAdd, names()).empty());
  }

  TEST_CASE("an error names line and column of the file") {
    const auto refusal_in = [](std::string_view text) -> std::string {
      try {
        (void)parse_flows(text, Command::kAdd, names());
      } catch (const LineError& error) {
        return error.what();
      }
      return "accepted";
    };
    CHECK(refusal_in("tcp actions=1\n\nudp,tp_src=99999 actions=1\n") ==
          "line 3, column 12: 99999 is out of range for tp_src (at most 65535)");
    CHECK(refusal_in("  add  tcq actions=1") ==
          "line 1, column 8: unknown field or keyword 'tcq' (did you mean 'tcp'?)");
    CHECK(refusal_in("tcp # actions=1") == "line 1, column 5: the actions are missing (actions=...)");
  }

  TEST_CASE("a '#' in a quoted port name is no comment") {
    const PortNames odd{std::map<std::string, PortNo>{{"a#b", PortNo{9}}}};
    const auto mods = parse_flows("in_port=\"a#b\" actions=output:\"a#b\" # comment", Command::kAdd, odd);
    REQUIRE(mods.size() == 1);
    CHECK(mods[0].match.value.in_port == 9);
    CHECK(format_flow_spec(mods[0], odd) == "in_port=\"a#b\" actions=output:\"a#b\"");
  }

  TEST_CASE("the time to parse 100,000 rules does not grow with their square") {
    std::string text;
    for (int i = 0; i < 100'000; ++i)
      text += fmt::format(
          "priority={},tcp,in_port={},nw_src=10.{}.{}.0/24,nw_dst=192.168.0.{},tp_dst={} actions=output:{}\n",
          i % 65536, i % 64 + 1, i % 256, i / 256 % 256, i % 256, i % 65536, i % 32 + 1);
    const std::clock_t start = std::clock();
    CHECK(parse_flows(text, Command::kAdd, names()).size() == 100'000);
    const double spent = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    MESSAGE("100,000 rules parsed in ", spent, " s of CPU time");
    CHECK(spent < 10);  // a third of a second in a release build; what grows with the square takes minutes
  }
}

TEST_SUITE("docs/rules.md") {
  // ```rules, ```groups and ```meters blocks are files that are taken; each line of a ```refused block is not.
  TEST_CASE("the examples of the guide are what they say") {
    std::ifstream file{SHUNT_SOURCE_DIR "/docs/rules.md"};
    REQUIRE(file.is_open());
    const PortNames ports{
        std::map<std::string, PortNo>{{"veth0", PortNo{1}}, {"veth1", PortNo{2}}, {"uplink", PortNo{3}}}};
    std::string line, kind, block;
    int taken = 0, refused = 0, groups = 0, meters = 0;
    while (std::getline(file, line)) {
      if (!line.starts_with("```")) {
        if (kind == "rules" || kind == "groups" || kind == "meters") block += line + "\n";
        if (kind == "refused" && !line.empty()) {
          CAPTURE(line);
          CHECK_THROWS_AS((void)parse_flows(line, Command::kAdd, ports), LineError);
          ++refused;
        }
        continue;
      }
      if (kind == "rules") {
        CAPTURE(block);
        CHECK_NOTHROW(taken += static_cast<int>(parse_flows(block, Command::kAdd, ports).size()));
      } else if (kind == "groups") {
        CAPTURE(block);
        CHECK_NOTHROW(groups += static_cast<int>(parse_groups(block, GroupMod::Command::kAdd, ports).size()));
      } else if (kind == "meters") {
        CAPTURE(block);
        CHECK_NOTHROW(meters += static_cast<int>(parse_meters(block, MeterMod::Command::kAdd).size()));
      }
      kind = kind.empty() ? line.substr(3) : "";
      block.clear();
    }
    CHECK(kind.empty());
    CHECK(taken > 60);
    CHECK(refused > 10);
    CHECK(groups > 5);
    CHECK(meters > 3);
  }
}
