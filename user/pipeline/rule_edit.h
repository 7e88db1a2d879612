// SPDX-License-Identifier: Apache-2.0
// A rule edit: changes to one bridge at one version, which take place together or not at all: its rules, and with them
// what rules depend on (group_edit.h, meter_edit.h).
//
// Until commit() readers see nothing of it; an edit that is destroyed without commit() leaves the tables as they were.
// What is refused throws OfError with the line of its FlowMod.
// Thread: control.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
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
  // Removes the rules that name a group, a meter.
  void remove_group_users(std::uint32_t group);
  void remove_meter_users(std::uint32_t meter);
  // Where the table holds more rules than it may: the ones that eviction would take go, as far as that goes.
  void evict_surplus(std::uint8_t table);
  // Refuses to look at more rules than so many in search of those that mods select or overlap.
  void limit_search(std::size_t rules) { search_limit_ = rules; }

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
  // Of a table that something was evicted from. The rules that may go: those that this edit added, or asked when they
  // end; and those of the index from `next` on.
  struct Evictable {
    RuleTimeouts::Ranks known;
    RuleTimeouts::Ranks::const_iterator next;
  };

  BridgeState bridge_;
  const RuleIndex& index_;
  std::uint64_t version_;
  TimePoint now_;
  bool committed_ = false;
  bool changed_ = false;
  Change change_;
  std::vector<Modified> modified_;
  std::vector<Event> events_;
  std::vector<RuleRef> touched_;                 // modified to what they are: their hard timeout starts again
  std::optional<std::size_t> rule_count_;        // of all tables, once asked for; kept up
  std::map<std::uint8_t, Evictable> evictable_;  // kept up
  std::unordered_map<std::uint32_t, std::vector<RuleRef>> group_users_;  // of those that this edit added
  std::size_t searched_ = 0;                                             // rules
  std::size_t search_limit_ = std::numeric_limits<std::size_t>::max();
  std::map<RuleIndex::Learned, std::int64_t> learners_;  // that this edit added, less those it removed

  void apply_unlined(const FlowMod& mod);
  void add(const FlowMod& mod, std::uint8_t table);
  void modify(const FlowMod& mod, const RuleRef& rule);
  void pass_counters(const RuleRef& from, const std::shared_ptr<Rule>& to);
  void make_room(std::uint8_t table);
  bool evict_one(std::uint8_t table);
  static void note_end(Evictable& evictable, const Rule& rule);
  void remove_all(const std::vector<RuleRef>& rules, RemovedReason reason);
  [[nodiscard]] bool is_there(const Rule& rule) const;
  [[nodiscard]] std::vector<RuleRef> select(const FlowMod& filter, bool strict);
  void refuse_long_search() const;
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
// Adds to `looked_at` how many rules were looked at.
std::vector<RuleRef> select_rules(const BridgeState& bridge, const FlowMod& filter, bool strict, std::uint64_t version,
                                  std::size_t& looked_at);
std::vector<RuleRef> select_rules(const BridgeState& bridge, const FlowMod& filter, bool strict, std::uint64_t version);
// Whether a rule is one of those, not strictly.
[[nodiscard]] bool selects(const FlowMod& filter, const Rule& rule);
[[nodiscard]] bool selects_beside_match(const FlowMod& filter, const Rule& rule);  // by cookie, out_port and out_group

}  // namespace shunt
