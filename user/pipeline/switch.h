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
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "maps/types.h"
#include "user/flow/classifier.h"
#include "user/l2/fdb.h"
#include "user/l2/vlan.h"
#include "user/pipeline/group.h"
#include "user/pipeline/meter.h"
#include "user/pipeline/rule.h"

namespace shunt {

struct BridgePort {
  PortNo number;
  DpPort dp;
  std::string name;
  VlanConfig vlan;
  bool up = true;               // carrier and admin state: a port that is down is no output
  bool flood = true;            // FLOOD and normal's floods reach it; ALL does anyway
  bool receive = true;          // OFPPC_NO_RECV: what comes in is dropped
  bool forward = true;          // OFPPC_NO_FWD: nothing goes out
  bool packet_in = true;        // OFPPC_NO_PACKET_IN: no table-miss packet-ins
  bool protected_port = false;  // nothing is forwarded between two protected ports
  bool down = false;            // OFPPC_PORT_DOWN: its interface was set down; `up` follows
  friend bool operator==(const BridgePort&, const BridgePort&) = default;
};

// What a table does, but for its rules.
// Bounds on the memory that a controller can ask for.
inline constexpr std::uint32_t kMaxTableRules = 1'000'000;  // of a table without a limit of its own
inline constexpr std::size_t kMaxBridgeRules = 2'000'000;
// And on the time: loose changes look at all rules of a table, each. Of a list of rules and groups, all together.
inline constexpr std::size_t kMaxSearchedRules = 20'000'000;

struct TableConfig {
  std::string name;
  // What happens to a packet that no rule matches: OpenFlow 1.3 drops; Open vSwitch's tools of 1.0 and standalone
  // bridges know the others (OFPTC11_TABLE_MISS_*).
  enum class Miss : std::uint8_t { kDrop, kController, kContinue };
  Miss miss = Miss::kDrop;
  std::optional<std::uint32_t> max_rules;  // none: kMaxTableRules
  // Full: of the rules that would end by themselves the least important goes, of several the one that ends first (Open
  // vSwitch's overflow_policy=evict: rules without a timeout are never evicted). Else the new one is refused.
  bool evict = false;
  friend bool operator==(const TableConfig&, const TableConfig&) = default;
};
// Looked up, and matched: of one table, over the life of the bridge.
struct TableCounters {
  FlowCounters lookups, matches;
};

// One of 64 bits for a thing that translations depend on (Dependencies::tags).
enum class DependencyKind : std::uint8_t { kPort, kGroup, kMeter };
[[nodiscard]] constexpr std::uint64_t tag_of(DependencyKind kind, std::uint32_t id) {
  return std::uint64_t{1} << (((static_cast<std::uint64_t>(kind) << 32 | id) * 0x9e3779b97f4a7c15) >> 58);
}

struct BridgeState {
  BridgeId id;
  std::string name;
  std::vector<BridgePort> ports;  // ascending by number
  std::shared_ptr<Fdb> fdb;
  std::array<std::shared_ptr<Classifier>, kTableCount> tables;                   // null: empty table
  std::shared_ptr<const std::map<std::uint8_t, TableConfig>> table_configs;      // never null; absent: all defaults
  std::shared_ptr<const std::array<TableCounters, kTableCount>> table_counters;  // never null
  std::shared_ptr<const std::map<std::uint32_t, GroupRef>> groups;               // never null
  std::shared_ptr<const std::map<std::uint32_t, MeterRef>> meters;               // never null
  bool misses_to_old =
      false;            // what table 0 has no rule for goes to controllers of OpenFlow 1.0; not kept over restarts
  VlanSet flood_vlans;  // normal learns no MAC there: every frame is flooded
  std::array<std::uint16_t, SHUNT_MAX_PORTS> index_of{};  // datapath port -> 1 + index in `ports`; 0: none here

