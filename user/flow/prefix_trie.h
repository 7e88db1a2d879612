// SPDX-License-Identifier: Apache-2.0
// A prefix trie tells which prefix lengths match a value, and how many of the value's leading bits that answer took.
// The answer can be asked for rules above some priority only: then branches without such a rule take no bit.
//
// Nodes stand at lengths that are multiples of eight, hold their whole prefix, and are there only where they hold a
// prefix of rules or tell two things apart. Prefixes are counted: each insert() needs its own remove().
//
// Priorities in here are stored as at least 1, for 0 says that there is no rule: rules of priority 0 count as of 1,
// which takes bits that it need not take, and never one too few.
//
// Threads: one writer; any number of readers, which never wait. Blocks of the classifier's Arena; what is unlinked goes
// to the Garbage.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "user/flow/arena.h"
#include "user/flow/garbage.h"
#include "user/flow/prefix_bits.h"
#include "user/flow/prefix_node.h"
#include "user/flow/shared_prefixes.h"

namespace shunt {

// Value: std::uint32_t or Bits128.
template <typename Value>
class PrefixTrie {
  using Node = PrefixNode<Value>;
  static constexpr unsigned kStride = Node::kStride;

 public:
  static constexpr unsigned kWidth = Node::kWidth;

  PrefixTrie(Arena& arena, Garbage& garbage) : arena_{arena}, garbage_{garbage}, shared_{arena, garbage} {}
  PrefixTrie(const PrefixTrie&) = delete;
  PrefixTrie& operator=(const PrefixTrie&) = delete;

  // Readers. The nodes on a value's way, one a step, so that a look-up can do other things while memory comes. What
  // they say can be asked for any priority then.
  class Walk {
   public:
    Walk(const PrefixTrie& trie, Value value) noexcept : arena_{trie.arena_}, value_{value} {
      go_to(trie.root_.load(std::memory_order_acquire));
    }
    [[nodiscard]] bool is_done() const noexcept { return next_ == nullptr; }
    // Whether the nodes so far decide this many bits.
    [[nodiscard]] bool decides(unsigned bits) const noexcept {
      return count_ != 0 && path_[count_ - 1]->length + kStride >= bits;
    }
    void step() noexcept {
      Node& node = *next_;
      path_[count_++] = next_;
      next_ = nullptr;
      // matches() reads all of it.
      for (std::size_t at = kFetched, end = node.size(); at < end; at += kLine)
        __builtin_prefetch(reinterpret_cast<const std::byte*>(&node) + at);
      if (node.child_groups == 0 || common_bits(value_, node.prefix, node.length) < node.length) return;
      const unsigned slot = node.child_slot(node.key_of(value_));
      if (slot != Node::kNoSlot) go_to(node.child(slot).load(std::memory_order_acquire));
    }
    // Which prefixes of rules with a priority greater than `above` match; is_done() must be true.
    [[nodiscard]] PrefixMatches matches(int above) const noexcept {
      const auto least = static_cast<std::uint16_t>(std::max(above, 0));
      PrefixMatches found;
      unsigned end = 0;
      while (end < count_ && path_[end]->best.load(std::memory_order_relaxed) > least) ++end;
      // What a node takes is more than what those above it take; but one that changes just now may take none.
      for (; end != 0; --end) {
        Node& node = *path_[end - 1];
        if (found.bits != 0)
          node.look_for(value_, least, found);
        else if (const unsigned common = common_bits(value_, node.prefix, node.length); common < node.length)
          found.bits = static_cast<std::uint8_t>(common + 1);
        else
          node.look_at(value_, least, found);
      }
      return found;
    }

   private:
    static constexpr std::size_t kLine = 64, kFetched = 2 * kLine;  // kFetched: of a node, before its size is known

    const Arena& arena_;
    const Value value_;
    Node* next_ = nullptr;
    unsigned count_ = 0;
    std::array<Node*, kWidth / kStride> path_;

