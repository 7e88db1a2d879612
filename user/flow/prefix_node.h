// SPDX-License-Identifier: Apache-2.0
// A node of a prefix trie decides eight bits. It holds the prefixes of one to eight bits more than its own, and branches
// to nodes of at least eight bits more. It is as large as what it holds, mostly one cache line, and each array is filled
// up to eight items, so that eight are looked at together.
//
// Never edited once readers have it, but for where its branches lead: a change makes another one. `is_many` is the
// writer's. Priorities of at least 1 say that there are rules; 0 fills up.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "user/flow/arena.h"
#include "user/flow/prefix_bits.h"

namespace shunt {

// What a look-up found: the lengths of the prefixes that match, and the bits that were looked at.
struct PrefixMatches {
  LengthSet lengths{};
  std::uint8_t bits = 0;
};

template <typename Value>
struct PrefixNode {
  static constexpr unsigned kWidth = sizeof(Value) * 8, kStride = 8;

  Value prefix;
  std::uint16_t best;  // of all rules in here and below
  std::uint16_t own_count, child_count;
  std::uint8_t length;

  // Behind the node, in this order.
  [[nodiscard]] std::uint8_t* keys() noexcept { return bytes(); }  // of children: their eight bits, ascending
  [[nodiscard]] std::atomic<BlockRef>* children() noexcept {
    return reinterpret_cast<std::atomic<BlockRef>*>(bytes() + child_room());
  }
  [[nodiscard]] std::uint16_t* child_best() noexcept {
    return reinterpret_cast<std::uint16_t*>(bytes() + child_room() * 5);
  }
  [[nodiscard]] std::uint16_t* own_best() noexcept { return child_best() + child_room(); }
  [[nodiscard]] std::uint8_t* own_values() noexcept { return bytes() + child_room() * 7 + own_room() * 2; }
  [[nodiscard]] std::uint8_t* own_masks() noexcept { return own_values() + own_room(); }  // leading ones, at least one
  [[nodiscard]] std::uint8_t* is_many() noexcept { return own_masks() + own_room(); }     // has several rules

  [[nodiscard]] static std::size_t size(std::size_t own_count, std::size_t child_count) {
    return kBegin + room(child_count) * 7 + room(own_count) * 5;
  }
  [[nodiscard]] std::size_t size() const { return size(own_count, child_count); }

  // The eight bits that the node decides.
  [[nodiscard]] std::uint8_t key_of(Value value) const noexcept {
    return static_cast<std::uint8_t>(value >> (kWidth - kStride - length));
  }
  // The place of the first child of this key or a greater one.
  [[nodiscard]] unsigned child_place(std::uint8_t key) noexcept {
    unsigned at = 0;
    for (unsigned left = child_count; left != 0;) {
      const unsigned half = (left + 1) / 2;
      at += keys()[at + half - 1] < key ? half : 0;
      left -= half;
    }
    return at;
  }
  [[nodiscard]] bool has_child(unsigned place, std::uint8_t key) noexcept {
    return place < child_count && keys()[place] == key;
  }

  // Adds what there is above `least` of a value whose first bits are the node's.
  void look_at(Value value, std::uint16_t least, PrefixMatches& found) noexcept;

 private:
  using Bytes = std::uint8_t __attribute__((vector_size(8)));
  using Lanes = std::int16_t __attribute__((vector_size(16)));
  using Priorities = std::uint16_t __attribute__((vector_size(16)));
  static constexpr std::size_t kBegin = sizeof(Value) + 8;  // padding is used

  [[nodiscard]] std::uint8_t* bytes() noexcept { return reinterpret_cast<std::uint8_t*>(this) + kBegin; }
  static std::size_t room(std::size_t count) { return (count + 7) / 8 * 8; }
  [[nodiscard]] std::size_t child_room() const noexcept { return room(child_count); }
  [[nodiscard]] std::size_t own_room() const noexcept { return room(own_count); }

  static Lanes bytes_at(const std::uint8_t* at) noexcept {
    Bytes bytes;
    std::memcpy(&bytes, at, sizeof bytes);
    return __builtin_convertvector(bytes, Lanes);
  }
  static Lanes is_above(const std::uint16_t* best, std::uint16_t least) noexcept {
    Priorities priorities;
    std::memcpy(&priorities, best, sizeof priorities);
    return reinterpret_cast<Lanes>(priorities > least);
  }
  // Of items that differ, by `differ`, the one of most common bits has the least.
  static Lanes nearer(Lanes nearest, Lanes differ, Lanes counts) noexcept {
    const Lanes is_one = reinterpret_cast<Lanes>(differ != 0) & counts;
    const Lanes that = (differ & is_one) | (~is_one & kNone);
    return that < nearest ? that : nearest;
  }
  static constexpr std::int16_t kNone = 0x100;
};

template <typename Value>
void PrefixNode<Value>::look_at(Value value, std::uint16_t least, PrefixMatches& found) noexcept {
  const std::int16_t key = key_of(value);
  Lanes hits{}, nearest = Lanes{} + kNone;
  for (std::size_t i = 0; i < own_count; i += 8) {
    const Lanes mask = bytes_at(own_masks() + i), differ = (bytes_at(own_values() + i) ^ key) & mask;
    const Lanes counts = is_above(own_best() + i, least);
    hits |= reinterpret_cast<Lanes>(differ == 0) & counts & mask & -mask;  // the mask's last bit
    nearest = nearer(nearest, differ, counts);
  }
  for (std::size_t i = 0; i < child_count; i += 8)
    nearest = nearer(nearest, bytes_at(keys() + i) ^ key, is_above(child_best() + i, least));

  unsigned least_differ = kNone, hit = 0;
  for (unsigned i = 0; i < 8; ++i) {
    least_differ = std::min(least_differ, static_cast<unsigned>(nearest[i]));
    hit |= static_cast<unsigned>(hits[i]);
  }
  unsigned bits = least_differ == kNone ? 0 : length + kStride + 1 - static_cast<unsigned>(std::bit_width(least_differ));
  if (hit != 0) bits = std::max(bits, length + kStride - static_cast<unsigned>(std::countr_zero(hit)));
  for (; hit != 0; hit &= hit - 1) add(found.lengths, length + kStride - static_cast<unsigned>(std::countr_zero(hit)));
  if (bits > found.bits) found.bits = static_cast<std::uint8_t>(bits);
}

}  // namespace shunt
