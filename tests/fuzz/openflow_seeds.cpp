// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/openflow_seeds.h"

#include <fmt/format.h>

#include <vector>

#include "user/openflow/codec/flow_codec.h"
#include "user/openflow/codec/group_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/message.h"
#include "user/openflow/codec/meter_codec.h"
#include "user/openflow/codec/switch_codec.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/rule_text.h"

namespace shunt::test {
namespace {

using namespace openflow;
using Body = std::vector<std::uint8_t>;

constexpr const char* kRules[] = {
    "tcp,nw_src=10.0.0.0/8,tp_dst=80 actions=mod_nw_dst:10.0.0.1,set_field:80->tcp_dst,output:2",
    "arp,arp_op=1 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],load:2->NXM_OF_ARP_OP[],IN_PORT",
    "dl_vlan=5 actions=strip_vlan,push_vlan:0x8100,resubmit(,3),clone(output:1),note:11.22",
    "actions=learn(table=1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
    "actions=controller(userdata=01.02,pause),multipath(eth_src,1,hrw,4,0,reg0[0..1])",
    "actions=bundle(eth_src,0,hrw,ofport,members:1,2)",
    "mpls actions=pop_mpls:0x800,dec_ttl,write_actions(group:1,output:3),write_metadata:1/3,goto_table:5",
    "conj_id=7,ip actions=dec_ttl(1,2),push:reg0[],pop:reg1[],output(port=2,max_len=64)",
    "udp,tp_dst=53 actions=conjunction(7,1/2)"};
constexpr const char* kGroups[] = {
    "group_id=1,type=all,bucket=bucket_id:0,actions=output:1,bucket=bucket_id:1,actions=output:2",
    "group_id=2,type=select,bucket=bucket_id:0,weight:10,watch_port:3,actions=dec_ttl,output:3",
    "group_id=3,type=ff,bucket=bucket_id:0,watch_port:1,actions=output:1",
    "group_id=4,type=indirect,bucket=bucket_id:0,actions=push_vlan:0x8100,set_field:5->vlan_vid,output:1"};

void put_flow_mods(Writer& out, Version version) {
  for (const char* text : kRules) {
    FlowModMessage change;
    change.mod = parse_flow(text, FlowMod::Command::kAdd, PortNames{});
    change.mod.table = 0;
    encode_flow_mod(out, change, version, 1);
  }
}

// What OpenFlow 1.0 says without Nicira's extensions.
void put_plain_flow_mod10(Writer& out) {
  const MessageScope message{out, Version::k10, MessageKind::kFlowMod, 1};
  encode_match10(out, Match{});
  out.zeros(16);  // cookie, command, timeouts, priority
  out.u32(kNoBuffer);
  for (const int byte : {0xff, 0xff, 0, 0, 0, 0, 0, 8, 0, 1, 0, 0}) out.u8(static_cast<std::uint8_t>(byte));
}

void put_group_mods(Writer& out, Version version) {
  for (const char* text : kGroups)
    encode_group_mod(out, parse_group(text, GroupMod::Command::kAdd, PortNames{}), version, 1);
}

// OpenFlow 1.5's form under Nicira's header.
void put_nx_group_mods(Writer& out, Version version) {
  for (const char* text : kGroups) {
    Writer form;
    encode_group_mod(form, parse_group(text, GroupMod::Command::kAdd, PortNames{}), Version::k15, 1);
    const MessageScope message{out, version, MessageKind::kNxGroupMod, 1};
    out.put(form.bytes().subspan(kHeaderSize));
  }
}

void put_meter_mod(Writer& out, Version version) {
  MeterMod meter;
  meter.config = {.id = 3, .packets = true, .burst = true, .stats = true, .bands = {{SHUNT_BAND_DROP, 9, 9, 0}}};
  encode_meter_mod(out, meter, version, 2);
}

// A bundle is opened, gets a message of each kind that may be in one, and is committed.
void put_bundle(Writer& out, Version version) {
  const auto control = [&](std::uint16_t type) {
    const MessageScope message{out, version, MessageKind::kBundleControl, 1};
    out.u32(5);
    out.u16(type);
    out.u16(1);
  };
  const auto add = [&](auto&& encode) {
    const MessageScope message{out, version, MessageKind::kBundleAdd, 1};
    out.u32(5);
    out.u16(0);
    out.u16(1);
    encode();
  };
  control(0);
  add([&] {
    FlowModMessage change;
    change.mod = parse_flow(kRules[0], FlowMod::Command::kAdd, PortNames{});
    encode_flow_mod(out, change, version, 1);
  });
  add([&] { encode_group_mod(out, parse_group(kGroups[0], GroupMod::Command::kAdd, PortNames{}), version, 1); });
  control(2);
  control(4);
}

// A packet sent out by two actions, of a buffer or of its own bytes.
Body packet_out(Version version) {
  Writer out;
  out.u32(kNoBuffer);
  if (version == Version::k10) {
    out.u16(0xfff8);
  } else {
    out.u32(0xfffffffd);
  }
  const std::size_t size = version == Version::k10 ? 8 : 16;
  if (version == Version::k15) {
    out.u16(static_cast<std::uint16_t>(2 * size));
    encode_match(out, Match{}, version);
  } else {
    out.u16(static_cast<std::uint16_t>(2 * size));
    if (version != Version::k10) out.zeros(6);
  }
  for (std::uint8_t port = 1; port <= 2; ++port) {
    out.u16(0);
    out.u16(static_cast<std::uint16_t>(size));
    if (version != Version::k10) out.u16(0);
    out.u16(port);
    out.zeros(size - (version == Version::k10 ? 6 : 8));
  }
  for (std::uint8_t byte = 0; byte < 60; ++byte) out.u8(byte);
  return out.release();
}

// What a message that is no more than numbers says; of others there is a function above.
Body body_of(MessageKind kind, Version version) {
  switch (kind) {
    case MessageKind::kEchoRequest:
    case MessageKind::kEchoReply:
    case MessageKind::kError:
      return {0, 1, 0, 6, 4, 14, 0, 8};
    case MessageKind::kSetConfig:
      return {0, 0, 0xff, 0xff};
    case MessageKind::kPacketOut:
      return packet_out(version);
    case MessageKind::kPortMod:
      return Body(version == Version::k13 ? 32 : 24);
    case MessageKind::kTableMod:
    case MessageKind::kNxFlowModTableId:
    case MessageKind::kNxSetControllerId:
      return Body(8);
    case MessageKind::kQueueGetConfigRequest:
      return version == Version::k10 ? Body{0, 1, 0, 0} : Body{0, 0, 0, 1, 0, 0, 0, 0};
    case MessageKind::kRoleRequest:
      if (version == Version::k10) return {0, 0, 0, 1};
      return {0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    case MessageKind::kSetAsync:
      if (version >= Version::k14) return {0, 0, 0, 8, 0, 0, 0, 3, 0, 1, 0, 8, 0, 0, 0, 7};
      return Body(24, 1);
    case MessageKind::kNxSetAsyncConfig:
      return Body(24, 1);
    case MessageKind::kNxSetAsyncConfig2:
      return {0, 0, 0, 8, 0, 0, 0, 3, 0, 1, 0, 8, 0, 0, 0, 7};
    case MessageKind::kNxSetFlowFormat:
    case MessageKind::kNxSetPacketInFormat:
      return {0, 0, 0, 2};
    case MessageKind::kFlowMonitorCancel:
      return {0, 0, 0, 1};
    case MessageKind::kNxResume:
      return Body(24);
    default:
      return {};
  }
}

Body multipart_body(const MultipartFormat& format, Version version) {
  Writer out;
  switch (format.kind) {
    case MultipartKind::kFlow:
    case MultipartKind::kAggregate:
    case MultipartKind::kFlowStats:
      if (version == Version::k10) {
        encode_match10(out, Match{});
        out.u32(0xff00ffff);
      } else {
        out.u32(0xff000000);
        out.u64(~std::uint64_t{0});
        out.zeros(20);
        encode_match(out, Match{}, version);
      }
      break;
    case MultipartKind::kNxFlow:
    case MultipartKind::kNxAggregate:
      out.u16(0xffff);
      out.u16(0);
      out.u32(0xff000000);
      break;
    case MultipartKind::kFlowMonitor:  // everything of every table, all the time
      out.u32(1);
      if (version == Version::k10) {
        out.u16(0x3f);
        out.u16(0xffff);
        out.u16(0);
        out.u8(0xff);
        out.zeros(5);
      } else if (version == Version::k13) {
        out.u16(0x3f);
        out.u16(4);
        out.u32(0xffffffff);
        out.u8(0xff);
        out.zeros(3);
        encode_match(out, Match{}, version);
      } else {
        out.u32(0xffffffff);
        out.u32(0xffffffff);
        out.u16(0x3f);
        out.u8(0xff);
        out.u8(0);
        encode_match(out, Match{}, version);
      }
      break;
    default:
      if (format.size == 8) out.u64(~std::uint64_t{0});  // all ports, groups, meters, queues
  }
  return out.release();
}

void put_multipart(Writer& out, const MultipartFormat& format, Version version) {
  const MessageScope message{out, version, MessageKind::kMultipartRequest, 9};
  out.u16(static_cast<std::uint16_t>(format.experimenter == 0 ? format.number : 0xffff));
  out.u16(0);
  if (version != Version::k10) out.zeros(4);
  if (format.experimenter != 0) {
    out.u32(format.experimenter);
    out.u32(format.number);
    if (version == Version::k10) out.zeros(4);
  }
  out.put(multipart_body(format, version));
}

void put_message(Writer& out, const MessageFormat& format, Version version) {
  switch (format.kind) {
    case MessageKind::kFlowMod:
      return version == Version::k10 ? put_plain_flow_mod10(out) : put_flow_mods(out, version);
    case MessageKind::kNxFlowMod:
      return put_flow_mods(out, version);
    case MessageKind::kGroupMod:
      return put_group_mods(out, version);
    case MessageKind::kNxGroupMod:
      return put_nx_group_mods(out, version);
    case MessageKind::kMeterMod:
      return put_meter_mod(out, version);
    case MessageKind::kBundleControl:
    case MessageKind::kBundleAdd:
      return put_bundle(out, version);
    case MessageKind::kHello:
      return encode_hello(out, kVersions, 1);
    default: {
      const MessageScope message{out, version, format.kind, 7};
      out.put(body_of(format.kind, version));
    }
  }
}

}  // namespace

std::map<std::string, std::string> openflow_seeds() {
  std::map<std::string, std::string> seeds;
  for (std::uint8_t number = 0; number < kVersions.size(); ++number) {
    const Version version = kVersions[number];
    const auto add = [&](std::string_view name, const Writer& out) {
      std::string seed{static_cast<char>(number), static_cast<char>(200)};
      seed.append(out.bytes().begin(), out.bytes().end());
      seeds.emplace(fmt::format("{}_{}", name_of(version), name), std::move(seed));
    };
    for (const MessageFormat& format : message_formats()) {
      const bool taken =
          format.since <= version && version <= format.until && format.direction != Direction::kToController;
      if (!taken || format.kind == MessageKind::kMultipartRequest) continue;
      Writer out;
      put_message(out, format, version);
      add(format.name, out);
    }
    for (const MultipartFormat& format : multipart_formats()) {
      if (version < format.since || format.until < version) continue;
      Writer out;
      put_multipart(out, format, version);
      add(format.name, out);
    }
  }
  return seeds;
}

}  // namespace shunt::test
