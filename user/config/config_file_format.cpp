// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>

#include "user/config/config_file.h"
#include "user/control/port_vlans.h"
#include "user/control/text.h"
#include "user/pipeline/group_text.h"
#include "user/pipeline/meter_text.h"
#include "user/pipeline/rule_text.h"

namespace shunt {
namespace {

// A literal where that can be, for rules are full of quotes' friends; else escaped.
std::string quoted(std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return c != '\'' && (static_cast<unsigned char>(c) >= 0x20) && c != 0x7f;
  });
  const bool needs_care = text.find_first_of("\"\\") != std::string_view::npos;
  if (plain && needs_care) return fmt::format("'{}'", text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      fmt::format_to(std::back_inserter(out), "\\{}", c);
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + '"';
}

std::string key(std::string_view name) {
  const bool is_bare = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
  return is_bare ? std::string{name} : quoted(name);
}

class Writer {
 public:
  void table(const std::string& name) {
    fmt::format_to(std::back_inserter(out_), "{}[{}]\n", out_.empty() ? "" : "\n", name);
  }
  void text(std::string_view name, std::string_view value) { line(name, quoted(value)); }
  void flag(std::string_view name, bool value) { line(name, value ? "true" : "false"); }
  template <typename Integer>
  void integer(std::string_view name, Integer value) {
    line(name, fmt::format("{}", value));
  }
  template <typename Things, typename Format>
  void list(std::string_view name, const Things& things, Format&& format) {
    if (things.empty()) return line(name, "[]");
    fmt::format_to(std::back_inserter(out_), "{} = [\n", name);
    for (const auto& thing : things) fmt::format_to(std::back_inserter(out_), "  {},\n", format(thing));
    out_ += "]\n";
  }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  void line(std::string_view name, std::string_view value) {
    fmt::format_to(std::back_inserter(out_), "{} = {}\n", name, value);
  }
  std::string out_;
};

// What is not as by default.
void write_settings(Writer& out, const PortSettings& settings) {
  const VlanConfig& vlan = settings.vlan;
  const PortFlags& flags = settings.flags;
  const PortSettings defaults;
  if (vlan.mode != VlanMode::kTrunk) out.text("vlan-mode", name_of(vlan.mode));
  if (vlan.tag) out.integer("tag", vlan.tag->value);
  if (vlan.trunks) out.text("trunks", format_vlans(*vlan.trunks));
  if (vlan.cvlans) out.text("cvlans", format_vlans(*vlan.cvlans));
  if (vlan.qinq_ethtype != defaults.vlan.qinq_ethtype) out.text("qinq-ethtype", "802.1q");
  if (vlan.priority_tags != PriorityTags::kNo) out.text("priority-tags", name_of(vlan.priority_tags));
  if (flags.flood != defaults.flags.flood) out.flag("flood", flags.flood);
  if (flags.receive != defaults.flags.receive) out.flag("receive", flags.receive);
  if (flags.forward != defaults.flags.forward) out.flag("forward", flags.forward);
  if (flags.packet_in != defaults.flags.packet_in) out.flag("packet-in", flags.packet_in);
  if (flags.protected_port != defaults.flags.protected_port) out.flag("protected", flags.protected_port);
  if (!settings.queue_workers.empty()) out.text("queue-workers", format_queue_workers(settings.queue_workers));
}

// A meter's text has a line for each band; TOML wants one.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

void write_bridge(Writer& out, const std::string& name, const BridgeConfig& bridge) {
  const std::string path = "bridge." + key(name);
  const PortNames names{port_names(name, bridge)};
  out.table(path);
  if (bridge.flood_vlans.any()) out.text("flood-vlans", format_vlans(bridge.flood_vlans));
  if (bridge.mac_limit != Fdb::kDefaultLimit) out.integer("mac-limit", bridge.mac_limit);
  if (bridge.mac_ageing != Fdb::kDefaultAgeing) out.integer("mac-ageing", bridge.mac_ageing.count());
  if (bridge.datapath_id) out.text("datapath-id", format_datapath_id(*bridge.datapath_id));
  if (bridge.fail_mode == FailMode::kSecure) out.text("fail-mode", "secure");
  if (bridge.controllers)
    out.list("controllers", *bridge.controllers, [](const ControllerSettings& controller) {
      const auto auxiliary = controller.auxiliary == 0 ? "" : fmt::format(", auxiliary = {}", controller.auxiliary);
      return fmt::format("{{ target = {}{} }}", quoted(controller.target), auxiliary);
    });
  if (bridge.meters)
    out.list("meters", bridge.meters->things,
             [](const MeterMod& meter) { return quoted(one_line(format_meter_spec(meter))); });
  if (bridge.groups)
    out.list("groups", bridge.groups->things,
             [&](const GroupMod& group) { return quoted(format_group_spec(group, names)); });
  if (bridge.rules)
    out.list("rules", bridge.rules->things, [&](const FlowMod& rule) { return quoted(format_flow_spec(rule, names)); });
  if (bridge.static_macs)
    out.list("static-macs", *bridge.static_macs, [](const StaticMac& mac) {
      return fmt::format("{{ mac = {}, port = {}, vlan = {} }}", quoted(format_mac(mac.key.mac)), quoted(mac.port),
                         mac.key.vlan.value);
    });
  if (bridge.own_port != PortSettings{}) {
    out.table(fmt::format("{}.port.{}", path, key(name)));
    write_settings(out, bridge.own_port);
  }
  for (const auto& [port_name, port] : bridge.ports) {
    out.table(fmt::format("{}.port.{}", path, key(port_name)));
    out.integer("ofport", port.number.value);
    if (port.mode) out.text("mode", name_of(*port.mode));
    if (port.queues) out.integer("queues", *port.queues);
    if (port.create_tap) out.flag("create-tap", true);
    write_settings(out, port.settings);
  }
  if (!bridge.tables) return;
  // Empty, it still says that there are none.
  if (bridge.tables->empty()) return out.table(path + ".table");
  constexpr std::string_view kMisses[] = {"drop", "controller", "continue"};
  for (const auto& [number, table] : *bridge.tables) {
    out.table(fmt::format("{}.table.{}", path, number));
    if (!table.name.empty()) out.text("name", table.name);
    if (table.max_rules) out.integer("max-rules", *table.max_rules);
    if (table.evict) out.flag("evict", true);
    if (table.miss != TableConfig::Miss::kDrop) out.text("miss", kMisses[static_cast<std::size_t>(table.miss)]);
  }
}

}  // namespace

std::string format_config(const SwitchConfig& config) {
  if (config.bridges.empty()) return "bridge = {}\n";
  Writer out;
  for (const auto& [name, bridge] : config.bridges) write_bridge(out, name, bridge);
  return out.take();
}

}  // namespace shunt
