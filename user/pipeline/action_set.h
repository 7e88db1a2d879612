// SPDX-License-Identifier: Apache-2.0
// The action set (OpenFlow 1.3.5 section 5.10, OpenFlow 1.5.1 section 5.6): at most one action of a kind, run in the
// specification's order whatever order they were written in. Fields that are set keep the order they were written in,
// as Open vSwitch has it. Buckets of groups are action sets, too.
//
// It points to the actions, which must outlive it.
// Threads: its owner's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "user/base/strong_types.h"
#include "user/pipeline/action.h"

namespace shunt {

class ActionSet {
 public:
  void write(std::span<const Action> actions);  // merges them in
  void clear() { actions_.clear(); }
  [[nodiscard]] bool empty() const { return actions_.empty(); }
  [[nodiscard]] const std::vector<const Action*>& as_written() const { return actions_; }
  // Where its output goes: of no use where a group stands beside it, which then gets the packet. kPortUnset: nowhere.
  [[nodiscard]] PortNo output() const;
  // To be run, in order. Empty where nothing in the set sends the packet anywhere: changing it would be for nothing.
  [[nodiscard]] std::vector<const Action*> in_order() const;
  // True where an action may stand in an action set.
  [[nodiscard]] static bool holds(const Action& action);

 private:
  std::vector<const Action*> actions_;  // as written
};

}  // namespace shunt
