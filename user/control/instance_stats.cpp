// SPDX-License-Identifier: Apache-2.0
// What an instance counts, and its busiest flows.
#include <algorithm>
#include <tuple>

#include "user/base/reasons.h"
#include "user/control/instance_impl.h"

namespace shunt {
namespace {

BridgeStats bridge_stats(const BridgeState& bridge) {
  BridgeStats stats;
  stats.name = bridge.name;
  stats.groups = bridge.groups->size();
  stats.meters = bridge.meters->size();
  for (std::uint8_t number = 0; number < kTableCount; ++number) {
    const std::size_t rules = bridge.tables[number] == nullptr ? 0 : bridge.tables[number]->size();
    stats.rules += rules;
    const auto config = bridge.table_configs->find(number);
    if (config != bridge.table_configs->end() && config->second.max_rules)
      stats.limited_tables.push_back({number, rules, *config->second.max_rules});
  }
  return stats;
}

}  // namespace

std::size_t Instance::rule_count(const std::string& bridge) const { return bridge_stats(impl_->bridge(bridge)).rules; }

CacheStats Instance::Impl::cache_stats() {
  CacheStats s;
  static_cast<RevalidatorStats&>(s) = revalidator.stats();
  for (const WorkerStats& worker : workers.stats()) {
    s.upcalls_handled += worker.upcalls;
    s.upcall_nanoseconds += worker.nanoseconds;
  }
  s.umem_frames = umem.frame_count();
  s.umem_free = umem.census().pool;
  s.program = datapath.program_status();
  s.events_lost = events.lost();
  s.events_waiting = events.waiting();
  s.packet_ins_lost = packet_ins_lost;
  s.requests_capacity = RequestQueue::kCapacity;
  s.events_capacity = EventQueue::kCapacity;
  for (const Reason& reason : kUpcallReasons) s.upcalls[std::string{reason.name}] = 0;
  for (const auto& [dp, port] : ports) {
    const shunt_port_stats stats = datapath.port_stats(dp);
    s.exact_hits += stats.exact_hits;
    s.megaflow_hits += stats.megaflow_hits;
    s.misses += stats.misses;
    s.lookups += stats.lookups;
    for (std::size_t i = 0; i < kUpcallReasons.size(); ++i)
      s.upcalls[std::string{kUpcallReasons[i].name}] += stats.upcalls[i];
  }
  return s;
}

CacheStats Instance::cache_stats() { return impl_->cache_stats(); }

std::vector<WorkerStatus> Instance::worker_list() const {
  constexpr double kSecond = 1e9;
  std::vector<WorkerStatus> all;
  for (const WorkerStats& worker : impl_->workers.stats())
    all.push_back({.core = worker.core, .load = static_cast<double>(worker.load) / kSecond, .queues = {}});
  for (const ServedQueue& queue : impl_->workers.queues()) {
    WorkerStatus::Queue served{.bridge = {},
                               .port = {},
                               .queue = queue.queue,
                               .load = static_cast<double>(queue.place.load) / kSecond,
                               .wanted = queue.place.wanted == queue.place.worker};
    if (const auto port = impl_->ports.find(queue.port); port != impl_->ports.end()) {
      served.bridge = port->second.bridge_name;
      served.port = port->second.config.name;
    }
    all[queue.place.worker].queues.push_back(std::move(served));
  }
  return all;
}

InstanceStats Instance::stats() {
  InstanceStats all;
  for (const std::string& name : bridges()) {
    BridgeStats stats = bridge_stats(impl_->bridge(name));
    const FdbSettings fdb = fdb_settings(name);
    stats.macs = fdb.size;
    stats.mac_limit = fdb.limit;
    stats.fullest_port = fdb.fullest_port;
    all.bridges.push_back(std::move(stats));
  }
  all.cache = impl_->cache_stats();
  for (const auto& [dp, port] : impl_->ports) {
    PortStatus status = impl_->status(port);
    status.cached = all.cache.shares[dp.value];
    all.ports.push_back(std::move(status));
  }
  std::ranges::sort(all.ports, [](const PortStatus& a, const PortStatus& b) {
    return std::tie(a.bridge, a.number) < std::tie(b.bridge, b.number);
  });
  all.stray = stray_stats();
  all.workers = impl_->workers.stats();
  all.captures = impl_->captures.count();
  return all;
}

void Instance::collect_counters() { impl_->revalidator.collect_counters(); }

std::vector<FlowSnapshot> Instance::top_flows(std::size_t count, FlowOrder order) {
  return impl_->revalidator.top(count, order);
}

// The key is a masked one: fields that the flow does not look at are 0, so that no rule can be said to be near.
std::optional<CacheWhy> Instance::flow_why(std::uint64_t id) {
  std::optional<FlowSnapshot> flow = impl_->revalidator.find(id);
  if (!flow) return std::nullopt;
  const auto port = impl_->ports.find(DpPort{flow->key.key.in_port});
  if (port == impl_->ports.end()) return std::nullopt;
  CacheWhy why;
  why.bridge = port->second.bridge_name;
  PortNames names = port_names(why.bridge);
  why.trace = trace_packet(*impl_->sw.state(), flow->key.key, nullptr, names);
  why.trace.near_miss.reset();
  why.flow = std::move(*flow);
  return why;
}

}  // namespace shunt
