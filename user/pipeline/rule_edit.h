// SPDX-License-Identifier: Apache-2.0
// A rule edit: changes to one bridge at one version, which take place together or not at all: its rules, and with them
// what rules depend on (group_edit.h, meter_edit.h).
//
// Until commit() readers see nothing of it; an edit that is destroyed without commit() leaves the tables as they were.
// What is refused throws OfError with the line of its FlowMod.
// Thread: control.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "user/base/clock.h"
#include "user/pipeline/rule.h"
#include "user/pipeline/rule_check.h"
#include "user/pipeline/rule_index.h"
#include "user/pipeline/switch.h"

namespace shunt {

class RuleEdit {
 public:
  // Replaced by `modify`: counters pass from the one to the other.
  struct Modified {
    RuleRef old_rule, new_rule;
    std::uint64_t packets, bytes;  // that the new rule started with
  };
  // A rule that came or went, in order. One that another took the place of went without a reason.
  struct Event {
    RuleRef rule;
    bool added = false;
    std::optional<RemovedReason> reason{};
  };

  RuleEdit(const BridgeState& bridge, const RuleIndex& index, std::uint64_t version, TimePoint now);
  ~RuleEdit();
  RuleEdit(const RuleEdit&) = delete;
  RuleEdit& operator=(const RuleEdit&) = delete;

  void apply(const FlowMod& mod);
  void replace(std::span<const FlowMod> rules);
  // Adds a rule that was there before: it overlaps and needs room as it did then.
  void restore(const RestoredRule& rule);
  void remove(const RuleRef& rule, RemovedReason reason);
  // Removes the rules that `test` says yes to.
  void remove_if(const std::function<bool(const Rule&)>& test, RemovedReason reason);
  // Where the table holds more rules than it may: the ones that eviction would take go, as far as that goes.
  void evict_surplus(std::uint8_t table);

  // Ends the edit: rules that go with what is gone are gone too. Before changed(), commit() and the rest.
  void finish();
  [[nodiscard]] bool changed() const { return changed_; }
  // Lets readers of the version see the changes. Returns the bridge with its tables, new ones too.
  BridgeState commit();
  [[nodiscard]] Change change() const;
  [[nodiscard]] const std::vector<Modified>& modified() const { return modified_; }
  [[nodiscard]] const std::vector<Event>& events() const { return events_; }
  [[nodiscard]] const std::vector<RuleRef>& touched() const { return touched_; }

  // For edits of what else a bridge has: mark_changed() publishes it, and revalidates what depends on the tags.
  [[nodiscard]] BridgeState& bridge() { return bridge_; }
  [[nodiscard]] const BridgeState& bridge() const { return bridge_; }
  [[nodiscard]] const RuleIndex& index() const { return index_; }
  [[nodiscard]] std::uint64_t version() const { return version_; }
  [[nodiscard]] TimePoint now() const { return now_; }
  void mark_changed(std::uint64_t tags = 0);
  void mark_table(std::uint8_t table);  // whatever is looked up there
  [[nodiscard]] RuleRef find(std::uint8_t table, const Match& match, std::uint16_t priority) const;

 private:
  using Peers = std::map<std::uint16_t, std::vector<RuleRef>>;  // rules of a table, by priority

  BridgeState bridge_;
  const RuleIndex& index_;
  std::uint64_t version_;
  TimePoint now_;
  bool committed_ = false;
  bool changed_ = false;
  Change change_;
  std::vector<Modified> modified_;
  std::vector<Event> events_;
  std::vector<RuleRef> touched_;                         // modified to what they are: their hard timeout starts again
  std::optional<std::size_t> rule_count_;                // of all tables, once asked for; kept up
  std::map<std::uint8_t, Peers> peers_;                  // of tables that an overlap was looked for in; kept up
  std::map<RuleIndex::Learned, std::int64_t> learners_;  // that this edit added, less those it removed

  void apply_unlined(const FlowMod& mod);
  void add(const FlowMod& mod, std::uint8_t table);
  void modify(const FlowMod& mod, const RuleRef& rule);
  void pass_counters(const RuleRef& from, const std::shared_ptr<Rule>& to);
  void make_room(std::uint8_t table);
  bool evict_one(std::uint8_t table);
  void refuse_overlap(const FlowMod& mod, std::uint8_t table);
  void insert(RuleRef rule);
  void take_out(const RuleRef& rule, std::optional<RemovedReason> reason);
  void count_learners(const Rule& rule, int by);
  void affects(std::uint8_t table, const Match& match);
  Classifier& table(std::uint8_t number);
  [[nodiscard]] std::size_t size(std::uint8_t number) const;
  [[nodiscard]] TableConfig config(std::uint8_t number) const;
};

// The rules of a bridge at a version that a request selects: its match, cookie, out_port and out_group, as OpenFlow's
// non-strict commands do; with `strict`, the one rule of its match and priority, if the others select it.
std::vector<RuleRef> select_rules(const BridgeState& bridge, const FlowMod& filter, bool strict, std::uint64_t version);
// Whether a rule is one of those, not strictly.
[[nodiscard]] bool selects(const FlowMod& filter, const Rule& rule);

}  // namespace shunt
