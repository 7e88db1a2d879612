// SPDX-License-Identifier: Apache-2.0
// A node of a prefix trie decides eight bits. It holds the prefixes of one to eight bits more than its own, and
// branches to nodes of at least eight bits more. Both stand in groups of eight slots, which are looked at together; a
// node is as large as the groups that it has, mostly one cache line.
//
// The writer edits slots in place, so that an update makes no garbage: a slot whose best priority is 0 is free. A
// reader that meets a slot while it is used again may see a prefix that is not there, which costs bits and never hides
// one: the slot's old rules are gone for all readers, and its new ones are not there yet for those that may be in it.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "user/flow/arena.h"
#include "user/flow/prefix_bits.h"

namespace shunt {

// What a look-up found: the lengths of the prefixes that match, and the bits that were looked at.
struct PrefixMatches {
  LengthSet lengths{};
  std::uint8_t bits = 0;
};

// Eight bytes, and eight numbers of 16 bits, that change one by one and are read together.
class Bytes8 {
 public:
  [[nodiscard]] std::uint64_t all() const noexcept { return word_.load(std::memory_order_relaxed); }
  std::uint8_t operator[](unsigned i) const noexcept { return static_cast<std::uint8_t>(all() >> i * 8); }
  void set(unsigned i, std::uint8_t to) noexcept {
    const std::uint64_t others = all() & ~(std::uint64_t{0xff} << i * 8);
    word_.store(others | std::uint64_t{to} << i * 8, std::memory_order_relaxed);
  }
  // The top bit of each byte that is this one; under a mask for each.
  [[nodiscard]] std::uint64_t equal_to(std::uint8_t byte, std::uint64_t masks = ~std::uint64_t{0}) const noexcept {
    constexpr std::uint64_t kOnes = 0x0101010101010101, kTops = kOnes << 7;
    const std::uint64_t differ = (all() ^ kOnes * byte) & masks;
    return ~(((differ & ~kTops) + ~kTops) | differ) & kTops;
  }

