// SPDX-License-Identifier: Apache-2.0
// A rule's place in a classifier: when it is visible, and the values of its match. What mask they are under, the
// subtable says that holds it; the bits that a subtable leaves out, the rule's tail, have their mask here. So the rule
// of an IPv4 flow is one cache line, and a look-up that verifies the match touches neither the Rule nor its mask.
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

// The values stand behind the node, one for each half word of its subtable's mask (Subtable::matches()).
struct RuleNode {
  const std::uint32_t ports, ports_mask;  // as in the key's word
  const std::uint32_t priority : 16;
  const std::uint32_t dst_bits : 4, src_bits : 4;  // of the IPv4 addresses, how many more than its subtable looks at
  const std::uint32_t level : 7;                   // which of its shape's subtables holds it
  const std::uint32_t is_clause : 1;               // of a conjunctive match: no match by itself
  const std::uint32_t shape;                       // its number among the classifier's
  const std::uint64_t added;
  std::atomic<std::uint64_t> removed{kNever};
  const RuleRef rule;

  static std::size_t size(unsigned value_count) { return sizeof(RuleNode) + value_count * sizeof(std::uint32_t); }
  static void retire(BlockRef ref, unsigned value_count, Garbage& garbage) {
    garbage.add(ref, size(value_count), [](void* at) { static_cast<RuleNode*>(at)->~RuleNode(); });
  }

  [[nodiscard]] std::uint32_t* values() noexcept { return reinterpret_cast<std::uint32_t*>(this + 1); }
  [[nodiscard]] const std::uint32_t* values() const noexcept {
    return reinterpret_cast<const std::uint32_t*>(this + 1);
  }
  [[nodiscard]] bool visible(std::uint64_t version) const noexcept {
    return added <= version && version < removed.load(std::memory_order_relaxed);
  }
};
static_assert(sizeof(RuleNode) + 4 * sizeof(std::uint32_t) == 64);  // Ethernet type, protocol, two addresses

}  // namespace shunt
