// SPDX-License-Identifier: Apache-2.0
// Actions on headers as a whole: tags, labels, TTLs. What is known of the packet follows them: behind pop_mpls:0x0800
// it is IPv4 whose protocol nobody has seen.
#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "user/pipeline/action_text_parser.h"

namespace shunt::action_text {
namespace {

constexpr std::uint16_t kMplsType = 0x8847, kMplsMulticastType = 0x8848, kPbbType = 0x88e7;
constexpr std::uint32_t kBottomOfStack = 0x100;

bool is_mpls(FieldBits type) { return type == kMplsType || type == kMplsMulticastType; }

void know_tag(Match& state) {
  state.value.vlan[0] = {.tpid = shunt_be16{0}, .tci = shunt_be16{SHUNT_VLAN_PRESENT}};
  state.mask.vlan[0] = {.tpid = shunt_be16{0}, .tci = shunt_be16{SHUNT_VLAN_PRESENT}};
}

// Of the packet stays known what no header below Ethernet has a part in: ports, addresses, metadata; and its type where
// that is given.
void forget_payload(Match& state, std::optional<std::uint16_t> type) {
  const auto forget = [](PipelineKey& key) {
    PipelineKey kept{};
    static_cast<PipelineFields&>(kept) = key;
    kept.in_port = key.in_port;
    std::copy(std::begin(key.eth_src), std::end(key.eth_src), std::begin(kept.eth_src));
    std::copy(std::begin(key.eth_dst), std::end(key.eth_dst), std::begin(kept.eth_dst));
    std::copy(std::begin(key.vlan), std::end(key.vlan), std::begin(kept.vlan));
    key = kept;
  };
  forget(state.value);
  forget(state.mask);
  if (!type) return;
  state.value.eth_type = shunt_be16{*type};
  state.mask.eth_type = shunt_be16{0xffff};
}

void push_vlan(Scope& scope, const ActionToken& token) {
  const auto tpid = parse_number(token.argument, 0xffff, "the TPID", token.argument_column);
  if (tpid != 0x8100 && tpid != 0x88a8)
    throw TextError(token.argument_column, fmt::format("{} is no VLAN TPID (0x8100 or 0x88a8)", token.argument));
  if (scope.kind != ListKind::kActionSet && implied_by(Prerequisite::kInnerVlan, scope.state))
    throw TextError(token.name_column, "the packet has two tags here already: a third cannot be pushed",
                    OfErrorCode::kBadTag);
  scope.add(PushVlanAction{static_cast<std::uint16_t>(tpid)});
  scope.state.value.vlan[1] = scope.state.value.vlan[0];
  scope.state.mask.vlan[1] = scope.state.mask.vlan[0];
  know_tag(scope.state);
}

void pop_vlan(Scope& scope, const ActionToken&) { add_pop_vlan(scope); }

void mod_vlan_vid(Scope& scope, const ActionToken& token) {
  add_vlan_vid(scope, parse_number(token.argument, 0xfff, "the VLAN ID", token.argument_column));
}
void mod_vlan_pcp(Scope& scope, const ActionToken& token) {
  add_vlan_pcp(scope, parse_number(token.argument, 7, "the VLAN priority", token.argument_column));
}

// A new entry is the bottom of the stack where there was none before it.
void push_mpls(Scope& scope, const ActionToken& token) {
  const auto type = parse_number(token.argument, 0xffff, "the EtherType", token.argument_column);
  if (!is_mpls(type))
    throw TextError(token.argument_column,
                    fmt::format("{} is no EtherType of MPLS (0x8847 or 0x8848)", token.argument));
  scope.add(PushMplsAction{static_cast<std::uint16_t>(type)});
  const Match before = scope.state;
  const bool type_known = before.mask.eth_type.host() == 0xffff;
  const bool was_mpls = implied_by(Prerequisite::kMpls, before);
  forget_payload(scope.state, static_cast<std::uint16_t>(type));
  if (!type_known) return;
  scope.state.mask.mpls_lse[0] = shunt_be32{kBottomOfStack};
  scope.state.value.mpls_lse[0] = shunt_be32{was_mpls ? 0 : kBottomOfStack};
  if (!was_mpls) return;
  for (int entry = 1; entry < 3; ++entry) {
    scope.state.mask.mpls_lse[entry] = before.mask.mpls_lse[entry - 1];
    scope.state.value.mpls_lse[entry] = before.value.mpls_lse[entry - 1];
  }
}

// A packet without a label stays as it is: its type is known after this only if it was known to have one.
void pop_mpls(Scope& scope, const ActionToken& token) {
  const auto type =
      static_cast<std::uint16_t>(parse_number(token.argument, 0xffff, "the EtherType", token.argument_column));
  if (type < 0x600)
    throw TextError(token.argument_column, fmt::format("{} is no EtherType: they begin at 0x600", token.argument));
  scope.add(PopMplsAction{type});
  const Match before = scope.state;
  const bool was_mpls = implied_by(Prerequisite::kMpls, before);
  forget_payload(scope.state, was_mpls ? std::optional{type} : std::nullopt);
  if (!was_mpls || !is_mpls(type)) return;
  for (int entry = 0; entry < 2; ++entry) {
    scope.state.mask.mpls_lse[entry] = before.mask.mpls_lse[entry + 1];
    scope.state.value.mpls_lse[entry] = before.value.mpls_lse[entry + 1];
  }
}

void push_pbb(Scope& scope, const ActionToken& token) {
  if (token.has_argument && number_from(token.argument) != kPbbType)
    throw TextError(token.argument_column, fmt::format("{} is no EtherType of PBB (0x88e7)", token.argument));
  scope.add(PushPbbAction{});
  forget_payload(scope.state, kPbbType);
  for (PipelineKey* key : {&scope.state.value, &scope.state.mask}) key->vlan[0] = key->vlan[1] = {};
}

void pop_pbb(Scope& scope, const ActionToken&) {
  scope.add(PopPbbAction{});
  forget_payload(scope.state, {});
  for (PipelineKey* key : {&scope.state.value, &scope.state.mask}) {
    std::fill(std::begin(key->eth_src), std::end(key->eth_src), std::uint8_t{0});
    std::fill(std::begin(key->eth_dst), std::end(key->eth_dst), std::uint8_t{0});
    key->vlan[0] = key->vlan[1] = {};
  }
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
  if (!implied_by(Prerequisite::kVlan, scope.state)) know_tag(scope.state);
}

void add_vlan_pcp(Scope& scope, FieldBits pcp) {
  scope.add(SetVlanPcpAction{static_cast<std::uint8_t>(pcp)});
  if (!implied_by(Prerequisite::kVlan, scope.state)) know_tag(scope.state);
}

void add_pop_vlan(Scope& scope) {
  scope.add(PopVlanAction{});
  for (PipelineKey* key : {&scope.state.value, &scope.state.mask}) key->vlan[0] = std::exchange(key->vlan[1], {});
}

}  // namespace shunt::action_text
