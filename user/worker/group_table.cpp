// SPDX-License-Identifier: Apache-2.0
#include "user/worker/group_table.h"

#include <algorithm>

namespace shunt {

GroupTable::GroupTable(FlowMaps& maps) : maps_{maps}, entries_(SHUNT_MAX_GROUPS) {
  for (std::uint32_t group = SHUNT_MAX_GROUPS; group-- > 1;) free_.push_back(static_cast<std::uint16_t>(group));
}

std::uint16_t GroupTable::acquire(const GroupPorts& members, const PortOutputs& outputs) {
  if (const auto known = numbers_.find(members); known != numbers_.end()) {
    if (entries_[known->second].references++ == 0) ++count_;
    return known->second;
  }
  if (free_.empty() || members.size() > SHUNT_GROUP_PORTS) return 0;
  const std::uint16_t group = free_.back();
  if (write(group, members, outputs) != 0) return 0;
  free_.pop_back();
  entries_[group] = Entry{members, 1, 0};
  numbers_.emplace(members, group);
  ++count_;
  return group;
}

bool GroupTable::inherit(std::uint16_t group, const PortOutputs& outputs) {
  if (group == 0 || group >= entries_.size()) return false;
  if (!entries_[group].members.empty()) {
    if (entries_[group].references++ == 0) ++count_;
    return true;
  }
  GroupPorts members;
  for (const Ifindex member : maps_.group_members(group)) {
    const auto port = std::ranges::find(outputs, member, &PortOutput::ifindex);
    if (port == outputs.end()) return false;
    members.push_back(DpPort{static_cast<std::uint32_t>(port - outputs.begin())});
  }
  if (members.empty() || !numbers_.emplace(members, group).second) return false;
  std::erase(free_, group);
  entries_[group] = Entry{std::move(members), 1, 0};
  ++count_;
  return true;
}

void GroupTable::release(std::uint16_t group, std::uint64_t epoch) {
  Entry& entry = entries_[group];
  if (--entry.references > 0) return;
  --count_;
  entry.retired_in = epoch;
  retired_.add(epoch, group);
}

void GroupTable::reclaim(std::uint64_t epoch) {
  retired_.reclaim(epoch, [this](std::uint64_t left, std::uint16_t group) {
    Entry& entry = entries_[group];
    // In use again meanwhile, or left once more in a later epoch.
    if (entry.references > 0 || entry.members.empty() || entry.retired_in != left) return;
    numbers_.erase(entry.members);
    entry = Entry{};
    free_.push_back(group);
  });
}

void GroupTable::rebuild(DpPort port, const PortOutputs& outputs) {
  // Where the kernel refuses, the old group stays: the member that is gone left it by itself.
  for (const auto& [members, group] : numbers_)
    if (std::ranges::find(members, port) != members.end()) (void)write(group, members, outputs);
}

int GroupTable::write(std::uint16_t group, const GroupPorts& members, const PortOutputs& outputs) {
  std::vector<Ifindex> list;
  for (const DpPort member : members)
    if (const Ifindex ifindex = outputs[member.value].ifindex; ifindex.value != 0) list.push_back(ifindex);
  return maps_.set_group(group, list);
}

}  // namespace shunt
