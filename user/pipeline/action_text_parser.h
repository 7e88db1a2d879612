// SPDX-License-Identifier: Apache-2.0
// The parser of actions, from inside: what the files that know the single actions share (action_text_*.cpp). Others
// want action_text.h.
//
// A list is read by parse_list() action by action; each kind's handler adds what it means to the list and notes in
// `state` what is known of the packet after it. Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "user/base/error.h"
#include "user/base/of_error.h"
#include "user/flow/field_text.h"
#include "user/flow/fields.h"
#include "user/pipeline/action.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/action_text_fields.h"
#include "user/pipeline/port_names.h"

namespace shunt::action_text {

// One action of the text: "name", "name:argument", "name(argument)" or "name(argument)tail".
struct ActionToken {
  std::string_view name;
  std::string_view argument;
  std::string_view tail;
  std::size_t name_column = 0;
  std::size_t argument_column = 0;
  std::size_t tail_column = 0;
  bool has_argument = false;
  bool in_parentheses = false;
  bool quoted = false;  // the name was: a port, and nothing else
};

// One piece of an argument: "key", "key=value", "key:value" or "key(value)".
struct Item {
  std::string_view text;  // all of it
  std::string_view key, value;
  std::size_t column = 0, value_column = 0;
  bool has_value = false;
};

// Splits an argument at commas and blanks, but for those in quotes, brackets and parentheses.
class Items {
 public:
  Items(std::string_view text, std::size_t column) : text_{text}, column_{column} {}
  std::optional<Item> next();

 private:
  std::string_view text_;
  std::size_t column_, pos_ = 0;
};

// Where a list stands. In an action set nobody knows which packet it will meet: fields need no prerequisites there.
enum class ListKind { kRule, kClone, kActionSet };

// A list while it is read.
struct Scope {
  const PortNames& names;
  ListKind kind = ListKind::kRule;
  std::optional<std::uint8_t> table{};  // of the rule
  Match state{};                   // what is known of the packet: the rule's match, and what the actions made of it
  unsigned depth = 0;              // lists around this one
  std::size_t* left = nullptr;     // actions that the rule may still have
  WantedAction* wanted = nullptr;  // of this list, or of one inside
  bool checks_prerequisites = true;
  ActionList actions{};

  template <typename A>
  void add(A&& action) {
    actions.emplace_back(std::forward<A>(action));
  }
  // Refuses a field that some packets here have not got.
  void check_prerequisite(const Field& field, std::size_t column) const;
  // Bits that an action may write; of vlan_tci those of the VID or the PCP.
  [[nodiscard]] Subfield parse_target(std::string_view text, std::size_t column) const;
  [[nodiscard]] Subfield parse_source(std::string_view text, std::size_t column) const;
  [[nodiscard]] PortNo parse_output_port(std::string_view text, std::size_t column) const;
};

using Handler = void (*)(Scope&, const ActionToken&);
enum class Argument { kNone, kOptional, kWanted, kMayBeEmpty };

struct KnownAction {
  std::string_view name;
  Handler handler;
  Argument argument;
  // OpenFlow's name for a bad argument that has no better one.
  OfErrorCode code = OfErrorCode::kBadArgument;
};

// The kinds, by file.
std::span<const KnownAction> output_actions();    // action_text_output.cpp
std::span<const KnownAction> packet_actions();    // action_text_packet.cpp
std::span<const KnownAction> set_actions();       // action_text_set.cpp
std::span<const KnownAction> pipeline_actions();  // action_text_pipeline.cpp
std::span<const KnownAction> spread_actions();    // action_text_spread.cpp
std::span<const KnownAction> learn_actions();     // action_text_learn.cpp

// The list in `text`, into scope.actions.
void parse_list(Scope& scope, std::string_view text, std::size_t column);
// A list inside the action `token`: without an action where it says drop. What its actions do to the packet stays
// inside.
ActionList parse_inner_list(const Scope& outer, const ActionToken& token, ListKind kind);
// An output to `port`, as a bare word or of `output`.
void add_output(Scope& scope, PortNo port, const ActionToken& token, std::uint16_t max_len = 0);

// mod_vlan_vid, mod_vlan_pcp, pop_vlan: action_text_packet.cpp.
void add_vlan_vid(Scope& scope, FieldBits vid);
void add_vlan_pcp(Scope& scope, FieldBits pcp);
void add_pop_vlan(Scope& scope);

std::uint16_t parse_u16(std::string_view text, std::string_view what, std::size_t column);
std::uint32_t parse_u32(std::string_view text, std::string_view what, std::size_t column);
std::uint8_t parse_table(std::string_view text, std::size_t column);
[[noreturn]] void refuse_item(const Item& item, std::string_view expected);

}  // namespace shunt::action_text
