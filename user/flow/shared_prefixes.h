// SPDX-License-Identifier: Apache-2.0
// Of prefixes that several rules have, the rules' priorities. A prefix trie knows by itself what one rule has.
// Threads: one, the classifier's writer. Blocks of the classifier's Arena, each a cache line with IPv4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "user/flow/arena.h"
#include "user/flow/garbage.h"
#include "user/flow/hash_index.h"
#include "user/flow/prefix_bits.h"
#include "user/flow/priority_bag.h"

namespace shunt {

// Value: std::uint32_t or Bits128.
template <typename Value>
class SharedPrefixes {
 public:
  SharedPrefixes(Arena& arena, Garbage& garbage) : arena_{arena}, garbage_{garbage} {}
  SharedPrefixes(const SharedPrefixes&) = delete;
  SharedPrefixes& operator=(const SharedPrefixes&) = delete;
  ~SharedPrefixes() {
    index_.for_each([&](BlockRef first) {
      for (BlockRef ref = first; ref != 0;) {
        Shared& shared = at(ref);
        ref = shared.next;
        shared.~Shared();
      }
    });
  }

  // Fetches the place where find() and make() begin; and, when that has come, the bag.
  void prefetch(Value prefix, unsigned length) const noexcept { index_.prefetch(hash_of(prefix, length)); }
  void prefetch_bag(Value prefix, unsigned length) const noexcept {
    __builtin_prefetch(arena_.at<void>(index_.find(hash_of(prefix, length))));
  }
  // A prefix that has a bag; one that gets an empty one; and one whose bag goes.
  [[nodiscard]] PriorityBag& find(Value prefix, unsigned length) noexcept {
    BlockRef ref = HashIndex::payload_of(*index_.place(hash_of(prefix, length)));
    while (!at(ref).is(prefix, length)) ref = at(ref).next;
    return at(ref).bag;
  }
  PriorityBag& make(Value prefix, unsigned length) {
    const std::uint32_t hash = hash_of(prefix, length);
    HashIndex::Entry* const place = index_.place(hash);
    const BlockRef made = arena_.allocate(sizeof(Shared));
    Shared& shared = *new (arena_.at<void>(made)) Shared{prefix, {}, 0, static_cast<std::uint8_t>(length)};
    if (place != nullptr) {
      shared.next = HashIndex::payload_of(*place);
      index_.set(*place, made);
    } else {
      index_.add(hash, made, garbage_);
    }
    return shared.bag;
  }
  void drop(Value prefix, unsigned length) noexcept {
    HashIndex::Entry& place = *index_.place(hash_of(prefix, length));
    BlockRef ref = HashIndex::payload_of(place), before = 0;
    for (; !at(ref).is(prefix, length); ref = at(ref).next) before = ref;
    if (before != 0)
      at(before).next = at(ref).next;
    else
      index_.set(place, at(ref).next);
    at(ref).~Shared();
    arena_.free(ref, sizeof(Shared));
  }
  [[nodiscard]] std::size_t page_bytes() const { return index_.page_bytes(); }

 private:
  struct Shared {
    const Value prefix;
    PriorityBag bag;
    BlockRef next;  // of the same hash
    const std::uint8_t length;

    [[nodiscard]] bool is(Value p, unsigned l) const noexcept { return prefix == p && length == l; }
  };
  static_assert(sizeof(Value) > 4 || sizeof(Shared) <= 64);

  Arena& arena_;
  Garbage& garbage_;
  HashIndex index_;

  [[nodiscard]] Shared& at(BlockRef ref) const noexcept { return *arena_.at<Shared>(ref); }
  static std::uint32_t hash_of(Value prefix, unsigned length) noexcept {
    return static_cast<std::uint32_t>(prefix_hash(0, prefix, length) >> 32) | 1;
  }
};

}  // namespace shunt
