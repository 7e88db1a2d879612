// SPDX-License-Identifier: Apache-2.0
// For a packet that was dropped: the rule that nearly let it pass. Pure, and a linear scan: it is asked by people.
// Threads: any.
#pragma once

#include <optional>
#include <vector>

#include "user/pipeline/trace.h"

namespace shunt {

// A table that the packet came by, and the packet as it was then.
struct TableVisit {
  std::uint8_t table = 0;
  PipelineKey key{};
};

// Of all rules in the tables visited the nearest (fewest differing fields, then bits, then the highest priority) that
// really helps: a packet that differs from this one only in those fields meets the rule, and goes out somewhere.
std::optional<NearMiss> find_near_miss(const SwitchState& state, const BridgeState& bridge, const FlowKey& packet,
                                       const Translation& dropped, const std::vector<TableVisit>& visits,
                                       const PortNames& names);

}  // namespace shunt
