// SPDX-License-Identifier: Apache-2.0
// A walk over the rules of a bridge that a request selects, a piece at a time, so that whoever lists a million of them
// holds nobody up. It sees them as they were when it began, whatever changes meanwhile: the switch keeps what goes.
//
// Thread: control, which the switch outlives.
#pragma once

#include <cstdint>
#include <vector>

#include "user/flow/classifier.h"
#include "user/pipeline/rule.h"
#include "user/pipeline/switch.h"

namespace shunt {

class RuleWalk {
 public:
  RuleWalk(Switch& config, BridgeId bridge, const FlowMod& filter);  // its table is one, or none
  ~RuleWalk() { config_.release(state_->version); }
  RuleWalk(const RuleWalk&) = delete;
  RuleWalk& operator=(const RuleWalk&) = delete;

  // Looks at a few thousand rules, and adds those that are selected. False: that was all.
  bool next(std::vector<RuleRef>& selected);

 private:
  Switch& config_;
  const SwitchStateRef state_;
  const BridgeState& bridge_;
  const FlowMod filter_;
  std::size_t table_, end_;  // of those that are to be walked
  Classifier::Place place_;
};

// By table, priority (greatest first) and age, as rules are listed.
void put_in_order(std::vector<RuleRef>& rules);

}  // namespace shunt
