// SPDX-License-Identifier: Apache-2.0
#include "user/config/config_plan.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <utility>

#include "user/base/error.h"
#include "user/config/rehearsal.h"
#include "user/control/port_vlans.h"
#include "user/control/text.h"
#include "user/pipeline/action_walk.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/meter_text.h"
#include "user/pipeline/rule_text.h"

namespace shunt {
namespace {

constexpr std::string_view kMisses[] = {"drop", "controller", "continue"};  // by TableConfig::Miss

// A thing's settings, each with its name, for what is said of a change.
using Settings = std::vector<std::pair<std::string_view, std::string>>;

std::string on_off(bool flag) { return flag ? "on" : "off"; }
std::string vlans_or(const std::optional<VlanSet>& vlans, const char* none) {
  return vlans ? format_vlans(*vlans) : none;
}

Settings settings_of(const PortSettings& port) {
  const VlanConfig& vlan = port.vlan;
  return {{"vlan-mode", std::string{name_of(vlan.mode)}},
          {"tag", vlan.tag ? std::to_string(vlan.tag->value) : "none"},
          {"trunks", vlans_or(vlan.trunks, "all")},
          {"cvlans", vlans_or(vlan.cvlans, "all")},
          {"qinq-ethtype", vlan.qinq_ethtype == 0x8100 ? "802.1q" : "802.1ad"},
          {"priority-tags", std::string{name_of(vlan.priority_tags)}},
          {"flood", on_off(port.flags.flood)},
          {"receive", on_off(port.flags.receive)},
          {"forward", on_off(port.flags.forward)},
          {"packet-in", on_off(port.flags.packet_in)},
          {"protected", on_off(port.flags.protected_port)},
          {"queue-workers", format_queue_workers(port.queue_workers)}};
}

Settings attachment_of(const PortConfig& port) {
  return {{"ofport", std::to_string(port.number.value)},
          {"mode", std::string{port.mode ? name_of(*port.mode) : "auto"}},
          {"queues", port.queues ? std::to_string(*port.queues) : "all"},
          {"create-tap", on_off(port.create_tap)}};
}

Settings settings_of(const TableConfig& table) {
  return {{"name", table.name.empty() ? "none" : table.name},
          {"max-rules", table.max_rules ? std::to_string(*table.max_rules) : "none"},
          {"evict", on_off(table.evict)},
          {"miss", std::string{kMisses[static_cast<std::size_t>(table.miss)]}}};
}

Settings settings_of(const BridgeConfig& bridge) {
  return {{"flood-vlans", bridge.flood_vlans.any() ? format_vlans(bridge.flood_vlans) : "none"},
          {"mac-limit", std::to_string(bridge.mac_limit)},
          {"mac-ageing", std::to_string(bridge.mac_ageing.count())},
          {"datapath-id", bridge.datapath_id ? format_datapath_id(*bridge.datapath_id) : "none"},
          {"fail-mode", bridge.fail_mode == FailMode::kSecure ? "secure" : "standalone"}};
}

// "tag none -> 10, vlan-mode trunk -> access"; empty: nothing differs.
std::string difference(const Settings& before, const Settings& after) {
  std::string text;
  for (std::size_t i = 0; i < before.size(); ++i)
    if (before[i].second != after[i].second)
      fmt::format_to(std::back_inserter(text), "{}{} {} -> {}", text.empty() ? "" : ", ", before[i].first,
                     before[i].second, after[i].second);
  return text;
}

// What differs from the defaults: "vlan-mode access, tag 10"; empty: nothing.
std::string peculiarities(const Settings& defaults, const Settings& settings) {
  std::string text;
  for (std::size_t i = 0; i < settings.size(); ++i)
    if (settings[i].second != defaults[i].second)
      fmt::format_to(std::back_inserter(text), ", {} {}", settings[i].first, settings[i].second);
  return text;
}

class Planner {
 public:
  Planner(const SwitchConfig& running, const SwitchConfig& wanted) : running_{running}, wanted_{wanted} {}

