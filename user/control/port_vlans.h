// SPDX-License-Identifier: Apache-2.0
// A port's VLAN settings as a command gives them: some of them, the rest stays. Which belong together is decided here;
// what a frame meets, in user/l2/vlan.h.
// Threads: any; nothing is shared.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "user/l2/vlan.h"

namespace shunt {

struct VlanChange {
  std::optional<VlanMode> mode;
  std::optional<VlanId> tag;
  std::optional<VlanSet> trunks;
  bool all_trunks = false;  // forgets `trunks`: all VLANs
  std::optional<VlanSet> cvlans;
  std::optional<std::uint16_t> qinq_ethtype;
  std::optional<PriorityTags> priority_tags;
};

// Without a mode, a tag makes an access port of a trunk, and trunks make a trunk of an access port; what the mode has
// no use for is forgotten. Throws Error where the settings do not go together.
VlanConfig change_vlans(VlanConfig vlan, const VlanChange& change);

// As in Open vSwitch's Port table: "native-tagged", "802.1ad", "if-nonzero". Nothing: no such word.
[[nodiscard]] std::optional<VlanMode> vlan_mode_from(std::string_view word);
[[nodiscard]] std::string_view name_of(VlanMode mode);
[[nodiscard]] std::optional<PriorityTags> priority_tags_from(std::string_view word);
[[nodiscard]] std::string_view name_of(PriorityTags tags);

}  // namespace shunt
