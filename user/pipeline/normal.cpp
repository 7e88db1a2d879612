// SPDX-License-Identifier: Apache-2.0
// `normal`: the learning, VLAN-aware switch (IEEE 802.1Q), with Open vSwitch's port modes.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "user/l2/vlan.h"
#include "user/pipeline/translator.h"

namespace shunt {

namespace {

constexpr std::uint16_t kVidBits = 0x0fff;
constexpr std::uint16_t kPcpShift = 13;

// 01:80:c2:00:00:00 to :0f: link-local protocols, which a bridge does not forward (IEEE 802.1Q section 8.6.3).
constexpr MacAddr kReservedMac{{0x01, 0x80, 0xc2, 0x00, 0x00, 0x00}};
constexpr std::uint8_t kReservedLastByteMask = 0xf0;

bool is_reserved(MacAddr mac) {
  mac.bytes[5] &= kReservedLastByteMask;
  return mac == kReservedMac;
}

bool is_zero(std::span<const std::uint8_t> bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

FrameTag frame_tag(const shunt_vlan& vlan) {
  const std::uint16_t tci = vlan.tci.host();
  if ((tci & SHUNT_VLAN_PRESENT) == 0) return {};
  return {true, vlan.tpid.host(), static_cast<std::uint16_t>(tci & kVidBits),
          static_cast<std::uint8_t>(tci >> kPcpShift)};
}

std::uint16_t tci_of(const FrameTag& tag) { return static_cast<std::uint16_t>(tag.pcp << kPcpShift | tag.vid); }

FlowMask priority_mask() {
  FlowMask mask = vlan_mask(0x7 << kPcpShift);
  mask.vlan[0].tpid = be16{0xffff};
  return mask;
}

FlowMask inner_tag_mask() {
  FlowMask mask{};
  mask.vlan[1] = {be16{0xffff}, be16{0xffff}};
  return mask;
}

}  // namespace

void Translator::normal(std::uint16_t max_len) {
  // What controllers send comes in on no port: as from a trunk, but that nothing is learned of it.
  static const BridgePort kController = [] {
    BridgePort trunk;
    trunk.number = kPortController;
    return trunk;
  }();
  const BridgePort* ingress =
      working_.in_port == kPortController.value ? &kController : find_port(PortNo{working_.in_port});
  if (ingress == nullptr) return fail(SHUNT_DROP_BAD_ACTION);  // an action wrote in_port, or none of the bridge's it is
  examine(vlan_mask(SHUNT_VLAN_PRESENT | kVidBits));
  const auto vlan = vlan_on_ingress(ingress->vlan, frame_tag(working_.vlan[0]));
  if (!vlan) {
    note([&] { return ingress->name + " does not take the frame's VLAN"; });
    return fail(SHUNT_DROP_VLAN_NOT_ALLOWED);
  }

  if (bridging_) return bridge(*ingress, *vlan, max_len);
  const bool macs_matter = !is_zero(result_.mask.eth_dst) || !is_zero(result_.mask.eth_src);

  // Of links, not of bridges; but a controller that sends one, LLDP say, means it.
  if (ingress != &kController && is_reserved(MacAddr::from_wire(working_.eth_dst))) {
    FlowMask dst = eth_dst_mask();
    dst.eth_dst[5] = kReservedLastByteMask;
    examine(dst);
    note([] { return "link-local destination"; });
    return fail(SHUNT_DROP_RESERVED_MAC);
  }
  examine(eth_dst_mask());
  BridgedFrame frame;
  frame.vlan = *vlan;
  frame.outer = frame_tag(working_.vlan[0]);
  if (ingress->vlan.mode == VlanMode::kDot1qTunnel) frame.service_tpid = ingress->vlan.qinq_ethtype;
  const bool knows_macs = !bridge_->flood_vlans.test(vlan->value);
  if (knows_macs && ingress != &kController) learn(*ingress, *vlan);
  result_.may_be_bridged = knows_macs && !macs_matter && !ingress->protected_port;
  send_in_vlan(choose_outputs(*ingress, frame, knows_macs), frame, max_len);
}

// Nothing but the FDB, and what the entries say of their ports, may have a say in where the packet goes.
void Translator::bridge(const BridgePort& ingress, VlanId vlan, std::uint16_t max_len) {
  const FlowMask written = flow_part(known_);
  const FrameTag outer = frame_tag(working_.vlan[0]);
  const bool as_it_came = result_.actions.empty() && is_zero(written.eth_dst) && is_zero(written.eth_src) &&
                          written.vlan[0].tci.raw() == 0 && tag_source_ == kOwnTags &&
                          working_.in_port == original_in_port_ && is_zero(working_.skb_priority) && max_len == 0;
  const bool by_fdb = ingress.number != kPortController && ingress.vlan.mode != VlanMode::kDot1qTunnel &&
                      !ingress.protected_port && !bridge_->flood_vlans.test(vlan.value) &&
                      (!outer.present || outer.vid == vlan.value);
  if (!as_it_came || !by_fdb) return give_up(SHUNT_DROP_RULE);
  result_.bridged = vlan;
  emit(action_of(SHUNT_ACT_BRIDGE));
}

void Translator::learn(const BridgePort& ingress, VlanId vlan) {
  examine(eth_src_mask());
  const FdbKey src{vlan, MacAddr::from_wire(working_.eth_src)};
  if (src.mac.is_multicast()) return;
  auto& learns = result_.learns;
  const auto earlier = std::find_if(learns.begin(), learns.end(), [&](const auto& each) { return each.key == src; });
  if (earlier == learns.end())
    learns.push_back({src, ingress.number});
  else
    earlier->port = ingress.number;  // by an in_port that an action wrote: it was seen there last
  result_.fdb_dependencies.push_back({bridge_->id, src});
}

// Why the port does not get the frame; SHUNT_DROP_NONE: it does.
shunt_drop_reason Translator::refusal(const BridgePort& ingress, const BridgePort& port, BridgedFrame& frame) {
  depend_on(DependencyKind::kPort, port.number.value);
  if (&port == &ingress) return SHUNT_DROP_SAME_PORT;
  const TagsNeeded needed = tags_needed(port.vlan, frame);
  if (needed.inner && port.vlan.carries(frame.vlan)) {
    examine(inner_tag_mask());
    frame.inner = frame_tag(working_.vlan[1]);
  }
  if (!may_egress(port.vlan, frame)) return SHUNT_DROP_VLAN_NOT_ALLOWED;
  if (ingress.protected_port && port.protected_port) return SHUNT_DROP_PROTECTED_PORT;
  if (!port.up) return SHUNT_DROP_NO_OUTPUT_PORT;
  if (!port.forward) return SHUNT_DROP_NO_FORWARD;
  if (needed.outer_priority) examine(priority_mask());
  return SHUNT_DROP_NONE;
}

// Where the frame goes; if nowhere, says why.
std::vector<const BridgePort*> Translator::choose_outputs(const BridgePort& ingress, BridgedFrame& frame,
                                                          bool knows_macs) {
  const FdbKey dst{frame.vlan, MacAddr::from_wire(working_.eth_dst)};
  if (knows_macs && !dst.mac.is_multicast()) {
    result_.fdb_dependencies.push_back({bridge_->id, dst});
    // What this packet itself taught was learned before this look-up: it may be to its own sender.
    const auto own = std::find_if(result_.learns.begin(), result_.learns.end(),
                                  [&](const Translation::Learn& learn) { return learn.key == dst; });
    const auto number = own != result_.learns.end() ? std::optional{own->port} : bridge_->fdb->lookup(dst);
    if (number) {
      const BridgePort* port = find_port(*number);
      const shunt_drop_reason why_not = port == nullptr ? SHUNT_DROP_NO_OUTPUT_PORT : refusal(ingress, *port, frame);
      if (why_not == SHUNT_DROP_NONE) {
        note([&] { return "the destination was seen on " + port->name; });
        return {port};
      }
      note([] { return "the destination was seen on a port that does not get the frame"; });
      fail(why_not);
      return {};
    }
  }
  note([] { return "no one port has the destination: flooding"; });
  depend_on(DependencyKind::kPort, kPortAll.value);
  std::vector<const BridgePort*> ports;
  shunt_drop_reason why_none = SHUNT_DROP_SAME_PORT;
  for (const BridgePort& port : bridge_->ports) {
    if (!port.flood) {
      depend_on(DependencyKind::kPort, port.number.value);
      continue;
    }
    const shunt_drop_reason why_not = refusal(ingress, port, frame);
    if (why_not == SHUNT_DROP_NONE)
      ports.push_back(&port);
    else if (why_not != SHUNT_DROP_SAME_PORT && why_not != SHUNT_DROP_VLAN_NOT_ALLOWED)
      why_none = why_not;
  }
  if (ports.empty()) fail(why_none);
  return ports;
}

// A form of the frame is sent to all ports that want it, then edited on to the next: those with the tags that it has
// come first.
void Translator::send_in_vlan(std::span<const BridgePort* const> ports, const BridgedFrame& came,
                              std::uint16_t max_len) {
  BridgedFrame frame = came;
  frame.outer = frame_tag(working_.vlan[0]);
  if (std::all_of(ports.begin(), ports.end(),
                  [&](const BridgePort* port) { return form_on_egress(port->vlan, frame) == TagForm{}; })) {
    for (const BridgePort* port : ports) send(*port, max_len);
    return;
  }
  std::vector<std::pair<TagForm, std::vector<const BridgePort*>>> forms;
  for (const BridgePort* port : ports) {
    const TagForm form = form_on_egress(port->vlan, frame);
    auto at = std::find_if(forms.begin(), forms.end(), [&](const auto& each) { return each.first == form; });
    if (at == forms.end()) at = forms.insert(forms.end(), {form, {}});
    at->second.push_back(port);
  }
  const auto later = [](const TagForm& form) { return std::abs(form.depth) * 2 + (form.front ? 1 : 0); };
  std::stable_sort(forms.begin(), forms.end(),
                   [&](const auto& a, const auto& b) { return later(a.first) < later(b.first); });

  open_scope();
  int depth = 0;
  for (const auto& [form, takers] : forms) {
    if (form.depth < depth) {
      pop_tag();
      --depth;
    }
    if (form.depth > depth) {
      push_tag(form.front->tpid, tci_of(*form.front));
      ++depth;
    } else if (form.front) {
      write_tag(*form.front);
    }
    for (const BridgePort* port : takers) send(*port, max_len);
  }
  close_scope();
}

// Makes the outer tag, which is there, read `tag`. Only what differs, for it was examined, or is the packet's own.
void Translator::write_tag(const FrameTag& tag) {
  const FrameTag now = frame_tag(working_.vlan[0]);
  if (now.tpid != tag.tpid) {  // no edit reaches a TPID
    pop_tag();
    return push_tag(tag.tpid, tci_of(tag));
  }
  Match set;
  flow_part(set.mask) = vlan_mask(static_cast<std::uint16_t>(kVidBits | (now.pcp != tag.pcp ? 0x7 << kPcpShift : 0)));
  set.value.vlan[0].tci = be16{static_cast<std::uint16_t>(tci_of(tag) & set.mask.vlan[0].tci.host())};
  write(set);
}

}  // namespace shunt
