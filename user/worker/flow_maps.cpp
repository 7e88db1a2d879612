// SPDX-License-Identifier: Apache-2.0
#include "user/worker/flow_maps.h"

#include <algorithm>

namespace shunt {

void FlowMaps::update_megaflows(std::span<const shunt_megaflow_key> keys, std::span<const shunt_megaflow> values,
                                std::span<int> errors) noexcept {
  for (std::size_t i = 0; i < keys.size(); ++i) errors[i] = update_megaflow(keys[i], values[i]);
}

DatapathMaps::DatapathMaps(Datapath& datapath) : datapath_{datapath}, megaflows_{datapath.megaflows()} {
  config = datapath.config();
  flows = datapath.flows.span();
  action_lists = datapath.action_lists.span();
  index = datapath.index.span();
  microflows = datapath.microflows.span();
  counters = datapath.counters.span();
  deltas = datapath.deltas.span();
  masks = datapath.masks.span();
  ports = datapath.ports.span();
  fdb = datapath.fdb.span();
  order = datapath.order.span();
}

int DatapathMaps::update_megaflow(const shunt_megaflow_key& key, const shunt_megaflow& value) noexcept {
  return megaflows_.try_update(key, value);
}

// A batch ends at the first element that is refused, and does nothing where the kernel has no batches: that element is
// written by itself.
void DatapathMaps::update_megaflows(std::span<const shunt_megaflow_key> keys, std::span<const shunt_megaflow> values,
                                    std::span<int> errors) noexcept {
  for (std::size_t at = 0; at < keys.size(); ++at) {
    const std::size_t written = megaflows_.try_update(keys.subspan(at), values.subspan(at));
    std::fill_n(errors.begin() + static_cast<std::ptrdiff_t>(at), written, 0);
    at += written;
    if (at < keys.size()) errors[at] = update_megaflow(keys[at], values[at]);
  }
}

void DatapathMaps::erase_megaflow(const shunt_megaflow_key& key) noexcept { (void)megaflows_.erase(key); }

int DatapathMaps::set_group(std::uint16_t group, std::span<const Ifindex> members) noexcept {
  return datapath_.set_group(group, members);
}

void DatapathMaps::for_each_megaflow(
    const std::function<void(const shunt_megaflow_key&, const shunt_megaflow&)>& visit) const {
  megaflows_.for_each(visit);
}

std::vector<Ifindex> DatapathMaps::group_members(std::uint16_t group) const { return datapath_.group_members(group); }

void DatapathMaps::wait_grace_period() { Datapath::wait_grace_period(); }

}  // namespace shunt
