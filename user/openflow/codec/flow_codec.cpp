// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/flow_codec.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "user/openflow/codec/action_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/port_number.h"
#include "user/pipeline/group.h"

namespace shunt::openflow {
namespace {

constexpr std::uint16_t kFlags10 = kSendFlowRemoved | kCheckOverlap;  // of OpenFlow 1.0; 1 << 2 is another there
constexpr std::uint16_t kFlags13 = kFlags10 | kResetCounts | kNoPacketCounts | kNoByteCounts;

FlowMod::Command command_of(unsigned command) {
  if (command > static_cast<unsigned>(FlowMod::Command::kDeleteStrict))
    throw OfError(OfErrorCode::kFlowModBadCommand, "flow-mod command {} is unknown", command);
  return static_cast<FlowMod::Command>(command);
}

bool is_delete(FlowMod::Command command) {
  return command == FlowMod::Command::kDelete || command == FlowMod::Command::kDeleteStrict;
}

void check_flags(std::uint16_t flags, std::uint16_t known) {
  if ((flags & ~known) != 0) throw OfError(OfErrorCode::kBadFlags, "unknown flags {:#x}", flags & ~known);
}

std::optional<PortNo> filter_port(PortNo port) { return port == kPortNone ? std::nullopt : std::optional{port}; }
std::optional<std::uint32_t> filter_group(std::uint32_t group) {
  return group == kGroupAny ? std::nullopt : std::optional{group};
}

// All tables, on a deletion. None of them is the one where a rule is added or modified.
std::optional<std::uint8_t> table_of(std::uint8_t table, FlowMod::Command command) {
  return table == kAllTables && is_delete(command) ? std::nullopt : std::optional{table};
}

void check_flow_mod_buffer(FlowModMessage& message) {
  if (is_delete(message.mod.command)) message.buffer_id = kNoBuffer;
}

// What OpenFlow 1.0 and Nicira's flow-mod have in common. A modification adds the rule where there is none to modify.
void decode_settings10(Reader& in, FlowModMessage& message, bool table_ids) {
  FlowMod& mod = message.mod;
  mod.cookie = in.u64();
  const std::uint16_t command = in.u16();
  mod.command = command_of(table_ids ? command & 0xffu : command);
  const auto table = static_cast<std::uint8_t>(table_ids ? command >> 8 : kAllTables);
  if (table != kAllTables) mod.table = table;
  mod.idle_timeout = in.u16();
  mod.hard_timeout = in.u16();
  mod.priority = in.u16();
  message.buffer_id = in.u32();
  const PortNo out_port = port_from_16(in.u16());
  if (is_delete(mod.command)) mod.out_port = filter_port(out_port);
  mod.flags = in.u16();
  check_flags(mod.flags, kFlags10);
  if (mod.command == FlowMod::Command::kModify || mod.command == FlowMod::Command::kModifyStrict) {
    mod.new_cookie = mod.cookie;
    mod.modify_adds = true;
  }
  check_flow_mod_buffer(message);
}

void decode_actions10(Reader& in, FlowMod& mod) {
  if (is_delete(mod.command)) return;
  mod.actions = decode_actions(in.rest(), Version::k10, ActionPlace::kList, mod.match);
  if (mod.actions.empty()) mod.actions.emplace_back(DropAction{});
}

}  // namespace

FlowModMessage decode_nx_flow_mod(Bytes body, bool table_ids) {
  Reader in{body};
  FlowModMessage message;
  FlowMod& mod = message.mod;
  decode_settings10(in, message, table_ids);
  const std::size_t match_size = in.u16();
  in.skip(6);
  std::optional<CookieMatch> cookie;
  mod.match = decode_fields(in.take(match_size), cookie);
  in.skip((8 - match_size % 8) % 8);
  if (cookie) {
    if (mod.command == FlowMod::Command::kAdd)
      throw OfError(OfErrorCode::kNxmInvalid, "a rule that is added has a cookie, and cannot be selected by one");
    const bool keeps = mod.cookie == ~std::uint64_t{0};
    mod.new_cookie = keeps ? std::nullopt : std::optional{mod.cookie};
    mod.cookie = cookie->value;
    mod.cookie_mask = cookie->mask;
    mod.modify_adds = false;
  }
  decode_actions10(in, mod);
  return message;
}

FlowModMessage decode_flow_mod(Bytes body, Version version, bool table_ids) {
  Reader in{body};
  FlowModMessage message;
  FlowMod& mod = message.mod;
  if (version == Version::k10) {
    mod.match = decode_match10(in);
    decode_settings10(in, message, table_ids);
    decode_actions10(in, mod);
    return message;
  }
  const std::uint64_t cookie = in.u64(), cookie_mask = in.u64();
  const std::uint8_t table = in.u8();
  mod.command = command_of(in.u8());
  mod.table = table_of(table, mod.command);
  mod.cookie = cookie;
  if (mod.command != FlowMod::Command::kAdd) mod.cookie_mask = cookie_mask;
  mod.idle_timeout = in.u16();
  mod.hard_timeout = in.u16();
  mod.priority = in.u16();
  message.buffer_id = in.u32();
  const PortNo out_port{in.u32()};
  const std::uint32_t out_group = in.u32();
  if (is_delete(mod.command)) {
    mod.out_port = filter_port(out_port);
    mod.out_group = filter_group(out_group);
  }
  mod.flags = in.u16();
  check_flags(mod.flags, kFlags13);
  mod.keep_counts = mod.command == FlowMod::Command::kAdd && (mod.flags & kResetCounts) == 0;
  const std::uint16_t importance = in.u16();
  if (version >= Version::k14) mod.importance = importance;
  mod.match = decode_match(in);
  if (!is_delete(mod.command)) mod.actions = decode_instructions(in.rest(), version, mod.match);
  check_flow_mod_buffer(message);
  return message;
}

namespace {

void encode_settings10(Writer& out, const FlowModMessage& message, std::uint64_t cookie) {
  const FlowMod& mod = message.mod;
  out.u64(cookie);
  out.u16(static_cast<std::uint16_t>(mod.table.value_or(kAllTables) << 8 | static_cast<unsigned>(mod.command)));
  out.u16(mod.idle_timeout);
  out.u16(mod.hard_timeout);
  out.u16(mod.priority);
  out.u32(message.buffer_id);
  out.u16(port_to_16(mod.out_port.value_or(kPortNone)));
  out.u16(mod.flags & kFlags10);
}

}  // namespace

// OpenFlow 1.0 by Nicira's, with the table in the command.
void encode_flow_mod(Writer& out, const FlowModMessage& message, Version version, std::uint32_t xid) {
  const FlowMod& mod = message.mod;
  if (version == Version::k10) {
    const MessageScope scope{out, version, MessageKind::kNxFlowMod, xid};
    encode_settings10(out, message, mod.cookie);
    const std::size_t length_at = out.size();
    out.zeros(8);
    const std::size_t begin = out.size();
    encode_fields(out, mod.match, version);
    out.patch16(length_at, out.size() - begin);
    out.align(begin, 8);
    encode_actions(out, mod.actions, version, mod.match);
    return;
  }
  const MessageScope scope{out, version, MessageKind::kFlowMod, xid};
  out.u64(mod.cookie);
  out.u64(mod.cookie_mask.value_or(0));
  out.u8(mod.table.value_or(is_delete(mod.command) ? kAllTables : std::uint8_t{0}));
  out.u8(static_cast<std::uint8_t>(mod.command));
  out.u16(mod.idle_timeout);
  out.u16(mod.hard_timeout);
  out.u16(mod.priority);
  out.u32(message.buffer_id);
  out.u32(mod.out_port.value_or(kPortNone).value);
  out.u32(mod.out_group.value_or(kGroupAny));
  out.u16(mod.flags);
  out.u16(version >= Version::k14 ? mod.importance : std::uint16_t{0});
  encode_match(out, mod.match, version);
  encode_instructions(out, mod.actions, version, mod.match);
}

FlowMod decode_flow_filter(Bytes body, Version version) {
  Reader in{body};
  FlowMod filter;
  filter.command = FlowMod::Command::kDelete;
  if (version == Version::k10) {
    filter.match = decode_match10(in);
    filter.table = table_of(in.u8(), filter.command);
    in.skip(1);
    filter.out_port = filter_port(port_from_16(in.u16()));
    return filter;
  }
  filter.table = table_of(in.u8(), filter.command);
  in.skip(3);
  filter.out_port = filter_port(PortNo{in.u32()});
  filter.out_group = filter_group(in.u32());
  in.skip(4);
  filter.cookie = in.u64();
  filter.cookie_mask = in.u64();
  filter.match = decode_match(in);
  return filter;
}

FlowMod decode_nx_flow_filter(Bytes body) {
  Reader in{body};
  FlowMod filter;
  filter.command = FlowMod::Command::kDelete;
  filter.out_port = filter_port(port_from_16(in.u16()));
  const std::size_t match_size = in.u16();
  filter.table = table_of(in.u8(), filter.command);
  in.skip(3);
  std::optional<CookieMatch> cookie;
  filter.match = decode_fields(in.take(match_size), cookie);
  if (cookie) {
    filter.cookie = cookie->value;
    filter.cookie_mask = cookie->mask;
  }
  return filter;
}

namespace {

TimePoint modified_of(const Rule& rule) {
  return TimePoint{TimePoint::duration{rule.modified.load(std::memory_order_relaxed)}};
}
TimePoint used_of(const Rule& rule) { return std::max(rule.created, rule.counters.used()); }

// OpenFlow 1.5's statistics (OXS).
class Statistics {
 public:
  explicit Statistics(Writer& out) : out_{out}, tlv_{out, 0} {}
  void duration(TimePoint::duration age) {
    header(0, 8);
    put_duration(out_, age);
  }
  void idle_time(TimePoint::duration age) {
    header(1, 8);
    put_duration(out_, age);
  }
  void flows(std::uint32_t count) {
    header(3, 4);
    out_.u32(count);
  }
  void packets(std::uint64_t count) {
    header(4, 8);
    out_.u64(count);
  }
  void bytes(std::uint64_t count) {
    header(5, 8);
    out_.u64(count);
  }

