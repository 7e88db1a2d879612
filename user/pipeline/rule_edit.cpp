// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/rule_edit.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "user/base/of_error.h"
#include "user/pipeline/action_walk.h"

namespace shunt {

namespace {

std::uint8_t table_of(const FlowMod& mod) {
  const std::uint8_t table = mod.table.value_or(0);
  if (table >= kTableCount)
    throw OfError(OfErrorCode::kFlowModBadTable, "table {}: tables are 0 to {}", table, kTableCount - 1);
  return table;
}

std::shared_ptr<Rule> make_rule(const FlowMod& mod, std::uint8_t table, TimePoint now) {
  auto rule = std::make_shared<Rule>();
  rule->table = table;
  rule->priority = mod.priority;
  rule->flags = mod.flags;
  rule->importance = mod.importance;
  rule->cookie = mod.cookie;
  rule->match = mod.match;
  rule->actions = mod.actions;
  rule->created = now;
  rule->idle_timeout.store(mod.idle_timeout, std::memory_order_relaxed);
  rule->hard_timeout.store(mod.hard_timeout, std::memory_order_relaxed);
  rule->modified.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  return rule;
}

// Flags that say what a command does, not what the rule is.
constexpr std::uint16_t kCommandFlags = kCheckOverlap | kResetCounts;

bool is_as_asked(const Rule& rule, const FlowMod& mod) {
  return rule.cookie == mod.cookie && rule.actions == mod.actions && rule.importance == mod.importance &&
         ((rule.flags ^ mod.flags) & ~kCommandFlags) == 0 && rule.idle_timeout == mod.idle_timeout &&
         rule.hard_timeout == mod.hard_timeout;
}

}  // namespace

bool selects_beside_match(const FlowMod& filter, const Rule& rule) {
  if (filter.cookie_mask && ((rule.cookie ^ filter.cookie) & *filter.cookie_mask) != 0) return false;
  if (filter.out_port && !outputs_to(rule.actions, *filter.out_port)) return false;
  return !filter.out_group || *filter.out_group == kGroupAny || names_group(rule.actions, *filter.out_group);
}

bool selects(const FlowMod& filter, const Rule& rule) {
  if (filter.table && *filter.table != rule.table) return false;
  const PipelineWords value = to_words(filter.match.value), mask = to_words(filter.match.mask);
  const PipelineWords rule_value = to_words(rule.match.value), rule_mask = to_words(rule.match.mask);
  for (std::size_t i = 0; i < kPipelineWords; ++i)
    if ((mask[i] & ~rule_mask[i]) != 0 || ((value[i] ^ rule_value[i]) & mask[i]) != 0) return false;
  return selects_beside_match(filter, rule);
}

FlowMod flow_mod_of(const Rule& rule) {
  FlowMod mod;
  mod.table = rule.table;
  mod.priority = rule.priority;
  mod.flags = rule.flags;
  mod.importance = rule.importance;
  mod.cookie = rule.cookie;
  mod.match = rule.match;
  mod.actions = rule.actions;
  mod.idle_timeout = rule.idle_timeout.load(std::memory_order_relaxed);
  mod.hard_timeout = rule.hard_timeout.load(std::memory_order_relaxed);
  return mod;
}

std::vector<RuleRef> select_rules(const BridgeState& bridge, const FlowMod& filter, bool strict,
                                  std::uint64_t version) {
  std::size_t looked_at = 0;
  return select_rules(bridge, filter, strict, version, looked_at);
}

std::vector<RuleRef> select_rules(const BridgeState& bridge, const FlowMod& filter, bool strict, std::uint64_t version,
                                  std::size_t& looked_at) {
  std::vector<RuleRef> selected;
  const std::size_t first = filter.table ? table_of(filter) : 0;
  const std::size_t last = filter.table ? first : kTableCount - 1;
  for (std::size_t table = first; table <= last; ++table) {
    if (bridge.tables[table] == nullptr) continue;
    const Classifier& rules = *bridge.tables[table];
    std::vector<RuleRef> found;
    if (!strict)
      found = rules.select(filter.match, version, looked_at);
    else if (RuleRef rule = rules.find(filter.match, filter.priority, version))
      found.push_back(std::move(rule));
    for (RuleRef& rule : found)
      if (selects_beside_match(filter, *rule)) selected.push_back(std::move(rule));
  }
  return selected;
}

RuleEdit::RuleEdit(const BridgeState& bridge, const RuleIndex& index, std::uint64_t version, TimePoint now)
    : bridge_{bridge}, index_{index}, version_{version}, now_{now} {
  change_.version = version;
  change_.bridge = bridge.id;
}

RuleEdit::~RuleEdit() {
  if (committed_) return;
  for (const auto& rules : bridge_.tables)
    if (rules != nullptr) rules->rollback(version_);
}

void RuleEdit::apply(const FlowMod& mod) {
  try {
    apply_unlined(mod);
  } catch (OfError& error) {
    if (error.line() == 0) error.set_line(mod.line);
    throw;
  }
}

void RuleEdit::apply_unlined(const FlowMod& mod) {
  using Command = FlowMod::Command;
  const bool strict = mod.command == Command::kModifyStrict || mod.command == Command::kDeleteStrict;
  switch (mod.command) {
    case Command::kAdd:
      add(mod, table_of(mod));
      break;
    case Command::kModify:
    case Command::kModifyStrict: {
      FlowMod filter = mod;
      filter.out_port.reset();  // OpenFlow: they select on delete only
      filter.out_group.reset();
      check_rule({*bridge_.groups, *bridge_.meters}, mod, table_of(mod));
      const auto rules = select(filter, strict);
      for (const RuleRef& rule : rules) {
        if (!mod.table) check_rule({*bridge_.groups, *bridge_.meters}, mod, rule->table);
        modify(mod, rule);
      }
      if (rules.empty() && mod.modify_adds) add(mod, table_of(mod));
      break;
    }
    case Command::kDelete:
    case Command::kDeleteStrict:
      for (const RuleRef& rule : select(mod, strict)) remove(rule, RemovedReason::kDelete);
      break;
  }
}

std::vector<RuleRef> RuleEdit::select(const FlowMod& filter, bool strict) {
  std::vector<RuleRef> rules = select_rules(bridge_, filter, strict, version_, searched_);
  refuse_long_search();
  return rules;
}

void RuleEdit::refuse_long_search() const {
  if (searched_ > search_limit_)
    throw OfError(OfErrorCode::kBundleTooMany, "more than {} rules would be looked at", search_limit_);
}

// What goes goes first, so that a table with a limit has room for what comes. Of several mods for one rule the last
// counts.
void RuleEdit::replace(std::span<const FlowMod> rules) {
  std::unordered_map<const Rule*, std::size_t> last_mod;
  std::vector<RuleRef> old_rules(rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    try {
      old_rules[i] = find(table_of(rules[i]), rules[i].match, rules[i].priority);
    } catch (OfError& error) {
      error.set_line(rules[i].line);
      throw;
    }
    if (old_rules[i] != nullptr) last_mod[old_rules[i].get()] = i;
  }
  for (const RuleRef& rule : select(FlowMod{}, false))
    if (!last_mod.contains(rule.get())) remove(rule, RemovedReason::kDelete);
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (old_rules[i] != nullptr && (last_mod.at(old_rules[i].get()) != i || is_as_asked(*old_rules[i], rules[i])))
      continue;
    FlowMod mod = rules[i];
    mod.command = FlowMod::Command::kAdd;
    apply(mod);
  }
}

