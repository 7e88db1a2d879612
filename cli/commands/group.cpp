// SPDX-License-Identifier: Apache-2.0
// shunt group add|mod|add-or-mod|del|insert-bucket|remove-bucket|list|stats
#include <iostream>

#include "cli/command.h"
#include "cli/given_text.h"

namespace shunt::cli {
namespace {

int change(const Invocation& invocation, std::string_view method, bool needs_group) {
  const auto group = given_text(invocation, "GROUP");
  if (!group && needs_group) throw UsageError("give GROUP or --file F");
  call_with_text(invocation, method, {{"bridge", invocation.text("BR")}}, group, "group", "groups");
  return kDone;
}

int add(const Invocation& invocation) { return change(invocation, "group.add", true); }
int mod(const Invocation& invocation) { return change(invocation, "group.mod", true); }
int add_or_mod(const Invocation& invocation) { return change(invocation, "group.add_or_mod", true); }
int del(const Invocation& invocation) { return change(invocation, "group.del", false); }
int insert_bucket(const Invocation& invocation) { return change(invocation, "group.insert_bucket", true); }
int remove_bucket(const Invocation& invocation) { return change(invocation, "group.remove_bucket", true); }

int show(const Invocation& invocation, std::string_view method) {
  Json params = {{"bridge", invocation.text("BR")}};
  if (const auto id = invocation.number("ID")) params["id"] = *id;
  return invocation.show(method, params, [](const Json& answer) {
    for (const Json& group : answer.at("groups")) std::cout << cell(group.at("text")) << '\n';
  });
}

int list(const Invocation& invocation) { return show(invocation, "group.list"); }
int stats(const Invocation& invocation) { return show(invocation, "group.stats"); }

}  // namespace

std::span<const Command> group_commands() {
  static const std::vector<Option> file = {
      {"file", "F", "the groups of a file, one a line; - is standard input; all or nothing"}};
  static const std::vector<Command> commands = {
      {"group", "add", {"BR", "[GROUP]"}, "add a group, as 'group_id=1,type=all,bucket=actions=2'", file, false, add},
      {"group", "mod", {"BR", "[GROUP]"}, "give a group another type and other buckets", file, false, mod},
      {"group", "add-or-mod", {"BR", "[GROUP]"}, "one of both, whether it is there or not", file, false, add_or_mod},
      {"group", "del", {"BR", "[GROUP]"}, "delete a group and the rules that use it; without: all", file, false, del},
      {"group",
       "insert-bucket",
       {"BR", "[GROUP]"},
       "add buckets to a group, behind command_bucket_id=ID, first or last",
       file,
       false,
       insert_bucket},
      {"group",
       "remove-bucket",
       {"BR", "[GROUP]"},
       "take the bucket command_bucket_id=ID, first, last or all from a group",
       file,
       false,
       remove_bucket},
      {"group", "list", {"BR", "[ID]"}, "groups and their buckets", {}, true, list},
      {"group", "stats", {"BR", "[ID]"}, "what groups and buckets counted", {}, true, stats},
  };
  return commands;
}

}  // namespace shunt::cli
