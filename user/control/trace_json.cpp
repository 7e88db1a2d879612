// SPDX-License-Identifier: Apache-2.0
#include "user/control/trace_json.h"

#include <array>
#include <chrono>
#include <functional>
#include <string_view>

#include "user/base/reasons.h"
#include "user/control/packet_text.h"
#include "user/control/stats_json.h"
#include "user/flow/key_text.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/rule_text.h"

namespace shunt {
namespace {

constexpr std::array<std::string_view, 7> kKinds{"table", "rule", "miss", "action", "change", "group", "note"};

double seconds(std::chrono::milliseconds time) { return static_cast<double>(time.count()) / 1000; }

std::function<std::string(DpPort)> namer(const PortPlaces& places) {
  return [&places](DpPort port) { return name_of(places, port); };
}

Json rule_json(const Rule& rule, const PortNames& names) {
  return {{"table", rule.table},
          {"priority", rule.priority},
          {"cookie", fmt::format("{:#x}", rule.cookie)},
          {"match", format_match(rule.match, names)},
          {"actions", format_actions(rule.actions, names)},
          {"packets", rule.counters.packets()}};
}

// What becomes of the packet: actions, and what ends it where they send it nowhere.
std::string actions_of(const Translation& made, const PortPlaces& places) {
  if (made.actions.empty()) return fmt::format("drop({})", name_of(made.drop));
  const std::string actions = format_dp_actions(as_span(made.actions), namer(places));
  return made.is_drop() ? fmt::format("{},drop({})", actions, name_of(made.drop)) : actions;
}

}  // namespace

PortPlaces port_places(InstanceApi& instance) {
  PortPlaces places;
  for (const std::string& bridge : instance.bridges())
    for (const PortStatus& port : instance.ports(bridge)) places[port.dp] = {bridge, port.name, port.number};
  return places;
}

std::string name_of(const PortPlaces& places, DpPort port) {
  const auto found = places.find(port);
  return found == places.end() ? fmt::format("{}", port.value) : found->second.name;
}

std::string flow_key_text(const FlowSnapshot& flow, const PortPlaces& places) {
  return format_key(flow.key.key, flow.mask, namer(places));
}

Json flow_json(const FlowSnapshot& flow, const PortPlaces& places) {
  Json cookies = Json::array();
  for (const std::uint64_t cookie : flow.cookies) cookies.push_back(fmt::format("{:#x}", cookie));
  const auto place = places.find(DpPort{flow.key.key.in_port});
  Json json = {
      {"id", flow_id_text(flow.id)},
      {"bridge", nullptr},
      {"in_port", nullptr},
      {"key", flow_key_text(flow, places)},
      {"packets", flow.packets},
      {"bytes", flow.bytes},
      {"used_s", nullptr},
      {"age_s", seconds(flow.age)},
      {"actions", format_dp_actions(as_span(flow.actions), namer(places))},
      {"where", flow.in_kernel ? "kernel" : "userspace"},
      {"reason", nullptr},
      {"mask", flow.key.mask},
      {"cookies", std::move(cookies)},
  };
  if (place != places.end()) {
    json["bridge"] = place->second.bridge;
    json["in_port"] = place->second.name;
  }
  if (flow.packets != 0) json["used_s"] = seconds(flow.idle);
  if (!flow.in_kernel) json["reason"] = name_of(flow.reason);
  return json;
}

Json trace_json(const Trace& trace, const PortNames& names, const PortPlaces& places) {
  Json steps = Json::array();
  for (const TraceStep& step : trace.steps)
    steps.push_back(
        {{"kind", kKinds[static_cast<std::size_t>(step.kind)]}, {"depth", step.depth}, {"text", step.text}});
  Json rules = Json::array();
  for (const RuleRef& rule : trace.translation.rules) rules.push_back(rule_json(*rule, names));
  const auto place = places.find(DpPort{trace.key.in_port});
  const PortNo in_port = place == places.end() ? kPortNone : place->second.number;
  const Translation& made = trace.translation;
  Json json = {{"flow", format_packet(trace.key, in_port, names)},
               {"steps", std::move(steps)},
               {"rules", std::move(rules)},
               {"mask", format_mask(made.mask)},
               {"actions", actions_of(made, places)},
               {"drop", nullptr},
               {"nearest", nullptr}};
  if (made.actions.empty() || made.is_drop())
    json["drop"] = {{"reason", name_of(made.drop)}, {"help", help_of(made.drop)}};
  if (trace.near_miss) {
    json["nearest"] = rule_json(*trace.near_miss->rule, names);
    json["nearest"]["differences"] = trace.near_miss->differences;
  }
  return json;
}

}  // namespace shunt
