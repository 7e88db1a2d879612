// SPDX-License-Identifier: Apache-2.0
// Actions of a rule, as a user or controller states them (ovs-actions(7)); translation turns them into datapath
// actions.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "maps/types.h"
#include "user/base/strong_types.h"
#include "user/flow/flow_key.h"

namespace shunt {

// output:N and its reserved ports: IN_PORT, NORMAL, FLOOD, ALL, LOCAL (kPort* of strong_types.h).
struct OutputAction {
  PortNo port;
  std::uint16_t max_len = 0;  // bytes; 0: the whole frame. output(port=N,max_len=M)
};

// set_field, load, mod_*: writes the bits of `set.mask` to `set.value` in the packet's key. One field, whole or under a
// mask. A packet that has not got the field (holds(field->prerequisite, key)) stays as it is: mod_nw_src and its like
// may stand in rules that match more than IPv4. Never the PRESENT bit of a VLAN tag.
struct SetFieldAction {
  const struct Field* field;  // user/flow/fields.h
  Match set;
};

// move:SRC[a..b]->DST[c..d]: bits of the fields' values, counted from the least significant. A packet that has not got
// one of the fields stays as it is.
struct MoveAction {
  const struct Field* src;
  const struct Field* dst;
  std::uint16_t src_bit, dst_bit, bit_count;
};

struct PushVlanAction {
  std::uint16_t tpid;  // 0x8100 or 0x88a8
};
struct PopVlanAction {};
// mod_vlan_vid, mod_vlan_pcp: as OpenFlow 1.0 has them. They write the outer tag; a packet that has none gets one first
// (TPID 0x8100, the rest of its TCI 0). set_field:...->vlan_vid differs: it wants a tag.
struct SetVlanVidAction {
  std::uint16_t vid;  // 0..4095
};
struct SetVlanPcpAction {
  std::uint8_t pcp;  // 0..7
};
struct DecTtlAction {};
struct DropAction {};  // explicit `drop`; only as the sole action

using Action = std::variant<OutputAction, SetFieldAction, MoveAction, PushVlanAction, PopVlanAction, SetVlanVidAction,
                            SetVlanPcpAction, DecTtlAction, DropAction>;
using ActionList = std::vector<Action>;

}  // namespace shunt
