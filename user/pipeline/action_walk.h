// SPDX-License-Identifier: Apache-2.0
// Walks over a list of actions and the lists inside it (write_actions, clone): what it names.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <variant>

#include "user/pipeline/action.h"

namespace shunt {

// Calls `visit(const Action&)` for each, a list before what is inside it; ends where that returns false, and returns
// false then.
template <typename Visit>
bool walk_actions(const ActionList& actions, Visit&& visit) {
  for (const Action& action : actions) {
    if (!visit(action)) return false;
    if (const auto* write = std::get_if<WriteActionsAction>(&action)) {
      if (!walk_actions(write->actions, visit)) return false;
    } else if (const auto* clone = std::get_if<CloneAction>(&action)) {
      if (!walk_actions(clone->actions, visit)) return false;
    }
  }
  return true;
}

template <typename Test>
bool any_action(const ActionList& actions, Test&& test) {
  return !walk_actions(actions, [&](const Action& action) { return !test(action); });
}

// Calls `visit(id)` for each group (meter) that the list names.
template <typename Visit>
void for_each_group(const ActionList& actions, Visit&& visit) {
  walk_actions(actions, [&](const Action& action) {
    if (const auto* group = std::get_if<GroupAction>(&action)) visit(group->group);
    return true;
  });
}
template <typename Visit>
void for_each_meter(const ActionList& actions, Visit&& visit) {
  walk_actions(actions, [&](const Action& action) {
    if (const auto* meter = std::get_if<MeterAction>(&action)) visit(meter->meter);
    const auto* controller = std::get_if<ControllerAction>(&action);
    if (controller != nullptr && controller->meter_id) visit(*controller->meter_id);
    return true;
  });
}

[[nodiscard]] inline bool outputs_to(const ActionList& actions, PortNo port) {
  return any_action(actions, [&](const Action& action) {
    if (const auto* output = std::get_if<OutputAction>(&action)) return output->port == port;
    if (const auto* enqueue = std::get_if<EnqueueAction>(&action)) return enqueue->port == port;
    return std::holds_alternative<ControllerAction>(action) && port == kPortController;
  });
}
[[nodiscard]] inline bool names_group(const ActionList& actions, std::uint32_t group) {
  return any_action(actions, [&](const Action& action) {
    const auto* named = std::get_if<GroupAction>(&action);
    return named != nullptr && named->group == group;
  });
}
[[nodiscard]] inline bool names_meter(const ActionList& actions, std::uint32_t meter) {
  bool names = false;
  for_each_meter(actions, [&](std::uint32_t named) { names = names || named == meter; });
  return names;
}

}  // namespace shunt
