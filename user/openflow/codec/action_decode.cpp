// SPDX-License-Identifier: Apache-2.0
// OpenFlow's own actions, decoded; and lists of actions.
#include <algorithm>
#include <array>
#include <utility>

#include "user/openflow/codec/action_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/port_number.h"
#include "user/pipeline/packet_knowledge.h"
#include "user/pipeline/rule_check.h"

namespace shunt::openflow {
namespace {

constexpr std::uint16_t kExperimenterAction = 0xffff;
constexpr std::size_t kSmallest = 8;
constexpr std::uint16_t kPbbType = 0x88e7, kMplsType = 0x8847, kMplsMulticastType = 0x8848;

void add_output(ActionScope& scope, PortNo port, std::uint16_t max_len) {
  if (port != kPortController) return scope.add(OutputAction{port, 0, max_len});
  if (scope.place == ActionPlace::kActionSet && max_len != 0)
    return scope.add(OutputAction{port, max_len == kWholePacket ? std::uint16_t{0} : max_len});
  ControllerAction controller;
  controller.max_len = max_len;
  if (scope.place == ActionPlace::kPacketOut) controller.reason = PacketInReason::kPacketOut;
  scope.add(std::move(controller));
}

void output10(Reader& in, ActionScope& scope) {
  const PortNo port = port_from_16(in.u16());
  add_output(scope, port, in.u16());
}
void output(Reader& in, ActionScope& scope) {
  const PortNo port{in.u32()};
  add_output(scope, port, in.u16());
}
void enqueue10(Reader& in, ActionScope& scope) {
  const PortNo port = port_from_16(in.u16());
  in.skip(6);
  scope.add(EnqueueAction{port, in.u32()});
}
void set_vlan_vid10(Reader& in, ActionScope& scope) {
  scope.add(SetVlanVidAction{in.u16()});
  after_tagging(scope.known);
}
void set_vlan_pcp10(Reader& in, ActionScope& scope) {
  scope.add(SetVlanPcpAction{in.u8()});
  after_tagging(scope.known);
}
void pop_vlan(Reader&, ActionScope& scope) {
  scope.add(PopVlanAction{});
  after_pop_vlan(scope.known);
}
// A packet without the field stays as it is.
template <FieldId kId, std::size_t kSize>
void set10(Reader& in, ActionScope& scope) {
  const Field& f = field(kId);
  const FieldBits value = in.number(kSize);
  if (kId == FieldId::kNwTos && (value & 3) != 0)
    throw OfError(OfErrorCode::kBadArgument, "nw_tos: the two ECN bits are not its own");
  add_set_field(scope, f, value, value_bits(f));
}

void push_vlan(Reader& in, ActionScope& scope) {
  const std::uint16_t tpid = in.u16();
  if (scope.place == ActionPlace::kList && implied_by(Prerequisite::kInnerVlan, scope.known))
    throw OfError(OfErrorCode::kBadTag, "push_vlan: the packet has two tags already");
  scope.add(PushVlanAction{tpid});
  after_push_vlan(scope.known);
}
void push_mpls(Reader& in, ActionScope& scope) {
  const std::uint16_t type = in.u16();
  if (type != kMplsType && type != kMplsMulticastType)
    throw OfError(OfErrorCode::kBadArgument, "push_mpls: EtherType {:#06x} is not MPLS", type);
  scope.add(PushMplsAction{type});
  after_push_mpls(scope.known, type);
}
void pop_mpls(Reader& in, ActionScope& scope) {
  const std::uint16_t type = in.u16();
  scope.check(field(FieldId::kMplsLabel));
  scope.add(PopMplsAction{type});
  after_pop_mpls(scope.known, type);
}
void push_pbb(Reader& in, ActionScope& scope) {
  const std::uint16_t type = in.u16();
  if (type != kPbbType) throw OfError(OfErrorCode::kBadArgument, "push_pbb: EtherType {:#06x} is not PBB", type);
  scope.add(PushPbbAction{});
  after_push_pbb(scope.known);
}
void pop_pbb(Reader&, ActionScope& scope) {
  scope.check(field(FieldId::kPbbIsid));
  scope.add(PopPbbAction{});
  after_pop_pbb(scope.known);
}
void set_queue(Reader& in, ActionScope& scope) { scope.add(SetQueueAction{in.u32()}); }
void group(Reader& in, ActionScope& scope) { scope.add(GroupAction{in.u32()}); }
void meter(Reader& in, ActionScope& scope) { scope.add(MeterAction{in.u32()}); }
void set_nw_ttl(Reader& in, ActionScope& scope) {
  const Field& f = field(FieldId::kNwTtl);
  scope.check(f);
  add_set_field(scope, f, in.u8(), value_bits(f));
}
void dec_nw_ttl(Reader&, ActionScope& scope) {
  scope.check(field(FieldId::kNwTtl));
  scope.add(DecTtlAction{});
}
void set_mpls_ttl(Reader& in, ActionScope& scope) {
  scope.check(field(FieldId::kMplsTtl));
  scope.add(SetMplsTtlAction{in.u8()});
}
template <typename A>
void plain(Reader&, ActionScope& scope) {
  scope.add(A{});
}
void dec_mpls_ttl(Reader&, ActionScope& scope) {
  scope.check(field(FieldId::kMplsTtl));
  scope.add(DecMplsTtlAction{});
}

bool is_type(FieldId id) { return id == FieldId::kEthType || id == FieldId::kNwProto; }

// Whole: half of a type is none.
void set_type(ActionScope& scope, const OxmField& oxm, const FieldValue& set) {
  const bool is_eth_type = oxm.field == FieldId::kEthType;
  scope.check(field(oxm.field));
  if (set.mask != value_bits(field(oxm.field))) throw OfError(OfErrorCode::kBadSetMask, "{} is set whole", oxm.name);
  const auto value = static_cast<std::uint16_t>(set.value);
  scope.add(SetTypeAction{is_eth_type ? SetTypeAction::What::kEthType : SetTypeAction::What::kIpProtocol, value});
  is_eth_type ? after_set_eth_type(scope.known, value)
              : after_set_protocol(scope.known, static_cast<std::uint8_t>(value));
}

void set_field(Reader& in, ActionScope& scope) {
  const FieldValue set = decode_set_field(in);
  if (!is_settable(*set.field)) throw OfError(OfErrorCode::kBadSetType, "{} cannot be set", set.field->name);
  if (set.has_mask && scope.version < Version::k15)
    throw OfError(OfErrorCode::kBadSetMask, "set_field of {} under a mask: OpenFlow {} has none", set.field->name,
                  name_of(scope.version));
  if (is_type(set.field->field)) return set_type(scope, *set.field, set);
  add_load(scope, *set.field, set.value, set.mask);
}

void copy_field(Reader& in, ActionScope& scope) {
  const std::size_t count = in.u16(), from = in.u16(), to = in.u16();
  in.skip(2);
  const OxmField& source = read_field_name(in);
  const OxmField& target = read_field_name(in);
  const Subfield src = scope.source(source, from, count), dst = scope.target(target, to, count);
  scope.add(MoveAction{src.field, dst.field, src.first_bit, dst.first_bit, src.bit_count});
}
void copy_field_onf(Reader& in, ActionScope& scope) {
  in.skip(2);
  copy_field(in, scope);
}

constexpr Version k10 = Version::k10, k13 = Version::k13, k14 = Version::k14, k15 = Version::k15;
// clang-format off
constexpr auto kActions = std::to_array<ActionFormat>({
    {"OFPAT_OUTPUT", 0, 0, k10, k10, 8, output10},
    {"OFPAT_SET_VLAN_VID", 0, 1, k10, k10, 8, set_vlan_vid10},
    {"OFPAT_SET_VLAN_PCP", 0, 2, k10, k10, 8, set_vlan_pcp10},
    {"OFPAT_STRIP_VLAN", 0, 3, k10, k10, 8, pop_vlan},
    {"OFPAT_SET_DL_SRC", 0, 4, k10, k10, 16, set10<FieldId::kEthSrc, 6>},
    {"OFPAT_SET_DL_DST", 0, 5, k10, k10, 16, set10<FieldId::kEthDst, 6>},
    {"OFPAT_SET_NW_SRC", 0, 6, k10, k10, 8, set10<FieldId::kIpSrc, 4>},
    {"OFPAT_SET_NW_DST", 0, 7, k10, k10, 8, set10<FieldId::kIpDst, 4>},
    {"OFPAT_SET_NW_TOS", 0, 8, k10, k10, 8, set10<FieldId::kNwTos, 1>},
    {"OFPAT_SET_TP_SRC", 0, 9, k10, k10, 8, set10<FieldId::kTpSrc, 2>},
    {"OFPAT_SET_TP_DST", 0, 10, k10, k10, 8, set10<FieldId::kTpDst, 2>},
    {"OFPAT_ENQUEUE", 0, 11, k10, k10, 16, enqueue10},
    {"OFPAT_OUTPUT", 0, 0, k13, k15, 16, output},
    {"OFPAT_COPY_TTL_OUT", 0, 11, k13, k15, 8, plain<CopyTtlOutAction>},
    {"OFPAT_COPY_TTL_IN", 0, 12, k13, k15, 8, plain<CopyTtlInAction>},
    {"OFPAT_SET_MPLS_TTL", 0, 15, k13, k15, 8, set_mpls_ttl},
    {"OFPAT_DEC_MPLS_TTL", 0, 16, k13, k15, 8, dec_mpls_ttl},
    {"OFPAT_PUSH_VLAN", 0, 17, k13, k15, 8, push_vlan},
    {"OFPAT_POP_VLAN", 0, 18, k13, k15, 8, pop_vlan},
    {"OFPAT_PUSH_MPLS", 0, 19, k13, k15, 8, push_mpls},
    {"OFPAT_POP_MPLS", 0, 20, k13, k15, 8, pop_mpls},
    {"OFPAT_SET_QUEUE", 0, 21, k13, k15, 8, set_queue},
    {"OFPAT_GROUP", 0, 22, k13, k15, 8, group},
    {"OFPAT_SET_NW_TTL", 0, 23, k13, k15, 8, set_nw_ttl},
    {"OFPAT_DEC_NW_TTL", 0, 24, k13, k15, 8, dec_nw_ttl},
    {"OFPAT_SET_FIELD", 0, 25, k13, k15, 0, set_field},
    {"OFPAT_PUSH_PBB", 0, 26, k13, k15, 8, push_pbb},
    {"OFPAT_POP_PBB", 0, 27, k13, k15, 8, pop_pbb},
    {"OFPAT_COPY_FIELD", 0, 28, k15, k15, 0, copy_field},
    {"OFPAT_METER", 0, 29, k15, k15, 8, meter},
    {"ONFACT_COPY_FIELD", kOnfId, 3200, k13, k14, 0, copy_field_onf},
});
// clang-format on

const ActionFormat& find_action(const ActionScope& scope, std::uint32_t experimenter, std::uint16_t number) {
  const auto fits = [&](const ActionFormat& format) {
    return format.experimenter == experimenter && format.number == number && format.since <= scope.version &&
           scope.version <= format.until;
  };
  for (const auto table : {standard_actions(), nicira_actions()})
    if (const auto at = std::ranges::find_if(table, fits); at != table.end()) return *at;
  if (experimenter == 0)
    throw OfError(OfErrorCode::kBadType, "no action {} in OpenFlow {}", number, name_of(scope.version));
  throw OfError(OfErrorCode::kActionBadExpType, "experimenter {:#x} has no action {}", experimenter, number);
}

void decode_action(ActionScope& scope, Reader& in) {
  const std::uint16_t type = in.u16();
  const std::uint16_t size = in.u16();
  if (size < kSmallest || size % 8 != 0 || size - 4u > in.left())
    throw OfError(OfErrorCode::kActionBadLength, "action {} of {} bytes", type, size);
  Reader body = in.part(size - 4u, OfErrorCode::kActionBadLength);
  std::uint32_t experimenter = 0;
  std::uint16_t number = type;
  if (type == kExperimenterAction) {
    experimenter = body.u32();
    if (experimenter != kNiciraId && experimenter != kOnfId)
      throw OfError(OfErrorCode::kActionBadExperimenter, "actions of experimenter {:#x} are unknown", experimenter);
    number = body.u16();
  }
  const ActionFormat& format = find_action(scope, experimenter, number);
  if (format.size != 0 && format.size != size)
    throw OfError(OfErrorCode::kActionBadLength, "{} of {} bytes", format.name, size);
  format.decode(body, scope);
}

// Of NXM_OF_VLAN_TCI an action may write the VID or the PCP.
Subfield part_of_tag(std::size_t first_bit, std::size_t bit_count) {
  const auto first = static_cast<std::uint16_t>(first_bit), count = static_cast<std::uint16_t>(bit_count);
  if (first + count <= 12) return {&field(FieldId::kVlanVid), first, count};
  if (first >= 13 && first + count <= 16)
    return {&field(FieldId::kVlanPcp), static_cast<std::uint16_t>(first - 13), count};
  throw OfError(OfErrorCode::kBadSetArgument, "of the tag bits 0 to 11 can be written, or 13 to 15");
}

std::size_t readable_width(const OxmField& oxm) {
  return oxm.field == FieldId::kVlanVid ? field(oxm.field).width : width_of(oxm);
}

}  // namespace

std::span<const ActionFormat> standard_actions() { return kActions; }

bool is_settable(const OxmField& oxm) {
  if (oxm.field == FieldId::kInPort) return oxm.is_nicira();
  return field(oxm.field).writable || is_type(oxm.field);
}

void ActionScope::check(const Field& f) const {
  if (place != ActionPlace::kList || implied_by(f.prerequisite, known)) return;
  throw OfError(OfErrorCode::kMatchInconsistent, "{} needs {} in the match", f.name, describe(f.prerequisite));
}

Subfield ActionScope::source(const OxmField& oxm, std::size_t first_bit, std::size_t bit_count) const {
  if (bit_count == 0 || first_bit + bit_count > readable_width(oxm))
    throw OfError(OfErrorCode::kBadSetLength, "bits {} to {} of {}, which has {}", first_bit, first_bit + bit_count - 1,
                  oxm.name, readable_width(oxm));
  const Field& f = field(oxm.field);
  check(f);
  return {&f, static_cast<std::uint16_t>(first_bit), static_cast<std::uint16_t>(bit_count)};
}

Subfield ActionScope::target(const OxmField& oxm, std::size_t first_bit, std::size_t bit_count) const {
  Subfield bits = source(oxm, first_bit, bit_count);
  if (oxm.field == FieldId::kVlanTci) bits = part_of_tag(first_bit, bit_count);
  if (!bits.field->writable) throw OfError(OfErrorCode::kBadSetArgument, "{} cannot be written", oxm.name);
  check(*bits.field);
  return bits;
}

void add_set_field(ActionScope& scope, const Field& f, FieldBits value, FieldBits mask) {
  scope.add(set_field(f, value, mask));
  after_set(scope.known, f, value, mask);
}

void add_load(ActionScope& scope, const OxmField& oxm, FieldBits value, FieldBits mask) {
  const Field& f = field(oxm.field);
  if (f.id != FieldId::kVlanTci) {
    if (!f.writable) throw OfError(OfErrorCode::kBadSetType, "{} cannot be written", oxm.name);
    if ((value & mask & low_bits(f.width) & ~value_bits(f)) != 0)
      throw OfError(OfErrorCode::kBadSetArgument, "{}: a value that is not one of its own", oxm.name);
    scope.check(f);
    return add_set_field(scope, f, value, mask & value_bits(f));
  }
  const bool whole = mask == 0xffff;
  if (whole && value == 0) {
    scope.add(PopVlanAction{});
    return after_pop_vlan(scope.known);
  }
  if (whole && (value & SHUNT_VLAN_PRESENT) != 0) {
    scope.add(SetVlanVidAction{static_cast<std::uint16_t>(value & 0xfff)});
    scope.add(SetVlanPcpAction{static_cast<std::uint8_t>(value >> 13)});
    return after_tagging(scope.known);
  }
  if ((mask & SHUNT_VLAN_PRESENT) != 0)
    throw OfError(OfErrorCode::kBadSetArgument, "of the tag write all, with 0x1000 or 0, or leave bit 12 alone");
  for (const FieldId id : {FieldId::kVlanVid, FieldId::kVlanPcp}) {
    const Field& part = field(id);
    const FieldBits part_mask = mask >> part.shift & value_bits(part);
    if (part_mask == 0) continue;
    scope.check(part);
    add_set_field(scope, part, value >> part.shift, part_mask);
  }
}

void decode_list(ActionScope& scope, Bytes actions) {
  if (scope.depth > kMaxActionDepth)
    throw OfError(OfErrorCode::kTooManyActions, "actions nest deeper than {}", kMaxActionDepth);
  Reader in{actions, OfErrorCode::kActionBadLength};
  while (!in.done()) {
    if (scope.actions.size() > kMaxRuleActions)
      throw OfError(OfErrorCode::kTooManyActions, "more than {} actions", kMaxRuleActions);
    decode_action(scope, in);
  }
}

ActionList decode_actions(Bytes actions, Version version, ActionPlace place, const Match& match) {
  ActionScope scope{.version = version, .place = place, .known = match};
  decode_list(scope, actions);
  return std::move(scope.actions);
}

}  // namespace shunt::openflow
