// SPDX-License-Identifier: Apache-2.0
// A rule's place in a classifier: when it is visible, and the values of its match. What mask they are under, the
// subtable says that holds it; ports alone have their mask here. So the rule of an IPv4 flow is one cache line, and a
// look-up that verifies the match touches neither the Rule nor its mask.
//
// Part of the classifier: see there for threads. Blocks of the classifier's Arena.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <utility>

#include "user/flow/arena.h"
#include "user/flow/flow_key.h"
#include "user/flow/garbage.h"
#include "user/pipeline/rule.h"

namespace shunt {

inline constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

// What is asked of a rule before it is touched, in the chain that it is in.
struct ChainEntry {
  std::uint32_t ports, ports_mask;  // as in the key's word
  std::uint16_t priority;
  bool is_clause;      // of a conjunctive match: no match by itself
  std::uint8_t level;  // which of its shape's subtables holds it

  // Bits of the ports in which a key differs.
  [[nodiscard]] std::uint32_t differ(std::uint32_t key_ports) const noexcept {
    return (key_ports ^ ports) & ports_mask;
  }
};

// The values stand behind the node, one for each half word of its subtable's mask (Subtable::matches()).
struct RuleNode {
  const ChainEntry entry;
  const std::uint32_t shape;  // its number among the classifier's
  const std::uint64_t added;
  std::atomic<std::uint64_t> removed{kNever};
  const RuleRef rule;

  static std::size_t size(unsigned value_count) { return sizeof(RuleNode) + value_count * sizeof(std::uint32_t); }
  static BlockRef make(Arena& arena, const ChainEntry& entry, std::uint32_t shape, RuleRef rule, std::uint64_t version,
                       unsigned value_count) {
    const BlockRef ref = arena.allocate(size(value_count));
    new (arena.at<void>(ref)) RuleNode(entry, shape, std::move(rule), version);
    return ref;
  }
  static void retire(BlockRef ref, unsigned value_count, Garbage& garbage) {
    garbage.add(ref, size(value_count), [](void* at) { static_cast<RuleNode*>(at)->~RuleNode(); });
  }

  [[nodiscard]] std::uint32_t* values() noexcept { return reinterpret_cast<std::uint32_t*>(this + 1); }
  [[nodiscard]] const std::uint32_t* values() const noexcept {
    return reinterpret_cast<const std::uint32_t*>(this + 1);
  }
  [[nodiscard]] std::uint16_t priority() const noexcept { return entry.priority; }
  [[nodiscard]] bool visible(std::uint64_t version) const noexcept {
    return added <= version && version < removed.load(std::memory_order_relaxed);
  }

 private:
  RuleNode(const ChainEntry& e, std::uint32_t s, RuleRef r, std::uint64_t version)
      : entry{e}, shape{s}, added{version}, rule{std::move(r)} {}
};
static_assert(sizeof(RuleNode) + 4 * sizeof(std::uint32_t) == 64);  // Ethernet type, protocol, two addresses

}  // namespace shunt
