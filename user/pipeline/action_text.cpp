// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/action_text.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "user/pipeline/action_set.h"
#include "user/pipeline/action_text_parser.h"
#include "user/pipeline/rule.h"

namespace shunt {
namespace action_text {
namespace {

constexpr std::string_view kSeparators = ", \t\r\n";
constexpr std::size_t kMaxActions = 1024;  // of one rule: a bound on the memory and the time that it can ask for
constexpr unsigned kMaxDepth = 15;         // lists inside lists

// Actions of ovs-actions(7) that are not there: connection tracking and what needs its own headers.
constexpr auto kLater = std::to_array<std::string_view>({"ct", "ct_clear", "debug_recirc", "debug_slow", "dec_nsh_ttl",
                                                         "decap", "delete_field", "encap", "nat", "unroll_xlate"});

// Instructions in the order that a rule has them in (OpenFlow 1.3.5 section 5.9); what is none is an action.
constexpr auto kInstructions =
    std::to_array<std::string_view>({"meter", "", "clear_actions", "write_actions", "write_metadata", "goto_table"});
constexpr std::size_t kApply = 1;

std::size_t instruction_of(const ActionToken& token) {
  if (token.quoted) return kApply;
  const auto at = std::ranges::find(kInstructions, token.name);
  return at == kInstructions.end() || at->empty() ? kApply : static_cast<std::size_t>(at - kInstructions.begin());
}

const KnownAction* find_action(const ActionToken& token) {
  if (token.quoted) return nullptr;
  for (const auto group :
       {output_actions(), packet_actions(), set_actions(), pipeline_actions(), spread_actions(), learn_actions()}) {
    const auto at = std::ranges::find(group, token.name, &KnownAction::name);
    if (at != group.end()) return &*at;
  }
  return nullptr;
}

bool is_drop(const ActionToken& token) { return token.name == "drop" && !token.quoted; }

// Up to the closing parenthesis that belongs to the one before `at`; nothing where it is missing.
std::optional<std::size_t> closing_parenthesis(std::string_view text, std::size_t at) {
  int depth = 1;
  bool quoted = false;
  for (; at < text.size(); ++at) {
    if (text[at] == '"') quoted = !quoted;
    if (quoted) continue;
    if (text[at] == '(') ++depth;
    if (text[at] == ')' && --depth == 0) return at;
  }
  return {};
}

// Up to the next separator outside parentheses, brackets and quotes.
std::size_t end_of_piece(std::string_view text, std::size_t at) {
  int depth = 0;
  bool quoted = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (depth <= 0 && kSeparators.find(c) != std::string_view::npos) break;
  }
  return at;
}

class Tokenizer {
 public:
  Tokenizer(std::string_view text, std::size_t column) : text_{text}, column_{column} {}

  std::optional<ActionToken> next() {
    pos_ = std::min(text_.find_first_not_of(kSeparators, pos_), text_.size());
    if (pos_ == text_.size()) return {};
    ActionToken token;
    token.name_column = column_ + pos_;
    if (text_[pos_] == '"') {
      take_quoted(token);
      return token;
    }
    const std::size_t end = std::min(text_.find_first_of(":=(, \t\r\n", pos_), text_.size());
    token.name = text_.substr(pos_, end - pos_);
    pos_ = end;
    if (pos_ < text_.size() && kSeparators.find(text_[pos_]) == std::string_view::npos) take_argument(token);
    return token;
  }

 private:
  void take_quoted(ActionToken& token) {
    const std::size_t end = text_.find('"', pos_ + 1);
    if (end == std::string_view::npos)
      throw TextError(token.name_column, "the closing quote is missing", OfErrorCode::kBadArgument);
    token.quoted = true;
    token.name = text_.substr(pos_, end + 1 - pos_);
    pos_ = end + 1;
  }

