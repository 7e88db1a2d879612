// SPDX-License-Identifier: Apache-2.0
#include "user/flow/mask_shape.h"

#include <algorithm>
#include <bit>
#include <cstddef>

namespace shunt {

namespace {

constexpr unsigned kIpSrcWord = offsetof(shunt_flow_key, ip_src) / 8;
constexpr unsigned kIpDstWord = offsetof(shunt_flow_key, ip_dst) / 8;
static_assert(offsetof(shunt_flow_key, tp_src) % 8 == 0 && offsetof(shunt_flow_key, tp_dst) % 8 == 2);
static_assert(offsetof(shunt_flow_key, ip_src) % 8 == 0 && offsetof(shunt_flow_key, ip_dst) % 8 == 0);
static_assert(offsetof(shunt_flow_key, vlan) / 8 == 3 && offsetof(shunt_flow_key, mpls_lse) / 8 == 14);
static_assert(offsetof(shunt_flow_key, nw_proto) / 8 == 4 && kPortsWord == offsetof(shunt_flow_key, tp_src) / 8);
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

RelaxedMasks relaxed_masks(const PipelineWords& mask, const PrefixLengths& lengths) {
  PipelineWords without_ports = mask;
  if (lengths[kPortSrc] != 0) without_ports[kPortsWord] &= ~kPortSrcBits;
  if (lengths[kPortDst] != 0) without_ports[kPortsWord] &= ~kPortDstBits;

  RelaxedMasks relaxed;
  relaxed.masks[relaxed.count++] = without_ports;
  for (const unsigned step : {8u, 4u}) {
    PipelineWords words = without_ports;
    add_prefix(words, kPortDst, lengths[kPortDst] / step * step);
    add_prefix(words, kPortSrc, lengths[kPortSrc] / step * step);
    if (relaxed.masks[relaxed.count - 1] != words) relaxed.masks[relaxed.count++] = words;
  }
  return relaxed;
}

}  // namespace shunt
