// SPDX-License-Identifier: Apache-2.0
// Actions on fields: set_field, load, move, mod_*, set_*, and the stack's push and pop.
#include <array>

#include "user/pipeline/action_text_parser.h"
#include "user/pipeline/packet_knowledge.h"

namespace shunt::action_text {
namespace {

void add_set(Scope& scope, const Field& f, FieldText text) {
  scope.add(set_field(f, text.value, text.mask));
  after_set(scope.state, f, text.value, text.mask);
}

void add_checked_set(Scope& scope, const Field& f, FieldText text, const ActionToken& token) {
  scope.check_prerequisite(f, token.argument_column);
  add_set(scope, f, text);
}

void write_tci(Scope& scope, FieldText text, const ActionToken& token) {
  const bool whole = text.mask == 0xffff;
  if (whole && text.value == 0) return add_pop_vlan(scope);
  if (whole && (text.value & SHUNT_VLAN_PRESENT) != 0) {
    add_vlan_vid(scope, text.value & 0xfff);
    return add_vlan_pcp(scope, text.value >> 13);
  }
  if ((text.mask & SHUNT_VLAN_PRESENT) != 0)
    throw TextError(
        token.argument_column,
        "of vlan_tci write the whole (0x1000 set: the packet has a tag; 0: it has none), or leave bit 12 alone");
  if ((text.mask & 0xfff) != 0)
    add_checked_set(scope, field(FieldId::kVlanVid), {text.value & 0xfff, text.mask & 0xfff}, token);
  if (text.mask >> 13 != 0)
    add_checked_set(scope, field(FieldId::kVlanPcp), {text.value >> 13, text.mask >> 13}, token);
}

// Turns a write of vlan_tci or dl_vlan into the actions on tags that it means; the rest is a set_field.
void write(Scope& scope, const Field& f, FieldText text, const ActionToken& token) {
  const bool whole = text.mask == value_bits(f);
  switch (f.id) {
    case FieldId::kDlVlan:
      return whole ? add_vlan_vid(scope, text.value) : add_checked_set(scope, field(FieldId::kVlanVid), text, token);
    case FieldId::kDlVlanPcp:
      return whole ? add_vlan_pcp(scope, text.value) : add_checked_set(scope, field(FieldId::kVlanPcp), text, token);
    case FieldId::kVlanTci:
      return write_tci(scope, text, token);
    default:
      return add_checked_set(scope, f, text, token);
  }
}

FieldText parse_vlan_vid(const Arrow& arrow) {
  const std::size_t slash = arrow.source.find('/');
  const FieldBits value =
      parse_number(arrow.source.substr(0, slash), SHUNT_VLAN_PRESENT | 0xfff, "vlan_vid", arrow.source_column);
  if (slash == std::string_view::npos) return {value & 0xfff, 0xfff};
  const FieldBits mask = parse_number(arrow.source.substr(slash + 1), SHUNT_VLAN_PRESENT | 0xfff, "the mask",
                                      arrow.source_column + slash + 1);
  return {value & mask & 0xfff, mask & 0xfff};
}

// Any port, also 0: where a packet came from no port, it may go out of each.
FieldText parse_in_port(const Scope& scope, const Field& f, std::string_view text, std::size_t column) {
  if (number_from(text) == FieldBits{0}) return {0, value_bits(f)};
  return {parse_port(text, scope.names, column, OfErrorCode::kBadSetArgument).value, value_bits(f)};
}

// Whole: half of a type is none.
void set_type(Scope& scope, const Field& f, const Arrow& arrow) {
  const bool is_type = f.id == FieldId::kEthType;
  scope.check_prerequisite(f, arrow.target_column);
  const auto value = static_cast<std::uint16_t>(
      parse_number(arrow.source, static_cast<FieldBits>(value_bits(f)), f.name, arrow.source_column));
  scope.add(SetTypeAction{is_type ? SetTypeAction::What::kEthType : SetTypeAction::What::kIpProtocol, value});
  is_type ? after_set_eth_type(scope.state, value) : after_set_protocol(scope.state, static_cast<std::uint8_t>(value));
}

// set_field:VALUE[/MASK]->FIELD
void set_field(Scope& scope, const ActionToken& token) {
  const Arrow arrow = split_arrow(token.argument, token.argument_column);
  if (arrow.target.find('[') != std::string_view::npos)
    throw TextError(arrow.target_column, "set_field takes a whole field or a mask: use load for bits of a field");
  const Field& f = parse_field_name(arrow.target, arrow.target_column);
  if (f.id == FieldId::kEthType || f.id == FieldId::kNwProto) return set_type(scope, f, arrow);
  check_writable(f, arrow.target_column);
  if (f.id == FieldId::kVlanVid) return add_checked_set(scope, f, parse_vlan_vid(arrow), token);
  if (f.id == FieldId::kInPort && arrow.source.find('/') == std::string_view::npos)
    return add_set(scope, f, parse_in_port(scope, f, arrow.source, arrow.source_column));
  if (f.id == FieldId::kNwTos) check_tos(arrow.source.substr(0, arrow.source.find('/')), arrow.source_column);
  write(scope, f, parse_field(f, arrow.source, arrow.source_column, AllowedMask::kAny), token);
}

// load:VALUE->FIELD[a..b]
void load(Scope& scope, const ActionToken& token) {
  const Arrow arrow = split_arrow(token.argument, token.argument_column);
  const Subfield to = parse_subfield(arrow.target, arrow.target_column);
  check_writable(*to.field, arrow.target_column);
  const FieldBits max = low_bits(to.bit_count);
  const bool is_port16 = to.field->id == FieldId::kInPort && to.first_bit == 0 && to.bit_count == 16;
  FieldBits value = 0;
  if (to.bit_count == to.field->width && !number_from(arrow.source) && arrow.source.find('/') == std::string_view::npos)
    value = parse_field(*to.field, arrow.source, arrow.source_column).value;  // an address, as it is written
  else
    value = parse_number(arrow.source, max, "the value", arrow.source_column);
  if (is_port16)
    return add_set(scope, *to.field, {port_from_16(static_cast<std::uint16_t>(value)).value, value_bits(*to.field)});
  if (to.field->id == FieldId::kNwTos && (value << to.first_bit & 3) != 0) check_tos(arrow.source, arrow.source_column);
  const FieldBits mask = max << to.first_bit & value_bits(*to.field);
  if ((value << to.first_bit & ~mask) != 0)
    throw TextError(arrow.source_column,
                    fmt::format("{} has bits that are always 0 in {}", arrow.source, to.field->name),
                    OfErrorCode::kBadSetArgument);
  write(scope, *to.field, {value << to.first_bit & mask, mask}, token);
}

// move:SRC[a..b]->DST[c..d]
void move(Scope& scope, const ActionToken& token) {
  const Arrow arrow = split_arrow(token.argument, token.argument_column);
  const Subfield from = scope.parse_source(arrow.source, arrow.source_column);
  const Subfield to = scope.parse_target(arrow.target, arrow.target_column);
  if (from.bit_count != to.bit_count)
    throw TextError(token.argument_column,
                    fmt::format("the source is {} bits wide, the destination {}", from.bit_count, to.bit_count));
  scope.add(MoveAction{from.field, to.field, from.first_bit, to.first_bit, from.bit_count});
}

// mod_nw_src and its like: a packet that has not got the field stays as it is.
template <FieldId kId>
void mod_field(Scope& scope, const ActionToken& token) {
  const Field& f = field(kId);
  if (token.argument.find('/') != std::string_view::npos)
    throw TextError(token.argument_column, fmt::format("{} takes no mask: use set_field", token.name));
  if constexpr (kId == FieldId::kNwTos) check_tos(token.argument, token.argument_column);
  add_set(scope, f, parse_field(f, token.argument, token.argument_column));
}

void set_vlan_vid(Scope& scope, const ActionToken& token) {
  add_checked_set(scope, field(FieldId::kVlanVid),
                  {parse_number(token.argument, 0xfff, "the VLAN ID", token.argument_column), 0xfff}, token);
}
void set_vlan_pcp(Scope& scope, const ActionToken& token) {
  add_checked_set(scope, field(FieldId::kVlanPcp),
                  {parse_number(token.argument, 7, "the VLAN priority", token.argument_column), 7}, token);
}

void push(Scope& scope, const ActionToken& token) {
  scope.add(StackPushAction{scope.parse_source(token.argument, token.argument_column)});
}
void pop(Scope& scope, const ActionToken& token) {
  scope.add(StackPopAction{scope.parse_target(token.argument, token.argument_column)});
}

constexpr OfErrorCode kBadValue = OfErrorCode::kBadSetArgument;
constexpr auto kActions = std::to_array<KnownAction>({
    {"set_field", set_field, Argument::kWanted, kBadValue},
    {"load", load, Argument::kWanted, kBadValue},
    {"move", move, Argument::kWanted, kBadValue},
    {"push", push, Argument::kWanted, kBadValue},
    {"pop", pop, Argument::kWanted, kBadValue},
    {"mod_dl_src", mod_field<FieldId::kEthSrc>, Argument::kWanted, kBadValue},
    {"mod_dl_dst", mod_field<FieldId::kEthDst>, Argument::kWanted, kBadValue},
    {"mod_nw_src", mod_field<FieldId::kIpSrc>, Argument::kWanted, kBadValue},
    {"mod_nw_dst", mod_field<FieldId::kIpDst>, Argument::kWanted, kBadValue},
    {"mod_nw_tos", mod_field<FieldId::kNwTos>, Argument::kWanted, kBadValue},
    {"mod_nw_ecn", mod_field<FieldId::kNwEcn>, Argument::kWanted, kBadValue},
    {"mod_nw_ttl", mod_field<FieldId::kNwTtl>, Argument::kWanted, kBadValue},
    {"mod_tp_src", mod_field<FieldId::kTpSrc>, Argument::kWanted, kBadValue},
    {"mod_tp_dst", mod_field<FieldId::kTpDst>, Argument::kWanted, kBadValue},
    {"set_vlan_vid", set_vlan_vid, Argument::kWanted, kBadValue},
    {"set_vlan_pcp", set_vlan_pcp, Argument::kWanted, kBadValue},
    {"set_mpls_label", mod_field<FieldId::kMplsLabel>, Argument::kWanted, kBadValue},
    {"set_mpls_tc", mod_field<FieldId::kMplsTc>, Argument::kWanted, kBadValue},
    {"set_tunnel", mod_field<FieldId::kTunId>, Argument::kWanted, kBadValue},
    {"set_tunnel64", mod_field<FieldId::kTunId>, Argument::kWanted, kBadValue},
});

}  // namespace

std::span<const KnownAction> set_actions() { return kActions; }

}  // namespace shunt::action_text
