// SPDX-License-Identifier: Apache-2.0
// bridge.add, bridge.del, bridge.list, bridge.show, bridge.set
#include "user/control/commands.h"
#include "user/control/port_json.h"
#include "user/control/text.h"

namespace shunt {
namespace {

const ParamSpec kBridge{.name = "bridge", .type = ParamType::kInterface, .required = true};

Json summary(InstanceApi& instance, const std::string& bridge, std::size_t ports) {
  FlowMod every;
  every.command = FlowMod::Command::kDelete;
  const FdbSettings fdb = instance.fdb_settings(bridge);
  return {{"name", bridge},
          {"ports", ports},
          {"rules", instance.flow_list(bridge, every).size()},
          {"macs", fdb.size},
          {"mac_limit", fdb.limit},
          {"mac_ageing_s", fdb.ageing.count()},
          {"flood_vlans", format_vlans(instance.flood_vlans(bridge))}};
}

Json add(const CommandContext& context, const Arguments& arguments) {
  context.instance.add_bridge(arguments.text("bridge"));
  return Json::object();
}

Json del(const CommandContext& context, const Arguments& arguments) {
  context.instance.del_bridge(arguments.text("bridge"));
  return Json::object();
}

Json list(const CommandContext& context, const Arguments&) {
  Json bridges = Json::array();
  for (const std::string& bridge : context.instance.bridges())
    bridges.push_back(summary(context.instance, bridge, context.instance.ports(bridge).size()));
  return {{"bridges", std::move(bridges)}};
}

Json show(const CommandContext& context, const Arguments& arguments) {
  const std::string& bridge = arguments.text("bridge");
  const std::vector<PortStatus> ports = context.instance.ports(bridge);
  Json reply = summary(context.instance, bridge, ports.size());
  reply["ports"] = Json::array();
  for (const PortStatus& port : ports) reply["ports"].push_back(port_json(port));
  return reply;
}

Json set(const CommandContext& context, const Arguments& arguments) {
  const std::string& text = arguments.text("flood_vlans");
  VlanSet vlans;
  try {
    if (text != "none") vlans = parse_vlans(text);
  } catch (const Error& error) {
    throw RpcError(RpcCode::kInvalidParams, "parameter 'flood_vlans': {}, or none", error.what());
  }
  context.instance.set_flood_vlans(arguments.text("bridge"), vlans);
  return Json::object();
}

}  // namespace

std::span<const Method> bridge_methods() {
  static const std::vector<Method> methods = {
      {"bridge.add", {kBridge}, add},
      {"bridge.del", {kBridge}, del},
      {"bridge.list", {}, list},
      {"bridge.show", {kBridge}, show},
      {"bridge.set", {kBridge, {.name = "flood_vlans", .type = ParamType::kText, .required = true}}, set},
  };
  return methods;
}

}  // namespace shunt
