// SPDX-License-Identifier: Apache-2.0
// Packet-in and packet-out, of each version and Nicira's. Threads: any.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/message.h"
#include "user/openflow/codec/version.h"
#include "user/pipeline/translate.h"

namespace shunt::openflow {

struct PacketIn {
  std::uint32_t buffer_id = kNoBuffer;
  std::uint32_t length = 0;  // of the whole packet
  PacketInReason reason = PacketInReason::kAction;
  std::uint8_t table = 0;
  std::uint64_t cookie = ~std::uint64_t{0};
  PortNo in_port;
  PipelineFields fields{};
  Bytes userdata;                         // of the controller action
  std::optional<std::uint64_t> paused{};  // what it is resumed by; kNicira2 only
  Bytes data;                             // what of the packet is sent
};
enum class PacketInFormat : std::uint8_t { kStandard, kNicira, kNicira2 };  // NXT_SET_PACKET_IN_FORMAT's numbers

void encode_packet_in(Writer& out, const PacketIn& packet, PacketInFormat format, Version version);
// Reasons that a version does not know are the action that they are.
[[nodiscard]] PacketInReason reason_in(PacketInReason reason, Version version, PacketInFormat format);

struct PacketOut {
  std::uint32_t buffer_id = kNoBuffer;
  PortNo in_port;
  PipelineFields fields{};  // since OpenFlow 1.5
  ActionList actions;
  Bytes data;  // of the message
};
[[nodiscard]] PacketOut decode_packet_out(Bytes body, Version version);

// NXT_RESUME: the packet as the controller has left it, its port, metadata and registers, and what it was paused by.
struct Resume {
  std::uint64_t paused = 0;
  PortNo in_port;
  PipelineFields fields{};  // metadata, registers, tun_id, pkt_mark
  Bytes data;
};
[[nodiscard]] Resume decode_resume(Bytes body);

}  // namespace shunt::openflow