 private:
  void header(unsigned field, unsigned size) { out_.u32(0x80020000u | field << 9 | size); }

  Writer& out_;
  const Tlv tlv_;
};

template <typename Fill>
void put_statistics(Writer& out, Fill&& fill) {
  const std::size_t start = out.size();
  {
    Statistics statistics{out};
    fill(statistics);
  }
  out.align(start, 8);
}

void put_rule_statistics(Writer& out, const Rule& rule, TimePoint now) {
  put_statistics(out, [&](Statistics& statistics) {
    statistics.duration(now - rule.created);
    statistics.idle_time(now - used_of(rule));
    statistics.packets(rule.counters.packets());
    statistics.bytes(rule.counters.bytes());
  });
}

std::uint16_t idle_timeout_of(const Rule& rule) { return rule.idle_timeout.load(std::memory_order_relaxed); }
std::uint16_t hard_timeout_of(const Rule& rule) { return rule.hard_timeout.load(std::memory_order_relaxed); }

void put_entry10(Writer& out, const Rule& rule, TimePoint now) {
  out.u8(rule.table);
  out.zeros(1);
  encode_match10(out, rule.match);
  put_duration(out, now - rule.created);
  out.u16(rule.priority);
  out.u16(idle_timeout_of(rule));
  out.u16(hard_timeout_of(rule));
  out.zeros(6);
  out.u64(rule.cookie);
  out.u64(rule.counters.packets());
  out.u64(rule.counters.bytes());
  encode_actions(out, rule.actions, Version::k10, rule.match);
}

// An age in seconds, plus one: 0 is "not known".
std::uint16_t age_of(TimePoint since, TimePoint now) {
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - since).count();
  return static_cast<std::uint16_t>(std::clamp<std::int64_t>(age, 0, 0xfffe) + 1);
}

void put_nx_entry(Writer& out, const Rule& rule, TimePoint now, bool flow_age) {
  out.u8(rule.table);
  out.zeros(1);
  put_duration(out, now - rule.created);
  out.u16(rule.priority);
  out.u16(idle_timeout_of(rule));
  out.u16(hard_timeout_of(rule));
  const std::size_t length_at = out.size();
  out.u16(0);
  out.u16(flow_age ? age_of(used_of(rule), now) : std::uint16_t{0});
  out.u16(flow_age ? age_of(modified_of(rule), now) : std::uint16_t{0});
  out.u64(rule.cookie);
  out.u64(rule.counters.packets());
  out.u64(rule.counters.bytes());
  const std::size_t begin = out.size();
  encode_fields(out, rule.match, Version::k10);
  out.patch16(length_at, out.size() - begin);
  out.align(begin, 8);
  encode_actions(out, rule.actions, Version::k10, rule.match);
}

void put_entry13(Writer& out, const Rule& rule, TimePoint now, Version version) {
  out.u8(rule.table);
  out.zeros(1);
  put_duration(out, now - rule.created);
  out.u16(rule.priority);
  out.u16(idle_timeout_of(rule));
  out.u16(hard_timeout_of(rule));
  out.u16(rule.flags);
  out.u16(version >= Version::k14 ? rule.importance : std::uint16_t{0});
  out.zeros(2);
  out.u64(rule.cookie);
  out.u64(rule.counters.packets());
  out.u64(rule.counters.bytes());
  encode_match(out, rule.match, version);
  encode_instructions(out, rule.actions, version, rule.match);
}

void put_entry15(Writer& out, const Rule& rule, TimePoint now) {
  out.zeros(2);
  out.u8(rule.table);
  out.zeros(1);
  out.u16(rule.priority);
  out.u16(idle_timeout_of(rule));
  out.u16(hard_timeout_of(rule));
  out.u16(rule.flags);
  out.u16(rule.importance);
  out.u64(rule.cookie);
  encode_match(out, rule.match, Version::k15);
  put_rule_statistics(out, rule, now);
  encode_instructions(out, rule.actions, Version::k15, rule.match);
}

void put_counters15(Writer& out, const Rule& rule, TimePoint now) {
  out.zeros(2);
  out.u8(rule.table);
  out.u8(0);  // OFPFSR_STATS_REQUEST
  out.u16(rule.priority);
  encode_match(out, rule.match, Version::k15);
  put_rule_statistics(out, rule, now);
}

}  // namespace

