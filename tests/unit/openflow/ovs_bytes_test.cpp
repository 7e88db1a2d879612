// SPDX-License-Identifier: Apache-2.0
// Bytes as Open vSwitch 3.1 has them, written down here or judged by its ovs-ofctl: a round trip alone does not notice
// what is wrong both ways.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <string>

#include "user/openflow/codec/action_codec.h"
#include "user/openflow/codec/error_codec.h"
#include "user/openflow/codec/flow_codec.h"
#include "user/openflow/codec/group_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/meter_codec.h"
#include "user/openflow/codec/port_codec.h"
#include "user/openflow/codec/switch_codec.h"
#include "user/openflow/codec/table_codec.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;
using namespace shunt::openflow;

namespace {

std::vector<std::uint8_t> bytes_of(std::string_view hex) {
  std::vector<std::uint8_t> bytes;
  std::string digits;
  for (const char c : hex) {
    if (c == ' ') continue;
    digits += c;
    if (digits.size() < 2) continue;
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(digits, nullptr, 16)));
    digits.clear();
  }
  return bytes;
}

std::string hex_of(Bytes bytes) {
  std::string hex;
  for (const std::uint8_t byte : bytes) hex += fmt::format("{:02x}", byte);
  return hex;
}

// What a command prints, errors too.
std::string output_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe{::popen((command + " 2>&1").c_str(), "r"), ::pclose};
  REQUIRE(pipe != nullptr);
  std::string text;
  std::array<char, 4096> buffer{};
  for (std::size_t size = 0; (size = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) > 0;)
    text.append(buffer.data(), size);
  return text;
}

bool has_ovs_ofctl() {
  static const bool found = output_of("ovs-ofctl --version").starts_with("ovs-ofctl");
  if (!found) MESSAGE("skipped: there is no ovs-ofctl here");
  return found;
}

template <typename Encode>
std::vector<std::uint8_t> written(Encode&& encode) {
  Writer out;
  encode(out);
  return out.release();
}

Match match_of(const std::string& text) { return parse_flow(text, FlowMod::Command::kDelete, PortNames{}).match; }

// A message is one that ovs-ofctl can read.
void check_message(Bytes message) {
  const std::string shown = output_of("ovs-ofctl ofp-print " + hex_of(message));
  INFO(hex_of(message) << " is " << shown);
  CHECK(shown.find("decode error") == std::string::npos);
  CHECK(shown.find("OFPT_") + shown.find("NXT_") + shown.find("OFPST_") + shown.find("NXST_") != std::string::npos);
}

template <typename Fill>
void check_reply(MultipartKind kind, Version version, Fill&& fill) {
  for (const MultipartFormat& format : multipart_formats()) {
    if (format.kind != kind || version < format.since || format.until < version) continue;
    Writer out;
    {
      const MultipartScope message{out, version, format, 1};
      fill(out);
    }
    INFO(format.name << " of OpenFlow " << name_of(version));
    check_message(out.bytes());
  }
}

// What a match must say so that its packets have the field.
std::string match_with(const Field& f) {
  if (f.prerequisite == Prerequisite::kNone) return "";
  if (f.prerequisite == Prerequisite::kVlan) return "dl_vlan=5";
  const std::string text{describe(f.prerequisite)};  // "tcp, udp or sctp": the first of them
  return text.substr(0, std::min(text.find(" or "), text.find(", ")));
}

FlowModMessage rule_of(const Match& match, ActionList actions) {
  FlowModMessage message;
  message.mod.table = 1;
  message.mod.match = match;
  message.mod.actions = std::move(actions);
  return message;
}

}  // namespace

