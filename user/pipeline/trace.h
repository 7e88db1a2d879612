// SPDX-License-Identifier: Apache-2.0
// `shunt trace`: what the pipeline does with one packet, told table by table; and for a drop the nearest rule that
// would have let it pass. Pure: reads a SwitchState, changes nothing, learns nothing.
//
// Threads: any.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "user/pipeline/port_names.h"
#include "user/pipeline/translate.h"

namespace shunt {

struct TraceStep {
  enum class Kind { kTable, kRule, kMiss, kAction, kChange, kGroup, kNote };
  Kind kind;
  unsigned depth = 0;  // of resubmits, clones and buckets
  std::string text;    // as shown
  RuleRef rule;        // kRule
};

// The rule that differs from the packet in the fewest fields, of those in the table where it was dropped (or missed)
// that would have sent it somewhere.
struct NearMiss {
  RuleRef rule;
  std::uint8_t table = 0;
  std::vector<std::string> differences;  // "nw_dst is 10.0.0.9, the rule wants 10.0.1.0/24"
};

struct Trace {
  FlowKey key{};
  std::vector<TraceStep> steps;
  Translation translation;
  std::optional<NearMiss> near_miss;  // only where the packet is dropped
};

// `packet`: where the trace began with a frame; else one is made from the key, so that needs_packet decisions are made.
Trace trace_packet(const SwitchState& state, const FlowKey& key, const PacketView* packet, const PortNames& names);

}  // namespace shunt
