// SPDX-License-Identifier: Apache-2.0
// A chain: the rules of one hash in a subtable, by descending priority, among equals the older one first. Most chains
// are one rule, and then nothing but that rule; else their entries stand in a row, so that a look-up passes over rules
// of other ports without touching them.
//
// Never edited once readers have it: a change makes another one. Part of the classifier: see there for threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

#include "user/flow/rule_node.h"

namespace shunt {

class Chain {
 public:
  Chain() = default;  // Chain{}: no rule
  explicit Chain(const RuleNode& only) : bits_{reinterpret_cast<std::uintptr_t>(&only)} {}
  friend bool operator==(const Chain&, const Chain&) = default;

  [[nodiscard]] std::span<const ChainEntry> entries() const noexcept {
    if (bits_ == 0) return {};
    if ((bits_ & 1) == 0) return {&reinterpret_cast<const RuleNode*>(bits_)->entry, 1};
    return {reinterpret_cast<const ChainEntry*>(row() + 1), row()->count};
  }
  void prefetch() const noexcept {
    if ((bits_ & 1) != 0)
      __builtin_prefetch(row());
    else if (bits_ != 0)
      reinterpret_cast<const RuleNode*>(bits_)->prefetch();
  }

  // Writer. Memory of the old chain goes to the Garbage.
  [[nodiscard]] Chain with(const RuleNode& added, Garbage& garbage) const {
    const auto old = entries();
    if (old.empty()) return Chain{added};
    Chain made{Row::make(old.size() + 1)};
    const auto is_better = [](const ChainEntry& a, const ChainEntry& b) { return a.priority > b.priority; };
    const auto at = std::upper_bound(old.begin(), old.end(), added.entry, is_better);
    ChainEntry* to = std::uninitialized_copy(old.begin(), at, made.row()->data());
    to = std::uninitialized_copy_n(&added.entry, 1, to);
    std::uninitialized_copy(at, old.end(), to);
    drop(garbage);
    return made;
  }
  [[nodiscard]] Chain without(const RuleNode& gone, Garbage& garbage) const {  // it is there
    const auto old = entries();
    Chain made{};
    if (old.size() == 2) {
      made = Chain{*old[old[0].node == &gone ? 1 : 0].node};
    } else if (old.size() > 2) {
      made = Chain{Row::make(old.size() - 1)};
      std::remove_copy_if(old.begin(), old.end(), made.row()->data(),
                          [&](const ChainEntry& entry) { return entry.node == &gone; });
    }
    drop(garbage);
    return made;
  }
  // With all rules that are in it.
  void destroy() {
    for (const ChainEntry& entry : entries())
      if ((bits_ & 1) != 0) delete entry.node;
    if ((bits_ & 1) != 0)
      delete row();
    else
      delete reinterpret_cast<RuleNode*>(bits_);
  }

 private:
  struct Row {
    std::size_t count;
    static Row* make(std::size_t count) {
      auto* row = new (::operator new(sizeof(Row) + count * sizeof(ChainEntry))) Row{count};
      return row;
    }
    static void operator delete(void* memory) { ::operator delete(memory); }
    ChainEntry* data() { return reinterpret_cast<ChainEntry*>(this + 1); }
  };

  std::uintptr_t
      bits_;  // of a RuleNode; or of a Row, and 1. Not set by itself: arrays of chains are made for each look-up

  explicit Chain(Row* row) : bits_{reinterpret_cast<std::uintptr_t>(row) | 1} {}
  [[nodiscard]] Row* row() const noexcept { return reinterpret_cast<Row*>(bits_ & ~std::uintptr_t{1}); }
  void drop(Garbage& garbage) const {
    if ((bits_ & 1) != 0) garbage.add(row());
  }
};

}  // namespace shunt
