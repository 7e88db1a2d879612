// SPDX-License-Identifier: Apache-2.0
#include "user/config/config_undo.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "user/base/error.h"
#include "user/config/config_file.h"
#include "user/pipeline/action_walk.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/meter_text.h"

namespace shunt {
namespace {

using Json = nlohmann::ordered_json;
using Table = std::pair<const std::uint8_t, TableConfig>;

// Lists of all kinds, their things, and what tells these apart; rules: config.h.
template <typename Thing>
std::vector<Thing>& things(ConfigList<Thing>& list) {
  return list.things;
}
template <typename Thing>
const std::vector<Thing>& things(const ConfigList<Thing>& list) {
  return list.things;
}
template <typename List>
List& things(List& list) {
  return list;
}
std::string identity(const MeterMod& meter) { return std::to_string(meter.config.id); }
std::string identity(const GroupMod& group) { return std::to_string(group.group); }
std::string identity(const StaticMac& mac) { return fmt::format("{} {}", mac.key.mac.number(), mac.key.vlan.value); }
std::string identity(const ControllerSettings& controller) { return controller.target; }
std::string identity(const Table& table) { return std::to_string(table.first); }

bool is_same(const MeterMod& a, const MeterMod& b) { return format_meter_spec(a) == format_meter_spec(b); }
bool is_same(const GroupMod& a, const GroupMod& b) { return format_group_spec(a) == format_group_spec(b); }
template <typename Thing>
bool is_same(const Thing& a, const Thing& b) {
  return a == b;
}

template <typename List>
void leave_out_equal(std::optional<List>& before, std::optional<List>& after) {
  std::unordered_map<std::string, decltype(&*things(*after).begin())> others;
  for (auto& thing : things(*after)) others[identity(thing)] = &thing;
  std::unordered_set<std::string> equal;
  for (const auto& thing : things(*before)) {
    std::string which = identity(thing);
    const auto other = others.find(which);
    if (other != others.end() && is_same(thing, *other->second)) equal.insert(std::move(which));
  }
  const auto is_equal = [&](const auto& thing) { return equal.contains(identity(thing)); };
  std::erase_if(things(*before), is_equal);
  std::erase_if(things(*after), is_equal);
  if (!things(*before).empty() || !things(*after).empty()) return;
  before.reset();
  after.reset();
}

template <typename List>
void take_back_list(std::optional<List>& running, const std::optional<List>& before, const std::optional<List>& after) {
  if (!before && !after) return running.reset();
  std::unordered_set<std::string> changed;
  for (const auto* list : {&before, &after})
    if (*list)
      for (const auto& thing : things(**list)) changed.insert(identity(thing));
  auto& now = things(*running);
  std::erase_if(now, [&](const auto& thing) { return changed.contains(identity(thing)); });
  if (!before) return;
  for (const auto& thing : things(*before)) now.insert(now.end(), thing);
}

template <typename Visit>
void for_each_list(Visit&& visit) {
  visit(&BridgeConfig::controllers);
  visit(&BridgeConfig::tables);
  visit(&BridgeConfig::meters);
  visit(&BridgeConfig::groups);
  visit(&BridgeConfig::rules);
  visit(&BridgeConfig::static_macs);
}

template <typename Value>
void take_back(Value& now, const Value& before, const Value& after) {
  if (!(before == after)) now = before;
}

void take_back(PortSettings& now, const PortSettings& before, const PortSettings& after) {
  take_back(now.vlan, before.vlan, after.vlan);
  for (bool PortFlags::*flag :
       {&PortFlags::flood, &PortFlags::receive, &PortFlags::forward, &PortFlags::packet_in, &PortFlags::protected_port})
    take_back(now.flags.*flag, before.flags.*flag, after.flags.*flag);
  take_back(now.queue_workers, before.queue_workers, after.queue_workers);
}

void take_back(PortConfig& now, const PortConfig& before, const PortConfig& after) {
  take_back(now.number, before.number, after.number);
  take_back(now.mode, before.mode, after.mode);
  take_back(now.queues, before.queues, after.queues);
  take_back(now.create_tap, before.create_tap, after.create_tap);
  take_back(now.settings, before.settings, after.settings);
}

// One that the load left in place, and that somebody detached since then, stays away.
void take_back_ports(BridgeConfig& now, const BridgeConfig& before, const BridgeConfig& after) {
  for (const auto& [name, port] : before.ports) {
    const auto other = after.ports.find(name);
    const auto there = now.ports.find(name);
    if (other == after.ports.end())
      now.ports[name] = port;
    else if (there != now.ports.end())
      take_back(there->second, port, other->second);
  }
  for (const auto& [name, port] : after.ports)
    if (!before.ports.contains(name)) now.ports.erase(name);
}

// Rules go with the groups and meters that they use, also those that came since then.
void drop_lost_rules(BridgeConfig& now, const BridgeConfig& after) {
  if (!now.rules) return;
  const auto goes = [](const auto& list, const auto& thing) {
    return std::ranges::none_of(list->things, [&](const auto& other) { return identity(other) == identity(thing); });
  };
  const auto drop = [&](const auto& uses) { std::erase_if(now.rules->things, uses); };
  if (after.groups)
    for (const GroupMod& group : after.groups->things)
      if (goes(now.groups, group)) drop([&](const FlowMod& rule) { return names_group(rule.actions, group.group); });
  if (after.meters)
    for (const MeterMod& meter : after.meters->things)
      if (goes(now.meters, meter))
        drop([&](const FlowMod& rule) { return names_meter(rule.actions, meter.config.id); });
}

void take_back(BridgeConfig& now, const BridgeConfig& before, const BridgeConfig& after) {
  take_back_ports(now, before, after);
  take_back(now.own_port, before.own_port, after.own_port);
  take_back(now.flood_vlans, before.flood_vlans, after.flood_vlans);
  take_back(now.mac_limit, before.mac_limit, after.mac_limit);
  take_back(now.mac_ageing, before.mac_ageing, after.mac_ageing);
  take_back(now.datapath_id, before.datapath_id, after.datapath_id);
  take_back(now.fail_mode, before.fail_mode, after.fail_mode);
  for_each_list([&](auto list) { take_back_list(now.*list, before.*list, after.*list); });
  if (now.controllers) std::ranges::sort(*now.controllers, {}, &ControllerSettings::target);
  drop_lost_rules(now, after);
}

}  // namespace

LoadedChange change_between(SwitchConfig before, SwitchConfig after) {
  for (auto at = before.bridges.begin(); at != before.bridges.end();) {
    const auto bridge = at++;
    const auto other = after.bridges.find(bridge->first);
    if (other == after.bridges.end()) continue;
    for_each_list([&](auto list) { leave_out_equal(bridge->second.*list, other->second.*list); });
    if (format_config({{*bridge}}) != format_config({{*other}})) continue;
    before.bridges.erase(bridge);
    after.bridges.erase(other);
  }
  return {std::move(before), std::move(after)};
}

// A bridge that is missing before or after the load counts as one in which there was nothing: one that went, and was
// made anew by command since then, keeps what it has besides what comes back.
SwitchConfig taken_back(SwitchConfig running, const LoadedChange& change) {
  const auto bridge_of = [](const SwitchConfig& config, const std::string& name) {
    const auto found = config.bridges.find(name);
    return found == config.bridges.end() ? BridgeConfig{} : found->second;
  };
  for (auto& [name, bridge] : running.bridges)
    take_back(bridge, bridge_of(change.before, name), bridge_of(change.after, name));
  for (const auto& [name, bridge] : change.before.bridges)
    if (!change.after.bridges.contains(name)) running.bridges.emplace(name, bridge);
  for (const auto& [name, bridge] : change.after.bridges)
    if (!change.before.bridges.contains(name)) running.bridges.erase(name);
  return running;
}

std::string format_change(const LoadedChange& change) {
  const Json json = {{"before", format_config(change.before)}, {"after", format_config(change.after)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

LoadedChange parse_change(std::string_view text) {
  try {
    if (!text.starts_with('{')) return {parse_config(text, {}), {}};  // as it was stored once: what there was before
    const Json json = Json::parse(text);
    return {parse_config(json.at("before").get_ref<const std::string&>(), {}),
            parse_config(json.at("after").get_ref<const std::string&>(), {})};
  } catch (const std::exception& error) {
    throw Error("what the last load changed cannot be read: {}", error.what());
  }
}

}  // namespace shunt
