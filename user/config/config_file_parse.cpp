// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "user/base/of_error.h"
#include "user/config/config_file.h"
#include "user/config/toml_reader.h"
#include "user/control/controller_target.h"
#include "user/control/port_vlans.h"
#include "user/control/text.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/meter_text.h"

namespace shunt {
namespace {

constexpr std::int64_t kMaxOfport = 65'279;

std::optional<VlanSet> read_vlans(const TomlReader& reader, std::string_view key) {
  const auto text = reader.text(key);
  if (!text) return std::nullopt;
  try {
    return parse_vlans(*text);
  } catch (const Error& error) {
    reader.fail(key, "{}", error.what());
  }
}

PortSettings read_settings(const TomlReader& reader) {
  VlanChange change;
  if (const auto mode =
          reader.choice("vlan-mode", {"trunk", "access", "native-tagged", "native-untagged", "dot1q-tunnel"}))
    change.mode = static_cast<VlanMode>(*mode);
  if (const auto tag = reader.integer("tag", 0, 4094)) change.tag = VlanId{static_cast<std::uint16_t>(*tag)};
  change.trunks = read_vlans(reader, "trunks");
  change.cvlans = read_vlans(reader, "cvlans");
  if (const auto type = reader.choice("qinq-ethtype", {"802.1ad", "802.1q"}))
    change.qinq_ethtype = *type == 0 ? 0x88a8 : 0x8100;
  if (const auto tags = reader.choice("priority-tags", {"no", "if-nonzero", "always"}))
    change.priority_tags = static_cast<PriorityTags>(*tags);
  PortSettings settings;
  try {
    settings.vlan = change_vlans({}, change);
  } catch (const Error& error) {
    TomlReader::refuse(reader.place(), error.what());
  }
  PortFlags& flags = settings.flags;
  flags.flood = reader.flag("flood").value_or(flags.flood);
  flags.receive = reader.flag("receive").value_or(flags.receive);
  flags.forward = reader.flag("forward").value_or(flags.forward);
  flags.packet_in = reader.flag("packet-in").value_or(flags.packet_in);
  flags.protected_port = reader.flag("protected").value_or(flags.protected_port);
  if (const auto places = reader.text("queue-workers")) {
    try {
      settings.queue_workers = parse_queue_workers(*places);
    } catch (const Error& error) {
      reader.fail("queue-workers", "{}", error.what());
    }
  }
  return settings;
}

// An interface's name as a key.
void check_name(const TomlReader& parent, std::string_view name) {
  try {
    check_interface_name(name);
  } catch (const Error& error) {
    parent.fail(name, "{}", error.what());
  }
}

PortConfig read_port(const TomlReader& reader) {
  reader.only({"ofport", "mode", "queues", "create-tap", "vlan-mode", "tag", "trunks", "cvlans", "qinq-ethtype",
               "priority-tags", "flood", "receive", "forward", "packet-in", "protected", "queue-workers"});
  PortConfig port;
  port.place = reader.place();
  port.number = PortNo{static_cast<std::uint32_t>(reader.integer("ofport", 1, kMaxOfport).value_or(0))};
  if (const auto mode = reader.choice("mode", {"native", "generic", "tcx"})) port.mode = static_cast<PortMode>(*mode);
  if (const auto queues = reader.integer("queues", 1, SHUNT_MAX_QUEUES)) port.queues = static_cast<unsigned>(*queues);
  port.create_tap = reader.flag("create-tap").value_or(false);
  port.settings = read_settings(reader);
  return port;
}

void read_ports(const TomlReader& ports, const std::string& bridge_name, BridgeConfig& bridge,
                const toml::table& table) {
  for (const auto& [key, value] : table) {
    const std::string name{key.str()};
    check_name(ports, name);
    const TomlReader reader{*ports.table(name), ports.path_of(name)};
    if (name == bridge_name) {
      reader.only({"vlan-mode", "tag", "trunks", "cvlans", "qinq-ethtype", "priority-tags", "flood", "receive",
                   "forward", "packet-in", "protected", "queue-workers"});
      bridge.own_port = read_settings(reader);
    } else {
      bridge.ports[name] = read_port(reader);
    }
  }
}

// Numbers that the file leaves open: as they are now, else the lowest that is free.
void choose_numbers(BridgeConfig& bridge, const BridgeConfig* running) {
  std::map<PortNo, std::string> taken;
  for (const auto& [name, port] : bridge.ports) {
    if (port.number.value == 0) continue;
    const auto [holder, is_free] = taken.emplace(port.number, name);
    if (!is_free)
      TomlReader::refuse(port.place, fmt::format("ofport {} is that of port '{}'", port.number.value, holder->second));
  }
  for (auto& [name, port] : bridge.ports) {
    if (port.number.value != 0 || running == nullptr) continue;
    const auto now = running->ports.find(name);
    if (now != running->ports.end() && taken.emplace(now->second.number, name).second) port.number = now->second.number;
  }
  PortNo next{1};
  for (auto& [name, port] : bridge.ports) {
    if (port.number.value != 0) continue;
    while (taken.contains(next)) ++next.value;
    port.number = next;
    taken.emplace(next, name);
  }
}

std::map<std::uint8_t, TableConfig> read_tables(const TomlReader& tables, const toml::table& table) {
  std::map<std::uint8_t, TableConfig> configs;
  for (const auto& [key, value] : table) {
    const std::string name{key.str()};
    unsigned number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error != std::errc{} || end != name.data() + name.size() || number >= kTableCount)
      tables.fail(name, "tables are 0 to {}", kTableCount - 1);
    const TomlReader reader{*tables.table(name), tables.path_of(name)};
    reader.only({"name", "max-rules", "evict", "miss"});
    TableConfig config;
    config.name = reader.text("name").value_or("");
    if (config.name.size() > 31) reader.fail("name", "is too long: at most 31 bytes");
    if (const auto limit = reader.integer("max-rules", 0, 0xffffffff))
      config.max_rules = static_cast<std::uint32_t>(*limit);
    config.evict = reader.flag("evict").value_or(false);
    if (const auto miss = reader.choice("miss", {"drop", "controller", "continue"}))
      config.miss = static_cast<TableConfig::Miss>(*miss);
    if (config != TableConfig{}) configs[static_cast<std::uint8_t>(number)] = config;
  }
  return configs;
}

std::vector<StaticMac> read_static_macs(const TomlReader& bridge, const toml::array& list,
                                        const std::map<std::string, PortNo>& names) {
  std::vector<StaticMac> macs;
  std::set<FdbKey> keys;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string path = fmt::format("{}[{}]", bridge.path_of("static-macs"), i);
    const toml::table* table = list.get(i)->as_table();
    if (table == nullptr) bridge.fail("static-macs", "each is a table: {{ mac = \"…\", port = \"…\", vlan = 0 }}");
    const TomlReader reader{*table, path};
    reader.only({"mac", "port", "vlan"});
    StaticMac mac;
    mac.key.vlan = VlanId{static_cast<std::uint16_t>(reader.integer("vlan", 0, 4095).value_or(0))};
    mac.port = reader.text("port").value_or("");
    try {
      mac.key.mac = parse_mac(reader.text("mac").value_or(""));
    } catch (const LineError&) {
      throw;
    } catch (const Error& error) {
      reader.fail("mac", "{}", error.what());
    }
    if (!names.contains(mac.port)) reader.fail("port", "the bridge has no port '{}'", mac.port);
    if (!keys.insert(mac.key).second) reader.fail("mac", "is there twice, in VLAN {}", mac.key.vlan.value);
    macs.push_back(std::move(mac));
  }
  return macs;
}

