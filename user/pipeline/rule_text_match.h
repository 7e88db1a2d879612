// SPDX-License-Identifier: Apache-2.0
// The match of a rule as text: the part of rule_text.h between the rule's own settings and its actions.
// Threads: any.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "user/flow/flow_key.h"
#include "user/pipeline/port_names.h"

namespace shunt {

// "key=value" or a keyword ("tcp"), as it stands in the text.
struct MatchToken {
  std::string_view key;
  std::string_view value;
  std::size_t key_column = 0;
  std::size_t value_column = 0;
  bool has_value = false;
};

// The match that the tokens make together, in any order. Throws TextError.
Match parse_match(std::span<const MatchToken> tokens, const PortNames& names, bool checks_prerequisites = true);

// True where `key` is a field's name or a keyword that begins a match ("tcp").
[[nodiscard]] bool is_match_key(std::string_view key) noexcept;
// Every name that may stand before the actions of a rule: for suggestions.
[[nodiscard]] std::span<const std::string_view> known_keys();

}  // namespace shunt
