// SPDX-License-Identifier: Apache-2.0
// `normal`: the learning, VLAN-aware switch (IEEE 802.1Q), with Open vSwitch's port modes.
#include <algorithm>
#include <cstring>

#include "user/pipeline/translator.h"

namespace shunt {

namespace {

constexpr std::uint16_t kTpid8021q = 0x8100;
constexpr std::uint16_t kVidBits = 0x0fff;

// 01:80:c2:00:00:00 to :0f: link-local protocols, which a bridge does not forward (IEEE 802.1Q section 8.6.3).
constexpr MacAddr kReservedMac{{0x01, 0x80, 0xc2, 0x00, 0x00, 0x00}};
constexpr std::uint8_t kReservedLastByteMask = 0xf0;

bool is_reserved(MacAddr mac) {
  mac.bytes[5] &= kReservedLastByteMask;
  return mac == kReservedMac;
}

}  // namespace

void Translator::normal(std::uint16_t max_len, bool last) {
  const BridgePort* ingress = bridge_->find(PortNo{working_.in_port});
  if (ingress == nullptr) return fail(SHUNT_DROP_BAD_ACTION);  // an action wrote in_port
  VlanId vlan;
  if (!admit_vlan(*ingress, vlan)) return fail(SHUNT_DROP_VLAN_NOT_ALLOWED);

  if (is_reserved(MacAddr::from_wire(working_.eth_dst))) {
    FlowMask dst = eth_dst_mask();
    dst.eth_dst[5] = kReservedLastByteMask;
    examine(dst);
    return fail(SHUNT_DROP_RESERVED_MAC);
  }
  examine(eth_dst_mask());
  examine(eth_src_mask());
  learn(*ingress, vlan);
  send_in_vlan(choose_outputs(*ingress, vlan), vlan, max_len, last);
}

bool Translator::admit_vlan(const BridgePort& ingress, VlanId& vlan) {
  examine(vlan_mask(SHUNT_VLAN_PRESENT | kVidBits));
  // A tag with VID 0 carries a priority only: the frame is an untagged one.
  const auto vid = static_cast<std::uint16_t>(is_tagged() ? working_.vlan[0].tci.host() & kVidBits : 0);
  if (ingress.vlan.is_access()) {
    vlan = *ingress.vlan.tag;
    return vid == 0;
  }
  vlan = VlanId{vid};
  return ingress.vlan.carries(vlan);
}

void Translator::learn(const BridgePort& ingress, VlanId vlan) {
  const FdbKey src{vlan, MacAddr::from_wire(working_.eth_src)};
  if (src.mac.is_multicast()) return;
  if (!result_.learn) result_.learn = Translation::Learn{src, ingress.number};
  result_.fdb_dependencies.push_back({bridge_->id, src});
}

// Where the frame goes; if nowhere, says why.
std::vector<const BridgePort*> Translator::choose_outputs(const BridgePort& ingress, VlanId vlan) {
  const FdbKey dst{vlan, MacAddr::from_wire(working_.eth_dst)};
  if (!dst.mac.is_multicast()) {
    result_.fdb_dependencies.push_back({bridge_->id, dst});
    if (const auto number = bridge_->fdb->lookup(dst)) {
      const BridgePort* port = bridge_->find(*number);
      if (port == &ingress)
        fail(SHUNT_DROP_SAME_PORT);
      else if (port == nullptr || !port->up)
        fail(SHUNT_DROP_NO_OUTPUT_PORT);
      else if (!port->vlan.carries(vlan))
        fail(SHUNT_DROP_VLAN_NOT_ALLOWED);
      else
        return {port};
      return {};
    }
  }
  std::vector<const BridgePort*> ports;
  shunt_drop_reason why_none = SHUNT_DROP_SAME_PORT;
  for (const BridgePort& port : bridge_->ports) {
    if (&port == &ingress || !port.vlan.carries(vlan)) continue;
    if (port.up)
      ports.push_back(&port);
    else
      why_none = SHUNT_DROP_NO_OUTPUT_PORT;
  }
  if (ports.empty()) fail(why_none);
  return ports;
}

// At most two forms of the frame are sent, and no form needs more than one edit after the other: first the one nearer
// to the frame as it is. Later outputs get the frame as it was.
void Translator::send_in_vlan(std::span<const BridgePort* const> ports, VlanId vlan, std::uint16_t max_len, bool last) {
  const auto takes_tag = [&](const BridgePort* port) { return vlan.value != 0 && !port->vlan.is_access(); };
  const bool any_tagged = std::any_of(ports.begin(), ports.end(), takes_tag);
  const bool any_untagged = !std::all_of(ports.begin(), ports.end(), takes_tag);
  const auto send_to = [&](bool tagged) {
    for (const BridgePort* port : ports)
      if (takes_tag(port) == tagged) send(*port, max_len);
  };

  if (!is_tagged()) {
    send_to(false);
    if (!any_tagged) return;
    push_tag(kTpid8021q, vlan.value);
    send_to(true);
    if (!last) pop_tag();
    return;
  }

  const auto tci = working_.vlan[0].tci.host();
  const auto set_vid = [&](std::uint16_t vid) {
    Match set;
    set.mask = vlan_mask(kVidBits);
    set.value.vlan[0].tci = be16{vid};
    write(set);
  };
  const bool has_other_vid = (tci & kVidBits) != vlan.value;
  if (any_tagged && has_other_vid) set_vid(vlan.value);
  send_to(true);
  if (any_untagged) {
    const shunt_vlan tag = working_.vlan[0];
    if (!last) {
      // The tag comes back as it was: its other bits matter, too.
      FlowMask whole = vlan_mask(0xffff);
      whole.vlan[0].tpid = be16{0xffff};
      examine(whole);
    }
    pop_tag();
    send_to(false);
    if (!last) push_tag(tag.tpid.host(), static_cast<std::uint16_t>(tci & ~SHUNT_VLAN_PRESENT));
  } else if (any_tagged && has_other_vid && !last) {
    set_vid(static_cast<std::uint16_t>(tci & kVidBits));
  }
}

}  // namespace shunt
