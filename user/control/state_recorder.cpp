// SPDX-License-Identifier: Apache-2.0
#include "user/control/state_recorder.h"

#include <algorithm>
#include <utility>

#include "user/pipeline/group_text.h"
#include "user/pipeline/meter_text.h"

namespace shunt {
namespace {

// Calls `put` for what came or changed and `remove` for what went; both maps ascend by the same keys.
template <typename Map, typename Put, typename Remove>
void compare(const Map* before, const Map& now, Put&& put, Remove&& remove) {
  if (before == &now) return;
  for (const auto& [key, value] : now)
    if (const auto old = before == nullptr ? typename Map::const_iterator{} : before->find(key);
        before == nullptr || old == before->end() || !(old->second == value))
      put(key, value);
  if (before == nullptr) return;
  for (const auto& [key, value] : *before)
    if (!now.contains(key)) remove(key);
}

}  // namespace

void StateRecorder::begin(const SwitchStateRef& state, std::int64_t next_rule) {
  recorded_ = state;
  next_rule_ = next_rule;
}

void StateRecorder::record(const SwitchStateRef& state) {
  if (state == recorded_) return;
  if (recorded_ != nullptr)
    for (const auto& bridge : recorded_->bridges)
      if (state->find(bridge->id) == nullptr) {
        store_.remove_bridge(bridge->id.value);
        fdb_.erase(bridge->id);
        openflow_.erase(bridge->id);
        std::erase_if(touched_, [&](const auto& touched) { return touched.second == bridge->id; });
      }
  for (const auto& bridge : state->bridges) record_bridge(recorded(bridge->id), *bridge);
  recorded_ = state;
}

void StateRecorder::record_bridge(const BridgeState* before, const BridgeState& now) {
  if (before == &now) return;
  const std::uint32_t id = now.id.value;
  if (before == nullptr || before->name != now.name || before->flood_vlans != now.flood_vlans) put_bridge(now);
  compare(
      before == nullptr ? nullptr : before->table_configs.get(), *now.table_configs,
      [&](std::uint8_t table, const TableConfig& config) {
        store_.put(StateTable::kTables, id, table, format_stored(config));
      },
      [&](std::uint8_t table) { store_.remove(StateTable::kTables, id, table); });
  compare(
      before == nullptr ? nullptr : before->meters.get(), *now.meters,
      [&](std::uint32_t number, const MeterRef& meter) {
        store_.put(StateTable::kMeters, id, number, format_meter_spec({.config = meter->config}));
      },
      [&](std::uint32_t number) { store_.remove(StateTable::kMeters, id, number); });
  compare(
      before == nullptr ? nullptr : before->groups.get(), *now.groups,
      [&](std::uint32_t number, const GroupRef& group) {
        store_.put(StateTable::kGroups, id, number, format_group(*group));
      },
      [&](std::uint32_t number) { store_.remove(StateTable::kGroups, id, number); });
}

void StateRecorder::put_bridge(const BridgeState& bridge) {
  StoredBridge stored;
  stored.name = bridge.name;
  stored.flood_vlans = bridge.flood_vlans;
  if (const auto fdb = fdb_.find(bridge.id); fdb != fdb_.end()) {
    stored.mac_limit = fdb->second.limit;
    stored.mac_ageing = fdb->second.ageing;
  }
  if (const auto openflow = openflow_.find(bridge.id); openflow != openflow_.end()) stored.openflow = openflow->second;
  store_.put(StateTable::kBridges, bridge.id.value, bridge.id.value, format_stored(stored));
}

void StateRecorder::set_fdb(BridgeId bridge, std::size_t limit, std::chrono::seconds ageing) {
  fdb_[bridge] = {.size = 0, .limit = limit, .ageing = ageing};
  if (const BridgeState* state = recorded(bridge)) put_bridge(*state);
}

void StateRecorder::set_openflow(BridgeId bridge, const OpenFlowSettings& settings) {
  openflow_[bridge] = settings;
  if (const BridgeState* state = recorded(bridge)) put_bridge(*state);
}

void StateRecorder::put_mac(BridgeId bridge, const FdbEntry& entry) {
  store_.put(StateTable::kMacs, bridge.value, id_of(entry.key), format_stored(entry.port, entry.is_static));
}

void StateRecorder::remove_mac(BridgeId bridge, FdbKey key) {
  store_.remove(StateTable::kMacs, bridge.value, id_of(key));
}

void StateRecorder::put_port(BridgeId bridge, DpPort dp, const StoredPort& port) {
  std::string text = format_stored(port);
  std::string& told = ports_[dp];
  if (told == text) return;
  told = text;
  store_.put(StateTable::kPorts, bridge.value, dp.value, std::move(text));
}

void StateRecorder::remove_port(BridgeId bridge, DpPort dp) {
  ports_.erase(dp);
  store_.remove(StateTable::kPorts, bridge.value, dp.value);
}

void StateRecorder::record_touched() {
  for (const auto& [rule, bridge] : std::exchange(touched_, {})) put_rule(bridge, rule);
}

// Formatted by the store's thread; what it holds of the rule does not change but for its timeouts.
void StateRecorder::put_rule(BridgeId bridge, const RuleRef& rule) {
  if (rule->row == 0) rule->row = next_rule_++;
  const StateClock& clock = store_.clock();
  const TimePoint modified{TimePoint::duration{rule->modified.load(std::memory_order_relaxed)}};
  const TimePoint used = rule->counters.used();
  store_.put(StateTable::kRules, bridge.value, rule->row, [rule] { return format_stored(*rule); },
             {clock.of(rule->created), clock.of(modified), used == TimePoint{} ? 0 : clock.of(used)});
}

void StateRecorder::forget() {
  recorded_.reset();
  ports_.clear();
  touched_.clear();
}

void StateRecorder::rule_added(BridgeId bridge, const RuleRef& rule) { put_rule(bridge, rule); }

void StateRecorder::rule_removed(BridgeId bridge, const Rule& rule, std::optional<RemovedReason>) {
  if (rule.row == 0) return;
  store_.remove(StateTable::kRules, bridge.value, rule.row);
  if (!touched_.empty()) touched_.erase(rule.shared_from_this());
}

void StateRecorder::rule_touched(BridgeId bridge, const RuleRef& rule) {
  if (rule->hard_timeout.load(std::memory_order_relaxed) != 0) touched_.emplace(rule, bridge);
}

}  // namespace shunt
