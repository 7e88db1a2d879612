// SPDX-License-Identifier: Apache-2.0
#include "user/control/stats_json.h"

#include <charconv>

#include "user/base/reasons.h"
#include "user/control/port_json.h"

namespace shunt {
namespace {

double seconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e9; }

// Those that occurred.
template <std::size_t kCount>
Json reasons_json(const std::array<Reason, kCount>& reasons, const __u64* counts, std::size_t first) {
  Json json = Json::object();
  for (std::size_t i = first; i < kCount; ++i)
    if (counts[i] != 0) json[std::string{reasons[i].name}] = counts[i];
  return json;
}

Json drops_json(const shunt_port_stats& stats) { return reasons_json(kDropReasons, stats.drops, SHUNT_DROP_NONE + 1); }

Json port_figures(const PortStatus& port) {
  Json json = port_json(port);
  json["exact_hits"] = port.stats.exact_hits;
  json["megaflow_hits"] = port.stats.megaflow_hits;
  json["misses"] = port.stats.misses;
  json["lookups"] = port.stats.lookups;
  json["drop_reasons"] = drops_json(port.stats);
  json["upcall_reasons"] = reasons_json(kUpcallReasons, port.stats.upcalls, 0);
  json["flows"] = port.cached.flows;
  json["masks"] = port.cached.masks;
  return json;
}

Json bridge_figures(const BridgeStats& bridge) {
  return {{"name", bridge.name},     {"rules", bridge.rules}, {"groups", bridge.groups},
          {"meters", bridge.meters}, {"macs", bridge.macs},   {"mac_limit", bridge.mac_limit}};
}

// Trailing buckets that hold nothing are left out.
Json latencies_json(const Latencies& latencies) {
  std::size_t used = latencies.counts.size();
  while (used > 0 && latencies.counts[used - 1] == 0) --used;
  Json buckets = Json::array();
  for (std::size_t i = 0; i < used; ++i) buckets.push_back(latencies.counts[i]);
  return {{"count", latencies.count()}, {"sum_s", seconds(latencies.nanoseconds)}, {"buckets", std::move(buckets)}};
}

Json stages_json(const StatsSnapshot& snapshot) {
  Latencies wait, translate, send;
  for (const WorkerStats& worker : snapshot.workers) {
    wait.add(worker.wait);
    translate.add(worker.translate);
    send.add(worker.send);
  }
  return {{"wait", latencies_json(wait)},
          {"translate", latencies_json(translate)},
          {"send", latencies_json(send)},
          {"publish", latencies_json(snapshot.cache.publish)}};
}

Json worker_figures(const WorkerStats& worker) {
  Json json = {{"core", nullptr},
               {"busy_s", seconds(worker.busy_nanoseconds)},
               {"upcalls", worker.upcalls},
               {"translations", worker.translations},
               {"requests", worker.requests},
               {"requests_refused", worker.requests_refused}};
  if (worker.core) json["core"] = *worker.core;
  return json;
}

Json fill_json(const Fill& fill) {
  Json json = {{"resource", fill.resource}, {"bridge", nullptr},
               {"port", nullptr},           {"table", nullptr},
               {"used", fill.used},         {"capacity", fill.capacity},
               {"heaviest", nullptr},       {"nearly_full", fill.nearly_full},
               {"summary", fill.summary()}, {"cost", fill.cost},
               {"remedy", fill.remedy},     {"text", fill.describe()}};
  if (!fill.bridge.empty()) json["bridge"] = fill.bridge;
  if (!fill.port.empty()) json["port"] = fill.port;
  if (fill.table) json["table"] = *fill.table;
  if (!fill.heaviest.empty()) json["heaviest"] = fill.heaviest;
  return json;
}

Json cache_figures(const CacheStats& cache) {
  return {{"flows", cache.flows},
          {"flow_limit", cache.flow_limit},
          {"masks", cache.masks},
          {"groups", cache.groups},
          {"published", cache.published},
          {"evicted", cache.evicted},
          {"expired", cache.expired},
          {"revalidated", cache.revalidated},
          {"exact_fallback", cache.exact_fallback},
          {"umem_frames", cache.umem_frames},
          {"umem_free", cache.umem_free},
          {"events_lost", cache.events_lost}};
}

Json reason_texts() {
  Json json = Json::object();
  for (std::size_t i = SHUNT_DROP_NONE + 1; i < kDropReasons.size(); ++i)
    json[std::string{kDropReasons[i].name}] = kDropReasons[i].help;
  return json;
}

template <typename Items, typename Make>
Json array_of(const Items& items, Make make) {
  Json json = Json::array();
  for (const auto& item : items) json.push_back(make(item));
  return json;
}

}  // namespace

PortPlaces port_places(const InstanceStats& stats) {
  PortPlaces places;
  for (const PortStatus& port : stats.ports) places[port.dp] = {port.bridge, port.name, port.number};
  return places;
}

std::string flow_id_text(std::uint64_t id) { return fmt::format("{:x}", id); }

std::optional<std::uint64_t> parse_flow_id(std::string_view text) {
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return id;
}

Json why_json(const CacheWhy& why, const PortNames& names, const PortPlaces& places) {
  Json json = {{"bridge", why.bridge}, {"cached", flow_json(why.flow, places)}};
  json["trace"] = trace_json(why.trace, names, places);
  return json;
}

Json stats_json(const StatsSnapshot& snapshot, std::span<const FlowSnapshot> flows) {
  const PortPlaces places = port_places(snapshot);
  Json bounds = Json::array();
  for (std::size_t i = 0; i < Latencies::kBounds; ++i) bounds.push_back(Latencies::bound_seconds(i));
  return {{"instance", snapshot.daemon.instance},
          {"version", snapshot.daemon.version},
          {"time_s", snapshot.uptime.count()},
          {"bridges", array_of(snapshot.bridges, bridge_figures)},
          {"ports", array_of(snapshot.ports, port_figures)},
          {"stray_drop_reasons", drops_json(snapshot.stray)},
          {"cache", cache_figures(snapshot.cache)},
          {"workers", array_of(snapshot.workers, worker_figures)},
          {"revalidator",
           {{"busy_s", seconds(snapshot.cache.busy_nanoseconds)},
            {"sweeps", latencies_json(snapshot.cache.sweeps)},
            {"changes", latencies_json(snapshot.cache.changes)}}},
          {"megaflow_writer", {{"busy_s", seconds(snapshot.cache.writer_busy_nanoseconds)}}},
          {"stages", stages_json(snapshot)},
          {"bounds_s", std::move(bounds)},
          {"fills", array_of(snapshot.fills, fill_json)},
          {"flows", array_of(flows, [&](const FlowSnapshot& flow) { return flow_json(flow, places); })},
          {"drop_reason_texts", reason_texts()}};
}

}  // namespace shunt
