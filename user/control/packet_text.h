// SPDX-License-Identifier: Apache-2.0
// A packet as a user describes it, for `shunt trace` and `shunt cache why`: the fields of a rule's match, each with one
// value.
// Threads: any; nothing is shared.
#pragma once

#include <string>
#include <string_view>

#include "user/base/strong_types.h"
#include "user/flow/flow_key.h"
#include "user/pipeline/port_names.h"

namespace shunt {

struct GivenPacket {
  PortNo in_port;
  FlowKey key{};  // its in_port is 0: who knows the datapath fills it in
};

// "in_port=veth1,tcp,nw_dst=10.0.0.2,tp_dst=80". What is not said is 0, or what such packets have (trace_frame.h).
// Throws TextError, or Error where there is no place to point at.
GivenPacket parse_packet(std::string_view text, const PortNames& names);

// The other way: all fields that such a packet has.
std::string format_packet(const FlowKey& key, PortNo in_port, const PortNames& names);

}  // namespace shunt