    void go_to(BlockRef ref) noexcept {
      if (ref == 0) return;
      next_ = arena_.at<Node>(ref);
      for (std::size_t at = 0; at < kFetched; at += kLine)
        __builtin_prefetch(reinterpret_cast<const std::byte*>(next_) + at);
    }
  };
  [[nodiscard]] bool empty() const noexcept { return root_.load(std::memory_order_relaxed) == 0; }
  [[nodiscard]] PrefixMatches lookup(Value value, int above = -1) const noexcept {
    Walk walk{*this, value};
    while (!walk.is_done()) walk.step();
    return walk.matches(above);
  }

  // Writer. Fetch what insert() and remove() of a prefix look at beside the nodes, which a Walk fetches: the second
  // what the first one's memory names.
  void prefetch(Value prefix, unsigned length) const noexcept { shared_.prefetch(prefix, length); }
  void prefetch_bag(Value prefix, unsigned length) const noexcept { shared_.prefetch_bag(prefix, length); }
  [[nodiscard]] std::size_t page_bytes() const { return shared_.page_bytes(); }
  // visit(prefix, length) for each one that rules have.
  template <typename Visit>
  void for_each(Visit visit) const {
    visit_all(root_.load(std::memory_order_relaxed), visit);
  }
  // True where the prefix is new. Of at least one bit.
  bool insert(Value prefix, unsigned length, std::uint16_t priority) {
    return change(&PrefixTrie::insert_at, {prefix, length, std::max(priority, std::uint16_t{1})});
  }
  // The prefix must be there. True where no rule has it any more.
  bool remove(Value prefix, unsigned length, std::uint16_t priority) {
    return change(&PrefixTrie::remove_at, {prefix, length, std::max(priority, std::uint16_t{1})});
  }

 private:
  struct Change {
    Value prefix;
    unsigned length;
    std::uint16_t priority;
    bool is_first_or_last = false;  // of the prefix's rules

    [[nodiscard]] unsigned home() const {
      return (length - 1) / kStride * kStride;
    }  // length of the node that holds it
  };
  Arena& arena_;
  Garbage& garbage_;
  std::atomic<BlockRef> root_{0};
  SharedPrefixes<Value> shared_;  // writer only

  [[nodiscard]] Node& node(BlockRef ref) const { return *arena_.at<Node>(ref); }

  bool change(BlockRef (PrefixTrie::*change_at)(BlockRef, Change&), Change what) {
    const BlockRef old = root_.load(std::memory_order_relaxed), now = (this->*change_at)(old, what);
    if (now != old) root_.store(now, std::memory_order_release);
    return what.is_first_or_last;
  }

  // Each makes a change in the trie below `at` and returns what stands there now. Recursion is as deep as a walk.
  BlockRef insert_at(BlockRef at, Change& what) {
    if (at == 0) return lone(what);
    Node& node = this->node(at);
    const unsigned common = common_bits(what.prefix, node.prefix, std::min<unsigned>(what.home(), node.length));
    if (common < node.length) return fork(at, common / kStride * kStride, what);
    raise(node, what.priority);
    if (what.home() == node.length) return insert_own(at, what);

    const std::uint8_t key = node.key_of(what.prefix);
    const unsigned slot = node.child_slot(key);
    if (slot == Node::kNoSlot || node.child(slot).load(std::memory_order_relaxed) == 0)
      return with_child(at, key, lone(what));
    descend(node, slot, &PrefixTrie::insert_at, what);
    Best8& best = node.child_best()[slot / 8];
    if (best[slot % 8] < what.priority) best.set(slot % 8, what.priority);
    return at;
  }

  BlockRef remove_at(BlockRef at, Change& what) {
    Node& node = this->node(at);
    if (what.home() == node.length) {
      remove_own(node, what);
    } else {
      const unsigned slot = node.child_slot(node.key_of(what.prefix));
      const BlockRef child = descend(node, slot, &PrefixTrie::remove_at, what);
      const std::uint16_t best = child == 0 ? std::uint16_t{0} : best_of(child);
      Best8& known = node.child_best()[slot / 8];
      if (known[slot % 8] != best) known.set(slot % 8, best);  // readers have that line, too
      if (child == 0) --node.child_count;
    }
    if (node.best.load(std::memory_order_relaxed) == what.priority) settle(node);
    if (node.own_count != 0 || node.child_count > 1) return at;
    garbage_.add(at, node.size());
    return only_child(node);
  }

