// SPDX-License-Identifier: Apache-2.0
// A prefix trie tells which prefix lengths match a value, and how many of the value's leading bits that answer took.
//
// Nodes are path-compressed and hold their whole prefix, so that an insertion adds at most two nodes and changes none
// but one edge. Prefixes are counted: each insert() needs its own remove().
//
// Threads: one writer; any number of readers, which never wait. The writer is handed the nodes that it unlinks, and
// frees them when no reader can be in them any more.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

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
    std::atomic<std::uint32_t> count{0};  // prefixes that are exactly this one; 0: only a fork
    std::atomic<Node*> child[2] = {nullptr, nullptr};
    Node(Value p, unsigned l) : prefix{p}, length{static_cast<std::uint8_t>(l)} {}
  };

  PrefixTrie() = default;
  PrefixTrie(const PrefixTrie&) = delete;
  PrefixTrie& operator=(const PrefixTrie&) = delete;
  ~PrefixTrie() { destroy(root_.load(std::memory_order_relaxed)); }

  // Readers.
  [[nodiscard]] PrefixMatches lookup(Value value) const noexcept {
    PrefixMatches found;
    const Node* node = root_.load(std::memory_order_acquire);
    while (node != nullptr) {
      const unsigned common = common_bits(value, *node);
      if (common < node->length) {
        found.bits = static_cast<std::uint8_t>(common + 1);
        return found;
      }
      found.bits = node->length;
      if (node->count.load(std::memory_order_relaxed) != 0)
        found.lengths[node->length / 64] |= std::uint64_t{1} << (node->length % 64);
      if (node->length == kWidth) return found;
      const unsigned side = bit(value, node->length);
      const Node* next = node->child[side].load(std::memory_order_acquire);
      // The bit that leads nowhere was looked at only if the other side leads somewhere.
      if (next == nullptr && node->child[side ^ 1].load(std::memory_order_acquire) != nullptr) ++found.bits;
      node = next;
    }
    return found;
  }

  // Writer.
  [[nodiscard]] bool empty() const { return root_.load(std::memory_order_relaxed) == nullptr; }

  void insert(Value prefix, unsigned length) {
    std::atomic<Node*>* edge = &root_;
    for (Node* node = edge->load(std::memory_order_relaxed); node != nullptr;
         node = edge->load(std::memory_order_relaxed)) {
      unsigned common = common_bits(prefix, *node);
      if (common > length) common = length;
      if (common < node->length) {
        split(*edge, *node, prefix, length, common);
        return;
      }
      if (length == node->length) {
        add(node->count, 1);
        return;
      }
      edge = &node->child[bit(prefix, node->length)];
    }
    edge->store(leaf(prefix, length), std::memory_order_release);
  }

  // `retire(Node*)` takes over each node that is unlinked. The prefix must be there.
  template <typename Retire>
  void remove(Value prefix, unsigned length, Retire retire) {
    std::atomic<Node*>* edge = &root_;
    std::atomic<Node*>* parent_edge = nullptr;
    Node* node = edge->load(std::memory_order_relaxed);
    while (node->length != length) {
      parent_edge = edge;
      edge = &node->child[bit(prefix, node->length)];
      node = edge->load(std::memory_order_relaxed);
    }
    add(node->count, ~std::uint32_t{0});
    if (!unlink(*edge, retire) || parent_edge == nullptr) return;
    // A fork that lost a branch is one no more.
    unlink(*parent_edge, retire);
  }

 private:
  std::atomic<Node*> root_{nullptr};

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

  static Node* leaf(Value prefix, unsigned length) {
    Node* node = new Node(prefix, length);
    node->count.store(1, std::memory_order_relaxed);
    return node;
  }

  static void split(std::atomic<Node*>& edge, Node& node, Value prefix, unsigned length, unsigned common) {
    const Value kept = common == 0 ? Value{0} : prefix >> (kWidth - common) << (kWidth - common);
    Node* fork = new Node(kept, common);
    fork->child[bit(node.prefix, common)].store(&node, std::memory_order_relaxed);
    if (common == length)
      fork->count.store(1, std::memory_order_relaxed);
    else
      fork->child[bit(prefix, common)].store(leaf(prefix, length), std::memory_order_relaxed);
    edge.store(fork, std::memory_order_release);
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