void RuleEdit::restore(const RestoredRule& restored) {
  const std::uint8_t number = table_of(restored.mod);
  check_rule({*bridge_.groups, *bridge_.meters}, restored.mod, number);
  if (const RuleRef old_rule = find(number, restored.mod.match, restored.mod.priority))
    take_out(old_rule, std::nullopt);
  const auto rule = make_rule(restored.mod, number, restored.created);
  rule->modified.store(restored.modified.time_since_epoch().count(), std::memory_order_relaxed);
  rule->counters.touch(restored.used);
  rule->row = restored.row;
  insert(rule);
}

void RuleEdit::remove(const RuleRef& rule, RemovedReason reason) { take_out(rule, reason); }

// Rules that this edit has added are in no index yet, and some that are there it has taken out.
void RuleEdit::remove_group_users(std::uint32_t group) {
  const std::set<RuleRef>& users = index_.group_users(group).rules;
  remove_all({users.begin(), users.end()}, RemovedReason::kGroupDelete);
  if (const auto added = group_users_.extract(group); !added.empty())
    remove_all(added.mapped(), RemovedReason::kGroupDelete);
}

void RuleEdit::remove_meter_users(std::uint32_t meter) {
  const std::set<RuleRef>& users = index_.meter_users(meter).rules;
  remove_all({users.begin(), users.end()}, RemovedReason::kMeterDelete);
}

void RuleEdit::remove_all(const std::vector<RuleRef>& rules, RemovedReason reason) {
  for (const RuleRef& rule : rules)
    if (is_there(*rule)) take_out(rule, reason);
}

bool RuleEdit::is_there(const Rule& rule) const { return find(rule.table, rule.match, rule.priority).get() == &rule; }

