// SPDX-License-Identifier: Apache-2.0
// shunt flow add|mod|del|del-strict|list|replace
#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "cli/command.h"

namespace shunt::cli {
namespace {

constexpr std::size_t kMaxFileBytes = 60 << 20;  // the daemon takes requests of 64 MiB; escapes need room
constexpr std::size_t kShownBytes = 100;         // of a line in an error

struct RuleText {
  std::string text;
  std::string file;  // its name; empty: given on the command line
};

std::string read_all(std::istream& in, const std::string& name) {
  std::string text;
  std::vector<char> buffer(1 << 16);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMaxFileBytes) throw Error("'{}' is longer than {} bytes", name, kMaxFileBytes);
  }
  if (in.bad()) throw Error("'{}' cannot be read", name);
  return text;
}

std::string read_file(const std::string& name) {
  if (name == "-") return read_all(std::cin, "standard input");
  std::ifstream file{name, std::ios::binary};
  if (!file) throw_errno(errno, fmt::format("file '{}'", name));
  return read_all(file, name);
}

// RULE or --file, never both; neither only where a rule need not be.
std::optional<RuleText> rule_text(const Invocation& invocation) {
  const auto rule = invocation.optional_text("RULE");
  const auto file = invocation.optional_text("file");
  if (rule && file) throw UsageError("give RULE or --file, not both");
  if (file) return RuleText{read_file(*file), *file};
  if (rule) return RuleText{*rule, ""};
  return std::nullopt;
}

std::string_view line_at(std::string_view text, std::size_t number) {
  for (std::size_t i = 1; i < number; ++i) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

// The reason, and the text with a caret under the column. A long line is cut to what surrounds it.
Error pointed_error(const RuleText& rule, const Refused& refused) {
  const std::size_t column = refused.column.value_or(1);
  std::string_view line = line_at(rule.text, refused.line.value_or(1));
  std::size_t at = std::min(column - std::min<std::size_t>(column, 1), line.size());
  if (at > kShownBytes / 2 && line.size() > kShownBytes) {
    const std::size_t cut = std::min(at - kShownBytes / 2, line.size() - kShownBytes);
    line.remove_prefix(cut);
    at -= cut;
  }
  line = line.substr(0, kShownBytes);
  std::string pad;
  for (const char c : line.substr(0, at)) pad += c == '\t' ? '\t' : ' ';
  return Error("{}{}\n  {}\n  {}^", rule.file.empty() ? "" : fmt::format("{}: ", rule.file), refused.what(), line, pad);
}

Json call_with_text(const Invocation& invocation, std::string_view method, const std::optional<RuleText>& rule) {
  Json params = {{"bridge", invocation.text("BR")}};
  if (rule) params[rule->file.empty() ? "rule" : "rules"] = rule->text;
  try {
    return invocation.call(method, params);
  } catch (const Refused& refused) {
    if (!rule || !refused.column) throw;
    throw pointed_error(*rule, refused);
  }
}

int change(const Invocation& invocation, std::string_view method, bool needs_rule) {
  const auto rule = rule_text(invocation);
  if (!rule && needs_rule) throw UsageError("give RULE or --file F");
  call_with_text(invocation, method, rule);
  return kDone;
}

int add(const Invocation& invocation) { return change(invocation, "flow.add", true); }
int mod(const Invocation& invocation) { return change(invocation, "flow.mod", true); }
int del(const Invocation& invocation) { return change(invocation, "flow.del", false); }
int del_strict(const Invocation& invocation) { return change(invocation, "flow.del_strict", true); }
int replace(const Invocation& invocation) { return change(invocation, "flow.replace", true); }

int list(const Invocation& invocation) {
  std::optional<RuleText> filter;
  if (const auto rule = invocation.optional_text("RULE")) filter = RuleText{*rule, ""};
  const Json answer = call_with_text(invocation, "flow.list", filter);
  if (invocation.json()) {
    show_json(answer);
    return kDone;
  }
  // As `ovs-ofctl dump-flows` writes them.
  std::string text;
  for (const Json& rule : answer.at("rules")) {
    const std::string match = cell(rule.at("match"));
    text += fmt::format("cookie={}, duration={:.3f}s, table={}, n_packets={}, n_bytes={}, priority={}{}{} actions={}\n",
                        cell(rule.at("cookie")), rule.at("duration_s").get<double>(), cell(rule.at("table")),
                        cell(rule.at("packets")), cell(rule.at("bytes")), cell(rule.at("priority")),
                        match.empty() ? "" : ",", match, cell(rule.at("actions")));
  }
  std::cout << text;
  return kDone;
}

}  // namespace

std::span<const Command> flow_commands() {
  static const std::vector<Option> file = {
      {"file", "F", "the rules of a file, one a line; - is standard input; all or nothing"}};
  static const std::vector<Command> commands = {
      {"flow", "add", {"BR", "[RULE]"}, "add a rule, replacing one of the same match and priority", file, false, add},
      {"flow", "mod", {"BR", "[RULE]"}, "give the rules that RULE covers its actions", file, false, mod},
      {"flow", "del", {"BR", "[RULE]"}, "delete the rules that RULE covers; without: all", file, false, del},
      {"flow",
       "del-strict",
       {"BR", "[RULE]"},
       "delete the rule with exactly this match and priority",
       file,
       false,
       del_strict},
      {"flow", "list", {"BR", "[RULE]"}, "rules with their counters; those that RULE covers", {}, true, list},
      {"flow",
       "replace",
       {"BR", "[RULE]"},
       "make the bridge's rules these; equal ones keep their counters",
       file,
       false,
       replace},
  };
  return commands;
}

}  // namespace shunt::cli
