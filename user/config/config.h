// SPDX-License-Identifier: Apache-2.0
// A configuration of bridges, as a file says it or as it runs. Lists of rules, groups, meters, tables, static MACs and
// controllers may be missing: a file that does not name them leaves those there are alone. All else that is not named
// is as by default.
//
// Threads: values; any.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "user/control/instance_api.h"
#include "user/l2/fdb.h"
#include "user/l2/vlan.h"
#include "user/pipeline/group.h"
#include "user/pipeline/meter.h"
#include "user/pipeline/rule.h"
#include "user/pipeline/switch.h"

namespace shunt {

// Where in the file a thing is said; line 0: it comes from no file. `text` is what stands there, where that is a rule,
// a group or a meter; its first character is at `column`.
struct ConfigPlace {
  std::size_t line = 0, column = 0;
  std::string path;  // "bridge.br0.rules[3]"
  std::string text;
};

// Things that a list holds, and where each is said; a thing's `line` is its place's number, from 1.
template <typename Thing>
struct ConfigList {
  std::vector<Thing> things{};
  std::vector<ConfigPlace> places{};
};

struct PortSettings {
  VlanConfig vlan;
  PortFlags flags;
  QueueWorkers queue_workers{};
  friend bool operator==(const PortSettings&, const PortSettings&) = default;
};

struct PortConfig {
  PortNo number;
  std::optional<PortMode> mode;  // none: what suits the interface
  std::optional<unsigned> queues;
  bool create_tap = false;
  PortSettings settings;
  ConfigPlace place;
};

struct StaticMac {
  FdbKey key;
  std::string port;
  friend bool operator==(const StaticMac&, const StaticMac&) = default;
};

struct BridgeConfig {
  std::map<std::string, PortConfig> ports;  // but for the bridge's own
  PortSettings own_port;
  VlanSet flood_vlans;
  std::size_t mac_limit = Fdb::kDefaultLimit;
  std::chrono::seconds mac_ageing = Fdb::kDefaultAgeing;
  std::optional<std::uint64_t> datapath_id;
  FailMode fail_mode = FailMode::kStandalone;
  std::optional<std::vector<ControllerSettings>> controllers;  // by target
  std::optional<std::map<std::uint8_t, TableConfig>> tables;
  std::optional<ConfigList<MeterMod>> meters;
  std::optional<ConfigList<GroupMod>> groups;
  std::optional<ConfigList<FlowMod>> rules;
  std::optional<std::vector<StaticMac>> static_macs;
  ConfigPlace place;
};

struct SwitchConfig {
  std::map<std::string, BridgeConfig> bridges;
};

// What runs, all of it.
[[nodiscard]] SwitchConfig running_config(InstanceApi& instance);

// What tells things of a kind apart: a rule's table, priority and match, as bytes.
[[nodiscard]] std::string identity(const FlowMod& rule);
// Of two with one identity: nothing else differs.
[[nodiscard]] bool is_same(const FlowMod& a, const FlowMod& b);

// A group with its buckets' numbers as the switch would choose them.
[[nodiscard]] GroupMod with_bucket_ids(GroupMod group);
// The names that rules and groups of the bridge may use.
[[nodiscard]] std::map<std::string, PortNo> port_names(const std::string& name, const BridgeConfig& bridge);

}  // namespace shunt
