// SPDX-License-Identifier: Apache-2.0
#include "user/config/config.h"

#include <algorithm>
#include <utility>

namespace shunt {
namespace {

GroupMod mod_of(const Group& group) {
  GroupMod mod;
  mod.group = group.id;
  mod.type = group.type;
  mod.selection = group.selection;
  for (const BucketRef& bucket : group.buckets) {
    mod.buckets.push_back(*bucket);
    mod.buckets.back().counters = {};
  }
  return mod;
}

BridgeConfig running_bridge(InstanceApi& instance, const std::string& name) {
  BridgeConfig bridge;
  std::map<PortNo, std::string> names;
  for (const PortStatus& port : instance.ports(name)) {
    names[port.number] = port.name;
    if (port.number == kPortLocal)
      bridge.own_port = {port.vlan, port.flags, port.queue_workers};
    else
      bridge.ports[port.name] = {.number = port.number,
                                 .mode = port.mode_wanted,
                                 .queues = port.queues_wanted,
                                 .create_tap = port.makes_tap,
                                 .settings = {port.vlan, port.flags, port.queue_workers},
                                 .place = {}};
  }
  bridge.flood_vlans = instance.flood_vlans(name);
  const FdbSettings fdb = instance.fdb_settings(name);
  bridge.mac_limit = fdb.limit;
  bridge.mac_ageing = fdb.ageing;
  OpenFlowSettings openflow = instance.openflow(name);
  bridge.datapath_id = openflow.datapath_id;
  bridge.fail_mode = openflow.fail_mode;
  bridge.controllers = std::move(openflow.controllers);
  auto& tables = bridge.tables.emplace();
  for (const TableStatus& table : instance.table_list(name))
    if (table.config != TableConfig{}) tables[table.table] = table.config;
  auto& meters = bridge.meters.emplace().things;
  for (const MeterStatus& meter : instance.meter_list(name)) meters.push_back({.config = meter.meter->config});
  auto& groups = bridge.groups.emplace().things;
  for (const GroupStatus& group : instance.group_list(name)) groups.push_back(mod_of(*group.group));
  auto& rules = bridge.rules.emplace().things;
  FlowMod every;
  every.command = FlowMod::Command::kDelete;
  for (const RuleRef& rule : instance.flow_list(name, every)) {
    rules.push_back(flow_mod_of(*rule));
    if (rule->table == 0) rules.back().table.reset();  // as most people write it
  }
  auto& macs = bridge.static_macs.emplace();
  for (const FdbEntry& entry : instance.fdb_list(name))
    if (entry.is_static && names.contains(entry.port)) macs.push_back({entry.key, names.at(entry.port)});
  return bridge;
}

}  // namespace

SwitchConfig running_config(InstanceApi& instance) {
  SwitchConfig config;
  for (const std::string& name : instance.bridges()) config.bridges[name] = running_bridge(instance, name);
  return config;
}

std::string identity(const FlowMod& rule) {
  std::string bytes;
  const auto add = [&](const void* at, std::size_t size) { bytes.append(static_cast<const char*>(at), size); };
  const std::uint8_t table = rule.table.value_or(0);
  const PipelineWords value = to_words(rule.match.value), mask = to_words(rule.match.mask);
  bytes.reserve(sizeof table + sizeof rule.priority + sizeof value + sizeof mask);
  add(&table, sizeof table);
  add(&rule.priority, sizeof rule.priority);
  add(value.data(), sizeof value);
  add(mask.data(), sizeof mask);
  return bytes;
}

bool is_same(const FlowMod& a, const FlowMod& b) {
  constexpr std::uint16_t kCommandFlags = kCheckOverlap | kResetCounts;  // of the command, not of the rule
  return a.cookie == b.cookie && a.actions == b.actions && a.importance == b.importance &&
         ((a.flags ^ b.flags) & ~kCommandFlags) == 0 && a.idle_timeout == b.idle_timeout &&
         a.hard_timeout == b.hard_timeout;
}

GroupMod with_bucket_ids(GroupMod group) {
  for (std::size_t i = 0; i < group.buckets.size(); ++i) {
    if (group.buckets[i].id != kBucketAll) continue;
    const auto taken = [&](std::uint32_t id) {
      return std::any_of(group.buckets.begin(), group.buckets.begin() + static_cast<std::ptrdiff_t>(i),
                         [&](const Bucket& bucket) { return bucket.id == id; });
    };
    for (group.buckets[i].id = 0; taken(group.buckets[i].id);) ++group.buckets[i].id;
  }
  return group;
}

std::map<std::string, PortNo> port_names(const std::string& name, const BridgeConfig& bridge) {
  std::map<std::string, PortNo> names{{name, kPortLocal}};
  for (const auto& [port, config] : bridge.ports) names[port] = config.number;
  return names;
}

}  // namespace shunt
