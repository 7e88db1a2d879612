// SPDX-License-Identifier: Apache-2.0
// The prefixes of addresses that rules have: of which lengths a key may have one, and how few bits tell. Part of the
// classifier: see there for threads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "user/flow/mask_shape.h"
#include "user/flow/prefix_filter.h"
#include "user/flow/prefix_trie.h"

namespace shunt {

// Of one address.
template <typename Value>
struct Prefixes {
  PrefixFilter<Value> filter;
  PrefixTrie<Value> trie;

  Prefixes(std::uint64_t salt, Arena& arena, Garbage& garbage) : filter{salt, garbage}, trie{arena, garbage} {}

  // Writer. prefetch() is of what the others look at beside the trie's nodes.
  void prefetch(Value prefix, unsigned length) const noexcept {
    filter.prefetch(prefix, length);
    trie.prefetch(prefix, length);
  }
  void insert(Value prefix, unsigned length, std::uint16_t priority) {
    if (trie.insert(prefix, length, priority)) filter.insert(prefix, length, trie);
  }
  void remove(Value prefix, unsigned length, std::uint16_t priority) {
    if (trie.remove(prefix, length, priority)) filter.remove(length, trie);
  }
};

// Of a key's prefixes, by TrieField and length: what each adds to the hash that a subtable of this length has of the
// key. Those of lengths that rules have.
struct AddressHashes {
  std::array<PrefixFilter<std::uint32_t>::Hashes, kNarrowAddresses> narrow;
  std::array<PrefixFilter<Bits128>::Hashes, kAddressFields - kNarrowAddresses> wide;

  // What prefixes of these lengths, by TrieField, add together; of the first `fields` addresses, which are
  // kNarrowAddresses at least.
  template <typename Lengths>
  [[nodiscard]] std::uint64_t sum(const Lengths& lengths, unsigned fields) const noexcept {
    std::uint64_t sum = narrow[kIpv4Dst][lengths[kIpv4Dst]] + narrow[kIpv4Src][lengths[kIpv4Src]];
    for (unsigned field = kNarrowAddresses; field < fields; ++field)
      sum += wide[field - kNarrowAddresses][lengths[field]];
    return sum;
  }
};

struct Addresses {
  std::array<Prefixes<std::uint32_t>, kNarrowAddresses> narrow;
  std::array<Prefixes<Bits128>, kAddressFields - kNarrowAddresses> wide;

  Addresses(std::uint64_t seed, Arena& arena, Garbage& garbage)
      : narrow{{{salt(seed, kIpv4Dst), arena, garbage}, {salt(seed, kIpv4Src), arena, garbage}}},
        wide{{{salt(seed, kIpv6Dst), arena, garbage}, {salt(seed, kIpv6Src), arena, garbage}}} {}

  static std::uint64_t salt(std::uint64_t seed, unsigned field) noexcept { return hash_step(seed, field); }
  // What the prefixes of a value add to its hash, of these lengths.
  static std::uint64_t hash(std::uint64_t seed, const PipelineWords& value, const PrefixLengths& lengths) noexcept {
    std::uint64_t sum = 0;
    for (unsigned field = 0; field < kAddressFields; ++field) {
      const unsigned length = lengths[field];
      if (length == 0) continue;
      sum += field < kNarrowAddresses
                 ? prefix_hash(salt(seed, field), prefix_of(narrow_value(value, field), length), length)
                 : prefix_hash(salt(seed, field), prefix_of(wide_value(value, field), length), length);
    }
    return sum;
  }
  [[nodiscard]] std::size_t page_bytes() const {
    std::size_t bytes = 0;
    for (const auto& prefixes : narrow) bytes += prefixes.filter.page_bytes() + prefixes.trie.page_bytes();
    for (const auto& prefixes : wide) bytes += prefixes.filter.page_bytes() + prefixes.trie.page_bytes();
    return bytes;
  }
};

// The ways of a key's addresses through their tries, in step, so that memory is waited for once for all.
class AddressWalks {
 public:
  AddressWalks(const Addresses& addresses, const PipelineWords& key) noexcept
      : narrow_{{{addresses.narrow[0].trie, narrow_value(key, 0)}, {addresses.narrow[1].trie, narrow_value(key, 1)}}},
        wide_{{{addresses.wide[0].trie, wide_value(key, kNarrowAddresses)},
               {addresses.wide[1].trie, wide_value(key, kNarrowAddresses + 1)}}} {}

  // Each way that is not at its end goes one step, if it is wanted: wants(walk, TrieField). False: none did.
  template <typename Wants>
  bool step(Wants wants) noexcept {
    bool goes_on = false;
    for (unsigned field = 0; field < kAddressFields; ++field) {
      const auto step_one = [&](auto& walk) {
        if (walk.is_done() || !wants(walk, field)) return;
        walk.step();
        goes_on = true;
      };
      field < kNarrowAddresses ? step_one(narrow_[field]) : step_one(wide_[field - kNarrowAddresses]);
    }
    return goes_on;
  }
  bool step() noexcept {
    return step([](const auto&, unsigned) { return true; });
  }
  // As PrefixTrie::Walk::matches().
  [[nodiscard]] PrefixMatches matches(unsigned field, int above) const noexcept {
    return field < kNarrowAddresses ? narrow_[field].matches(above) : wide_[field - kNarrowAddresses].matches(above);
  }

 private:
  std::array<PrefixTrie<std::uint32_t>::Walk, kNarrowAddresses> narrow_;
  std::array<PrefixTrie<Bits128>::Walk, kAddressFields - kNarrowAddresses> wide_;
};

}  // namespace shunt
