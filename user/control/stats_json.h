// SPDX-License-Identifier: Apache-2.0
// All figures of an instance as one answer: of the method `top`, and of the web page's /api/stats. The names are
// documented in docs/cli.md and stable. Threads: any.
#pragma once

#include <span>

#include "user/control/json_rpc.h"
#include "user/control/trace_json.h"
#include "user/stats/snapshot.h"

namespace shunt {

inline constexpr std::uint64_t kTopFlows = 20, kMostTopFlows = 100;  // shown where nobody says how many; at most

PortPlaces port_places(const InstanceStats& stats);
Json stats_json(const StatsSnapshot& snapshot, std::span<const FlowSnapshot> flows);
// A flow and the walk through the rules that made it.
Json why_json(const CacheWhy& why, const PortNames& names, const PortPlaces& places);
// FlowSnapshot::id as a text, and back (nothing: that is none). JavaScript's numbers do not hold 64 bits.
std::string flow_id_text(std::uint64_t id);
std::optional<std::uint64_t> parse_flow_id(std::string_view text);

}  // namespace shunt
