// SPDX-License-Identifier: Apache-2.0
// A prefix trie tells which prefix lengths match a value, and how many of the value's leading bits that answer took. It
// can be asked for rules above some priority only: then branches without such a rule need no look at all.
//
// Nodes are path-compressed and hold their whole prefix, so that an insertion adds at most two nodes and changes one
// edge. Prefixes are counted: each insert() needs its own remove(). A prefix's priority is an upper bound: it falls
// only when the last rule with the prefix goes.
//
// Threads: one writer; any number of readers, which never wait. The writer is handed the nodes that it unlinks, and
// frees them when no reader can be in them any more.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

#include "user/flow/priority_bag.h"

namespace shunt {

using Bits128 = unsigned __int128;

inline unsigned leading_zeros(std::uint32_t bits) noexcept { return static_cast<unsigned>(std::countl_zero(bits)); }
inline unsigned leading_zeros(Bits128 bits) noexcept {
  const auto high = static_cast<std::uint64_t>(bits >> 64);
  return static_cast<unsigned>(high != 0 ? std::countl_zero(high)
                                         : 64 + std::countl_zero(static_cast<std::uint64_t>(bits)));
}

// What a look-up found: the lengths of the prefixes that match, and the bits that were looked at.
struct PrefixMatches {
  std::uint64_t lengths[3] = {};
  std::uint8_t bits = 0;
  [[nodiscard]] bool has(unsigned length) const noexcept { return (lengths[length / 64] >> (length % 64) & 1) != 0; }
};

// Value: std::uint32_t or Bits128, the first bit of the field being the most significant. Shorter fields stand left.
template <typename Value>
class PrefixTrie {
 public:
  static constexpr unsigned kWidth = sizeof(Value) * 8;

  struct Node {
    Value prefix;
    std::uint8_t length;
    std::atomic<std::uint16_t> own{0};  // the best priority of a rule with this very prefix
    // ... with a longer one on that side: here, so that a side which does not matter is never touched.
    std::atomic<std::uint16_t> best[2] = {0, 0};
    std::atomic<std::uint32_t> count{0};  // prefixes that are exactly this one; 0: only a fork
    std::atomic<Node*> child[2] = {nullptr, nullptr};
    std::unique_ptr<PriorityBag> priorities;  // writer only: of its rules, where these are several
    Node(Value p, unsigned l) : prefix{p}, length{static_cast<std::uint8_t>(l)} {}
  };

  PrefixTrie() = default;
  PrefixTrie(const PrefixTrie&) = delete;
  PrefixTrie& operator=(const PrefixTrie&) = delete;
  ~PrefixTrie() { destroy(root_.load(std::memory_order_relaxed)); }

  // Readers. Finds which prefixes of rules with a priority greater than `above` match: a node a step, so that the walks
  // of two tries can wait for memory together.
  class Walk {
   public:
    Walk(const PrefixTrie& trie, Value value, int above) noexcept
        : value_{value}, above_{above}, node_{trie.root_.load(std::memory_order_acquire)} {
      if (trie.root_best_.load(std::memory_order_relaxed) <= above) node_ = nullptr;
    }
    [[nodiscard]] bool is_done() const noexcept { return node_ == nullptr; }
    [[nodiscard]] const PrefixMatches& found() const noexcept { return found_; }
    void step() noexcept {
      const Node& node = *node_;
      node_ = nullptr;
      const unsigned common = common_bits(value_, node);
      if (common < node.length) {
        found_.bits = static_cast<std::uint8_t>(common + 1);
        return;
      }
      found_.bits = node.length;
      if (node.count.load(std::memory_order_relaxed) != 0 && node.own.load(std::memory_order_relaxed) > above_)
        found_.lengths[node.length / 64] |= std::uint64_t{1} << (node.length % 64);
      if (node.length == kWidth) return;
      const unsigned side = bit(value_, node.length);
      node_ = side_that_matters(node, side, above_);
      __builtin_prefetch(node_);
      // The bit that leads nowhere was looked at only if the other side leads somewhere.
      if (node_ == nullptr && side_that_matters(node, side ^ 1, above_) != nullptr) ++found_.bits;
    }

   private:
    Value value_;
    int above_;
    const Node* node_;
    PrefixMatches found_;
  };
  [[nodiscard]] PrefixMatches lookup(Value value, int above = -1) const noexcept {
    Walk walk{*this, value, above};
    while (!walk.is_done()) walk.step();
    return walk.found();
  }

  // Writer.
  [[nodiscard]] bool empty() const { return root_.load(std::memory_order_relaxed) == nullptr; }

  void insert(Value prefix, unsigned length, std::uint16_t priority) {
    Place place{&root_, &root_best_};
    for (Node* node = place.node(); node != nullptr; node = place.node()) {
      unsigned common = common_bits(prefix, *node);
      if (common > length) common = length;
      if (common < node->length) {
        split(place, prefix, length, common, priority);
        return;
      }
      raise(*place.best, priority);
      if (length == node->length) {
        add_rule(*node, priority);
        return;
      }
      place = below(*node, bit(prefix, node->length));
    }
    raise(*place.best, priority);
    place.edge->store(leaf(prefix, length, priority), std::memory_order_release);
  }

