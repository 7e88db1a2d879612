// SPDX-License-Identifier: Apache-2.0
// A chain: the rules of one hash in a subtable, by descending priority, among equals the older one first. Most chains
// are one rule, and then nothing but that rule; else their entries stand in a row, so that a look-up passes over rules
// of other ports and addresses without touching them.
//
// Never edited once readers have it: a change makes another one. Part of the classifier: see there for threads. Blocks
// of the classifier's Arena.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "user/flow/rule_node.h"

namespace shunt {

// As a ChainIndex keeps it: a node, or a row and kRow. 0: no rule.
using ChainRef = std::uint32_t;

// What is asked of a rule before it is touched.
struct ChainEntry {
  std::uint64_t value, mask;  // of its tail: Subtable::tail()
  BlockRef node;
  std::uint16_t priority;
  bool is_clause;  // of a conjunctive match: no match by itself

  // Bits of the tail in which a key differs.
  [[nodiscard]] std::uint64_t differ(std::uint64_t key_tail) const noexcept { return (key_tail ^ value) & mask; }
};

class Chain {
 public:
  // `lone` is the entry of a chain that is one rule, and is not read of any other.
  Chain(const Arena& arena, ChainRef ref, const ChainEntry& lone) noexcept : arena_{&arena}, ref_{ref}, lone_{lone} {}

  static bool is_row(ChainRef ref) noexcept { return (ref & kRow) != 0; }
  // Fetches the first entries of a chain that is not empty.
  static void prefetch(const Arena& arena, ChainRef ref) noexcept {
    const auto* at = arena.at<std::byte>(ref & ~kRow);
    __builtin_prefetch(at);
    if (is_row(ref)) __builtin_prefetch(at + 64);
  }
  [[nodiscard]] bool empty() const noexcept { return ref_ == 0; }
  [[nodiscard]] std::span<const ChainEntry> entries() const noexcept {
    if (ref_ == 0) return {};
    if (!is_row(ref_)) return {&lone_, 1};
    return {row().entries(), row().count};
  }
  // The rule of an entry.
  [[nodiscard]] const RuleNode& node(const ChainEntry& entry) const noexcept {
    return *arena_->at<const RuleNode>(entry.node);
  }
  template <typename Visit>
  void for_each_node(Visit visit) const {
    for (const ChainEntry& entry : entries()) visit(node(entry));
  }

  // Writer. Memory of the old chain goes to the Garbage.
  [[nodiscard]] ChainRef with(Arena& arena, const ChainEntry& added, Garbage& garbage) const {
    if (empty()) return added.node;
    const auto old = entries();
    const auto is_better = [](const ChainEntry& a, const ChainEntry& b) { return a.priority > b.priority; };
    const auto at = std::upper_bound(old.begin(), old.end(), added, is_better);
    const BlockRef made = arena.allocate(Row::size(old.size() + 1));
    Row& row = *arena.at<Row>(made);
    row.count = old.size() + 1;
    ChainEntry* const place = std::copy(old.begin(), at, row.entries());
    *place = added;
    std::copy(at, old.end(), place + 1);
    drop(garbage);
    return made | kRow;
  }
  [[nodiscard]] ChainRef without(Arena& arena, BlockRef gone, Garbage& garbage) const {  // it is there
    const auto old = entries();
    ChainRef made = 0;
    if (old.size() == 2) made = old[0].node == gone ? old[1].node : old[0].node;
    if (old.size() > 2) {
      const BlockRef block = arena.allocate(Row::size(old.size() - 1));
      Row& row = *arena.at<Row>(block);
      row.count = old.size() - 1;
      std::copy_if(old.begin(), old.end(), row.entries(), [gone](const ChainEntry& e) { return e.node != gone; });
      made = block | kRow;
    }
    drop(garbage);
    return made;
  }

 private:
  static constexpr std::uint32_t kRow = std::uint32_t{1} << 31;
  // Entries stand behind it.
  struct Row {
    std::uint64_t count;
    static std::size_t size(std::size_t count) { return sizeof(Row) + count * sizeof(ChainEntry); }
    ChainEntry* entries() { return reinterpret_cast<ChainEntry*>(this + 1); }
  };

  const Arena* arena_;
  ChainRef ref_;
  ChainEntry lone_;

  [[nodiscard]] Row& row() const noexcept { return *arena_->at<Row>(ref_ & ~kRow); }
  void drop(Garbage& garbage) const {
    if (is_row(ref_)) garbage.add(ref_ & ~kRow, Row::size(row().count));
  }
};

}  // namespace shunt
