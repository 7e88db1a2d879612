// SPDX-License-Identifier: Apache-2.0
// Which flows depend on a MAC: found without a walk over all flows when it moves, appears or goes.
//
// A flow's end only lowers a count; its entry goes when an entry's list is half dead. So adding and removing cost the
// same however many flows a MAC has.
//
// Threads: the revalidator.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "user/pipeline/translate.h"

namespace shunt {

class DependencyIndex {
 public:
  // A flow: its slot, and which of the slot's users it is.
  struct Dependent {
    std::uint32_t slot = 0;
    std::uint32_t birth = 0;
  };

  void add(std::span<const FdbDependency> dependencies, Dependent flow);
  // `alive(Dependent)` tells whether a flow is still there and not the one that is removed.
  template <typename Alive>
  void remove(std::span<const FdbDependency> dependencies, Alive&& alive) {
    for (const FdbDependency& dependency : dependencies) {
      const auto found = lists_.find(key_of(dependency));
      if (found == lists_.end()) continue;
      List& list = found->second;
      if (--list.live == 0) {
        lists_.erase(found);
      } else if (list.flows.size() > 2 * list.live + kSlack) {
        std::erase_if(list.flows, [&](const Dependent& flow) { return !alive(flow); });
      }
    }
  }
  // With dead ones among them.
  [[nodiscard]] std::span<const Dependent> find(const FdbDependency& dependency) const;
  [[nodiscard]] std::size_t size() const { return lists_.size(); }

 private:
  static constexpr std::size_t kSlack = 16;
  struct Key {
    std::uint64_t mac_and_vlan = 0;
    std::uint32_t bridge = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  struct List {
    std::vector<Dependent> flows;
    std::size_t live = 0;
  };
  static Key key_of(const FdbDependency& dependency) {
    return {dependency.key.mac.number() << 16 | dependency.key.vlan.value, dependency.bridge.value};
  }
  std::unordered_map<Key, List, Hash> lists_;
};

}  // namespace shunt
