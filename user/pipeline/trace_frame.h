// SPDX-License-Identifier: Apache-2.0
// A frame that has a given key: what a trace that begins with fields hands to decisions that look at the frame, and a
// key made of fields, completed to what the parser makes of such a packet. Threads: any; nothing is shared.
#pragma once

#include <cstdint>
#include <vector>

#include "user/flow/flow_key.h"

namespace shunt {

// The shortest frame whose key this is: at least 60 bytes, behind L4 only zeroes. Checksums above IP's own are left 0:
// nothing that decides looks at them. What no key tells is made up: below MPLS lies an IPv4 header.
std::vector<std::uint8_t> compose_frame(const FlowKey& key);

// Fields as a user gives them -> the key of a packet: IPv4 addresses in their place, a TPID for a tag, a TTL of 64 and
// the end of the label stack where they were left out. `given`: the bits that the user named.
FlowKey complete_key(FlowKey key, const FlowMask& given);

}  // namespace shunt