void encode_flow_entry(Writer& out, const Rule& rule, TimePoint now, MultipartKind kind, Version version,
                       bool flow_age) {
  const std::size_t begin = out.size();
  out.u16(0);
  if (kind == MultipartKind::kNxFlow)
    put_nx_entry(out, rule, now, flow_age);
  else if (kind == MultipartKind::kFlowStats)
    put_counters15(out, rule, now);
  else if (version == Version::k10)
    put_entry10(out, rule, now);
  else if (version == Version::k15)
    put_entry15(out, rule, now);
  else
    put_entry13(out, rule, now, version);
  out.patch16(begin, out.size() - begin);
}

void encode_aggregate(Writer& out, const FlowTotals& totals, Version version) {
  if (version == Version::k15)
    return put_statistics(out, [&](Statistics& statistics) {
      statistics.packets(totals.packets);
      statistics.bytes(totals.bytes);
      statistics.flows(totals.flows);
    });
  out.u64(totals.packets);
  out.u64(totals.bytes);
  out.u32(totals.flows);
  out.zeros(4);
}

std::uint8_t reason_in(RemovedReason reason, Version version) {
  const RemovedReason last = version >= Version::k14   ? RemovedReason::kEviction
                             : version >= Version::k13 ? RemovedReason::kGroupDelete
                                                       : RemovedReason::kDelete;
  return static_cast<std::uint8_t>(reason > last ? RemovedReason::kDelete : reason);
}

