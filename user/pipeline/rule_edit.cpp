// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/rule_edit.h"

#include <algorithm>
#include <type_traits>
#include <unordered_set>
#include <utility>

#include "user/base/error.h"

namespace shunt {

namespace {

// More matches than these and checking each flow against them costs more than translating it again.
constexpr std::size_t kMaxMatches = 64;

std::uint8_t table_of(const FlowMod& mod) {
  const std::uint8_t table = mod.table.value_or(0);
  if (table >= kTableCount) throw Error("table {}: tables are 0 to {}", table, kTableCount - 1);
  return table;
}

bool same_match(const Match& a, const Match& b) { return equal(a.value, b.value) && equal(a.mask, b.mask); }

struct SameAction {
  bool operator()(const OutputAction& a, const OutputAction& b) const {
    return a.port == b.port && a.max_len == b.max_len;
  }
  bool operator()(const SetFieldAction& a, const SetFieldAction& b) const {
    return a.field == b.field && same_match(a.set, b.set);
  }
  bool operator()(const MoveAction& a, const MoveAction& b) const {
    return a.src == b.src && a.dst == b.dst && a.src_bit == b.src_bit && a.dst_bit == b.dst_bit &&
           a.bit_count == b.bit_count;
  }
  bool operator()(const PushVlanAction& a, const PushVlanAction& b) const { return a.tpid == b.tpid; }
  bool operator()(const SetVlanVidAction& a, const SetVlanVidAction& b) const { return a.vid == b.vid; }
  bool operator()(const SetVlanPcpAction& a, const SetVlanPcpAction& b) const { return a.pcp == b.pcp; }
  template <typename A, typename B>
  bool operator()(const A&, const B&) const {
    static_assert(!std::is_same_v<A, B> || std::is_empty_v<A>, "an action with fields needs its own comparison");
    return std::is_same_v<A, B>;
  }
};

bool same_actions(const ActionList& a, const ActionList& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Action& x, const Action& y) { return std::visit(SameAction{}, x, y); });
}

bool outputs_to(const ActionList& actions, PortNo port) {
  return std::any_of(actions.begin(), actions.end(), [&](const Action& action) {
    const auto* output = std::get_if<OutputAction>(&action);
    return output != nullptr && output->port == port;
  });
}

bool cookie_selects(const FlowMod& mod, const Rule& rule) {
  return !mod.cookie_mask || ((rule.cookie ^ mod.cookie) & *mod.cookie_mask) == 0;
}

std::shared_ptr<Rule> make_rule(const FlowMod& mod, std::uint8_t table, TimePoint now) {
  auto rule = std::make_shared<Rule>();
  rule->table = table;
  rule->priority = mod.priority;
  rule->cookie = mod.cookie;
  rule->match = mod.match;
  rule->actions = mod.actions;
  rule->created = now;
  return rule;
}

}  // namespace

std::vector<RuleRef> select_rules(const BridgeState& bridge, const FlowMod& filter, bool strict,
                                  std::uint64_t version) {
  std::vector<RuleRef> selected;
  const std::size_t first = filter.table ? table_of(filter) : 0;
  const std::size_t last = filter.table ? first : kTableCount - 1;
  for (std::size_t table = first; table <= last; ++table) {
    if (bridge.tables[table] == nullptr) continue;
    const Classifier& rules = *bridge.tables[table];
    std::vector<RuleRef> found;
    if (!strict)
      found = rules.select(filter.match, version);
    else if (RuleRef rule = rules.find(filter.match, filter.priority, version))
      found.push_back(std::move(rule));
    for (RuleRef& rule : found) {
      if (!cookie_selects(filter, *rule) || (filter.out_port && !outputs_to(rule->actions, *filter.out_port))) continue;
      selected.push_back(std::move(rule));
    }
  }
  return selected;
}

RuleEdit::RuleEdit(const BridgeState& bridge, std::uint64_t version, TimePoint now)
    : bridge_{bridge}, version_{version}, now_{now} {
  change_.version = version;
  change_.bridge = bridge.id;
}

RuleEdit::~RuleEdit() {
  if (committed_) return;
  for (const auto& rules : bridge_.tables)
    if (rules != nullptr) rules->rollback(version_);
}

