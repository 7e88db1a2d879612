// SPDX-License-Identifier: Apache-2.0
// A prefix trie tells which prefix lengths match a value, and how many of the value's leading bits that answer took.
// The answer can be asked for rules above some priority only: then branches without such a rule take no bit.
//
// A node decides four bits, and lies in four cache lines of which a walk touches three at once: where tables are large,
// what a walk costs is the lines that it waits for. Nodes stand at lengths that are multiples of four, hold their whole
// prefix, and are there only where they tell two things apart: a lone prefix is a leaf. Prefixes are counted: each
// insert() needs its own remove().
//
// Priorities in here are stored as at least 1, for 0 says that there is no rule: rules of priority 0 count as of 1,
// which takes bits that it need not take, and never one too few.
//
// Threads: one writer; any number of readers, which never wait. The writer is handed what it unlinks, and frees it when
// no reader can be in it any more.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "user/flow/priority_bag.h"

namespace shunt {

using Bits128 = unsigned __int128;

inline unsigned leading_zeros(std::uint32_t bits) noexcept { return static_cast<unsigned>(std::countl_zero(bits)); }
inline unsigned leading_zeros(Bits128 bits) noexcept {
  const auto high = static_cast<std::uint64_t>(bits >> 64);
  return static_cast<unsigned>(high != 0 ? std::countl_zero(high)
                                         : 64 + std::countl_zero(static_cast<std::uint64_t>(bits)));
}

// The first `length` bits of a value.
template <typename Value>
Value prefix_of(Value value, unsigned length) noexcept {
  constexpr unsigned kWidth = sizeof(Value) * 8;
  return length == 0 ? Value{0} : value >> (kWidth - length) << (kWidth - length);
}

// Prefix lengths of one field, bit by length.
using LengthSet = std::array<std::uint64_t, 3>;
inline bool has(const LengthSet& set, unsigned length) noexcept { return (set[length / 64] >> (length % 64) & 1) != 0; }
inline void add(LengthSet& set, unsigned length) noexcept { set[length / 64] |= std::uint64_t{1} << (length % 64); }

// What a look-up found: the lengths of the prefixes that match, and the bits that were looked at.
struct PrefixMatches {
  LengthSet lengths{};
  std::uint8_t bits = 0;
};

// Value: std::uint32_t or Bits128, the first bit of the field being the most significant. Shorter fields stand left.
template <typename Value>
class PrefixTrie {
 public:
  static constexpr unsigned kWidth = sizeof(Value) * 8;

 private:
  static constexpr unsigned kStride = 4, kBranches = 1 << kStride;

  // The priorities of the rules with one prefix. Writer only.
  class Rules {
   public:
    [[nodiscard]] bool empty() const { return count_ == 0; }
    [[nodiscard]] std::uint16_t best() const { return bag_ != nullptr ? bag_->max() : only_; }
    void insert(std::uint16_t priority) {
      if (count_++ == 0) {
        only_ = priority;
        return;
      }
      if (bag_ == nullptr) {
        bag_ = std::make_unique<PriorityBag>();
        bag_->insert(only_);
      }
      bag_->insert(priority);
    }
    void remove(std::uint16_t priority) {
      if (bag_ != nullptr) bag_->remove(priority);
      if (--count_ > 1 || bag_ == nullptr) return;
      only_ = bag_->max();
      bag_.reset();
    }

   private:
    std::uint32_t count_ = 0;
    std::uint16_t only_ = 0;
    std::unique_ptr<PriorityBag> bag_;  // where there are several
  };

  struct Leaf {
    Value prefix;
    std::atomic<std::uint16_t> best;
    std::uint8_t length;
    Rules rules;
    Leaf(Value p, unsigned l, Rules r)
        : prefix{p}, best{r.best()}, length{static_cast<std::uint8_t>(l)}, rules{std::move(r)} {}
  };
  struct Node;

