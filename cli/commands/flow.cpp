// SPDX-License-Identifier: Apache-2.0
// shunt flow add|mod|mod-strict|del|del-strict|list|replace
#include <iostream>

#include "cli/command.h"
#include "cli/given_text.h"

namespace shunt::cli {
namespace {

Json call(const Invocation& invocation, std::string_view method, const std::optional<GivenText>& rule,
          Json params = Json::object()) {
  params["bridge"] = invocation.text("BR");
  return call_with_text(invocation, method, std::move(params), rule, "rule", "rules");
}

int change(const Invocation& invocation, std::string_view method, bool needs_rule) {
  const auto rule = given_text(invocation, "RULE");
  if (!rule && needs_rule) throw UsageError("give RULE or --file F");
  call(invocation, method, rule);
  return kDone;
}

int add(const Invocation& invocation) { return change(invocation, "flow.add", true); }
int mod(const Invocation& invocation) { return change(invocation, "flow.mod", true); }
int mod_strict(const Invocation& invocation) { return change(invocation, "flow.mod_strict", true); }
int del(const Invocation& invocation) { return change(invocation, "flow.del", false); }
int del_strict(const Invocation& invocation) { return change(invocation, "flow.del_strict", true); }
int replace(const Invocation& invocation) { return change(invocation, "flow.replace", true); }

int list(const Invocation& invocation) {
  std::optional<GivenText> filter;
  if (const auto rule = invocation.optional_text("RULE")) filter = GivenText{*rule, ""};
  if (invocation.json()) {
    show_json(call(invocation, "flow.list", filter));
    return kDone;
  }
  const Json answer = call(invocation, "flow.list", filter, {{"text", true}});
  std::string text;
  for (const Json& line : answer.at("lines")) {
    text += line.get_ref<const std::string&>();
    text += '\n';
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
      {"flow",
       "mod-strict",
       {"BR", "[RULE]"},
       "give the rule with exactly this match and priority its actions",
       file,
       false,
       mod_strict},
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