  void take_argument(ActionToken& token) {
    token.has_argument = true;
    token.in_parentheses = text_[pos_] == '(';
    ++pos_;
    token.argument_column = column_ + pos_;
    std::size_t end = end_of_piece(text_, pos_);
    if (token.in_parentheses) {
      const auto closing = closing_parenthesis(text_, pos_);
      if (!closing)
        throw TextError(token.argument_column - 1, "the closing parenthesis is missing", OfErrorCode::kBadArgument);
      end = *closing;
    }
    token.argument = text_.substr(pos_, end - pos_);
    pos_ = end;
    if (!token.in_parentheses) return;
    const std::size_t tail = ++pos_;
    token.tail_column = column_ + tail;
    if (text_.substr(tail).starts_with("->")) pos_ = end_of_piece(text_, tail);
    token.tail = text_.substr(tail, pos_ - tail);
  }

  std::string_view text_;
  std::size_t column_, pos_ = 0;
};

// The order of instructions, as ovs-ofctl wants it.
class Order {
 public:
  void check(const Scope& scope, const ActionToken& token) {
    const std::size_t instruction = instruction_of(token);
    if (scope.kind != ListKind::kRule) {
      if (instruction == kApply) return;
      throw TextError(token.name_column, fmt::format("{} cannot stand inside another action", token.name),
                      instruction == 0 ? OfErrorCode::kBadType : OfErrorCode::kBadInstruction);
    }
    if (instruction == last_ && instruction != kApply)
      throw TextError(token.name_column, fmt::format("{} was given already", token.name),
                      OfErrorCode::kDuplicateInstruction);
    if (last_ && instruction < *last_)
      throw TextError(token.name_column,
                      fmt::format("{} comes too late: the order is meter, actions, clear_actions, write_actions, "
                                  "write_metadata, goto_table",
                                  instruction == kApply ? "an action" : token.name),
                      OfErrorCode::kUnsupportedOrder);
    last_ = instruction;
  }

