// SPDX-License-Identifier: Apache-2.0
// Translation of the pipeline: tables and their misses, rules, lists of actions, the action set, clones.
#include <fmt/format.h>

#include "user/pipeline/translator.h"

namespace shunt {

namespace {

// The first one. Its kind lies behind what it holds.
void prefetch(const ActionList& actions) noexcept {
  if (actions.empty()) return;
  const auto* first = reinterpret_cast<const std::byte*>(&actions.front());
  __builtin_prefetch(first);
  __builtin_prefetch(first + sizeof(Action) - 1);
}

}  // namespace

void Translator::enter_table(std::uint8_t table, std::uint32_t in_port, bool honor_miss, bool may_packet_in) {
  if (!may_go_deeper()) return;
  const std::uint8_t from = table_;
  // Going on to later tables ends by itself.
  const bool deepens = table <= from && resubmits_ != 0;
  depth_ += deepens;
  for (;; ++table) {
    table_ = table;
    if (const Rule* rule = look_up(table, in_port)) {
      ++resubmits_;
      run_rule(*rule);
      break;
    }
    if (stop_ || !honor_miss) break;
    const auto config = bridge_->table_configs->find(table);
    const bool goes_on = config != bridge_->table_configs->end() && config->second.miss == TableConfig::Miss::kContinue;
    if (goes_on && table + 1 < kTableCount) continue;
    miss(table, may_packet_in);
    break;
  }
  depth_ -= deepens;
  table_ = from;
}

bool Translator::may_go_deeper() {
  if (stop_) return false;
  if (depth_ < kMaxDepth && resubmits_ < kMaxResubmits) return true;
  if (depth_ >= kMaxDepth)
    note([] { return fmt::format("rules resubmit more than {} deep", kMaxDepth); });
  else
    note([] { return fmt::format("rules resubmit more than {} times", kMaxResubmits); });
  give_up(SHUNT_DROP_RESUBMIT_LIMIT);
  return false;
}

// Not inlined: what a look-up needs of the stack must not stay there while its rule runs, for rules nest.
[[gnu::noinline]] const Rule* Translator::look_up(std::uint8_t table, std::uint32_t in_port) {
  result_.dependencies.tables.set(table);
  if (in_port != original_in_port_) rewritten_.in_port = ~std::uint32_t{0};
  if (!is_zero(rewritten_)) add_mask(result_.dependencies.rewritten.make(), rewritten_);

  const TableCounters& counters = (*bridge_->table_counters)[table];
  credit({bridge_->table_counters, &counters.lookups});
  const Rule* rule = nullptr;
  const std::uint32_t own_in_port = std::exchange(working_.in_port, in_port);
  if (const Classifier* classifier = bridge_->tables[table].get()) {
    PipelineMask examined{};
    rule = classifier->lookup(working_, state_.version, examined);
    if (rule != nullptr) prefetch(rule->actions);
    examine(examined);
    if (stop_) {  // it hangs on what only the packet says
      working_.in_port = own_in_port;
      return nullptr;
    }
  }
  if (observer_ != nullptr) observer_->entered_table(table, working_, rule, nesting_);
  working_.in_port = own_in_port;
  if (rule == nullptr) return nullptr;
  credit({bridge_->table_counters, &counters.matches});
  result_.rules.push_back(rule->shared_from_this());
  return rule;
}

void Translator::miss(std::uint8_t table, bool may_packet_in) {
  fail(SHUNT_DROP_TABLE_MISS);
  const auto config = bridge_->table_configs->find(table);
  const bool to_all = config != bridge_->table_configs->end() && config->second.miss == TableConfig::Miss::kController;
  if (!to_all && !(table == 0 && bridge_->misses_to_old)) return;
  const BridgePort* ingress = find_port(PortNo{original_in_port_});
  if (!may_packet_in || (ingress != nullptr && !ingress->packet_in))
    return note([] { return "a miss of this port's packets goes to no controller"; });
  const Rule* rule = std::exchange(rule_, nullptr);
  ControllerAction controller;
  controller.reason = PacketInReason::kNoMatch;
  send_to_controller(controller);
  result_.follow_ups.make().controllers.back().only_old = !to_all;
  rule_ = rule;
}

void Translator::run_rule(const Rule& rule) {
  const Rule* before = std::exchange(rule_, &rule);
  if (rule.actions.empty()) fail(SHUNT_DROP_RULE);
  run_list(rule.actions);
  rule_ = before;
}

void Translator::run_list(std::span<const Action> actions) {
  const bool around = enter_list();
  for (const Action& action : actions) {
    if (run_next(action, &action != &actions.back())) continue;
    keep_rest({&action, &actions.back() + 1});
    break;
  }
  end_list(around);
}

void Translator::run_set(const ActionSet& set) {
  std::vector<const Action*> actions = set.in_order();
  const bool around = enter_list();
  for (const Action*& action : actions) {
    if (run_next(*action, action != actions.back())) continue;
    for (const Action** left = &action; left != actions.data() + actions.size(); ++left) keep_rest({*left, 1});
    break;
  }
  end_list(around);
}

// Where a pause ended the list that runs: for whoever resumes.
void Translator::keep_rest(std::span<const Action> actions) {
  if (pausing_ == nullptr || actions.empty()) return;
  pausing_->parts.push_back(
      {rule_ == nullptr ? nullptr : rule_->shared_from_this(), table_, {actions.begin(), actions.end()}});
}

bool Translator::enter_list() {
  pending_ += more_;
  return more_;
}

void Translator::end_list(bool around) {
  more_ = around;
  pending_ -= around;
  leave_list_ = false;
}

bool Translator::run_next(const Action& action, bool more) {
  if (stop_ || exit_ || leave_list_) return false;
  if (result_.actions.size() > kMaxActions) {
    note([] { return fmt::format("more than {} datapath actions", kMaxActions); });
    give_up(SHUNT_DROP_TRANSLATION);
    return false;
  }
  if (observer_ != nullptr) observer_->before_action(action, working_, nesting_);
  more_ = more;
  std::visit([&](const auto& concrete) { run(concrete); }, static_cast<const Action::variant&>(action));
  return true;
}

// `exit` does not keep it from running (ovs-actions(7)).
void Translator::run_action_set() {
  exit_ = false;
  if (action_set_.empty()) return;
  // What rules that it resubmits to write into it comes too late.
  const ActionSet set = std::exchange(action_set_, {});
  const bool nested = std::exchange(in_action_set_, true);
  run_set(set);
  in_action_set_ = nested;
  exit_ = false;
}

void Translator::run(const GotoTableAction& go) {
  if (go.table > table_) return enter_table(go.table, working_.in_port, true, true);
  note([] { return "goto_table goes to later tables only"; });
  fail(SHUNT_DROP_BAD_ACTION);
}

void Translator::run(const ResubmitAction& resubmit) {
  const bool same_port = !resubmit.in_port || *resubmit.in_port == kPortInPort;
  ++nesting_;
  enter_table(resubmit.table.value_or(table_), same_port ? working_.in_port : resubmit.in_port->value, false, false);
  --nesting_;
}

void Translator::run(const WriteActionsAction& write_actions) {
  action_set_.write(write_actions.actions);
  write_field(field(FieldId::kActsetOutput), working_, action_set_.output().value);
}

void Translator::run(const ClearActionsAction&) {
  action_set_.clear();
  write_field(field(FieldId::kActsetOutput), working_, kPortUnset.value);
}

void Translator::run(const CloneAction& clone) {
  if (!may_go_deeper()) return;
  const ActionSet action_set = action_set_;
  const std::vector<StackEntry> stack = stack_;
  const std::size_t stack_bytes = stack_bytes_;
  open_scope();
  ++depth_;
  ++nesting_;
  run_list(clone.actions);
  const bool exited = exit_ && pausing_ == nullptr;
  run_action_set();  // a clone is a packet of its own until its end
  pausing_.reset();
  exit_ = exited;  // but for `exit`, which ends what is around it, too (as Open vSwitch has it)
  --nesting_;
  --depth_;
  close_scope();
  action_set_ = action_set;
  stack_ = stack;
  stack_bytes_ = stack_bytes;
}

void Translator::run(const ExitAction&) { exit_ = true; }

void Translator::run(const ConjunctionAction&) {}

}  // namespace shunt
