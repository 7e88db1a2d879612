// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/switch.h"

#include <algorithm>
#include <atomic>
#include <tuple>
#include <utility>

#include "user/base/of_error.h"
#include "user/pipeline/action_walk.h"
#include "user/pipeline/group_edit.h"
#include "user/pipeline/meter_edit.h"
#include "user/pipeline/rule_check.h"
#include "user/pipeline/rule_edit.h"
#include "user/pipeline/rule_index.h"
#include "user/pipeline/rule_walk.h"

namespace shunt {

namespace {

BridgeState with_ports(BridgeState bridge, std::vector<BridgePort> ports) {
  bridge.ports = std::move(ports);
  std::sort(bridge.ports.begin(), bridge.ports.end(),
            [](const BridgePort& a, const BridgePort& b) { return a.number < b.number; });
  bridge.index_of.fill(0);
  for (std::size_t i = 0; i < bridge.ports.size(); ++i)
    bridge.index_of[bridge.ports[i].dp.value] = static_cast<std::uint16_t>(i + 1);
  return bridge;
}

void check_number(const BridgePort& port) {
  if (is_port_number(port.number)) return;
  throw Error("port '{}': number {} is reserved: 1 to {} are free to use", port.name, port.number.value, kMaxPortNo);
}

void check_vlan(const BridgePort& port) {
  const VlanConfig& vlan = port.vlan;
  const bool tunnel = vlan.mode == VlanMode::kDot1qTunnel;
  const auto refuse = [&](const char* why) { throw Error("port '{}': {}", port.name, why); };
  if (vlan.tag && vlan.tag->value > 4094)
    throw Error("port '{}': VLAN {}: VLANs are 0 to 4094", port.name, vlan.tag->value);
  if (vlan.mode == VlanMode::kTrunk && vlan.tag) refuse("a trunk port has no VLAN of its own (tag)");
  if (vlan.mode != VlanMode::kTrunk && !vlan.tag) refuse("its VLAN mode wants a VLAN (tag)");
  if ((vlan.is_access() || tunnel) && vlan.trunks) refuse("either a port of one VLAN (tag) or a trunk port (trunks)");
  if (!tunnel && vlan.cvlans) refuse("customer VLANs (cvlans) are for dot1q-tunnel ports");
  if (vlan.qinq_ethtype != 0x88a8 && vlan.qinq_ethtype != 0x8100) refuse("qinq-ethtype is 802.1ad or 802.1q");
}

Change affects_all(BridgeId bridge, std::uint64_t version) {
  Change change;
  change.version = version;
  change.bridge = bridge;
  change.all = true;
  return change;
}

// Who looked at the port, and whoever walked the list of ports (kPortAll): floods, for one.
Change affects_port(BridgeId bridge, std::uint64_t version, PortNo port) {
  Change change;
  change.version = version;
  change.bridge = bridge;
  change.tags = tag_of(DependencyKind::kPort, port.value) | tag_of(DependencyKind::kPort, kPortAll.value);
  return change;
}

}  // namespace

const BridgePort* BridgeState::find(PortNo number) const {
  const auto at = std::lower_bound(ports.begin(), ports.end(), number,
                                   [](const BridgePort& port, PortNo wanted) { return port.number < wanted; });
  return at != ports.end() && at->number == number ? &*at : nullptr;
}

const BridgePort* BridgeState::find(DpPort dp) const {
  if (dp.value >= index_of.size() || index_of[dp.value] == 0) return nullptr;
  return &ports[index_of[dp.value] - 1u];
}

Switch::Switch() : meter_slots_{std::make_unique<MeterSlots>()} {
  publish(std::vector<std::shared_ptr<const BridgeState>>{});
}
Switch::~Switch() = default;

SwitchStateRef Switch::state() const {
  const std::lock_guard lock{state_mutex_};
  return state_;
}

BridgeState Switch::make_bridge(BridgeId id, const std::string& name) const {
  if (name.empty()) throw Error("a bridge needs a name");
  if (find_bridge(name) != nullptr) throw Error("bridge '{}' exists already", name);
  BridgeState added;
  added.id = id;
  added.name = name;
  added.fdb = std::make_shared<Fdb>();
  added.table_configs = std::make_shared<const std::map<std::uint8_t, TableConfig>>();
  added.table_counters = std::make_shared<const std::array<TableCounters, kTableCount>>();
  added.groups = std::make_shared<const std::map<std::uint32_t, GroupRef>>();
  added.meters = std::make_shared<const std::map<std::uint32_t, MeterRef>>();
  return added;
}

BridgeId Switch::add_bridge(const std::string& name) {
  const BridgeState added = make_bridge(BridgeId{next_bridge_}, name);
  auto index = std::make_unique<RuleIndex>();
  RuleEdit edit{added, *index, version() + 1, TimePoint{Clock::now()}};
  FlowMod normal;
  normal.priority = 0;
  normal.actions = {OutputAction{kPortNormal}};
  edit.apply(normal);
  auto bridges = state_->bridges;
  bridges.push_back(std::make_shared<BridgeState>(edit.commit()));
  indexes_[added.id] = std::move(index);
  publish(std::move(bridges));
  note(edit);
  ++next_bridge_;
  return added.id;
}

void Switch::restore_bridge(BridgeId id, const std::string& name) {
  if (indexes_.contains(id)) throw Error("bridge '{}': its id {} is taken", name, id.value);
  auto bridges = state_->bridges;
  bridges.push_back(std::make_shared<BridgeState>(make_bridge(id, name)));
  indexes_[id] = std::make_unique<RuleIndex>();
  publish(std::move(bridges));
  next_bridge_ = std::max(next_bridge_, id.value + 1);
}

void Switch::restore_rules(BridgeId id, std::span<const RestoredRule> rules) {
  RuleEdit edit{bridge(id), index(id), version() + 1, TimePoint{Clock::now()}};
  for (const RestoredRule& rule : rules) edit.restore(rule);
  publish(edit.commit());
  note(edit);
}

Change Switch::del_bridge(const std::string& name) {
  const BridgeState* old = find_bridge(name);
  if (old == nullptr) throw Error("no bridge '{}'", name);
  if (!old->ports.empty()) throw Error("bridge '{}' has {} ports: detach them first", name, old->ports.size());
  const BridgeId id = old->id;
  const auto meters = old->meters;
  auto bridges = state_->bridges;
  std::erase_if(bridges, [&](const auto& bridge) { return bridge->id == id; });
  publish(std::move(bridges));
  for (const auto& [number, meter] : *meters) meter_slots_->retire(meter->slot, version());
  indexes_.erase(id);
  return affects_all(id, version());
}

Change Switch::add_port(BridgeId id, const BridgePort& port) {
  const BridgeState& old = bridge(id);
  check_number(port);
  check_vlan(port);
  if (port.dp.value == 0 || port.dp.value >= SHUNT_MAX_PORTS)
    throw Error("port '{}': datapath port {}: they are 1 to {}", port.name, port.dp.value, SHUNT_MAX_PORTS - 1);
  if (const BridgeState* owner = state_->bridge_of[port.dp.value])
    throw Error("port '{}': datapath port {} is port '{}' of bridge '{}'", port.name, port.dp.value,
                owner->find(port.dp)->name, owner->name);
  if (const BridgePort* taken = old.find(port.number))
    throw Error("port '{}': number {} is taken by port '{}'", port.name, port.number.value, taken->name);
  for (const auto& other : state_->bridges)
    for (const BridgePort& taken : other->ports)
      if (taken.name == port.name) throw Error("port '{}' is attached already, to bridge '{}'", port.name, other->name);

  auto ports = old.ports;
  ports.push_back(port);
  publish(with_ports(old, std::move(ports)));
  return affects_port(id, version(), port.number);
}

Change Switch::change_by_port(BridgeId id, PortNo number) { return affects_port(id, 0, number); }

Change Switch::remove_port(BridgeId id, PortNo number) {
  const BridgeState& old = bridge(id);
  if (old.find(number) == nullptr) throw Error("bridge '{}' has no port {}", old.name, number.value);
  auto ports = old.ports;
  std::erase_if(ports, [&](const BridgePort& port) { return port.number == number; });
  publish(with_ports(old, std::move(ports)));
  return affects_port(id, version(), number);
}

Change Switch::update_port(BridgeId id, const BridgePort& port) {
  const BridgeState& old = bridge(id);
  const BridgePort* current = old.find(port.number);
  if (current == nullptr) throw Error("bridge '{}' has no port {}", old.name, port.number.value);
  if (current->dp != port.dp) throw Error("port '{}': its datapath port does not change", port.name);
  check_vlan(port);
  if (*current == port) return Change{.version = version(), .bridge = id};
  // A name forwards nothing.
  BridgePort renamed = *current;
  renamed.name = port.name;
  const bool same_vlans = current->vlan == port.vlan;
  const bool same_forwarding = renamed == port;
  auto ports = old.ports;
  ports[static_cast<std::size_t>(current - old.ports.data())] = port;
  const std::uint64_t next = version() + 1;
  Change change = same_forwarding ? Change{.version = next, .bridge = id}
                  : same_vlans    ? affects_port(id, next, port.number)
                                  : affects_all(id, next);
  if (check_) check_(change);
  publish(with_ports(old, std::move(ports)));
  return change;
}

Change Switch::apply(BridgeId id, std::span<const FlowMod> mods, TimePoint now) {
  RuleEdit edit{bridge(id), index(id), version() + 1, now};
  for (const FlowMod& mod : mods) edit.apply(mod);
  return commit(edit);
}

// Groups are there for the rules behind them in the list, and gone for those behind their end.
Change Switch::apply(BridgeId id, std::span<const Modification> mods, TimePoint now) {
  RuleEdit edit{bridge(id), index(id), version() + 1, now};
  edit.limit_search(kMaxSearchedRules);
  std::optional<GroupEdit> groups;
  for (const Modification& mod : mods) {
    if (const auto* group = std::get_if<GroupMod>(&mod)) {
      if (!groups) groups.emplace(edit);
      groups->apply(*group);
    } else {
      if (groups) groups->finish();
      edit.apply(std::get<FlowMod>(mod));
    }
  }
  if (groups) groups->finish();
  return commit(edit, groups ? &*groups : nullptr);
}

Change Switch::replace(BridgeId id, std::span<const FlowMod> rules, TimePoint now) {
  RuleEdit edit{bridge(id), index(id), version() + 1, now};
  edit.replace(rules);
  return commit(edit);
}

Change Switch::apply_group(BridgeId id, std::span<const GroupMod> mods, TimePoint now) {
  RuleEdit edit{bridge(id), index(id), version() + 1, now};
  GroupEdit groups{edit};
  for (const GroupMod& mod : mods) groups.apply(mod);
  groups.finish();
  return commit(edit, &groups);
}

Change Switch::apply_meter(BridgeId id, std::span<const MeterMod> mods, TimePoint now) {
  RuleEdit edit{bridge(id), index(id), version() + 1, now};
  MeterEdit meters{edit, *meter_slots_};
  for (const MeterMod& mod : mods) meters.apply(mod);
  meters.finish();
  if (write_meter_)
    for (const MeterRef& meter : meters.fresh()) write_meter_(*meter);
  Change change = commit(edit);
  meters.commit();
  return change;
}

Change Switch::set_table(BridgeId id, std::uint8_t table, const TableConfig& config) {
  if (table >= kTableCount)
    throw OfError(OfErrorCode::kBadTable, "table {}: tables are 0 to {}", table, kTableCount - 1);
  RuleEdit edit{bridge(id), index(id), version() + 1, TimePoint{Clock::now()}};
  auto configs = std::make_shared<std::map<std::uint8_t, TableConfig>>(*edit.bridge().table_configs);
  const TableConfig before = std::exchange((*configs)[table], config);
  if (config == TableConfig{}) configs->erase(table);
  edit.bridge().table_configs = std::move(configs);
  if (before == config) return commit(edit);
  edit.mark_changed();
  if (before.miss != config.miss) edit.mark_table(table);
  edit.evict_surplus(table);
  return commit(edit);
}

Change Switch::set_misses_to_old(BridgeId id, bool on) {
  if (bridge(id).misses_to_old == on) return Change{.version = version(), .bridge = id};
  RuleEdit edit{bridge(id), index(id), version() + 1, TimePoint{Clock::now()}};
  edit.bridge().misses_to_old = on;
  edit.mark_changed();
  edit.mark_table(0);
  return commit(edit);
}

Change Switch::set_flood_vlans(BridgeId id, const VlanSet& vlans) {
  BridgeState changed = bridge(id);
  if (changed.flood_vlans == vlans) return Change{.version = version(), .bridge = id};
  changed.flood_vlans = vlans;
  publish(std::move(changed));
  return affects_all(id, version());
}

// Rules of all bridges end at one version. The change names one bridge, or none for several.
Change Switch::expire(TimePoint now) {
  settle_counters();
  std::vector<std::unique_ptr<RuleEdit>> edits;
  for (auto& [id, rules] : indexes_) {
    const std::vector<RemovedRule> due = rules->timeouts().due(now);
    if (due.empty()) continue;
    auto& edit = edits.emplace_back(std::make_unique<RuleEdit>(bridge(id), *rules, version() + 1, now));
    for (const RemovedRule& rule : due) edit->remove(rule.rule, rule.reason);
    edit->finish();
  }
  if (edits.empty()) return Change{.version = version()};
  auto bridges = state_->bridges;
  Change all;
  for (const auto& edit : edits) {
    const BridgeId id = edit->bridge().id;
    for (auto& bridge : bridges)
      if (bridge->id == id) bridge = std::make_shared<const BridgeState>(edit->commit());
    Change change = edit->change();
    all.all = all.all || change.all;
    all.tags |= change.tags;
    all.rules.insert(all.rules.end(), change.rules.begin(), change.rules.end());
    all.removed.insert(all.removed.end(), change.removed.begin(), change.removed.end());
    if (edits.size() == 1) all.bridge = id;
  }
  publish(std::move(bridges));
  for (const auto& edit : edits) note(*edit);
  all.version = version();
  return all;
}

std::optional<TimePoint> Switch::next_expiry() const {
  std::optional<TimePoint> next;
  for (const auto& [id, rules] : indexes_)
    if (const auto own = rules->timeouts().next(); own && (!next || *own < *next)) next = own;
  return next;
}

// As Open vSwitch: to the rule that is there, learning is a modify that leaves its timeouts; the number of rules that
// count against the limit is that of the cookie in the table. delete_learned is known from the rule that learns.
Change Switch::learn(BridgeId id, const FlowMod& mod, std::uint32_t limit, const RuleRef& by, bool /*delete_learned*/,
                     TimePoint now) {
  const Change nothing{.version = version(), .bridge = id};
  if (std::none_of(state_->bridges.begin(), state_->bridges.end(), [&](const auto& b) { return b->id == id; }))
    return nothing;
  RuleEdit edit{bridge(id), index(id), version() + 1, now};
  if (by != nullptr && edit.find(by->table, by->match, by->priority) != by) return nothing;
  const std::uint8_t table = mod.table.value_or(0);
  FlowMod learned = mod;
  const RuleRef there = table < kTableCount ? edit.find(table, mod.match, mod.priority) : nullptr;
  if (there != nullptr) {
    if (there->actions == mod.actions && there->cookie == mod.cookie) {
      there->modified.store(now.time_since_epoch().count(), std::memory_order_relaxed);
      for (RuleObserver* observer : observers_) observer->rule_touched(id, there);
      return nothing;
    }
    learned.command = FlowMod::Command::kModifyStrict;
    learned.cookie_mask.reset();
    learned.new_cookie = mod.cookie;
  } else {
    learned.command = FlowMod::Command::kAdd;
    const Classifier* rules = table < kTableCount ? edit.bridge().tables[table].get() : nullptr;
    if (limit != 0 && rules != nullptr && rules->count(mod.cookie) >= limit) return nothing;
  }
  edit.apply(learned);
  return commit(edit);
}

Change Switch::commit(RuleEdit& edit, const GroupEdit* groups) {
  edit.finish();
  if (!edit.changed()) {
    (void)edit.commit();  // rules that were modified to what they are
    note(edit);
    return Change{.version = version(), .bridge = edit.bridge().id};
  }
  Change change = edit.change();
  if (check_) check_(change);
  publish(edit.commit());
  note(edit);
  if (groups != nullptr)
    for (const GroupEdit::Modified& group : groups->modified())
      successors_.push_back({version(),
                             group.old_group,
                             &group.old_group->counters,
                             {group.new_group, &group.new_group->counters},
                             group.packets,
                             group.bytes});
  return change;
}

void Switch::note(const RuleEdit& edit) {
  RuleIndex& rules = index(edit.bridge().id);
  for (const RuleEdit::Event& event : edit.events()) {
    if (event.added)
      rules.add(event.rule, edit.now());
    else
      rules.remove(*event.rule);
    for (RuleObserver* observer : observers_) {
      if (event.added)
        observer->rule_added(edit.bridge().id, event.rule);
      else
        observer->rule_removed(edit.bridge().id, *event.rule, event.reason);
    }
  }
  for (RuleObserver* observer : observers_)
    for (const RuleRef& rule : edit.touched()) observer->rule_touched(edit.bridge().id, rule);
  for (const RuleEdit::Modified& rule : edit.modified())
    successors_.push_back({version(),
                           rule.old_rule,
                           &rule.old_rule->counters,
                           {rule.new_rule, &rule.new_rule->counters},
                           rule.packets,
                           rule.bytes});
}

std::vector<RuleRef> Switch::list(BridgeId id, const FlowMod& filter) const {
  settle_counters();
  std::vector<RuleRef> rules = select_rules(bridge(id), filter, false, version());
  put_in_order(rules);
  return rules;
}

const BridgeState* Switch::find_bridge(const std::string& name) const {
  for (const auto& bridge : state_->bridges)
    if (bridge->name == name) return bridge.get();
  return nullptr;
}

std::map<std::uint32_t, std::uint32_t> Switch::group_references(BridgeId id) const {
  std::map<std::uint32_t, std::uint32_t> references;
  for (const auto& [number, group] : *bridge(id).groups) {
    references[number] += index(id).group_users(number).references;
    for (const BucketRef& bucket : group->buckets)
      for_each_group(bucket->actions, [&](std::uint32_t named) { ++references[named]; });
  }
  return references;
}

std::uint32_t Switch::meter_references(BridgeId id, std::uint32_t meter) const {
  return index(id).meter_users(meter).references;
}

// In the order of the changes, so that what passes through several successors arrives in one go.
void Switch::settle_counters() const {
  for (Successor& successor : successors_) {
    const std::uint64_t packets = successor.from->packets(), bytes = successor.from->bytes();
    if (packets == successor.packets && bytes == successor.bytes) continue;
    successor.to->add(packets - successor.packets, bytes - successor.bytes, successor.from->used());
    successor.packets = packets;
    successor.bytes = bytes;
  }
}

void Switch::collect(std::uint64_t version) {
  if (!held_.empty()) version = std::min(version, *held_.begin());
  std::erase_if(old_states_, [&](const SwitchStateRef& state) { return state->version < version; });
  for (const auto& bridge : state_->bridges)
    for (const auto& rules : bridge->tables)
      if (rules != nullptr) rules->collect(version, version_.load(std::memory_order_relaxed));
  meter_slots_->collect(version);
  // Who held the last other reference has credited before it let go: read after that was seen.
  std::vector<const void*> last_held;
  for (const Successor& successor : successors_)
    if (successor.version <= version && successor.old_one.use_count() == 1)
      last_held.push_back(successor.old_one.get());
  std::atomic_thread_fence(std::memory_order_acquire);
  settle_counters();
  std::erase_if(successors_, [&](const Successor& successor) {
    return std::find(last_held.begin(), last_held.end(), successor.old_one.get()) != last_held.end();
  });
}

const BridgeState& Switch::bridge(BridgeId id) const {
  if (const BridgeState* found = state_->find(id)) return *found;
  throw Error("no bridge with id {}", id.value);
}

void Switch::publish(BridgeState changed) {
  auto bridges = state_->bridges;
  for (auto& bridge : bridges)
    if (bridge->id == changed.id) bridge = std::make_shared<const BridgeState>(std::move(changed));
  publish(std::move(bridges));
}

void Switch::publish(std::vector<std::shared_ptr<const BridgeState>> bridges) {
  auto state = std::make_shared<SwitchState>();
  state->version = version() + 1;
  state->bridges = std::move(bridges);
  for (const auto& bridge : state->bridges)
    for (const BridgePort& port : bridge->ports) state->bridge_of[port.dp.value] = bridge.get();
  old_states_.reserve(old_states_.size() + 1);
  {
    const std::lock_guard lock{state_mutex_};
    if (state_ != nullptr) old_states_.push_back(std::move(state_));
    state_ = std::move(state);
  }
  version_.store(version() + 1, std::memory_order_release);
}

}  // namespace shunt
