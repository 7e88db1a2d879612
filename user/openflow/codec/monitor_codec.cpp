// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/monitor_codec.h"

#include <algorithm>

#include "user/openflow/codec/action_codec.h"
#include "user/openflow/codec/flow_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/port_number.h"

namespace shunt::openflow {
namespace {

constexpr std::uint16_t kAbbreviated10 = 3, kAbbreviated14 = 4, kPaused14 = 5, kResumed14 = 6;

// Nicira's events have no initial one; it is an addition.
std::uint16_t number_of(MonitorEvent event, Version version) {
  const auto number = static_cast<std::uint16_t>(event);
  return version >= Version::k14 || event == MonitorEvent::kInitial ? number : static_cast<std::uint16_t>(number - 1);
}

std::optional<PortNo> wanted_port(PortNo port) { return port == kPortNone ? std::nullopt : std::optional{port}; }

void read_table(MonitorRequest& request, std::uint8_t table) {
  if (table == kAllTables) return;
  if (table >= kTableCount) throw OfError(OfErrorCode::kMonitorBadTable, "table {}: tables are 0 to 253", table);
  request.filter.table = table;
}

MonitorRequest read_10(Reader& in) {
  MonitorRequest request;
  request.id = in.u32();
  request.flags = in.u16();
  request.filter.out_port = wanted_port(port_from_16(in.u16()));
  const std::size_t size = in.u16();
  read_table(request, in.u8());
  in.skip(5);
  const std::size_t padding = (8 - size % 8) % 8;
  std::optional<CookieMatch> cookie;
  request.filter.match = decode_fields(in.take(size), cookie);
  if (cookie) {
    request.filter.cookie = cookie->value;
    request.filter.cookie_mask = cookie->mask;
  }
  in.skip(padding);
  return request;
}

MonitorRequest read_13(Reader& in) {
  MonitorRequest request;
  request.id = in.u32();
  request.flags = in.u16();
  in.skip(2);  // the match's length, which it has itself
  request.filter.out_port = wanted_port(PortNo{in.u32()});
  read_table(request, in.u8());
  in.skip(3);
  request.filter.match = decode_match(in);
  return request;
}

MonitorRequest read_14(Reader& in) {
  MonitorRequest request;
  request.id = in.u32();
  request.filter.out_port = wanted_port(PortNo{in.u32()});
  request.filter.out_group = in.u32();
  request.flags = in.u16();
  const std::uint8_t table = in.u8(), command = in.u8();
  if (command > static_cast<std::uint8_t>(MonitorCommand::kDelete))
    throw OfError(OfErrorCode::kMonitorBadCommand, "flow monitor command {} is unknown", command);
  request.command = static_cast<MonitorCommand>(command);
  read_table(request, table);
  request.filter.match = decode_match(in);
  return request;
}

void put_paused(Writer& out, Version version, MessageKind kind, std::uint16_t event) {
  if (version < Version::k14) {
    const MessageScope message{out, version, kind, 0};
    return;
  }
  const MultipartScope message{out, version, flow_monitor_format(version), 0};
  out.u16(8);
  out.u16(event);
  out.zeros(4);
}

}  // namespace

std::vector<MonitorRequest> decode_flow_monitors(Bytes body, Version version) {
  const std::uint16_t known =
      static_cast<std::uint16_t>(version >= Version::k14 ? 2 * kMonitorOnlyOwn - 1 : 2 * kMonitorNoAbbreviation - 1);
  std::vector<MonitorRequest> requests;
  for (Reader in{body}; !in.done();) {
    MonitorRequest request = version == Version::k10   ? read_10(in)
                             : version == Version::k13 ? read_13(in)
                                                       : read_14(in);
    request.filter.command = FlowMod::Command::kDelete;
    if ((request.flags & ~known) != 0)
      throw OfError(OfErrorCode::kMonitorBadFlags, "flow monitor flags {:#x} are unknown", request.flags);
    requests.push_back(std::move(request));
  }
  return requests;
}

const MultipartFormat& flow_monitor_format(Version version) {
  return *std::ranges::find_if(multipart_formats(), [&](const MultipartFormat& format) {
    return format.kind == MultipartKind::kFlowMonitor && format.since <= version && version <= format.until;
  });
}

void encode_flow_update(Writer& out, MonitorEvent event, const Rule& rule, std::optional<RemovedReason> reason,
                        bool with_instructions, Version version) {
  const std::size_t start = out.size();
  const std::uint16_t idle = rule.idle_timeout.load(std::memory_order_relaxed);
  const std::uint16_t hard = rule.hard_timeout.load(std::memory_order_relaxed);
  out.u16(0);
  out.u16(number_of(event, version));
  if (version >= Version::k14) {
    out.u8(rule.table);
    out.u8(reason ? reason_in(*reason, version) : std::uint8_t{0});
    out.u16(idle);
    out.u16(hard);
    out.u16(rule.priority);
    out.zeros(4);
    out.u64(rule.cookie);
    encode_match(out, rule.match, version);
  } else {
    out.u16(reason ? reason_in(*reason, version) : std::uint8_t{0});
    out.u16(rule.priority);
    out.u16(idle);
    out.u16(hard);
    const std::size_t length_at = out.size();
    out.u16(0);
    out.u8(rule.table);
    out.zeros(1);
    out.u64(rule.cookie);
    const std::size_t begin = out.size();
    if (version == Version::k10) {
      encode_fields(out, rule.match, version);
      out.patch16(length_at, out.size() - begin);
      out.align(begin, 8);
    } else {
      encode_match(out, rule.match, version);
      out.patch16(length_at, static_cast<std::size_t>(out.bytes()[begin + 2]) << 8 | out.bytes()[begin + 3]);
    }
  }
  if (with_instructions && version == Version::k10)
    encode_actions(out, rule.actions, version, rule.match);
  else if (with_instructions)
    encode_instructions(out, rule.actions, version, rule.match);
  out.patch16(start, out.size() - start);
}

void encode_flow_abbreviation(Writer& out, std::uint32_t xid, Version version) {
  out.u16(8);
  out.u16(version >= Version::k14 ? kAbbreviated14 : kAbbreviated10);
  out.u32(xid);
}

void encode_monitors_paused(Writer& out, Version version) {
  put_paused(out, version, MessageKind::kFlowMonitorPaused, kPaused14);
}

void encode_monitors_resumed(Writer& out, Version version) {
  put_paused(out, version, MessageKind::kFlowMonitorResumed, kResumed14);
}

}  // namespace shunt::openflow