void RuleEdit::apply(const FlowMod& mod) {
  using Command = FlowMod::Command;
  const bool strict = mod.command == Command::kModifyStrict || mod.command == Command::kDeleteStrict;
  switch (mod.command) {
    case Command::kAdd:
      add(mod, table_of(mod));
      break;
    case Command::kModify:
    case Command::kModifyStrict: {
      FlowMod filter = mod;
      filter.table = table_of(mod);
      filter.out_port.reset();  // OpenFlow: selects on delete only
      for (const RuleRef& rule : select_rules(bridge_, filter, strict, version_)) modify(mod, *filter.table, rule);
      break;
    }
    case Command::kDelete:
    case Command::kDeleteStrict: {
      FlowMod filter = mod;
      if (strict) filter.table = table_of(mod);
      for (const RuleRef& rule : select_rules(bridge_, filter, strict, version_)) remove(*rule);
      break;
    }
  }
}

void RuleEdit::replace(std::span<const FlowMod> rules) {
  std::unordered_set<const Rule*> wanted;
  for (const FlowMod& mod : rules) {
    const std::uint8_t number = table_of(mod);
    const RuleRef old_rule = table(number).find(mod.match, mod.priority, version_);
    if (old_rule != nullptr && old_rule->cookie == mod.cookie && same_actions(old_rule->actions, mod.actions)) {
      wanted.insert(old_rule.get());
      continue;
    }
    add(mod, number);
    wanted.insert(table(number).find(mod.match, mod.priority, version_).get());
  }
  for (const RuleRef& rule : select_rules(bridge_, FlowMod{}, false, version_))
    if (!wanted.contains(rule.get())) remove(*rule);
}

BridgeState RuleEdit::commit() {
  for (const auto& rules : bridge_.tables)
    if (rules != nullptr) rules->publish();
  committed_ = true;
  return bridge_;
}

Change RuleEdit::change() const {
  Change change = change_;
  if (change.all) change.matches.clear();
  return change;
}

void RuleEdit::add(const FlowMod& mod, std::uint8_t number) {
  if (const RuleRef old_rule = table(number).find(mod.match, mod.priority, version_)) remove(*old_rule);
  insert(make_rule(mod, number, now_));
}

// The rule stays what it is but for its actions; being immutable, it is replaced by one that takes its counters over.
void RuleEdit::modify(const FlowMod& mod, std::uint8_t number, const RuleRef& rule) {
  if (same_actions(rule->actions, mod.actions)) return;
  FlowMod changed;
  changed.priority = rule->priority;
  changed.cookie = rule->cookie;
  changed.match = rule->match;
  changed.actions = mod.actions;
  auto successor = make_rule(changed, number, rule->created);
  const std::uint64_t packets = rule->packets.load(std::memory_order_relaxed);
  const std::uint64_t bytes = rule->bytes.load(std::memory_order_relaxed);
  successor->packets.store(packets, std::memory_order_relaxed);
  successor->bytes.store(bytes, std::memory_order_relaxed);
  remove(*rule);
  insert(successor);
  modified_.push_back({rule, successor, packets, bytes});
}

void RuleEdit::insert(RuleRef rule) {
  changed_ = true;
  affects(rule->match);
  Classifier& rules = table(rule->table);
  rules.insert(std::move(rule), version_);
}

void RuleEdit::remove(const Rule& rule) {
  changed_ = true;
  affects(rule.match);
  table(rule.table).remove(rule, version_);
}

void RuleEdit::affects(const Match& match) {
  if (change_.all) return;
  Match in_datapath = match;
  if (match.mask.in_port == ~std::uint32_t{0}) {
    const BridgePort* port = bridge_.find(PortNo{match.value.in_port});
    if (port == nullptr) return;  // no packet arrives there
    in_datapath.value.in_port = port->dp.value;
  } else {
    in_datapath.value.in_port = in_datapath.mask.in_port = 0;
  }
  // A replaced rule's match comes twice in a row.
  if (!change_.matches.empty() && same_match(change_.matches.back(), in_datapath)) return;
  change_.matches.push_back(in_datapath);
  change_.all = change_.matches.size() > kMaxMatches;
}

Classifier& RuleEdit::table(std::uint8_t number) {
  auto& rules = bridge_.tables[number];
  if (rules == nullptr) rules = std::make_shared<Classifier>();
  return *rules;
}

}  // namespace shunt