  // A node, a leaf, or nothing.
  class Ref {
   public:
    Ref() = default;
    Ref(Node* node) : bits_{reinterpret_cast<std::uintptr_t>(node)} {}
    Ref(Leaf* leaf) : bits_{reinterpret_cast<std::uintptr_t>(leaf) | 1} {}
    explicit operator bool() const noexcept { return bits_ != 0; }
    [[nodiscard]] bool is_leaf() const noexcept { return (bits_ & 1) != 0; }
    [[nodiscard]] Leaf* leaf() const noexcept { return reinterpret_cast<Leaf*>(bits_ & ~std::uintptr_t{1}); }
    [[nodiscard]] Node* node() const noexcept { return reinterpret_cast<Node*>(bits_); }
    [[nodiscard]] Value prefix() const noexcept { return is_leaf() ? leaf()->prefix : node()->prefix; }
    [[nodiscard]] unsigned length() const noexcept { return is_leaf() ? leaf()->length : node()->length; }
    [[nodiscard]] std::uint16_t best() const noexcept {
      return (is_leaf() ? leaf()->best : node()->best[1]).load(std::memory_order_relaxed);
    }
    void prefetch() const noexcept {
      const auto* at = reinterpret_cast<const std::byte*>(bits_ & ~std::uintptr_t{1});
      __builtin_prefetch(at);
      if (is_leaf()) return;
      __builtin_prefetch(at + 64);
    }

   private:
    std::uintptr_t bits_ = 0;
  };

  // Of the four bits at `length` the first k, for k from 0 to 4, are place (1 << k | those bits) of a heap.
  struct alignas(64) Node {
    std::atomic<std::uint16_t> best[2 * kBranches] = {};  // by place: of all prefixes that begin so
    std::atomic<std::uint16_t> own[kBranches] = {};       // by place: of this very prefix
    std::uint8_t length;
    std::uint8_t things = 0;  // children, and places with rules of their own: two at least
    Value prefix;
    std::unique_ptr<std::array<Rules, kBranches>> rules;  // by place, as own; writer only
    alignas(64) std::atomic<Ref> child[kBranches] = {};   // prefixes of length + 4 and more
    Node(Value p, unsigned l) : length{static_cast<std::uint8_t>(l)}, prefix{p} {}
  };

 public:
  PrefixTrie() = default;
  PrefixTrie(const PrefixTrie&) = delete;
  PrefixTrie& operator=(const PrefixTrie&) = delete;
  ~PrefixTrie() { destroy(root_.load(std::memory_order_relaxed)); }

  // Readers. Finds which prefixes of rules with a priority greater than `above` match: a node a step, so that the walks
  // of two tries can wait for memory together.
  class Walk {
   public:
    Walk(const PrefixTrie& trie, Value value, int above) noexcept
        : value_{value}, least_{static_cast<std::uint16_t>(std::max(above, 0))} {
      go_to(trie.root_.load(std::memory_order_acquire));
    }
    [[nodiscard]] bool is_done() const noexcept { return !next_; }
    [[nodiscard]] const PrefixMatches& found() const noexcept { return found_; }
    void step() noexcept {
      const Ref at = next_;
      next_ = Ref{};
      if (at.best() <= least_) return;
      if (const unsigned common = common_bits(value_, at.prefix(), at.length()); common < at.length()) {
        found_.bits = static_cast<std::uint8_t>(common + 1);
      } else if (at.is_leaf()) {
        found_.bits = at.leaf()->length;
        add(found_.lengths, at.leaf()->length);
      } else if (look_at(*at.node())) {
        go_to(at.node()->child[branch_of(value_, at.node()->length)].load(std::memory_order_acquire));
      }
    }

   private:
    Value value_;
    Ref next_;
    std::uint16_t least_;
    PrefixMatches found_;

    void go_to(Ref ref) noexcept {
      next_ = ref;
      if (ref) ref.prefetch();
    }
    // False: nothing better is on the value's way from here on.
    bool look_at(const Node& node) noexcept {
      const unsigned branch = branch_of(value_, node.length);
      for (unsigned k = 0; k < kStride; ++k) {
        const unsigned length = node.length + k, taken = place(branch, k + 1);
        if (node.own[taken / 2].load(std::memory_order_relaxed) > least_) {
          found_.bits = static_cast<std::uint8_t>(length);
          add(found_.lengths, length);
        }
        if (node.best[taken ^ 1].load(std::memory_order_relaxed) > least_)
          found_.bits = static_cast<std::uint8_t>(length + 1);
        if (node.best[taken].load(std::memory_order_relaxed) <= least_) return false;
      }
      return true;
    }
  };
  [[nodiscard]] bool empty() const noexcept { return !root_.load(std::memory_order_relaxed); }
  [[nodiscard]] PrefixMatches lookup(Value value, int above = -1) const noexcept {
    Walk walk{*this, value, above};
    while (!walk.is_done()) walk.step();
    return walk.found();
  }

