// SPDX-License-Identifier: Apache-2.0
// shunt fdb list|add|del|flush|set
#include <iostream>

#include "cli/command.h"

namespace shunt::cli {
namespace {

Json entry(const Invocation& invocation) {
  Json params = {{"bridge", invocation.text("BR")}, {"mac", invocation.text("MAC")}};
  if (const auto vlan = invocation.number("vlan")) params["vlan"] = *vlan;
  return params;
}

int list(const Invocation& invocation) {
  return invocation.show("fdb.list", {{"bridge", invocation.text("BR")}}, [](const Json& answer) {
    std::vector<std::vector<std::string>> rows;
    for (const Json& mac : answer.at("macs"))
      rows.push_back({cell(mac.at("vlan")), cell(mac.at("mac")), cell(mac.at("port")), cell(mac.at("ofport")),
                      mac.at("static").get<bool>() ? "static" : cell(mac.at("age_s"))});
    show_table({">VLAN", "MAC", "PORT", ">OFPORT", ">AGE-S"}, rows);
  });
}

int add(const Invocation& invocation) {
  Json params = entry(invocation);
  params["port"] = invocation.text("IFACE");
  invocation.call("fdb.add", params);
  return kDone;
}

int del(const Invocation& invocation) {
  invocation.call("fdb.del", entry(invocation));
  return kDone;
}

int flush(const Invocation& invocation) {
  Json params = {{"bridge", invocation.text("BR")}};
  if (const auto port = invocation.optional_text("port")) params["port"] = *port;
  invocation.call("fdb.flush", params);
  return kDone;
}

int set(const Invocation& invocation) {
  Json params = {{"bridge", invocation.text("BR")}};
  if (const auto ageing = invocation.number("ageing")) params["ageing_s"] = *ageing;
  if (const auto limit = invocation.number("limit")) params["limit"] = *limit;
  if (params.size() == 1) throw UsageError("give --ageing, --limit, or both");
  invocation.call("fdb.set", params);
  return kDone;
}

}  // namespace

std::span<const Command> fdb_commands() {
  static const Option kVlan{"vlan", "V", "its VLAN; default 0: untagged"};
  static const std::vector<Command> commands = {
      {"fdb", "list", {"BR"}, "MACs: where each was last seen", {}, true, list},
      {"fdb", "add", {"BR", "MAC", "IFACE"}, "a static MAC: it neither ages nor moves", {kVlan}, false, add},
      {"fdb", "del", {"BR", "MAC"}, "forget one MAC", {kVlan}, false, del},
      {"fdb",
       "flush",
       {"BR"},
       "forget the learned MACs; static ones stay",
       {{"port", "IFACE", "only those of this port"}},
       false,
       flush},
      {"fdb",
       "set",
       {"BR"},
       "ageing and size of the table",
       {{"ageing", "SECONDS", "forget a MAC that is silent for so long, 1 to 1000000 (new bridge: 300)"},
        {"limit", "N", "MACs at most, 0 to 1000000 (new bridge: 100000)"}},
       false,
       set},
  };
  return commands;
}

}  // namespace shunt::cli
