// SPDX-License-Identifier: Apache-2.0
// Traces and cached flows as JSON, for the commands that show them.
#pragma once

#include <string>
#include <unordered_map>

#include "user/control/instance_api.h"
#include "user/control/json_rpc.h"
#include "user/pipeline/port_names.h"

namespace shunt {

// Where a datapath port is: its bridge, its name, its OpenFlow number there.
struct PortPlace {
  std::string bridge, name;
  PortNo number;
};
using PortPlaces = std::unordered_map<DpPort, PortPlace>;
PortPlaces port_places(InstanceApi& instance);
// Empty: no such port.
std::string name_of(const PortPlaces& places, DpPort port);

// The part of a line of `shunt cache list` that says which packets the flow is for.
std::string flow_key_text(const FlowSnapshot& flow, const PortPlaces& places);
Json flow_json(const FlowSnapshot& flow, const PortPlaces& places);
// The steps, rules and outcome of a trace; `names` are of its bridge.
Json trace_json(const Trace& trace, const PortNames& names, const PortPlaces& places);

}  // namespace shunt
