// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/rule_text.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "user/pipeline/action_text.h"
#include "user/pipeline/rule_text_match.h"
#include "user/pipeline/rule_text_settings.h"
#include "user/pipeline/text_lines.h"

namespace shunt {
namespace {

using Command = FlowMod::Command;

constexpr std::string_view kSeparators = ", \t\r\n";
constexpr std::size_t kMaxTokens = 96;        // of one rule; each may stand only once
constexpr std::size_t kMaxRules = 1'000'000;  // of one text: a bound on the memory that a request can ask for

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
  FlowParser(Command command, const PortNames& names, bool checks_prerequisites = true)
      : names_{names}, checks_prerequisites_{checks_prerequisites} {
    mod_.command = command;
  }

  FlowMod parse(std::string_view text, WantedAction* wanted = nullptr) {
    Tokenizer tokenizer{text};
    RuleSettings settings{mod_, names_};
    std::optional<MatchToken> actions;
    while (const auto token = tokenizer.next()) {
      if (token->key == "actions" || token->key == "action")
        actions = token;
      else if (!settings.take(*token))
        keep(*token);
    }
    mod_.match = parse_match(std::span{tokens_}.first(token_count_), names_, checks_prerequisites_);
    if (is_delete(mod_.command)) {
      if (actions) throw TextError(actions->key_column, "a deletion or a filter has no actions");
    } else {
      if (!actions) throw TextError(text.size() + 1, "the actions are missing (actions=...)");
      if (!actions->has_value) throw TextError(actions->key_column, "actions wants a value: actions=...");
      mod_.actions = parse_rule_actions(actions->value, mod_.match, mod_.table.value_or(0), names_,
                                        actions->value_column, wanted, checks_prerequisites_);
    }
    return std::move(mod_);
  }

 private:
  void keep(const MatchToken& token) {
    if (token_count_ == tokens_.size()) throw TextError(token.key_column, "too many fields");
    tokens_[token_count_++] = token;
  }

  const PortNames& names_;
  const bool checks_prerequisites_;
  FlowMod mod_;
  std::array<MatchToken, kMaxTokens> tokens_;
  std::size_t token_count_ = 0;
};

constexpr std::array<CommandWord<Command>, 5> kCommandWords{{{"add", Command::kAdd},
                                                             {"modify", Command::kModify},
                                                             {"modify_strict", Command::kModifyStrict},
                                                             {"delete", Command::kDelete},
                                                             {"delete_strict", Command::kDeleteStrict}}};

}  // namespace

FlowMod parse_flow(std::string_view text, FlowMod::Command command, const PortNames& names) {
  return FlowParser{command, names}.parse(text);
}

FlowMod parse_formatted_flow(std::string_view text) {
  static const PortNames no_names;
  return FlowParser{Command::kAdd, no_names, false}.parse(text);
}

std::vector<FlowMod> parse_flows(std::string_view text, FlowMod::Command default_command, const PortNames& names) {
  std::vector<FlowMod> mods;
  LineReader lines{text};
  while (const auto line = lines.next()) {
    if (mods.size() == kMaxRules) throw LineError(line->number, 1, fmt::format("more than {} rules", kMaxRules));
    const auto [command, offset] = leading_command(line->text, kCommandWords, default_command);
    try {
      mods.push_back(parse_flow(line->text.substr(offset), command, names));
      mods.back().line = line->number;
    } catch (const TextError& error) {
      throw LineError(line->number, error.column() + offset, error.reason(), error.code());
    }
  }
  return mods;
}

void locate_flow(OfError& error, std::string_view text, FlowMod::Command default_command, const PortNames& names) {
  const std::string_view line = line_of(text, error.line());
  const auto [command, offset] = error.line() == 0 ? std::pair{default_command, std::size_t{0}}
                                                   : leading_command(line, kCommandWords, default_command);
  const std::string_view rule = line.substr(offset);
  WantedAction wanted{error.path()};
  if (!wanted.path.empty()) (void)FlowParser{command, names}.parse(rule, &wanted);
  error.set_column(offset + (wanted.column != 0 ? wanted.column : first_column(rule)));
}

}  // namespace shunt
