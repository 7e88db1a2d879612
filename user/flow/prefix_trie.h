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
#include <unordered_map>
#include <vector>

#include "user/flow/arena.h"
#include "user/flow/garbage.h"
#include "user/flow/prefix_bits.h"
#include "user/flow/prefix_node.h"
#include "user/flow/priority_bag.h"

namespace shunt {

// Value: std::uint32_t or Bits128.
template <typename Value>
class PrefixTrie {
  using Node = PrefixNode<Value>;
  static constexpr unsigned kStride = Node::kStride;

 public:
  static constexpr unsigned kWidth = Node::kWidth;

  PrefixTrie(Arena& arena, Garbage& garbage) : arena_{arena}, garbage_{garbage} {}
  PrefixTrie(const PrefixTrie&) = delete;
  PrefixTrie& operator=(const PrefixTrie&) = delete;

  // Readers. The nodes on a value's way, one a step, so that a look-up can do other things while memory comes. What they
  // say can be asked for any priority then.
  class Walk {
   public:
    Walk(const PrefixTrie& trie, Value value) noexcept : arena_{trie.arena_}, value_{value} {
      go_to(trie.root_.load(std::memory_order_acquire));
    }
    [[nodiscard]] bool is_done() const noexcept { return next_ == nullptr; }
    void step() noexcept {
      Node& node = *next_;
      path_[count_++] = next_;
      next_ = nullptr;
      if (node.child_count == 0 || common_bits(value_, node.prefix, node.length) < node.length) return;
      const std::uint8_t key = node.key_of(value_);
      const unsigned place = node.child_place(key);
      if (node.has_child(place, key)) go_to(node.children()[place].load(std::memory_order_acquire));
    }
    // Which prefixes of rules with a priority greater than `above` match; is_done() must be true.
    [[nodiscard]] PrefixMatches matches(int above) const noexcept {
      const auto least = static_cast<std::uint16_t>(std::max(above, 0));
      PrefixMatches found;
      for (unsigned i = 0; i < count_ && path_[i]->best > least; ++i) {
        Node& node = *path_[i];
        if (const unsigned common = common_bits(value_, node.prefix, node.length); common < node.length)
          found.bits = static_cast<std::uint8_t>(common + 1);
        else
          node.look_at(value_, least, found);
      }
      return found;
    }

   private:
    const Arena& arena_;
    const Value value_;
    Node* next_ = nullptr;
    unsigned count_ = 0;
    std::array<Node*, kWidth / kStride> path_;

    void go_to(BlockRef ref) noexcept {
      if (ref == 0) return;
      next_ = arena_.at<Node>(ref);
      __builtin_prefetch(next_);
      __builtin_prefetch(reinterpret_cast<const std::byte*>(next_) + 64);
    }
  };
  [[nodiscard]] bool empty() const noexcept { return root_.load(std::memory_order_relaxed) == 0; }
  [[nodiscard]] PrefixMatches lookup(Value value, int above = -1) const noexcept {
    Walk walk{*this, value};
    while (!walk.is_done()) walk.step();
    return walk.matches(above);
  }

  // Writer. visit(prefix, length) for each one that rules have.
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

    [[nodiscard]] unsigned home() const { return (length - 1) / kStride * kStride; }  // length of the node that holds it
  };
  struct Own {
    std::uint16_t best;
    std::uint8_t value, mask;
    bool is_many;
  };
  struct Child {
    std::uint16_t best;
    std::uint8_t key;
    BlockRef ref;
  };
  // A node that is being made.
  struct Draft {
    Value prefix;
    unsigned length;
    std::vector<Own> own;
    std::vector<Child> children;  // by key
  };
  using PrefixName = std::pair<Value, unsigned>;
  struct NameHash {
    std::size_t operator()(const PrefixName& name) const { return prefix_hash(0, name.first, name.second) >> 24; }
  };

  Arena& arena_;
  Garbage& garbage_;
  std::atomic<BlockRef> root_{0};
  // Writer.
  std::unordered_map<PrefixName, PriorityBag, NameHash> many_;  // of prefixes with several rules
  Draft draft_;

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
    if (what.home() == node.length) return insert_own(at, what);

