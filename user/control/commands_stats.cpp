// SPDX-License-Identifier: Apache-2.0
// drops, stats, version
#include <chrono>

#include "user/base/reasons.h"
#include "user/control/commands.h"
#include "user/control/port_json.h"

namespace shunt {
namespace {

double uptime(const DaemonInfo& daemon) { return std::chrono::duration<double>(Clock::now() - daemon.started).count(); }

// `bridge` and `port` are null where the packets came in by no port.
void add_drops(Json& rows, const Json& bridge, const Json& port, const shunt_port_stats& stats, bool all) {
  for (int reason = SHUNT_DROP_NONE + 1; reason < SHUNT_DROP_COUNT; ++reason)
    if (all || stats.drops[reason] != 0)
      rows.push_back({{"bridge", bridge},
                      {"port", port},
                      {"reason", kDropReasons[static_cast<std::size_t>(reason)].name},
                      {"packets", stats.drops[reason]},
                      {"help", kDropReasons[static_cast<std::size_t>(reason)].help}});
}

Json drops(const CommandContext& context, const Arguments& arguments) {
  const bool all = arguments.flag("all");
  const auto one = arguments.optional_text("bridge");
  if (one) (void)context.instance.port_names(*one);  // throws where there is no such bridge
  const StatsSnapshot snapshot = context.figures.take();
  Json rows = Json::array();
  for (const PortStatus& port : snapshot.ports)
    if (!one || port.bridge == *one) add_drops(rows, port.bridge, port.name, port.stats, all);
  if (!one) add_drops(rows, nullptr, nullptr, snapshot.stray, all);
  return {{"drops", std::move(rows)}};
}

// Counters and the time they were read at: who wants rates asks twice.
Json stats(const CommandContext& context, const Arguments&) {
  const StatsSnapshot snapshot = context.figures.take();
  Json ports = Json::array();
  for (const PortStatus& port : snapshot.ports)
    ports.push_back({{"bridge", port.bridge},
                     {"port", port.name},
                     {"rx_packets", port.stats.rx_packets},
                     {"rx_bytes", port.stats.rx_bytes},
                     {"tx_packets", port.tx_packets},
                     {"tx_bytes", port.tx_bytes},
                     {"exact_hits", port.stats.exact_hits},
                     {"megaflow_hits", port.stats.megaflow_hits},
                     {"misses", port.stats.misses},
                     {"lookups", port.stats.lookups},
                     {"drops", total_drops(port.stats)}});
  return {{"time_s", snapshot.uptime.count()}, {"ports", std::move(ports)}};
}

Json version(const CommandContext& context, const Arguments&) {
  return {{"version", context.daemon.version},
          {"instance", context.daemon.instance},
          {"pid", context.daemon.pid},
          {"uptime_s", uptime(context.daemon)}};
}

}  // namespace

std::span<const Method> stats_methods() {
  static const std::vector<Method> methods = {
      {"drops", {{.name = "bridge", .type = ParamType::kInterface}, {.name = "all", .type = ParamType::kFlag}}, drops},
      {"stats", {}, stats},
      {"version", {}, version},
  };
  return methods;
}

}  // namespace shunt
