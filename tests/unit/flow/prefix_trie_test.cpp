// SPDX-License-Identifier: Apache-2.0
#include "user/flow/prefix_trie.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "user/flow/prefix_filter.h"
#include "user/flow/rule_node.h"

namespace shunt {
namespace {

// What tries and filters stand in.
struct Memory {
  Arena arena;
  Garbage garbage{arena};
};

// The same by looking at each prefix.
template <typename Value>
class Reference {
 public:
  using Prefix = std::pair<Value, unsigned>;
  std::multimap<Prefix, std::uint16_t> rules;

  [[nodiscard]] LengthSet matches(Value value, int above) const {
    LengthSet lengths{};
    for (const auto& [prefix, priority] : rules)
      if (priority > above && prefix_of(value, prefix.second) == prefix.first) add(lengths, prefix.second);
    return lengths;
  }
};

template <typename Value>
Value any_value(std::mt19937_64& random) {
  // Few values, so that prefixes nest and meet; some bits at the end, too.
  Value value = static_cast<Value>(random() % 8) << (PrefixTrie<Value>::kWidth - 5) | static_cast<Value>(random() % 8);
  if (random() % 4 == 0) value ^= Value{1} << random() % PrefixTrie<Value>::kWidth;
  return value;
}

template <typename Value>
void compare(std::uint64_t seed) {
  constexpr unsigned kWidth = PrefixTrie<Value>::kWidth;
  CAPTURE(seed);
  std::mt19937_64 random{seed};
  Memory memory;
  PrefixTrie<Value> trie{memory.arena, memory.garbage};
  PrefixFilter<Value> filter{seed, memory.garbage};
  typename PrefixFilter<Value>::Hashes hashes;
  Reference<Value> reference;
  for (int step = 0; step < 3000; ++step) {
    const bool grows = step % 1000 < 700 ? random() % 3 != 0 : random() % 3 == 0;
    if (grows || reference.rules.empty()) {
      const auto length = static_cast<unsigned>(1 + random() % kWidth);
      const Value prefix = prefix_of(any_value<Value>(random), length);
      const auto priority = static_cast<std::uint16_t>(2 + random() % 6);
      const bool is_new = !reference.rules.contains({prefix, length});
      REQUIRE(trie.insert(prefix, length, priority) == is_new);
      if (is_new) filter.insert(prefix, length, trie);
      reference.rules.insert({{prefix, length}, priority});
    } else {
      auto at = reference.rules.begin();
      std::advance(at, static_cast<std::ptrdiff_t>(random() % reference.rules.size()));
      const auto [prefix, length] = at->first;
      const std::uint16_t priority = at->second;
      reference.rules.erase(at);
      const bool is_gone = !reference.rules.contains({prefix, length});
      REQUIRE(trie.remove(prefix, length, priority) == is_gone);
      if (is_gone) filter.remove(length, trie);
    }
    const Value value = any_value<Value>(random);
    const int above = static_cast<int>(random() % 9) - 1;
    const PrefixMatches found = trie.lookup(value, above);
    REQUIRE(found.lengths == reference.matches(value, above));
    // Any value that has these bits meets the same.
    const Value other = prefix_of(value, found.bits) | (any_value<Value>(random) & ~prefix_of(~Value{0}, found.bits));
    REQUIRE(reference.matches(other, above) == found.lengths);
    const LengthSet maybe = filter.lookup(value, hashes), sure = reference.matches(value, -1);
    for (unsigned i = 0; i < sure.size(); ++i) REQUIRE((sure[i] & ~maybe[i]) == 0);
    if (step % 100 == 0) memory.garbage.free(kNever);  // nobody reads
  }
  while (!reference.rules.empty()) {
    const auto [prefix, priority] = *reference.rules.begin();
    reference.rules.erase(reference.rules.begin());
    trie.remove(prefix.first, prefix.second, priority);
  }
  CHECK(trie.empty());
}

TEST_SUITE("prefix trie") {
  TEST_CASE("32 bits: what it and its filter say is what each prefix by itself says") {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) compare<std::uint32_t>(seed);
  }
  TEST_CASE("128 bits: likewise") {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) compare<Bits128>(seed);
  }

  TEST_CASE("only branches with rules above the priority take bits") {
    Memory memory;
    PrefixTrie<std::uint32_t> trie{memory.arena, memory.garbage};
    trie.insert(0x0a000000, 8, 5);
    trie.insert(0x0a010000, 16, 3);
    trie.insert(0x0a010200, 24, 3);
    CHECK(trie.lookup(0x0a010203, -1).bits == 24);
    CHECK(trie.lookup(0x0a010303, -1).bits == 24);  // 2 and 3 differ in the 24th bit
    CHECK(trie.lookup(0x0a010203, 3).bits == 8);
    CHECK(trie.lookup(0x0b000000, 3).bits == 8);
    CHECK(trie.lookup(0x80000000, 3).bits == 1);
    CHECK(trie.lookup(0x0a010203, 5).bits == 0);
  }

  // A prefix that goes has left its node before the node says so: what is above it has to be told apart all the same.
  TEST_CASE("what tells a value from prefixes that stay is looked at while others below come and go") {
    Memory memory;
    PrefixTrie<std::uint32_t> trie{memory.arena, memory.garbage};
    trie.insert(0x0a010000, 16, 5);
    trie.insert(0x0a000200, 24, 1);  // so that a node stays
    std::atomic<bool> ended{false};
    std::atomic<std::uint64_t> looked_up{0}, wrong{0};
    std::thread reader{[&] {
      while (!ended) {
        wrong += trie.lookup(0x0a000001, 1).bits < 16 ? 1 : 0;
        looked_up.fetch_add(1, std::memory_order_relaxed);
      }
    }};
    while (looked_up == 0) std::this_thread::yield();
    for (int i = 0; i < 300'000; ++i) {
      trie.insert(0x0a000100, 24, 9);
      trie.remove(0x0a000100, 24, 9);
    }
    ended = true;
    reader.join();
    CHECK(wrong == 0);
  }

  TEST_CASE("a filter says no to most of what is not there, also after it grew") {
    Memory memory;
    PrefixTrie<std::uint32_t> trie{memory.arena, memory.garbage};
    PrefixFilter<std::uint32_t> filter{1, memory.garbage};
    PrefixFilter<std::uint32_t>::Hashes hashes;
    std::mt19937_64 random{1};
    for (int i = 0; i < 20'000; ++i) {
      const auto prefix = static_cast<std::uint32_t>(random()) & 0xffffff00;
      if (trie.insert(prefix, 24, 1)) filter.insert(prefix, 24, trie);
    }
    int wrong = 0;
    for (int i = 0; i < 10'000; ++i)
      wrong += has(filter.lookup(static_cast<std::uint32_t>(random()), hashes), 24) ? 1 : 0;
    CHECK(wrong < 1'000);
  }
}

}  // namespace
}  // namespace shunt
