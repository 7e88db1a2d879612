// SPDX-License-Identifier: Apache-2.0
// What the shape of a rule's mask says: the stages of its words, the lengths of its prefixes, and which subtables take
// its rules, the widest first.
//
// A subtable's mask is that of its rules, but for their tails: their ports, of which it has the first few bits at most,
// and the bits that follow the last whole byte of their IPv4 addresses. Rules that differ in how much of these they
// look at share a subtable (as in TupleMerge, Daly et al., 2019), so that a look-up asks few of them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "user/flow/flow_key.h"
#include "user/flow/prefix_bits.h"

namespace shunt {

class Subtable;

// Look-ups go by stages: metadata, L2, L3, L4. The words of the key in that order, and where each stage ends.
inline constexpr unsigned kStages = 4;
inline constexpr std::array<std::uint8_t, kPipelineWords> kWordOrder{
    0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 1, 2, 3, 14, 15, 4, 6, 7, 8, 9, 10, 11, 12, 13, 5};
enum Stage : unsigned { kMetadata, kL2, kL3, kL4 };
inline constexpr std::array<std::uint8_t, kStages> kStageEnd{13, 18, 27, 28};

inline constexpr unsigned kIpSrcWord = offsetof(shunt_flow_key, ip_src) / 8;
inline constexpr unsigned kIpDstWord = offsetof(shunt_flow_key, ip_dst) / 8;

// The fields whose masks are prefixes. Addresses have a trie each, whose values are std::uint32_t for IPv4, else
// Bits128.
enum TrieField : std::uint8_t { kIpv4Dst, kIpv4Src, kIpv6Dst, kIpv6Src, kPortDst, kPortSrc, kTrieFields };
inline constexpr unsigned kNarrowAddresses = 2, kAddressFields = 4;

// Of kIpv4Dst and kIpv4Src.
inline std::uint32_t narrow_value(const PipelineWords& words, unsigned field) noexcept {
  return __builtin_bswap32(static_cast<std::uint32_t>(words[(field == kIpv4Src ? kIpSrcWord : kIpDstWord) + 1] >> 32));
}
Bits128 wide_value(const PipelineWords& words, unsigned field) noexcept;
// Adds the field's first `bits` bits to a mask.
void add_prefix(PipelineWords& mask, unsigned field, unsigned bits) noexcept;
// The prefix length of each field under a mask; 0 where the mask has no bit of it or is no prefix.
using PrefixLengths = std::array<std::uint8_t, kTrieFields>;
PrefixLengths prefix_lengths(const PipelineWords& mask);

// All rules with one mask. Writer only.
struct MaskShape {
  static constexpr unsigned kLevels = 5;
  struct Level {
    Subtable* subtable = nullptr;
    std::size_t chain_limit = 0;  // a rule whose chain is as long goes to the next level, if there is one
    std::uint32_t rules = 0;      // of this shape in there
    std::size_t index = 0;        // among the subtable's shapes
  };

  PipelineWords mask;
  PrefixLengths lengths;
  std::uint32_t number;                 // among the classifier's shapes
  std::array<Level, kLevels> levels{};  // by growing masks
  unsigned level_count = 0;
  unsigned first_exact = 0;  // as in RelaxedMasks
  std::uint32_t rules = 0;

  MaskShape(const PipelineWords& m, std::uint32_t n) : mask{m}, lengths{prefix_lengths(m)}, number{n} {}
};

// The masks of the subtables that take rules of a shape: of addresses whole bytes, and not the last one of a host's;
// addresses as the rules have them; whole bytes of one port, too; of both; four bits at a time.
struct RelaxedMasks {
  struct Level {
    PipelineWords mask;
    std::size_t chain_limit;
  };
  std::array<Level, MaskShape::kLevels> levels;
  unsigned count = 0;
  unsigned first_exact = 0;  // from there on the addresses are as the rules have them
};
RelaxedMasks relaxed_masks(const PipelineWords& mask, const PrefixLengths& lengths);

// Of a prefix of an IPv4 address, how many bits the first level's subtable looks at.
constexpr unsigned coarse_length(unsigned length) noexcept {
  return length < 8 ? length : std::min(length / 8 * 8, 24u);
}

// The two ports stand in one word of the key; the rest of it is not theirs.
inline constexpr unsigned kPortsWord = 5;
inline constexpr std::uint64_t kPortSrcBits = 0xffff, kPortDstBits = 0xffff0000, kPortBits = 0xffffffff;

}  // namespace shunt