// Learned rules go when nothing is left that would learn more of them; among them may be other rules that learn.
void RuleEdit::finish() {
  std::set<RuleIndex::Learned> done;
  for (bool again = true; again;) {
    again = false;
    for (const auto& [learned, by] : learners_) {
      const auto [table_number, cookie] = learned;
      if (by >= 0 || index_.learners(learned) + by > 0 || !done.insert(learned).second) continue;
      FlowMod filter;
      filter.table = table_number;
      filter.cookie = cookie;
      filter.cookie_mask = ~std::uint64_t{0};
      const auto rules = select(filter, false);
      for (const RuleRef& rule : rules) take_out(rule, RemovedReason::kDelete);
      again = again || !rules.empty();
    }
  }
}

BridgeState RuleEdit::commit() {
  for (const auto& rules : bridge_.tables)
    if (rules != nullptr) rules->publish();
  for (const RuleRef& rule : touched_) rule->modified.store(now_.time_since_epoch().count(), std::memory_order_relaxed);
  committed_ = true;
  return bridge_;
}

Change RuleEdit::change() const {
  Change change = change_;
  if (change.all) change.rules.clear();
  // A rule that came and went within the edit was never there.
  std::unordered_set<const Rule*> came;
  const auto is_reported = [](const Event& event) { return !event.added && event.reason; };
  if (std::any_of(events_.begin(), events_.end(), is_reported))
    for (const Event& event : events_)
      if (event.added) came.insert(event.rule.get());
  for (const Event& event : events_)
    if (is_reported(event) && !came.contains(event.rule.get()))
      change.removed.push_back({event.rule, *event.reason, bridge_.id});
  return change;
}

void RuleEdit::mark_changed(std::uint64_t tags) {
  changed_ = true;
  change_.tags |= tags;
}

void RuleEdit::mark_table(std::uint8_t number) {
  changed_ = true;
  affects(number, Match{});
}

RuleRef RuleEdit::find(std::uint8_t number, const Match& match, std::uint16_t priority) const {
  const auto& rules = bridge_.tables[number];
  return rules == nullptr ? nullptr : rules->find(match, priority, version_);
}

// A rule of the same match and priority makes way, and its counters with it (`ovs-ofctl add-flow`). It is no overlap,
// as in Open vSwitch, and needs no room.
void RuleEdit::add(const FlowMod& mod, std::uint8_t number) {
  check_rule({*bridge_.groups, *bridge_.meters}, mod, number);
  auto rule = make_rule(mod, number, now_);
  if (const RuleRef old_rule = find(number, mod.match, mod.priority)) {
    if (mod.keep_counts) pass_counters(old_rule, rule);
    take_out(old_rule, std::nullopt);
  } else {
    if ((mod.flags & kCheckOverlap) != 0) refuse_overlap(mod, number);
    make_room(number);
  }
  insert(std::move(rule));
}

// The difference is taken against what was copied, so that a packet counted meanwhile is passed on as well.
void RuleEdit::pass_counters(const RuleRef& from, const std::shared_ptr<Rule>& to) {
  to->counters = from->counters;
  modified_.push_back({from, to, to->counters.packets(), to->counters.bytes()});
}

// The rule stays what it is but for its actions; being immutable, it is replaced by one that takes its counters over.
void RuleEdit::modify(const FlowMod& mod, const RuleRef& rule) {
  const std::uint64_t cookie = mod.new_cookie.value_or(rule->cookie);
  const bool reset = (mod.flags & kResetCounts) != 0;
  if (rule->actions == mod.actions && rule->cookie == cookie && !reset) {
    touched_.push_back(rule);
    return;
  }
  FlowMod changed = flow_mod_of(*rule);
  changed.cookie = cookie;
  changed.actions = mod.actions;
  auto successor = make_rule(changed, rule->table, rule->created);
  successor->modified.store(now_.time_since_epoch().count(), std::memory_order_relaxed);
  if (reset)
    successor->counters.touch(now_);  // it was in use: its idle timeout starts again
  else
    pass_counters(rule, successor);
  take_out(rule, std::nullopt);
  insert(successor);
}

// A table that is full takes a rule only in place of another, where it is set to evict.
void RuleEdit::make_room(std::uint8_t number) {
  if (!rule_count_) {
    rule_count_ = 0;
    for (std::size_t table = 0; table < kTableCount; ++table) *rule_count_ += size(static_cast<std::uint8_t>(table));
  }
  const TableConfig settings = config(number);
  const std::uint32_t limit = settings.max_rules.value_or(kMaxTableRules);
  const bool full = size(number) >= limit;
  if (!full && *rule_count_ < kMaxBridgeRules) return;
  if (settings.evict && limit > 0 && evict_one(number)) return;
  if (full) throw OfError(OfErrorCode::kTableFull, "table {} is full: it holds at most {} rules", number, limit);
  throw OfError(OfErrorCode::kTableFull, "the bridge is full: it holds at most {} rules", kMaxBridgeRules);
}

