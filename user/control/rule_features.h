// SPDX-License-Identifier: Apache-2.0
// What the XDP program must be able to do (SHUNT_FEATURE_*) for the flows that a rule or a group will make: asked for with
// the rule, so that its first flows find it, or need not wait long. What is missed here is asked for by the flow itself
// (Revalidator::wanted_features).
// Threads: any; nothing is shared.
#pragma once

#include <cstdint>
#include <span>

#include "user/l2/vlan.h"
#include "user/pipeline/group.h"
#include "user/pipeline/rule.h"
#include "user/pipeline/switch.h"

namespace shunt {

[[nodiscard]] std::uint32_t features_of(const ActionList& actions);
[[nodiscard]] std::uint32_t features_of(const FlowMod& rule);
[[nodiscard]] std::uint32_t features_of(const GroupMod& group);
[[nodiscard]] std::uint32_t features_of(std::span<const Modification> rules_and_groups);
[[nodiscard]] std::uint32_t features_of(const VlanConfig& port);

}  // namespace shunt
