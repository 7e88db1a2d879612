// SPDX-License-Identifier: Apache-2.0
// shunt table list|set
#include "cli/command.h"

namespace shunt::cli {
namespace {

int list(const Invocation& invocation) {
  return invocation.show("table.list", {{"bridge", invocation.text("BR")}}, [](const Json& answer) {
    std::vector<std::vector<std::string>> rows;
    for (const Json& table : answer.at("tables"))
      rows.push_back({cell(table.at("table")), table.at("name") == "" ? "-" : cell(table.at("name")),
                      cell(table.at("rules")), cell(table.at("max_rules")), cell(table.at("evict")),
                      cell(table.at("miss")), cell(table.at("lookups")), cell(table.at("matches"))});
    show_table({">TABLE", "NAME", ">RULES", ">MAX", "EVICT", "MISS", ">LOOKUPS", ">MATCHES"}, rows);
  });
}

int set(const Invocation& invocation) {
  Json params = {{"bridge", invocation.text("BR")}, {"table", *invocation.number("N")}};
  if (invocation.optional_text("max-rules") == "none")
    params["no_limit"] = true;
  else if (const auto limit = invocation.number("max-rules"))
    params["max_rules"] = *limit;
  if (const auto evict = invocation.on_or_off("evict")) params["evict"] = *evict;
  if (const auto miss = invocation.optional_text("miss")) {
    if (*miss != "drop" && *miss != "controller" && *miss != "continue")
      throw UsageError("--miss {}: must be drop, controller or continue", *miss);
    params["miss"] = *miss;
  }
  if (const auto name = invocation.optional_text("name")) params["name"] = *name;
  if (params.size() == 2) throw UsageError("give --max-rules, --evict, --miss or --name");
  invocation.call("table.set", params);
  return kDone;
}

}  // namespace

std::span<const Command> table_commands() {
  static const std::vector<Command> commands = {
      {"table", "list", {"BR"}, "tables with rules or settings, and what they counted", {}, true, list},
      {"table",
       "set",
       {"BR", "N"},
       "change a table's settings; what is not given stays",
       {{"max-rules", "COUNT", "rules at most; none: no limit (default)"},
        {"evict", "on|off", "full: the least important rule makes room, else a new one is refused (default off)"},
        {"miss", "WHAT", "for packets that no rule matches: drop (default), controller, or continue in the next table"},
        {"name", "S", "a name, shown in lists and traces"}},
       false,
       set},
  };
  return commands;
}

}  // namespace shunt::cli