    const std::uint8_t key = node.key_of(what.prefix);
    const unsigned place = node.child_place(key);
    if (!node.has_child(place, key)) {
      const BlockRef child = lone(what);
      load(node);
      draft_.children.insert(draft_.children.begin() + place, {what.priority, key, child});
      return replace(at);
    }
    descend(node, place, &PrefixTrie::insert_at, what);
    if (node.child_best()[place] >= what.priority) return at;
    load(node);
    draft_.children[place].best = what.priority;
    return replace(at);
  }

  BlockRef remove_at(BlockRef at, Change& what) {
    Node& node = this->node(at);
    if (what.home() == node.length) return remove_own(at, what);
    const unsigned place = node.child_place(node.key_of(what.prefix));
    const BlockRef child = descend(node, place, &PrefixTrie::remove_at, what);
    if (child != 0 && this->node(child).best == node.child_best()[place]) return at;
    load(node);
    if (child == 0)
      draft_.children.erase(draft_.children.begin() + place);
    else
      draft_.children[place].best = this->node(child).best;
    return replace(at);
  }

  BlockRef descend(Node& node, unsigned place, BlockRef (PrefixTrie::*change_at)(BlockRef, Change&), Change& what) {
    std::atomic<BlockRef>& edge = node.children()[place];
    const BlockRef old = edge.load(std::memory_order_relaxed), now = (this->*change_at)(old, what);
    if (now != old && now != 0) edge.store(now, std::memory_order_release);
    return now;
  }

  BlockRef lone(Change& what) {
    start(prefix_of(what.prefix, what.home()), what.home());
    add_own(what);
    return store();
  }
  // Above a node whose prefix differs, or is longer.
  BlockRef fork(BlockRef at, unsigned length, Change& what) {
    Node& node = this->node(at);
    const auto key = [&](Value prefix) { return static_cast<std::uint8_t>(prefix >> (kWidth - kStride - length)); };
    const BlockRef other = what.home() == length ? 0 : lone(what);
    start(prefix_of(what.prefix, length), length);
    draft_.children.push_back({node.best, key(node.prefix), at});
    if (other == 0)
      add_own(what);
    else
      draft_.children.insert(draft_.children.begin() + (key(what.prefix) > key(node.prefix) ? 1 : 0),
                             {what.priority, key(what.prefix), other});
    return store();
  }

  BlockRef insert_own(BlockRef at, Change& what) {
    Node& node = this->node(at);
    const unsigned place = own_place(node, what);
    if (place == node.own_count) {
      load(node);
      add_own(what);
      return replace(at);
    }
    const std::uint16_t best = node.own_best()[place];
    PriorityBag& bag = many_[{what.prefix, what.length}];
    if (node.is_many()[place] == 0) bag.insert(best);
    bag.insert(what.priority);
    node.is_many()[place] = 1;
    if (what.priority <= best) return at;
    load(node);
    draft_.own[place].best = what.priority;
    return replace(at);
  }
  BlockRef remove_own(BlockRef at, Change& what) {
    Node& node = this->node(at);
    const unsigned place = own_place(node, what);
    if (node.is_many()[place] == 0) {
      what.is_first_or_last = true;
      load(node);
      draft_.own[place] = draft_.own.back();
      draft_.own.pop_back();
      return replace(at);
    }
    const auto bag = many_.find({what.prefix, what.length});
    bag->second.remove(what.priority);
    const std::uint16_t best = bag->second.max();
    if (bag->second.size() == 1) {
      node.is_many()[place] = 0;
      many_.erase(bag);
    }
    if (best == node.own_best()[place]) return at;
    load(node);
    draft_.own[place].best = best;
    return replace(at);
  }

  static std::uint8_t own_mask(const Change& what) {
    return static_cast<std::uint8_t>(0xff00 >> (what.length - what.home()));
  }
  // own_count: it is not there.
  static unsigned own_place(Node& node, const Change& what) {
    const std::uint8_t value = node.key_of(what.prefix), mask = own_mask(what);
    unsigned place = 0;
    while (place < node.own_count && (node.own_values()[place] != value || node.own_masks()[place] != mask)) ++place;
    return place;
  }

  void start(Value prefix, unsigned length) {
    draft_.prefix = prefix;
    draft_.length = length;
    draft_.own.clear();
    draft_.children.clear();
  }
  void add_own(Change& what) {
    what.is_first_or_last = true;
    const auto value = static_cast<std::uint8_t>(what.prefix >> (kWidth - kStride - what.home()));
    draft_.own.push_back({what.priority, value, own_mask(what), false});
  }
  void load(Node& node) {
    start(node.prefix, node.length);
    for (unsigned i = 0; i < node.own_count; ++i)
      draft_.own.push_back(
          {node.own_best()[i], node.own_values()[i], node.own_masks()[i], node.is_many()[i] != 0});
    for (unsigned i = 0; i < node.child_count; ++i)
      draft_.children.push_back(
          {node.child_best()[i], node.keys()[i], node.children()[i].load(std::memory_order_relaxed)});
  }
  BlockRef store() {
    const std::size_t size = Node::size(draft_.own.size(), draft_.children.size());
    const BlockRef ref = arena_.allocate(size);
    Node& made = node(ref);
    std::memset(static_cast<void*>(&made), 0, size);
    made.prefix = draft_.prefix;
    made.length = static_cast<std::uint8_t>(draft_.length);
    made.own_count = static_cast<std::uint16_t>(draft_.own.size());
    made.child_count = static_cast<std::uint16_t>(draft_.children.size());
    for (unsigned i = 0; i < made.own_count; ++i) {
      const Own& own = draft_.own[i];
      made.own_best()[i] = own.best;
      made.own_values()[i] = own.value;
      made.own_masks()[i] = own.mask;
      made.is_many()[i] = own.is_many ? 1 : 0;
      made.best = std::max(made.best, own.best);
    }
    for (unsigned i = 0; i < made.child_count; ++i) {
      const Child& child = draft_.children[i];
      made.child_best()[i] = child.best;
      made.keys()[i] = child.key;
      made.children()[i].store(child.ref, std::memory_order_relaxed);
      made.best = std::max(made.best, child.best);
    }
    return ref;
  }
  // The draft takes a node's place; what it holds may need no node.
  BlockRef replace(BlockRef old) {
    garbage_.add(old, node(old).size());
    if (!draft_.own.empty() || draft_.children.size() > 1) return store();
    return draft_.children.empty() ? 0 : draft_.children.front().ref;
  }

  template <typename Visit>
  void visit_all(BlockRef ref, Visit visit) const {
    if (ref == 0) return;
    Node& node = this->node(ref);
    for (unsigned i = 0; i < node.own_count; ++i) {
      const auto bits = static_cast<unsigned>(std::popcount(node.own_masks()[i]));
      visit(node.prefix | Value{node.own_values()[i]} << (kWidth - kStride - node.length), node.length + bits);
    }
    for (unsigned i = 0; i < node.child_count; ++i)
      visit_all(node.children()[i].load(std::memory_order_relaxed), visit);
  }
};

}  // namespace shunt
