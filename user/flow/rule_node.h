// SPDX-License-Identifier: Apache-2.0
// A rule's place in a classifier: when it is visible, and its match packed to the words that matter, so that a look-up
// that verifies the match touches two lines of memory and not the Rule.
//
// Part of the classifier: see there for threads. What readers may hold goes to the Garbage.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "user/flow/flow_key.h"
#include "user/flow/mask_shape.h"
#include "user/pipeline/rule.h"

namespace shunt {

inline constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

// Memory that was unlinked, until no reader can be in it.
class Garbage {
 public:
  Garbage() = default;
  Garbage(const Garbage&) = delete;
  Garbage& operator=(const Garbage&) = delete;
  ~Garbage() { free(kNever); }
  // Freed once every reader holds `tag` or a later version; set before add().
  void set_tag(std::uint64_t tag) { tag_ = tag; }
  template <typename T>
  void add(T* object) {
    items_.push_back({tag_, const_cast<std::remove_const_t<T>*>(object), [](void* at) { delete static_cast<T*>(at); }});
  }
  void free(std::uint64_t version) {
    std::erase_if(items_, [&](const Item& item) {
      if (item.tag > version) return false;
      item.destroy(item.object);
      return true;
    });
  }

 private:
  struct Item {
    std::uint64_t tag;
    void* object;
    void (*destroy)(void*);
  };
  std::uint64_t tag_ = 0;
  std::vector<Item> items_;
};

// One word of a match.
struct Condition {
  std::uint64_t value, mask;
};

struct RuleNode;

// What is asked of a rule before it is touched: its ports stand in the chain that it is in.
struct ChainEntry {
  std::uint32_t ports, ports_mask;  // as in the key's word
  std::uint16_t priority;
  bool is_clause;  // of a conjunctive match: no match by itself
  RuleNode* node;

  static std::uint32_t ports_of(const PipelineWords& words) noexcept {
    return static_cast<std::uint32_t>(words[kPortsWord]);
  }
  // Bits of the ports in which a key differs.
  [[nodiscard]] std::uint32_t differ(std::uint32_t key_ports) const noexcept {
    return (key_ports ^ ports) & ports_mask;
  }
};

// The conditions stand behind the node, one for each bit of `words`, in the order of the key.
struct RuleNode {
  const ChainEntry entry;
  std::uint32_t words;  // bit per word of the key
  std::uint8_t level;   // which of its shape's subtables holds it
  std::uint64_t added;
  std::atomic<std::uint64_t> removed{kNever};
  MaskShape* shape;  // writer only
  RuleRef rule;

  static RuleNode* make(RuleRef rule, std::uint64_t version, MaskShape* shape, bool is_clause) {
    const PipelineWords value = to_words(rule->match.value), mask = to_words(rule->match.mask);
    std::uint32_t words = 0;
    for (unsigned i = 0; i < kPipelineWords; ++i)
      if (mask[i] != 0) words |= 1u << i;
    const auto count = static_cast<std::size_t>(std::popcount(words));
    const ChainEntry entry{ChainEntry::ports_of(value), ChainEntry::ports_of(mask), rule->priority, is_clause, nullptr};
    auto* node =
        new (::operator new(sizeof(RuleNode) + count * sizeof(Condition))) RuleNode(entry, std::move(rule), version);
    node->level = 0;
    node->words = words;
    node->shape = shape;
    auto* condition = reinterpret_cast<Condition*>(node + 1);
    for (unsigned i = 0; i < kPipelineWords; ++i)
      if (mask[i] != 0) new (condition++) Condition{value[i], mask[i]};
    return node;
  }
  static void operator delete(void* memory) { ::operator delete(memory); }

  [[nodiscard]] std::uint16_t priority() const noexcept { return entry.priority; }
  void prefetch() const noexcept {
    const auto* at = reinterpret_cast<const std::byte*>(this);
    for (std::size_t line = 0; line < 3 * 64; line += 64) __builtin_prefetch(at + line);
  }
  [[nodiscard]] bool visible(std::uint64_t version) const noexcept {
    return added <= version && version < removed.load(std::memory_order_relaxed);
  }
  // visit(word's index in the key, condition)
  template <typename Visit>
  void for_each_condition(Visit visit) const noexcept {
    const auto* condition = reinterpret_cast<const Condition*>(this + 1);
    for (std::uint32_t left = words; left != 0; left &= left - 1)
      visit(static_cast<unsigned>(std::countr_zero(left)), *condition++);
  }
  [[nodiscard]] bool matches(const PipelineWords& key) const noexcept {
    std::uint64_t differ = 0;
    for_each_condition([&](unsigned word, const Condition& c) { differ |= (key[word] ^ c.value) & c.mask; });
    return differ == 0;
  }

 private:
  RuleNode(const ChainEntry& e, RuleRef r, std::uint64_t version)
      : entry{e.ports, e.ports_mask, e.priority, e.is_clause, this}, added{version}, rule{std::move(r)} {}
};

}  // namespace shunt
