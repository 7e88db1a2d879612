// SPDX-License-Identifier: Apache-2.0
// Translation: a packet and a switch's state -> datapath actions, and the mask of the bits the decision looked at.
//
// Pure: no file descriptor, no clock, no side effect. What must follow from it (learning, counting, packet-ins) is in
// the result. The mask always holds in_port. Any key that agrees with `key` under the mask gets the same actions: a bit
// too many costs speed, a bit too few forwards a packet wrongly.
//
// A decision may need what no flow key holds: the packet's length, or headers below a label or tag that was popped.
// With the packet at hand it is made for this packet alone; without, translation stops. Either way `needs_packet` is
// set: such a flow is cached as "to userspace", and each of its packets is translated.
//
// What `normal` sends to one port as it came needs no flow of its pair of MACs: translate_bridged() makes one for all
// packets of a port and VLAN, and where they go the kernel finds by the two MACs (maps/fdb.h).
#pragma once

#include <bitset>
#include <boost/container/small_vector.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "maps/drop_reason.h"
#include "user/base/rare.h"
#include "user/flow/dp_actions.h"
#include "user/flow/flow_key.h"
#include "user/l2/fdb.h"
#include "user/pipeline/group.h"
#include "user/pipeline/rule.h"
#include "user/pipeline/switch.h"

namespace shunt {

// Where controller(pause) stopped a packet: what is left to run, of each list around it and of the action set.
struct Continuation {
  struct Part {
    RuleRef rule;  // whose actions they are; null: a packet-out's
    std::uint8_t table = 0;
    ActionList actions;
  };
  struct StackEntry {
    FieldBits value;
    std::uint8_t size;  // bytes
  };
  std::vector<Part> parts;  // the innermost list first
  ActionList action_set;    // as written
  std::vector<StackEntry> stack;
};
using ContinuationRef = std::shared_ptr<const Continuation>;

struct FdbDependency {
  BridgeId bridge;
  FdbKey key;
};

// What a translation looked at besides the key: a change to anything else leaves it as it is.
struct Dependencies {
  std::bitset<kTableCount> tables;  // looked up
  Rare<FlowMask> rewritten;         // packet bits that actions had written before some look-up: no filter for changes
  // tag_of() of ports whose state, groups and meters whose configuration counted, also where there is none of that
  // number: one that comes is a change. kPort of kPortAll: the list of ports, for whoever walks it.
  std::uint64_t tags = 0;
};

// The packet itself, for decisions that its key cannot make.
struct PacketView {
  std::span<const std::uint8_t> frame;  // its first bytes, up to all
  std::uint32_t length = 0;             // of all of it, as received
};

// SAVEs within one another in a translation's actions: clones and buckets nest 64 deep, as in Open vSwitch, and what
// the innermost one does may want a copy, too.
inline constexpr unsigned kMaxNestedCopies = 65;

struct Translation {
  std::uint64_t version = 0;  // SwitchState::version it was made under
  FlowMask mask{};
  // Run in order; outputs may stand anywhere (maps/actions.h). OUTPUT_GROUP never appears: encoding for the kernel
  // makes groups. SAVE and RESTORE stand in pairs, only around outputs, and only where something is sent after them.
  // Without an OUTPUT: a drop for the reason in `drop`, whatever it still counts or reports (METER, SAMPLE, CONTROLLER,
  // and DEC_TTL or DEC_MPLS_TTL to those who hear of a TTL that runs out).
  DpActions actions;
  shunt_drop_reason drop = SHUNT_DROP_NONE;
  // The packet goes nowhere: neither to a port nor, unless its TTL runs out, to a controller.
  [[nodiscard]] bool is_drop() const { return drop != SHUNT_DROP_NONE && drop != SHUNT_DROP_CONTROLLER; }
  bool needs_packet = false;
  // May be one of translate_bridged()'s flow: a hint, which saves asking where it cannot be.
  bool may_be_bridged = false;
  // translate_bridged() only: BRIDGE is the one action, by the FDB of this VLAN. The mask has no MACs.
  std::optional<VlanId> bridged;
  boost::container::small_vector<RuleRef, 1> rules;  // met, in order: their counters rise with the flow's
  // What else counts with the flow: tables (look-ups and matches), groups, buckets. They point into objects kept alive.
  boost::container::small_vector<std::shared_ptr<const FlowCounters>, 2> credits;
  std::optional<BridgeId> bridge;
  std::uint64_t fdb_version = 0;  // of the bridge's FDB, read before the first look-up
  // `normal` only. Where the source was seen: learn it, refresh it while the flow has hits. One for each VLAN that the
  // packet was in.
  struct Learn {
    FdbKey key;
    PortNo port;
  };
  boost::container::small_vector<Learn, 1> learns;
  // MACs (also unknown ones) that decided; a change of one revalidates the flow.
  boost::container::small_vector<FdbDependency, 2> fdb_dependencies;
  Dependencies dependencies;

