// SPDX-License-Identifier: Apache-2.0
// The learn action: Nicira's NXAST_LEARN and NXAST_LEARN2.
#include <utility>

#include "user/openflow/codec/action_codec.h"
#include "user/openflow/codec/match_codec.h"
#include "user/openflow/codec/port_number.h"

namespace shunt::openflow {
namespace {

using Spec = LearnAction::Spec;
using Kind = Spec::Kind;

constexpr std::uint16_t kSendFlowRemoved = 1, kDeleteLearned = 2, kWriteResult = 4;  // NX_LEARN_F_*
// A spec's header.
constexpr std::uint16_t kBitCount = 0x3ff, kDestination = 3 << 11, kImmediate = 1 << 13, kUnknown = 0xc400;
constexpr std::uint16_t kToMatch = 0 << 11, kToLoad = 1 << 11, kToOutput = 2 << 11;

Subfield read_source(Reader& in, const ActionScope& scope, std::size_t count) {
  const OxmField& oxm = read_field_name(in);
  return scope.source(oxm, in.u16(), count);
}

// The learned rule's own: which packets it will see is said by its match so far.
Subfield read_target(Reader& in, const ActionScope& learned, std::size_t count, bool load) {
  const OxmField& oxm = read_field_name(in);
  const std::size_t first = in.u16();
  const bool whole = first == 0 && count == width_of(oxm);
  // The whole tag can be loaded: pushed, changed or taken off, as its value says.
  if (load && !(whole && oxm.field == FieldId::kVlanTci)) return learned.target(oxm, first, count);
  const Subfield bits = learned.source(oxm, first, count);
  if (!load && !whole && !is_maskable(*bits.field) && bits.field->id != FieldId::kInPort)
    throw OfError(OfErrorCode::kBadArgument, "learn: {} is matched whole", oxm.name);
  return bits;
}

FieldBits read_immediate(Reader& in, std::size_t count) {
  const std::size_t size = (count + 15) / 16 * 2;
  const FieldBits value = in.number(size);
  if (count < 128 && value >> count != 0)
    throw OfError(OfErrorCode::kBadArgument, "learn: a value of more than {} bits", count);
  return value;
}

bool read_spec(Reader& in, const ActionScope& scope, ActionScope& learned, LearnAction& action) {
  const std::uint16_t header = in.u16();
  if (header == 0) return false;  // the padding
  const std::size_t count = header & kBitCount;
  const std::uint16_t to = header & kDestination;
  const bool immediate = (header & kImmediate) != 0;
  if ((header & kUnknown) != 0 || to > kToOutput || (to == kToOutput && immediate) || count == 0 || count > 128)
    throw OfError(OfErrorCode::kBadArgument, "learn: no spec has the header {:#06x}", header);
  Spec spec{.kind = Kind::kMatchField, .source = {}, .target = {}};
  if (immediate)
    spec.value = read_immediate(in, count);
  else
    spec.source = read_source(in, scope, count);
  if (to == kToOutput) {
    spec.kind = Kind::kOutputField;
  } else {
    spec.target = read_target(in, learned, count, to == kToLoad);
    spec.kind = to == kToLoad ? (immediate ? Kind::kLoadValue : Kind::kLoadField)
                              : (immediate ? Kind::kMatchValue : Kind::kMatchField);
    if (spec.kind == Kind::kMatchValue) {
      write_subfield(spec.target, learned.known.value, spec.value);
      write_subfield(spec.target, learned.known.mask, ~FieldBits{0});
    }
  }
  action.specs.push_back(spec);
  return true;
}

void decode(Reader& in, ActionScope& scope, bool second_form) {
  LearnAction action;
  action.idle_timeout = in.u16();
  action.hard_timeout = in.u16();
  action.priority = in.u16();
  action.cookie = in.u64();
  const std::uint16_t flags = in.u16();
  action.table = in.u8();
  in.skip(1);
  action.fin_idle_timeout = in.u16();
  action.fin_hard_timeout = in.u16();
  const int known_flags = kSendFlowRemoved | kDeleteLearned | (second_form ? kWriteResult : 0);
  if ((flags & ~known_flags) != 0) throw OfError(OfErrorCode::kBadArgument, "learn: flags {:#x} are unknown", flags);
  action.send_flow_removed = (flags & kSendFlowRemoved) != 0;
  action.delete_learned = (flags & kDeleteLearned) != 0;
  if (second_form) {
    action.limit = in.u32();
    const std::size_t first = in.u16();
    in.skip(2);
    if ((flags & kWriteResult) != 0) action.result = scope.target(read_field_name(in), first, 1);
  }
  ActionScope learned{.version = scope.version};
  while (in.left() >= 2 && read_spec(in, scope, learned, action)) {
  }
  scope.add(std::move(action));
}

std::uint16_t bit_count_of(const Spec& spec) {
  return spec.kind == Kind::kOutputField ? spec.source.bit_count : spec.target.bit_count;
}

bool has_name(const Subfield& bits, Version version, const Match& match) {
  return bits.field == nullptr || wire_bits(bits, version, match).field != nullptr;
}

void put_bits(Writer& out, const Subfield& bits, Version version, const Match& match) {
  const WireBits wire = wire_bits(bits, version, match);
  write_oxm_header(out, *wire.field, false);
  out.u16(wire.first_bit);
}

void put_spec(Writer& out, const Spec& spec, Version version, const Match& match) {
  if (!has_name(spec.source, version, match) || !has_name(spec.target, version, match)) return;
  const bool immediate = spec.kind == Kind::kMatchValue || spec.kind == Kind::kLoadValue;
  const bool load = spec.kind == Kind::kLoadValue || spec.kind == Kind::kLoadField;
  const std::uint16_t to = spec.kind == Kind::kOutputField ? kToOutput : load ? kToLoad : kToMatch;
  const std::uint16_t count = bit_count_of(spec);
  out.u16(static_cast<std::uint16_t>(count | to | (immediate ? kImmediate : 0)));
  if (immediate)
    out.number(spec.value, (count + 15u) / 16 * 2);
  else
    put_bits(out, spec.source, version, match);
  if (to != kToOutput) put_bits(out, spec.target, version, match);
}

}  // namespace

void decode_learn(Reader& body, ActionScope& scope) { decode(body, scope, false); }
void decode_learn2(Reader& body, ActionScope& scope) { decode(body, scope, true); }

void encode_learn(Writer& out, const LearnAction& learn, Version version, const Match& match) {
  constexpr std::uint16_t kExperimenterAction = 0xffff, kLearn = 16, kLearn2 = 45;
  const bool second_form = learn.limit != 0 || learn.result;
  Tlv tlv{out, kExperimenterAction};
  begin_nicira(out, second_form ? kLearn2 : kLearn);
  out.u16(learn.idle_timeout);
  out.u16(learn.hard_timeout);
  out.u16(learn.priority);
  out.u64(learn.cookie);
  out.u16(static_cast<std::uint16_t>((learn.send_flow_removed ? kSendFlowRemoved : 0) |
                                     (learn.delete_learned ? kDeleteLearned : 0) | (learn.result ? kWriteResult : 0)));
  out.u8(learn.table);
  out.zeros(1);
  out.u16(learn.fin_idle_timeout);
  out.u16(learn.fin_hard_timeout);
  if (second_form) {
    out.u32(learn.limit);
    const WireBits result = learn.result ? wire_bits(*learn.result, version, match) : WireBits{nullptr, 0};
    out.u16(result.first_bit);
    out.zeros(2);
    if (result.field != nullptr) write_oxm_header(out, *result.field, false);
  }
  for (const Spec& spec : learn.specs) put_spec(out, spec, version, match);
  tlv.align();
}

}  // namespace shunt::openflow