  // Writer. visit(prefix, length) for each one that rules have.
  template <typename Visit>
  void for_each(Visit visit) const {
    visit_all(root_.load(std::memory_order_relaxed), visit);
  }

  // True where the prefix is new. `retire(pointer)` takes over what is unlinked, here and below.
  template <typename Retire>
  bool insert(Value prefix, unsigned length, std::uint16_t priority, Retire retire) {
    priority = std::max(priority, std::uint16_t{1});
    std::atomic<Ref>* edge = &root_;
    for (;;) {
      const Ref at = edge->load(std::memory_order_relaxed);
      if (!at) {
        edge->store(leaf(prefix, length, priority), std::memory_order_release);
        return true;
      }
      const unsigned common = common_bits(prefix, at.prefix(), std::min(length, at.length()));
      if (at.is_leaf() ? common < std::max(length, at.length()) : common < at.length()) {
        Node* fork = new Node(prefix_of(prefix, common / kStride * kStride), common / kStride * kStride);
        const bool is_held = hang(*fork, at);
        put(*fork, prefix, length, priority);
        edge->store(fork, std::memory_order_release);
        if (!is_held) retire(at.leaf());
        return true;
      }
      if (at.is_leaf()) {
        Leaf& leaf = *at.leaf();
        leaf.rules.insert(priority);
        leaf.best.store(leaf.rules.best(), std::memory_order_relaxed);
        return false;
      }
      Node& node = *at.node();
      if (length < node.length + kStride) {
        const std::uint8_t things = node.things;
        put(node, prefix, length, priority);
        return node.things != things;
      }
      const unsigned branch = branch_of(prefix, node.length);
      raise(node, kBranches | branch, priority);
      edge = &node.child[branch];
      if (!edge->load(std::memory_order_relaxed)) ++node.things;
    }
  }

  // The prefix must be there. True where no rule has it any more.
  template <typename Retire>
  bool remove(Value prefix, unsigned length, std::uint16_t priority, Retire retire) {
    return remove_at(root_, prefix, length, std::max(priority, std::uint16_t{1}), retire);
  }

 private:
  std::atomic<Ref> root_{};

  static unsigned branch_of(Value value, unsigned length) noexcept {
    return static_cast<unsigned>(value >> (kWidth - kStride - length)) & (kBranches - 1);
  }
  // The first k bits of a branch.
  static unsigned place(unsigned branch, unsigned k) noexcept { return (kBranches | branch) >> (kStride - k); }
  static unsigned common_bits(Value a, Value b, unsigned at_most) noexcept {
    const Value differ = a ^ b;
    return differ == 0 ? at_most : std::min(leading_zeros(differ), at_most);
  }

  static Leaf* leaf(Value prefix, unsigned length, std::uint16_t priority) {
    Rules rules;
    rules.insert(priority);
    return new Leaf(prefix, length, std::move(rules));
  }
  static Rules& rules_at(Node& node, unsigned place) {
    if (node.rules == nullptr) node.rules = std::make_unique<std::array<Rules, kBranches>>();
    return (*node.rules)[place];
  }
  static void raise(Node& node, unsigned place, std::uint16_t to) {
    for (; place != 0; place /= 2)
      if (node.best[place].load(std::memory_order_relaxed) < to) node.best[place].store(to, std::memory_order_relaxed);
  }
  // From what stands there and below.
  static void settle(Node& node, unsigned place) {
    for (; place != 0; place /= 2) {
      const auto best = [&](unsigned at) { return node.best[at].load(std::memory_order_relaxed); };
      std::uint16_t settled = 0;
      if (place < kBranches) {
        settled = std::max({node.own[place].load(std::memory_order_relaxed), best(place * 2), best(place * 2 + 1)});
      } else if (const Ref child = node.child[place - kBranches].load(std::memory_order_relaxed)) {
        settled = child.best();
      }
      node.best[place].store(settled, std::memory_order_relaxed);
    }
  }
  // A prefix that a node's own places hold, or its empty branch.
  static void put(Node& node, Value prefix, unsigned length, std::uint16_t priority) {
    const unsigned branch = branch_of(prefix, node.length);
    if (length >= node.length + kStride) {
      hang(node, leaf(prefix, length, priority));
      return;
    }
    const unsigned at = place(branch, length - node.length);
    Rules& rules = rules_at(node, at);
    if (rules.empty()) ++node.things;
    rules.insert(priority);
    node.own[at].store(rules.best(), std::memory_order_relaxed);
    raise(node, at, priority);
  }
  // Under a node that has nothing there. False: the node holds the leaf's rules itself, so short is its prefix.
  static bool hang(Node& node, Ref ref) {
    const unsigned branch = branch_of(ref.prefix(), node.length);
    ++node.things;
    if (ref.length() < node.length + kStride) {
      const unsigned at = place(branch, ref.length() - node.length);
      rules_at(node, at) = std::move(ref.leaf()->rules);
      node.own[at].store(ref.best(), std::memory_order_relaxed);
      raise(node, at, ref.best());
      return false;
    }
    node.child[branch].store(ref, std::memory_order_relaxed);
    raise(node, kBranches | branch, ref.best());
    return true;
  }