  BlockRef descend(Node& node, unsigned slot, BlockRef (PrefixTrie::*change_at)(BlockRef, Change&), Change& what) {
    std::atomic<BlockRef>& edge = node.child(slot);
    const BlockRef old = edge.load(std::memory_order_relaxed), now = (this->*change_at)(old, what);
    if (now != old) edge.store(now, std::memory_order_release);
    return now;
  }

  BlockRef make(Value prefix, unsigned length, unsigned own_groups, unsigned child_groups) {
    const BlockRef ref = arena_.allocate(Node::size(own_groups, child_groups));
    Node& made = *new (arena_.at<void>(ref)) Node{};
    made.prefix = prefix_of(prefix, length);
    made.length = static_cast<std::uint8_t>(length);
    made.own_groups = static_cast<std::uint8_t>(own_groups);
    made.child_groups = static_cast<std::uint8_t>(child_groups);
    std::uninitialized_value_construct_n(made.keys(), own_groups * 5 + child_groups * 7);  // all zero, whatever it is
    return ref;
  }
  // Of a prefix alone.
  BlockRef lone(Change& what) { return insert_own(make(what.prefix, what.home(), 1, 0), what); }
  // Above a node whose prefix differs, or is longer.
  BlockRef fork(BlockRef at, unsigned length, Change& what) {
    const bool is_home = what.home() == length;
    const BlockRef made = make(what.prefix, length, is_home ? 1 : 0, 1);
    Node& node = this->node(made);
    put_child(node, node.key_of(this->node(at).prefix), at);
    if (is_home) return insert_own(made, what);
    put_child(node, node.key_of(what.prefix), lone(what));
    return made;
  }
  // Without slots that are free, and with more room.
  BlockRef larger(BlockRef old_ref, unsigned more_own, unsigned more_children) {
    Node& old = node(old_ref);
    const BlockRef ref = make(old.prefix, old.length, old.own_groups + more_own, old.child_groups + more_children);
    Node& made = node(ref);
    for (unsigned i = 0; i < old.own_groups * 8u; ++i) {
      const unsigned slot = made.own_count;
      const std::uint16_t best = old.own_best()[i / 8][i % 8];
      if (best == 0) continue;
      put_own(made, slot, old.own_values()[i / 8][i % 8], old.own_masks()[i / 8][i % 8], best);
      made.is_many()[slot / 8].set(slot % 8, old.is_many()[i / 8][i % 8]);
    }
    for (unsigned i = 0; i < old.child_groups * 8u; ++i)
      if (const BlockRef child = old.child(i).load(std::memory_order_relaxed); child != 0)
        put_child(made, old.keys()[i / 8][i % 8], child);
    garbage_.add(old_ref, old.size());
    return ref;
  }

  BlockRef with_child(BlockRef at, std::uint8_t key, BlockRef child) {
    if (node(at).child_count == node(at).child_groups * 8) at = larger(at, 0, 1 + node(at).child_groups / 4u);
    put_child(node(at), key, child);
    return at;
  }
  // In the slot that has the key, else in any that is free.
  void put_child(Node& node, std::uint8_t key, BlockRef child) {
    unsigned slot = node.child_slot(key);
    if (slot == Node::kNoSlot)
      for (slot = 0; node.child(slot).load(std::memory_order_relaxed) != 0;) ++slot;
    node.keys()[slot / 8].set(slot % 8, key);
    node.child_best()[slot / 8].set(slot % 8, best_of(child));
    node.child(slot).store(child, std::memory_order_release);
    ++node.child_count;
    raise(node, best_of(child));
  }

