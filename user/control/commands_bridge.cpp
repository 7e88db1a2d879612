// SPDX-License-Identifier: Apache-2.0
// bridge.add, bridge.del, bridge.list, bridge.show, bridge.set
#include "user/base/error.h"
#include "user/control/commands.h"
#include "user/control/port_json.h"
#include "user/control/text.h"

namespace shunt {
namespace {

const ParamSpec kBridge{.name = "bridge", .type = ParamType::kInterface, .required = true};
const ParamSpec kDatapathId{.name = "datapath_id", .type = ParamType::kText};
const ParamSpec kFailMode{.name = "fail_mode", .type = ParamType::kChoice, .choices = "standalone|secure"};

Json summary(InstanceApi& instance, const std::string& bridge, std::size_t ports) {
  const FdbSettings fdb = instance.fdb_settings(bridge);
  return {{"name", bridge},
          {"ports", ports},
          {"rules", instance.rule_count(bridge)},
          {"macs", fdb.size},
          {"mac_limit", fdb.limit},
          {"mac_ageing_s", fdb.ageing.count()},
          {"flood_vlans", format_vlans(instance.flood_vlans(bridge))}};
}

std::uint64_t datapath_id_of(const std::string& text) {
  try {
    return parse_datapath_id(text);
  } catch (const Error& error) {
    throw RpcError(RpcCode::kInvalidParams, "parameter 'datapath_id': {}", error.what());
  }
}

std::optional<FailMode> fail_mode_of(const Arguments& arguments) {
  const auto text = arguments.optional_text("fail_mode");
  if (!text) return std::nullopt;
  return *text == "secure" ? FailMode::kSecure : FailMode::kStandalone;
}

void set_openflow(const CommandContext& context, const Arguments& arguments) {
  std::optional<std::uint64_t> id;
  if (const auto text = arguments.optional_text("datapath_id")) id = datapath_id_of(*text);
  const std::optional<FailMode> mode = fail_mode_of(arguments);
  if (id || mode) context.openflow().set_bridge_openflow(arguments.text("bridge"), id, mode);
}

Json add(const CommandContext& context, const Arguments& arguments) {
  if (arguments.has("datapath_id")) (void)datapath_id_of(*arguments.optional_text("datapath_id"));
  context.instance.add_bridge(arguments.text("bridge"));
  set_openflow(context, arguments);
  return Json::object();
}

Json del(const CommandContext& context, const Arguments& arguments) {
  context.instance.del_bridge(arguments.text("bridge"));
  return Json::object();
}

Json list(const CommandContext& context, const Arguments&) {
  Json bridges = Json::array();
  for (const std::string& bridge : context.instance.bridges())
    bridges.push_back(summary(context.instance, bridge, context.instance.port_names(bridge).size()));
  return {{"bridges", std::move(bridges)}};
}

Json show(const CommandContext& context, const Arguments& arguments) {
  const std::string& bridge = arguments.text("bridge");
  const std::vector<PortStatus> ports = context.instance.ports(bridge);
  Json reply = summary(context.instance, bridge, ports.size());
  if (context.controllers != nullptr) {
    const BridgeOpenFlow openflow = context.controllers->bridge_openflow(bridge);
    reply["datapath_id"] = format_datapath_id(openflow.datapath_id);
    reply["fail_mode"] = openflow.fail_mode == FailMode::kSecure ? "secure" : "standalone";
  }
  reply["ports"] = Json::array();
  for (const PortStatus& port : ports) reply["ports"].push_back(port_json(port));
  return reply;
}

void set_flood_vlans(const CommandContext& context, const std::string& bridge, const std::string& text) {
  VlanSet vlans;
  try {
    if (text != "none") vlans = parse_vlans(text);
  } catch (const Error& error) {
    throw RpcError(RpcCode::kInvalidParams, "parameter 'flood_vlans': {}, or none", error.what());
  }
  context.instance.set_flood_vlans(bridge, vlans);
}

Json set(const CommandContext& context, const Arguments& arguments) {
  const bool any = arguments.has("flood_vlans") || arguments.has("datapath_id") || arguments.has("fail_mode");
  if (!any) throw RpcError(RpcCode::kInvalidParams, "give flood_vlans, datapath_id or fail_mode");
  if (arguments.has("datapath_id"))
    (void)datapath_id_of(*arguments.optional_text("datapath_id"));  // before anything is set
  if (const auto vlans = arguments.optional_text("flood_vlans"))
    set_flood_vlans(context, arguments.text("bridge"), *vlans);
  set_openflow(context, arguments);
  return Json::object();
}

}  // namespace

std::span<const Method> bridge_methods() {
  static const std::vector<Method> methods = {
      {"bridge.add", {kBridge, kDatapathId, kFailMode}, add},
      {"bridge.del", {kBridge}, del},
      {"bridge.list", {}, list},
      {"bridge.show", {kBridge}, show},
      {"bridge.set", {kBridge, {.name = "flood_vlans", .type = ParamType::kText}, kDatapathId, kFailMode}, set},
  };
  return methods;
}

}  // namespace shunt