 private:
  std::optional<std::size_t> last_;
};

[[noreturn]] void refuse(const ActionToken& token, const PortNames& names) {
  if (std::ranges::find(kLater, token.name) != kLater.end())
    throw TextError(token.name_column, fmt::format("action {} is not supported yet", token.name),
                    OfErrorCode::kBadType);
  std::vector<std::string_view> known = names.names();
  for (const auto group :
       {output_actions(), packet_actions(), set_actions(), pipeline_actions(), spread_actions(), learn_actions()})
    for (const KnownAction& action : group) known.push_back(action.name);
  for (std::string_view word : {"drop", "normal", "flood", "all", "local", "in_port"}) known.push_back(word);
  const std::string_view near = nearest(token.name, known);
  throw TextError(token.name_column,
                  near.empty()
                      ? fmt::format("no action and no port is called '{}'", token.name)
                      : fmt::format("no action and no port is called '{}' (did you mean '{}'?)", token.name, near),
                  OfErrorCode::kBadType);
}

void check_form(const KnownAction& known, const ActionToken& token) {
  if (known.argument == Argument::kWanted && (!token.has_argument || token.argument.empty()))
    throw TextError(token.name_column, fmt::format("{} wants a value: {}:...", token.name, token.name));
  if (known.argument == Argument::kMayBeEmpty && !token.has_argument)
    throw TextError(token.name_column, fmt::format("{} wants a value: {}(...)", token.name, token.name));
  if (known.argument == Argument::kNone && token.has_argument)
    throw TextError(token.argument_column - 1, fmt::format("{} takes no value", token.name));
  if (!token.tail.empty() && known.name != "check_pkt_larger")
    throw TextError(token.tail_column, fmt::format("'{}' behind {}", token.tail, token.name));
}

void take_port(Scope& scope, const ActionToken& token) {
  const bool is_port =
      token.quoted || number_from(token.name) || reserved_port(token.name) || scope.names.find(token.name);
  if (!is_port || std::ranges::find(kLater, token.name) != kLater.end()) refuse(token, scope.names);
  const PortNo port = parse_port(token.name, scope.names, token.name_column, OfErrorCode::kBadOutPort);
  if (token.has_argument)
    throw TextError(token.argument_column - 1, fmt::format("{} takes no value", token.name), OfErrorCode::kBadArgument);
  add_output(scope, port, token);
}

void take(Scope& scope, const ActionToken& token) {
  // "CONTROLLER:128" is controller:128, as it is shown.
  ActionToken named = token;
  if (!token.quoted && reserved_port(token.name) == kPortController) named.name = "controller";
  const KnownAction* known = find_action(named);
  if (known == nullptr) return take_port(scope, token);
  try {
    check_form(*known, named);
    known->handler(scope, named);
  } catch (const TextError& error) {
    // A match's name for it is not an action's.
    const bool own = error.code() && error.code() != OfErrorCode::kBadMatchMask;
    throw TextError(error.column(), error.reason(), own ? *error.code() : known->code);
  }
}

void check_in_set(const Scope& scope, std::size_t before, const ActionToken& token) {
  for (std::size_t i = before; i < scope.actions.size(); ++i)
    if (!ActionSet::holds(scope.actions[i]))
      throw TextError(token.name_column, fmt::format("{} cannot stand in an action set", token.name),
                      OfErrorCode::kBadType);
}

// The token has added the actions from `before` on. Of lists inside it, what was found there stays.
void note_wanted(const Scope& scope, std::size_t before, const ActionToken& token) {
  if (scope.wanted == nullptr || scope.wanted->column != 0 || scope.wanted->path.size() <= scope.depth) return;
  const std::size_t index = scope.wanted->path[scope.depth];
  if (index >= before && index < scope.actions.size()) scope.wanted->column = token.name_column;
}

// A rule with conjunction says only that: what happens is said by the rule for its conj_id.
void check_conjunctions(const Scope& scope, std::span<const std::size_t> columns) {
  const auto is_conjunction = [](const Action& a) { return std::holds_alternative<ConjunctionAction>(a); };
  if (std::ranges::none_of(scope.actions, is_conjunction)) return;
  for (std::size_t i = 0; i < scope.actions.size(); ++i)
    if (!is_conjunction(scope.actions[i]) && !std::holds_alternative<NoteAction>(scope.actions[i]))
      throw TextError(columns[i], "beside conjunction only conjunction and note may stand", OfErrorCode::kBadArgument);
}

}  // namespace

std::optional<Item> Items::next() {
  pos_ = std::min(text_.find_first_not_of(kSeparators, pos_), text_.size());
  if (pos_ == text_.size()) return {};
  Item item;
  const std::size_t end = end_of_piece(text_, pos_);
  item.text = text_.substr(pos_, end - pos_);
  item.column = column_ + pos_;
  pos_ = end;
  const std::size_t delimiter = item.text.find_first_of("=:(");
  item.key = item.text.substr(0, delimiter);
  item.value_column = column_ + end;
  if (delimiter == std::string_view::npos) return item;
  item.has_value = true;
  item.value = item.text.substr(delimiter + 1);
  item.value_column = item.column + delimiter + 1;
  if (item.text[delimiter] == '(' && item.value.ends_with(')')) item.value.remove_suffix(1);
  return item;
}

void parse_list(Scope& scope, std::string_view text, std::size_t column) {
  Tokenizer tokenizer{text, column};
  Order order;
  std::vector<std::size_t> columns;  // of the actions
  std::size_t drop_column = 0;
  while (const auto token = tokenizer.next()) {
    const std::size_t before = scope.actions.size();
    if (drop_column != 0 || (is_drop(*token) && before > 0))
      throw TextError(drop_column != 0 ? drop_column : token->name_column, "drop stands alone, without other actions",
                      OfErrorCode::kBadArgument);
    if (*scope.left == 0)
      throw TextError(token->name_column, fmt::format("more than {} actions", kMaxActions),
                      OfErrorCode::kTooManyActions);
    --*scope.left;
    if (is_drop(*token)) {
      drop_column = token->name_column;
      continue;
    }
    order.check(scope, *token);
    take(scope, *token);
    if (scope.kind == ListKind::kActionSet) check_in_set(scope, before, *token);
    columns.resize(scope.actions.size(), token->name_column);
    note_wanted(scope, before, *token);
  }
  if (scope.kind == ListKind::kRule) check_conjunctions(scope, columns);
}

ActionList parse_inner_list(const Scope& outer, const ActionToken& token, ListKind kind) {
  if (outer.depth == kMaxDepth)
    throw TextError(token.name_column, fmt::format("actions nest deeper than {}", kMaxDepth),
                    OfErrorCode::kTooManyActions);
  Scope inner = {.names = outer.names, .kind = kind, .depth = outer.depth + 1, .left = outer.left};
  inner.checks_prerequisites = outer.checks_prerequisites;
  if (kind != ListKind::kActionSet) inner.state = outer.state;
  const bool leads_on = outer.wanted != nullptr && outer.wanted->path.size() > inner.depth &&
                        outer.wanted->path[outer.depth] == outer.actions.size();
  if (leads_on) inner.wanted = outer.wanted;
  parse_list(inner, token.argument, token.argument_column);
  return std::move(inner.actions);
}

void Scope::check_prerequisite(const Field& f, std::size_t column) const {
  if (!checks_prerequisites || kind == ListKind::kActionSet || implied_by(f.prerequisite, state)) return;
  throw TextError(column,
                  fmt::format("{} needs {} in the match, or from the actions before", f.name, describe(f.prerequisite)),
                  OfErrorCode::kMatchInconsistent);
}

Subfield Scope::parse_target(std::string_view text, std::size_t column) const {
  Subfield to = parse_subfield(text, column);
  check_writable(*to.field, column);
  if (to.field->id == FieldId::kVlanTci || to.field->id == FieldId::kDlVlan || to.field->id == FieldId::kDlVlanPcp)
    to = part_of_tag(to, column);
  check_prerequisite(*to.field, column);
  return to;
}

Subfield Scope::parse_source(std::string_view text, std::size_t column) const {
  const Subfield from = parse_subfield(text, column);
  check_prerequisite(*from.field, column);
  return from;
}

PortNo Scope::parse_output_port(std::string_view text, std::size_t column) const {
  return parse_port(text, names, column, OfErrorCode::kBadOutPort);
}

std::uint16_t parse_u16(std::string_view text, std::string_view what, std::size_t column) {
  return static_cast<std::uint16_t>(parse_number(text, std::numeric_limits<std::uint16_t>::max(), what, column));
}

std::uint32_t parse_u32(std::string_view text, std::string_view what, std::size_t column) {
  return static_cast<std::uint32_t>(parse_number(text, std::numeric_limits<std::uint32_t>::max(), what, column));
}

std::uint8_t parse_table(std::string_view text, std::size_t column) {
  try {
    return static_cast<std::uint8_t>(parse_number(text, kTableCount - 1, "the table", column));
  } catch (const TextError& error) {
    throw TextError(error.column(), error.reason(), OfErrorCode::kBadTableId);
  }
}

void refuse_item(const Item& item, std::string_view expected) {
  throw TextError(item.column, fmt::format("'{}' is not {}, once each", item.text, expected));
}

}  // namespace action_text

