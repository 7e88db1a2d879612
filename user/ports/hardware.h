// SPDX-License-Identifier: Apache-2.0
// What makes a physical interface fit to be a port: frames as they were on the wire (no LRO, no hardware GRO), with
// their VLAN tags in them, and all of them (promiscuous mode). Threads: control.
#pragma once

#include <string>
#include <vector>

#include "user/net/netlink.h"
#include "user/ports/changes.h"

namespace shunt {

// Returns a warning for each cure that the driver refuses, saying what is lost by that.
[[nodiscard]] std::vector<std::string> cure_hardware(const Link& link, Changes& changes);

}  // namespace shunt
