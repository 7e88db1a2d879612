// SPDX-License-Identifier: Apache-2.0
// cache.list, cache.stats, cache.flush
#include <chrono>
#include <functional>
#include <unordered_map>

#include "user/control/commands.h"
#include "user/flow/key_text.h"
#include "user/pipeline/action_text.h"

namespace shunt {
namespace {

constexpr std::uint64_t kDefaultLimit = 1'000;
constexpr std::uint64_t kMaxLimit = 2'000'000;  // the largest --flow-limit

struct Name {
  const char* text;
};
#define SHUNT_UPCALL_NAME(name, text, help) Name{text},
constexpr Name kUpcallNames[] = {SHUNT_UPCALL_REASONS(SHUNT_UPCALL_NAME)};
#undef SHUNT_UPCALL_NAME

constexpr struct {
  std::uint32_t bit;
  const char* name;
} kFeatures[] = {
    {SHUNT_FEATURE_L3, "l3"},       {SHUNT_FEATURE_L4, "l4"},       {SHUNT_FEATURE_ND, "nd"},
    {SHUNT_FEATURE_MPLS, "mpls"},   {SHUNT_FEATURE_EDITS, "edits"}, {SHUNT_FEATURE_CHECKSUM, "checksum"},
    {SHUNT_FEATURE_HINTS, "hints"},
};

double seconds(std::chrono::milliseconds time) { return static_cast<double>(time.count()) / 1000; }

// Where a datapath port is: its bridge, and its name for key and actions.
struct PortPlace {
  std::string bridge, name;
};
using PortPlaces = std::unordered_map<DpPort, PortPlace>;

PortPlaces port_places(InstanceApi& instance) {
  PortPlaces places;
  for (const std::string& bridge : instance.bridges())
    for (const PortStatus& port : instance.ports(bridge)) places[port.dp] = {bridge, port.name};
  return places;
}

Json flow_json(const FlowSnapshot& flow, const PortPlaces& places) {
  const std::function<std::string(DpPort)> name_of = [&places](DpPort port) {
    const auto found = places.find(port);
    return found == places.end() ? std::string{} : found->second.name;
  };
  Json cookies = Json::array();
  for (const std::uint64_t cookie : flow.cookies) cookies.push_back(fmt::format("{:#x}", cookie));
  const auto place = places.find(DpPort{flow.key.key.in_port});
  Json json = {
      {"bridge", nullptr},
      {"key", format_key(flow.key.key, flow.mask, name_of)},
      {"packets", flow.packets},
      {"bytes", flow.bytes},
      {"used_s", nullptr},
      {"age_s", seconds(flow.age)},
      {"actions", format_dp_actions(flow.actions, name_of)},
      {"where", flow.in_kernel ? "kernel" : "userspace"},
      {"reason", nullptr},
      {"mask", flow.key.mask},
      {"cookies", std::move(cookies)},
  };
  if (place != places.end()) json["bridge"] = place->second.bridge;
  if (flow.packets != 0) json["used_s"] = seconds(flow.idle);
  if (!flow.in_kernel && flow.reason < SHUNT_UPCALL_COUNT) json["reason"] = kUpcallNames[flow.reason].text;
  return json;
}

Json list(const CommandContext& context, const Arguments& arguments) {
  const PortPlaces places = port_places(context.instance);
  Json flows = Json::array();
  for (const FlowSnapshot& flow : context.instance.cache_list(arguments.integer("limit").value_or(kDefaultLimit)))
    flows.push_back(flow_json(flow, places));
  return {{"flows", std::move(flows)}, {"total", context.instance.cache_stats().flows}};
}

Json stats(const CommandContext& context, const Arguments&) {
  const CacheStats stats = context.instance.cache_stats();
  Json features = Json::array();
  for (const auto& feature : kFeatures)
    if ((stats.features & feature.bit) != 0) features.push_back(feature.name);
  Json upcalls = Json::object();
  for (const auto& [reason, count] : stats.upcalls) upcalls[reason] = count;
  return {
      {"flows", stats.flows},
      {"flow_limit", stats.flow_limit},
      {"masks", stats.masks},
      {"groups", stats.groups},
      {"index_overflow", stats.indexed_overflow},
      {"exact_hits", stats.exact_hits},
      {"megaflow_hits", stats.megaflow_hits},
      {"misses", stats.misses},
      {"lookups", stats.lookups},
      {"published", stats.published},
      {"rejected_stale", stats.rejected_stale},
      {"evicted", stats.evicted},
      {"expired", stats.expired},
      {"revalidated", stats.revalidated},
      {"exact_fallback", stats.exact_fallback},
      {"upcalls", std::move(upcalls)},
      {"upcalls_handled", stats.upcalls_handled},
      {"upcall_ns", stats.upcall_nanoseconds},
      {"umem_frames", stats.umem_frames},
      {"umem_free", stats.umem_free},
      {"features", std::move(features)},
  };
}

Json flush(const CommandContext& context, const Arguments&) {
  context.instance.cache_flush();
  return Json::object();
}

}  // namespace

std::span<const Method> cache_methods() {
  static const std::vector<Method> methods = {
      {"cache.list", {{.name = "limit", .type = ParamType::kInteger, .min = 1, .max = kMaxLimit}}, list},
      {"cache.stats", {}, stats},
      {"cache.flush", {}, flush},
  };
  return methods;
}

}  // namespace shunt
