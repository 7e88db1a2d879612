// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/rule_walk.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "user/base/error.h"
#include "user/pipeline/rule_edit.h"

namespace shunt {
namespace {

constexpr std::size_t kPiece = 4096;  // rules: less than a millisecond

const BridgeState& bridge_of(const SwitchState& state, BridgeId id) {
  if (const BridgeState* found = state.find(id)) return *found;
  throw Error("no bridge with id {}", id.value);
}

}  // namespace

RuleWalk::RuleWalk(Switch& config, BridgeId bridge, const FlowMod& filter)
    : config_{config},
      state_{config.state()},
      bridge_{bridge_of(*state_, bridge)},
      filter_{filter},
      table_{filter.table ? *filter.table : std::size_t{0}},
      end_{filter.table ? table_ + 1 : kTableCount} {
  config_.hold(state_->version);
}

bool RuleWalk::next(std::vector<RuleRef>& selected) {
  const std::size_t before = selected.size();
  bool more = false;
  for (; table_ < end_ && !more && selected.size() == before; table_ += more ? 0 : 1) {
    if (bridge_.tables[table_] == nullptr) continue;
    more = bridge_.tables[table_]->select_some(filter_.match, state_->version, place_, kPiece, selected);
    if (!more) place_ = {};
  }
  const auto fresh = selected.begin() + static_cast<std::ptrdiff_t>(before);
  selected.erase(
      std::remove_if(fresh, selected.end(), [&](const RuleRef& rule) { return !selects_beside_match(filter_, *rule); }),
      selected.end());
  return table_ < end_;
}

void put_in_order(std::vector<RuleRef>& rules) {
  // A million rules are looked at once each, and not each time that two of them are compared.
  struct Ranked {
    std::uint32_t rank;  // the table; then the priority, greatest first
    TimePoint created;
    RuleRef rule;
  };
  std::vector<Ranked> ranked;
  ranked.reserve(rules.size());
  for (RuleRef& rule : rules) {
    const auto rank = std::uint32_t{rule->table} << 16 | (0xffffu - rule->priority);
    ranked.push_back({rank, rule->created, std::move(rule)});
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const Ranked& a, const Ranked& b) {
    return std::tie(a.rank, a.created) < std::tie(b.rank, b.created);
  });
  std::ranges::transform(ranked, rules.begin(), [](Ranked& each) { return std::move(each.rule); });
}

}  // namespace shunt
