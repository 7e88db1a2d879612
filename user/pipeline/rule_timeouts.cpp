// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/rule_timeouts.h"

#include <algorithm>
#include <chrono>
#include <variant>

#include "user/pipeline/action_walk.h"

namespace shunt {

namespace {

constexpr std::chrono::seconds kFinInterval{1};

}  // namespace

std::optional<RuleEnd> end_of(const Rule& rule) {
  const std::chrono::seconds idle{rule.idle_timeout.load(std::memory_order_relaxed)};
  const std::chrono::seconds hard{rule.hard_timeout.load(std::memory_order_relaxed)};
  const TimePoint modified =
      std::max(rule.created, TimePoint{TimePoint::duration{rule.modified.load(std::memory_order_relaxed)}});
  std::optional<RuleEnd> end;
  if (hard.count() != 0) end = RuleEnd{modified + hard, RemovedReason::kHardTimeout};
  if (idle.count() != 0) {
    const TimePoint when = std::max(rule.created, rule.counters.used()) + idle;
    if (!end || when < end->when) end = RuleEnd{when, RemovedReason::kIdleTimeout};
  }
  return end;
}

void RuleTimeouts::add(const RuleRef& rule, TimePoint now) {
  const bool by_fin =
      any_action(rule->actions, [](const Action& a) { return std::holds_alternative<FinTimeoutAction>(a); });
  if (!by_fin && !end_of(*rule)) return;
  enqueue(rules_.insert_or_assign(rule.get(), Entry{rule, {}, by_fin}).first->second, now);
}

void RuleTimeouts::remove(const Rule& rule) {
  const auto found = rules_.find(&rule);
  if (found == rules_.end()) return;
  dequeue(found->second);
  rules_.erase(found);
}

std::optional<TimePoint> RuleTimeouts::next() const {
  if (queue_.empty()) return std::nullopt;
  return queue_.begin()->first;
}

std::vector<RemovedRule> RuleTimeouts::due(TimePoint now) {
  std::vector<Entry*> asked;
  while (!queue_.empty() && queue_.begin()->first <= now) {
    asked.push_back(&rules_.at(queue_.begin()->second));
    dequeue(*asked.back());
  }
  std::vector<RemovedRule> due;
  for (Entry* entry : asked) {
    if (const auto end = end_of(*entry->rule); end && end->when <= now) due.push_back({entry->rule, end->reason});
    enqueue(*entry, now);
  }
  return due;
}

void RuleTimeouts::enqueue(Entry& entry, TimePoint now) {
  const auto end = end_of(*entry.rule);
  entry.ask = end ? end->when : now + kFinInterval;
  if (entry.by_fin) entry.ask = std::min(entry.ask, now + kFinInterval);
  queue_.emplace(entry.ask, entry.rule.get());
  ranks_[entry.rule->table].insert(rank_of(entry));
}

void RuleTimeouts::dequeue(const Entry& entry) {
  ranks_[entry.rule->table].erase(rank_of(entry));
  queue_.erase({entry.ask, entry.rule.get()});
}

}  // namespace shunt
