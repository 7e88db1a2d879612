// SPDX-License-Identifier: Apache-2.0
// What has to be done to make one configuration of another: the fewest changes, in an order in which each can be made.
//
// Threads: control.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "user/config/config.h"

namespace shunt {

struct ConfigPlan {
  struct Step {
    std::function<void(InstanceApi&)> run;
    bool batched;  // with those beside it, InstanceApi::batch(): they are put in force together
  };
  // What it does, as users read it: "+ port veth1 of br0", "- rule …", "~ table 4 of br0: max-rules none -> 5".
  std::vector<std::string> lines;
  std::vector<Step> steps;
};

// Throws LineError where the switch would refuse `wanted`: every rule, group and meter is tried out beside the switch.
[[nodiscard]] ConfigPlan plan_config(const SwitchConfig& running, const SwitchConfig& wanted);

// Carries the plan out: all of it, or, where a step is refused, nothing: what was done is taken back, and the refusal
// thrown on.
void apply_config(InstanceApi& instance, const ConfigPlan& plan, const SwitchConfig& running);

}  // namespace shunt
