// SPDX-License-Identifier: Apache-2.0
// port.attach, port.detach, port.list, port.show, port.set
#include <algorithm>

#include "user/control/commands.h"
#include "user/control/port_json.h"

namespace shunt {
namespace {

constexpr std::uint64_t kMaxOfport = 65'279;  // as in Open vSwitch: 65,280 and up were reserved by OpenFlow 1.0

const ParamSpec kBridge{.name = "bridge", .type = ParamType::kInterface, .required = true};
const ParamSpec kPort{.name = "port", .type = ParamType::kInterface, .required = true};
const ParamSpec kTag{.name = "tag", .type = ParamType::kInteger, .min = 0, .max = 4095};
const ParamSpec kTrunks{.name = "trunks", .type = ParamType::kVlans};

VlanConfig vlan_config(const Arguments& arguments) {
  if (arguments.has("tag") && arguments.has("trunks"))
    throw RpcError(RpcCode::kInvalidParams, "'tag' makes an access port and 'trunks' a trunk: give one of them");
  VlanConfig vlan;
  if (const auto tag = arguments.integer("tag")) vlan.tag = VlanId{static_cast<std::uint16_t>(*tag)};
  vlan.trunks = arguments.vlans("trunks");
  return vlan;
}

PortStatus find_port(InstanceApi& instance, const std::string& bridge, const std::string& name) {
  const std::vector<PortStatus> ports = instance.ports(bridge);
  const auto found =
      std::find_if(ports.begin(), ports.end(), [&](const PortStatus& port) { return port.name == name; });
  if (found == ports.end()) throw Error("bridge '{}' has no port '{}': see 'shunt port list {}'", bridge, name, bridge);
  return *found;
}

Json attach(const CommandContext& context, const Arguments& arguments) {
  PortRequest request;
  request.interface = arguments.text("port");
  if (const auto number = arguments.integer("ofport")) request.number = PortNo{static_cast<std::uint32_t>(*number)};
  request.vlan = vlan_config(arguments);
  if (arguments.optional_text("mode") == "generic") request.mode = XdpMode::kGeneric;
  if (const auto queues = arguments.integer("queues")) request.queues = static_cast<unsigned>(*queues);
  request.create_tap = arguments.flag("create_tap");
  request.force = arguments.flag("force");
  return port_json(context.instance.attach_port(arguments.text("bridge"), request));
}

Json detach(const CommandContext& context, const Arguments& arguments) {
  context.instance.detach_port(arguments.text("bridge"), arguments.text("port"));
  return Json::object();
}

Json list(const CommandContext& context, const Arguments& arguments) {
  Json ports = Json::array();
  const auto one = arguments.optional_text("bridge");
  for (const std::string& bridge : one ? std::vector{*one} : context.instance.bridges())
    for (const PortStatus& port : context.instance.ports(bridge)) ports.push_back(port_json(port));
  return {{"ports", std::move(ports)}};
}

Json show(const CommandContext& context, const Arguments& arguments) {
  return port_json(find_port(context.instance, arguments.text("bridge"), arguments.text("port")));
}

Json set(const CommandContext& context, const Arguments& arguments) {
  const bool all = arguments.flag("all_vlans");
  if (all == (arguments.has("tag") || arguments.has("trunks")))
    throw RpcError(RpcCode::kInvalidParams, "give one of 'tag', 'trunks' and 'all_vlans': nothing else can be set");
  const std::string& bridge = arguments.text("bridge");
  const std::string& port = arguments.text("port");
  context.instance.set_port(bridge, port, vlan_config(arguments));
  return port_json(find_port(context.instance, bridge, port));
}

}  // namespace

std::span<const Method> port_methods() {
  static const std::vector<Method> methods = {
      {"port.attach",
       {kBridge,
        kPort,
        {.name = "ofport", .type = ParamType::kInteger, .min = 1, .max = kMaxOfport},
        kTag,
        kTrunks,
        {.name = "mode", .type = ParamType::kChoice, .choices = "native|generic"},
        {.name = "queues", .type = ParamType::kInteger, .min = 1, .max = SHUNT_MAX_QUEUES},
        {.name = "create_tap", .type = ParamType::kFlag},
        {.name = "force", .type = ParamType::kFlag}},
       attach},
      {"port.detach", {kBridge, kPort}, detach},
      {"port.list", {{.name = "bridge", .type = ParamType::kInterface}}, list},
      {"port.show", {kBridge, kPort}, show},
      {"port.set", {kBridge, kPort, kTag, kTrunks, {.name = "all_vlans", .type = ParamType::kFlag}}, set},
  };
  return methods;
}

}  // namespace shunt
