// SPDX-License-Identifier: Apache-2.0
// shunt bridge add|del|list|show|set
#include <iostream>

#include "cli/command.h"
#include "cli/commands/port_text.h"

namespace shunt::cli {
namespace {

const Option kDatapathId{"datapath-id", "HEX16", "what controllers know it by (default: from its interface's address)"};
const Option kFailMode{"fail-mode", "MODE", "standalone: without a controller it is a learning switch; or secure"};

Json with_openflow(const Invocation& invocation, Json params) {
  if (const auto id = invocation.optional_text("datapath-id")) params["datapath_id"] = *id;
  if (const auto mode = invocation.optional_text("fail-mode")) params["fail_mode"] = *mode;
  return params;
}

int add(const Invocation& invocation) {
  invocation.call("bridge.add", with_openflow(invocation, {{"bridge", invocation.text("BR")}}));
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
    if (answer.contains("datapath_id"))
      std::cout << fmt::format("datapath id {}, fail mode {}\n", cell(answer.at("datapath_id")),
                               cell(answer.at("fail_mode")));
    if (const std::string flooded = cell(answer.at("flood_vlans")); !flooded.empty())
      std::cout << fmt::format("flood VLANs: {}\n", flooded);
    show_ports(answer.at("ports"));
  });
}

int set(const Invocation& invocation) {
  Json params = with_openflow(invocation, {{"bridge", invocation.text("BR")}});
  if (const auto vlans = invocation.optional_text("flood-vlans")) params["flood_vlans"] = *vlans;
  if (params.size() == 1) throw UsageError("give --flood-vlans LIST, --datapath-id HEX or --fail-mode MODE");
  invocation.call("bridge.set", params);
  return kDone;
}

}  // namespace

std::span<const Command> bridge_commands() {
  static const std::vector<Command> commands = {
      {"bridge",
       "add",
       {"BR"},
       "add a bridge, its interface BR and the rule 'normal'",
       {kDatapathId, kFailMode},
       false,
       add},
      {"bridge", "del", {"BR"}, "remove a bridge with its ports and rules", {}, false, del},
      {"bridge", "list", {}, "bridges and what they hold", {}, true, list},
      {"bridge", "show", {"BR"}, "one bridge and its ports", {}, true, show},
      {"bridge",
       "set",
       {"BR"},
       "change a bridge's settings",
       {{"flood-vlans", "LIST", "VLANs in which 'normal' learns nothing and floods all, as 1,5-7; none: none"},
        kDatapathId,
        kFailMode},
       false,
       set},
  };
  return commands;
}

}  // namespace shunt::cli
