// SPDX-License-Identifier: Apache-2.0
// One case of the comparison: ports, groups and rules as text, and frames. The same seed and number make the same case.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/oracle/frame_spec.h"
#include "user/l2/vlan.h"

namespace shunt::test {

inline constexpr std::uint32_t kPortCount = 6;  // beside LOCAL

struct PortSetting {
  PortNo number;
  VlanConfig vlan;
  bool up = true;
  bool flood = true;
  bool is_protected = false;
  friend bool operator==(const PortSetting&, const PortSetting&) = default;
};
struct Layout {
  std::vector<PortSetting> ports;  // 1 to kPortCount; LOCAL is a trunk of all
  std::vector<std::uint16_t> flood_vlans;
  friend bool operator==(const Layout&, const Layout&) = default;
};

struct Input {
  std::uint32_t in_port;
  Bytes frame;
  std::string packet_out;  // actions that a controller sends it by, from no port; empty: it comes in by in_port
};

struct Scenario {
  Layout layout;
  std::vector<std::string> groups;  // "group_id=1,type=all,bucket=..."
  std::vector<std::string> rules;   // "table=0,priority=5,tcp,actions=output:2"
  std::vector<Input> inputs;
};

// Cases come in kinds, by their number: plain rules; rules and groups; with `normal` over ports with VLAN modes; all of
// it. `frames` come in each. Neighbours of a number share the layout: it is the slowest to change.
Scenario random_scenario(std::uint64_t seed, std::uint64_t number, std::size_t frames);
inline constexpr std::uint64_t kCasesALayout = 16;

}  // namespace shunt::test
