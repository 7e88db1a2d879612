// SPDX-License-Identifier: Apache-2.0
// What the shape of a rule's mask says: the stages of its words, the lengths of its prefixes, and which subtables take
// its rules, the widest first.
//
// A subtable's mask is part of the masks of all its rules (TupleMerge, Daly et al., 2019): metadata and L2 fields as
// the rules have them, addresses cut to a few lengths, ports only where they are needed to tell rules apart. So rules
// of a hundred masks share a subtable, and a look-up probes one where it would have probed a hundred.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "user/flow/flow_key.h"
#include "user/flow/prefix_trie.h"

namespace shunt {

class Subtable;

// Look-ups go by stages: metadata, L2, L3, L4. The words of the key in that order, and where each stage ends.
inline constexpr unsigned kStages = 4;
inline constexpr std::array<std::uint8_t, kPipelineWords> kWordOrder{
    0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 1, 2, 3, 14, 15, 4, 6, 7, 8, 9, 10, 11, 12, 13, 5};
enum Stage : unsigned { kMetadata, kL2, kL3, kL4 };
inline constexpr std::array<std::uint8_t, kStages> kStageEnd{13, 18, 27, 28};

// The fields with prefix tries. Values are left-aligned in the trie's type: std::uint32_t for IPv4 and ports, else
// Bits128.
enum TrieField : std::uint8_t { kIpv4Dst, kIpv4Src, kIpv6Dst, kIpv6Src, kPortDst, kPortSrc, kTrieFields };
inline constexpr unsigned kNarrowAddresses = 2, kAddressFields = 4;

std::uint32_t narrow_value(const PipelineWords& words, unsigned field) noexcept;
Bits128 wide_value(const PipelineWords& words, unsigned field) noexcept;
// Adds the field's first `bits` bits to a mask.
void add_prefix(PipelineWords& mask, unsigned field, unsigned bits) noexcept;
// The prefix length of each field under a mask; 0 where the mask has no bit of it or is no prefix.
using PrefixLengths = std::array<std::uint8_t, kTrieFields>;
PrefixLengths prefix_lengths(const PipelineWords& mask);

// For each field the set of lengths, bit by length, that the rules of a subtable have.
struct LengthSets {
  std::array<std::uint64_t, kNarrowAddresses> narrow{};
  std::array<std::array<std::uint64_t, 3>, kAddressFields - kNarrowAddresses> wide{};
  bool any_port[2] = {false, false};  // some rule does not look at tp_dst; tp_src
  void add(const PrefixLengths& lengths);
  friend bool operator==(const LengthSets&, const LengthSets&) = default;
};

// All rules with one mask. Writer only.
struct MaskShape {
  static constexpr unsigned kLevels = 5;
  struct Level {
    Subtable* subtable = nullptr;
    std::uint32_t rules = 0;  // of this shape in there
    std::size_t index = 0;    // among the subtable's shapes
  };

  PipelineWords mask;
  PrefixLengths lengths;
  std::array<Level, kLevels> levels{};  // the last one's mask is the shape's own
  unsigned level_count = 0;
  std::uint32_t rules = 0;

  explicit MaskShape(const PipelineWords& m) : mask{m}, lengths{prefix_lengths(m)} {}
};

// The masks of the subtables that take rules of a shape: the first few bits that tell most rules apart, more, all.
struct RelaxedMasks {
  std::array<PipelineWords, MaskShape::kLevels> masks;
  unsigned count = 0;
};
RelaxedMasks relaxed_masks(const PipelineWords& mask, const PrefixLengths& lengths);

// Proofs by ports take a few bits exactly, more in steps: that makes few more megaflows, and far fewer masks.
inline unsigned proof_length(unsigned bits) noexcept { return bits <= 4 ? bits : (bits + 3) / 4 * 4; }

inline std::uint64_t hash_step(std::uint64_t hash, std::uint64_t word) noexcept {
  hash = (hash ^ word) * 0xff51afd7ed558ccd;
  return hash ^ hash >> 32;
}

}  // namespace shunt
