// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/rule_text.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "user/flow/field_text.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/rule_text_match.h"

namespace shunt {
namespace {

using Command = FlowMod::Command;

constexpr std::string_view kSeparators = ", \t\r\n";
constexpr std::size_t kMaxTokens = 64;        // of one rule; each may stand only once
constexpr std::size_t kMaxRules = 1'000'000;  // of one text: a bound on the memory that a request can ask for

// Settings of ovs-ofctl that have no meaning here yet.
constexpr auto kLater = std::to_array<std::string_view>(
    {"idle_timeout", "hard_timeout", "importance", "out_group", "check_overlap", "reset_counts", "no_packet_counts",
     "no_byte_counts", "send_flow_rem", "allow_hidden_fields", "bundle"});
// What `flow list` prints besides the rule: taken back, so that a list can be loaded as it was printed.
constexpr auto kStatistics =
    std::to_array<std::string_view>({"duration", "n_packets", "n_bytes", "idle_age", "hard_age"});

bool is_delete(Command command) { return command == Command::kDelete || command == Command::kDeleteStrict; }

// Splits "key=value" and keywords; `actions=` ends the list and takes the rest.
class Tokenizer {
 public:
  explicit Tokenizer(std::string_view text) : text_{text} {}

  std::optional<MatchToken> next() {
    pos_ = text_.find_first_not_of(kSeparators, pos_);
    if (pos_ == std::string_view::npos) return {};
    MatchToken token;
    token.key_column = pos_ + 1;
    const std::size_t key_end = std::min(text_.find_first_of("=, \t\r\n", pos_), text_.size());
    token.key = text_.substr(pos_, key_end - pos_);
    pos_ = key_end;
    if (pos_ == text_.size() || text_[pos_] != '=') return token;
    token.has_value = true;
    token.value_column = ++pos_ + 1;
    const bool is_actions = token.key == "actions" || token.key == "action";
    const std::size_t end = is_actions ? text_.size() : value_end();
    token.value = text_.substr(pos_, end - pos_);
    pos_ = end;
    return token;
  }

 private:
  // Separators within quotes (a port's name) are part of the value.
  [[nodiscard]] std::size_t value_end() const {
    bool quoted = false;
    std::size_t at = pos_;
    for (; at < text_.size(); ++at) {
      if (text_[at] == '"') quoted = !quoted;
      if (!quoted && kSeparators.find(text_[at]) != std::string_view::npos) break;
    }
    return at;
  }

  std::string_view text_;
  std::size_t pos_ = 0;
};

class FlowParser {
 public:
  FlowParser(Command command, const PortNames& names) : names_{names} { mod_.command = command; }

  FlowMod parse(std::string_view text) {
    Tokenizer tokenizer{text};
    std::optional<MatchToken> actions;
    while (const auto token = tokenizer.next()) {
      if (token->key == "actions" || token->key == "action")
        actions = token;
      else if (!take_setting(*token))
        keep(*token);
    }
    mod_.match = parse_match(std::span{tokens_}.first(token_count_), names_);
    if (is_delete(mod_.command)) {
      if (actions) throw TextError(actions->key_column, "a deletion or a filter has no actions");
    } else {
      if (!actions) throw TextError(text.size() + 1, "the actions are missing (actions=...)");
      if (!actions->has_value) throw TextError(actions->key_column, "actions wants a value: actions=...");
      mod_.actions = parse_actions(actions->value, mod_.match, names_, actions->value_column);
    }
    return std::move(mod_);
  }

 private:
  void keep(const MatchToken& token) {
    if (token_count_ == tokens_.size()) throw TextError(token.key_column, "too many fields");
    tokens_[token_count_++] = token;
  }

  // False where the token is of the match.
  bool take_setting(const MatchToken& token) {
    if (token.key == "priority") {
      once(token, has_priority_);
      return set_priority(token), true;
    }
    if (token.key == "table") {
      once(token, has_table_);
      return set_table(token), true;
    }
    if (token.key == "cookie") {
      once(token, has_cookie_);
      return set_cookie(token), true;
    }
    if (token.key == "out_port") {
      once(token, has_out_port_);
      return set_out_port(token), true;
    }
    if (std::ranges::find(kStatistics, token.key) != kStatistics.end()) return take_statistic(token), true;
    if (std::ranges::find(kLater, token.key) != kLater.end())
      throw TextError(token.key_column, fmt::format("{} is not supported yet", token.key));
    return false;
  }

  static void once(const MatchToken& token, bool& given) {
    if (!token.has_value || token.value.empty())
      throw TextError(token.key_column, fmt::format("{} wants a value: {}=...", token.key, token.key));
    if (std::exchange(given, true)) throw TextError(token.key_column, fmt::format("{} was given already", token.key));
  }

