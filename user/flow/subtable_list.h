// SPDX-License-Identifier: Apache-2.0
// The subtables that have rules, by descending best priority, and bit sets of those that look at so many bits of an
// address: a look-up tells 64 subtables at a time which of them can match, without a look at them.
//
// Part of the classifier: see there for threads. Never edited once readers have it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "user/flow/mask_shape.h"
#include "user/flow/prefix_bits.h"

namespace shunt {

class Subtable;

// How many bits of each address, by TrieField; 0: none of it.
using AddressBits = std::array<std::uint16_t, kAddressFields>;
inline bool is_within(const AddressBits& inner, const AddressBits& outer) noexcept {
  constexpr std::uint64_t kTops = 0x8000800080008000;  // all four are compared at once
  return (((std::bit_cast<std::uint64_t>(outer) | kTops) - std::bit_cast<std::uint64_t>(inner)) & kTops) == kTops;
}

// A subtable and what is asked of it before it is touched.
struct Listed {
  const Subtable* subtable;
  AddressBits lengths;  // that it looks at
  std::uint32_t serial;
  std::uint16_t max_priority;
  // What it looks at beside addresses, by a number that all in the list have who look at the same; kRests and above: is
  // not told.
  static constexpr std::uint8_t kRests = 32;
  std::uint8_t rest = kRests;

  // Among equals the older subtable stays first, so that a rule does not win and lose by turns.
  friend bool operator<(const Listed& a, const Listed& b) {
    return a.max_priority != b.max_priority ? a.max_priority > b.max_priority : a.serial < b.serial;
  }
};

using AddressLengths = std::array<LengthSet, kAddressFields>;

class SubtableList {
 public:
  SubtableList() = default;
  explicit SubtableList(std::vector<Listed> sorted);

  [[nodiscard]] const std::vector<Listed>& listed() const noexcept { return listed_; }
  [[nodiscard]] const Listed& operator[](std::size_t i) const noexcept { return listed_[i]; }
  [[nodiscard]] std::size_t size() const noexcept { return listed_.size(); }
  // How many addresses there are that subtables look at: kNarrowAddresses, or all with IPv6.
  [[nodiscard]] unsigned address_count() const noexcept { return address_count_; }

  // One of those that have this Listed::rest, below kRests.
  [[nodiscard]] const Subtable& with_rest(unsigned rest) const noexcept { return *rests_[rest]; }

  // Bit sets of the subtables from 64 * `word` on.
  [[nodiscard]] std::size_t words() const noexcept { return (listed_.size() + 63) / 64; }
  // All of whose lengths are in `lengths`.
  [[nodiscard]] std::uint64_t with_all(const AddressLengths& lengths, std::size_t word) const noexcept {
    std::uint64_t all = of_any_length(word);
    for (unsigned field = 0; field < address_count_; ++field) all &= with_length(field, lengths[field], word);
    return all;
  }
  // One of whose lengths is in `lengths`.
  [[nodiscard]] std::uint64_t with_one(const AddressLengths& lengths, std::size_t word) const noexcept {
    std::uint64_t one = 0;
    for (unsigned field = 0; field < address_count_; ++field) one |= with_length(field, lengths[field], word);
    return one;
  }
  // Whose best priority is greater.
  [[nodiscard]] std::uint64_t above(int priority, std::size_t word) const noexcept {
    std::uint64_t all = of_any_length(word);
    for (; all != 0; all >>= 1)
      if (listed_[word * 64 + static_cast<std::size_t>(std::bit_width(all)) - 1].max_priority > priority) return all;
    return 0;
  }
  [[nodiscard]] std::uint64_t of_any_length(std::size_t word) const noexcept {
    return ~std::uint64_t{0} >> ((word + 1) * 64 > size() ? (word + 1) * 64 - size() : 0);
  }

 private:
  std::vector<Listed> listed_;
  std::vector<const Subtable*> rests_;
  unsigned address_count_ = kNarrowAddresses;
  std::array<std::vector<std::uint8_t>, kAddressFields> lengths_;  // that subtables have, each once
  std::array<std::vector<std::uint64_t>, kAddressFields> bits_;    // of which subtables: word by word, by length

  void find_rests();
  [[nodiscard]] std::uint64_t with_length(unsigned field, const LengthSet& lengths, std::size_t word) const noexcept {
    std::uint64_t found = 0;
    const std::uint64_t* bits = bits_[field].data() + word * lengths_[field].size();
    for (const std::uint8_t length : lengths_[field]) found |= *bits++ & -std::uint64_t{has(lengths, length)};
    return found;
  }
};

}  // namespace shunt