std::vector<ControllerSettings> read_controllers(const TomlReader& bridge, const toml::array& list) {
  std::vector<ControllerSettings> controllers;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const toml::table* table = list.get(i)->as_table();
    if (table == nullptr) bridge.fail("controllers", "each is a table: {{ target = \"tcp:ADDRESS\" }}");
    const TomlReader reader{*table, fmt::format("{}[{}]", bridge.path_of("controllers"), i)};
    reader.only({"target", "auxiliary"});
    ControllerSettings controller;
    controller.target = reader.text("target").value_or("");
    if (const auto count = reader.integer("auxiliary", 0, ControllerSettings::kMaxAuxiliary))
      controller.auxiliary = static_cast<unsigned>(*count);
    try {
      check_controller(controller);
    } catch (const Error& error) {
      reader.fail("target", "{}", error.what());
    }
    if (std::ranges::find(controllers, controller.target, &ControllerSettings::target) != controllers.end())
      reader.fail("target", "is there twice");
    controllers.push_back(std::move(controller));
  }
  std::ranges::sort(controllers, {}, &ControllerSettings::target);
  return controllers;
}

// Rules, groups, meters: whatever is wrong in a text is told by its place in the file.
template <typename Thing, typename Parse>
std::optional<ConfigList<Thing>> read_list(const TomlReader& bridge, std::string_view key, Parse&& parse) {
  auto texts = bridge.texts(key);
  if (!texts) return std::nullopt;
  ConfigList<Thing> list;
  for (ConfigPlace& place : *texts) {
    try {
      list.things.push_back(parse(place.text));
    } catch (const TextError& error) {
      const ConfigPlace at{place.line, place.column + error.column() - 1, place.path, {}};
      TomlReader::refuse(at, error.reason(), error.code());
    }
    list.things.back().line = list.things.size();
    list.places.push_back(std::move(place));
  }
  return list;
}

