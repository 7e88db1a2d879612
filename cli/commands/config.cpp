// SPDX-License-Identifier: Apache-2.0
// shunt config show|diff|load|undo
#include <iostream>

#include "cli/command.h"
#include "cli/given_text.h"

namespace shunt::cli {
namespace {

int show(const Invocation& invocation) {
  return invocation.show("config.show", Json::object(),
                         [](const Json& answer) { std::cout << answer.at("config").get_ref<const std::string&>(); });
}

int show_changes(const Invocation& invocation, const Json& answer) {
  if (invocation.json()) {
    show_json(answer);
    return kDone;
  }
  std::string text;
  for (const Json& line : answer.at("changes")) text += line.get_ref<const std::string&>() + '\n';
  std::cout << text;
  return kDone;
}

int with_file(const Invocation& invocation, std::string_view method, Json params) {
  const GivenText file = read_text(invocation.text("FILE"));
  return show_changes(invocation, call_with_text(invocation, method, std::move(params), file, "config", "config"));
}

int diff(const Invocation& invocation) { return with_file(invocation, "config.diff", Json::object()); }
int load(const Invocation& invocation) {
  return with_file(invocation, "config.load", {{"dry_run", invocation.is_on("dry-run")}});
}
int undo(const Invocation& invocation) {
  return show_changes(invocation, invocation.call("config.undo", {{"dry_run", invocation.is_on("dry-run")}}));
}

}  // namespace

std::span<const Command> config_commands() {
  static const std::vector<Option> dry_run = {{"dry-run", "", "show what it would change, and change nothing"}};
  static const std::vector<Command> commands = {
      {"config", "show", {}, "the running configuration, as a file that load takes", {}, true, show},
      {"config", "diff", {"FILE"}, "what load would change; - is standard input", {}, true, diff},
      {"config",
       "load",
       {"FILE"},
       "make the switch what FILE says, by the fewest changes, all or none",
       dry_run,
       true,
       load},
      {"config", "undo", {}, "take the last load back", dry_run, true, undo},
  };
  return commands;
}

}  // namespace shunt::cli
