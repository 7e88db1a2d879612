// SPDX-License-Identifier: Apache-2.0
#include "user/worker/dependency_index.h"

#include "bpf/datapath/mask.h"

namespace shunt {

void DependencyIndex::add(std::span<const FdbDependency> dependencies, Dependent flow) {
  for (const FdbDependency& dependency : dependencies) {
    List& list = lists_[key_of(dependency)];
    list.flows.push_back(flow);
    ++list.live;
  }
}

std::span<const DependencyIndex::Dependent> DependencyIndex::find(const FdbDependency& dependency) const {
  const auto found = lists_.find(key_of(dependency));
  if (found == lists_.end()) return {};
  return found->second.flows;
}

std::size_t DependencyIndex::Hash::operator()(const Key& key) const noexcept {
  return shunt_hash_step(shunt_hash_step(0, key.mac_and_vlan, 0x9e3779b97f4a7c15), key.bridge, 0x9e3779b97f4a7c15);
}

}  // namespace shunt
