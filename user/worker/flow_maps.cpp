// SPDX-License-Identifier: Apache-2.0
#include "user/worker/flow_maps.h"

#include <algorithm>

namespace shunt {

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

// A batch ends at the first element that is refused, or not there, and does nothing where the kernel has no batches:
// that element is dealt with by itself.
void DatapathMaps::update_megaflows(std::span<const shunt_megaflow_key> keys, std::span<const shunt_megaflow> values,
                                    std::span<int> errors) noexcept {
  for (std::size_t at = 0; at < keys.size(); ++at) {
    const std::size_t written = megaflows_.try_update(keys.subspan(at), values.subspan(at));
    std::fill_n(errors.begin() + static_cast<std::ptrdiff_t>(at), written, 0);
    at += written;
    if (at < keys.size()) errors[at] = megaflows_.try_update(keys[at], values[at]);
  }
}

void DatapathMaps::erase_megaflows(std::span<const shunt_megaflow_key> keys) noexcept {
  for (std::size_t at = 0; at < keys.size();) {
    at += megaflows_.try_erase(keys.subspan(at));
    if (at < keys.size()) (void)megaflows_.erase(keys[at++]);
  }
}

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
