// SPDX-License-Identifier: Apache-2.0
// The table of metrics. A row's help must hold no backslash and no line end.
#include "user/stats/metrics.h"

#include <fmt/format.h>

#include <ctime>

#include "user/base/reasons.h"

namespace shunt {
namespace {

using Snapshot = StatsSnapshot;
using Writer = MetricWriter;

constexpr auto kCounter = MetricType::kCounter;
constexpr auto kGauge = MetricType::kGauge;
constexpr auto kHistogram = MetricType::kHistogram;

double seconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e9; }

// A figure of each port; of each bridge; of each worker; of the cache.
template <auto kFigure>
void by_port(const Snapshot& snapshot, Writer& writer) {
  for (const PortStatus& port : snapshot.ports)
    writer.sample({{"bridge", port.bridge}, {"port", port.name}}, std::uint64_t{kFigure(port)});
}
template <auto kFigure>
void by_bridge(const Snapshot& snapshot, Writer& writer) {
  for (const BridgeStats& bridge : snapshot.bridges)
    writer.sample({{"bridge", bridge.name}}, std::uint64_t{kFigure(bridge)});
}
template <auto kFigure>
void by_worker(const Snapshot& snapshot, Writer& writer) {
  for (std::size_t i = 0; i < snapshot.workers.size(); ++i)
    writer.sample({{"worker", fmt::format("{}", i)}}, kFigure(snapshot.workers[i]));
}
template <auto kMember>
void of_cache(const Snapshot& snapshot, Writer& writer) {
  writer.sample({}, std::uint64_t{snapshot.cache.*kMember});
}

void port_info(const Snapshot& snapshot, Writer& writer) {
  for (const PortStatus& port : snapshot.ports)
    writer.sample({{"bridge", port.bridge},
                   {"port", port.name},
                   {"kind", port.kind},
                   {"ofport", fmt::format("{}", port.number.value)},
                   {"peer", port.peer ? port.peer->interface : std::string{}},
                   {"peer_place", port.peer ? port.peer->place : std::string{}}},
                  std::uint64_t{1});
}

void hits(const Snapshot& snapshot, Writer& writer) {
  for (const PortStatus& port : snapshot.ports) {
    writer.sample({{"bridge", port.bridge}, {"port", port.name}, {"level", "exact"}},
                  std::uint64_t{port.stats.exact_hits});
    writer.sample({{"bridge", port.bridge}, {"port", port.name}, {"level", "megaflow"}},
                  std::uint64_t{port.stats.megaflow_hits});
  }
}

void upcalls(const Snapshot& snapshot, Writer& writer) {
  for (const PortStatus& port : snapshot.ports)
    for (std::size_t i = 0; i < kUpcallReasons.size(); ++i)
      writer.sample({{"bridge", port.bridge}, {"port", port.name}, {"reason", kUpcallReasons[i].name}},
                    std::uint64_t{port.stats.upcalls[i]});
}

// All reasons of a port, so that a rate has a start; of packets without a port those that occurred.
void drops(const Snapshot& snapshot, Writer& writer) {
  const auto of = [&](std::string_view bridge, std::string_view port, const shunt_port_stats& stats, bool all) {
    for (std::size_t i = SHUNT_DROP_NONE + 1; i < kDropReasons.size(); ++i)
      if (all || stats.drops[i] != 0)
        writer.sample({{"bridge", bridge}, {"port", port}, {"reason", kDropReasons[i].name}},
                      std::uint64_t{stats.drops[i]});
  };
  for (const PortStatus& port : snapshot.ports) of(port.bridge, port.name, port.stats, true);
  of("", "", snapshot.stray, false);
}

void stages(const Snapshot& snapshot, Writer& writer) {
  Latencies wait, translate, send;
  for (const WorkerStats& worker : snapshot.workers) {
    wait.add(worker.wait);
    translate.add(worker.translate);
    send.add(worker.send);
  }
  writer.histogram({{"stage", "wait"}}, wait);
  writer.histogram({{"stage", "translate"}}, translate);
  writer.histogram({{"stage", "send"}}, send);
  writer.histogram({{"stage", "publish"}}, snapshot.cache.publish);
}

template <auto kFigure>
void by_fill(const Snapshot& snapshot, Writer& writer) {
  for (const Fill& fill : snapshot.fills)
    writer.sample({{"resource", fill.resource},
                   {"bridge", fill.bridge},
                   {"port", fill.port},
                   {"table", fill.table ? fmt::format("{}", *fill.table) : std::string{}}},
                  std::uint64_t{kFigure(fill)});
}

// clang-format off
const Metric kMetrics[] = {
    {"shunt_build_info", kGauge, "version, switch", "1; the labels say which version runs, and the name of the switch (--instance).",
     [](const Snapshot& s, Writer& w) { w.sample({{"version", s.daemon.version}, {"switch", s.daemon.instance}}, std::uint64_t{1}); }},
    {"shunt_uptime_seconds", kGauge, "", "Time since the daemon was started.",
     [](const Snapshot& s, Writer& w) { w.sample({}, s.uptime.count()); }},

    {"shunt_port_info", kGauge, "bridge, port, kind, ofport, peer, peer_place", "1; the labels describe the port, and the other end of a veth where it can be reached.", port_info},
    {"shunt_port_up", kGauge, "bridge, port", "1 where the port forwards: its interface is there, up and has a carrier.",
     by_port<[](const PortStatus& p) { return p.up ? 1U : 0U; }>},
    {"shunt_port_receive_packets_total", kCounter, "bridge, port", "Packets that came in by the port.",
     by_port<[](const PortStatus& p) { return p.stats.rx_packets; }>},
    {"shunt_port_receive_bytes_total", kCounter, "bridge, port", "Bytes that came in by the port, without FCS.",
     by_port<[](const PortStatus& p) { return p.stats.rx_bytes; }>},
    {"shunt_port_transmit_packets_total", kCounter, "bridge, port", "Packets that went out by the port.",
     by_port<[](const PortStatus& p) { return p.tx_packets; }>},
    {"shunt_port_transmit_bytes_total", kCounter, "bridge, port", "Bytes that went out by the port, without FCS.",
     by_port<[](const PortStatus& p) { return p.tx_bytes; }>},
    {"shunt_port_drops_total", kCounter, "bridge, port, reason", "Packets that came in by the port and were dropped, by reason (shunt drops explains them). Without bridge and port: they came in where no port is.", drops},

    {"shunt_cache_hits_total", kCounter, "bridge, port, level", "Packets of the port that the flow cache answered: level exact or megaflow.", hits},
    {"shunt_cache_misses_total", kCounter, "bridge, port", "Packets of the port that no cached flow answered.",
     by_port<[](const PortStatus& p) { return p.stats.misses; }>},
    {"shunt_cache_lookups_total", kCounter, "bridge, port", "Megaflow look-ups that the port's packets took, found or not.",
     by_port<[](const PortStatus& p) { return p.stats.lookups; }>},
    {"shunt_upcalls_total", kCounter, "bridge, port, reason", "Packets of the port that were handed to userspace, by reason.", upcalls},
    {"shunt_upcall_stage_seconds", kHistogram, "stage", "Time of upcalls. wait: from the kernel's handing a packet up to a worker's taking it. translate: of one translation. send: from the taking to the sending of its batch, translation included. publish: from the taking until the flow is in the cache.", stages},

    {"shunt_port_flows", kGauge, "bridge, port", "Cached flows of packets that come in by the port.",
     by_port<[](const PortStatus& p) { return p.cached.flows; }>},
    {"shunt_flows", kGauge, "", "Cached flows.", of_cache<&CacheStats::flows>},
    {"shunt_flow_masks", kGauge, "", "Distinct masks of cached flows.", of_cache<&CacheStats::masks>},
    {"shunt_flow_output_groups", kGauge, "", "Sets of output ports that cached flows send to.", of_cache<&CacheStats::groups>},
    {"shunt_flow_index_overflow", kGauge, "", "Cached flows that are found by the hash map only.", of_cache<&CacheStats::indexed_overflow>},
    {"shunt_exact_match_elements", kGauge, "", "Elements of the exact-match cache, of 32 bytes, that are in use: as many as its keys want.", of_cache<&CacheStats::microflow_units>},
    {"shunt_flows_published_total", kCounter, "", "Flows that were put into the cache.", of_cache<&CacheStats::published>},
    {"shunt_flows_evicted_total", kCounter, "", "Flows that made room for others.", of_cache<&CacheStats::evicted>},
    {"shunt_flows_expired_total", kCounter, "", "Flows that went because they were idle.", of_cache<&CacheStats::expired>},
    {"shunt_flows_revalidated_total", kCounter, "", "Translations of cached flows that a change made necessary.", of_cache<&CacheStats::revalidated>},
    {"shunt_flows_exact_fallback_total", kCounter, "", "Flows that were cached under the exact mask, for the port's list of masks was full.", of_cache<&CacheStats::exact_fallback>},
    {"shunt_flows_stale_total", kCounter, "", "Flows that were outdated before they could be put into the cache, and translated again.", of_cache<&CacheStats::rejected_stale>},
    {"shunt_flows_refused_total", kCounter, "", "Flows that found the cache full.", of_cache<&CacheStats::rejected_full>},
    {"shunt_flows_put_off_total", kCounter, "", "Flows that were not put into the cache, for too many of their port waited for that: their next packet asks again.", of_cache<&CacheStats::put_off>},

    {"shunt_worker_busy_seconds_total", kCounter, "worker", "Time that the worker was at work, and not waiting for it.",
     by_worker<[](const WorkerStats& w) { return seconds(w.busy_nanoseconds); }>},
    {"shunt_worker_upcalls_total", kCounter, "worker", "Packets that the worker handled.",
     by_worker<[](const WorkerStats& w) { return w.upcalls; }>},
    {"shunt_worker_upcall_seconds_total", kCounter, "worker", "Time that it spent on them.",
     by_worker<[](const WorkerStats& w) { return seconds(w.nanoseconds); }>},
    {"shunt_worker_translations_total", kCounter, "worker", "Packets that it translated; the others found a recent translation of their like.",
     by_worker<[](const WorkerStats& w) { return w.translations; }>},
    {"shunt_worker_flow_requests_total", kCounter, "worker", "Flows that it asked the revalidator to cache.",
     by_worker<[](const WorkerStats& w) { return w.requests; }>},
    {"shunt_worker_flow_requests_refused_total", kCounter, "worker", "Of these, flows that found its ring full.",
     by_worker<[](const WorkerStats& w) { return w.requests_refused; }>},
    {"shunt_revalidator_busy_seconds_total", kCounter, "", "Time that the revalidator was at work, and not waiting for it.",
     [](const Snapshot& s, Writer& w) { w.sample({}, seconds(s.cache.busy_nanoseconds)); }},
    {"shunt_revalidator_sweep_seconds", kHistogram, "", "Time of the walks over all cached flows, one a second.",
     [](const Snapshot& s, Writer& w) { w.histogram({}, s.cache.sweeps); }},
    {"shunt_revalidator_change_seconds", kHistogram, "", "Time of the walks over the cached flows that a change may have altered.",
     [](const Snapshot& s, Writer& w) { w.histogram({}, s.cache.changes); }},
    {"shunt_megaflow_writer_busy_seconds_total", kCounter, "", "Time that the thread which writes the table of flows behind the revalidator was at work.",
     [](const Snapshot& s, Writer& w) { w.sample({}, seconds(s.cache.writer_busy_nanoseconds)); }},

    {"shunt_bridge_rules", kGauge, "bridge", "Rules of the bridge, in all tables.", by_bridge<[](const BridgeStats& b) { return b.rules; }>},
    {"shunt_bridge_groups", kGauge, "bridge", "Groups of the bridge.", by_bridge<[](const BridgeStats& b) { return b.groups; }>},
    {"shunt_bridge_meters", kGauge, "bridge", "Meters of the bridge.", by_bridge<[](const BridgeStats& b) { return b.meters; }>},
    {"shunt_bridge_macs", kGauge, "bridge", "Entries of the bridge's MAC table.", by_bridge<[](const BridgeStats& b) { return b.macs; }>},

    {"shunt_frames_free", kGauge, "", "Packet buffers that nobody holds.", of_cache<&CacheStats::umem_free>},
    {"shunt_events_lost_total", kCounter, "", "Packet-ins, rules to learn and samples that were more than the daemon could take.", of_cache<&CacheStats::events_lost>},
    {"shunt_packet_ins_lost_total", kCounter, "", "Packet-ins that nobody read in time.", of_cache<&CacheStats::packet_ins_lost>},

    {"shunt_resource_used", kGauge, "resource, bridge, port, table", "How much of a bounded resource is in use.",
     by_fill<[](const Fill& f) { return f.used; }>},
    {"shunt_resource_capacity", kGauge, "resource, bridge, port, table", "How much of it there is.",
     by_fill<[](const Fill& f) { return f.capacity; }>},
    {"shunt_resource_nearly_full", kGauge, "resource, bridge, port, table", "1 from 80 % on, until it has fallen below 70 %: the log names the heaviest port and the remedy.",
     by_fill<[](const Fill& f) { return f.nearly_full ? 1U : 0U; }>},
};
// clang-format on

}  // namespace

std::span<const Metric> metrics() { return kMetrics; }

}  // namespace shunt
