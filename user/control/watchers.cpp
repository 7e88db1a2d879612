// SPDX-License-Identifier: Apache-2.0
#include "user/control/watchers.h"

#include <algorithm>
#include <array>
#include <utility>

#include "user/pipeline/rule_text.h"

namespace shunt {
namespace {

constexpr std::array<std::string_view, 6> kReasons{"idle-timeout", "hard-timeout", "delete",
                                                   "group-delete", "meter-delete", "eviction"};  // by RemovedReason
constexpr std::array<std::string_view, 6> kMacChanges{"learned", "moved", "aged", "evicted", "removed", "set"};

std::string name_of(const BridgeState& bridge, PortNo number) {
  const BridgePort* port = bridge.find(number);
  return port == nullptr ? fmt::format("{}", number.value) : port->name;
}

}  // namespace

std::uint64_t Watchers::add(unsigned subjects, Watcher watcher) {
  watchers_[next_number_] = {subjects, std::move(watcher)};
  events_.want_macs(watched(SwitchEvent::Subject::kMac));
  return next_number_++;
}

void Watchers::remove(std::uint64_t number) {
  watchers_.erase(number);
  events_.want_macs(watched(SwitchEvent::Subject::kMac));
}

bool Watchers::watched(SwitchEvent::Subject subject) const {
  return std::ranges::any_of(
      watchers_, [&](const auto& entry) { return (entry.second.subjects >> static_cast<unsigned>(subject) & 1) != 0; });
}

void Watchers::tell(const SwitchEvent& event) const {
  for (const auto& [number, one] : watchers_)
    if ((one.subjects >> static_cast<unsigned>(event.subject) & 1) != 0) one.watcher(event);
}

void Watchers::port_stands(BridgeId id, const BridgePort& port, bool has_interface) {
  const auto found = ports_.find(port.dp);
  SwitchEvent event{.what = "changed", .port = port.name, .number = port.number};
  if (found == ports_.end()) {
    event.what = "attached";
  } else {
    const PortThen& then = found->second;
    if (then.has_interface != has_interface)
      event.what = has_interface ? "back" : "gone";
    else if (then.up != port.up)
      event.what = port.up ? "up" : "down";
    else if (then.name != port.name)
      event.what = "renamed";
    if (then.name != port.name) event.before = then.name;
  }
  ports_[port.dp] = {port.name, port.up, has_interface};
  const BridgeState* on = switch_.find_bridge(id);
  if (on == nullptr || !watched(SwitchEvent::Subject::kPort)) return;
  event.bridge = on->name;
  tell(event);
}

void Watchers::port_went(BridgeId id, const BridgePort& port) {
  ports_.erase(port.dp);
  const BridgeState* on = switch_.find_bridge(id);
  if (on == nullptr || !watched(SwitchEvent::Subject::kPort)) return;
  tell({.what = "detached", .bridge = on->name, .port = port.name, .number = port.number});
}

void Watchers::mac_changed(const MacEvent& event) {
  const BridgeState* on = switch_.find_bridge(event.bridge);
  if (on == nullptr || !watched(SwitchEvent::Subject::kMac)) return;
  SwitchEvent told{.subject = SwitchEvent::Subject::kMac,
                   .what = kMacChanges[static_cast<std::size_t>(event.change)],
                   .bridge = on->name,
                   .mac = event.key};
  if (event.port) {
    told.port = name_of(*on, *event.port);
    told.number = *event.port;
  }
  if (event.old_port) told.before = name_of(*on, *event.old_port);
  tell(told);
}

void Watchers::macs_missed(std::uint64_t count) {
  if (watched(SwitchEvent::Subject::kMac))
    for (const auto& [number, one] : watchers_)
      if ((one.subjects >> static_cast<unsigned>(SwitchEvent::Subject::kMac) & 1) != 0)
        one.watcher({.subject = SwitchEvent::Subject::kMissed, .what = "missed", .count = count});
}

void Watchers::rule_added(BridgeId id, const RuleRef& rule) {
  const bool replaces = std::exchange(replaced_, std::nullopt) == rule->table;
  tell_rule(id, replaces ? "replaced" : "added", *rule, "");
}

void Watchers::rule_removed(BridgeId id, const Rule& rule, std::optional<RemovedReason> reason) {
  if (reason)
    tell_rule(id, "removed", rule, kReasons[static_cast<std::size_t>(*reason)]);
  else
    replaced_ = rule.table;
}

void Watchers::tell_rule(BridgeId id, std::string_view what, const Rule& rule, std::string_view reason) {
  if (!watched(SwitchEvent::Subject::kRule)) return;
  const BridgeState* on = switch_.find_bridge(id);
  if (on == nullptr) return;
  refresh_names(*on);
  tell({.subject = SwitchEvent::Subject::kRule,
        .what = what,
        .bridge = on->name,
        .rule = format_flow(rule, Clock::now(), names_),
        .reason = std::string{reason}});
}

void Watchers::refresh_names(const BridgeState& on) {
  const std::uint64_t version = switch_.version();
  if (names_of_ == on.id && names_version_ == version) return;
  std::map<std::string, PortNo> names;
  for (const BridgePort& port : on.ports) names.emplace(port.name, port.number);
  names_ = PortNames{names};
  names_of_ = on.id;
  names_version_ = version;
}

}  // namespace shunt
