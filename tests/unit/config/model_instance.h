// SPDX-License-Identifier: Apache-2.0
// A switch without a kernel that holds configurations as the real one does: rules, groups, meters and tables are a real
// Switch's. It can be made to refuse a change.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/unit/control/fake_instance.h"

namespace shunt::test {

class ModelInstance : public FakeInstance {
 public:
  int changes = 0;
  int refuse_change = -1;  // this one, from 0, is refused

  void add_bridge(const std::string& name) override {
    change();
    FakeInstance::add_bridge(name);
    switch_.add_bridge(name);
    PortStatus local;
    local.bridge = local.name = name;
    local.number = kPortLocal;
    at(name).ports.push_back(local);
  }
  void del_bridge(const std::string& name) override {
    change();
    FakeInstance::del_bridge(name);
    (void)switch_.del_bridge(name);
    flooded_.erase(name);
    openflow_settings.erase(name);
  }
  PortStatus attach_port(const std::string& bridge, const PortRequest& request) override {
    change();
    for (const auto& [name, other] : bridge_map)
      for (const PortStatus& port : other.ports)
        if (port.name == request.interface || (name == bridge && port.number == request.number))
          throw Error("port '{}' or its number is taken", request.interface);
    return FakeInstance::attach_port(bridge, request);
  }
  void detach_port(const std::string& bridge, const std::string& interface) override {
    change();
    const PortNo number = port_names(bridge).at(interface);
    FakeInstance::detach_port(bridge, interface);
    std::erase_if(at(bridge).macs, [&](const FdbEntry& entry) { return entry.port == number; });
  }
  void set_port(const std::string& bridge, const std::string& interface, const VlanConfig& vlan,
                const PortFlags& flags) override {
    change();
    FakeInstance::set_port(bridge, interface, vlan, flags);
  }
  void place_queues(const std::string& bridge, const std::string& interface, const QueueWorkers& places) override {
    change();
    FakeInstance::place_queues(bridge, interface, places);
  }
  void flow_mod(const std::string& bridge, std::span<const FlowMod> mods) override {
    change();
    (void)switch_.apply(id(bridge), mods, Clock::now());
  }
  void flow_replace(const std::string& bridge, std::span<const FlowMod> rules) override {
    change();
    (void)switch_.replace(id(bridge), rules, Clock::now());
  }
  std::vector<RuleRef> flow_list(const std::string& bridge, const FlowMod& filter) override {
    return switch_.list(id(bridge), filter);
  }
  void group_mod(const std::string& bridge, std::span<const GroupMod> mods) override {
    change();
    (void)switch_.apply_group(id(bridge), mods, Clock::now());
  }
  std::vector<GroupStatus> group_list(const std::string& bridge) override {
    std::vector<GroupStatus> statuses;
    for (const auto& [number, group] : *switch_.find_bridge(bridge)->groups) statuses.push_back({group, 0});
    return statuses;
  }
  void meter_mod(const std::string& bridge, std::span<const MeterMod> mods) override {
    change();
    (void)switch_.apply_meter(id(bridge), mods, Clock::now());
  }
  std::vector<MeterStatus> meter_list(const std::string& bridge) override {
    std::vector<MeterStatus> statuses;
    for (const auto& [number, meter] : *switch_.find_bridge(bridge)->meters) statuses.push_back({meter, {}});
    return statuses;
  }
  void set_table(const std::string& bridge, std::uint8_t table, const TableConfig& config) override {
    change();
    (void)switch_.set_table(id(bridge), table, config);
  }
  std::vector<TableStatus> table_list(const std::string& bridge) override {
    std::vector<TableStatus> statuses;
    for (const auto& [number, config] : *switch_.find_bridge(bridge)->table_configs) {
      TableStatus status;
      status.table = number;
      status.config = config;
      statuses.push_back(status);
    }
    return statuses;
  }
  void set_openflow(const std::string& bridge, const OpenFlowSettings& settings, bool adapts) override {
    change();
    FakeInstance::set_openflow(bridge, settings, adapts);
  }
  void set_flood_vlans(const std::string& bridge, const VlanSet& vlans) override {
    change();
    flooded_[bridge] = vlans;
  }
  VlanSet flood_vlans(const std::string& bridge) const override {
    const auto found = flooded_.find(bridge);
    return found == flooded_.end() ? VlanSet{} : found->second;
  }
  void fdb_add(const std::string& bridge, FdbKey key, const std::string& interface) override {
    change();
    std::erase_if(at(bridge).macs, [&](const FdbEntry& entry) { return entry.key == key; });
    FakeInstance::fdb_add(bridge, key, interface);
    std::ranges::sort(at(bridge).macs, {}, &FdbEntry::key);
  }
  void fdb_del(const std::string& bridge, FdbKey key) override {
    change();
    FakeInstance::fdb_del(bridge, key);
  }
  void fdb_set(const std::string& bridge, std::optional<std::chrono::seconds> ageing,
               std::optional<std::size_t> limit) override {
    change();
    FakeInstance::fdb_set(bridge, ageing, limit);
  }

 private:
  void change() {
    if (changes++ == refuse_change) throw Error("refused on purpose");
  }
  BridgeId id(const std::string& bridge) const { return switch_.find_bridge(bridge)->id; }

  Switch switch_;
  std::map<std::string, VlanSet> flooded_;
};

}  // namespace shunt::test
