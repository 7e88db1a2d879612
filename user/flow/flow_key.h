// SPDX-License-Identifier: Apache-2.0
// C++ views of the keys: words, masks, comparison.
//
//   FlowKey      what the datapath knows of a packet (maps/flow_key.h): the key of a cached flow
//   PipelineKey  a FlowKey and what only the pipeline knows: metadata, registers. What rules match.
//
// A FlowMask or PipelineMask is a key whose set bits matter. The operators want both sides of the same kind: that part of
// a PipelineKey which is a FlowKey is named by flow_part().
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>

#include "maps/flow_key.h"

namespace shunt {

using FlowKey = shunt_flow_key;
using FlowMask = shunt_flow_key;

// What translation keeps beside the packet. Network order, so that a view of several registers is just their bytes:
// xreg0 is reg[0] (its upper half) and reg[1], xxreg0 is reg[0] to reg[3]. All zero when a packet enters.
struct PipelineFields {
  std::array<std::uint8_t, 8> metadata;
  std::array<std::array<std::uint8_t, 4>, 16> reg;
  std::array<std::uint8_t, 8> tun_id;
  std::array<std::uint8_t, 4> actset_output;  // port of the action set's output; kPortUnset: none
  std::array<std::uint8_t, 4> conj_id;        // of the conjunctive match that led to the second look-up
  std::array<std::uint8_t, 4> pkt_mark;
  std::array<std::uint8_t, 4> skb_priority;  // of set_queue and enqueue
};

struct PipelineKey : FlowKey, PipelineFields {};
using PipelineMask = PipelineKey;

template <typename K>
concept KeyType = std::same_as<K, FlowKey> || std::same_as<K, PipelineKey>;

template <KeyType K>
inline constexpr std::size_t kWordCount = sizeof(K) / 8;
inline constexpr std::size_t kKeyWords = kWordCount<FlowKey>;
inline constexpr std::size_t kPipelineWords = kWordCount<PipelineKey>;
static_assert(kKeyWords == SHUNT_KEY_WORDS && kPipelineWords * 8 == sizeof(PipelineKey));
static_assert(sizeof(PipelineKey) == sizeof(FlowKey) + sizeof(PipelineFields));

template <KeyType K>
using WordsOf = std::array<std::uint64_t, kWordCount<K>>;
using KeyWords = WordsOf<FlowKey>;
using PipelineWords = WordsOf<PipelineKey>;

template <KeyType K>
WordsOf<K> to_words(const K& key) {
  return std::bit_cast<WordsOf<K>>(key);
}
inline FlowKey from_words(const KeyWords& words) { return std::bit_cast<FlowKey>(words); }
inline PipelineKey from_words(const PipelineWords& words) { return std::bit_cast<PipelineKey>(words); }

inline const FlowKey& flow_part(const PipelineKey& key) { return key; }
inline FlowKey& flow_part(PipelineKey& key) { return key; }
// A packet that enters the pipeline: nothing known beside it; or a mask with nothing beside it.
inline PipelineKey to_pipeline(const FlowKey& key) {
  PipelineKey wide{};
  flow_part(wide) = key;
  return wide;
}

template <KeyType K>
bool equal(const K& a, const K& b) {
  return to_words(a) == to_words(b);
}

template <KeyType K>
K operator&(const K& key, const K& mask) {
  WordsOf<K> k = to_words(key);
  const WordsOf<K> m = to_words(mask);
  for (std::size_t i = 0; i < k.size(); ++i) k[i] &= m[i];
  return from_words(k);
}

// Bits of `mask` that are not in `less`.
template <KeyType K>
K without(const K& mask, const K& less) {
  WordsOf<K> m = to_words(mask);
  const WordsOf<K> l = to_words(less);
  for (std::size_t i = 0; i < m.size(); ++i) m[i] &= ~l[i];
  return from_words(m);
}

// Adds the bits of `more` to `mask`: un-wildcards them.
template <KeyType K>
void add_mask(K& mask, const K& more) {
  WordsOf<K> m = to_words(mask);
  const WordsOf<K> o = to_words(more);
  for (std::size_t i = 0; i < m.size(); ++i) m[i] |= o[i];
  mask = from_words(m);
}

// True where each bit of `inner` is also in `outer`.
template <KeyType K>
bool is_subset(const K& inner, const K& outer) {
  const WordsOf<K> a = to_words(inner);
  const WordsOf<K> b = to_words(outer);
  for (std::size_t i = 0; i < a.size(); ++i)
    if ((a[i] & ~b[i]) != 0) return false;
  return true;
}

template <KeyType K>
bool is_zero(const K& mask) {
  for (const std::uint64_t word : to_words(mask))
    if (word != 0) return false;
  return true;
}

// A match: the packets with (key & mask) == value. Invariant: value has no bit outside mask.
struct Match {
  PipelineKey value{};
  PipelineMask mask{};

  [[nodiscard]] bool matches(const PipelineKey& key) const { return equal(key & mask, value); }
  // True where some packet could match both.
  [[nodiscard]] bool overlaps(const Match& other) const {
    const PipelineWords v1 = to_words(value), v2 = to_words(other.value), m1 = to_words(mask), m2 = to_words(other.mask);
    for (std::size_t i = 0; i < v1.size(); ++i)
      if (((v1[i] ^ v2[i]) & m1[i] & m2[i]) != 0) return false;
    return true;
  }
  friend bool operator==(const Match& a, const Match& b) { return equal(a.value, b.value) && equal(a.mask, b.mask); }
};

}  // namespace shunt
