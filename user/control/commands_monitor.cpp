// SPDX-License-Identifier: Apache-2.0
// monitor: from its reply on the client gets a notification "event" for each thing that happens, until it goes.
#include <array>
#include <chrono>
#include <string_view>

#include "user/control/commands.h"
#include "user/control/text.h"

namespace shunt {
namespace {

constexpr std::array<std::string_view, 4> kSubjects{"port", "mac", "flow", "controller"};  // by SwitchEvent::Subject

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Json text_or_null(std::string_view text) { return text.empty() ? Json(nullptr) : Json(text); }

Json event_json(const SwitchEvent& event) {
  const auto subject = static_cast<std::size_t>(event.subject);
  Json json = {{"time", seconds_since_1970()}, {"subject", kSubjects[subject]}, {"event", event.what}};
  json["bridge"] = event.bridge;
  switch (event.subject) {
    case SwitchEvent::Subject::kPort:
      json["port"] = event.port;
      json["ofport"] = event.number.value;
      json["before"] = text_or_null(event.before);
      break;
    case SwitchEvent::Subject::kMac:
      json["mac"] = format_mac(event.mac.mac);
      json["vlan"] = event.mac.vlan.value;
      json["port"] = text_or_null(event.port);
      json["before"] = text_or_null(event.before);
      break;
    case SwitchEvent::Subject::kController:
      json["controller"] = event.controller;
      json["reason"] = text_or_null(event.reason);
      break;
    default:
      json["rule"] = event.rule;
      json["reason"] = text_or_null(event.reason);
  }
  return json;
}

unsigned subjects_of(const Arguments& arguments) {
  unsigned subjects = 0;
  for (std::size_t i = 0; i < kSubjects.size(); ++i)
    if (arguments.flag(kSubjects[i])) subjects |= 1u << i;
  return subjects != 0 ? subjects : (1u << kSubjects.size()) - 1;
}

Json monitor(const CommandContext& context, const Arguments& arguments) {
  ClientStream& client = context.stream();
  if (client.monitors)
    throw RpcError(RpcCode::kInvalidRequest, "this connection monitors already: open another for another choice");
  const std::string bridge = arguments.optional_text("bridge").value_or("");
  if (!bridge.empty()) (void)context.instance.port_names(bridge);  // throws where there is none
  const auto tell = [&client, bridge](const SwitchEvent& event) {
    if (event.subject == SwitchEvent::Subject::kMissed)
      client.notify("missed", [&event] { return Json{{"count", event.count}}; });
    else if (bridge.empty() || event.bridge == bridge)
      client.notify("event", [&event] { return event_json(event); });
  };
  const std::uint64_t number = context.instance.watch(subjects_of(arguments), tell);
  client.on_close([&instance = context.instance, number] { instance.unwatch(number); });
  client.monitors = true;
  return Json::object();
}

}  // namespace

std::span<const Method> monitor_methods() {
  static const std::vector<Method> methods = {
      {"monitor",
       {{.name = "bridge", .type = ParamType::kInterface},
        {.name = "port", .type = ParamType::kFlag},
        {.name = "mac", .type = ParamType::kFlag},
        {.name = "flow", .type = ParamType::kFlag},
        {.name = "controller", .type = ParamType::kFlag}},
       monitor},
  };
  return methods;
}

}  // namespace shunt
