// SPDX-License-Identifier: Apache-2.0
// Tells the store what of the switch has changed, whoever changed it: rules as they come and go (RuleObserver), the
// rest by comparing the bridges with what was recorded last. Nothing is submitted here: what one command does is one
// batch.
//
// Threads: control.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_set>

#include "user/control/instance_api.h"
#include "user/control/state_text.h"
#include "user/pipeline/switch.h"
#include "user/state/state_store.h"

namespace shunt {

class StateRecorder final : public RuleObserver {
 public:
  explicit StateRecorder(StateStore& store) : store_{store} {}

  // What is stored already: from here on differences are told. `next_rule` is an id that no rule has.
  void begin(const SwitchStateRef& state, std::int64_t next_rule);
  // Bridges, tables, groups, meters.
  void record(const SwitchStateRef& state);
  void set_fdb(BridgeId bridge, std::size_t limit, std::chrono::seconds ageing);
  void set_openflow(BridgeId bridge, const OpenFlowSettings& settings);
  void put_mac(BridgeId bridge, const FdbEntry& entry);
  void remove_mac(BridgeId bridge, FdbKey key);
  void put_port(BridgeId bridge, DpPort dp, const StoredPort& port);
  void remove_port(BridgeId bridge, DpPort dp);

  // Rules whose timeouts started again since the last time: that happens too often to be told each time.
  void record_touched();
  // As the rule is now: what packets do to its timeouts is not told.
  void put_rule(BridgeId bridge, const RuleRef& rule);
  // Forgets what was told, so that record() and put_port() tell everything; rules and MACs are for the caller.
  void forget();

  void rule_added(BridgeId bridge, const RuleRef& rule) override;
  void rule_removed(BridgeId bridge, const Rule& rule, std::optional<RemovedReason> reason) override;
  void rule_touched(BridgeId bridge, const RuleRef& rule) override;

 private:
  void record_bridge(const BridgeState* before, const BridgeState& now);
  void put_bridge(const BridgeState& bridge);

  [[nodiscard]] const BridgeState* recorded(BridgeId bridge) const {
    return recorded_ == nullptr ? nullptr : recorded_->find(bridge);
  }

  StateStore& store_;
  SwitchStateRef recorded_;
  std::int64_t next_rule_ = 1;
  std::map<BridgeId, FdbSettings> fdb_;            // others than the defaults
  std::map<BridgeId, OpenFlowSettings> openflow_;  // likewise
  std::map<DpPort, std::string> ports_;            // as told last
  std::map<RuleRef, BridgeId> touched_;
};

}  // namespace shunt
