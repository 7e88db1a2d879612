// SPDX-License-Identifier: Apache-2.0
#include "user/control/state_text.h"

#include <charconv>

#include "user/base/error.h"
#include "user/control/json_rpc.h"
#include "user/control/port_vlans.h"
#include "user/control/text.h"
#include "user/pipeline/rule_text.h"

namespace shunt {
namespace {

constexpr std::array<std::string_view, 3> kMisses{"drop", "controller", "continue"};  // by TableConfig::Miss

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// What `read` makes of a row; whatever is wrong with its JSON is an Error.
template <typename Read>
auto read_row(std::string_view text, Read&& read) {
  try {
    return read(Json::parse(text));
  } catch (const Json::exception& error) {
    throw Error("a stored row cannot be read: {}: {}", error.what(), text);
  }
}

// Absent, as where a newer version added it: the default stays.
template <typename Value>
void take(const Json& json, const char* name, Value& value) {
  if (const auto found = json.find(name); found != json.end() && !found->is_null()) value = found->get<Value>();
}
void take(const Json& json, const char* name, std::optional<VlanSet>& vlans) {
  if (const auto found = json.find(name); found != json.end() && !found->is_null())
    vlans = parse_vlans(found->get<std::string>());
}

Json vlans_json(const std::optional<VlanSet>& vlans) { return vlans ? Json(format_vlans(*vlans)) : Json(nullptr); }

template <typename Enum>
Enum known(std::optional<Enum> value, std::string_view word) {
  if (!value) throw Error("a stored row has the unknown word '{}'", word);
  return *value;
}

VlanConfig vlan_of(const Json& json) {
  VlanConfig vlan;
  const auto mode = json.value("vlan_mode", std::string{"trunk"});
  const auto tags = json.value("priority_tags", std::string{"no"});
  vlan.mode = known(vlan_mode_from(mode), mode);
  vlan.priority_tags = known(priority_tags_from(tags), tags);
  if (const auto tag = json.find("tag"); tag != json.end() && !tag->is_null())
    vlan.tag = VlanId{tag->get<std::uint16_t>()};
  take(json, "trunks", vlan.trunks);
  take(json, "cvlans", vlan.cvlans);
  if (json.value("qinq_ethtype", std::string{}) == "802.1q") vlan.qinq_ethtype = 0x8100;
  return vlan;
}

}  // namespace

std::string format_stored(const StoredBridge& bridge) {
  Json json = {{"name", bridge.name},
               {"flood_vlans", format_vlans(bridge.flood_vlans)},
               {"mac_limit", bridge.mac_limit},
               {"mac_ageing_s", bridge.mac_ageing.count()}};
  const OpenFlowSettings& openflow = bridge.openflow;
  if (openflow.datapath_id) json["datapath_id"] = format_datapath_id(*openflow.datapath_id);
  if (openflow.fail_mode == FailMode::kSecure) json["fail_mode"] = "secure";
  for (const ControllerSettings& controller : openflow.controllers)
    json["controllers"].push_back({{"target", controller.target}, {"auxiliary", controller.auxiliary}});
  return dump(json);
}

StoredBridge parse_stored_bridge(std::string_view text) {
  return read_row(text, [](const Json& json) {
    StoredBridge bridge;
    bridge.name = json.at("name").get<std::string>();
    if (const auto vlans = json.value("flood_vlans", std::string{}); !vlans.empty())
      bridge.flood_vlans = parse_vlans(vlans);
    take(json, "mac_limit", bridge.mac_limit);
    bridge.mac_ageing = std::chrono::seconds{json.value("mac_ageing_s", bridge.mac_ageing.count())};
    OpenFlowSettings& openflow = bridge.openflow;
    if (const auto id = json.value("datapath_id", std::string{}); !id.empty())
      openflow.datapath_id = parse_datapath_id(id);
    if (json.value("fail_mode", std::string{}) == "secure") openflow.fail_mode = FailMode::kSecure;
    if (const auto found = json.find("controllers"); found != json.end())
      for (const Json& controller : *found)
        openflow.controllers.push_back({controller.at("target").get<std::string>(), controller.value("auxiliary", 0u)});
    return bridge;
  });
}

std::string format_stored(const StoredPort& port) {
  const PortRequest& request = port.request;
  Json json = {{"name", request.interface},
               {"ofport", request.number.value_or(PortNo{}).value},
               {"mode", request.mode ? name_of(*request.mode) : "auto"},
               {"queues", nullptr},
               {"queue_workers", format_queue_workers(request.queue_workers)},
               {"create_tap", request.create_tap},
               {"vlan_mode", name_of(request.vlan.mode)},
               {"tag", nullptr},
               {"trunks", vlans_json(request.vlan.trunks)},
               {"cvlans", vlans_json(request.vlan.cvlans)},
               {"qinq_ethtype", request.vlan.qinq_ethtype == 0x8100 ? "802.1q" : "802.1ad"},
               {"priority_tags", name_of(request.vlan.priority_tags)},
               {"flood", request.flags.flood},
               {"receive", request.flags.receive},
               {"forward", request.flags.forward},
               {"packet_in", request.flags.packet_in},
               {"protected", request.flags.protected_port},
               {"down", request.flags.down},
               {"ifindex", port.ifindex.value},
               {"netns", port.netns},
               {"changes", port.changes.empty() ? Json(nullptr) : Json::parse(port.changes)}};
  if (request.queues) json["queues"] = *request.queues;
  if (request.vlan.tag) json["tag"] = request.vlan.tag->value;
  return dump(json);
}

StoredPort parse_stored_port(std::string_view text) {
  return read_row(text, [](const Json& json) {
    StoredPort port;
    PortRequest& request = port.request;
    request.interface = json.at("name").get<std::string>();
    request.number = PortNo{json.at("ofport").get<std::uint32_t>()};
    request.mode = port_mode_from(json.value("mode", std::string{}));
    if (const auto queues = json.find("queues"); queues != json.end() && !queues->is_null())
      request.queues = queues->get<unsigned>();
    request.queue_workers = parse_queue_workers(json.value("queue_workers", std::string{"auto"}));
    take(json, "create_tap", request.create_tap);
    request.vlan = vlan_of(json);
    take(json, "flood", request.flags.flood);
    take(json, "receive", request.flags.receive);
    take(json, "forward", request.flags.forward);
    take(json, "packet_in", request.flags.packet_in);
    take(json, "protected", request.flags.protected_port);
    take(json, "down", request.flags.down);
    port.ifindex = Ifindex{json.value("ifindex", std::uint32_t{0})};
    take(json, "netns", port.netns);
    if (const auto changes = json.find("changes"); changes != json.end() && !changes->is_null())
      port.changes = changes->dump();
    return port;
  });
}

std::string format_stored(const TableConfig& table) {
  Json json = {{"name", table.name},
               {"max_rules", nullptr},
               {"evict", table.evict},
               {"miss", kMisses[static_cast<std::size_t>(table.miss)]}};
  if (table.max_rules) json["max_rules"] = *table.max_rules;
  return dump(json);
}

TableConfig parse_stored_table(std::string_view text) {
  return read_row(text, [](const Json& json) {
    TableConfig table;
    take(json, "name", table.name);
    if (const auto limit = json.find("max_rules"); limit != json.end() && !limit->is_null())
      table.max_rules = limit->get<std::uint32_t>();
    take(json, "evict", table.evict);
    const auto miss = json.value("miss", std::string{"drop"});
    for (std::size_t i = 0; i < kMisses.size(); ++i)
      if (kMisses[i] == miss) table.miss = static_cast<TableConfig::Miss>(i);
    return table;
  });
}

std::string format_stored(const Rule& rule) { return format_flow_spec(flow_mod_of(rule)); }

FlowMod parse_stored_rule(std::string_view text) { return parse_formatted_flow(text); }

std::string format_stored(PortNo port, bool is_static) {
  return is_static ? fmt::format("{} static", port.value) : fmt::format("{}", port.value);
}

FdbEntry parse_stored_mac(std::int64_t id, std::string_view text) {
  FdbEntry entry;
  const auto number = static_cast<std::uint64_t>(id);
  entry.key = {VlanId{static_cast<std::uint16_t>(number >> 48 & 0xfff)},
               MacAddr::from_number(number & 0xffff'ffff'ffff)};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), entry.port.value);
  const std::string_view rest{end, static_cast<std::size_t>(text.data() + text.size() - end)};
  if (error != std::errc{} || (!rest.empty() && rest != " static"))
    throw Error("a stored row cannot be read: a MAC address at '{}'", text);
  entry.is_static = !rest.empty();
  return entry;
}

std::int64_t id_of(FdbKey key) {
  return static_cast<std::int64_t>(std::uint64_t{key.vlan.value} << 48 | key.mac.number());
}

}  // namespace shunt
