// SPDX-License-Identifier: Apache-2.0
// A switch without a kernel for the tests of commands: keeps bridges, ports, rules and MACs in plain containers,
// refuses what the real one refuses by name, and records what it was asked.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "user/base/error.h"
#include "user/base/of_error.h"
#include "user/control/instance_api.h"
#include "user/control/not_yet.h"
#include "user/state/state_store.h"

namespace shunt::test {

class FakeInstance : public InstanceApi {
 public:
  // Out of line: what the compiler makes of this class it makes in that one file, not in each that includes this.
  FakeInstance();
  ~FakeInstance() override;
  FakeInstance(const FakeInstance&) = delete;
  FakeInstance& operator=(const FakeInstance&) = delete;

  struct Bridge {
    std::vector<PortStatus> ports;
    std::vector<std::shared_ptr<Rule>> rules;
    std::vector<FdbEntry> macs;
    FdbSettings fdb{0, Fdb::kDefaultLimit, Fdb::kDefaultAgeing};
  };

  std::map<std::string, Bridge> bridge_map;
  std::vector<FlowSnapshot> cache;
  CacheStats cache_counters;
  shunt_port_stats stray{};
  PortRequest last_request;
  std::vector<FlowMod> last_mods;
  std::size_t flushes = 0;
  std::optional<OfError> refusal;  // what changes to rules, groups and meters are refused with

  Bridge& at(const std::string& bridge) {
    const auto found = bridge_map.find(bridge);
    if (found == bridge_map.end()) throw Error("no bridge '{}'", bridge);
    return found->second;
  }
  const Bridge& at(const std::string& bridge) const { return const_cast<FakeInstance*>(this)->at(bridge); }

  void add_bridge(const std::string& name) override {
    if (!bridge_map.try_emplace(name).second) throw Error("bridge '{}' exists already", name);
  }
  void del_bridge(const std::string& name) override {
    at(name);
    bridge_map.erase(name);
  }
  BridgeId bridge_id(const std::string& name) const override {
    at(name);
    return BridgeId{static_cast<std::uint32_t>(std::distance(bridge_map.begin(), bridge_map.find(name))) + 1};
  }
  std::vector<std::string> bridges() const override {
    std::vector<std::string> names;
    for (const auto& [name, bridge] : bridge_map) names.push_back(name);
    return names;
  }

  PortStatus attach_port(const std::string& bridge, const PortRequest& request) override {
    last_request = request;
    PortStatus port;
    port.bridge = bridge;
    port.name = request.interface;
    port.number = request.number.value_or(PortNo{static_cast<std::uint32_t>(at(bridge).ports.size() + 1)});
    port.dp = DpPort{port.number.value + 10};
    port.ifindex = Ifindex{port.number.value + 100};
    port.kind = "veth";
    port.mac = "02:00:00:00:00:01";
    port.up = true;
    port.vlan = request.vlan;
    port.flags = request.flags;
    port.mode = request.mode.value_or(PortMode::kNative);
    port.mode_wanted = request.mode;
    port.queues_wanted = request.queues;
    port.queue_workers = request.queue_workers;
    port.makes_tap = request.create_tap;
    at(bridge).ports.push_back(port);
    return port;
  }
  void detach_port(const std::string& bridge, const std::string& interface) override {
    if (std::erase_if(at(bridge).ports, [&](const PortStatus& p) { return p.name == interface; }) == 0)
      throw Error("bridge '{}' has no port '{}'", bridge, interface);
  }
  void set_port(const std::string& bridge, const std::string& interface, const VlanConfig& vlan,
                const PortFlags& flags) override {
    if (refuses_settings) throw Error("no such settings");
    for (PortStatus& port : at(bridge).ports)
      if (port.name == interface) {
        port.vlan = vlan;
        port.flags = flags;
        return;
      }
    throw Error("bridge '{}' has no port '{}'", bridge, interface);
  }
  void place_queues(const std::string& bridge, const std::string& interface, const QueueWorkers& places) override {
    for (PortStatus& port : at(bridge).ports)
      if (port.name == interface) port.queue_workers = places;
  }
  std::vector<WorkerStatus> worker_list() const override { return worker_places; }
  std::vector<WorkerStatus> worker_places;
  bool refuses_settings = false;  // of ports: VLANs and flags
  std::vector<PortStatus> ports(const std::string& bridge) const override { return at(bridge).ports; }
  std::vector<PortStatus> port_settings(const std::string& bridge) const override { return at(bridge).ports; }
  shunt_port_stats stray_stats() const override { return stray; }

