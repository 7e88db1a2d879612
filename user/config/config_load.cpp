// SPDX-License-Identifier: Apache-2.0
#include "user/config/config_load.h"

#include <utility>

#include "user/base/error.h"
#include "user/base/of_error.h"
#include "user/config/config_file.h"
#include "user/config/config_plan.h"
#include "user/config/config_undo.h"
#include "user/control/rule_features.h"

namespace shunt {
namespace {

// What the XDP program must be able to do for all of it.
std::uint32_t features_of_all(const SwitchConfig& config) {
  std::uint32_t features = 0;
  for (const auto& [name, bridge] : config.bridges) {
    features |= features_of(bridge.own_port.vlan);
    for (const auto& [port, settings] : bridge.ports) features |= features_of(settings.settings.vlan);
    if (bridge.groups)
      for (const GroupMod& group : bridge.groups->things) features |= features_of(group);
    if (bridge.rules)
      for (const FlowMod& rule : bridge.rules->things) features |= features_of(rule);
  }
  return features;
}

// Refusals here are about a file whose lines the switch does not know.
void apply(InstanceApi& instance, const ConfigPlan& plan, const SwitchConfig& running, const SwitchConfig& wanted) {
  if (plan.steps.empty()) return;
  try {
    instance.with_features(features_of_all(wanted), [&] { apply_config(instance, plan, running); });
  } catch (const OfError& error) {
    throw Error("nothing was changed: {}", error.what());
  } catch (const Error& error) {
    throw Error("nothing was changed: {}", error.what());
  }
}

}  // namespace

std::vector<std::string> diff_config(InstanceApi& instance, std::string_view toml) {
  const SwitchConfig running = running_config(instance);
  return plan_config(running, parse_config(toml, running)).lines;
}

std::vector<std::string> load_config(InstanceApi& instance, std::string_view toml) {
  const SwitchConfig running = running_config(instance);
  const SwitchConfig wanted = parse_config(toml, running);
  ConfigPlan plan = plan_config(running, wanted);
  apply(instance, plan, running, wanted);
  if (!plan.steps.empty()) instance.push_undo(format_change(change_between(running, running_config(instance))));
  return std::move(plan.lines);
}

std::vector<std::string> undo_config(InstanceApi& instance, bool dry_run) {
  const auto text = instance.last_undo();
  if (!text) throw Error("there is nothing to undo: no configuration was loaded, or all were taken back");
  const SwitchConfig running = running_config(instance);
  const SwitchConfig wanted = taken_back(running, parse_change(*text));
  ConfigPlan plan = plan_config(running, wanted);
  if (dry_run) return std::move(plan.lines);
  apply(instance, plan, running, wanted);
  instance.pop_undo();
  return std::move(plan.lines);
}

}  // namespace shunt
