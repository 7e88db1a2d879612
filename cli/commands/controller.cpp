// SPDX-License-Identifier: Apache-2.0
// shunt controller add|del|list
#include <iostream>

#include "cli/command.h"

namespace shunt::cli {
namespace {

int add(const Invocation& invocation) {
  Json params = {{"bridge", invocation.text("BR")}, {"target", invocation.text("TARGET")}};
  if (const auto count = invocation.number("auxiliary")) params["auxiliary"] = *count;
  invocation.call("controller.add", params);
  return kDone;
}

int del(const Invocation& invocation) {
  Json params = {{"bridge", invocation.text("BR")}};
  if (const auto target = invocation.optional_text("TARGET")) params["target"] = *target;
  invocation.call("controller.del", params);
  return kDone;
}

int list(const Invocation& invocation) {
  return invocation.show("controller.list", {{"bridge", invocation.text("BR")}}, [](const Json& answer) {
    std::vector<std::vector<std::string>> rows;
    for (const Json& each : answer.at("controllers"))
      rows.push_back({cell(each.at("target")), each.at("connected").get<bool>() ? "yes" : "no",
                      cell(each.at("version")), cell(each.at("role")), cell(each.at("since_s")), cell(each.at("lost")),
                      cell(each.at("error"))});
    show_table({"TARGET", "CONNECTED", "VERSION", "ROLE", ">SINCE-S", ">LOST", "ERROR"}, rows);
  });
}

}  // namespace

std::span<const Command> controller_commands() {
  static const std::vector<Command> commands = {
      {"controller",
       "add",
       {"BR", "TARGET"},
       "tcp:, ssl:, unix: to connect to; ptcp:, pssl: to listen on",
       {{"auxiliary", "N",
         "connections beside the main one, 0 to 8 (default 0): packets go to the controller by them"}},
       false,
       add},
      {"controller", "del", {"BR", "[TARGET]"}, "without TARGET: all of the bridge's", {}, false, del},
      {"controller", "list", {"BR"}, "the bridge's controllers, and whether they are connected", {}, true, list},
  };
  return commands;
}

}  // namespace shunt::cli