  [[nodiscard]] const BridgePort* find(PortNo number) const;
  [[nodiscard]] const BridgePort* find(DpPort dp) const;
};

struct SwitchState {
  std::uint64_t version = 0;
  std::vector<std::shared_ptr<const BridgeState>> bridges;
  std::array<const BridgeState*, SHUNT_MAX_PORTS> bridge_of{};  // by datapath port; null: not a port
  // The bridge with this id; null: none.
  [[nodiscard]] const BridgeState* find(BridgeId id) const noexcept {
    for (const auto& bridge : bridges)
      if (bridge->id == id) return bridge.get();
    return nullptr;
  }
};
using SwitchStateRef = std::shared_ptr<const SwitchState>;

// Why a rule went (ofp_flow_removed_reason).
enum class RemovedReason : std::uint8_t {
  kIdleTimeout = 0,
  kHardTimeout = 1,
  kDelete = 2,
  kGroupDelete = 3,
  kMeterDelete = 4,
  kEviction = 5
};
struct RemovedRule {
  RuleRef rule;
  RemovedReason reason;
  BridgeId bridge{};
};

// What a change may have altered, for revalidation, on ports of `bridge`: flows that looked up one of the tables of
// `rules` and whose key and mask overlap the match there (its in_port is a datapath port, or wildcarded), but for bits
// that were rewritten before; flows that depend on one of `tags`; all of the bridge's flows where `all`.
struct Change {
  // More matches than these and checking each flow against them costs more than translating it again.
  static constexpr std::size_t kMaxMatches = 64;
  struct Rules {
    std::uint8_t table;
    Match match;
  };
  std::uint64_t version = 0;
  std::optional<BridgeId> bridge{};  // none: every bridge
  bool all = false;
  std::vector<Rules> rules{};
  std::uint64_t tags = 0;              // tag_of() of ports, groups and meters that changed
  std::vector<RemovedRule> removed{};  // in order; kSendFlowRemoved says who wants to hear of it
  [[nodiscard]] bool empty() const { return !all && rules.empty() && tags == 0; }
};

// Hears of every rule that comes, goes or is refreshed, whoever asked for it, after it was published. Control thread.
class RuleObserver {
 public:
  virtual ~RuleObserver() = default;
  virtual void rule_added(BridgeId bridge, const RuleRef& rule) = 0;
  // Without a reason another one, of the same match and priority, takes its place: that one is added next.
  virtual void rule_removed(BridgeId bridge, const Rule& rule, std::optional<RemovedReason> reason) = 0;
  virtual void rule_touched(BridgeId bridge, const RuleRef& rule) = 0;  // its hard timeout starts again

 protected:
  RuleObserver() = default;
  RuleObserver(const RuleObserver&) = default;
  RuleObserver& operator=(const RuleObserver&) = default;
};

// A change to rules or groups, among others of both kinds.
using Modification = std::variant<FlowMod, GroupMod>;

class GroupEdit;
class MeterSlots;
class RuleEdit;
class RuleIndex;

class Switch {
 public:
  Switch();
  ~Switch();

  // Any thread. version() is cheap: poll it, and fetch state() when it changed.
  [[nodiscard]] SwitchStateRef state() const;
  [[nodiscard]] std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

