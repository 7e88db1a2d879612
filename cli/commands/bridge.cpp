// SPDX-License-Identifier: Apache-2.0
// shunt bridge add|del|list|show|set
#include <iostream>

#include "cli/command.h"
#include "cli/commands/port_text.h"

namespace shunt::cli {
namespace {

int add(const Invocation& invocation) {
  invocation.call("bridge.add", {{"bridge", invocation.text("BR")}});
  return kDone;
}

int del(const Invocation& invocation) {
  invocation.call("bridge.del", {{"bridge", invocation.text("BR")}});
  return kDone;
}

int list(const Invocation& invocation) {
  return invocation.show("bridge.list", Json::object(), [](const Json& answer) {
    std::vector<std::vector<std::string>> rows;
    for (const Json& bridge : answer.at("bridges"))
      rows.push_back({cell(bridge.at("name")), cell(bridge.at("ports")), cell(bridge.at("rules")),
                      cell(bridge.at("macs")), cell(bridge.at("mac_limit")), cell(bridge.at("mac_ageing_s"))});
    show_table({"BRIDGE", ">PORTS", ">RULES", ">MACS", ">MAC-LIMIT", ">AGEING-S"}, rows);
  });
}

int show(const Invocation& invocation) {
  return invocation.show("bridge.show", {{"bridge", invocation.text("BR")}}, [](const Json& answer) {
    std::cout << fmt::format("bridge {}: rules {}, MACs {} of {}, ageing {} s\n", cell(answer.at("name")),
                             cell(answer.at("rules")), cell(answer.at("macs")), cell(answer.at("mac_limit")),
                             cell(answer.at("mac_ageing_s")));
    if (const std::string flooded = cell(answer.at("flood_vlans")); !flooded.empty())
      std::cout << fmt::format("flood VLANs: {}\n", flooded);
    show_ports(answer.at("ports"));
  });
}

int set(const Invocation& invocation) {
  if (!invocation.has("flood-vlans")) throw UsageError("give --flood-vlans LIST");
  invocation.call("bridge.set", {{"bridge", invocation.text("BR")}, {"flood_vlans", invocation.text("flood-vlans")}});
  return kDone;
}

}  // namespace

std::span<const Command> bridge_commands() {
  static const std::vector<Command> commands = {
      {"bridge", "add", {"BR"}, "add a bridge, its interface BR and the rule 'normal'", {}, false, add},
      {"bridge", "del", {"BR"}, "remove a bridge with its ports and rules", {}, false, del},
      {"bridge", "list", {}, "bridges and what they hold", {}, true, list},
      {"bridge", "show", {"BR"}, "one bridge and its ports", {}, true, show},
      {"bridge",
       "set",
       {"BR"},
       "change a bridge's settings",
       {{"flood-vlans", "LIST", "VLANs in which 'normal' learns nothing and floods all, as 1,5-7; none: none"}},
       false,
       set},
  };
  return commands;
}

}  // namespace shunt::cli