  void batch(const std::function<void()>& work) override {
    ++batches;
    work();
  }
  void packet_out(const std::string& bridge, PacketOutSpec&& packet) override {
    at(bridge);
    if (refusal) throw *refusal;
    sent_out.push_back(std::move(packet));
  }
  std::size_t batches = 0;
  std::vector<PacketOutSpec> sent_out;
  void flow_mod(const std::string& bridge, std::span<const FlowMod> mods) override {
    Bridge& target = at(bridge);
    if (refusal) throw *refusal;
    if (not_yet) throw NotYet{};
    last_mods.assign(mods.begin(), mods.end());
    for (const FlowMod& mod : mods) {
      if (mod.command != FlowMod::Command::kAdd) continue;
      auto rule = std::make_shared<Rule>();
      rule->table = mod.table.value_or(0);
      rule->priority = mod.priority;
      rule->cookie = mod.cookie;
      rule->match = mod.match;
      rule->actions = mod.actions;
      rule->idle_timeout = mod.idle_timeout;
      rule->hard_timeout = mod.hard_timeout;
      rule->importance = mod.importance;
      rule->flags = mod.flags;
      rule->created = Clock::now();
      target.rules.push_back(std::move(rule));
    }
  }
  // Changes are put off while it is set, and `work` of several is.
  bool not_yet = false;
  void with_features(std::uint32_t features, const std::function<void()>& work) override {
    announced_features = features;
    if (not_yet) throw NotYet{};
    work();
  }
  std::uint32_t announced_features = 0;
  std::size_t rule_count(const std::string& bridge) const override { return at(bridge).rules.size(); }
  void flow_replace(const std::string& bridge, std::span<const FlowMod> rules) override {
    at(bridge).rules.clear();
    flow_mod(bridge, rules);
  }
  std::vector<RuleRef> flow_list(const std::string& bridge, const FlowMod& filter) override {
    last_mods = {filter};
    return {at(bridge).rules.begin(), at(bridge).rules.end()};
  }
  RuleSource flow_walk(const std::string& bridge, const FlowMod& filter) override {
    return [found = flow_list(bridge, filter)](std::vector<RuleRef>& rules) {
      rules.insert(rules.end(), found.begin(), found.end());
      return false;
    };
  }
  std::map<std::string, PortNo> port_names(const std::string& bridge) const override {
    std::map<std::string, PortNo> names;
    for (const PortStatus& port : at(bridge).ports) names[port.name] = port.number;
    return names;
  }

  void group_mod(const std::string&, std::span<const GroupMod> mods) override {
    if (refusal) throw *refusal;
    if (not_yet) throw NotYet{};
    group_mods.insert(group_mods.end(), mods.begin(), mods.end());
  }
  std::vector<GroupStatus> group_list(const std::string&) override { return groups; }
  void modify(const std::string& bridge, std::span<const Modification> mods) override {
    if (refusal) throw *refusal;
    if (not_yet) throw NotYet{};
    for (const Modification& mod : mods) {
      if (const auto* group = std::get_if<GroupMod>(&mod)) group_mod(bridge, std::span{group, 1});
      if (const auto* rule = std::get_if<FlowMod>(&mod)) flow_mod(bridge, std::span{rule, 1});
    }
  }
  void meter_mod(const std::string&, std::span<const MeterMod> mods) override {
    if (refusal) throw *refusal;
    meter_mods.insert(meter_mods.end(), mods.begin(), mods.end());
  }
  std::vector<MeterStatus> meter_list(const std::string&) override { return meters; }
  void set_table(const std::string&, std::uint8_t table, const TableConfig& config) override {
    table_configs[table] = config;
  }
  void set_misses_to_old(const std::string&, bool on) override { misses_to_old = on; }
  std::vector<TableStatus> table_list(const std::string&) override { return tables; }
  void set_openflow(const std::string& bridge, const OpenFlowSettings& settings, bool) override {
    openflow_settings[bridge] = settings;
  }
  OpenFlowSettings openflow(const std::string& bridge) const override {
    const auto found = openflow_settings.find(bridge);
    return found == openflow_settings.end() ? OpenFlowSettings{} : found->second;
  }
  std::map<std::string, OpenFlowSettings> openflow_settings;
  void set_flood_vlans(const std::string&, const VlanSet& vlans) override { flooded = vlans; }
  VlanSet flood_vlans(const std::string&) const override { return flooded; }
  std::vector<PacketInRecord> packet_ins(const std::string&) override { return std::exchange(waiting, {}); }
  TraceAnswer trace(const std::string& bridge, const TraceRequest& request) override {
    at(bridge);
    last_trace = request;
    return traced;
  }
  std::uint32_t dp_hash(const FlowKey&) const override { return 0x1234; }
  std::optional<CacheWhy> cache_why(const std::string& bridge, const FlowKey& key) override {
    at(bridge);
    last_why = key;
    return why;
  }
  std::vector<GroupMod> group_mods;
  std::vector<GroupStatus> groups;
  std::vector<MeterMod> meter_mods;
  std::vector<MeterStatus> meters;
  bool misses_to_old = false;
  std::map<std::uint8_t, TableConfig> table_configs;
  std::vector<TableStatus> tables;
  VlanSet flooded;
  std::vector<PacketInRecord> waiting;
  TraceRequest last_trace;
  TraceAnswer traced;
  FlowKey last_why{};
  std::optional<CacheWhy> why;

