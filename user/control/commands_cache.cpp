// SPDX-License-Identifier: Apache-2.0
// cache.list, cache.stats, cache.flush, cache.why
#include <algorithm>
#include <string_view>

#include "user/control/commands.h"
#include "user/control/packet_text.h"
#include "user/control/stats_json.h"
#include "user/control/trace_json.h"

namespace shunt {
namespace {

constexpr std::uint64_t kDefaultLimit = 1'000;
constexpr std::uint64_t kMaxLimit = 2'000'000;  // the largest --flow-limit

constexpr struct {
  std::uint32_t bit;
  const char* name;
} kFeatures[] = {
    {SHUNT_FEATURE_L3, "l3"},           {SHUNT_FEATURE_L4, "l4"},         {SHUNT_FEATURE_ND, "nd"},
    {SHUNT_FEATURE_MPLS, "mpls"},       {SHUNT_FEATURE_EDITS, "edits"},   {SHUNT_FEATURE_CHECKSUM, "checksum"},
    {SHUNT_FEATURE_HINTS, "hints"},     {SHUNT_FEATURE_EXTHDR, "exthdr"}, {SHUNT_FEATURE_PBB, "pbb"},
    {SHUNT_FEATURE_HASH, "hash"},       {SHUNT_FEATURE_METER, "meter"},   {SHUNT_FEATURE_SAMPLE, "sample"},
    {SHUNT_FEATURE_BRIDGE, "bridge"},   {SHUNT_FEATURE_CAPTURE, "capture"},
};

// Features that it has, with who needed each first, what was left out, and what of that the next one will have.
Json program_json(const ProgramStatus& program) {
  Json features = Json::array(), left_out = Json::array(), loading = Json::array();
  for (const auto& [bit, name] : kFeatures) {
    if ((program.loading & bit) != 0) loading.push_back(name);
    const auto found = std::ranges::find(program.features, bit, &ProgramStatus::Feature::bit);
    if (found == program.features.end())
      left_out.push_back(name);
    else
      features.push_back({{"name", name}, {"because", found->because}});
  }
  Json json = {{"features", std::move(features)},
               {"left_out", std::move(left_out)},
               {"loading", std::move(loading)},
               {"instructions", program.instructions},
               {"compiled_instructions", nullptr},
               {"refused", program.refused}};
  if (program.compiled_instructions != 0) json["compiled_instructions"] = program.compiled_instructions;
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
  Json upcalls = Json::object();
  for (const auto& [reason, count] : stats.upcalls) upcalls[reason] = count;
  return {
      {"flows", stats.flows},
      {"flow_limit", stats.flow_limit},
      {"masks", stats.masks},
      {"groups", stats.groups},
      {"index_overflow", stats.indexed_overflow},
      {"exact_match_elements", stats.microflow_units},
      {"exact_match_limit", stats.microflow_unit_limit},
      {"exact_hits", stats.exact_hits},
      {"megaflow_hits", stats.megaflow_hits},
      {"misses", stats.misses},
      {"lookups", stats.lookups},
      {"published", stats.published},
      {"rejected_stale", stats.rejected_stale},
      {"rejected_full", stats.rejected_full},
      {"put_off", stats.put_off},
      {"evicted", stats.evicted},
      {"expired", stats.expired},
      {"revalidated", stats.revalidated},
      {"exact_fallback", stats.exact_fallback},
      {"upcalls", std::move(upcalls)},
      {"upcalls_handled", stats.upcalls_handled},
      {"upcall_ns", stats.upcall_nanoseconds},
      {"umem_frames", stats.umem_frames},
      {"umem_free", stats.umem_free},
      {"events_lost", stats.events_lost},
      {"packet_ins_lost", stats.packet_ins_lost},
      {"program", program_json(stats.program)},
  };
}

Json flush(const CommandContext& context, const Arguments&) {
  context.instance.cache_flush();
  return Json::object();
}

// A line of `cache list` begins so; a packet's fields do not.
bool is_list_line(std::string_view text) { return text.find("in_port(") != std::string_view::npos; }

// The flow whose line this is: found among all, for the text is a masked key.
CacheWhy why_line(InstanceApi& instance, std::string_view text, const PortPlaces& places) {
  const std::string_view wanted = text.substr(0, text.find(", packets:"));
  for (const FlowSnapshot& flow : instance.cache_list(kMaxLimit)) {
    if (flow_key_text(flow, places) != wanted) continue;
    const auto place = places.find(DpPort{flow.key.key.in_port});
    if (place == places.end()) continue;
    FlowKey key = flow.key.key;
    key.in_port = place->second.number.value;
    auto why = instance.cache_why(place->second.bridge, key);
    if (!why) break;
    why->trace.near_miss.reset();  // fields that the flow does not look at are unknown: nothing could be compared
    return std::move(*why);
  }
  throw Error("no cached flow has this key (any more): see 'shunt cache list'");
}

CacheWhy why_packet(InstanceApi& instance, const std::string& text, const std::string& bridge) {
  const GivenPacket given = parse_packet(text, instance.port_names(bridge));
  FlowKey key = given.key;
  key.in_port = given.in_port.value;
  key.dp_hash = instance.dp_hash(key);
  if (auto why = instance.cache_why(bridge, key)) return std::move(*why);
  throw Error(
      "no cached flow answers such a packet: its next one goes to userspace; 'shunt trace {} ...' tells what "
      "becomes of it",
      bridge);
}

// The bridge that a packet's fields are of where none was named: the only one.
std::string only_bridge(InstanceApi& instance) {
  const std::vector<std::string> bridges = instance.bridges();
  if (bridges.size() != 1)
    throw RpcError(RpcCode::kInvalidParams, "there are {} bridges: give 'bridge'", bridges.size());
  return bridges.front();
}

Json why(const CommandContext& context, const Arguments& arguments) {
  const PortPlaces places = port_places(context.instance);
  const std::string& text = arguments.text("key");
  const CacheWhy found = is_list_line(text) ? why_line(context.instance, text, places)
                                            : why_packet(context.instance, text,
                                                         arguments.has("bridge") ? arguments.text("bridge")
                                                                                 : only_bridge(context.instance));
  const PortNames names{context.instance.port_names(found.bridge)};
  return why_json(found, names, places);
}

}  // namespace

std::span<const Method> cache_methods() {
  static const std::vector<Method> methods = {
      {"cache.list", {{.name = "limit", .type = ParamType::kInteger, .min = 1, .max = kMaxLimit}}, list},
      {"cache.stats", {}, stats},
      {"cache.flush", {}, flush},
      {"cache.why",
       {{.name = "key", .type = ParamType::kText, .required = true}, {.name = "bridge", .type = ParamType::kInterface}},
       why},
  };
  return methods;
}

}  // namespace shunt
