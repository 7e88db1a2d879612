// SPDX-License-Identifier: Apache-2.0
#include "user/l2/vlan.h"

namespace shunt {

namespace {

constexpr std::uint16_t kTpid8021q = 0x8100;

bool sends_untagged(const VlanConfig& port, VlanId vlan) {
  switch (port.mode) {
    case VlanMode::kAccess:
    case VlanMode::kDot1qTunnel:
      return true;
    case VlanMode::kNativeUntagged:
      return port.tag == vlan;
    default:
      return false;
  }
}

// A tag with VID 0 for the priority, in place of the outer one: where there is a priority and the port wants it.
TagForm priority_form(const VlanConfig& port, const FrameTag& outer) {
  if (!outer.present || port.priority_tags == PriorityTags::kNo || outer.pcp == 0)
    return {outer.present ? -1 : 0, std::nullopt};
  return {0, FrameTag{true, kTpid8021q, 0, outer.pcp}};
}

TagForm tagged_form(const VlanConfig& port, const BridgedFrame& frame) {
  if (frame.service_tpid) {
    // Open vSwitch hands the customer's priority on only where the port has to do with priorities.
    const std::uint8_t pcp = port.priority_tags == PriorityTags::kNo ? std::uint8_t{0} : frame.outer.pcp;
    return {1, FrameTag{true, *frame.service_tpid, frame.vlan.value, pcp}};
  }
  if (frame.vlan.value == 0) {
    // A priority tag: kept as it is, or taken off. `always` keeps one that says nothing, but makes none.
    const bool keeps = port.priority_tags == PriorityTags::kAlways ||
                       (port.priority_tags == PriorityTags::kIfNonzero && frame.outer.pcp != 0);
    return {frame.outer.present && !keeps ? -1 : 0, std::nullopt};
  }
  if (!frame.outer.present) return {1, FrameTag{true, kTpid8021q, frame.vlan.value, 0}};
  if (frame.outer.vid == frame.vlan.value) return {};
  FrameTag tag = frame.outer;
  tag.vid = frame.vlan.value;
  return {0, tag};
}

TagForm untagged_form(const VlanConfig& port, const BridgedFrame& frame) {
  // Behind a tunnel's service tag the frame is what it was.
  if (frame.service_tpid) return {};
  if (port.priority_tags != PriorityTags::kNo && frame.outer.present && frame.inner.present &&
      port.mode != VlanMode::kAccess) {
    FrameTag tag = frame.inner;
    tag.pcp = frame.outer.pcp;
    return {-1, tag};
  }
  return priority_form(port, frame.outer);
}

}  // namespace

std::optional<VlanId> vlan_on_ingress(const VlanConfig& port, const FrameTag& outer) {
  const std::uint16_t vid = outer.present ? outer.vid : std::uint16_t{0};
  switch (port.mode) {
    case VlanMode::kAccess:
      return vid == 0 ? port.tag : std::nullopt;
    case VlanMode::kDot1qTunnel:
      return !port.cvlans || port.cvlans->test(vid) ? port.tag : std::nullopt;
    case VlanMode::kNativeTagged:
    case VlanMode::kNativeUntagged:
      if (vid == 0) return port.tag;
      break;
    case VlanMode::kTrunk:
      break;
  }
  return port.carries(VlanId{vid}) ? std::optional{VlanId{vid}} : std::nullopt;
}

TagsNeeded tags_needed(const VlanConfig& port, const BridgedFrame& frame) {
  TagsNeeded needed;
  needed.outer_priority = port.priority_tags != PriorityTags::kNo;
  if (frame.service_tpid || !frame.outer.present) return needed;
  const bool rewrites_inner =
      needed.outer_priority && port.mode != VlanMode::kAccess && sends_untagged(port, frame.vlan);
  needed.inner = rewrites_inner || (port.mode == VlanMode::kDot1qTunnel && port.cvlans);
  return needed;
}

bool may_egress(const VlanConfig& port, const BridgedFrame& frame) {
  if (!port.carries(frame.vlan)) return false;
  if (port.mode != VlanMode::kDot1qTunnel || !port.cvlans) return true;
  const FrameTag& customer = frame.service_tpid ? frame.outer : frame.inner;
  return port.cvlans->test(customer.present ? customer.vid : 0);
}

TagForm form_on_egress(const VlanConfig& port, const BridgedFrame& frame) {
  return sends_untagged(port, frame.vlan) ? untagged_form(port, frame) : tagged_form(port, frame);
}

bool sends_unchanged(const VlanConfig& port, VlanId vlan, bool tagged) {
  BridgedFrame frame;
  frame.vlan = vlan;
  if (tagged) frame.outer = {true, kTpid8021q, vlan.value, 0};
  const TagsNeeded needed = tags_needed(port, frame);
  return !needed.outer_priority && !needed.inner && may_egress(port, frame) && form_on_egress(port, frame) == TagForm{};
}

}  // namespace shunt
