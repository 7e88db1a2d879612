// SPDX-License-Identifier: Apache-2.0
// multipath, bundle and bundle_load.
#include <array>
#include <utility>
#include <vector>

#include "user/pipeline/action_text_names.h"
#include "user/pipeline/action_text_parser.h"

namespace shunt::action_text {
namespace {

constexpr std::size_t kMaxMembers = 2048;  // as Open vSwitch

// The next of an argument's values, which come in a fixed order.
Item next_of(Items& items, const ActionToken& token, std::string_view what) {
  if (auto item = items.next()) return *item;
  throw TextError(token.argument_column + token.argument.size(), fmt::format("{} lacks {}", token.name, what));
}

// multipath(FIELDS,BASIS,ALGORITHM,N_LINKS,ARG,DST[a..b])
void multipath(Scope& scope, const ActionToken& token) {
  constexpr FieldBits kMaxLinks = 65536;
  Items items{token.argument, token.argument_column};
  MultipathAction action{};
  const Item fields = next_of(items, token, "the fields to hash");
  action.fields = parse_name(kHashNames, fields.text, "hash", fields.column);
  const Item basis = next_of(items, token, "the basis");
  action.basis = parse_u16(basis.text, "the basis", basis.column);
  const Item algorithm = next_of(items, token, "the algorithm");
  action.algorithm = parse_name(kMultipathNames, algorithm.text, "algorithm of multipath", algorithm.column);
  const Item links = next_of(items, token, "the number of links");
  action.link_count =
      static_cast<std::uint32_t>(parse_number(links.text, kMaxLinks, "the number of links", links.column));
  if (action.link_count == 0) throw TextError(links.column, "there is at least one link");
  const Item arg = next_of(items, token, "the algorithm's argument");
  action.arg = parse_u32(arg.text, "the argument", arg.column);
  const Item target = next_of(items, token, "the field to write");
  action.target = scope.parse_target(target.text, target.column);
  if (action.target.bit_count < 17 && action.link_count > 1u << action.target.bit_count)
    throw TextError(target.column,
                    fmt::format("{} bits do not hold {} links", action.target.bit_count, action.link_count));
  if (const auto more = items.next()) throw TextError(more->column, fmt::format("'{}' behind the field", more->text));
  scope.add(action);
}

// The members follow each other to the end: "members:1,2".
std::vector<PortNo> parse_members(const Scope& scope, Items& items, const ActionToken& token) {
  std::vector<PortNo> members;
  const auto add = [&](std::string_view text, std::size_t column) {
    if (members.size() == kMaxMembers) throw TextError(column, fmt::format("more than {} members", kMaxMembers));
    const PortNo port = scope.parse_output_port(text, column);
    if (port.value >= kPortUnset.value && port != kPortLocal)
      throw TextError(column, "members are ports of the bridge", OfErrorCode::kBadOutPort);
    members.push_back(port);
  };
  const Item first = next_of(items, token, "members:PORT,...");
  if ((first.key != "members" && first.key != "slaves") || !first.has_value)
    throw TextError(first.column, fmt::format("'{}' is not members:PORT,...", first.text));
  if (!first.value.empty()) add(first.value, first.value_column);
  while (const auto member = items.next()) add(member->text, member->column);
  return members;
}

// bundle(FIELDS,BASIS,ALGORITHM,ofport,members:...), bundle_load(FIELDS,BASIS,ALGORITHM,ofport,DST[a..b],members:...)
void bundle(Scope& scope, const ActionToken& token) {
  constexpr std::uint16_t kPortBits = 16;
  Items items{token.argument, token.argument_column};
  BundleAction action{};
  const Item fields = next_of(items, token, "the fields to hash");
  action.fields = parse_name(kHashNames, fields.text, "hash", fields.column);
  const Item basis = next_of(items, token, "the basis");
  action.basis = parse_u16(basis.text, "the basis", basis.column);
  const Item algorithm = next_of(items, token, "the algorithm");
  action.algorithm = parse_name(kBundleNames, algorithm.text, "algorithm of bundle", algorithm.column);
  const Item type = next_of(items, token, "ofport");
  if (type.text != "ofport")
    throw TextError(type.column, fmt::format("members are of type ofport, not '{}'", type.text));
  if (token.name == "bundle_load") {
    const Item target = next_of(items, token, "the field to write");
    action.target = scope.parse_target(target.text, target.column);
    if (action.target->bit_count < kPortBits)
      throw TextError(target.column, fmt::format("a port's number wants {} bits", kPortBits));
  }
  action.members = parse_members(scope, items, token);
  scope.add(std::move(action));
}

constexpr auto kActions = std::to_array<KnownAction>({
    {"multipath", multipath, Argument::kWanted},
    {"bundle", bundle, Argument::kWanted},
    {"bundle_load", bundle, Argument::kWanted},
});

}  // namespace

std::span<const KnownAction> spread_actions() { return kActions; }

}  // namespace shunt::action_text