  std::vector<FlowSnapshot> cache_list(std::size_t limit) override {
    return {cache.begin(), cache.begin() + static_cast<std::ptrdiff_t>(std::min(limit, cache.size()))};
  }
  CacheStats cache_stats() override {
    cache_counters.flows = static_cast<std::uint32_t>(cache.size());
    return cache_counters;
  }
  InstanceStats stats() override {
    InstanceStats all;
    for (const auto& [name, bridge] : bridge_map) {
      BridgeStats figures;
      figures.name = name;
      figures.rules = bridge.rules.size();
      figures.macs = bridge.macs.size();
      figures.mac_limit = bridge.fdb.limit;
      all.bridges.push_back(figures);
      all.ports.insert(all.ports.end(), bridge.ports.begin(), bridge.ports.end());
    }
    all.stray = stray;
    all.cache = cache_stats();
    all.workers = workers;
    return all;
  }
  void collect_counters() override { ++readings; }
  std::atomic<int> readings{0}, flows_explained{0};
  std::vector<FlowSnapshot> top_flows(std::size_t count, FlowOrder) override { return cache_list(count); }
  std::optional<CacheWhy> flow_why(std::uint64_t id) override {
    ++flows_explained;
    if (why && why->flow.id == id) return why;
    return std::nullopt;
  }
  std::vector<WorkerStats> workers;

  void cache_flush() override {
    ++flushes;
    cache.clear();
  }

  StartedCapture start_capture(CaptureRequest request) override {
    at(request.bridge);
    StartedCapture started;
    started.id = ++last_capture_id;
    for (const PortStatus& port : at(request.bridge).ports) started.ports.push_back({port.dp, port.name});
    started.kernel_ring = UniqueFd{::dup(0)};
    started.worker_rings = UniqueFd{::dup(0)};
    started.workers = 1;
    last_capture = std::move(request);
    return started;
  }
  std::optional<CaptureTotals> stop_capture(std::uint64_t id) override {
    stopped_captures.push_back(id);
    if (id != last_capture_id) return std::nullopt;
    return CaptureTotals{.captured = 5, .lost_ring = 2, .lost_rate = 1};
  }
  std::vector<CaptureStatus> captures() const override { return {}; }
  std::uint64_t watch(unsigned subjects, Watcher watcher) override {
    watched_subjects = subjects;
    watchers[++last_watcher] = std::move(watcher);
    return last_watcher;
  }
  void unwatch(std::uint64_t number) override { watchers.erase(number); }
  void announce(const SwitchEvent& event) override { announced.push_back(event); }
  std::vector<SwitchEvent> announced;
  std::map<std::uint64_t, Watcher> watchers;
  std::uint64_t last_watcher = 0;
  unsigned watched_subjects = 0;
  CaptureRequest last_capture;
  std::uint64_t last_capture_id = 0;
  std::vector<std::uint64_t> stopped_captures;

  std::vector<FdbEntry> fdb_list(const std::string& bridge) override { return at(bridge).macs; }
  void fdb_add(const std::string& bridge, FdbKey key, const std::string& interface) override {
    const auto names = port_names(bridge);
    const auto port = names.find(interface);
    if (port == names.end()) throw Error("bridge '{}' has no port '{}'", bridge, interface);
    at(bridge).macs.push_back({key, port->second, true, {}});
  }
  void fdb_del(const std::string& bridge, FdbKey key) override {
    if (std::erase_if(at(bridge).macs, [&](const FdbEntry& e) { return e.key == key; }) == 0)
      throw Error("bridge '{}': no such MAC", bridge);
  }
  void fdb_flush(const std::string& bridge, std::optional<std::string> interface) override {
    const auto names = port_names(bridge);
    std::erase_if(at(bridge).macs,
                  [&](const FdbEntry& e) { return !e.is_static && (!interface || names.at(*interface) == e.port); });
  }
  void fdb_set(const std::string& bridge, std::optional<std::chrono::seconds> ageing,
               std::optional<std::size_t> limit) override {
    if (ageing) at(bridge).fdb.ageing = *ageing;
    if (limit) at(bridge).fdb.limit = *limit;
  }
  FdbSettings fdb_settings(const std::string& bridge) override {
    FdbSettings settings = at(bridge).fdb;
    settings.size = at(bridge).macs.size();
    return settings;
  }

  std::vector<std::string> undo_texts;
  void push_undo(const std::string& config) override { undo_texts.push_back(config); }
  std::optional<std::string> last_undo() const override {
    if (undo_texts.empty()) return std::nullopt;
    return undo_texts.back();
  }
  void pop_undo() override { undo_texts.pop_back(); }

  std::size_t times_stored = 0;
  std::optional<std::string> storing_fails;  // why
  void store_changes() override {
    ++times_stored;
    if (storing_fails) throw NotStored("in force, but not stored: {}", *storing_fails);
  }
};

}  // namespace shunt::test
