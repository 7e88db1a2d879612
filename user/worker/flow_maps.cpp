// SPDX-License-Identifier: Apache-2.0
#include "user/worker/flow_maps.h"

namespace shunt {

DatapathMaps::DatapathMaps(Datapath& datapath) : datapath_{datapath}, megaflows_{datapath.megaflows()} {
  config = datapath.config();
  flows = datapath.flows.span();
  index = datapath.index.span();
  counters = datapath.counters.span();
  deltas = datapath.deltas.span();
  masks = datapath.masks.span();
  ports = datapath.ports.span();
}

int DatapathMaps::update_megaflow(const shunt_megaflow_key& key, const shunt_megaflow& value) noexcept {
  return megaflows_.try_update(key, value);
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
