// SPDX-License-Identifier: Apache-2.0
#include "user/config/config_load.h"

#include <utility>

#include "user/base/error.h"
#include "user/base/of_error.h"
#include "user/config/config_file.h"
#include "user/config/config_plan.h"
#include "user/config/config_undo.h"

namespace shunt {
namespace {

// Refusals here are about a file whose lines the switch does not know.
void apply(InstanceApi& instance, const ConfigPlan& plan, const SwitchConfig& running) {
  try {
    apply_config(instance, plan, running);
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
  apply(instance, plan, running);
  if (!plan.steps.empty()) instance.push_undo(format_change(change_between(running, running_config(instance))));
  return std::move(plan.lines);
}

std::vector<std::string> undo_config(InstanceApi& instance, bool dry_run) {
  const auto text = instance.last_undo();
  if (!text) throw Error("there is nothing to undo: no configuration was loaded, or all were taken back");
  const SwitchConfig running = running_config(instance);
  ConfigPlan plan = plan_config(running, taken_back(running, parse_change(*text)));
  if (dry_run) return std::move(plan.lines);
  apply(instance, plan, running);
  instance.pop_undo();
  return std::move(plan.lines);
}

}  // namespace shunt