  template <typename Retire>
  static bool remove_at(std::atomic<Ref>& edge, Value prefix, unsigned length, std::uint16_t priority, Retire retire) {
    const Ref at = edge.load(std::memory_order_relaxed);
    if (at.is_leaf()) {
      Leaf* leaf = at.leaf();
      leaf->rules.remove(priority);
      if (!leaf->rules.empty()) {
        leaf->best.store(leaf->rules.best(), std::memory_order_relaxed);
        return false;
      }
      edge.store(Ref{}, std::memory_order_release);
      retire(leaf);
      return true;
    }
    Node& node = *at.node();
    const unsigned branch = branch_of(prefix, node.length);
    unsigned where = kBranches | branch;
    bool is_gone = false;
    if (length >= node.length + kStride) {
      is_gone = remove_at(node.child[branch], prefix, length, priority, retire);
      if (!node.child[branch].load(std::memory_order_relaxed)) --node.things;
    } else {
      where = place(branch, length - node.length);
      Rules& rules = rules_at(node, where);
      rules.remove(priority);
      is_gone = rules.empty();
      node.own[where].store(is_gone ? std::uint16_t{0} : rules.best(), std::memory_order_relaxed);
      if (is_gone) --node.things;
    }
    settle(node, where);
    if (node.things > 1) return is_gone;
    edge.store(last_of(node), std::memory_order_release);
    retire(&node);
    return is_gone;
  }
  // What is left of a node: its only child, or its own only prefix as a leaf.
  static Ref last_of(Node& node) {
    for (auto& child : node.child)
      if (const Ref ref = child.load(std::memory_order_relaxed)) return ref;
    unsigned at = 1;
    while (node.own[at].load(std::memory_order_relaxed) == 0) ++at;
    return new Leaf(prefix_at(node, at), length_at(node, at), std::move((*node.rules)[at]));
  }

  template <typename Visit>
  static void visit_all(Ref ref, Visit visit) {
    if (!ref) return;
    if (ref.is_leaf()) return visit(ref.leaf()->prefix, ref.leaf()->length);
    const Node& node = *ref.node();
    for (unsigned at = 1; at < kBranches; ++at)
      if (node.own[at].load(std::memory_order_relaxed) != 0) visit(prefix_at(node, at), length_at(node, at));
    for (const auto& child : node.child) visit_all(child.load(std::memory_order_relaxed), visit);
  }
  static unsigned length_at(const Node& node, unsigned place) noexcept {
    return node.length + static_cast<unsigned>(std::bit_width(place)) - 1;
  }
  static Value prefix_at(const Node& node, unsigned place) noexcept {
    const unsigned bits = static_cast<unsigned>(std::bit_width(place)) - 1;
    return bits == 0 ? node.prefix : node.prefix | Value{place ^ 1u << bits} << (kWidth - node.length - bits);
  }

  // Recursion is as deep as a walk.
  static void destroy(Ref ref) {
    if (!ref) return;
    if (ref.is_leaf()) {
      delete ref.leaf();
      return;
    }
    for (auto& child : ref.node()->child) destroy(child.load(std::memory_order_relaxed));
    delete ref.node();
  }
};

}  // namespace shunt
