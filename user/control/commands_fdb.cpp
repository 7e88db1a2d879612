// SPDX-License-Identifier: Apache-2.0
// fdb.list, fdb.add, fdb.del, fdb.flush, fdb.set
#include <algorithm>
#include <chrono>
#include <unordered_map>

#include "user/control/commands.h"
#include "user/control/text.h"

namespace shunt {
namespace {

// An age of 0 would forget each MAC at once; a limit of 0 turns learning off, which is a use (a hub).
constexpr std::uint64_t kMinAgeing = 1, kMaxAgeing = 1'000'000;
constexpr std::uint64_t kMaxMacs = 1'000'000;

const ParamSpec kBridge{.name = "bridge", .type = ParamType::kInterface, .required = true};
const ParamSpec kMac{.name = "mac", .type = ParamType::kMac, .required = true};
const ParamSpec kVlan{.name = "vlan", .type = ParamType::kInteger, .min = 0, .max = 4095};

FdbKey key_of(const Arguments& arguments) {
  return {VlanId{static_cast<std::uint16_t>(arguments.integer("vlan").value_or(0))}, arguments.mac("mac")};
}

Json list(const CommandContext& context, const Arguments& arguments) {
  const std::string& bridge = arguments.text("bridge");
  std::unordered_map<PortNo, std::string> names;
  for (const auto& [name, number] : context.instance.port_names(bridge)) names[number] = name;
  const TimePoint now = Clock::now();
  Json macs = Json::array();
  for (const FdbEntry& entry : context.instance.fdb_list(bridge)) {
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(std::max(now - entry.seen, Clock::duration{0}));
    const auto name = names.find(entry.port);
    Json mac = {{"vlan", entry.key.vlan.value}, {"mac", format_mac(entry.key.mac)}, {"port", nullptr},
                {"ofport", entry.port.value},   {"static", entry.is_static},        {"age_s", nullptr}};
    if (name != names.end()) mac["port"] = name->second;
    if (!entry.is_static) mac["age_s"] = age.count();
    macs.push_back(std::move(mac));
  }
  const FdbSettings settings = context.instance.fdb_settings(bridge);
  return {{"macs", std::move(macs)}, {"limit", settings.limit}, {"ageing_s", settings.ageing.count()}};
}

Json add(const CommandContext& context, const Arguments& arguments) {
  const FdbKey key = key_of(arguments);
  if (key.mac.is_multicast())
    throw RpcError(RpcCode::kInvalidParams, "parameter 'mac': {} is a group address, which no port owns",
                   format_mac(key.mac));
  context.instance.fdb_add(arguments.text("bridge"), key, arguments.text("port"));
  return Json::object();
}

Json del(const CommandContext& context, const Arguments& arguments) {
  context.instance.fdb_del(arguments.text("bridge"), key_of(arguments));
  return Json::object();
}

Json flush(const CommandContext& context, const Arguments& arguments) {
  context.instance.fdb_flush(arguments.text("bridge"), arguments.optional_text("port"));
  return Json::object();
}

Json set(const CommandContext& context, const Arguments& arguments) {
  const auto ageing = arguments.integer("ageing_s");
  const auto limit = arguments.integer("limit");
  if (!ageing && !limit) throw RpcError(RpcCode::kInvalidParams, "give 'ageing_s', 'limit', or both");
  std::optional<std::chrono::seconds> ageing_time;
  if (ageing) ageing_time = std::chrono::seconds{*ageing};
  context.instance.fdb_set(arguments.text("bridge"), ageing_time, limit);
  return Json::object();
}

}  // namespace

std::span<const Method> fdb_methods() {
  static const std::vector<Method> methods = {
      {"fdb.list", {kBridge}, list},
      {"fdb.add", {kBridge, kMac, {.name = "port", .type = ParamType::kInterface, .required = true}, kVlan}, add},
      {"fdb.del", {kBridge, kMac, kVlan}, del},
      {"fdb.flush", {kBridge, {.name = "port", .type = ParamType::kInterface}}, flush},
      {"fdb.set",
       {kBridge,
        {.name = "ageing_s", .type = ParamType::kInteger, .min = kMinAgeing, .max = kMaxAgeing},
        {.name = "limit", .type = ParamType::kInteger, .min = 0, .max = kMaxMacs}},
       set},
  };
  return methods;
}

}  // namespace shunt
