// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/packet_codec.h"

#include <algorithm>

#include "user/openflow/codec/action_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/port_number.h"

namespace shunt::openflow {
namespace {

// What the packet does not hold: its port, metadata and registers, where they are not 0.
Match context_of(const PacketIn& packet) {
  Match match;
  static_cast<PipelineFields&>(match.value) = packet.fields;
  match.value.in_port = packet.in_port.value;
  match.mask.in_port = 0xffffffff;
  const auto whole_if_set = [](const auto& value, auto& mask) {
    if (std::ranges::any_of(value, [](std::uint8_t byte) { return byte != 0; })) mask.fill(0xff);
  };
  whole_if_set(match.value.metadata, match.mask.metadata);
  whole_if_set(match.value.tun_id, match.mask.tun_id);
  whole_if_set(match.value.pkt_mark, match.mask.pkt_mark);
  for (std::size_t i = 0; i < match.value.reg.size(); ++i) whole_if_set(match.value.reg[i], match.mask.reg[i]);
  match.value.actset_output = match.value.conj_id = match.value.skb_priority = {};
  return match;
}

void put_standard(Writer& out, const PacketIn& packet, Version version) {
  const MessageScope scope{out, version, MessageKind::kPacketIn, 0};
  out.u32(packet.buffer_id);
  out.u16(static_cast<std::uint16_t>(packet.length));
  const auto reason = static_cast<std::uint8_t>(reason_in(packet.reason, version, PacketInFormat::kStandard));
  if (version == Version::k10) {
    out.u16(port_to_16(packet.in_port));
    out.u8(reason);
    out.zeros(1);
  } else {
    out.u8(reason);
    out.u8(packet.table);
    out.u64(packet.cookie);
    encode_match(out, context_of(packet), version);
    out.zeros(2);
  }
  out.put(packet.data);
}

void put_nicira(Writer& out, const PacketIn& packet, Version version) {
  const MessageScope scope{out, version, MessageKind::kNxPacketIn, 0};
  out.u32(packet.buffer_id);
  out.u16(static_cast<std::uint16_t>(packet.length));
  out.u8(static_cast<std::uint8_t>(reason_in(packet.reason, version, PacketInFormat::kNicira)));
  out.u8(packet.table);
  out.u64(packet.cookie);
  const std::size_t length_at = out.size();
  out.zeros(8);
  const std::size_t begin = out.size();
  encode_fields(out, context_of(packet), Version::k10);
  out.patch16(length_at, out.size() - begin);
  out.align(begin, 8);
  out.zeros(2);
  out.put(packet.data);
}

// nx_packet_in2_prop_type
enum Property : std::uint16_t {
  kPacket,
  kFullLength,
  kBufferId,
  kTableId,
  kCookie,
  kReason,
  kMetadata,
  kUserdata,
  kContinuation
};
// What stands in kContinuation is the switch's own affair. This is a property there that Open vSwitch's tools can show:
// the 16 bytes of its bridge's id.
constexpr std::uint16_t kPausedBy = 0x8000;

template <typename Fill>
void property(Writer& out, Property type, Fill&& fill) {
  const std::size_t start = out.size();
  {
    const Tlv tlv{out, type};
    fill();
  }
  out.align(start, 8);
}

void put_nicira2(Writer& out, const PacketIn& packet, Version version) {
  const MessageScope scope{out, version, MessageKind::kNxPacketIn2, 0};
  property(out, kPacket, [&] { out.put(packet.data); });
  if (packet.length != packet.data.size()) property(out, kFullLength, [&] { out.u32(packet.length); });
  if (packet.buffer_id != kNoBuffer) property(out, kBufferId, [&] { out.u32(packet.buffer_id); });
  property(out, kTableId, [&] { out.u8(packet.table); });
  if (packet.cookie != ~std::uint64_t{0})
    property(out, kCookie, [&] {
      out.zeros(4);
      out.u64(packet.cookie);
    });
  property(out, kReason, [&] { out.u8(static_cast<std::uint8_t>(packet.reason)); });
  property(out, kMetadata, [&] { encode_fields(out, context_of(packet), version); });
  if (!packet.userdata.empty()) property(out, kUserdata, [&] { out.put(packet.userdata); });
  if (packet.paused)
    property(out, kContinuation, [&] {
      out.zeros(4);
      property(out, static_cast<Property>(kPausedBy), [&] {
        out.zeros(8);
        out.u64(*packet.paused);
      });
    });
}

}  // namespace

PacketInReason reason_in(PacketInReason reason, Version version, PacketInFormat format) {
  if (reason <= PacketInReason::kInvalidTtl || version >= Version::k14 || format == PacketInFormat::kNicira2)
    return reason;
  return PacketInReason::kAction;
}

void encode_packet_in(Writer& out, const PacketIn& packet, PacketInFormat format, Version version) {
  switch (format) {
    case PacketInFormat::kStandard:
      return put_standard(out, packet, version);
    case PacketInFormat::kNicira:
      return put_nicira(out, packet, version);
    case PacketInFormat::kNicira2:
      return put_nicira2(out, packet, version);
  }
}

PacketOut decode_packet_out(Bytes body, Version version) {
  Reader in{body};
  PacketOut packet;
  packet.buffer_id = in.u32();
  std::size_t actions_size = 0;
  Match context;
  if (version >= Version::k15) {
    actions_size = in.u16();
    in.skip(2);
    context = decode_match(in);
    if (context.mask.in_port == 0) throw OfError(OfErrorCode::kBadPort, "a packet-out without in_port in its match");
    packet.in_port = PortNo{context.value.in_port};
    packet.fields = context.value;
  } else {
    packet.in_port = read_port(in, version);
    actions_size = in.u16();
    if (version >= Version::k13) in.skip(6);
  }
  // OpenFlow 1.0 says so where the packet comes from nowhere.
  if (packet.in_port == kPortNone) packet.in_port = kPortController;
  // Which packet it is nobody says: a field that it has not got stays as it is.
  packet.actions = decode_actions(in.take(actions_size), version, ActionPlace::kPacketOut, context);
  packet.data = in.rest();
  return packet;
}

Resume decode_resume(Bytes body) {
  Resume resume;
  bool has_port = false;
  Reader in{body};
  for_each_property(in, [&](std::uint16_t type, Reader& value) {
    if (type == kPacket) resume.data = value.rest();
    if (type == kMetadata) {
      const Match context = decode_fields(value.rest());
      resume.fields = context.value;
      resume.in_port = PortNo{context.value.in_port};
      has_port = context.mask.in_port != 0;
    }
    if (type != kContinuation) return;
    value.skip(4);
    for_each_property(value, [&](std::uint16_t kind, Reader& id) {
      if (kind != kPausedBy) return;
      id.skip(8);
      resume.paused = id.u64();
    });
  });
  if (!has_port) throw OfError(OfErrorCode::kBadPort, "a packet is resumed without its in_port");
  return resume;
}

}  // namespace shunt::openflow
