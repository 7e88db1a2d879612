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
  const KeyWords filter = to_words(without(mask, *dependencies.rewritten)), flow = to_words(key);
  const auto overlaps = [&](const Match& match) {
    const KeyWords value = to_words(flow_part(match.value)), bits = to_words(flow_part(match.mask));
    std::uint64_t differ = 0;
    for (std::size_t i = 0; i < filter.size(); ++i) differ |= (value[i] ^ flow[i]) & bits[i] & filter[i];
    return differ == 0;
  };
  for (const Change::Rules& rule : change.rules)
    if (dependencies.tables.test(rule.table) && overlaps(rule.match)) return true;
  return false;
}

}  // namespace shunt