void RuleEdit::evict_surplus(std::uint8_t number) {
  const TableConfig settings = config(number);
  if (!settings.max_rules || !settings.evict) return;
  while (size(number) > *settings.max_rules && evict_one(number)) {
  }
}

// As Open vSwitch: only a rule that would end by itself; the least important of them, of these the one that ends first
// (as far as so many tell that seem to end before it: packets may have moved their ends).
bool RuleEdit::evict_one(std::uint8_t number) {
  constexpr unsigned kMostAsked = 128;
  const RuleTimeouts::Ranks& ranks = index_.timeouts().ranks(number);
  const auto [at, is_new] = evictable_.try_emplace(number, Evictable{{}, ranks.begin()});
  auto& [known, next] = at->second;
  if (is_new)
    for (const Event& event : events_)
      if (event.added && event.rule->table == number) note_end(at->second, *event.rule);
  for (unsigned asked = 0;; ++asked) {
    if (next != ranks.end() && (known.empty() || (asked < kMostAsked && *next < *known.begin()))) {
      note_end(at->second, *(next++)->rule);
      continue;
    }
    if (known.empty()) return false;
    const Rule& victim = *known.extract(known.begin()).value().rule;
    if (!is_there(victim)) continue;
    take_out(victim.shared_from_this(), RemovedReason::kEviction);
    return true;
  }
}

void RuleEdit::note_end(Evictable& evictable, const Rule& rule) {
  if (const auto end = end_of(rule)) evictable.known.insert({rule.importance, end->when, rule.created, &rule});
}

void RuleEdit::refuse_overlap(const FlowMod& mod, std::uint8_t number) {
  const RuleRef rule = table(number).find_overlap(mod.match, mod.priority, version_, searched_);
  refuse_long_search();
  if (rule != nullptr)
    throw OfError(OfErrorCode::kOverlap, "overlaps a rule of table {} with priority {} (cookie {:#x})", number,
                  mod.priority, rule->cookie);
}

void RuleEdit::insert(RuleRef rule) {
  changed_ = true;
  affects(rule->table, rule->match);
  count_learners(*rule, 1);
  if (rule_count_) ++*rule_count_;
  table(rule->table).insert(rule, version_);
  if (const auto evictable = evictable_.find(rule->table); evictable != evictable_.end())
    note_end(evictable->second, *rule);
  for_each_group(rule->actions, [&](std::uint32_t group) { group_users_[group].push_back(rule); });
  events_.push_back({std::move(rule), true});
}

void RuleEdit::take_out(const RuleRef& rule, std::optional<RemovedReason> reason) {
  changed_ = true;
  affects(rule->table, rule->match);
  count_learners(*rule, -1);
  if (rule_count_) --*rule_count_;
  table(rule->table).remove(*rule, version_);
  events_.push_back({rule, false, reason});
}

void RuleEdit::count_learners(const Rule& rule, int by) {
  walk_actions(rule.actions, [&](const Action& action) {
    const auto* learn = std::get_if<LearnAction>(&action);
    if (learn != nullptr && learn->delete_learned) learners_[{learn->table, learn->cookie}] += by;
    return true;
  });
}

void RuleEdit::affects(std::uint8_t number, const Match& match) {
  if (change_.all) return;
  Match in_datapath = match;
  if (match.mask.in_port == ~std::uint32_t{0}) {
    // Of a port that is not there only packets come by whose in_port an action wrote: 0 is no packet's own.
    const BridgePort* port = bridge_.find(PortNo{match.value.in_port});
    in_datapath.value.in_port = port != nullptr ? port->dp.value : 0;
  } else {
    in_datapath.value.in_port = in_datapath.mask.in_port = 0;
  }
  // A replaced rule's match comes twice in a row.
  auto& rules = change_.rules;
  if (!rules.empty() && rules.back().table == number && rules.back().match == in_datapath) return;
  rules.push_back({number, in_datapath});
  change_.all = rules.size() > Change::kMaxMatches;
}

Classifier& RuleEdit::table(std::uint8_t number) {
  auto& rules = bridge_.tables[number];
  if (rules == nullptr) rules = std::make_shared<Classifier>();
  return *rules;
}

std::size_t RuleEdit::size(std::uint8_t number) const {
  return bridge_.tables[number] == nullptr ? 0 : bridge_.tables[number]->size();
}

TableConfig RuleEdit::config(std::uint8_t number) const {
  const auto found = bridge_.table_configs->find(number);
  return found == bridge_.table_configs->end() ? TableConfig{} : found->second;
}

}  // namespace shunt