  void set_priority(const MatchToken& token) {
    if (mod_.command == Command::kDelete || mod_.command == Command::kModify)
      throw TextError(token.key_column, "priority selects nothing here: only the strict forms look at it");
    mod_.priority = static_cast<std::uint16_t>(
        parse_number(token.value, std::numeric_limits<std::uint16_t>::max(), "priority", token.value_column));
  }

  void set_table(const MatchToken& token) {
    if (token.value == "all" && is_delete(mod_.command)) return;
    mod_.table = static_cast<std::uint8_t>(parse_number(token.value, kTableCount - 1, "table", token.value_column));
  }

  // "cookie=V" is the cookie that a new rule gets, "cookie=V/M" selects rules that are there.
  void set_cookie(const MatchToken& token) {
    constexpr FieldBits kAll = std::numeric_limits<std::uint64_t>::max();
    const std::size_t slash = token.value.find('/');
    mod_.cookie = static_cast<std::uint64_t>(parse_cookie(token.value.substr(0, slash), "cookie", token.value_column));
    if (slash == std::string_view::npos) {
      if (mod_.command != Command::kAdd)
        throw TextError(token.value_column, fmt::format("a cookie that selects has a mask: cookie={}/-1", token.value));
      return;
    }
    if (mod_.command == Command::kAdd)
      throw TextError(token.value_column + slash, "the cookie of a new rule takes no mask");
    const std::string_view mask = token.value.substr(slash + 1);
    mod_.cookie_mask = static_cast<std::uint64_t>(
        mask == "-1" ? kAll : parse_cookie(mask, "the cookie's mask", token.value_column + slash + 1));
    mod_.cookie &= *mod_.cookie_mask;
  }

  static FieldBits parse_cookie(std::string_view text, std::string_view what, std::size_t column) {
    return parse_number(text, std::numeric_limits<std::uint64_t>::max(), what, column);
  }

  void set_out_port(const MatchToken& token) {
    if (!is_delete(mod_.command))
      throw TextError(token.key_column, "out_port selects rules to delete or to list; a new rule has none");
    mod_.out_port = parse_port(token.value, names_, token.value_column);
  }

  // Taken back only where it can have been printed: a number, for duration with a fraction and an "s".
  static void take_statistic(const MatchToken& token) {
    std::string_view number = token.value;
    if (token.key == "duration" && number.ends_with('s')) number.remove_suffix(1);
    const bool fits = !number.empty() && number.find_first_not_of("0123456789.") == std::string_view::npos;
    if (!fits) throw TextError(token.key_column, fmt::format("'{}' is no {}", token.value, token.key));
  }

  const PortNames& names_;
  FlowMod mod_;
  std::array<MatchToken, kMaxTokens> tokens_;
  std::size_t token_count_ = 0;
  bool has_priority_ = false, has_table_ = false, has_cookie_ = false, has_out_port_ = false;
};

struct CommandWord {
  std::string_view word;
  Command command;
};
constexpr std::array<CommandWord, 5> kCommandWords{{{"add", Command::kAdd},
                                                    {"modify", Command::kModify},
                                                    {"modify_strict", Command::kModifyStrict},
                                                    {"delete", Command::kDelete},
                                                    {"delete_strict", Command::kDeleteStrict}}};

// Of a '#' outside quotes; the line's length where there is none.
std::size_t comment_begin(std::string_view line) {
  bool quoted = false;
  for (std::size_t at = 0; at < line.size(); ++at) {
    if (line[at] == '"') quoted = !quoted;
    if (line[at] == '#' && !quoted) return at;
  }
  return line.size();
}

// The command that `line` begins with, or the default one, and where the rule itself begins.
std::pair<Command, std::size_t> leading_command(std::string_view line, Command default_command) {
  const std::size_t begin = std::min(line.find_first_not_of(" \t\r\n"), line.size());
  const std::size_t end = std::min(line.find_first_of(kSeparators, begin), line.size());
  const std::string_view word = line.substr(begin, end - begin);
  const auto at = std::ranges::find(kCommandWords, word, &CommandWord::word);
  if (at == kCommandWords.end()) return {default_command, 0};
  return {at->command, end};
}

}  // namespace

FlowMod parse_flow(std::string_view text, Command command, const PortNames& names) {
  return FlowParser{command, names}.parse(text);
}

std::vector<FlowMod> parse_flows(std::string_view text, Command default_command, const PortNames& names) {
  std::vector<FlowMod> mods;
  for (std::size_t begin = 0, line_number = 1; begin < text.size(); ++line_number) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    line = line.substr(0, comment_begin(line));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (mods.size() == kMaxRules) throw LineError(line_number, 1, fmt::format("more than {} rules", kMaxRules));
    const auto [command, offset] = leading_command(line, default_command);
    try {
      mods.push_back(parse_flow(line.substr(offset), command, names));
    } catch (const TextError& error) {
      throw LineError(line_number, error.column() + offset, error.reason());
    }
  }
  return mods;
}

}  // namespace shunt