 private:
  std::atomic<std::uint64_t> word_{0};
};
class Best8 {
 public:
  [[nodiscard]] std::array<std::uint64_t, 2> all() const noexcept {
    return {words_[0].load(std::memory_order_relaxed), words_[1].load(std::memory_order_relaxed)};
  }
  std::uint16_t operator[](unsigned i) const noexcept { return static_cast<std::uint16_t>(all()[i / 4] >> i % 4 * 16); }
  void set(unsigned i, std::uint16_t to) noexcept {
    const std::uint64_t others = all()[i / 4] & ~(std::uint64_t{0xffff} << i % 4 * 16);
    words_[i / 4].store(others | std::uint64_t{to} << i % 4 * 16, std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::uint64_t>, 2> words_{};
};

template <typename Value>
struct alignas(std::max(sizeof(Value), sizeof(std::uint64_t))) PrefixNode {
  static constexpr unsigned kWidth = sizeof(Value) * 8, kStride = 8;

  Value prefix;
  std::atomic<std::uint16_t> best;  // of all rules in here and below
  std::uint8_t length;
  std::uint8_t own_groups, child_groups;
  std::uint16_t own_count, child_count;  // slots in use; writer only

  // Behind the node, in this order, each by group.
  // Children. No two slots have the same key but for the first that has it, used or free, which is the one that counts.
  [[nodiscard]] Bytes8* keys() noexcept { return reinterpret_cast<Bytes8*>(this + 1); }  // their eight bits
  [[nodiscard]] std::atomic<BlockRef>& child(unsigned slot) noexcept {
    return reinterpret_cast<std::atomic<BlockRef>*>(keys() + child_groups)[slot];
  }
  [[nodiscard]] Best8* child_best() noexcept { return reinterpret_cast<Best8*>(keys() + child_groups * 5); }
  // Prefixes of up to eight bits more.
  [[nodiscard]] Best8* own_best() noexcept { return child_best() + child_groups; }
  [[nodiscard]] Bytes8* own_values() noexcept { return reinterpret_cast<Bytes8*>(own_best() + own_groups); }
  [[nodiscard]] Bytes8* own_masks() noexcept { return own_values() + own_groups; }  // leading ones, at least one
  [[nodiscard]] Bytes8* is_many() noexcept { return own_masks() + own_groups; }     // has several rules; writer only

  [[nodiscard]] std::size_t size() const { return size(own_groups, child_groups); }
  [[nodiscard]] static std::size_t size(std::size_t own_groups, std::size_t child_groups) {
    return sizeof(PrefixNode) + own_groups * 5 * sizeof(Bytes8) + child_groups * 7 * sizeof(Bytes8);
  }

  // The eight bits that the node decides.
  [[nodiscard]] std::uint8_t key_of(Value value) const noexcept {
    return static_cast<std::uint8_t>(value >> (kWidth - kStride - length));
  }
  // The slot of this key, or kNoSlot.
  static constexpr unsigned kNoSlot = ~0u;
  [[nodiscard]] unsigned child_slot(std::uint8_t key) noexcept {
    for (unsigned i = 0; i < child_groups; ++i)
      if (const std::uint64_t found = keys()[i].equal_to(key); found != 0)
        return i * 8 + static_cast<unsigned>(std::countr_zero(found)) / 8;
    return kNoSlot;
  }
  // The slot in use of this prefix, or kNoSlot.
  [[nodiscard]] unsigned own_slot(std::uint8_t value, std::uint8_t mask) noexcept {
    for (unsigned i = 0; i < own_groups; ++i)
      for (auto found = own_values()[i].equal_to(value) & own_masks()[i].equal_to(mask); found != 0; found &= found - 1)
        if (const unsigned slot = static_cast<unsigned>(std::countr_zero(found)) / 8; own_best()[i][slot] != 0)
          return i * 8 + slot;
    return kNoSlot;
  }

  // Adds the lengths of prefixes above `least` that match a value whose first bits are the node's.
  void look_for(Value value, std::uint16_t least, PrefixMatches& found) noexcept;
  // ..., and how many bits that answer takes.
  void look_at(Value value, std::uint16_t least, PrefixMatches& found) noexcept;

 private:
  using Bytes = std::uint8_t __attribute__((vector_size(8)));
  using Halves = std::uint64_t __attribute__((vector_size(16)));
  using Lanes = std::int16_t __attribute__((vector_size(16)));
  using Priorities = std::uint16_t __attribute__((vector_size(16)));

  static Lanes lanes(const Bytes8& bytes) noexcept {
    return __builtin_convertvector(std::bit_cast<Bytes>(bytes.all()), Lanes);
  }
  static Lanes is_above(const Best8& best, std::uint16_t least) noexcept {
    const auto [low, high] = best.all();
    return reinterpret_cast<Lanes>(reinterpret_cast<Priorities>(Halves{low, high}) > least);
  }
  // All eight, by two at a time.
  template <typename Fold>
  static std::int16_t folded(Lanes all, Fold fold) noexcept {
    all = fold(all, __builtin_shuffle(all, Lanes{4, 5, 6, 7, 4, 5, 6, 7}));
    all = fold(all, __builtin_shuffle(all, Lanes{2, 3, 2, 3, 2, 3, 2, 3}));
    return fold(all, __builtin_shuffle(all, Lanes{1, 1, 1, 1, 1, 1, 1, 1}))[0];
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
void PrefixNode<Value>::look_for(Value value, std::uint16_t least, PrefixMatches& found) noexcept {
  const std::uint8_t key = key_of(value);
  for (unsigned i = 0; i < own_groups; ++i) {
    const std::uint64_t masks = own_masks()[i].all();
    for (std::uint64_t hits = own_values()[i].equal_to(key, masks) & masks; hits != 0; hits &= hits - 1) {
      const auto slot = static_cast<unsigned>(std::countr_zero(hits)) / 8;
      const auto bits = static_cast<unsigned>(std::popcount(masks >> slot * 8 & 0xff));
      if (own_best()[i][slot] > least) add(found.lengths, length + bits);
    }
  }
}

template <typename Value>
void PrefixNode<Value>::look_at(Value value, std::uint16_t least, PrefixMatches& found) noexcept {
  const std::int16_t key = key_of(value);
  Lanes hits{}, nearest = Lanes{} + kNone;
  for (unsigned i = 0; i < own_groups; ++i) {
    const Lanes mask = lanes(own_masks()[i]), differ = (lanes(own_values()[i]) ^ key) & mask;
    const Lanes counts = is_above(own_best()[i], least);
    hits |= reinterpret_cast<Lanes>(differ == 0) & counts & mask & -mask;  // the mask's last bit
    nearest = nearer(nearest, differ, counts);
  }
  for (unsigned i = 0; i < child_groups; ++i)
    nearest = nearer(nearest, lanes(keys()[i]) ^ key, is_above(child_best()[i], least));

  const auto least_differ = static_cast<unsigned>(folded(nearest, [](Lanes a, Lanes b) { return b < a ? b : a; }));
  auto hit = static_cast<unsigned>(folded(hits, [](Lanes a, Lanes b) { return a | b; }));
  unsigned bits =
      least_differ == kNone ? 0 : length + kStride + 1 - static_cast<unsigned>(std::bit_width(least_differ));
  if (hit != 0) bits = std::max(bits, length + kStride - static_cast<unsigned>(std::countr_zero(hit)));
  for (; hit != 0; hit &= hit - 1) add(found.lengths, length + kStride - static_cast<unsigned>(std::countr_zero(hit)));
  if (bits > found.bits) found.bits = static_cast<std::uint8_t>(bits);
}

}  // namespace shunt
