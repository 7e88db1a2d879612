// SPDX-License-Identifier: Apache-2.0
// The switch's configuration as the pipeline sees it: bridges, their ports, tables and FDBs.
//
// Switch is changed by one thread (control). Each change makes a new SwitchState, published whole and never edited in
// place; rules live in versioned tables that states share, so a state costs the same however many rules there are: a
// rule is visible to states from the version that added it until the version that removed it. A failed change throws
// and leaves everything as it was.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "maps/types.h"
#include "user/flow/classifier.h"
#include "user/l2/fdb.h"
#include "user/l2/vlan.h"
#include "user/pipeline/rule.h"

namespace shunt {

struct BridgePort {
  PortNo number;
  DpPort dp;
  std::string name;
  VlanConfig vlan;
  bool up = true;  // carrier and admin state: a port that is down is no output
  friend bool operator==(const BridgePort&, const BridgePort&) = default;
};

struct BridgeState {
  BridgeId id;
  std::string name;
  std::vector<BridgePort> ports;  // ascending by number
  std::shared_ptr<Fdb> fdb;
  std::array<std::shared_ptr<Classifier>, kTableCount> tables;  // null: empty table
  std::array<std::uint16_t, SHUNT_MAX_PORTS> index_of{};        // datapath port -> 1 + index in `ports`; 0: none here

  [[nodiscard]] const BridgePort* find(PortNo number) const;
  [[nodiscard]] const BridgePort* find(DpPort dp) const;
};

struct SwitchState {
  std::uint64_t version = 0;
  std::vector<std::shared_ptr<const BridgeState>> bridges;
  std::array<const BridgeState*, SHUNT_MAX_PORTS> bridge_of{};  // by datapath port; null: not a port
};
using SwitchStateRef = std::shared_ptr<const SwitchState>;

// What a change may have altered, for revalidation: flows whose key and mask overlap one of `matches` (in_port of the
// matches is a datapath port, or wildcarded), on ports of `bridge`; all of the bridge's flows where `all`.
struct Change {
  std::uint64_t version = 0;
  std::optional<BridgeId> bridge;  // none: every bridge
  bool all = false;
  std::vector<Match> matches;
  [[nodiscard]] bool empty() const { return !all && matches.empty(); }
};

class RuleEdit;

class Switch {
 public:
  Switch();

  // Any thread. version() is cheap: poll it, and fetch state() when it changed.
  [[nodiscard]] SwitchStateRef state() const;
  [[nodiscard]] std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

  // Control thread only, from here on. Each throws Error and changes nothing where it refuses.
  BridgeId add_bridge(const std::string& name);  // with the default rule: priority 0, actions NORMAL
  Change del_bridge(const std::string& name);    // its ports must be gone
  Change add_port(BridgeId bridge, const BridgePort& port);
  Change remove_port(BridgeId bridge, PortNo number);
  Change update_port(BridgeId bridge, const BridgePort& port);                  // by number: VLANs, name, up
  Change apply(BridgeId bridge, std::span<const FlowMod> mods, TimePoint now);  // all or nothing, in order
  // Makes the bridge's rules those of `rules` with the fewest changes; rules that stay keep their counters.
  Change replace(BridgeId bridge, std::span<const FlowMod> rules, TimePoint now);
  // Rules that overlap-select as OpenFlow's flow statistics do: match is a superset filter, like `kDelete`.
  [[nodiscard]] std::vector<RuleRef> list(BridgeId bridge, const FlowMod& filter) const;
  [[nodiscard]] const BridgeState* find_bridge(const std::string& name) const;
  // Frees rules removed at or before `version`: call when no reader holds an older state and no cached flow credits the
  // rules that it changed.
  void collect(std::uint64_t version);

 private:
  // A rule that `modify` replaced: what flows credited to it after that is passed on by collect().
  struct Successor {
    std::uint64_t version;
    RuleRef old_rule, new_rule;
    std::uint64_t packets, bytes;  // passed on already
  };

  mutable std::mutex
      state_mutex_;  // guards state_ for the moment of a copy; readers take it once a change, not a packet
  SwitchStateRef state_;
  std::atomic<std::uint64_t> version_{0};
  // Control thread only.
  std::uint32_t next_bridge_ = 1;
  std::vector<SwitchStateRef> old_states_;  // kept until collect(), so that no reader is the one who frees them
  std::vector<Successor> successors_;

  [[nodiscard]] const BridgeState& bridge(BridgeId id) const;
  void publish(std::vector<std::shared_ptr<const BridgeState>> bridges);
  void publish(BridgeState bridge);  // in place of the one with its id
  Change commit(RuleEdit& edit);
};

}  // namespace shunt
