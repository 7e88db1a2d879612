// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/rule_text_settings.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "user/base/of_error.h"
#include "user/flow/field_text.h"
#include "user/pipeline/group.h"

namespace shunt {
namespace {

using Command = FlowMod::Command;

// What `flow list` prints besides the rule: taken back, so that a list can be loaded as it was printed.
constexpr auto kStatistics =
    std::to_array<std::string_view>({"duration", "n_packets", "n_bytes", "idle_age", "hard_age"});

struct Flag {
  std::string_view word;
  std::uint16_t bit;
};
constexpr std::array<Flag, 5> kFlags{{{"send_flow_rem", kSendFlowRemoved},
                                      {"check_overlap", kCheckOverlap},
                                      {"reset_counts", kResetCounts},
                                      {"no_packet_counts", kNoPacketCounts},
                                      {"no_byte_counts", kNoByteCounts}}};

bool is_delete(Command command) { return command == Command::kDelete || command == Command::kDeleteStrict; }

// Taken back only where it can have been printed: a number, for duration with a fraction and an "s".
void check_statistic(const MatchToken& token) {
  std::string_view number = token.value;
  if (token.key == "duration" && number.ends_with('s')) number.remove_suffix(1);
  const bool fits = !number.empty() && number.find_first_not_of("0123456789.") == std::string_view::npos;
  if (!fits) throw TextError(token.key_column, fmt::format("'{}' is no {}", token.value, token.key));
}

FieldBits parse_cookie(std::string_view text, std::string_view what, std::size_t column) {
  constexpr FieldBits kAll = std::numeric_limits<std::uint64_t>::max();
  return text == "-1" ? kAll : parse_number(text, kAll, what, column);
}

std::uint16_t parse_16(const MatchToken& token, std::optional<OfErrorCode> code = {}) {
  try {
    return static_cast<std::uint16_t>(
        parse_number(token.value, std::numeric_limits<std::uint16_t>::max(), token.key, token.value_column));
  } catch (const TextError& error) {
    throw TextError(error.column(), error.reason(), code);
  }
}

}  // namespace

std::span<const RuleSettings::Setting> RuleSettings::all() {
  static constexpr std::array<Setting, 13> kSettings{{{"priority", &RuleSettings::set_priority, true},
                                                      {"table", &RuleSettings::set_table, true},
                                                      {"cookie", &RuleSettings::set_cookie, true},
                                                      {"out_port", &RuleSettings::set_out_port, true},
                                                      {"out_group", &RuleSettings::set_out_group, true},
                                                      {"idle_timeout", &RuleSettings::set_timeout, true},
                                                      {"hard_timeout", &RuleSettings::set_timeout, true},
                                                      {"importance", &RuleSettings::set_importance, true},
                                                      {"send_flow_rem", &RuleSettings::set_flag, false},
                                                      {"check_overlap", &RuleSettings::set_flag, false},
                                                      {"reset_counts", &RuleSettings::set_flag, false},
                                                      {"no_packet_counts", &RuleSettings::set_flag, false},
                                                      {"no_byte_counts", &RuleSettings::set_flag, false}}};
  return kSettings;
}

bool RuleSettings::take(const MatchToken& token) {
  const auto settings = all();
  const auto at = std::ranges::find(settings, token.key, &Setting::key);
  if (at == settings.end()) {
    if (std::ranges::find(kStatistics, token.key) == kStatistics.end()) return false;
    check_statistic(token);
    return true;
  }
  if (at->has_value && (!token.has_value || token.value.empty()))
    throw TextError(token.key_column, fmt::format("{} wants a value: {}=...", token.key, token.key));
  if (!at->has_value && token.has_value)
    throw TextError(token.value_column - 1, fmt::format("'{}' stands alone, without a value", token.key));
  const std::uint32_t bit = 1u << (at - settings.begin());
  const bool again = (std::exchange(given_, given_ | bit) & bit) != 0;
  // A modification may have two cookies: that of the rules it changes, and that which they get.
  if (again && (at->set != &RuleSettings::set_cookie || is_delete(mod_.command) || mod_.command == Command::kAdd))
    throw TextError(token.key_column, fmt::format("{} was given already", token.key));
  (this->*at->set)(token);
  return true;
}

void RuleSettings::set_priority(const MatchToken& token) {
  if (mod_.command == Command::kDelete || mod_.command == Command::kModify)
    throw TextError(token.key_column, "priority selects nothing here: only the strict forms look at it");
  mod_.priority = parse_16(token);
}

void RuleSettings::set_table(const MatchToken& token) {
  if (token.value == "all" && is_delete(mod_.command)) return;
  try {
    mod_.table = static_cast<std::uint8_t>(parse_number(token.value, kTableCount - 1, "table", token.value_column));
  } catch (const TextError& error) {
    throw TextError(error.column(), error.reason(), OfErrorCode::kFlowModBadTable);
  }
}

// "cookie=V" is what a new rule gets, or a modified one; "cookie=V/M" selects rules that are there.
void RuleSettings::set_cookie(const MatchToken& token) {
  const std::size_t slash = token.value.find('/');
  const auto value =
      static_cast<std::uint64_t>(parse_cookie(token.value.substr(0, slash), "cookie", token.value_column));
  if (slash == std::string_view::npos) {
    if (is_delete(mod_.command))
      throw TextError(token.value_column, fmt::format("a cookie that selects has a mask: cookie={}/-1", token.value));
    if (std::exchange(has_plain_cookie_, true)) throw TextError(token.key_column, "cookie was given already");
    if (mod_.command == Command::kAdd)
      mod_.cookie = value;
    else
      mod_.new_cookie = value;
    return;
  }
  if (mod_.command == Command::kAdd)
    throw TextError(token.value_column + slash, "the cookie of a new rule takes no mask");
  if (mod_.cookie_mask) throw TextError(token.key_column, "cookie was given already");
  mod_.cookie_mask = static_cast<std::uint64_t>(
      parse_cookie(token.value.substr(slash + 1), "the cookie's mask", token.value_column + slash + 1));
  mod_.cookie = value & *mod_.cookie_mask;
}

void RuleSettings::set_out_port(const MatchToken& token) {
  only_selecting(token);
  mod_.out_port = parse_port(token.value, names_, token.value_column, OfErrorCode::kBadOutPort);
}

void RuleSettings::set_out_group(const MatchToken& token) {
  only_selecting(token);
  mod_.out_group = static_cast<std::uint32_t>(parse_number(token.value, kGroupMax, "out_group", token.value_column));
}

void RuleSettings::set_timeout(const MatchToken& token) {
  only_new(token);
  const std::uint16_t seconds = parse_16(token, OfErrorCode::kBadTimeout);
  (token.key == "idle_timeout" ? mod_.idle_timeout : mod_.hard_timeout) = seconds;
}

void RuleSettings::set_importance(const MatchToken& token) {
  only_new(token);
  mod_.importance = parse_16(token);
}

void RuleSettings::set_flag(const MatchToken& token) {
  const auto at = std::ranges::find(kFlags, token.key, &Flag::word);
  if (at->bit != kResetCounts || is_delete(mod_.command)) only_new(token);
  mod_.flags = static_cast<std::uint16_t>(mod_.flags | at->bit);
}

void RuleSettings::only_new(const MatchToken& token) const {
  if (mod_.command == Command::kAdd) return;
  throw TextError(token.key_column,
                  fmt::format("{} is for new rules: it selects nothing and changes no rule that is there", token.key));
}

void RuleSettings::only_selecting(const MatchToken& token) const {
  if (is_delete(mod_.command)) return;
  throw TextError(token.key_column,
                  fmt::format("{} selects rules to delete or to list; a new rule has none", token.key));
}

void append_flow_flags(std::string& out, std::uint16_t flags) {
  for (const Flag& flag : kFlags) {
    if ((flags & flag.bit) == 0) continue;
    out += flag.word;
    out += ' ';
  }
}

}  // namespace shunt
