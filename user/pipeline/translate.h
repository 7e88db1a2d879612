// SPDX-License-Identifier: Apache-2.0
// Translation: a packet's key and a switch's state -> datapath actions, and the mask of the bits the decision looked at.
//
// Pure: no file descriptor, no clock, no side effect. What must follow from it (learning, counting) is in the result.
// The mask always holds in_port. Any key that agrees with `key` under the mask gets the same actions: a bit too many costs
// speed, a bit too few forwards a packet wrongly.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "maps/actions.h"
#include "maps/drop_reason.h"
#include "user/flow/flow_key.h"
#include "user/l2/fdb.h"
#include "user/pipeline/rule.h"
#include "user/pipeline/switch.h"

namespace shunt {

// Run in order; outputs may stand anywhere (maps/actions.h). OUTPUT_GROUP never appears: encoding for the kernel makes groups.
using DpActions = std::vector<shunt_action>;

struct FdbDependency {
  BridgeId bridge;
  FdbKey key;
};

struct Translation {
  std::uint64_t version = 0;  // SwitchState::version it was made under
  FlowMask mask{};
  DpActions actions;                        // empty: drop, for the reason in `drop`
  shunt_drop_reason drop = SHUNT_DROP_NONE;
  std::vector<RuleRef> rules;               // met, in order: their counters rise with the flow's
  std::optional<BridgeId> bridge;
  std::uint64_t fdb_version = 0;            // of the bridge's FDB, read before the first look-up
  // `normal` only. Where the source was seen: learn it, refresh it while the flow has hits.
  struct Learn {
    FdbKey key;
    PortNo port;
  };
  std::optional<Learn> learn;
  std::vector<FdbDependency> fdb_dependencies;  // MACs (also unknown ones) that decided; a change of one revalidates the flow
};

// `key.in_port` is a datapath port. Never fails: what cannot be translated is a drop with its reason.
Translation translate(const SwitchState& state, const FlowKey& key);

}  // namespace shunt
