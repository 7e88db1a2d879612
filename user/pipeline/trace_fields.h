// SPDX-License-Identifier: Apache-2.0
// Keys compared field by field, for people: what an action changed, and in what a packet differs from a match.
//
// Bytes of a key belong to several fields, of which a packet has one; each byte is compared once, and named by the
// field that the packet has. Threads: any; nothing is shared.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "user/flow/flow_key.h"
#include "user/pipeline/port_names.h"

namespace shunt {

// "nw_ttl 64 -> 63", "vlan none -> 10": one text a field that differs.
std::vector<std::string> describe_changes(const PipelineKey& before, const PipelineKey& after, const PortNames& names);

// How far `key` is from being matched.
struct Distance {
  std::size_t fields = 0, bits = 0;
  friend auto operator<=>(const Distance&, const Distance&) = default;
};
[[nodiscard]] Distance distance(const PipelineKey& key, const Match& match) noexcept;
// "nw_dst is 10.0.0.9, the rule wants 10.0.1.0/24": one text a field that differs. `key` and `match` have OpenFlow port
// numbers.
std::vector<std::string> describe_differences(const PipelineKey& key, const Match& match, const PortNames& names);

}  // namespace shunt
