// SPDX-License-Identifier: Apache-2.0
// shunt meter add|mod|del|list|stats
#include <iostream>

#include "cli/command.h"
#include "cli/given_text.h"

namespace shunt::cli {
namespace {

int change(const Invocation& invocation, std::string_view method, bool needs_meter) {
  const auto meter = given_text(invocation, "METER");
  if (!meter && needs_meter) throw UsageError("give METER or --file F");
  call_with_text(invocation, method, {{"bridge", invocation.text("BR")}}, meter, "meter", "meters");
  return kDone;
}

int add(const Invocation& invocation) { return change(invocation, "meter.add", true); }
int mod(const Invocation& invocation) { return change(invocation, "meter.mod", true); }
int del(const Invocation& invocation) { return change(invocation, "meter.del", false); }

int show(const Invocation& invocation, std::string_view method) {
  Json params = {{"bridge", invocation.text("BR")}};
  if (const auto id = invocation.number("ID")) params["id"] = *id;
  return invocation.show(method, params, [](const Json& answer) {
    for (const Json& meter : answer.at("meters")) std::cout << cell(meter.at("text")) << '\n';
  });
}

int list(const Invocation& invocation) { return show(invocation, "meter.list"); }
int stats(const Invocation& invocation) { return show(invocation, "meter.stats"); }

}  // namespace

std::span<const Command> meter_commands() {
  static const std::vector<Option> file = {
      {"file", "F", "the meters of a file, one a line; - is standard input; all or nothing"}};
  static const std::vector<Command> commands = {
      {"meter", "add", {"BR", "[METER]"}, "add a meter, as 'meter=1,kbps,bands=type=drop,rate=1000'", file, false, add},
      {"meter", "mod", {"BR", "[METER]"}, "give a meter other bands", file, false, mod},
      {"meter", "del", {"BR", "[METER]"}, "delete a meter and the rules that use it; without: all", file, false, del},
      {"meter", "list", {"BR", "[ID]"}, "meters and their bands", {}, true, list},
      {"meter", "stats", {"BR", "[ID]"}, "what meters and bands counted", {}, true, stats},
  };
  return commands;
}

}  // namespace shunt::cli