  BlockRef insert_own(BlockRef at, Change& what) {
    unsigned slot = own_slot(node(at), what);
    if (slot == Node::kNoSlot) {
      if (node(at).own_count == node(at).own_groups * 8) at = larger(at, 1 + node(at).own_groups / 4u, 0);
      Node& node = this->node(at);
      for (slot = 0; node.own_best()[slot / 8][slot % 8] != 0;) ++slot;
      put_own(node, slot, node.key_of(what.prefix), own_mask(what), what.priority);
      what.is_first_or_last = true;
      return at;
    }
    Node& node = this->node(at);
    const std::uint16_t best = node.own_best()[slot / 8][slot % 8];
    if (node.is_many()[slot / 8][slot % 8] == 0) {
      shared_.make(what.prefix, what.length).insert(best);
      node.is_many()[slot / 8].set(slot % 8, 1);
    }
    shared_.find(what.prefix, what.length).insert(what.priority);
    if (what.priority > best) node.own_best()[slot / 8].set(slot % 8, what.priority);
    return at;
  }
  static void put_own(Node& node, unsigned slot, std::uint8_t value, std::uint8_t mask, std::uint16_t best) {
    node.own_values()[slot / 8].set(slot % 8, value);
    node.own_masks()[slot / 8].set(slot % 8, mask);
    node.is_many()[slot / 8].set(slot % 8, 0);
    node.own_best()[slot / 8].set(slot % 8, best);
    ++node.own_count;
    raise(node, best);
  }
  void remove_own(Node& node, Change& what) {
    const unsigned slot = own_slot(node, what);
    Best8& best = node.own_best()[slot / 8];
    Bytes8& is_many = node.is_many()[slot / 8];
    if (is_many[slot % 8] == 0) {
      what.is_first_or_last = true;
      best.set(slot % 8, 0);
      --node.own_count;
      return;
    }
    PriorityBag& bag = shared_.find(what.prefix, what.length);
    bag.remove(what.priority);
    best.set(slot % 8, bag.max());
    if (bag.size() > 1) return;
    is_many.set(slot % 8, 0);
    shared_.drop(what.prefix, what.length);
  }

  static std::uint8_t own_mask(const Change& what) {
    return static_cast<std::uint8_t>(0xff00 >> (what.length - what.home()));
  }
  // Where the prefix has rules already, or kNoSlot.
  static unsigned own_slot(Node& node, const Change& what) {
    return node.own_slot(node.key_of(what.prefix), own_mask(what));
  }

  [[nodiscard]] std::uint16_t best_of(BlockRef ref) const { return node(ref).best.load(std::memory_order_relaxed); }
  static void raise(Node& node, std::uint16_t to) {
    if (node.best.load(std::memory_order_relaxed) < to) node.best.store(to, std::memory_order_relaxed);
  }
  // From what is there.
  static void settle(Node& node) {
    std::uint16_t best = 0;
    for (unsigned i = 0; i < node.own_groups * 8u; ++i) best = std::max(best, node.own_best()[i / 8][i % 8]);
    for (unsigned i = 0; i < node.child_groups * 8u; ++i) best = std::max(best, node.child_best()[i / 8][i % 8]);
    node.best.store(best, std::memory_order_relaxed);
  }
  static BlockRef only_child(Node& node) {
    for (unsigned i = 0; i < node.child_groups * 8u; ++i)
      if (const BlockRef child = node.child(i).load(std::memory_order_relaxed); child != 0) return child;
    return 0;
  }

  template <typename Visit>
  void visit_all(BlockRef ref, Visit visit) const {
    if (ref == 0) return;
    Node& node = this->node(ref);
    for (unsigned i = 0; i < node.own_groups * 8u; ++i) {
      if (node.own_best()[i / 8][i % 8] == 0) continue;
      const auto bits = static_cast<unsigned>(std::popcount(node.own_masks()[i / 8][i % 8]));
      visit(node.prefix | Value{node.own_values()[i / 8][i % 8]} << (kWidth - kStride - node.length),
            node.length + bits);
    }
    for (unsigned i = 0; i < node.child_groups * 8u; ++i)
      visit_all(node.child(i).load(std::memory_order_relaxed), visit);
  }
};

}  // namespace shunt
