// SPDX-License-Identifier: Apache-2.0
#include "user/worker/rewrite.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "maps/flow_key.h"

namespace shunt {
namespace {

constexpr std::uint8_t kVlanPresent = SHUNT_VLAN_PRESENT >> 8;  // of a key's TCI, first byte

// Takes all of a field's `size` bytes over. False: its mask leaves some of the frame's bits.
bool set_whole(Rewrite& rewrite, std::uint8_t bit, std::uint8_t* to, const shunt_action& action, std::size_t size) {
  if (!std::all_of(action.mask, action.mask + size, [](std::uint8_t bits) { return bits == 0xff; })) return false;
  std::memcpy(to, action.value, size);
  rewrite.outer.what |= bit;
  return true;
}

// A TTL of 0 or 1 that is set leaves nothing to decrement; 0 means that none was set.
bool set_ttl(Rewrite& rewrite, const shunt_action& action) {
  return action.value[0] != 0 && set_whole(rewrite, SHUNT_REWRITE_TTL, &rewrite.outer.ttl, action, 1);
}

bool decrement_ttl(Rewrite& rewrite) {
  shunt_rewrite_outer& outer = rewrite.outer;
  outer.what |= SHUNT_REWRITE_TTL;
  if (outer.ttl == 0) ++outer.spent;  // lists are shorter than 256
  return outer.ttl == 0 || --outer.ttl != 0;
}

// A tag that was pushed here is taken off, or one of the frame's.
bool pop_tag(Rewrite& rewrite) {
  std::uint8_t& tags = rewrite.outer.tags;
  if ((tags & SHUNT_REWRITE_PUSH) != 0) {
    tags &= SHUNT_REWRITE_POP;
    std::memset(rewrite.inner.tci, 0, sizeof rewrite.inner.tci);
    return true;
  }
  if ((tags & SHUNT_REWRITE_POP) != 0) return false;
  tags |= SHUNT_REWRITE_POP;
  return true;
}

bool push_tag(Rewrite& rewrite, const shunt_action& action) {
  std::uint8_t& tags = rewrite.outer.tags;
  const int tpid = action.value[0] << 8 | action.value[1];
  if ((tags & SHUNT_REWRITE_PUSH) != 0 || (tpid != 0x8100 && tpid != 0x88a8)) return false;
  tags |= tpid == 0x88a8 ? SHUNT_REWRITE_PUSH | SHUNT_REWRITE_SERVICE : SHUNT_REWRITE_PUSH;
  rewrite.inner.tci[0] = static_cast<std::uint8_t>(action.value[2] & ~kVlanPresent);
  rewrite.inner.tci[1] = action.value[3];
  return true;
}

// Of a tag that was pushed here: the bits that are set over it.
bool set_tci(Rewrite& rewrite, const shunt_action& action) {
  if ((rewrite.outer.tags & SHUNT_REWRITE_PUSH) == 0) return false;
  for (int i = 0; i < 2; ++i) {
    const int mask = i == 0 ? action.mask[0] & ~kVlanPresent : action.mask[1];
    std::uint8_t& byte = rewrite.inner.tci[i];
    byte = static_cast<std::uint8_t>((byte & ~mask) | (action.value[i] & mask));
  }
  return true;
}

void set_tos(Rewrite& rewrite, const shunt_action& action) {
  shunt_rewrite_inner& inner = rewrite.inner;
  const std::uint8_t mask = action.mask[0];
  inner.tos = static_cast<std::uint8_t>((inner.tos & ~mask) | (action.value[0] & mask));
  inner.tos_mask |= mask;
  rewrite.outer.what |= SHUNT_REWRITE_TOS;
}

bool set_field(Rewrite& rewrite, const shunt_action& action) {
  shunt_rewrite_outer& outer = rewrite.outer;
  shunt_rewrite_inner& inner = rewrite.inner;
  switch (action.field) {
    case SHUNT_FIELD_ETH_DST:
      return set_whole(rewrite, SHUNT_REWRITE_ETH_DST, outer.eth, action, 6);
    case SHUNT_FIELD_ETH_SRC:
      return set_whole(rewrite, SHUNT_REWRITE_ETH_SRC, outer.eth + 6, action, 6);
    case SHUNT_FIELD_IP_SRC:
      return set_whole(rewrite, SHUNT_REWRITE_IP_SRC, inner.ip, action, 4);
    case SHUNT_FIELD_IP_DST:
      return set_whole(rewrite, SHUNT_REWRITE_IP_DST, inner.ip + 4, action, 4);
    case SHUNT_FIELD_TP_SRC:
      return set_whole(rewrite, SHUNT_REWRITE_TP_SRC, inner.ports, action, 2);
    case SHUNT_FIELD_TP_DST:
      return set_whole(rewrite, SHUNT_REWRITE_TP_DST, inner.ports + 2, action, 2);
    case SHUNT_FIELD_VLAN_TCI:
      return set_tci(rewrite, action);
    case SHUNT_FIELD_IP_TTL:
      return set_ttl(rewrite, action);
    case SHUNT_FIELD_IP_TOS:
      set_tos(rewrite, action);
      return true;
    default:
      return false;
  }
}

bool add(Rewrite& rewrite, const shunt_action& action) {
  switch (action.type) {
    case SHUNT_ACT_SET_FIELD:
      return set_field(rewrite, action);
    case SHUNT_ACT_DEC_TTL:
      return decrement_ttl(rewrite);
    case SHUNT_ACT_PUSH_VLAN:
      return push_tag(rewrite, action);
    case SHUNT_ACT_POP_VLAN:
      return pop_tag(rewrite);
    default:
      return false;
  }
}

}  // namespace

std::optional<Rewrite> rewrite_of(std::span<const shunt_action> actions) {
  if (actions.size() < 2) return std::nullopt;
  const std::uint8_t end = actions.back().type;
  if (end != SHUNT_ACT_OUTPUT && end != SHUNT_ACT_OUTPUT_GROUP) return std::nullopt;
  Rewrite rewrite{};
  for (const shunt_action& action : actions.first(actions.size() - 1))
    if (!add(rewrite, action)) return std::nullopt;
  return rewrite;
}

}  // namespace shunt