  // Control thread only, from here on. Each throws Error and changes nothing where it refuses.
  BridgeId add_bridge(const std::string& name);  // with the default rule: priority 0, actions NORMAL
  Change del_bridge(const std::string& name);    // its ports must be gone
  // As they were before a restart: a bridge without rules, under the id that it had; its rules, all or nothing.
  void restore_bridge(BridgeId id, const std::string& name);
  void restore_rules(BridgeId bridge, std::span<const RestoredRule> rules);
  Change add_port(BridgeId bridge, const BridgePort& port);
  [[nodiscard]] static Change change_by_port(BridgeId bridge, PortNo number);  // what that one would be
  Change remove_port(BridgeId bridge, PortNo number);
  Change update_port(BridgeId bridge, const BridgePort& port);                  // by number: all but its datapath port
  Change apply(BridgeId bridge, std::span<const FlowMod> mods, TimePoint now);  // all or nothing, in order
  Change apply(BridgeId bridge, std::span<const Modification> mods, TimePoint now);  // all or nothing, in order
  // Makes the bridge's rules those of `rules` with the fewest changes; rules that stay keep their counters.
  Change replace(BridgeId bridge, std::span<const FlowMod> rules, TimePoint now);
  Change apply_group(BridgeId bridge, std::span<const GroupMod> mods, TimePoint now);  // all or nothing, in order
  Change apply_group(BridgeId bridge, const GroupMod& mod, TimePoint now) {
    return apply_group(bridge, std::span{&mod, 1}, now);
  }
  Change apply_meter(BridgeId bridge, std::span<const MeterMod> mods, TimePoint now);  // all or nothing, in order
  Change apply_meter(BridgeId bridge, const MeterMod& mod, TimePoint now) {
    return apply_meter(bridge, std::span{&mod, 1}, now);
  }
  Change set_table(BridgeId bridge, std::uint8_t table, const TableConfig& config);
  Change set_misses_to_old(BridgeId bridge, bool on);
  Change set_flood_vlans(BridgeId bridge, const VlanSet& vlans);
  // Removes rules whose timeouts have run out; counters must be up to date. next_expiry(): when it is worth the next
  // call, at the latest (idle rules may live on).
  Change expire(TimePoint now);
  [[nodiscard]] std::optional<TimePoint> next_expiry() const;
  // A rule that a packet asked for (learn): added, or refreshed where it is there (its hard timeout starts again, and
  // no state is made). Nothing where the limit is reached, or where `by`, the rule that learns, is gone.
  Change learn(BridgeId bridge, const FlowMod& mod, std::uint32_t limit, const RuleRef& by, bool delete_learned,
               TimePoint now);
  // Rules that overlap-select as OpenFlow's flow statistics do: match is a superset filter, like `kDelete`.
  [[nodiscard]] std::vector<RuleRef> list(BridgeId bridge, const FlowMod& filter) const;
  // A bridge as it is until the next change; null: none.
  [[nodiscard]] const BridgeState* find_bridge(const std::string& name) const;
  [[nodiscard]] const BridgeState* find_bridge(BridgeId id) const { return state_->find(id); }
  // How many rules, and buckets of other groups, name each group; rules, a meter.
  [[nodiscard]] std::map<std::uint32_t, std::uint32_t> group_references(BridgeId bridge) const;
  [[nodiscard]] std::uint32_t meter_references(BridgeId bridge, std::uint32_t meter) const;
  // Called with each meter that has a slot of its own from now on, before the state that names it is published: writes
  // encode_meter() there. No program uses the slot then.
  void on_meter(std::function<void(const Meter&)> write) { write_meter_ = std::move(write); }
  // Asked before a change to rules, groups, tables or a port is published: what it throws comes out, and nothing has
  // changed.
  void before_publishing(std::function<void(const Change&)> check) { check_ = std::move(check); }
  void observe_rules(RuleObserver* observer) { observers_.push_back(observer); }  // one more, which outlives this
  // Passes on what was credited, since the last time, to rules and groups that others have taken the place of. list()
  // and expire() do it by themselves.
  void settle_counters() const;
  // Frees what was removed at or before `version`: call when no reader holds an older state and no program runs over
  // the flows that it changed. Not what came after a version that is held.
  void collect(std::uint64_t version);
  // For whoever goes over rules of a version a piece at a time (rule_walk.h). Not for long: all that goes is kept.
  void hold(std::uint64_t version) { held_.insert(version); }
  void release(std::uint64_t version) { held_.erase(held_.find(version)); }

 private:
  // A rule that `modify` replaced, or a group: what flows credit to it after that is the new one's. It is dropped when
  // nobody else can credit the old one any more.
  struct Successor {
    std::uint64_t version;
    std::shared_ptr<const void> old_one;
    const FlowCounters* from;
    std::shared_ptr<const FlowCounters> to;
    std::uint64_t packets, bytes;  // passed on already
  };

  mutable std::mutex
      state_mutex_;  // guards state_ for the moment of a copy; readers take it once a change, not a packet
  SwitchStateRef state_;
  std::atomic<std::uint64_t> version_{0};
  // Control thread only.
  std::uint32_t next_bridge_ = 1;
  std::vector<SwitchStateRef> old_states_;  // kept until collect(), so that no reader is the one who frees them
  std::multiset<std::uint64_t> held_;       // versions
  mutable std::vector<Successor> successors_;
  std::map<BridgeId, std::unique_ptr<RuleIndex>> indexes_;
  std::unique_ptr<MeterSlots> meter_slots_;
  std::function<void(const Meter&)> write_meter_;
  std::function<void(const Change&)> check_;
  std::vector<RuleObserver*> observers_;

  [[nodiscard]] const BridgeState& bridge(BridgeId id) const;
  [[nodiscard]] RuleIndex& index(BridgeId id) const { return *indexes_.at(id); }
  void publish(std::vector<std::shared_ptr<const BridgeState>> bridges);
  void publish(BridgeState bridge);  // in place of the one with its id
  Change commit(RuleEdit& edit, const GroupEdit* groups = nullptr);
  void note(const RuleEdit& edit);  // what came and went, once it is published
  BridgeState make_bridge(BridgeId id, const std::string& name) const;
};

}  // namespace shunt
