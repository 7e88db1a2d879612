// SPDX-License-Identifier: Apache-2.0
// Nicira's actions (Open vSwitch's extensions, nicira-ext.h and ofp-actions.c), decoded.
#include <array>
#include <utility>

#include "user/openflow/codec/action_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/port_number.h"
#include "user/pipeline/packet_knowledge.h"

namespace shunt::openflow {
namespace {

constexpr std::uint32_t kInPortHeader = 0x00000002;  // NXM_OF_IN_PORT, the type of a bundle's members
constexpr std::uint8_t kOwnTable = 0xff;
constexpr std::uint32_t kNoQueue = 0xffffffff;

struct OffsetAndCount {
  std::size_t first, count;
};
OffsetAndCount read_offset_and_count(Reader& in) {
  const std::uint16_t both = in.u16();
  return {static_cast<std::size_t>(both) >> 6, (both & 0x3fu) + 1u};
}

// Names that do not fit their range are refused with the action's own code.
template <typename Enum>
Enum read_enum(Reader& in, Enum last, std::string_view what) {
  const std::uint16_t value = in.u16();
  if (value > static_cast<std::uint16_t>(last))
    throw OfError(OfErrorCode::kBadArgument, "{} {} is unknown", what, value);
  return static_cast<Enum>(value);
}

PacketInReason reason_of(std::uint8_t reason) {
  if (reason > static_cast<std::uint8_t>(PacketInReason::kPacketOut))
    throw OfError(OfErrorCode::kBadArgument, "packet-in reason {} is unknown", reason);
  return static_cast<PacketInReason>(reason);
}

void resubmit_to(ActionScope& scope, PortNo in_port, std::optional<std::uint8_t> table) {
  ResubmitAction action;
  if (in_port != kPortInPort) action.in_port = in_port;
  action.table = table;
  scope.add(action);
}
void resubmit(Reader& in, ActionScope& scope) { resubmit_to(scope, port_from_16(in.u16()), std::nullopt); }
void resubmit_table(Reader& in, ActionScope& scope) {
  const PortNo in_port = port_from_16(in.u16());
  const std::uint8_t table = in.u8();
  resubmit_to(scope, in_port, table == kOwnTable ? std::nullopt : std::optional{table});
}

void set_tunnel_to(ActionScope& scope, std::uint64_t id) {
  const Field& f = field(FieldId::kTunId);
  add_set_field(scope, f, id, value_bits(f));
}
void set_tunnel(Reader& in, ActionScope& scope) {
  in.skip(2);
  set_tunnel_to(scope, in.u32());
}
void set_tunnel64(Reader& in, ActionScope& scope) {
  in.skip(6);
  set_tunnel_to(scope, in.u64());
}
void set_queue(Reader& in, ActionScope& scope) {
  in.skip(2);
  scope.add(SetQueueAction{in.u32()});
}
void pop_queue(Reader&, ActionScope& scope) { scope.add(SetQueueAction{kNoQueue}); }

void reg_move(Reader& in, ActionScope& scope) {
  const std::size_t count = in.u16(), from = in.u16(), to = in.u16();
  const OxmField& source = read_field_name(in);
  const OxmField& target = read_field_name(in);
  const Subfield src = scope.source(source, from, count), dst = scope.target(target, to, count);
  scope.add(MoveAction{src.field, dst.field, src.first_bit, dst.first_bit, src.bit_count});
}

void reg_load(Reader& in, ActionScope& scope) {
  const auto [first, count] = read_offset_and_count(in);
  const OxmField& target = read_field_name(in);
  const FieldBits value = in.u64();
  if (first + count > width_of(target))
    throw OfError(OfErrorCode::kBadSetLength, "bits {} to {} of {}", first, first + count - 1, target.name);
  if ((value & ~low_bits(count)) != 0)
    throw OfError(OfErrorCode::kBadSetArgument, "{}: the value has more than {} bits", target.name, count);
  if (target.field == FieldId::kInPort && first == 0 && count == 16)
    return add_load(scope, target, port_from_16(static_cast<std::uint16_t>(value)).value, low_bits(32));
  add_load(scope, target, value << first, low_bits(count) << first);
}

void reg_load2(Reader& in, ActionScope& scope) {
  const FieldValue set = decode_set_field(in);
  add_load(scope, *set.field, set.value, set.mask);
}

void note(Reader& in, ActionScope& scope) {
  const Bytes bytes = in.rest();
  scope.add(NoteAction{{bytes.begin(), bytes.end()}});
}

void multipath(Reader& in, ActionScope& scope) {
  MultipathAction action;
  action.fields = read_enum(in, HashFields::kSymmetricL3, "hash fields");
  action.basis = in.u16();
  in.skip(2);
  action.algorithm = read_enum(in, MultipathAction::Algorithm::kIterativeHash, "multipath algorithm");
  action.link_count = in.u16() + 1u;
  action.arg = in.u32();
  in.skip(2);
  const auto [first, count] = read_offset_and_count(in);
  action.target = scope.target(read_field_name(in), first, count);
  scope.add(action);
}

void bundle_of(Reader& in, ActionScope& scope, bool load) {
  BundleAction action;
  action.algorithm = read_enum(in, BundleAction::Algorithm::kHighestRandomWeight, "bundle algorithm");
  action.fields = read_enum(in, HashFields::kSymmetricL3, "hash fields");
  action.basis = in.u16();
  const std::uint32_t member_type = in.u32();
  if (member_type != kInPortHeader) throw OfError(OfErrorCode::kBadArgument, "a bundle's members are ports");
  const std::size_t member_count = in.u16();
  const auto [first, count] = read_offset_and_count(in);
  if (load) {
    action.target = scope.target(read_field_name(in), first, count);
  } else {
    in.skip(4);
  }
  in.skip(4);
  if (in.left() < 2 * member_count)
    throw OfError(OfErrorCode::kActionBadLength, "a bundle of {} members in {} bytes", member_count, in.left());
  for (std::size_t i = 0; i < member_count; ++i) action.members.push_back(port_from_16(in.u16()));
  scope.add(std::move(action));
}
void bundle(Reader& in, ActionScope& scope) { bundle_of(in, scope, false); }
void bundle_load(Reader& in, ActionScope& scope) { bundle_of(in, scope, true); }

void add_output_field(ActionScope& scope, const Subfield& source, std::uint16_t max_len) {
  scope.add(OutputFieldAction{source, max_len == kWholePacket ? std::uint16_t{0} : max_len});
}
void output_reg(Reader& in, ActionScope& scope) {
  const auto [first, count] = read_offset_and_count(in);
  const Subfield source = scope.source(read_field_name(in), first, count);
  add_output_field(scope, source, in.u16());
}
void output_reg2(Reader& in, ActionScope& scope) {
  const auto [first, count] = read_offset_and_count(in);
  const std::uint16_t max_len = in.u16();
  add_output_field(scope, scope.source(read_field_name(in), first, count), max_len);
}
void output_trunc(Reader& in, ActionScope& scope) {
  constexpr std::uint32_t kEthernetHeader = 14;
  const PortNo port = port_from_16(in.u16());
  const std::uint32_t max_len = in.u32();
  if (max_len < kEthernetHeader)
    throw OfError(OfErrorCode::kBadArgument, "output cut to {} bytes: at least {}", max_len, kEthernetHeader);
  const bool is_many = port.value >= kPortTable.value && port != kPortLocal;
  if (is_many) throw OfError(OfErrorCode::kBadOutPort, "an output that is cut goes to one port");
  scope.add(OutputAction{port, static_cast<std::uint16_t>(std::min<std::uint32_t>(max_len, 0xffff))});
}

void exit_pipeline(Reader&, ActionScope& scope) { scope.add(ExitAction{}); }
void dec_ttl(Reader&, ActionScope& scope) { scope.add(DecTtlAction{}); }
void dec_ttl_cnt_ids(Reader& in, ActionScope& scope) {
  DecTtlAction action;
  const std::size_t count = in.u16();
  in.skip(4);
  if (count == 0 || in.left() < 2 * count)
    throw OfError(OfErrorCode::kActionBadLength, "dec_ttl for {} controllers in {} bytes", count, in.left());
  for (std::size_t i = 0; i < count; ++i) action.ids.push_back(in.u16());
  scope.add(std::move(action));
}
void fin_timeout(Reader& in, ActionScope& scope) {
  const std::uint16_t idle = in.u16(), hard = in.u16();
  scope.check(field(FieldId::kTcpFlags));
  scope.add(FinTimeoutAction{idle, hard});
}

void controller(Reader& in, ActionScope& scope) {
  ControllerAction action;
  action.max_len = in.u16();
  action.controller_id = in.u16();
  action.reason = reason_of(in.u8());
  scope.add(std::move(action));
}

enum ControllerProperty : std::uint16_t { kMaxLen, kControllerId, kReason, kUserdata, kPause, kMeterId };

void controller2(Reader& in, ActionScope& scope) {
  ControllerAction action;
  in.skip(6);
  for_each_property(in, [&](std::uint16_t type, Reader& value) {
    switch (type) {
      case kMaxLen:
        action.max_len = value.u16();
        break;
      case kControllerId:
        action.controller_id = value.u16();
        break;
      case kReason:
        action.reason = reason_of(value.u8());
        break;
      case kUserdata: {
        const Bytes bytes = value.rest();
        action.userdata.assign(bytes.begin(), bytes.end());
        break;
      }
      case kPause:
        action.pause = true;
        break;
      case kMeterId:
        action.meter_id = value.u32();
        break;
      default:
        throw OfError(OfErrorCode::kBadProperty, "the controller action has no property {}", type);
    }
  });
  scope.add(std::move(action));
}

void write_metadata(Reader& in, ActionScope& scope) {
  in.skip(6);
  const std::uint64_t value = in.u64(), mask = in.u64();
  scope.add(WriteMetadataAction{value & mask, mask});
}

void push_mpls(Reader& in, ActionScope& scope) {
  const std::uint16_t type = in.u16();
  scope.add(PushMplsAction{type});
  after_push_mpls(scope.known, type);
}
void pop_mpls(Reader& in, ActionScope& scope) {
  const std::uint16_t type = in.u16();
  scope.add(PopMplsAction{type});
  after_pop_mpls(scope.known, type);
}
void set_mpls_ttl(Reader& in, ActionScope& scope) { scope.add(SetMplsTtlAction{in.u8()}); }
void dec_mpls_ttl(Reader&, ActionScope& scope) { scope.add(DecMplsTtlAction{}); }
void set_mpls_label(Reader& in, ActionScope& scope) {
  in.skip(2);
  const Field& f = field(FieldId::kMplsLabel);
  const std::uint32_t label = in.u32();
  if (label > 0xfffff) throw OfError(OfErrorCode::kBadArgument, "MPLS label {}: they have 20 bits", label);
  add_set_field(scope, f, label, value_bits(f));
}
void set_mpls_tc(Reader& in, ActionScope& scope) {
  const Field& f = field(FieldId::kMplsTc);
  const std::uint8_t tc = in.u8();
  if (tc > 7) throw OfError(OfErrorCode::kBadArgument, "MPLS traffic class {}: they have 3 bits", tc);
  add_set_field(scope, f, tc, value_bits(f));
}

void stack_push(Reader& in, ActionScope& scope) {
  const std::size_t first = in.u16();
  const OxmField& source = read_field_name(in);
  const std::size_t count = in.u16();
  scope.add(StackPushAction{scope.source(source, first, count)});
}
void stack_pop(Reader& in, ActionScope& scope) {
  const std::size_t first = in.u16();
  const OxmField& target = read_field_name(in);
  const std::size_t count = in.u16();
  scope.add(StackPopAction{scope.target(target, first, count)});
}

SampleAction read_sample(Reader& in) {
  SampleAction action{};
  action.probability = in.u16();
  action.collector_set_id = in.u32();
  action.obs_domain_id = in.u32();
  action.obs_point_id = in.u32();
  return action;
}
void sample(Reader& in, ActionScope& scope) { scope.add(read_sample(in)); }
void sample2(Reader& in, ActionScope& scope) {
  SampleAction action = read_sample(in);
  if (const PortNo port = port_from_16(in.u16()); port != kPortNone) action.sampling_port = port;
  action.direction = in.u8();
  if (action.direction > 2)
    throw OfError(OfErrorCode::kBadArgument, "sample: direction {} is unknown", action.direction);
  scope.add(std::move(action));
}

void conjunction(Reader& in, ActionScope& scope) {
  ConjunctionAction action{};
  action.clause = in.u8();
  action.clause_count = in.u8();
  action.id = in.u32();
  scope.add(action);
}

void group(Reader& in, ActionScope& scope) {
  in.skip(2);
  scope.add(GroupAction{in.u32()});
}

void clone(Reader& in, ActionScope& scope) {
  in.skip(6);
  ActionScope inner{.version = scope.version, .place = scope.place, .known = scope.known, .depth = scope.depth + 1};
  decode_list(inner, in.rest());
  scope.add(CloneAction{std::move(inner.actions)});
}

void check_pkt_larger(Reader& in, ActionScope& scope) {
  const std::uint16_t length = in.u16();
  const std::size_t first = in.u16();
  scope.add(CheckPktLargerAction{length, scope.target(read_field_name(in), first, 1)});
}

constexpr Version k10 = Version::k10, k14 = Version::k14, k15 = Version::k15;
// clang-format off
constexpr auto kActions = std::to_array<ActionFormat>({
    {"NXAST_RESUBMIT", kNiciraId, 1, k10, k15, 16, resubmit},
    {"NXAST_SET_TUNNEL", kNiciraId, 2, k10, k15, 16, set_tunnel},
    {"NXAST_SET_QUEUE", kNiciraId, 4, k10, k10, 16, set_queue},
    {"NXAST_POP_QUEUE", kNiciraId, 5, k10, k15, 16, pop_queue},
    {"NXAST_REG_MOVE", kNiciraId, 6, k10, k14, 0, reg_move},
    {"NXAST_REG_LOAD", kNiciraId, 7, k10, k14, 24, reg_load},
    {"NXAST_NOTE", kNiciraId, 8, k10, k15, 0, note},
    {"NXAST_SET_TUNNEL64", kNiciraId, 9, k10, k15, 24, set_tunnel64},
    {"NXAST_MULTIPATH", kNiciraId, 10, k10, k15, 32, multipath},
    {"NXAST_BUNDLE", kNiciraId, 12, k10, k15, 0, bundle},
    {"NXAST_BUNDLE_LOAD", kNiciraId, 13, k10, k15, 0, bundle_load},
    {"NXAST_RESUBMIT_TABLE", kNiciraId, 14, k10, k15, 16, resubmit_table},
    {"NXAST_OUTPUT_REG", kNiciraId, 15, k10, k15, 24, output_reg},
    {"NXAST_LEARN", kNiciraId, 16, k10, k15, 0, decode_learn},
    {"NXAST_EXIT", kNiciraId, 17, k10, k15, 16, exit_pipeline},
    {"NXAST_DEC_TTL", kNiciraId, 18, k10, k10, 16, dec_ttl},
    {"NXAST_FIN_TIMEOUT", kNiciraId, 19, k10, k15, 16, fin_timeout},
    {"NXAST_CONTROLLER", kNiciraId, 20, k10, k15, 16, controller},
    {"NXAST_DEC_TTL_CNT_IDS", kNiciraId, 21, k10, k15, 0, dec_ttl_cnt_ids},
    {"NXAST_WRITE_METADATA", kNiciraId, 22, k10, k15, 32, write_metadata},
    {"NXAST_PUSH_MPLS", kNiciraId, 23, k10, k10, 16, push_mpls},
    {"NXAST_POP_MPLS", kNiciraId, 24, k10, k10, 16, pop_mpls},
    {"NXAST_SET_MPLS_TTL", kNiciraId, 25, k10, k10, 16, set_mpls_ttl},
    {"NXAST_DEC_MPLS_TTL", kNiciraId, 26, k10, k10, 16, dec_mpls_ttl},
    {"NXAST_STACK_PUSH", kNiciraId, 27, k10, k15, 24, stack_push},
    {"NXAST_STACK_POP", kNiciraId, 28, k10, k15, 24, stack_pop},
    {"NXAST_SAMPLE", kNiciraId, 29, k10, k15, 24, sample},
    {"NXAST_SET_MPLS_LABEL", kNiciraId, 30, k10, k10, 16, set_mpls_label},
    {"NXAST_SET_MPLS_TC", kNiciraId, 31, k10, k10, 16, set_mpls_tc},
    {"NXAST_OUTPUT_REG2", kNiciraId, 32, k10, k15, 24, output_reg2},
    {"NXAST_REG_LOAD2", kNiciraId, 33, k10, k14, 0, reg_load2},
    {"NXAST_CONJUNCTION", kNiciraId, 34, k10, k15, 16, conjunction},
    {"NXAST_CONTROLLER2", kNiciraId, 37, k10, k15, 0, controller2},
    {"NXAST_SAMPLE2", kNiciraId, 38, k10, k15, 32, sample2},
    {"NXAST_OUTPUT_TRUNC", kNiciraId, 39, k10, k15, 16, output_trunc},
    {"NXAST_GROUP", kNiciraId, 40, k10, k10, 16, group},
    {"NXAST_SAMPLE3", kNiciraId, 41, k10, k15, 32, sample2},
    {"NXAST_CLONE", kNiciraId, 42, k10, k15, 0, clone},
    {"NXAST_LEARN2", kNiciraId, 45, k10, k15, 0, decode_learn2},
    {"NXAST_CHECK_PKT_LARGER", kNiciraId, 49, k10, k15, 24, check_pkt_larger},
});
// clang-format on

}  // namespace

std::span<const ActionFormat> nicira_actions() { return kActions; }

}  // namespace shunt::openflow
