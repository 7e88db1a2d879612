// SPDX-License-Identifier: Apache-2.0
// port.attach, port.detach, port.list, port.show, port.set
#include <algorithm>

#include "user/control/commands.h"
#include "user/control/port_json.h"
#include "user/control/port_vlans.h"

namespace shunt {
namespace {

constexpr std::uint64_t kMaxOfport = 65'279;  // as in Open vSwitch: 65,280 and up were reserved by OpenFlow 1.0

const ParamSpec kBridge{.name = "bridge", .type = ParamType::kInterface, .required = true};
const ParamSpec kPort{.name = "port", .type = ParamType::kInterface, .required = true};

// What attach and set take alike.
const std::vector<ParamSpec> kSettings{
    {.name = "vlan_mode",
     .type = ParamType::kChoice,
     .choices = "trunk|access|native-tagged|native-untagged|dot1q-tunnel"},
    {.name = "tag", .type = ParamType::kInteger, .min = 0, .max = 4095},
    {.name = "trunks", .type = ParamType::kVlans},
    {.name = "cvlans", .type = ParamType::kVlans},
    {.name = "qinq_ethtype", .type = ParamType::kChoice, .choices = "802.1ad|802.1q"},
    {.name = "priority_tags", .type = ParamType::kChoice, .choices = "no|if-nonzero|always"},
    {.name = "flood", .type = ParamType::kFlag},
    {.name = "receive", .type = ParamType::kFlag},
    {.name = "forward", .type = ParamType::kFlag},
    {.name = "packet_in", .type = ParamType::kFlag},
    {.name = "protected", .type = ParamType::kFlag},
    {.name = "queue_workers", .type = ParamType::kText},
};

std::vector<ParamSpec> with_settings(std::vector<ParamSpec> specs) {
  specs.insert(specs.end(), kSettings.begin(), kSettings.end());
  return specs;
}

VlanConfig changed_vlans(const VlanConfig& vlan, const Arguments& arguments) {
  VlanChange change;
  if (const auto mode = arguments.optional_text("vlan_mode")) change.mode = vlan_mode_from(*mode);
  if (const auto tag = arguments.integer("tag")) change.tag = VlanId{static_cast<std::uint16_t>(*tag)};
  change.trunks = arguments.vlans("trunks");
  change.all_trunks = arguments.flag("all_vlans");
  change.cvlans = arguments.vlans("cvlans");
  if (const auto type = arguments.optional_text("qinq_ethtype"))
    change.qinq_ethtype = *type == "802.1q" ? 0x8100 : 0x88a8;
  if (const auto tags = arguments.optional_text("priority_tags")) change.priority_tags = priority_tags_from(*tags);
  try {
    return change_vlans(vlan, change);
  } catch (const Error& error) {
    throw RpcError(RpcCode::kInvalidParams, "{}", error.what());
  }
}

PortFlags changed_flags(PortFlags flags, const Arguments& arguments) {
  const auto take = [&](const char* name, bool& flag) {
    if (arguments.has(name)) flag = arguments.flag(name);
  };
  take("flood", flags.flood);
  take("receive", flags.receive);
  take("forward", flags.forward);
  take("packet_in", flags.packet_in);
  take("protected", flags.protected_port);
  return flags;
}

QueueWorkers changed_places(const QueueWorkers& places, const Arguments& arguments) {
  const auto text = arguments.optional_text("queue_workers");
  if (!text) return places;
  try {
    return parse_queue_workers(*text);
  } catch (const Error& error) {
    throw RpcError(RpcCode::kInvalidParams, "'queue_workers': {}", error.what());
  }
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
  request.vlan = changed_vlans({}, arguments);
  request.flags = changed_flags({}, arguments);
  if (const auto mode = arguments.optional_text("mode")) request.mode = port_mode_from(*mode);
  if (const auto queues = arguments.integer("queues")) request.queues = static_cast<unsigned>(*queues);
  request.queue_workers = changed_places({}, arguments);
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
  const bool anything =
      arguments.flag("all_vlans") ||
      std::any_of(kSettings.begin(), kSettings.end(), [&](const auto& s) { return arguments.has(s.name); });
  if (!anything) throw RpcError(RpcCode::kInvalidParams, "nothing to set: give 'tag', 'flood', or another setting");
  const std::string& bridge = arguments.text("bridge");
  const std::string& port = arguments.text("port");
  const PortStatus now = find_port(context.instance, bridge, port);
  const VlanConfig vlan = changed_vlans(now.vlan, arguments);
  const PortFlags flags = changed_flags(now.flags, arguments);
  const QueueWorkers places = changed_places(now.queue_workers, arguments);
  if (places != now.queue_workers) context.instance.place_queues(bridge, port, places);
  try {
    if (vlan != now.vlan || flags != now.flags) context.instance.set_port(bridge, port, vlan, flags);
  } catch (...) {  // refused, or to come later: all of it
    if (places != now.queue_workers) context.instance.place_queues(bridge, port, now.queue_workers);
    throw;
  }
  return port_json(find_port(context.instance, bridge, port));
}

}  // namespace

std::span<const Method> port_methods() {
  static const std::vector<Method> methods = {
      {"port.attach",
       with_settings({kBridge,
                      kPort,
                      {.name = "ofport", .type = ParamType::kInteger, .min = 1, .max = kMaxOfport},
                      {.name = "mode", .type = ParamType::kChoice, .choices = "auto|native|generic|tcx"},
                      {.name = "queues", .type = ParamType::kInteger, .min = 1, .max = SHUNT_MAX_QUEUES},
                      {.name = "create_tap", .type = ParamType::kFlag},
                      {.name = "force", .type = ParamType::kFlag}}),
       attach},
      {"port.detach", {kBridge, kPort}, detach},
      {"port.list", {{.name = "bridge", .type = ParamType::kInterface}}, list},
      {"port.show", {kBridge, kPort}, show},
      {"port.set", with_settings({kBridge, kPort, {.name = "all_vlans", .type = ParamType::kFlag}}), set},
  };
  return methods;
}

}  // namespace shunt