TEST_SUITE("openflow codec: Open vSwitch's bytes") {
  TEST_CASE("actions are read from its bytes, and written as these") {
    struct Case {
      Version version;
      const char* match;
      const char* actions;
      const char* hex;
    };
    static constexpr Case kCases[] = {
        {Version::k13, "", "set_field:0x12345600901234567890/0xffffff00ffffffffffff->xxreg1",
         "ffff0030 00002320 0021 0001e120 000000000000 12345600901234567890 000000000000 ffffff00ffffffffffff 0000"},
        {Version::k10, "", "multipath(nw_src,50,modulo_n,1,0,NXM_NX_REG0[])",
         "ffff0020 00002320 000a 0004 0032 0000 0000 0000 00000000 0000 001f 00010004"},
        {Version::k10, "", "multipath(nw_dst,50,modulo_n,1,0,NXM_NX_REG0[])",
         "ffff0020 00002320 000a 0005 0032 0000 0000 0000 00000000 0000 001f 00010004"},
        {Version::k13, "", "multipath(symmetric_l3,50,modulo_n,1,0,NXM_NX_REG0[])",
         "ffff0020 00002320 000a 0006 0032 0000 0000 0000 00000000 0000 001f 00010004"},
        {Version::k10, "arp", "set_field:1->arp_op", "ffff0018 00002320 0007 000f 00001e02 0000000000000001"},
        {Version::k13, "arp", "set_field:2->arp_op", "00190010 80002a02 0002 000000000000"},
        {Version::k10, "arp", "move:NXM_OF_ARP_OP[]->NXM_NX_REG0[0..15]",
         "ffff0018 00002320 0006 0010 0000 0000 00001e02 00010004"},
        {Version::k10, "arp", "push:NXM_OF_ARP_OP[]", "ffff0018 00002320 001b 0000 00001e02 0010 000000000000"},
        {Version::k10, "arp",
         "learn(table=1,eth_type=0x806,arp_op=2,load:NXM_OF_ARP_OP[]->NXM_NX_REG0[0..15],load:0x1->NXM_OF_ARP_OP[])",
         "ffff0050 00002320 0010 0000 0000 8000 0000000000000000 0000 01 00 0000 0000 2010 0806 00000602 0000 2010 0002"
         "00001e02 0000 0810 00001e02 0000 00010004 0000 2810 0001 00001e02 0000 00000000"},
        {Version::k13, "", "push:actset_output[],output:actset_output[]",
         "ffff0018 00002320 001b 0000 ffff5608 4f4e4600 0020 0000"
         "ffff0018 00002320 0020 001f ffff ffff5608 4f4e4600 0000"},
        {Version::k14, "", "output:NXM_NX_REG1[0..15]", "ffff0018 00002320 000f 000f 00010204 ffff 000000000000"},
        {Version::k10, "",
         "learn(table=20,hard_timeout=300,priority=1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
         "load:0->NXM_OF_VLAN_TCI[],load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:NXM_OF_IN_PORT[])",
         "ffff0060 00002320 0010 0000 012c 0001 0000000000000000 0000 14 00 0000 0000 000c 00000802 0000 00000802 0000"
         "0030 00000406 0000 00000206 0000 2810 0000 00000802 0000 0840 00012008 0000 00012008 0000 1010 00000002 0000"
         "00000000"},
    };
    const PortNames names;
    for (const Case& c : kCases) {
      INFO("OpenFlow " << name_of(c.version) << ": " << c.actions);
      const Match match = match_of(c.match);
      const std::vector<std::uint8_t> bytes = bytes_of(c.hex);
      const ActionList actions = decode_actions(bytes, c.version, ActionPlace::kList, match);
      CHECK(format_actions(actions) == format_actions(parse_actions(c.actions, match, names)));
      CHECK(hex_of(written([&](Writer& out) { encode_actions(out, actions, c.version, match); })) == hex_of(bytes));
    }
  }

  TEST_CASE("bits of arp_op above those that an operation uses are 0, and may be named") {
    const Match match = match_of("arp");
    const auto decode = [&](const char* hex) {
      return format_actions(decode_actions(bytes_of(hex), Version::k10, ActionPlace::kList, match));
    };
    CHECK(decode("ffff0018 00002320 0007 0007 00001e02 0000000000000001") == "set_field:1->arp_op");
    CHECK_THROWS_AS(decode("ffff0018 00002320 0007 000f 00001e02 0000000000000101"), OfError);
    CHECK_THROWS_AS((void)decode_fields(bytes_of("00000602 0806 00001e02 0101")), OfError);
    CHECK_THROWS_AS(parse_actions("load:0x101->NXM_OF_ARP_OP[]", match, PortNames{}), TextError);
  }

  TEST_CASE("a field's name has no mask and its own length, wherever one stands") {
    const auto refused = [](Version version, const char* hex) {
      try {
        (void)decode_actions(bytes_of(hex), version, ActionPlace::kList, Match{});
      } catch (const OfError& error) {
        return error.code() == OfErrorCode::kBadSetLength;
      }
      return false;
    };
    CHECK(refused(Version::k15, "001c0018 0010 0000 0000 0000 00010008 00010204 00000000"));
    CHECK(refused(Version::k15, "001c0018 0010 0000 0000 0000 00010104 00010204 00000000"));
    CHECK(refused(Version::k13,
                  "ffff0030 00002320 0010 0000 0000 8000 0000000000000000 0000 01 00 0000 0000 0010 00010008 0000"
                  "00010204 0000 0000"));
  }

  TEST_CASE("it can read the actions that are written, each in each version") {
    if (!has_ovs_ofctl()) return;
    const PortNames names;
    struct Case {
      const char* match;
      const char* actions;
    };
    static constexpr Case kCases[] = {
        {"", "output:1,output:LOCAL,IN_PORT,NORMAL,FLOOD,ALL,controller:64,controller"},
        {"tcp", "mod_nw_src:10.0.0.1,mod_nw_dst:10.0.0.2,mod_nw_ttl:9,dec_ttl,mod_tp_dst:5,output:2"},
        {"tcp", "set_field:10.0.0.0/8->ip_src,set_field:1->nw_ecn,load:5->NXM_NX_REG3[4..9],output:2"},
        {"tcp6", "set_field:fe80::/16->ipv6_src,set_field:::1->ipv6_dst,set_field:7->ipv6_label,output:2"},
        {"dl_vlan=5", "set_field:4->vlan_pcp,set_field:9->vlan_vid,pop_vlan,output:3"},
        {"", "push_vlan:0x88a8,output:3"},
        {"mpls", "set_mpls_label:5,set_mpls_tc:3,set_mpls_ttl:7,dec_mpls_ttl,pop_mpls:0x800,output:1"},
        {"arp",
         "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],"
         "load:0x0a000001->NXM_OF_ARP_SPA[],IN_PORT"},
        {"", "resubmit(,5),resubmit(3,),resubmit(3,7),exit"},
        {"", "push:NXM_OF_ETH_SRC[],pop:NXM_OF_ETH_DST[],push:NXM_NX_REG2[0..4],pop:NXM_NX_REG3[5..9]"},
        {"", "set_queue:7,output:1,pop_queue,output:2"},
        {"", "set_field:0x12345678901234567890/0xffffffffff00ffffffff->xxreg1"},
        {"", "output:NXM_NX_REG1[0..15],output:actset_output[],output(port=3,max_len=100)"},
        {"", "clone(mod_dl_src:02:00:00:00:00:01,output:3),output:4"},
        {"", "controller(reason=no_match,max_len=40,id=9),controller(userdata=01.02.03,pause)"},
        {"", "multipath(symmetric_l3l4+udp,50,hrw,12,9,NXM_NX_REG0[0..5])"},
        {"",
         "bundle(eth_src,0,hrw,ofport,members:4,8),bundle_load(symmetric_l4,7,active_backup,ofport,NXM_NX_REG4[0..15],"
         "members:1,2)"},
        {"tcp", "fin_timeout(idle_timeout=5,hard_timeout=9),check_pkt_larger(1400)->NXM_NX_REG0[3],output:1"},
        {"",
         "sample(probability=12,collector_set_id=1,obs_domain_id=2,obs_point_id=3),"
         "sample(probability=13,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=5,egress)"},
        {"", "conjunction(5,1/3),conjunction(6,2/3)"},
        {"",
         "learn(table=7,idle_timeout=3,hard_timeout=4,priority=5,cookie=0x6,fin_idle_timeout=1,fin_hard_timeout=2,"
         "send_flow_rem,delete_learned,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],eth_type=0x800,"
         "load:NXM_NX_REG1[0..3]->NXM_NX_REG2[4..7],load:9->NXM_NX_REG5[],output:NXM_OF_IN_PORT[])"},
        {"", "learn(table=7,limit=10,result_dst=reg3[7],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"},
        {"", "group:7"},
        {"ip", "dec_ttl(1,2,3)"},
        {"", "set_field:3->in_port,load:0->in_port"},
    };
    for (const Case& c : kCases) {
      const Match match = match_of(c.match);
      const ActionList actions = parse_actions(c.actions, match, names);
      for (const Version version : kVersions) {
        INFO("OpenFlow " << name_of(version) << ": " << c.match << " actions=" << c.actions);
        check_message(written([&](Writer& out) { encode_flow_mod(out, rule_of(match, actions), version, 1); }));
      }
    }
  }

  TEST_CASE("it can read a set of each field, whole and in part, in each version") {
    if (!has_ovs_ofctl()) return;
    for (const Field& f : fields()) {
      // What Open vSwitch has not got, or does not write.
      const bool is_ours = f.prerequisite == Prerequisite::kPbb || f.id == FieldId::kMplsBos;
      if (!f.writable || is_ours || f.id == FieldId::kVlanTci) continue;
      const Match match = match_of(match_with(f));
      ActionList actions;
      for (const FieldBits mask : {value_bits(f), value_bits(f) & 0x5555}) {
        if (f.id == FieldId::kInPort && mask != value_bits(f)) continue;
        actions.emplace_back(set_field(f, 0x14, mask));
      }
      if (f.id != FieldId::kInPort) {
        const auto width = static_cast<std::uint16_t>(f.width);
        actions.emplace_back(StackPushAction{{&f, 0, width}});
        actions.emplace_back(StackPopAction{{&f, 0, width}});
        actions.emplace_back(MoveAction{&f, &field(FieldId::kXxreg0), 0, 0, width});
      }
      for (const Version version : kVersions) {
        INFO("OpenFlow " << name_of(version) << ": " << f.name);
        check_message(written([&](Writer& out) { encode_flow_mod(out, rule_of(match, actions), version, 1); }));
      }
    }
  }

  TEST_CASE("it can read the messages that are sent of ports, tables, groups and meters") {
    if (!has_ovs_ofctl()) return;
    const PortDescription port{.number = PortNo{3}, .mac = {}, .name = "eth0", .speed_kbps = 10'000'000};
    const TableFigures table{.table = 3, .config = {}, .rules = 5, .lookups = 7, .matches = 6};
    Group group;
    group.id = 7;
    group.type = GroupType::kSelect;
    const GroupMod mod = parse_group("group_id=7,type=select,bucket=bucket_id:2,weight:10,actions=output:1",
                                     GroupMod::Command::kAdd, PortNames{});
    for (const Bucket& bucket : mod.buckets) group.buckets.push_back(std::make_shared<const Bucket>(bucket));
    Meter meter;
    meter.config = {.id = 7, .packets = true, .burst = true, .stats = true, .bands = {{SHUNT_BAND_DROP, 100, 10, 0}}};
    const TimePoint now = Clock::now();
    for (const Version version : kVersions) {
      check_reply(MultipartKind::kPort, version,
                  [&](Writer& out) { encode_port_stats(out, PortFigures{.number = PortNo{3}}, version); });
      check_reply(MultipartKind::kPortDescription, version, [&](Writer& out) { encode_port(out, port, version); });
      check_reply(MultipartKind::kTable, version, [&](Writer& out) { encode_table_stats(out, table, version); });
      check_reply(MultipartKind::kTableFeatures, version,
                  [&](Writer& out) { encode_table_features(out, table, version); });
      check_reply(MultipartKind::kGroup, version,
                  [&](Writer& out) { encode_group_stats(out, group, 0, now, version); });
      check_reply(MultipartKind::kGroupDescription, version,
                  [&](Writer& out) { encode_group_description(out, group, version); });
      check_reply(MultipartKind::kGroupFeatures, version,
                  [&](Writer& out) { encode_group_features(out, version, 100); });
      check_reply(MultipartKind::kMeterConfig, version, [&](Writer& out) { encode_meter_config(out, meter.config); });
      check_reply(MultipartKind::kMeterFeatures, version, [&](Writer& out) { encode_meter_features(out, 100); });
      if (version < Version::k13) continue;
      check_message(written([&](Writer& out) {
        const MessageScope message{out, version, MessageKind::kGetAsyncReply, 1};
        encode_async(out, default_async_config(), version);
      }));
      if (version < Version::k14) continue;
      check_message(written([&](Writer& out) {
        const MessageScope message{out, version, MessageKind::kRequestForward, 1};
        encode_group_mod(out, mod, version, 2);
      }));
    }
  }

  TEST_CASE("errors have its numbers in each version") {
    if (!has_ovs_ofctl()) return;
#define SHUNT_LIST_ERROR(name, type, code, text) OfErrorCode::name,
    static constexpr OfErrorCode kErrors[] = {SHUNT_OF_ERRORS(SHUNT_LIST_ERROR)};
#undef SHUNT_LIST_ERROR
    for (const OfErrorCode error : kErrors) {
      const std::string_view name = numbers_of(error).name;
      const std::string shown = output_of(fmt::format("ovs-ofctl print-error {}", name.substr(name.find('/') + 1)));
      for (const Version version : kVersions) {
        const std::string head = fmt::format("OpenFlow {}: ", name_of(version));
        const std::size_t at = shown.find(head);
        if (at == std::string::npos) continue;  // by another name there, or not known in that version
        const ErrorNumbers numbers = error_numbers(error, version);
        const bool by_code = numbers.experimenter != 0 && version != Version::k10;
        const std::string ours = fmt::format("vendor {:#x}, type {}, code {}", numbers.experimenter,
                                             by_code ? numbers.code : numbers.type, by_code ? 0 : numbers.code);
        INFO(name << " of OpenFlow " << name_of(version));
        const std::size_t begin = at + head.size();
        std::string theirs = shown.substr(begin, shown.find('\n', at) - begin);
        if (theirs.starts_with("vendor 0,")) theirs.replace(7, 1, "0x0");
        CHECK(ours == theirs);
      }
    }
  }
}
