// SPDX-License-Identifier: Apache-2.0
// C++ view of the flow key (maps/flow_key.h): words, masks, comparison. A FlowMask is a FlowKey whose set bits matter.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "maps/flow_key.h"

namespace shunt {

using FlowKey = shunt_flow_key;
using FlowMask = shunt_flow_key;

inline constexpr std::size_t kKeyWords = SHUNT_KEY_WORDS;
using KeyWords = std::array<std::uint64_t, kKeyWords>;

inline KeyWords to_words(const FlowKey& key) { return std::bit_cast<KeyWords>(key); }
inline FlowKey from_words(const KeyWords& words) { return std::bit_cast<FlowKey>(words); }

inline bool equal(const FlowKey& a, const FlowKey& b) { return to_words(a) == to_words(b); }

inline FlowKey operator&(const FlowKey& key, const FlowMask& mask) {
  KeyWords k = to_words(key);
  const KeyWords m = to_words(mask);
  for (std::size_t i = 0; i < kKeyWords; ++i) k[i] &= m[i];
  return from_words(k);
}

// Adds the bits of `more` to `mask`: un-wildcards them.
inline void add_mask(FlowMask& mask, const FlowMask& more) {
  KeyWords m = to_words(mask);
  const KeyWords o = to_words(more);
  for (std::size_t i = 0; i < kKeyWords; ++i) m[i] |= o[i];
  mask = from_words(m);
}

// True where each bit of `inner` is also in `outer`.
inline bool is_subset(const FlowMask& inner, const FlowMask& outer) {
  const KeyWords a = to_words(inner);
  const KeyWords b = to_words(outer);
  for (std::size_t i = 0; i < kKeyWords; ++i)
    if ((a[i] & ~b[i]) != 0) return false;
  return true;
}

// A match: the packets with (key & mask) == value. Invariant: value has no bit outside mask.
struct Match {
  FlowKey value{};
  FlowMask mask{};

  [[nodiscard]] bool matches(const FlowKey& key) const { return equal(key & mask, value); }
  // True where some packet could match both.
  [[nodiscard]] bool overlaps(const Match& other) const {
    const KeyWords v1 = to_words(value), v2 = to_words(other.value), m1 = to_words(mask), m2 = to_words(other.mask);
    for (std::size_t i = 0; i < kKeyWords; ++i)
      if (((v1[i] ^ v2[i]) & m1[i] & m2[i]) != 0) return false;
    return true;
  }
};

}  // namespace shunt
