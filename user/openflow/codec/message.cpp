// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/message.h"

#include <algorithm>
#include <array>
#include <cassert>

namespace shunt::openflow {
namespace {

using K = MessageKind;
using M = MultipartKind;
constexpr Version k10 = Version::k10, k13 = Version::k13, k14 = Version::k14, k15 = Version::k15;
constexpr Direction kTo = Direction::kToSwitch, kFrom = Direction::kToController, kBoth = Direction::kBoth;

// clang-format off
constexpr auto kMessages = std::to_array<MessageFormat>({
    {K::kHello, "OFPT_HELLO", 0, 0, k10, k15, kBoth, 0, 1},
    {K::kError, "OFPT_ERROR", 0, 1, k10, k15, kBoth, 4, 1},
    {K::kEchoRequest, "OFPT_ECHO_REQUEST", 0, 2, k10, k15, kBoth, 0, 1},
    {K::kEchoReply, "OFPT_ECHO_REPLY", 0, 3, k10, k15, kBoth, 0, 1},
    {K::kFeaturesRequest, "OFPT_FEATURES_REQUEST", 0, 5, k10, k15, kTo, 0, 0},
    {K::kFeaturesReply, "OFPT_FEATURES_REPLY", 0, 6, k10, k15, kFrom},
    {K::kGetConfigRequest, "OFPT_GET_CONFIG_REQUEST", 0, 7, k10, k15, kTo, 0, 0},
    {K::kGetConfigReply, "OFPT_GET_CONFIG_REPLY", 0, 8, k10, k15, kFrom},
    {K::kSetConfig, "OFPT_SET_CONFIG", 0, 9, k10, k15, kTo, 4, 0},
    {K::kPacketIn, "OFPT_PACKET_IN", 0, 10, k10, k15, kFrom},
    {K::kFlowRemoved, "OFPT_FLOW_REMOVED", 0, 11, k10, k15, kFrom},
    {K::kPortStatus, "OFPT_PORT_STATUS", 0, 12, k10, k15, kFrom},
    {K::kPacketOut, "OFPT_PACKET_OUT", 0, 13, k10, k10, kTo, 8, 1},
    {K::kPacketOut, "OFPT_PACKET_OUT", 0, 13, k13, k15, kTo, 16, 1},
    {K::kFlowMod, "OFPT_FLOW_MOD", 0, 14, k10, k10, kTo, 64, 8},
    {K::kFlowMod, "OFPT_FLOW_MOD", 0, 14, k13, k15, kTo, 48, 8},
    {K::kGroupMod, "OFPT_GROUP_MOD", 0, 15, k13, k14, kTo, 8, 8},
    {K::kGroupMod, "OFPT_GROUP_MOD", 0, 15, k15, k15, kTo, 16, 8},
    {K::kPortMod, "OFPT_PORT_MOD", 0, 15, k10, k10, kTo, 24, 0},
    {K::kPortMod, "OFPT_PORT_MOD", 0, 16, k13, k13, kTo, 32, 0},
    {K::kPortMod, "OFPT_PORT_MOD", 0, 16, k14, k15, kTo, 24, 8},
    {K::kTableMod, "OFPT_TABLE_MOD", 0, 17, k13, k13, kTo, 8, 0},
    {K::kTableMod, "OFPT_TABLE_MOD", 0, 17, k14, k15, kTo, 8, 8},
    {K::kMultipartRequest, "OFPT_STATS_REQUEST", 0, 16, k10, k10, kTo, 4, 1},
    {K::kMultipartReply, "OFPT_STATS_REPLY", 0, 17, k10, k10, kFrom},
    {K::kMultipartRequest, "OFPT_MULTIPART_REQUEST", 0, 18, k13, k15, kTo, 8, 1},
    {K::kMultipartReply, "OFPT_MULTIPART_REPLY", 0, 19, k13, k15, kFrom},
    {K::kBarrierRequest, "OFPT_BARRIER_REQUEST", 0, 18, k10, k10, kTo, 0, 0},
    {K::kBarrierReply, "OFPT_BARRIER_REPLY", 0, 19, k10, k10, kFrom},
    {K::kBarrierRequest, "OFPT_BARRIER_REQUEST", 0, 20, k13, k15, kTo, 0, 0},
    {K::kBarrierReply, "OFPT_BARRIER_REPLY", 0, 21, k13, k15, kFrom},
    {K::kQueueGetConfigRequest, "OFPT_QUEUE_GET_CONFIG_REQUEST", 0, 20, k10, k10, kTo, 4, 0},
    {K::kQueueGetConfigReply, "OFPT_QUEUE_GET_CONFIG_REPLY", 0, 21, k10, k10, kFrom},
    {K::kQueueGetConfigRequest, "OFPT_QUEUE_GET_CONFIG_REQUEST", 0, 22, k13, k13, kTo, 8, 0},
    {K::kQueueGetConfigReply, "OFPT_QUEUE_GET_CONFIG_REPLY", 0, 23, k13, k13, kFrom},
    {K::kRoleRequest, "OFPT_ROLE_REQUEST", 0, 24, k13, k15, kTo, 16, 0},
    {K::kRoleReply, "OFPT_ROLE_REPLY", 0, 25, k13, k15, kFrom},
    {K::kRoleRequest, "NXT_ROLE_REQUEST", kNiciraId, 10, k10, k10, kTo, 4, 0},
    {K::kRoleReply, "NXT_ROLE_REPLY", kNiciraId, 11, k10, k10, kFrom},
    {K::kGetAsyncRequest, "OFPT_GET_ASYNC_REQUEST", 0, 26, k13, k15, kTo, 0, 0},
    {K::kGetAsyncReply, "OFPT_GET_ASYNC_REPLY", 0, 27, k13, k15, kFrom},
    {K::kSetAsync, "OFPT_SET_ASYNC", 0, 28, k13, k13, kTo, 24, 0},
    {K::kSetAsync, "OFPT_SET_ASYNC", 0, 28, k14, k15, kTo, 0, 8},
    {K::kMeterMod, "OFPT_METER_MOD", 0, 29, k13, k15, kTo, 8, 8},
    {K::kRoleStatus, "OFPT_ROLE_STATUS", 0, 30, k14, k15, kFrom},
    {K::kTableStatus, "OFPT_TABLE_STATUS", 0, 31, k14, k15, kFrom},
    {K::kRequestForward, "OFPT_REQUESTFORWARD", 0, 32, k14, k15, kFrom},
    {K::kBundleControl, "OFPT_BUNDLE_CONTROL", 0, 33, k14, k15, kBoth, 8, 8},
    {K::kBundleControl, "ONFT_BUNDLE_CONTROL", kOnfId, 2300, k13, k13, kBoth, 8, 8},
    {K::kBundleAdd, "OFPT_BUNDLE_ADD_MESSAGE", 0, 34, k14, k15, kTo, 8, 1},
    {K::kBundleAdd, "ONFT_BUNDLE_ADD_MESSAGE", kOnfId, 2301, k13, k13, kTo, 8, 1},
    {K::kNxSetFlowFormat, "NXT_SET_FLOW_FORMAT", kNiciraId, 12, k10, k10, kTo, 4, 0},
    {K::kNxFlowMod, "NXT_FLOW_MOD", kNiciraId, 13, k10, k10, kTo, 32, 8},
    {K::kNxFlowRemoved, "NXT_FLOW_REMOVED", kNiciraId, 14, k10, k10, kFrom},
    {K::kNxFlowModTableId, "NXT_FLOW_MOD_TABLE_ID", kNiciraId, 15, k10, k10, kTo, 8, 0},
    {K::kNxSetPacketInFormat, "NXT_SET_PACKET_IN_FORMAT", kNiciraId, 16, k10, k15, kTo, 4, 0},
    {K::kNxPacketIn, "NXT_PACKET_IN", kNiciraId, 17, k10, k15, kFrom},
    {K::kNxFlowAge, "NXT_FLOW_AGE", kNiciraId, 18, k10, k15, kTo, 0, 0},
    {K::kNxSetAsyncConfig, "NXT_SET_ASYNC_CONFIG", kNiciraId, 19, k10, k15, kTo, 24, 0},
    {K::kNxSetControllerId, "NXT_SET_CONTROLLER_ID", kNiciraId, 20, k10, k15, kTo, 8, 0},
    {K::kFlowMonitorCancel, "NXT_FLOW_MONITOR_CANCEL", kNiciraId, 21, k10, k10, kTo, 4, 0},
    {K::kFlowMonitorCancel, "ONFT_FLOW_MONITOR_CANCEL", kOnfId, 1870, k13, k13, kTo, 4, 0},
    {K::kFlowMonitorPaused, "NXT_FLOW_MONITOR_PAUSED", kNiciraId, 22, k10, k10, kFrom},
    {K::kFlowMonitorPaused, "ONFT_FLOW_MONITOR_PAUSED", kOnfId, 1871, k13, k13, kFrom},
    {K::kFlowMonitorResumed, "NXT_FLOW_MONITOR_RESUMED", kNiciraId, 23, k10, k10, kFrom},
    {K::kFlowMonitorResumed, "ONFT_FLOW_MONITOR_RESUMED", kOnfId, 1872, k13, k13, kFrom},
    {K::kNxSetAsyncConfig2, "NXT_SET_ASYNC_CONFIG2", kNiciraId, 27, k10, k13, kTo, 0, 8},
    {K::kNxResume, "NXT_RESUME", kNiciraId, 28, k10, k15, kTo, 0, 8},
    {K::kNxPacketIn2, "NXT_PACKET_IN2", kNiciraId, 30, k10, k15, kFrom},
    {K::kNxGroupMod, "NXT_GROUP_MOD", kNiciraId, 31, k10, k14, kTo, 16, 8},
});

constexpr auto kMultiparts = std::to_array<MultipartFormat>({
    {M::kDescription, "OFPMP_DESC", 0, 0, k10, k15, 0, 0},
    {M::kFlow, "OFPMP_FLOW", 0, 1, k10, k10, 44, 0},
    {M::kFlow, "OFPMP_FLOW", 0, 1, k13, k15, 40, 8},
    {M::kAggregate, "OFPMP_AGGREGATE", 0, 2, k10, k10, 44, 0},
    {M::kAggregate, "OFPMP_AGGREGATE", 0, 2, k13, k15, 40, 8},
    {M::kTable, "OFPMP_TABLE", 0, 3, k10, k15, 0, 0},
    {M::kPort, "OFPMP_PORT_STATS", 0, 4, k10, k15, 8, 0},
    {M::kQueue, "OFPMP_QUEUE", 0, 5, k10, k15, 8, 0},
    {M::kGroup, "OFPMP_GROUP", 0, 6, k13, k15, 8, 0},
    {M::kGroupDescription, "OFPMP_GROUP_DESC", 0, 7, k13, k14, 0, 0},
    {M::kGroupDescription, "OFPMP_GROUP_DESC", 0, 7, k15, k15, 8, 0},
    {M::kGroupFeatures, "OFPMP_GROUP_FEATURES", 0, 8, k13, k15, 0, 0},
    {M::kMeter, "OFPMP_METER", 0, 9, k13, k15, 8, 0},
    {M::kMeterConfig, "OFPMP_METER_CONFIG", 0, 10, k13, k15, 8, 0},
    {M::kMeterFeatures, "OFPMP_METER_FEATURES", 0, 11, k13, k15, 0, 0},
    {M::kTableFeatures, "OFPMP_TABLE_FEATURES", 0, 12, k13, k15, 0, 8},
    {M::kPortDescription, "OFPMP_PORT_DESC", 0, 13, k10, k14, 0, 0},
    {M::kPortDescription, "OFPMP_PORT_DESC", 0, 13, k15, k15, 8, 0},
    {M::kTableDescription, "OFPMP_TABLE_DESC", 0, 14, k14, k15, 0, 0},
    {M::kQueueDescription, "OFPMP_QUEUE_DESC", 0, 15, k14, k15, 8, 0},
    {M::kFlowMonitor, "OFPMP_FLOW_MONITOR", 0, 16, k14, k15, 0, 8},
    {M::kFlowStats, "OFPMP_FLOW_STATS", 0, 17, k15, k15, 40, 8},
    {M::kBundleFeatures, "OFPMP_BUNDLE_FEATURES", 0, 19, k15, k15, 8, 8},
    {M::kNxFlow, "NXST_FLOW", kNiciraId, 0, k10, k10, 8, 8},
    {M::kNxAggregate, "NXST_AGGREGATE", kNiciraId, 1, k10, k10, 8, 8},
    {M::kFlowMonitor, "NXST_FLOW_MONITOR", kNiciraId, 2, k10, k10, 0, 8},
    {M::kGroup, "NXST_GROUP", kNiciraId, 7, k10, k10, 8, 0},
    {M::kGroupDescription, "NXST_GROUP_DESC", kNiciraId, 8, k10, k10, 8, 0},
    {M::kGroupFeatures, "NXST_GROUP_FEATURES", kNiciraId, 9, k10, k10, 0, 0},
    {M::kFlowMonitor, "ONFMP_FLOW_MONITOR", kOnfId, 1870, k13, k13, 0, 8},
});
// clang-format on

constexpr std::uint16_t kExperimenterMultipart = 0xffff;
constexpr std::uint16_t kMore = 1;  // OFPMPF_REQ_MORE, OFPMPF_REPLY_MORE

// Whoever writes keeps to kMaxMessage. Should one not, its message is cut, and those behind it are understood still.
void end_message(Writer& out, std::size_t start) {
  assert(out.size() - start <= kMaxMessage);
  out.shrink(std::min(out.size(), start + kMaxMessage));
  out.patch16(start + 2, out.size() - start);
}

template <typename Format>
bool is_in(const Format& format, Version version) {
  return format.since <= version && version <= format.until;
}

// Of a request: a body of `size` bytes and, where there is a unit, any number of these behind it.
template <typename Format>
void check_length(const Format& format, Bytes body) {
  const bool fits = body.size() >= format.size &&
                    (format.unit == 0 ? body.size() == format.size : (body.size() - format.size) % format.unit == 0);
  if (!fits) throw OfError(OfErrorCode::kBadLength, "{} with a body of {} bytes", format.name, body.size());
}

}  // namespace

Header read_header(Bytes bytes) {
  Reader in{bytes};
  return {in.u8(), in.u8(), in.u16(), in.u32()};
}

std::span<const MessageFormat> message_formats() { return kMessages; }
std::span<const MultipartFormat> multipart_formats() { return kMultiparts; }

Bytes body_of(const MessageFormat& format, Bytes message) {
  return message.subspan(format.experimenter == 0 ? kHeaderSize : 2 * kHeaderSize);
}

const MessageFormat* find_message(Version version, Bytes message) {
  std::uint32_t experimenter = 0, number = message[1];
  if (number == kExperimenterMessageType) {
    Reader in{message.subspan(kHeaderSize)};
    experimenter = in.u32();
    if (experimenter != kNiciraId && experimenter != kOnfId)
      throw OfError(OfErrorCode::kBadExperimenter, "experimenter {:#x} is unknown", experimenter);
    number = in.u32();
  }
  const auto at = std::ranges::find_if(kMessages, [&](const MessageFormat& format) {
    return format.experimenter == experimenter && format.number == number && is_in(format, version);
  });
  if (at != kMessages.end()) {
    if (at->direction != kFrom) check_length(*at, body_of(*at, message));
    return &*at;
  }
  if (experimenter != 0)
    throw OfError(OfErrorCode::kBadExperimenterType, "experimenter {:#x} has no message {}", experimenter, number);
  return nullptr;
}

const MessageFormat& format_of(MessageKind kind, Version version) {
  return *std::ranges::find_if(
      kMessages, [&](const MessageFormat& format) { return format.kind == kind && is_in(format, version); });
}

MultipartRequest read_multipart_request(Version version, Bytes message) {
  Reader in{message.subspan(kHeaderSize)};
  MultipartRequest request{};
  std::uint32_t number = in.u16(), experimenter = 0;
  request.flags = in.u16();
  request.more = version >= Version::k13 && (request.flags & kMore) != 0;
  if (version >= Version::k13) in.skip(4);
  if (number == kExperimenterMultipart) {
    experimenter = in.u32();
    if (experimenter != kNiciraId && experimenter != kOnfId)
      throw OfError(OfErrorCode::kBadExperimenter, "experimenter {:#x} is unknown", experimenter);
    number = in.u32();
    if (version == Version::k10) in.skip(4);
  }
  const auto at = std::ranges::find_if(kMultiparts, [&](const MultipartFormat& format) {
    return format.experimenter == experimenter && format.number == number && is_in(format, version);
  });
  if (at == kMultiparts.end()) {
    if (experimenter != 0)
      throw OfError(OfErrorCode::kBadExperimenterType, "experimenter {:#x} has no multipart {}", experimenter, number);
    throw OfError(OfErrorCode::kBadMultipart, "OpenFlow {} has no multipart {}", name_of(version), number);
  }
  request.format = &*at;
  request.body = in.rest();
  // A request of several parts is refused for that.
  if (!request.more) check_length(*at, request.body);
  return request;
}

MessageScope::MessageScope(Writer& out, std::uint8_t version, std::uint8_t type, std::uint32_t xid)
    : out_{out}, start_{out.size()} {
  out_.u8(version);
  out_.u8(type);
  out_.u16(0);
  out_.u32(xid);
}

MessageScope::MessageScope(Writer& out, Version version, MessageKind kind, std::uint32_t xid)
    : MessageScope{out, number_of(version),
                   format_of(kind, version).experimenter != 0
                       ? kExperimenterMessageType
                       : static_cast<std::uint8_t>(format_of(kind, version).number),
                   xid} {
  const MessageFormat& format = format_of(kind, version);
  if (format.experimenter == 0) return;
  out_.u32(format.experimenter);
  out_.u32(format.number);
}

MessageScope::~MessageScope() { end_message(out_, start_); }

MultipartScope::MultipartScope(Writer& out, Version version, const MultipartFormat& format, std::uint32_t xid)
    : out_{out}, start_{out.size()} {
  out_.u8(number_of(version));
  out_.u8(static_cast<std::uint8_t>(format_of(MessageKind::kMultipartReply, version).number));
  out_.u16(0);
  out_.u32(xid);
  out_.u16(format.experimenter != 0 ? kExperimenterMultipart : static_cast<std::uint16_t>(format.number));
  out_.u16(0);
  if (version >= Version::k13) out_.zeros(4);
  if (format.experimenter == 0) return;
  out_.u32(format.experimenter);
  out_.u32(format.number);
  if (version == Version::k10) out_.zeros(4);
}

MultipartScope::~MultipartScope() { end_message(out_, start_); }

std::size_t MultipartScope::size() const { return out_.size() - start_; }

void MultipartScope::set_more() { out_.patch16(start_ + kHeaderSize + 2, kMore); }

}  // namespace shunt::openflow
