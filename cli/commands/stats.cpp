// SPDX-License-Identifier: Apache-2.0
// shunt drops, shunt stats, shunt version
#include <unistd.h>

#include <iostream>
#include <map>

#include "cli/command.h"
#include "cli/pace.h"

namespace shunt::cli {
namespace {

int drops(const Invocation& invocation) {
  Json params = Json::object();
  if (const auto bridge = invocation.optional_text("BR")) params["bridge"] = *bridge;
  if (invocation.is_on("all")) params["all"] = true;
  return invocation.show("drops", params, [](const Json& answer) {
    std::vector<std::vector<std::string>> rows;
    for (const Json& drop : answer.at("drops"))
      rows.push_back({cell(drop.at("bridge")), cell(drop.at("port")), cell(drop.at("packets")), cell(drop.at("reason")),
                      cell(drop.at("help"))});
    show_table({"BRIDGE", "PORT", ">PACKETS", "REASON", "MEANING"}, rows);
  });
}

// Two samples of the counters as a table of rates. A port that is new in the second has none yet.
void show_rates(const Json& before, const Json& after) {
  const double seconds = after.at("time_s").get<double>() - before.at("time_s").get<double>();
  const auto key = [](const Json& port) { return cell(port.at("bridge")) + '/' + cell(port.at("port")); };
  std::map<std::string, const Json*> earlier;
  for (const Json& port : before.at("ports")) earlier[key(port)] = &port;

  std::vector<std::vector<std::string>> rows;
  for (const Json& port : after.at("ports")) {
    const auto found = earlier.find(key(port));
    const Json& base = found == earlier.end() ? port : *found->second;
    const auto grown = [&](const char* name) {
      const auto now = port.at(name).get<std::uint64_t>(), then = base.at(name).get<std::uint64_t>();
      return now >= then ? static_cast<double>(now - then) : 0.0;  // a port attached anew begins at 0
    };
    const auto text = [&](double count) { return seconds > 0 ? rate_text(count / seconds) : std::string{"-"}; };
    const double hits = grown("exact_hits") + grown("megaflow_hits"), asked = hits + grown("misses");
    rows.push_back({cell(port.at("bridge")), cell(port.at("port")), text(grown("rx_packets")),
                    text(grown("rx_bytes") * 8), text(grown("tx_packets")), text(grown("tx_bytes") * 8),
                    text(grown("misses")), text(grown("drops")),
                    asked > 0 ? fmt::format("{:.2f}", 100 * hits / asked) : "-"});
  }
  show_table({"BRIDGE", "PORT", ">RX-PPS", ">RX-BPS", ">TX-PPS", ">TX-BPS", ">MISSES/S", ">DROPS/S", ">HIT-%"}, rows);
}

int stats(const Invocation& invocation) {
  const double interval = invocation.seconds("interval").value_or(1);
  const bool watch = invocation.is_on("watch");
  if (invocation.json() && !watch) {
    show_json(invocation.call("stats"));
    return kDone;
  }
  end_on_signals();
  const bool redraw = watch && ::isatty(STDOUT_FILENO) != 0;
  Json before = invocation.call("stats");
  do {
    pause_for(interval);
    if (is_interrupted()) break;
    Json after = invocation.call("stats");
    if (redraw) std::cout << "\033[H\033[J";
    if (invocation.json())
      std::cout << after.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    else
      show_rates(before, after);
    std::cout.flush();
    before = std::move(after);
  } while (watch && std::cout);
  return kDone;
}

// The client's version is shown also where no daemon answers.
int version(const Invocation& invocation) {
  if (!invocation.json()) std::cout << "shunt " SHUNT_VERSION "\n" << std::flush;
  Json daemon;
  try {
    daemon = invocation.call("version");
  } catch (const std::exception&) {
    if (invocation.json()) show_json({{"client", SHUNT_VERSION}, {"daemon", nullptr}});
    throw;
  }
  if (invocation.json())
    show_json({{"client", SHUNT_VERSION}, {"daemon", daemon}});
  else
    std::cout << fmt::format("shuntd {} (instance {}, pid {}, up {:.0f} s)\n", cell(daemon.at("version")),
                             cell(daemon.at("instance")), cell(daemon.at("pid")), daemon.at("uptime_s").get<double>());
  return kDone;
}

}  // namespace

std::span<const Command> stats_commands() {
  static const std::vector<Command> commands = {
      {"drops",
       "",
       {"[BR]"},
       "packets that ended here, by port and reason",
       {{"all", "", "also the reasons that never came up"}},
       true,
       drops},
      {"stats",
       "",
       {},
       "rates by port, and the cache's hit ratio",
       {{"watch", "", "again and again, until interrupted"},
        {"interval", "SECONDS", "measure over so long, default 1"}},
       true,
       stats},
      {"version", "", {}, "versions of client and daemon", {}, true, version},
  };
  return commands;
}

}  // namespace shunt::cli
