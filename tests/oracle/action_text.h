// SPDX-License-Identifier: Apache-2.0
// Random actions as text that both switches read: such as a rule with the given promise may hold.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/oracle/match_text.h"

namespace shunt::test {

// Learned rules have this priority or a higher one, others a lower one.
inline constexpr unsigned kLearnedPriority = 1000;

struct ActionChoices {
  std::vector<std::uint32_t> ports;
  std::uint32_t first_group = 1, group_count = 0;  // groups that may be named
  bool normal = false;
  bool learn = false;
  bool mpls = false;
  bool clones = true;
  bool buckets_lead_on = true;  // to other groups and tables
  // check_pkt_larger, instead of write_actions: behind it Open vSwitch runs an action set twice, and the lists around
  // it over the packet as it came there. So it stands in first tables only, outside of clones.
  bool checks_length = false;
  std::uint8_t tables = 5;  // 0 to tables - 1
};

// "output:1,mod_dl_dst:..." of a rule in `table`; instructions too.
std::string random_actions(Random& random, const ActionChoices& choices, const Promise& promise, std::uint8_t table);
// Of a group's bucket: as of an action set or a list, without instructions.
std::string random_bucket(Random& random, const ActionChoices& choices);

}  // namespace shunt::test
