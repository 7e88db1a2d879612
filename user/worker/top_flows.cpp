// SPDX-License-Identifier: Apache-2.0
#include "user/worker/top_flows.h"

#include <algorithm>
#include <chrono>
#include <tuple>

namespace shunt {

std::uint64_t flow_id(std::uint32_t slot, const MegaflowTable::Flow& flow) {
  const auto born = std::chrono::duration_cast<std::chrono::microseconds>(flow.created.time_since_epoch()).count();
  return static_cast<std::uint64_t>(born) << kSlotBits | slot;
}

std::uint32_t slot_of(const MegaflowTable& table, std::uint64_t id) {
  const auto slot = static_cast<std::uint32_t>(id & ((1U << kSlotBits) - 1));
  if (slot >= table.slot_end()) return MegaflowTable::kNoSlot;
  const MegaflowTable::Flow* flow = table.flow(slot);
  return flow != nullptr && flow_id(slot, *flow) == id ? slot : MegaflowTable::kNoSlot;
}

void TopFlows::consider(const MegaflowTable& table, std::uint32_t begin, std::uint32_t end) {
  if (count_ == 0) return;
  for (std::uint32_t slot = begin; slot < std::min(end, table.slot_end()); ++slot) {
    if (table.flow(slot) == nullptr) continue;
    const Entry entry = entry_of(table, slot);
    if (best_.size() == count_) {
      if (!busier(entry, best_.front())) continue;
      std::pop_heap(best_.begin(), best_.end(), busier);
      best_.pop_back();
    }
    best_.push_back(entry);
    std::push_heap(best_.begin(), best_.end(), busier);
  }
}

std::vector<std::uint64_t> TopFlows::take() {
  std::sort(best_.begin(), best_.end(), busier);
  std::vector<std::uint64_t> ids;
  for (const Entry& entry : best_) ids.push_back(entry.id);
  best_.clear();
  return ids;
}

bool TopFlows::busier(const Entry& a, const Entry& b) {
  return std::tie(a.recent, a.all, b.id) > std::tie(b.recent, b.all, a.id);
}

// `decayed` is about twice the flow's packets a second; bytes are counted for its whole life only.
TopFlows::Entry TopFlows::entry_of(const MegaflowTable& table, std::uint32_t slot) const {
  const MegaflowTable::Flow& flow = *table.flow(slot);
  const FlowCredit counted = table.credited(slot);
  Entry entry{static_cast<double>(flow.decayed), counted.packets, flow_id(slot, flow)};
  if (order_ == FlowOrder::kBytes && counted.packets > 0) {
    entry.recent *= static_cast<double>(counted.bytes) / static_cast<double>(counted.packets);
    entry.all = counted.bytes;
  }
  return entry;
}

}  // namespace shunt