void encode_flow_removed(Writer& out, const RemovedRule& removed, TimePoint now, Version version, bool nicira) {
  const Rule& rule = *removed.rule;
  const std::uint8_t reason = reason_in(removed.reason, version);
  const auto counters = [&] {
    out.u64(rule.counters.packets());
    out.u64(rule.counters.bytes());
  };
  if (nicira) {
    const MessageScope scope{out, Version::k10, MessageKind::kNxFlowRemoved, 0};
    out.u64(rule.cookie);
    out.u16(rule.priority);
    out.u8(reason);
    out.u8(static_cast<std::uint8_t>(rule.table + 1));
    put_duration(out, now - rule.created);
    out.u16(idle_timeout_of(rule));
    const std::size_t length_at = out.size();
    out.u16(0);
    counters();
    const std::size_t begin = out.size();
    encode_fields(out, rule.match, Version::k10);
    out.patch16(length_at, out.size() - begin);
    out.align(begin, 8);
    return;
  }
  const MessageScope scope{out, version, MessageKind::kFlowRemoved, 0};
  if (version == Version::k10) {
    encode_match10(out, rule.match);
    out.u64(rule.cookie);
    out.u16(rule.priority);
    out.u8(reason);
    out.zeros(1);
    put_duration(out, now - rule.created);
    out.u16(idle_timeout_of(rule));
    out.zeros(2);
    return counters();
  }
  if (version == Version::k15) {
    out.u8(rule.table);
    out.u8(reason);
    out.u16(rule.priority);
    out.u16(idle_timeout_of(rule));
    out.u16(hard_timeout_of(rule));
    out.u64(rule.cookie);
    encode_match(out, rule.match, version);
    return put_rule_statistics(out, rule, now);
  }
  out.u64(rule.cookie);
  out.u16(rule.priority);
  out.u8(reason);
  out.u8(rule.table);
  put_duration(out, now - rule.created);
  out.u16(idle_timeout_of(rule));
  out.u16(hard_timeout_of(rule));
  counters();
  encode_match(out, rule.match, version);
}

}  // namespace shunt::openflow
