// SPDX-License-Identifier: Apache-2.0
#include "user/flow/mask_shape.h"

#include <algorithm>
#include <bit>
#include <cstddef>

namespace shunt {

namespace {

constexpr unsigned kPortsWord = offsetof(shunt_flow_key, tp_src) / 8;
constexpr unsigned kIpSrcWord = offsetof(shunt_flow_key, ip_src) / 8;
constexpr unsigned kIpDstWord = offsetof(shunt_flow_key, ip_dst) / 8;
static_assert(offsetof(shunt_flow_key, tp_src) % 8 == 0 && offsetof(shunt_flow_key, tp_dst) % 8 == 2);
static_assert(offsetof(shunt_flow_key, ip_src) % 8 == 0 && offsetof(shunt_flow_key, ip_dst) % 8 == 0);
static_assert(offsetof(shunt_flow_key, vlan) / 8 == 3 && offsetof(shunt_flow_key, mpls_lse) / 8 == 14);
static_assert(offsetof(shunt_flow_key, nw_proto) / 8 == 4 && kPortsWord == 5);
static_assert(std::endian::native == std::endian::little);

unsigned first_word(unsigned field) { return field == kIpv4Src || field == kIpv6Src ? kIpSrcWord : kIpDstWord; }

std::uint64_t top_bits(unsigned bits) noexcept { return bits == 0 ? 0 : ~std::uint64_t{0} << (64 - bits); }

// Ports of a key or a mask as one number, tp_src above tp_dst.
std::uint32_t ports_of(std::uint64_t word) noexcept { return __builtin_bswap32(static_cast<std::uint32_t>(word)); }

template <typename Value>
std::uint8_t prefix_length(Value mask) {
  const unsigned length = mask == 0 ? 0 : leading_zeros(static_cast<Value>(~mask));
  if (length >= sizeof(Value) * 8) return sizeof(Value) * 8;
  return length != 0 && static_cast<Value>(mask << length) == 0 ? static_cast<std::uint8_t>(length) : 0;
}

struct Cut {
  unsigned field = kIpv4Dst;
  unsigned bits = 0;
  bool is_strong = false;  // enough by itself for a large table of rules
};

// An address prefix cut to one of a few lengths.
Cut cut_prefix(const PrefixLengths& lengths, unsigned narrow, unsigned wide) {
  for (const unsigned bits : {24u, 16u, 8u})
    if (lengths[narrow] >= bits) return {narrow, bits, bits >= 16};
  for (const unsigned bits : {64u, 48u, 32u, 16u})
    if (lengths[wide] >= bits) return {wide, bits, bits >= 32};
  return {};
}

// The port that tells more rules apart.
Cut cut_port(const PrefixLengths& lengths) {
  for (const unsigned bits : {16u, 8u})
    for (const unsigned field : {kPortDst, kPortSrc})
      if (lengths[field] >= bits) return {field, bits, true};
  return {};
}

}  // namespace

std::uint32_t narrow_value(const PipelineWords& words, unsigned field) noexcept {
  switch (field) {
    case kPortSrc:
      return ports_of(words[kPortsWord]) & 0xffff0000;
    case kPortDst:
      return ports_of(words[kPortsWord]) << 16;
    default:
      return __builtin_bswap32(static_cast<std::uint32_t>(words[first_word(field) + 1] >> 32));
  }
}

Bits128 wide_value(const PipelineWords& words, unsigned field) noexcept {
  const unsigned first = first_word(field);
  return Bits128{__builtin_bswap64(words[first])} << 64 | __builtin_bswap64(words[first + 1]);
}

void add_prefix(PipelineWords& mask, unsigned field, unsigned bits) noexcept {
  switch (field) {
    case kPortSrc:
      mask[kPortsWord] |= __builtin_bswap64(top_bits(bits));
      break;
    case kPortDst:
      mask[kPortsWord] |= __builtin_bswap64(top_bits(bits) >> 16);
      break;
    case kIpv4Src:
    case kIpv4Dst:
      mask[first_word(field) + 1] |= __builtin_bswap64(top_bits(bits) >> 32);
      break;
    default:
      mask[first_word(field)] |= __builtin_bswap64(top_bits(std::min(bits, 64u)));
      if (bits > 64) mask[first_word(field) + 1] |= __builtin_bswap64(top_bits(bits - 64));
  }
}

PrefixLengths prefix_lengths(const PipelineWords& mask) {
  PrefixLengths lengths{};
  for (unsigned field = 0; field < kTrieFields; ++field) {
    if (field == kIpv6Dst || field == kIpv6Src) {
      lengths[field] = prefix_length(wide_value(mask, field));
      continue;
    }
    // An IPv4 address is the last quarter of the field; where the rest is masked too, the wide trie serves.
    const bool is_address = field == kIpv4Src || field == kIpv4Dst;
    if (is_address && wide_value(mask, field) >> 32 != 0) continue;
    lengths[field] = prefix_length(narrow_value(mask, field));
  }
  return lengths;
}

void LengthSets::add(const PrefixLengths& lengths) {
  for (unsigned field = 0; field < kNarrowAddresses; ++field) narrow[field] |= std::uint64_t{1} << lengths[field];
  for (unsigned field = kNarrowAddresses; field < kAddressFields; ++field)
    wide[field - kNarrowAddresses][lengths[field] / 64] |= std::uint64_t{1} << lengths[field] % 64;
  for (unsigned i = 0; i < 2; ++i) any_port[i] = any_port[i] || lengths[kPortDst + i] == 0;
}

RelaxedMasks relaxed_masks(const PipelineWords& mask, const PrefixLengths& lengths) {
  PipelineWords lower{};
  for (unsigned i = 0; i < kStageEnd[1]; ++i) lower[kWordOrder[i]] = mask[kWordOrder[i]];
  const Cut dst = cut_prefix(lengths, kIpv4Dst, kIpv6Dst), src = cut_prefix(lengths, kIpv4Src, kIpv6Src);

  RelaxedMasks relaxed;
  const auto add = [&](const PipelineWords& words) {
    if (relaxed.count == 0 || relaxed.masks[relaxed.count - 1] != words) relaxed.masks[relaxed.count++] = words;
  };
  if (dst.is_strong || src.is_strong) {
    const Cut& longer = src.bits > dst.bits ? src : dst;
    PipelineWords words = lower;
    add_prefix(words, longer.field, longer.bits);
    add(words);
  } else if (const Cut port = cut_port(lengths); port.is_strong) {
    PipelineWords words = lower;
    add_prefix(words, dst.field, dst.bits);
    add_prefix(words, src.field, src.bits);
    add_prefix(words, port.field, port.bits);
    add(words);
  }
  for (const unsigned step : {8u, 4u}) {
    PipelineWords words = lower;
    add_prefix(words, dst.field, dst.bits);
    add_prefix(words, src.field, src.bits);
    add_prefix(words, kPortDst, lengths[kPortDst] / step * step);
    add_prefix(words, kPortSrc, lengths[kPortSrc] / step * step);
    add(words);
  }
  add(mask);
  return relaxed;
}

}  // namespace shunt