BridgeConfig read_bridge(const TomlReader& reader, const std::string& name, const BridgeConfig* running) {
  reader.only({"port", "table", "flood-vlans", "mac-limit", "mac-ageing", "datapath-id", "fail-mode", "controllers",
               "meters", "groups", "rules", "static-macs"});
  BridgeConfig bridge;
  bridge.place = reader.place();
  if (const toml::table* table = reader.table("port"))
    read_ports(TomlReader{*table, reader.path_of("port")}, name, bridge, *table);
  choose_numbers(bridge, running);
  if (const toml::table* table = reader.table("table"))
    bridge.tables = read_tables({*table, reader.path_of("table")}, *table);
  if (const auto flooded = reader.text("flood-vlans"); flooded && *flooded != "none")
    bridge.flood_vlans = *read_vlans(reader, "flood-vlans");
  if (const auto limit = reader.integer("mac-limit", 0, 1'000'000)) bridge.mac_limit = static_cast<std::size_t>(*limit);
  if (const auto ageing = reader.integer("mac-ageing", 1, 1'000'000)) bridge.mac_ageing = std::chrono::seconds{*ageing};
  if (const auto id = reader.text("datapath-id")) {
    try {
      bridge.datapath_id = parse_datapath_id(*id);
    } catch (const Error& error) {
      reader.fail("datapath-id", "{}", error.what());
    }
  }
  if (const auto mode = reader.choice("fail-mode", {"standalone", "secure"}))
    bridge.fail_mode = static_cast<FailMode>(*mode);
  if (const toml::array* controllers = reader.array("controllers"))
    bridge.controllers = read_controllers(reader, *controllers);
  const std::map<std::string, PortNo> names = port_names(name, bridge);
  const PortNames port_text{names};
  bridge.meters = read_list<MeterMod>(
      reader, "meters", [](const std::string& text) { return parse_meter(text, MeterMod::Command::kAdd); });
  bridge.groups = read_list<GroupMod>(reader, "groups", [&](const std::string& text) {
    return with_bucket_ids(parse_group(text, GroupMod::Command::kAdd, port_text));
  });
  bridge.rules = read_list<FlowMod>(
      reader, "rules", [&](const std::string& text) { return parse_flow(text, FlowMod::Command::kAdd, port_text); });
  if (const toml::array* macs = reader.array("static-macs"))
    bridge.static_macs = read_static_macs(reader, *macs, names);
  return bridge;
}

// An interface is the port of one bridge; a bridge's own interface is nobody else's port.
void refuse_shared_ports(const SwitchConfig& config) {
  std::map<std::string, std::string> owner;
  for (const auto& [name, bridge] : config.bridges) owner[name] = name;
  for (const auto& [name, bridge] : config.bridges)
    for (const auto& [port, settings] : bridge.ports)
      if (const auto [other, is_new] = owner.emplace(port, name); !is_new)
        TomlReader::refuse(settings.place,
                           other->first == other->second
                               ? fmt::format("'{}' is a bridge's own interface", port)
                               : fmt::format("'{}' is a port of bridge '{}' already", port, other->second));
}

}  // namespace

SwitchConfig parse_config(std::string_view text, const SwitchConfig& running) {
  toml::table file;
  try {
    file = toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw LineError(error.source().begin.line, error.source().begin.column, std::string{error.description()});
  }
  const TomlReader reader{file, ""};
  reader.only({"bridge"});
  const toml::table* bridges = reader.table("bridge");
  // A file cut off at its beginning must not be taken for the wish to have nothing.
  if (bridges == nullptr) throw LineError(1, 1, "the file says nothing of bridges: to have none, write 'bridge = {}'");
  const TomlReader bridge_reader{*bridges, "bridge"};
  SwitchConfig config;
  for (const auto& [key, value] : *bridges) {
    const std::string name{key.str()};
    check_name(bridge_reader, name);
    const auto now = running.bridges.find(name);
    config.bridges[name] = read_bridge({*bridge_reader.table(name), bridge_reader.path_of(name)}, name,
                                       now == running.bridges.end() ? nullptr : &now->second);
  }
  refuse_shared_ports(config);
  return config;
}

}  // namespace shunt
