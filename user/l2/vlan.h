// SPDX-License-Identifier: Apache-2.0
// VLAN modes of a bridge port, as in Open vSwitch's Port table (tag, trunks, vlan_mode).
#pragma once

#include <bitset>
#include <optional>

#include "user/base/strong_types.h"

namespace shunt {

using VlanSet = std::bitset<4096>;

struct VlanConfig {
  std::optional<VlanId> tag;      // set: access port of this VLAN
  std::optional<VlanSet> trunks;  // trunk port of these VLANs; neither set: trunk of all

  [[nodiscard]] bool is_access() const { return tag.has_value(); }
  // True where frames of `vlan` may pass; on an access port that is its own VLAN only.
  [[nodiscard]] bool carries(VlanId vlan) const {
    if (tag) return *tag == vlan;
    return !trunks || trunks->test(vlan.value);
  }
  friend bool operator==(const VlanConfig&, const VlanConfig&) = default;
};

}  // namespace shunt