  // What goes makes room for what comes: an interface may move from one bridge to another.
  ConfigPlan plan() {
    for (const auto& [name, bridge] : running_.bridges)
      if (!wanted_.bridges.contains(name)) remove_bridge(name);
    for (const auto& [name, bridge] : wanted_.bridges) remove_ports(name, bridge);
    for (const auto& [name, bridge] : wanted_.bridges) make_bridge(name, bridge);
    return std::move(plan_);
  }

 private:
  template <typename... Args>
  void say(fmt::format_string<Args...> format, Args&&... args) {
    plan_.lines.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  void step(std::function<void(InstanceApi&)> run) { plan_.steps.push_back({std::move(run), false}); }
  void batched_step(std::function<void(InstanceApi&)> run) { plan_.steps.push_back({std::move(run), true}); }

  [[nodiscard]] const BridgeConfig* running(const std::string& name) const {
    const auto found = running_.bridges.find(name);
    return found == running_.bridges.end() ? nullptr : &found->second;
  }

  void remove_bridge(const std::string& name) {
    say("- bridge {}", name);
    step([name](InstanceApi& instance) { instance.del_bridge(name); });
  }

  static bool must_attach_anew(const PortConfig& before, const PortConfig& after) {
    return !difference(attachment_of(before), attachment_of(after)).empty();
  }

  void remove_ports(const std::string& name, const BridgeConfig& bridge) {
    const BridgeConfig* before = running(name);
    if (before == nullptr) return;
    for (const auto& [port, config] : before->ports) {
      const auto after = bridge.ports.find(port);
      if (after == bridge.ports.end())
        say("- port {} of {}", port, name);
      else if (must_attach_anew(config, after->second))
        say("~ port {} of {}: {} (attached anew)", port, name,
            difference(attachment_of(config), attachment_of(after->second)));
      else
        continue;
      step([name, port](InstanceApi& instance) { instance.detach_port(name, port); });
    }
  }

  void make_bridge(const std::string& name, const BridgeConfig& bridge) {
    const BridgeConfig* before = running(name);
    BridgeConfig fresh;
    if (before == nullptr) {
      say("+ bridge {}", name);
      step([name](InstanceApi& instance) { instance.add_bridge(name); });
      fresh = fresh_bridge();
      before = &fresh;
    }
    make_ports(name, *before, bridge);
    make_settings(name, *before, bridge);
    make_tables(name, *before, bridge);
    make_meters(name, *before, bridge);
    make_groups(name, *before, bridge);
    make_rules(name, *before, bridge);
    remove_groups(name, *before, bridge);
    remove_meters(name, *before, bridge);
    make_static_macs(name, *before, bridge);
    make_openflow(name, *before, bridge);
  }

  static BridgeConfig fresh_bridge() {
    BridgeConfig bridge;
    bridge.tables.emplace();
    bridge.meters.emplace();
    bridge.groups.emplace();
    bridge.static_macs.emplace();
    bridge.controllers.emplace();
    FlowMod normal;
    normal.priority = 0;
    normal.actions = {OutputAction{kPortNormal}};
    bridge.rules.emplace().things = {normal};
    return bridge;
  }

  void set_port(const std::string& bridge, const std::string& port, const PortSettings& before,
                const PortSettings& after) {
    if (before.queue_workers != after.queue_workers)
      step([bridge, port, places = after.queue_workers](InstanceApi& instance) {
        instance.place_queues(bridge, port, places);
      });
    if (before.vlan != after.vlan || before.flags != after.flags)
      batched_step(
          [bridge, port, after](InstanceApi& instance) { instance.set_port(bridge, port, after.vlan, after.flags); });
  }

  void make_ports(const std::string& name, const BridgeConfig& before, const BridgeConfig& after) {
    if (const std::string text = difference(settings_of(before.own_port), settings_of(after.own_port)); !text.empty()) {
      say("~ port {} of {}: {}", name, name, text);
      set_port(name, name, before.own_port, after.own_port);
    }
    for (const auto& [port, config] : after.ports) {
      const auto old = before.ports.find(port);
      if (old != before.ports.end() && !must_attach_anew(old->second, config)) {
        const std::string text = difference(settings_of(old->second.settings), settings_of(config.settings));
        if (text.empty()) continue;
        say("~ port {} of {}: {}", port, name, text);
        set_port(name, port, old->second.settings, config.settings);
        continue;
      }
      if (old == before.ports.end())
        say("+ port {} of {}: ofport {}{}{}", port, name, config.number.value,
            peculiarities(attachment_of(PortConfig{config.number, {}, {}, false, {}, {}}), attachment_of(config)),
            peculiarities(settings_of(PortSettings{}), settings_of(config.settings)));
      PortRequest request;
      request.interface = port;
      request.number = config.number;
      request.vlan = config.settings.vlan;
      request.flags = config.settings.flags;
      request.mode = config.mode;
      request.queues = config.queues;
      request.queue_workers = config.settings.queue_workers;
      request.create_tap = config.create_tap;
      request.may_wait = true;
      step([name, request](InstanceApi& instance) { (void)instance.attach_port(name, request); });
    }
  }

  void make_settings(const std::string& name, const BridgeConfig& before, const BridgeConfig& after) {
    const std::string text = difference(settings_of(before), settings_of(after));
    if (text.empty()) return;
    say("~ bridge {}: {}", name, text);
    if (before.flood_vlans != after.flood_vlans)
      batched_step([name, vlans = after.flood_vlans](InstanceApi& instance) { instance.set_flood_vlans(name, vlans); });
    if (before.mac_limit != after.mac_limit || before.mac_ageing != after.mac_ageing)
      step([name, limit = after.mac_limit, ageing = after.mac_ageing](InstanceApi& instance) {
        instance.fdb_set(name, ageing, limit);
      });
  }

  void make_tables(const std::string& name, const BridgeConfig& before, const BridgeConfig& after) {
    if (!after.tables) return;
    for (std::uint8_t number = 0; number < kTableCount; ++number) {
      const auto config_in = [&](const BridgeConfig& bridge) {
        const auto found = bridge.tables->find(number);
        return found == bridge.tables->end() ? TableConfig{} : found->second;
      };
      const TableConfig old = config_in(before), config = config_in(after);
      if (old == config) continue;
      say("~ table {} of {}: {}", number, name, difference(settings_of(old), settings_of(config)));
      batched_step([name, number, config](InstanceApi& instance) { instance.set_table(name, number, config); });
    }
  }

  void make_meters(const std::string& name, const BridgeConfig& before, const BridgeConfig& after) {
    if (!after.meters) return;
    std::map<std::uint32_t, std::string> old;
    for (const MeterMod& meter : before.meters->things) old[meter.config.id] = format_meter_spec(meter);
    std::vector<MeterMod> mods;
    for (MeterMod meter : after.meters->things) {
      const std::string text = format_meter_spec(meter);
      const auto found = old.find(meter.config.id);
      if (found != old.end() && found->second == text) continue;
      say("{} meter of {}: {}", found == old.end() ? '+' : '~', name, text);
      if (found != old.end()) meter.command = MeterMod::Command::kModify;
      mods.push_back(std::move(meter));
    }
    if (!mods.empty()) batched_step([name, mods](InstanceApi& instance) { instance.meter_mod(name, mods); });
  }

  // Groups refer to each other: new ones are there without buckets before any gets its own.
  void make_groups(const std::string& name, const BridgeConfig& before, const BridgeConfig& after) {
    if (!after.groups) return;
    const PortNames old_names{port_names(name, before)}, names{port_names(name, after)};
    std::map<std::uint32_t, const GroupMod*> old;
    for (const GroupMod& group : before.groups->things) old[group.group] = &group;
    std::vector<GroupMod> made, filled;
    for (GroupMod group : after.groups->things) {
      const auto found = old.find(group.group);
      if (found != old.end() && format_group_spec(*found->second) == format_group_spec(group)) continue;
      say("{} group of {}: {}", found == old.end() ? '+' : '~', name, format_group_spec(group, names));
      if (found == old.end()) made.push_back(without_buckets(group.group, GroupMod::Command::kAdd));
      group.command = GroupMod::Command::kModify;
      filled.push_back(std::move(group));
    }
    made.insert(made.end(), filled.begin(), filled.end());
    if (!made.empty()) batched_step([name, made](InstanceApi& instance) { instance.group_mod(name, made); });
  }

  static GroupMod without_buckets(std::uint32_t id, GroupMod::Command command) {
    GroupMod mod;
    mod.command = command;
    mod.group = id;
    return mod;
  }

  void make_rules(const std::string& name, const BridgeConfig& before, const BridgeConfig& after) {
    if (!after.rules) return;
    const PortNames old_names{port_names(name, before)}, names{port_names(name, after)};
    std::unordered_map<std::string, const FlowMod*> old;
    for (const FlowMod& rule : before.rules->things) old[identity(rule)] = &rule;
    const std::size_t said = plan_.lines.size();
    std::unordered_map<std::string, std::size_t> seen;
    for (std::size_t i = 0; i < after.rules->things.size(); ++i) {
      const FlowMod& rule = after.rules->things[i];
      std::string which = identity(rule);
      const auto found = old.find(which);
      const bool is_new = found == old.end();
      if (is_new || !is_same(*found->second, rule))
        say("{} rule of {}: {}", is_new ? '+' : '~', name, format_flow_spec(rule, names));
      const auto [first, is_first] = seen.emplace(std::move(which), i);
      if (!is_first && i < after.rules->places.size())
        throw LineError(after.rules->places[i].line, after.rules->places[i].column,
                        fmt::format("{}: the same table, priority and match as {}", after.rules->places[i].path,
                                    after.rules->places[first->second].path));
    }
    for (const FlowMod& rule : before.rules->things)
      if (!seen.contains(identity(rule))) say("- rule of {}: {}", name, format_flow_spec(rule, old_names));
    if (plan_.lines.size() == said) return;
    batched_step([name, rules = after.rules->things](InstanceApi& instance) { instance.flow_replace(name, rules); });
  }

  // Rules that use a group or a meter go with it, where the file does not say which rules there are.
  template <typename Uses>
  void say_lost_rules(const std::string& name, const BridgeConfig& before, const BridgeConfig& after, Uses&& uses) {
    if (after.rules) return;
    const PortNames names{port_names(name, before)};
    for (const FlowMod& rule : before.rules->things)
      if (uses(rule)) say("- rule of {}: {}", name, format_flow_spec(rule, names));
  }

  void remove_groups(const std::string& name, const BridgeConfig& before, const BridgeConfig& after) {
    if (!after.groups) return;
    std::vector<GroupMod> mods, deletions;
    for (const GroupMod& group : before.groups->things) {
      const bool stays =
          std::ranges::any_of(after.groups->things, [&](const GroupMod& other) { return other.group == group.group; });
      if (stays) continue;
      say("- group {} of {}", group.group, name);
      say_lost_rules(name, before, after, [&](const FlowMod& rule) { return names_group(rule.actions, group.group); });
      mods.push_back(without_buckets(group.group, GroupMod::Command::kModify));  // some may refer to others
      deletions.push_back(without_buckets(group.group, GroupMod::Command::kDelete));
    }
    mods.insert(mods.end(), deletions.begin(), deletions.end());
    if (!mods.empty()) batched_step([name, mods](InstanceApi& instance) { instance.group_mod(name, mods); });
  }

  void remove_meters(const std::string& name, const BridgeConfig& before, const BridgeConfig& after) {
    if (!after.meters) return;
    std::vector<MeterMod> mods;
    for (const MeterMod& meter : before.meters->things) {
      const bool stays = std::ranges::any_of(after.meters->things,
                                             [&](const MeterMod& other) { return other.config.id == meter.config.id; });
      if (stays) continue;
      say("- meter {} of {}", meter.config.id, name);
      say_lost_rules(name, before, after,
                     [&](const FlowMod& rule) { return names_meter(rule.actions, meter.config.id); });
      MeterMod mod;
      mod.command = MeterMod::Command::kDelete;
      mod.config.id = meter.config.id;
      mods.push_back(std::move(mod));
    }
    if (!mods.empty()) batched_step([name, mods](InstanceApi& instance) { instance.meter_mod(name, mods); });
  }

  // Entries of a port that goes, or is attached anew, go with it.
  void make_static_macs(const std::string& name, const BridgeConfig& before, const BridgeConfig& after) {
    const std::vector<StaticMac>& wanted = after.static_macs ? *after.static_macs : *before.static_macs;
    std::map<FdbKey, std::string> old;
    for (const StaticMac& mac : *before.static_macs) {
      const auto port_after = after.ports.find(mac.port);
      const auto port_before = before.ports.find(mac.port);
      const bool stays = mac.port == name || (port_after != after.ports.end() && port_before != before.ports.end() &&
                                              !must_attach_anew(port_before->second, port_after->second));
      if (stays) old[mac.key] = mac.port;
    }
    for (const StaticMac& mac : wanted) {
      const bool has_port = mac.port == name || after.ports.contains(mac.port);
      if (!has_port) continue;  // left alone by the file, and gone with its port
      const auto found = old.extract(mac.key);
      if (!found.empty() && found.mapped() == mac.port) continue;
      if (after.static_macs)
        say("{} static MAC of {}: {} in VLAN {} at {}", found.empty() ? '+' : '~', name, format_mac(mac.key.mac),
            mac.key.vlan.value, mac.port);
      step([name, mac](InstanceApi& instance) { instance.fdb_add(name, mac.key, mac.port); });
    }
    for (const auto& [key, port] : old) {
      say("- static MAC of {}: {} in VLAN {} at {}", name, format_mac(key.mac), key.vlan.value, port);
      step([name, key = key](InstanceApi& instance) { instance.fdb_del(name, key); });
    }
  }

  // Last, for a controller that is there changes rules. Those that the file lists are as it lists them.
  void make_openflow(const std::string& name, const BridgeConfig& before, const BridgeConfig& after) {
    const auto find = [](const std::vector<ControllerSettings>& list, const std::string& target) {
      const auto found = std::ranges::find(list, target, &ControllerSettings::target);
      return found == list.end() ? nullptr : &*found;
    };
    const auto& wanted = after.controllers ? *after.controllers : *before.controllers;
    for (const ControllerSettings& controller : *before.controllers)
      if (find(wanted, controller.target) == nullptr) say("- controller {} of {}", controller.target, name);
    for (const ControllerSettings& controller : wanted) {
      const ControllerSettings* old = find(*before.controllers, controller.target);
      if (old == nullptr)
        say("+ controller {} of {}", controller.target, name);
      else if (*old != controller)
        say("~ controller {} of {}: auxiliary {} -> {}", controller.target, name, old->auxiliary, controller.auxiliary);
    }
    const OpenFlowSettings old{before.datapath_id, before.fail_mode, *before.controllers};
    const OpenFlowSettings settings{after.datapath_id, after.fail_mode, wanted};
    if (old == settings) return;
    step([name, settings, adapts = !after.rules](InstanceApi& instance) {
      instance.set_openflow(name, settings, adapts);
    });
  }

  const SwitchConfig& running_;
  const SwitchConfig& wanted_;
  ConfigPlan plan_;
};

void carry_out(InstanceApi& instance, const ConfigPlan& plan) {
  for (auto at = plan.steps.begin(); at != plan.steps.end();) {
    if (!at->batched) {
      (at++)->run(instance);
      continue;
    }
    instance.batch([&] {
      for (; at != plan.steps.end() && at->batched; ++at) at->run(instance);
    });
  }
}

}  // namespace

ConfigPlan plan_config(const SwitchConfig& running, const SwitchConfig& wanted) {
  rehearse(running, wanted);
  return Planner{running, wanted}.plan();
}

void apply_config(InstanceApi& instance, const ConfigPlan& plan, const SwitchConfig& running) {
  try {
    carry_out(instance, plan);
  } catch (...) {
    try {
      carry_out(instance, Planner{running_config(instance), running}.plan());
    } catch (const std::exception& error) {
      spdlog::error("a configuration that was refused half-way could not be taken back whole: {}", error.what());
    }
    throw;
  }
}

}  // namespace shunt
