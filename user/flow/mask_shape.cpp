// SPDX-License-Identifier: Apache-2.0
#include "user/flow/mask_shape.h"

#include <algorithm>
#include <bit>
#include <cstddef>

namespace shunt {

namespace {

// Rules of one hash that a subtable takes before they are told apart by another one. A long chain, whose rules few keys
// meet, costs less than the subtables of four bits of each port, which are up to 24. So does a longer one of rules with
// no whole byte of a port: most keys that meet them match one soon.
constexpr std::size_t kCoarseChain = 32, kChain = 64, kLongChain = 512, kWideChain = 1024;

static_assert(offsetof(shunt_flow_key, tp_src) % 8 == 0 && offsetof(shunt_flow_key, tp_dst) % 8 == 2);
static_assert(offsetof(shunt_flow_key, ip_src) % 8 == 0 && offsetof(shunt_flow_key, ip_dst) % 8 == 0);
static_assert(offsetof(shunt_flow_key, vlan) / 8 == 3 && offsetof(shunt_flow_key, mpls_lse) / 8 == 14);
static_assert(offsetof(shunt_flow_key, nw_proto) / 8 == 4 && kPortsWord == offsetof(shunt_flow_key, tp_src) / 8);
static_assert(std::endian::native == std::endian::little);

unsigned first_word(unsigned field) { return field == kIpv4Src || field == kIpv6Src ? kIpSrcWord : kIpDstWord; }

std::uint64_t top_bits(unsigned bits) noexcept { return bits == 0 ? 0 : ~std::uint64_t{0} << (64 - bits); }

// Leaves the first `bits` bits of an IPv4 address in a mask.
void keep_prefix(PipelineWords& mask, unsigned field, unsigned bits) noexcept {
  mask[first_word(field) + 1] &= ~__builtin_bswap64(0xffffffff) | __builtin_bswap64(top_bits(bits) >> 32);
}

template <typename Value>
std::uint8_t prefix_length(Value mask) {
  const unsigned length = mask == 0 ? 0 : leading_zeros(static_cast<Value>(~mask));
  if (length >= sizeof(Value) * 8) return sizeof(Value) * 8;
  return length != 0 && static_cast<Value>(mask << length) == 0 ? static_cast<std::uint8_t>(length) : 0;
}

}  // namespace

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
    if (field == kPortDst || field == kPortSrc) {
      const auto bits = static_cast<std::uint16_t>(mask[kPortsWord] >> (field == kPortDst ? 16 : 0));
      lengths[field] = prefix_length(std::uint32_t{__builtin_bswap16(bits)} << 16);
      continue;
    }
    // An IPv4 address is the last quarter of the field; where the rest is masked too, the wide trie serves.
    if (wide_value(mask, field) >> 32 == 0) lengths[field] = prefix_length(narrow_value(mask, field));
  }
  return lengths;
}

RelaxedMasks relaxed_masks(const PipelineWords& mask, const PrefixLengths& lengths) {
  PipelineWords exact = mask;
  if (lengths[kPortSrc] != 0) exact[kPortsWord] &= ~kPortSrcBits;
  if (lengths[kPortDst] != 0) exact[kPortsWord] &= ~kPortDstBits;
  PipelineWords coarse = exact;
  for (const unsigned field : {kIpv4Dst, kIpv4Src})
    if (lengths[field] != 0) keep_prefix(coarse, field, coarse_length(lengths[field]));
  const auto with_ports = [&](unsigned dst_bits, unsigned src_bits) {
    PipelineWords words = exact;
    add_prefix(words, kPortDst, dst_bits);
    add_prefix(words, kPortSrc, src_bits);
    return words;
  };
  const auto whole = [&](unsigned field, unsigned step) { return lengths[field] / step * step; };
  const unsigned dst_bytes = whole(kPortDst, 8), src_bytes = whole(kPortSrc, 8);

  RelaxedMasks relaxed;
  const auto add = [&](const PipelineWords& words, std::size_t chain_limit) {
    if (relaxed.count == 0 || relaxed.levels[relaxed.count - 1].mask != words)
      relaxed.levels[relaxed.count++].mask = words;
    relaxed.levels[relaxed.count - 1].chain_limit = chain_limit;
  };
  add(coarse, kCoarseChain);
  relaxed.first_exact = coarse == exact ? 0 : 1;
  add(exact, kChain);
  add(with_ports(dst_bytes, dst_bytes == 0 ? src_bytes : 0), kChain);
  add(with_ports(dst_bytes, src_bytes), dst_bytes + src_bytes == 0 ? kWideChain : kLongChain);
  add(with_ports(whole(kPortDst, 4), whole(kPortSrc, 4)), kLongChain);
  return relaxed;
}

}  // namespace shunt