namespace {

ActionList parse(std::string_view text, action_text::Scope& scope, std::size_t column) {
  std::size_t left = action_text::kMaxActions;
  scope.left = &left;
  action_text::parse_list(scope, text, column);
  return std::move(scope.actions);
}

}  // namespace

ActionList parse_actions(std::string_view text, const Match& match, const PortNames& names, std::size_t column) {
  action_text::Scope scope{.names = names, .state = match};
  ActionList actions = parse(text, scope, column);
  if (actions.empty()) actions.emplace_back(DropAction{});
  return actions;
}

ActionList parse_rule_actions(std::string_view text, const Match& match, std::uint8_t table, const PortNames& names,
                              std::size_t column, WantedAction* wanted, bool checks_prerequisites) {
  action_text::Scope scope{.names = names, .table = table, .state = match, .wanted = wanted};
  scope.checks_prerequisites = checks_prerequisites;
  ActionList actions = parse(text, scope, column);
  if (actions.empty()) actions.emplace_back(DropAction{});
  return actions;
}

ActionList parse_action_set(std::string_view text, const PortNames& names, std::size_t column, WantedAction* wanted) {
  action_text::Scope scope{.names = names, .kind = action_text::ListKind::kActionSet, .wanted = wanted};
  return parse(text, scope, column);
}

}  // namespace shunt
