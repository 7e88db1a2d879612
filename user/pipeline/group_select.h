// SPDX-License-Identifier: Apache-2.0
// How a select group spreads hashes over its buckets: a table of slots, a power of two of them, each of which names a
// bucket; a bucket has as many as its share of the weights. Where a bucket is down, its slots' hashes are spread evenly
// over the live buckets' slots, and those of live buckets stay where they are.
//
// Threads: any; nothing is kept between calls.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "user/pipeline/group.h"

namespace shunt {

inline constexpr unsigned kMaxSlotBits = 10;
inline constexpr std::size_t kMaxSlots = std::size_t{1} << kMaxSlotBits;

// Bucket indices by slot (Group::slots): the fewest slots that give each bucket its share within a thousandth of all,
// or kMaxSlots. Empty: no bucket has a weight.
[[nodiscard]] std::vector<std::uint16_t> make_slots(std::span<const BucketRef> buckets);

// The bucket for a hash, of those that `is_live(index)` says are up; none: none is. `hash_bits`: how many of the hash's
// lowest bits the answer depends on, at most kMaxSlotBits.
template <typename IsLive>
[[nodiscard]] std::optional<std::uint16_t> choose_slot(std::span<const std::uint16_t> slots, std::uint32_t hash,
                                                       IsLive&& is_live, unsigned& hash_bits) {
  hash_bits = 0;
  if (slots.empty()) return std::nullopt;
  hash_bits = static_cast<unsigned>(std::countr_zero(slots.size()));
  const std::size_t chosen = hash & (slots.size() - 1);
  if (is_live(slots[chosen])) return slots[chosen];

  std::vector<std::uint16_t> live;
  std::size_t dead = 0, rank = 0;  // slots of buckets that are down; and those of them before the chosen one
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    if (is_live(slots[slot])) {
      live.push_back(slots[slot]);
    } else {
      rank += slot < chosen;
      ++dead;
    }
  }
  if (live.empty()) return std::nullopt;
  // The further bits part each of the slots that are down.
  const unsigned further = kMaxSlotBits - hash_bits;
  const std::size_t part = (hash >> hash_bits) & ((std::size_t{1} << further) - 1);
  hash_bits = kMaxSlotBits;
  return live[((rank << further) + part) * live.size() / (dead << further)];
}

}  // namespace shunt
