// SPDX-License-Identifier: Apache-2.0
// A prefix filter tells of which lengths a value may have a prefix that rules have: never "no" where there is one, and
// seldom "yes" where there is none (a Bloom filter, two bits in a word of 64, at most eight prefixes a word). It is
// small enough for the processor's cache where tables of rules are not.
//
// Threads: one writer; any number of readers, which never wait. Arrays that were replaced go to the Garbage.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

#include "user/flow/arena.h"
#include "user/flow/garbage.h"
#include "user/flow/prefix_bits.h"
#include "user/flow/prefix_trie.h"

namespace shunt {

template <typename Value>
class PrefixFilter {
 public:
  static constexpr unsigned kLengths = sizeof(Value) * 8 + 1;
  // Of a value's prefixes by length: prefix_hash(), but 0 of length 0. Only of lengths that rules have.
  using Hashes = std::array<std::uint64_t, kLengths>;

  PrefixFilter(std::uint64_t salt, Garbage& garbage) : salt_{salt}, garbage_{garbage}, words_{Words::make(1)} {}
  PrefixFilter(const PrefixFilter&) = delete;
  PrefixFilter& operator=(const PrefixFilter&) = delete;
  ~PrefixFilter() { delete words_.load(std::memory_order_relaxed); }

  // Readers. Lengths of prefixes that may match, and 0.
  [[nodiscard]] LengthSet lookup(Value value, Hashes& hashes) const noexcept {
    const Words& words = *words_.load(std::memory_order_acquire);
    LengthSet found{1, 0, 0};
    hashes[0] = 0;
    for (unsigned i = 0; i < kLengthWords; ++i) {
      for (std::uint64_t left = lengths_[i].load(std::memory_order_relaxed); left != 0; left &= left - 1) {
        const unsigned length = i * 64 + static_cast<unsigned>(std::countr_zero(left));
        const std::uint64_t hash = prefix_hash(salt_, prefix_of(value, length), length), bits = bits_of(hash);
        hashes[length] = hash;
        found[i] |= std::uint64_t{(words.at(hash) & bits) == bits} << length % 64;
      }
    }
    return found;
  }
  [[nodiscard]] std::uint64_t salt() const noexcept { return salt_; }

  // Writer. Fetches what insert() of a prefix writes.
  void prefetch(Value prefix, unsigned length) const noexcept {
    words_.load(std::memory_order_relaxed)->prefetch(prefix_hash(salt_, prefix, length));
  }
  // A prefix that comes, and one that went: `all` is the trie with all that are there now.
  void insert(Value prefix, unsigned length, const PrefixTrie<Value>& all) {
    if (counts_[length]++ == 0) set_length(length, true);
    ++count_;
    if (count_ + gone_ > (words().mask + 1) * 8) return rebuild(all);
    words().put(prefix_hash(salt_, prefix, length));
  }
  void remove(unsigned length, const PrefixTrie<Value>& all) {
    if (--counts_[length] == 0) set_length(length, false);
    --count_;
    if (++gone_ > 64 && gone_ > count_) rebuild(all);
  }
  [[nodiscard]] std::size_t page_bytes() const {
    return shunt::page_bytes(Words::bytes(words_.load(std::memory_order_relaxed)->mask + 1));
  }

 private:
  static constexpr unsigned kLengthWords = sizeof(Value) * 8 / 64 + 1;

  // One piece of memory, so that a look-up that misses the cache misses it once.
  struct Words {
    std::size_t mask;

    explicit Words(std::size_t m) : mask{m} {}
    static Words* make(std::size_t count) { return new (allocate_pages(bytes(count))) Words{count - 1}; }
    static void operator delete(Words* words, std::destroying_delete_t) { free_pages(words, bytes(words->mask + 1)); }
    static std::size_t bytes(std::size_t count) { return sizeof(Words) + count * sizeof(std::uint64_t); }
    std::atomic<std::uint64_t>* data() { return reinterpret_cast<std::atomic<std::uint64_t>*>(this + 1); }
    void prefetch(std::uint64_t hash) noexcept { __builtin_prefetch(&data()[hash >> 32 & mask]); }
    [[nodiscard]] std::uint64_t at(std::uint64_t hash) const noexcept {
      return const_cast<Words*>(this)->data()[hash >> 32 & mask].load(std::memory_order_relaxed);
    }
    void put(std::uint64_t hash) {
      auto& word = data()[hash >> 32 & mask];
      word.store(word.load(std::memory_order_relaxed) | bits_of(hash), std::memory_order_relaxed);
    }
  };

  const std::uint64_t salt_;
  Garbage& garbage_;
  std::atomic<Words*> words_;
  std::array<std::atomic<std::uint64_t>, kLengthWords> lengths_{};  // that prefixes have
  std::array<std::uint32_t, kLengths> counts_{};                    // by length
  std::size_t count_ = 0, gone_ = 0;                                // gone_: since the words were made

  static std::uint64_t bits_of(std::uint64_t hash) noexcept {
    return std::uint64_t{1} << (hash >> 26 & 63) | std::uint64_t{1} << (hash >> 20 & 63);
  }
  [[nodiscard]] Words& words() { return *words_.load(std::memory_order_relaxed); }

  void set_length(unsigned length, bool is_there) {
    auto& word = lengths_[length / 64];
    const std::uint64_t bit = std::uint64_t{1} << length % 64;
    const std::uint64_t old = word.load(std::memory_order_relaxed);
    word.store(is_there ? old | bit : old & ~bit, std::memory_order_relaxed);
  }

  void rebuild(const PrefixTrie<Value>& all) {
    Words* made = Words::make(std::bit_ceil(count_ / 4 + 1));
    all.for_each([&](Value prefix, unsigned length) { made->put(prefix_hash(salt_, prefix, length)); });
    gone_ = 0;
    garbage_.add(words_.exchange(made, std::memory_order_acq_rel));
  }
};

}  // namespace shunt
