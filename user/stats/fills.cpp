// SPDX-License-Identifier: Apache-2.0
#include "user/stats/fills.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>

#include "maps/capture.h"
#include "maps/types.h"

namespace shunt {
namespace {

constexpr double kWarnFrom = 0.8, kQuietBelow = 0.7;

constexpr FillKind kKinds[] = {
    {"flows", "cached flows, of --flow-limit"},
    {"masks", "distinct megaflow masks"},
    {"port-masks", "masks in a port's list; what finds it full is cached under the exact mask"},
    {"output-groups", "sets of output ports that flows send to"},
    {"frames", "packet buffers in use, of --umem-frames"},
    {"requests", "flows that wait to be published"},
    {"events", "packet-ins, rules to learn and samples that wait, in the fullest ring"},
    {"ports", "datapath ports"},
    {"upcall-budget", "misses a second that a port sent up, of --upcall-rate"},
    {"macs", "a bridge's MAC table"},
    {"rules", "rules of a table that has a limit"},
    {"meters", "meters, of all bridges"},
    {"captures", "packet captures that run"},
};

std::string label(const PortStatus& port) { return fmt::format("{}/{}", port.bridge, port.name); }

// The port of which `figure` is the greatest; nothing where all are 0.
template <typename Figure>
std::string heaviest(const InstanceStats& stats, Figure figure) {
  const PortStatus* found = nullptr;
  for (const PortStatus& port : stats.ports)
    if (figure(port) > 0 && (found == nullptr || figure(port) > figure(*found))) found = &port;
  return found == nullptr ? std::string{} : label(*found);
}

std::uint64_t upcalls_of(const PortStatus& port) {
  return std::accumulate(std::begin(port.stats.upcalls), std::end(port.stats.upcalls), std::uint64_t{0});
}

std::string holder_of(const InstanceStats& stats, const BridgeStats& bridge) {
  for (const PortStatus& port : stats.ports)
    if (port.bridge == bridge.name && bridge.fullest_port == port.number) return label(port);
  return {};
}

}  // namespace

std::span<const FillKind> fill_kinds() { return kKinds; }

std::string Fill::whose() const {
  std::string text = resource;
  if (table) text += fmt::format(" of table {}", *table);
  if (!port.empty()) return text + fmt::format(" of port {}/{}", bridge, port);
  if (!bridge.empty()) text += fmt::format(" of bridge {}", bridge);
  return text;
}

std::string Fill::summary() const {
  std::string text = fmt::format("{}: {} of {} ({:.0f} %)", whose(), used, capacity, 100 * ratio());
  if (!heaviest.empty() && port.empty()) text += fmt::format(", most of it port {}", heaviest);
  return text;
}

std::string Fill::describe() const { return fmt::format("{}; {}: {}", summary(), cost, remedy); }

std::string FillWatch::busiest(const InstanceStats& stats) const {
  return heaviest(stats, [this](const PortStatus& port) {
    const auto rate = rates_.find({port.bridge, port.name});
    return rate == rates_.end() ? 0 : rate->second;
  });
}

std::vector<Fill> FillWatch::fills(const InstanceStats& stats) const {
  const CacheStats& cache = stats.cache;
  const auto flows = [](const PortStatus& port) { return port.cached.flows; };
  const auto masks = [](const PortStatus& port) { return port.cached.masks; };
  std::vector<Fill> all = {
      {.resource = "flows",
       .used = cache.flows,
       .capacity = cache.flow_limit,
       .heaviest = heaviest(stats, flows),
       .cost = "the least used flows are evicted",
       .remedy = "raise --flow-limit, or let rules match fewer fields"},
      {.resource = "masks",
       .used = cache.masks,
       .capacity = SHUNT_MAX_MASKS,
       .heaviest = heaviest(stats, masks),
       .cost = "further flows are cached exactly",
       .remedy = "use fewer combinations of matched fields"},
      {.resource = "output-groups",
       .used = cache.groups,
       .capacity = SHUNT_MAX_GROUPS,
       .cost = "further floods run in userspace",
       .remedy = "use fewer VLANs or sets of ports"},
      {.resource = "frames",
       .used = cache.umem_frames - cache.umem_free,
       .capacity = cache.umem_frames,
       .heaviest = busiest(stats),
       .cost = "packets are dropped (no-frames) when none is free",
       .remedy = "raise --umem-frames"},
      {.resource = "requests",
       .used = cache.requests_waiting,
       .capacity = cache.requests_capacity,
       .heaviest = busiest(stats),
       .cost = "flows are cached later",
       .remedy = "lower --upcall-rate, or let rules match fewer fields"},
      {.resource = "events",
       .used = cache.events_waiting,
       .capacity = cache.events_capacity,
       .heaviest = busiest(stats),
       .cost = "packet-ins are lost when it is full",
       .remedy = "send less to the controller (a meter does)"},
      {.resource = "ports",
       .used = stats.ports.size(),
       .capacity = SHUNT_MAX_PORTS - 1,
       .cost = "no further port can be attached",
       .remedy = "detach ports, or start another instance"},
      {.resource = "captures",
       .used = stats.captures,
       .capacity = SHUNT_MAX_CAPTURES,
       .cost = "no further capture can be started",
       .remedy = "end some: shunt captures shows them"},
  };
  std::size_t meters = 0;
  for (const BridgeStats& bridge : stats.bridges) {
    meters += bridge.meters;
    all.push_back({.resource = "macs",
                   .bridge = bridge.name,
                   .used = bridge.macs,
                   .capacity = bridge.mac_limit,
                   .heaviest = holder_of(stats, bridge),
                   .cost = "the fullest port's oldest go",
                   .remedy = fmt::format("shunt fdb set {} --limit N", bridge.name)});
    for (const LimitedTable& table : bridge.limited_tables)
      all.push_back({.resource = "rules",
                     .bridge = bridge.name,
                     .table = table.table,
                     .used = table.rules,
                     .capacity = table.max_rules,
                     .cost = "further rules are refused, or evict others",
                     .remedy = fmt::format("shunt table set {} {} --max-rules COUNT|none", bridge.name, table.table)});
  }
  all.push_back({.resource = "meters",
                 .used = meters,
                 .capacity = SHUNT_MAX_METERS - 1,
                 .cost = "further meters are refused",
                 .remedy = "delete meters"});
  for (const PortStatus& port : stats.ports) {
    all.push_back({.resource = "port-masks",
                   .bridge = port.bridge,
                   .port = port.name,
                   .used = port.cached.masks,
                   .capacity = SHUNT_PORT_MASKS,
                   .heaviest = label(port),
                   .cost = "further flows of the port are cached exactly",
                   .remedy = "use fewer combinations of matched fields"});
    const auto rate = rates_.find({port.bridge, port.name});
    all.push_back({.resource = "upcall-budget",
                   .bridge = port.bridge,
                   .port = port.name,
                   .used = rate == rates_.end() ? 0 : rate->second,
                   .capacity = port.upcall_rate,
                   .heaviest = label(port),
                   .cost = "further misses are dropped (upcall-budget)",
                   .remedy = "see what it sends, or raise --upcall-rate"});
  }
  for (Fill& fill : all) fill.nearly_full = nearly_full_.contains(name_of(fill));
  return all;
}

void FillWatch::watch(const InstanceStats& stats, TimePoint now, const std::function<void(const Fill&)>& tell) {
  measure_misses(stats, now);
  std::set<Name> nearly;
  for (Fill& fill : fills(stats)) {
    const bool was = fill.nearly_full;
    fill.nearly_full = fill.capacity > 0 && fill.ratio() >= (was ? kQuietBelow : kWarnFrom);
    if (fill.nearly_full) nearly.insert(name_of(fill));
    if (fill.nearly_full != was) tell(fill);
  }
  nearly_full_ = std::move(nearly);  // what is gone is forgotten with it
}

void FillWatch::measure_misses(const InstanceStats& stats, TimePoint now) {
  const double seconds = std::chrono::duration<double>(now - measured_).count();
  decltype(upcalls_) counts;
  rates_.clear();
  for (const PortStatus& port : stats.ports) {
    const std::uint64_t count = upcalls_of(port);
    counts[{port.bridge, port.name}] = count;
    const auto before = upcalls_.find({port.bridge, port.name});
    if (before == upcalls_.end() || count < before->second || seconds <= 0) continue;
    rates_[{port.bridge, port.name}] =
        static_cast<std::uint64_t>(static_cast<double>(count - before->second) / seconds);
  }
  upcalls_ = std::move(counts);
  measured_ = now;
}

}  // namespace shunt
