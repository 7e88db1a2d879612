// SPDX-License-Identifier: Apache-2.0
// Actions on headers as a whole: tags, labels, TTLs.
#include <array>
#include <utility>

#include "user/pipeline/action_text_parser.h"
#include "user/pipeline/packet_knowledge.h"

namespace shunt::action_text {
namespace {

constexpr std::uint16_t kMplsType = 0x8847, kMplsMulticastType = 0x8848, kPbbType = 0x88e7;

bool is_mpls(FieldBits type) { return type == kMplsType || type == kMplsMulticastType; }

void push_vlan(Scope& scope, const ActionToken& token) {
  const auto tpid = parse_number(token.argument, 0xffff, "the TPID", token.argument_column);
  if (tpid != 0x8100 && tpid != 0x88a8)
    throw TextError(token.argument_column, fmt::format("{} is no VLAN TPID (0x8100 or 0x88a8)", token.argument));
  if (scope.kind != ListKind::kActionSet && implied_by(Prerequisite::kInnerVlan, scope.state))
    throw TextError(token.name_column, "the packet has two tags here already: a third cannot be pushed",
                    OfErrorCode::kBadTag);
  scope.add(PushVlanAction{static_cast<std::uint16_t>(tpid)});
  after_push_vlan(scope.state);
}

void pop_vlan(Scope& scope, const ActionToken&) { add_pop_vlan(scope); }

void mod_vlan_vid(Scope& scope, const ActionToken& token) {
  add_vlan_vid(scope, parse_number(token.argument, 0xfff, "the VLAN ID", token.argument_column));
}
void mod_vlan_pcp(Scope& scope, const ActionToken& token) {
  add_vlan_pcp(scope, parse_number(token.argument, 7, "the VLAN priority", token.argument_column));
}

void push_mpls(Scope& scope, const ActionToken& token) {
  const auto type = parse_number(token.argument, 0xffff, "the EtherType", token.argument_column);
  if (!is_mpls(type))
    throw TextError(token.argument_column,
                    fmt::format("{} is no EtherType of MPLS (0x8847 or 0x8848)", token.argument));
  scope.add(PushMplsAction{static_cast<std::uint16_t>(type)});
  after_push_mpls(scope.state, static_cast<std::uint16_t>(type));
}

void pop_mpls(Scope& scope, const ActionToken& token) {
  const auto type =
      static_cast<std::uint16_t>(parse_number(token.argument, 0xffff, "the EtherType", token.argument_column));
  if (type < 0x600)
    throw TextError(token.argument_column, fmt::format("{} is no EtherType: they begin at 0x600", token.argument));
  scope.add(PopMplsAction{type});
  after_pop_mpls(scope.state, type);
}

void push_pbb(Scope& scope, const ActionToken& token) {
  if (token.has_argument && number_from(token.argument) != kPbbType)
    throw TextError(token.argument_column, fmt::format("{} is no EtherType of PBB (0x88e7)", token.argument));
  scope.add(PushPbbAction{});
  after_push_pbb(scope.state);
}

void pop_pbb(Scope& scope, const ActionToken&) {
  scope.add(PopPbbAction{});
  after_pop_pbb(scope.state);
}

void dec_ttl(Scope& scope, const ActionToken& token) {
  DecTtlAction action;
  Items items{token.argument, token.argument_column};
  while (const auto item = items.next()) action.ids.push_back(parse_u16(item->text, "the controller", item->column));
  if (token.has_argument && action.ids.empty())
    throw TextError(token.argument_column, "dec_ttl(ids) wants controllers: dec_ttl(0)");
  scope.add(std::move(action));
}

void set_mpls_ttl(Scope& scope, const ActionToken& token) {
  scope.add(SetMplsTtlAction{
      static_cast<std::uint8_t>(parse_number(token.argument, 0xff, "the TTL", token.argument_column))});
}

template <typename A>
void plain(Scope& scope, const ActionToken&) {
  scope.add(A{});
}

constexpr auto kActions = std::to_array<KnownAction>({
    {"mod_vlan_vid", mod_vlan_vid, Argument::kWanted},
    {"mod_vlan_pcp", mod_vlan_pcp, Argument::kWanted},
    {"push_vlan", push_vlan, Argument::kWanted},
    {"pop_vlan", pop_vlan, Argument::kNone},
    {"strip_vlan", pop_vlan, Argument::kNone},
    {"push_mpls", push_mpls, Argument::kWanted},
    {"pop_mpls", pop_mpls, Argument::kWanted},
    {"push_pbb", push_pbb, Argument::kOptional},
    {"pop_pbb", pop_pbb, Argument::kNone},
    {"dec_ttl", dec_ttl, Argument::kOptional},
    {"set_mpls_ttl", set_mpls_ttl, Argument::kWanted},
    {"dec_mpls_ttl", plain<DecMplsTtlAction>, Argument::kNone},
    {"copy_ttl_out", plain<CopyTtlOutAction>, Argument::kNone},
    {"copy_ttl_in", plain<CopyTtlInAction>, Argument::kNone},
});

}  // namespace

std::span<const KnownAction> packet_actions() { return kActions; }

void add_vlan_vid(Scope& scope, FieldBits vid) {
  scope.add(SetVlanVidAction{static_cast<std::uint16_t>(vid)});
  after_tagging(scope.state);
}

void add_vlan_pcp(Scope& scope, FieldBits pcp) {
  scope.add(SetVlanPcpAction{static_cast<std::uint8_t>(pcp)});
  after_tagging(scope.state);
}

void add_pop_vlan(Scope& scope) {
  scope.add(PopVlanAction{});
  after_pop_vlan(scope.state);
}

}  // namespace shunt::action_text
