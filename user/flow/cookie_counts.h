// SPDX-License-Identifier: Apache-2.0
// How many rules have each cookie: what learn(limit=...,result_dst=...) asks for every packet. Part of the classifier: see
// there for threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "user/flow/arena.h"
#include "user/flow/garbage.h"
#include "user/flow/hash_index.h"

namespace shunt {

class CookieCounts {
 public:
  CookieCounts(std::uint64_t seed, Arena& arena, Garbage& garbage) : seed_{seed}, arena_{arena}, garbage_{garbage} {}

  // Readers.
  [[nodiscard]] std::uint32_t of(std::uint64_t cookie) const noexcept {
    for (BlockRef ref = counts_.find(hash_of(cookie)); ref != 0;) {
      const Count& count = *arena_.at<const Count>(ref);
      if (count.cookie == cookie) return count.rules.load(std::memory_order_relaxed);
      ref = count.next.load(std::memory_order_acquire);
    }
    return 0;
  }

  // Writer.
  void add(std::uint64_t cookie) {
    HashIndex::Entry* const place = counts_.place(hash_of(cookie));
    const BlockRef first = place != nullptr ? HashIndex::payload_of(*place) : 0;
    for (BlockRef ref = first; ref != 0; ref = at(ref).next.load(std::memory_order_relaxed)) {
      if (at(ref).cookie != cookie) continue;
      change(ref, 1);
      return;
    }
    const BlockRef made = arena_.allocate(sizeof(Count));
    new (arena_.at<void>(made)) Count{cookie, {1}, {first}};
    if (place != nullptr)
      counts_.set(*place, made);
    else
      counts_.add(hash_of(cookie), made, garbage_);
  }
  void remove(std::uint64_t cookie) {  // some rule has it
    HashIndex::Entry& place = *counts_.place(hash_of(cookie));
    BlockRef ref = HashIndex::payload_of(place), before = 0;
    for (; at(ref).cookie != cookie; ref = at(ref).next.load(std::memory_order_relaxed)) before = ref;
    change(ref, -1);
    if (at(ref).rules.load(std::memory_order_relaxed) != 0) return;
    const BlockRef next = at(ref).next.load(std::memory_order_relaxed);
    if (before != 0)
      at(before).next.store(next, std::memory_order_release);
    else
      counts_.set(place, next);
    garbage_.add(ref, sizeof(Count));
  }
  [[nodiscard]] std::size_t page_bytes() const { return counts_.page_bytes(); }

 private:
  struct Count {
    const std::uint64_t cookie;
    std::atomic<std::uint32_t> rules;
    std::atomic<BlockRef> next;  // of the same hash
  };

  const std::uint64_t seed_;
  Arena& arena_;
  Garbage& garbage_;
  HashIndex counts_;

  [[nodiscard]] Count& at(BlockRef ref) const noexcept { return *arena_.at<Count>(ref); }
  [[nodiscard]] std::uint32_t hash_of(std::uint64_t cookie) const noexcept {
    return static_cast<std::uint32_t>((cookie ^ seed_) * 0xc4ceb9fe1a85ec53 >> 32) | 1;
  }
  void change(BlockRef ref, int by) noexcept {
    std::atomic<std::uint32_t>& rules = at(ref).rules;
    rules.store(rules.load(std::memory_order_relaxed) + static_cast<std::uint32_t>(by), std::memory_order_relaxed);
  }
};

}  // namespace shunt
