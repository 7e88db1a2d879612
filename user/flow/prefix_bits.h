// SPDX-License-Identifier: Apache-2.0
// Prefixes of the classifier's addresses and ports: values of 32 or 128 bits, the first bit of the field being the most
// significant. Shorter fields stand left.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace shunt {

using Bits128 = unsigned __int128;

inline unsigned leading_zeros(std::uint32_t bits) noexcept { return static_cast<unsigned>(std::countl_zero(bits)); }
inline unsigned leading_zeros(Bits128 bits) noexcept {
  const auto high = static_cast<std::uint64_t>(bits >> 64);
  return static_cast<unsigned>(high != 0 ? std::countl_zero(high)
                                         : 64 + std::countl_zero(static_cast<std::uint64_t>(bits)));
}

// The first `length` bits of a value.
template <typename Value>
Value prefix_of(Value value, unsigned length) noexcept {
  constexpr unsigned kWidth = sizeof(Value) * 8;
  return length == 0 ? Value{0} : value >> (kWidth - length) << (kWidth - length);
}

// How many of the first `most` bits are the same.
template <typename Value>
unsigned common_bits(Value a, Value b, unsigned most) noexcept {
  const Value differ = a ^ b;
  return differ == 0 ? most : std::min(leading_zeros(differ), most);
}

// Prefix lengths of one field, bit by length.
using LengthSet = std::array<std::uint64_t, 3>;
inline bool has(const LengthSet& set, unsigned length) noexcept { return (set[length / 64] >> (length % 64) & 1) != 0; }
inline void add(LengthSet& set, unsigned length) noexcept { set[length / 64] |= std::uint64_t{1} << (length % 64); }

inline std::uint64_t hash_step(std::uint64_t hash, std::uint64_t word) noexcept {
  hash = (hash ^ word) * 0xff51afd7ed558ccd;
  return hash ^ hash >> 32;
}
// `salt` tells fields apart. The last bytes of an address reach the hash's lower half by the second round alone.
template <typename Value>
std::uint64_t prefix_hash(std::uint64_t salt, Value prefix, unsigned length) noexcept {
  std::uint64_t hash = hash_step(salt + length, static_cast<std::uint64_t>(prefix));
  if constexpr (sizeof(Value) > 8) hash = hash_step(hash, static_cast<std::uint64_t>(prefix >> 64));
  return hash * 0xc4ceb9fe1a85ec53;
}

}  // namespace shunt
