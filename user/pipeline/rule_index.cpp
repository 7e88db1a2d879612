// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/rule_index.h"

#include <variant>

#include "user/pipeline/action_walk.h"

namespace shunt {

namespace {

template <typename Counts, typename Id>
void drop_one(Counts& counts, const Id& id) {
  const auto found = counts.find(id);
  if (found != counts.end() && --found->second == 0) counts.erase(found);
}

template <typename UsersById>
void add_user(UsersById& users, std::uint32_t id, const RuleRef& rule) {
  auto& of_id = users[id];
  ++of_id.references;
  of_id.rules.insert(rule);
}

template <typename UsersById>
void drop_user(UsersById& users, std::uint32_t id, const RuleRef& rule) {
  const auto found = users.find(id);
  if (found == users.end()) return;
  found->second.rules.erase(rule);
  if (--found->second.references == 0) users.erase(found);
}

}  // namespace

void RuleIndex::add(const RuleRef& rule, TimePoint now) {
  for_each_group(rule->actions, [&](std::uint32_t group) { add_user(groups_, group, rule); });
  for_each_meter(rule->actions, [&](std::uint32_t meter) { add_user(meters_, meter, rule); });
  walk_actions(rule->actions, [&](const Action& action) {
    const auto* learn = std::get_if<LearnAction>(&action);
    if (learn != nullptr && learn->delete_learned) ++learners_[{learn->table, learn->cookie}];
    return true;
  });
  timeouts_.add(rule, now);
}

void RuleIndex::remove(const Rule& rule) {
  const RuleRef ref = rule.shared_from_this();
  for_each_group(rule.actions, [&](std::uint32_t group) { drop_user(groups_, group, ref); });
  for_each_meter(rule.actions, [&](std::uint32_t meter) { drop_user(meters_, meter, ref); });
  walk_actions(rule.actions, [&](const Action& action) {
    const auto* learn = std::get_if<LearnAction>(&action);
    if (learn != nullptr && learn->delete_learned) drop_one(learners_, Learned{learn->table, learn->cookie});
    return true;
  });
  timeouts_.remove(rule);
}

std::uint32_t RuleIndex::learners(const Learned& learned) const {
  const auto found = learners_.find(learned);
  return found == learners_.end() ? 0 : found->second;
}

}  // namespace shunt