  // What each packet of the flow has control do (user/worker/events.h takes it there). It exists where there is some.
  struct LearnedRule {
    FlowMod mod;  // kAdd (or modify, where it is there already)
    std::uint32_t limit = 0;
    RuleRef by;  // the rule with the learn action; delete_learned: goes when that goes
    bool delete_learned = false;
  };
  struct FinTimeout {
    RuleRef rule;
    std::uint16_t idle_timeout, hard_timeout;
  };
  struct Controller {
    ControllerAction action;
    RuleRef rule;  // null: table-miss without a rule, or an action that no rule holds
    std::uint8_t table = 0;
    PipelineFields fields{};  // metadata and registers at that point
    PortNo in_port;
    ContinuationRef paused{};  // where it was a pause
    bool only_old = false;     // BridgeState::misses_to_old
  };
  struct FollowUps {
    std::vector<LearnedRule> learned;
    std::vector<FinTimeout> fin_timeouts;  // only in flows whose packets have FIN or RST
    // By SHUNT_ACT_CONTROLLER's arg, by SHUNT_ACT_SAMPLE's index. ttl_controllers: who hears of a TTL that runs out, by
    // the arg of the DEC_TTL or DEC_MPLS_TTL that finds it so.
    std::vector<Controller> controllers;
    std::vector<SampleAction> samples;
    std::vector<std::vector<Controller>> ttl_controllers;
  };
  Rare<FollowUps> follow_ups;
};

// What trace shows: called as translation goes on. `key` is the packet as the actions have left it so far.
class TranslationObserver {
 public:
  virtual void entered_table(std::uint8_t table, const PipelineKey& key, const Rule* matched, unsigned depth) = 0;
  virtual void before_action(const Action& action, const PipelineKey& key, unsigned depth) = 0;
  virtual void entered_group(const Group& group, const Bucket* chosen, unsigned depth) = 0;
  virtual void note(std::string text, unsigned depth) = 0;  // why an action did nothing; what `normal` decided

 protected:
  ~TranslationObserver() = default;
};

// `key.in_port` is a datapath port. Never fails: what cannot be translated is a drop with its reason.
Translation translate(const SwitchState& state, const FlowKey& key, const PacketView* packet = nullptr,
                      TranslationObserver* observer = nullptr);
// The same, made where it is to stay: `result` is a new one.
void translate(const SwitchState& state, const FlowKey& key, const PacketView* packet, Translation& result);

// The same without a look at the packet's MACs: `bridged` is set where `normal` is all that decides about such packets,
// and sends those between MACs that the FDB knows as they came, to a port that takes them so. Else nothing of the
// result is of use. For the revalidator: its actions are the kernel's.
Translation translate_bridged(const SwitchState& state, const FlowKey& key);

// packet-out, and what a trace may begin with: runs a list of actions as if a rule held it. `in_port` may be a reserved
// port (CONTROLLER, LOCAL) or a port of the bridge. Of `fields` metadata, registers, tun_id and pkt_mark are taken.
Translation translate_actions(const SwitchState& state, BridgeId bridge, const FlowKey& key, PortNo in_port,
                              std::span<const Action> actions, const PacketView* packet = nullptr,
                              TranslationObserver* observer = nullptr, const PipelineFields& fields = {});

// A packet that was paused goes on, with the metadata and registers that its controller gave it.
Translation resume(const SwitchState& state, BridgeId bridge, const FlowKey& key, PortNo in_port,
                   const PipelineFields& fields, const Continuation& from, const PacketView* packet = nullptr);

}  // namespace shunt
