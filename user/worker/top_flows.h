// SPDX-License-Identifier: Apache-2.0
// The busiest cached flows: one walk over all that keeps the best so far, so that the walk may go in slices. And the
// name of a flow that is good for as long as its actions stay.
//
// Threads: the revalidator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "user/worker/megaflow_table.h"

namespace shunt {

// Which flows are on top: by packets, or by bytes, of the last seconds.
enum class FlowOrder : std::uint8_t { kPackets, kBytes };

// Slot and time of birth: a slot that is used anew has another name.
inline constexpr unsigned kSlotBits = 21;  // 2,000,000 flows at most (--flow-limit)
[[nodiscard]] std::uint64_t flow_id(std::uint32_t slot, const MegaflowTable::Flow& flow);
// The live flow of that name, or MegaflowTable::kNoSlot.
[[nodiscard]] std::uint32_t slot_of(const MegaflowTable& table, std::uint64_t id);

class TopFlows {
 public:
  TopFlows(std::size_t count, FlowOrder order) : count_{count}, order_{order} {}

  void consider(const MegaflowTable& table, std::uint32_t begin, std::uint32_t end);
  [[nodiscard]] std::vector<std::uint64_t> take();  // ids, the busiest first

 private:
  struct Entry {
    double recent;
    std::uint64_t all, id;
  };
  static bool busier(const Entry& a, const Entry& b);
  [[nodiscard]] Entry entry_of(const MegaflowTable& table, std::uint32_t slot) const;

  const std::size_t count_;
  const FlowOrder order_;
  std::vector<Entry> best_;  // a heap, the least busy of them in front
};

}  // namespace shunt