  // `retire(Node*)` takes over each node that is unlinked. The prefix must be there.
  template <typename Retire>
  void remove(Value prefix, unsigned length, std::uint16_t priority, Retire retire) {
    std::array<Place, kWidth + 1> path;  // from the root
    unsigned depth = 0;
    path[0] = {&root_, &root_best_};
    Node* node = path[0].node();
    while (node->length != length) {
      path[++depth] = below(*node, bit(prefix, node->length));
      node = path[depth].node();
    }
    remove_rule(*node, priority);
    // A fork that lost a branch is one no more.
    const bool is_gone = unlink(*path[depth].edge, retire);
    if (is_gone && depth != 0) unlink(*path[depth - 1].edge, retire);
    for (unsigned i = depth + 1; i-- > 0;) {
      const Node* at = path[i].node();
      const std::uint16_t best = at == nullptr ? std::uint16_t{0} : best_of(*at);
      // The last two places may have changed nodes: what they say is made anew in any case.
      if (path[i].best->load(std::memory_order_relaxed) == best && i + 1 < depth) return;
      path[i].best->store(best, std::memory_order_relaxed);
    }
  }

 private:
  // Where a node hangs, and the best priority there or below.
  struct Place {
    std::atomic<Node*>* edge;
    std::atomic<std::uint16_t>* best;
    [[nodiscard]] Node* node() const { return edge->load(std::memory_order_relaxed); }
  };

  std::atomic<Node*> root_{nullptr};
  std::atomic<std::uint16_t> root_best_{0};

  static void add_rule(Node& node, std::uint16_t priority) {
    const std::uint32_t count = node.count.load(std::memory_order_relaxed);
    if (count != 0 && node.priorities == nullptr) {
      node.priorities = std::make_unique<PriorityBag>();
      node.priorities->insert(node.own.load(std::memory_order_relaxed));
    }
    if (node.priorities != nullptr) node.priorities->insert(priority);
    raise(node.own, priority);
    add(node.count, 1);
  }
  static void remove_rule(Node& node, std::uint16_t priority) {
    add(node.count, ~std::uint32_t{0});
    if (node.priorities != nullptr) node.priorities->remove(priority);
    node.own.store(node.priorities != nullptr ? node.priorities->max() : std::uint16_t{0}, std::memory_order_relaxed);
    if (node.count.load(std::memory_order_relaxed) <= 1) node.priorities.reset();
  }

  static const Node* side_that_matters(const Node& node, unsigned side, int above) noexcept {
    if (node.best[side].load(std::memory_order_relaxed) <= above) return nullptr;
    return node.child[side].load(std::memory_order_acquire);
  }
  static Place below(Node& node, unsigned side) { return {&node.child[side], &node.best[side]}; }

  static unsigned bit(Value value, unsigned at) noexcept {
    return static_cast<unsigned>(value >> (kWidth - 1 - at) & 1);
  }

  static unsigned common_bits(Value value, const Node& node) noexcept {
    const Value differ = value ^ node.prefix;
    if (differ == 0) return node.length;
    const unsigned same = leading_zeros(differ);
    return same < node.length ? same : node.length;
  }

  // One writer: no read-modify-write needed.
  static void add(std::atomic<std::uint32_t>& count, std::uint32_t n) {
    count.store(count.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  static void raise(std::atomic<std::uint16_t>& priority, std::uint16_t to) {
    if (priority.load(std::memory_order_relaxed) < to) priority.store(to, std::memory_order_relaxed);
  }
  static std::uint16_t best_of(const Node& node) {
    return std::max({node.own.load(std::memory_order_relaxed), node.best[0].load(std::memory_order_relaxed),
                     node.best[1].load(std::memory_order_relaxed)});
  }

  static Node* leaf(Value prefix, unsigned length, std::uint16_t priority) {
    Node* node = new Node(prefix, length);
    node->count.store(1, std::memory_order_relaxed);
    node->own.store(priority, std::memory_order_relaxed);
    return node;
  }

  static void split(const Place& place, Value prefix, unsigned length, unsigned common, std::uint16_t priority) {
    Node& node = *place.node();
    const Value kept = common == 0 ? Value{0} : prefix >> (kWidth - common) << (kWidth - common);
    Node* fork = common == length ? leaf(prefix, length, priority) : new Node(kept, common);
    const Place old = below(*fork, bit(node.prefix, common));
    old.edge->store(&node, std::memory_order_relaxed);
    old.best->store(place.best->load(std::memory_order_relaxed), std::memory_order_relaxed);
    if (common != length) {
      const Place added = below(*fork, bit(prefix, common));
      added.edge->store(leaf(prefix, length, priority), std::memory_order_relaxed);
      added.best->store(priority, std::memory_order_relaxed);
    }
    raise(*place.best, priority);
    place.edge->store(fork, std::memory_order_release);
  }

  // Takes the edge's node out if it stands for no prefix and forks nothing. True if it was taken out.
  template <typename Retire>
  static bool unlink(std::atomic<Node*>& edge, Retire retire) {
    Node* node = edge.load(std::memory_order_relaxed);
    if (node->count.load(std::memory_order_relaxed) != 0) return false;
    Node* left = node->child[0].load(std::memory_order_relaxed);
    Node* right = node->child[1].load(std::memory_order_relaxed);
    if (left != nullptr && right != nullptr) return false;
    edge.store(left != nullptr ? left : right, std::memory_order_release);
    retire(node);
    return true;
  }

  // Recursion is as deep as the field has bits.
  static void destroy(Node* node) {
    if (node == nullptr) return;
    destroy(node->child[0].load(std::memory_order_relaxed));
    destroy(node->child[1].load(std::memory_order_relaxed));
    delete node;
  }
};

}  // namespace shunt
