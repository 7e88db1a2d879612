// SPDX-License-Identifier: Apache-2.0
// Output groups in use, by number: sets of ports that get the same frame (`flood_groups`). Flows with equal sets share
// a group; a number that no flow uses any more is given away again only after a grace period. Group 0 is none.
//
// Threads: the revalidator.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "user/worker/encode.h"
#include "user/worker/epoch_queue.h"
#include "user/worker/flow_maps.h"

namespace shunt {

class GroupTable {
 public:
  explicit GroupTable(FlowMaps& maps);

  // Takes a reference to the group with these members; 0 when there is no number left or the kernel refuses.
  [[nodiscard]] std::uint16_t acquire(const GroupPorts& members, const PortOutputs& outputs);
  // Takes a reference to a group that an earlier daemon numbered. False: what it holds cannot be told.
  [[nodiscard]] bool inherit(std::uint16_t group, const PortOutputs& outputs);
  void release(std::uint16_t group, std::uint64_t epoch);
  void reclaim(std::uint64_t epoch);
  [[nodiscard]] bool has_retired(std::uint64_t epoch) const { return retired_.has(epoch); }

  // A port's interface changed: writes the groups it is a member of again.
  void rebuild(DpPort port, const PortOutputs& outputs);

  [[nodiscard]] const GroupPorts& members(std::uint16_t group) const { return entries_[group].members; }
  [[nodiscard]] std::uint32_t count() const { return count_; }

 private:
  struct Entry {
    GroupPorts members;
    std::uint32_t references = 0;
    std::uint64_t retired_in = 0;  // epoch
  };
  int write(std::uint16_t group, const GroupPorts& members, const PortOutputs& outputs);

  FlowMaps& maps_;
  std::vector<Entry> entries_;
  std::map<GroupPorts, std::uint16_t> numbers_;
  std::vector<std::uint16_t> free_;
  EpochQueue<std::uint16_t> retired_;
  std::uint32_t count_ = 0;
};

}  // namespace shunt
