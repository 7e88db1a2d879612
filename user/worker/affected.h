// SPDX-License-Identifier: Apache-2.0
// Whether a change may alter what a cached flow does: by what its translation looked at. Says yes too often rather than
// once too seldom, for what it says no to keeps its verdict.
//
// Threads: any.
#pragma once

#include "user/flow/flow_key.h"
#include "user/pipeline/switch.h"
#include "user/pipeline/translate.h"

namespace shunt {

// A flow of the change's bridge, by its masked key and its mask.
[[nodiscard]] inline bool is_affected(const Dependencies& dependencies, const FlowKey& key, const FlowMask& mask,
                                      const Change& change) {
  if (change.all || (change.tags & dependencies.tags) != 0) return true;
  if (change.rules.empty()) return false;
  // What actions wrote before a look-up, the packet's own bits say nothing about; nor do they about registers.
  const FlowMask filter = without(mask, dependencies.rewritten);
  const Match flow{to_pipeline(key & filter), to_pipeline(filter)};
  for (const Change::Rules& rule : change.rules)
    if (dependencies.tables.test(rule.table) && rule.match.overlaps(flow)) return true;
  return false;
}

}  // namespace shunt
