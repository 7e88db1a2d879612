// SPDX-License-Identifier: Apache-2.0
// Actions and instructions that steer the pipeline, or only say something about the rule.
#include <array>
#include <limits>
#include <utility>

#include "user/pipeline/action_text_names.h"
#include "user/pipeline/action_text_parser.h"
#include "user/pipeline/rule.h"

namespace shunt::action_text {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

void goto_table(Scope& scope, const ActionToken& token) {
  const std::uint8_t table = parse_table(token.argument, token.argument_column);
  if (scope.table && table <= *scope.table)
    throw TextError(token.argument_column,
                    fmt::format("goto_table goes on to a later table, and the rule is in table {}", *scope.table),
                    OfErrorCode::kBadTableId);
  scope.add(GotoTableAction{table});
}

// resubmit:PORT, resubmit(PORT,TABLE), either of them empty
void resubmit(Scope& scope, const ActionToken& token) {
  ResubmitAction action;
  const std::string_view text = token.argument;
  const std::size_t quote = text.starts_with('"') ? text.find('"', 1) : 0;
  const std::size_t comma = quote == std::string_view::npos ? quote : text.find(',', quote);
  const std::string_view port = trimmed(text.substr(0, comma));
  if (!port.empty()) {
    const PortNo number = scope.parse_output_port(port, token.argument_column);
    if (number.value >= kPortUnset.value && number != kPortInPort && number != kPortLocal && number != kPortNone &&
        number != kPortController)
      throw TextError(token.argument_column, "resubmit takes one port", OfErrorCode::kBadOutPort);
    if (number != kPortInPort) action.in_port = number;
  }
  if (comma != std::string_view::npos) {
    const std::string_view table = trimmed(text.substr(comma + 1));
    if (!table.empty()) action.table = parse_table(table, token.argument_column + comma + 1);
  }
  if (!action.in_port && !action.table)
    throw TextError(token.argument_column, "resubmit wants another port or a table: resubmit(,TABLE)");
  scope.add(action);
}

void write_actions(Scope& scope, const ActionToken& token) {
  scope.add(WriteActionsAction{parse_inner_list(scope, token, ListKind::kActionSet)});
}

void clear_actions(Scope& scope, const ActionToken&) { scope.add(ClearActionsAction{}); }

// The instruction is the list itself.
void apply_actions(Scope& scope, const ActionToken& token) {
  if (scope.kind != ListKind::kRule)
    throw TextError(token.name_column, "apply_actions cannot stand inside another action",
                    OfErrorCode::kBadInstruction);
  scope.kind = ListKind::kClone;
  parse_list(scope, token.argument, token.argument_column);
  scope.kind = ListKind::kRule;
}

void write_metadata(Scope& scope, const ActionToken& token) {
  constexpr FieldBits kAll = std::numeric_limits<std::uint64_t>::max();
  const std::size_t slash = token.argument.find('/');
  const auto value = static_cast<std::uint64_t>(
      parse_number(token.argument.substr(0, slash), kAll, "the metadata", token.argument_column));
  std::uint64_t mask = std::numeric_limits<std::uint64_t>::max();
  if (slash != std::string_view::npos)
    mask = static_cast<std::uint64_t>(
        parse_number(token.argument.substr(slash + 1), kAll, "the mask", token.argument_column + slash + 1));
  scope.add(WriteMetadataAction{value & mask, mask});
}

void clone(Scope& scope, const ActionToken& token) {
  scope.add(CloneAction{parse_inner_list(scope, token, ListKind::kClone)});
}

void exit_action(Scope& scope, const ActionToken&) { scope.add(ExitAction{}); }

void note(Scope& scope, const ActionToken& token) {
  scope.add(NoteAction{parse_hex_bytes(token.argument, token.argument_column)});
}

// conjunction(ID,K/N)
void conjunction(Scope& scope, const ActionToken& token) {
  constexpr std::uint8_t kMaxClauses = 64;
  if (scope.kind != ListKind::kRule)
    throw TextError(token.name_column, "conjunction stands in a rule, not inside another action");
  Items items{token.argument, token.argument_column};
  const auto id = items.next();
  const auto clauses = items.next();
  const std::size_t slash = clauses ? clauses->text.find('/') : std::string_view::npos;
  if (slash == std::string_view::npos || items.next())
    throw TextError(token.argument_column, "conjunction wants an id and a clause: conjunction(ID,K/N)");
  const std::size_t count_column = clauses->column + slash + 1;
  const auto count = parse_number(clauses->text.substr(slash + 1), kMaxClauses, "the number of clauses", count_column);
  if (count < 2) throw TextError(count_column, "a conjunction has at least 2 clauses");
  const auto clause = parse_number(clauses->text.substr(0, slash), count, "the clause", clauses->column);
  if (clause == 0) throw TextError(clauses->column, "clauses count from 1");
  scope.add(ConjunctionAction{parse_u32(id->text, "the conjunction's id", id->column),
                              static_cast<std::uint8_t>(clause - 1), static_cast<std::uint8_t>(count)});
}

void fin_timeout(Scope& scope, const ActionToken& token) {
  FinTimeoutAction action;
  Items items{token.argument, token.argument_column};
  bool has_idle = false, has_hard = false;
  while (const auto item = items.next()) {
    const bool is_idle = item->key == "idle_timeout";
    if ((!is_idle && item->key != "hard_timeout") || !item->has_value ||
        std::exchange(is_idle ? has_idle : has_hard, true))
      refuse_item(*item, "idle_timeout=SECONDS or hard_timeout=SECONDS");
    (is_idle ? action.idle_timeout : action.hard_timeout) = parse_u16(item->value, item->key, item->value_column);
  }
  scope.add(action);
}

// check_pkt_larger(BYTES)->FIELD[bit]
void check_pkt_larger(Scope& scope, const ActionToken& token) {
  if (!token.in_parentheses || !token.tail.starts_with("->"))
    throw TextError(token.argument_column, "write check_pkt_larger(BYTES)->FIELD[bit]");
  const std::uint16_t length = parse_u16(token.argument, "the length", token.argument_column);
  const std::size_t column = token.tail_column + 2;
  const Subfield target = scope.parse_target(token.tail.substr(2), column);
  if (target.bit_count != 1) throw TextError(column, "the answer is one bit: reg0[0]");
  scope.add(CheckPktLargerAction{length, target});
}

constexpr auto kActions = std::to_array<KnownAction>({
    {"goto_table", goto_table, Argument::kWanted},
    {"resubmit", resubmit, Argument::kWanted},
    {"write_actions", write_actions, Argument::kMayBeEmpty},
    {"clear_actions", clear_actions, Argument::kNone},
    {"apply_actions", apply_actions, Argument::kMayBeEmpty},
    {"write_metadata", write_metadata, Argument::kWanted},
    {"clone", clone, Argument::kMayBeEmpty},
    {"exit", exit_action, Argument::kNone},
    {"note", note, Argument::kMayBeEmpty},
    {"conjunction", conjunction, Argument::kWanted},
    {"fin_timeout", fin_timeout, Argument::kMayBeEmpty},
    {"check_pkt_larger", check_pkt_larger, Argument::kWanted},
});

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::span<const KnownAction> pipeline_actions() { return kActions; }

std::vector<std::uint8_t> parse_hex_bytes(std::string_view text, std::size_t column) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t at = 0; at < text.size(); at += 2) {
    if (text[at] == '.' && at > 0) ++at;
    const int high = at < text.size() ? hex_digit(text[at]) : -1;
    const int low = at + 1 < text.size() ? hex_digit(text[at + 1]) : -1;
    if (high < 0 || low < 0) throw TextError(column + at, "bytes are pairs of hexadecimal digits: aa.bb.cc");
    bytes.push_back(static_cast<std::uint8_t>(high << 4 | low));
  }
  return bytes;
}

void append_hex_bytes(std::string& out, std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out += '.';
    out += kDigits[bytes[i] >> 4];
    out += kDigits[bytes[i] & 0xf];
  }
}

}  // namespace shunt::action_text
