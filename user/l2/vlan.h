// SPDX-License-Identifier: Apache-2.0
// VLANs as `normal` sees them: the modes of a bridge port, as in Open vSwitch's Port table (tag, trunks, vlan_mode,
// cvlans, other_config:qinq-ethtype, other_config:priority-tags), which VLAN a frame is in, and how it is tagged on its
// way out.
//
// Threads: any; pure functions of their arguments.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>

#include "user/base/strong_types.h"

namespace shunt {

using VlanSet = std::bitset<4096>;

enum class VlanMode : std::uint8_t {
  kTrunk,           // carries tagged frames of its VLANs, and untagged ones as VLAN 0
  kAccess,          // one VLAN, untagged
  kNativeTagged,    // a trunk whose untagged frames belong to `tag`; sends that VLAN tagged
  kNativeUntagged,  // likewise, and sends that VLAN untagged
  kDot1qTunnel,     // one service VLAN: what comes in gets its tag in front, whatever tags it has (802.1ad)
};

// Whether frames that leave in VLAN 0 or in a port's untagged VLAN keep their priority in a tag with VID 0: kIfNonzero
// where there is one; kAlways also keeps a tag that came with VID and priority 0.
enum class PriorityTags : std::uint8_t { kNo, kIfNonzero, kAlways };

struct VlanConfig {
  // Open vSwitch's default where nothing is said: trunk without a tag, access with one.
  VlanMode mode = VlanMode::kTrunk;
  std::optional<VlanId> tag;            // of all modes but kTrunk
  std::optional<VlanSet> trunks;        // of kTrunk and the native modes; none: all
  std::optional<VlanSet> cvlans;        // of kDot1qTunnel: customer VLANs it takes; none: all
  std::uint16_t qinq_ethtype = 0x88a8;  // of kDot1qTunnel: 0x88a8 or 0x8100
  PriorityTags priority_tags = PriorityTags::kNo;

  [[nodiscard]] static VlanConfig access(VlanId vlan) {
    VlanConfig config;
    config.mode = VlanMode::kAccess;
    config.tag = vlan;
    return config;
  }
  [[nodiscard]] bool is_access() const { return mode == VlanMode::kAccess; }
  // True where frames of `vlan` may pass, whichever way they are tagged on the wire.
  [[nodiscard]] bool carries(VlanId vlan) const {
    switch (mode) {
      case VlanMode::kAccess:
      case VlanMode::kDot1qTunnel:
        return tag == vlan;
      case VlanMode::kNativeTagged:
      case VlanMode::kNativeUntagged:
        // A frame without VLAN would come back as one of the native VLAN.
        return tag == vlan || (vlan.value != 0 && (!trunks || trunks->test(vlan.value)));
      case VlanMode::kTrunk:
        break;
    }
    return !trunks || trunks->test(vlan.value);
  }
  friend bool operator==(const VlanConfig&, const VlanConfig&) = default;
};

// A tag of a frame, or the lack of it.
struct FrameTag {
  bool present = false;
  std::uint16_t tpid = 0;
  std::uint16_t vid = 0;  // 0: the tag carries a priority only
  std::uint8_t pcp = 0;
  friend bool operator==(const FrameTag&, const FrameTag&) = default;
};

// A frame inside the bridge: in one VLAN, however it was tagged.
struct BridgedFrame {
  VlanId vlan;
  FrameTag outer, inner;  // as it came in; PCP, TPID and the inner tag only where tags_needed() says so
  std::optional<std::uint16_t> service_tpid;  // came in through a tunnel: `vlan` is a tag in front of `outer`
};

// The VLAN of a frame whose outer tag is `outer`; none: the port does not take it. Looks at its presence and VID only.
[[nodiscard]] std::optional<VlanId> vlan_on_ingress(const VlanConfig& port, const FrameTag& outer);

// A frame as a port sends it, told by how it came in.
struct TagForm {
  int depth = 0;                  // tags that it has more: 1 is one in front, -1 its outer one less
  std::optional<FrameTag> front;  // what its first tag reads then; none: as it is
  friend bool operator==(const TagForm&, const TagForm&) = default;
};

// What of a frame's tags decides whether and how the port sends it, beside the outer one's presence and VID.
struct TagsNeeded {
  bool outer_priority = false;  // PCP and TPID
  bool inner = false;           // all of it
};
[[nodiscard]] TagsNeeded tags_needed(const VlanConfig& port, const BridgedFrame& frame);

// True where frames of this VLAN, and of this customer VLAN, leave by the port.
[[nodiscard]] bool may_egress(const VlanConfig& port, const BridgedFrame& frame);
[[nodiscard]] TagForm form_on_egress(const VlanConfig& port, const BridgedFrame& frame);
// Whether the port sends frames of the VLAN as they came, whatever priority and further tags they have: those without a
// tag, or those with the VLAN's own.
[[nodiscard]] bool sends_unchanged(const VlanConfig& port, VlanId vlan, bool tagged);

}  // namespace shunt
