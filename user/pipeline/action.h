// SPDX-License-Identifier: Apache-2.0
// Actions of a rule, as a user or controller states them (ovs-actions(7)); translation turns them into datapath actions.
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

// set_field, load, mod_*: writes the bits of `set.mask` to `set.value` in the packet's key. One field, whole or under a mask.
struct SetFieldAction {
  const struct Field* field;  // user/flow/fields.h
  Match set;
};

// move:SRC[a..b]->DST[c..d]
struct MoveAction {
  const struct Field* src;
  const struct Field* dst;
  std::uint16_t src_bit, dst_bit, bit_count;
};

struct PushVlanAction {
  std::uint16_t tpid;  // 0x8100 or 0x88a8
};
struct PopVlanAction {};
struct DecTtlAction {};
struct DropAction {};  // explicit `drop`; only as the sole action

using Action = std::variant<OutputAction, SetFieldAction, MoveAction, PushVlanAction, PopVlanAction, DecTtlAction, DropAction>;
using ActionList = std::vector<Action>;

}  // namespace shunt
