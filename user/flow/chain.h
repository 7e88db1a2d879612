// SPDX-License-Identifier: Apache-2.0
// A chain: the rules of one hash in a subtable, by descending priority, among equals the older one first. Most chains
// are one rule, and then nothing but that rule; else their entries stand in a row, so that a look-up passes over rules
// of other ports without touching them.
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

// As a HashIndex keeps it: a node, or a row and kRow. 0: no rule.
using ChainRef = std::uint32_t;

class Chain {
 public:
  Chain(const Arena& arena, ChainRef ref) noexcept : arena_{&arena}, ref_{ref} {}

  [[nodiscard]] bool empty() const noexcept { return ref_ == 0; }
  [[nodiscard]] std::span<const ChainEntry> entries() const noexcept {
    if (ref_ == 0) return {};
    if (!is_row()) return {&arena_->at<const RuleNode>(ref_)->entry, 1};
    return {row().entries(), row().count};
  }
  // The rule of an entry.
  [[nodiscard]] BlockRef node_ref(std::size_t i) const noexcept { return is_row() ? row().nodes()[i] : ref_; }
  [[nodiscard]] const RuleNode& node(std::size_t i) const noexcept { return *arena_->at<const RuleNode>(node_ref(i)); }
  template <typename Visit>
  void for_each_node(Visit visit) const {
    for (std::size_t i = 0; i < entries().size(); ++i) visit(node(i));
  }
  void prefetch() const noexcept {  // not of an empty one
    const auto* at = arena_->at<std::byte>(ref_ & ~kRow);
    __builtin_prefetch(at);
    if (is_row()) __builtin_prefetch(at + 64);
  }

  // Writer. Memory of the old chain goes to the Garbage.
  [[nodiscard]] ChainRef with(Arena& arena, BlockRef added, Garbage& garbage) const {
    if (empty()) return added;
    const auto old = entries();
    const ChainEntry& entry = arena.at<RuleNode>(added)->entry;
    const auto is_better = [](const ChainEntry& a, const ChainEntry& b) { return a.priority > b.priority; };
    const auto at = static_cast<std::size_t>(std::upper_bound(old.begin(), old.end(), entry, is_better) - old.begin());
    const BlockRef made = arena.allocate(Row::size(old.size() + 1));
    Row& row = *arena.at<Row>(made);
    row.count = static_cast<std::uint32_t>(old.size() + 1);
    for (std::size_t i = 0; i <= old.size(); ++i) {
      row.entries()[i] = i == at ? entry : old[i > at ? i - 1 : i];
      row.nodes()[i] = i == at ? added : node_ref(i > at ? i - 1 : i);
    }
    drop(garbage);
    return made | kRow;
  }
  [[nodiscard]] ChainRef without(Arena& arena, BlockRef gone, Garbage& garbage) const {  // it is there
    const auto old = entries();
    ChainRef made = 0;
    if (old.size() == 2) made = node_ref(node_ref(0) == gone ? 1 : 0);
    if (old.size() > 2) {
      const BlockRef block = arena.allocate(Row::size(old.size() - 1));
      Row& row = *arena.at<Row>(block);
      row.count = static_cast<std::uint32_t>(old.size() - 1);
      for (std::size_t i = 0, to = 0; i < old.size(); ++i) {
        if (node_ref(i) == gone) continue;
        row.entries()[to] = old[i];
        row.nodes()[to++] = node_ref(i);
      }
      made = block | kRow;
    }
    drop(garbage);
    return made;
  }

 private:
  static constexpr std::uint32_t kRow = std::uint32_t{1} << 31;
  // Entries stand behind it, and behind them their nodes.
  struct Row {
    std::uint32_t count;
    static std::size_t size(std::size_t count) { return sizeof(Row) + count * (sizeof(ChainEntry) + sizeof(BlockRef)); }
    ChainEntry* entries() { return reinterpret_cast<ChainEntry*>(this + 1); }
    BlockRef* nodes() { return reinterpret_cast<BlockRef*>(entries() + count); }
  };

  const Arena* arena_;
  ChainRef ref_;

  [[nodiscard]] bool is_row() const noexcept { return (ref_ & kRow) != 0; }
  [[nodiscard]] Row& row() const noexcept { return *arena_->at<Row>(ref_ & ~kRow); }
  void drop(Garbage& garbage) const {
    if (is_row()) garbage.add(ref_ & ~kRow, Row::size(row().count));
  }
};

}  // namespace shunt
