// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/group_text_fields.h"

#include <array>

#include "user/flow/field_text.h"
#include "user/flow/fields.h"
#include "user/pipeline/action_text_fields.h"
#include "user/pipeline/action_text_parser.h"

namespace shunt {
namespace {

// Together all bits of a key that fields have, but for registers, which follow. IPv4's addresses are the low bits of
// IPv6's.
constexpr auto kShown = std::to_array<FieldId>(
    {FieldId::kInPort,       FieldId::kEthSrc,   FieldId::kEthDst,    FieldId::kEthType,    FieldId::kVlanTci,
     FieldId::kVlanTpid,     FieldId::kVlanTci1, FieldId::kVlanTpid1, FieldId::kIpSrc,      FieldId::kIpDst,
     FieldId::kIpv6Src,      FieldId::kIpv6Dst,  FieldId::kIpv6Label, FieldId::kIpv6Exthdr, FieldId::kNwProto,
     FieldId::kIpDscp,       FieldId::kNwEcn,    FieldId::kNwTtl,     FieldId::kIpFrag,     FieldId::kTpSrc,
     FieldId::kTpDst,        FieldId::kTcpFlags, FieldId::kArpSha,    FieldId::kArpTha,     FieldId::kNdTarget,
     FieldId::kMplsLabel,    FieldId::kMplsTc,   FieldId::kMplsBos,   FieldId::kMplsTtl,    FieldId::kMplsLse1,
     FieldId::kMplsLse2,     FieldId::kPbbIsid,  FieldId::kPbbUca,    FieldId::kMetadata,   FieldId::kTunId,
     FieldId::kActsetOutput, FieldId::kConjId,   FieldId::kPktMark,   FieldId::kSkbPriority});

// The mask of `field` as its own value: parse_field() of "MASK".
FieldBits parse_mask(const Field& f, std::string_view text, std::size_t column) {
  const FieldText mask = parse_field(f, text, column);
  if (mask.mask != value_bits(f)) throw TextError(column, fmt::format("the mask of {} has a mask itself", f.name));
  return mask.value;
}

void append_field(std::string& out, const Field& f, FieldBits bits) {
  if (out.back() != '(') out += ',';
  out += f.name;
  if (bits == value_bits(f)) return;
  out += '=';
  format_field(out, f, bits, value_bits(f));
}

}  // namespace

PipelineMask parse_hash_fields(std::string_view text, std::size_t column) {
  PipelineMask fields{};
  action_text::Items items{text, column};
  while (const auto item = items.next()) {
    const Field& f = parse_field_name(item->key, item->column);
    if (!is_zero(fields & field_mask(f)))
      throw TextError(item->column, fmt::format("{} is among the fields already", item->key));
    const FieldBits bits = item->has_value ? parse_mask(f, item->value, item->value_column) : value_bits(f);
    if (bits == 0) throw TextError(item->column, fmt::format("nothing of {} is hashed", item->key));
    write_field(f, fields, bits);
  }
  if (is_zero(fields)) throw TextError(column, "fields wants names of fields");
  return fields;
}

void append_hash_fields(std::string& out, const PipelineMask& mask) {
  PipelineMask left = mask;
  std::string list = "(";
  const auto take = [&](const Field& f, FieldBits bits) {
    append_field(list, f, bits);
    write_field(f, left, 0);
  };
  for (const FieldId id : kShown) {
    const Field& f = field(id);
    const FieldBits bits = read_field(f, left);
    // An address is IPv4's where only the low 32 bits of it count.
    const bool is_wider = (id == FieldId::kIpSrc && read_field(field(FieldId::kIpv6Src), left) != bits) ||
                          (id == FieldId::kIpDst && read_field(field(FieldId::kIpv6Dst), left) != bits);
    if (bits != 0 && !is_wider) take(f, bits);
  }
  for (std::size_t i = 0; i < mask.reg.size(); ++i) {
    const Field& f = field(static_cast<FieldId>(static_cast<std::size_t>(FieldId::kReg0) + i));
    if (const FieldBits bits = read_field(f, left); bits != 0) take(f, bits);
  }
  out += list.find_first_of(",=") == std::string::npos ? "fields=" + list.substr(1) : "fields" + list + ")";
}

}  // namespace shunt
