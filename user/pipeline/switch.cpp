// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/switch.h"

#include <algorithm>
#include <utility>

#include "user/base/error.h"
#include "user/pipeline/rule_edit.h"

namespace shunt {

namespace {

constexpr std::uint32_t kLastPortNo = 0xff00 - 1;  // as in OpenFlow 1.0, whose tools still talk to us

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
  if (port.number == kPortLocal || (port.number.value >= 1 && port.number.value <= kLastPortNo)) return;
  throw Error("port '{}': number {} is reserved: 1 to {} are free to use", port.name, port.number.value, kLastPortNo);
}

void check_vlan(const BridgePort& port) {
  if (port.vlan.tag && port.vlan.tag->value > 4094)
    throw Error("port '{}': VLAN {}: VLANs are 0 to 4094", port.name, port.vlan.tag->value);
  if (port.vlan.tag && port.vlan.trunks)
    throw Error("port '{}': either an access port (tag) or a trunk port (trunks)", port.name);
}

Change affects_all(BridgeId bridge, std::uint64_t version) {
  Change change;
  change.version = version;
  change.bridge = bridge;
  change.all = true;
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

Switch::Switch() { publish(std::vector<std::shared_ptr<const BridgeState>>{}); }

SwitchStateRef Switch::state() const {
  const std::lock_guard lock{state_mutex_};
  return state_;
}

BridgeId Switch::add_bridge(const std::string& name) {
  if (name.empty()) throw Error("a bridge needs a name");
  if (find_bridge(name) != nullptr) throw Error("bridge '{}' exists already", name);
  BridgeState added;
  added.id = BridgeId{next_bridge_};
  added.name = name;
  added.fdb = std::make_shared<Fdb>();
  RuleEdit edit{added, version() + 1, TimePoint{Clock::now()}};
  FlowMod normal;
  normal.priority = 0;
  normal.actions = {OutputAction{kPortNormal}};
  edit.apply(normal);
  auto bridges = state_->bridges;
  bridges.push_back(std::make_shared<BridgeState>(edit.commit()));
  publish(std::move(bridges));
  ++next_bridge_;
  return added.id;
}

Change Switch::del_bridge(const std::string& name) {
  const BridgeState* old = find_bridge(name);
  if (old == nullptr) throw Error("no bridge '{}'", name);
  if (!old->ports.empty()) throw Error("bridge '{}' has {} ports: detach them first", name, old->ports.size());
  const BridgeId id = old->id;
  auto bridges = state_->bridges;
  std::erase_if(bridges, [&](const auto& bridge) { return bridge->id == id; });
  publish(std::move(bridges));
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
  return affects_all(id, version());
}

Change Switch::remove_port(BridgeId id, PortNo number) {
  const BridgeState& old = bridge(id);
  if (old.find(number) == nullptr) throw Error("bridge '{}' has no port {}", old.name, number.value);
  auto ports = old.ports;
  std::erase_if(ports, [&](const BridgePort& port) { return port.number == number; });
  publish(with_ports(old, std::move(ports)));
  return affects_all(id, version());
}

Change Switch::update_port(BridgeId id, const BridgePort& port) {
  const BridgeState& old = bridge(id);
  const BridgePort* current = old.find(port.number);
  if (current == nullptr) throw Error("bridge '{}' has no port {}", old.name, port.number.value);
  if (current->dp != port.dp) throw Error("port '{}': its datapath port does not change", port.name);
  check_vlan(port);
  if (*current == port) return Change{version(), id, false, {}};
  // A name forwards nothing.
  const bool same_forwarding = current->vlan == port.vlan && current->up == port.up;
  auto ports = old.ports;
  ports[static_cast<std::size_t>(current - old.ports.data())] = port;
  publish(with_ports(old, std::move(ports)));
  return same_forwarding ? Change{version(), id, false, {}} : affects_all(id, version());
}

Change Switch::apply(BridgeId id, std::span<const FlowMod> mods, TimePoint now) {
  RuleEdit edit{bridge(id), version() + 1, now};
  for (const FlowMod& mod : mods) edit.apply(mod);
  return commit(edit);
}

Change Switch::replace(BridgeId id, std::span<const FlowMod> rules, TimePoint now) {
  RuleEdit edit{bridge(id), version() + 1, now};
  edit.replace(rules);
  return commit(edit);
}

Change Switch::commit(RuleEdit& edit) {
  if (!edit.changed()) return Change{version(), edit.change().bridge, false, {}};
  publish(edit.commit());
  for (const RuleEdit::Modified& rule : edit.modified())
    successors_.push_back({version(), rule.old_rule, rule.new_rule, rule.packets, rule.bytes});
  return edit.change();
}

std::vector<RuleRef> Switch::list(BridgeId id, const FlowMod& filter) const {
  auto rules = select_rules(bridge(id), filter, false, version());
  std::stable_sort(rules.begin(), rules.end(), [](const RuleRef& a, const RuleRef& b) {
    if (a->table != b->table) return a->table < b->table;
    if (a->priority != b->priority) return a->priority > b->priority;
    return a->created < b->created;
  });
  return rules;
}

const BridgeState* Switch::find_bridge(const std::string& name) const {
  for (const auto& bridge : state_->bridges)
    if (bridge->name == name) return bridge.get();
  return nullptr;
}

void Switch::collect(std::uint64_t version) {
  for (const Successor& rule : successors_) {
    if (rule.version > version) continue;
    rule.new_rule->packets.fetch_add(rule.old_rule->packets.load(std::memory_order_relaxed) - rule.packets,
                                     std::memory_order_relaxed);
    rule.new_rule->bytes.fetch_add(rule.old_rule->bytes.load(std::memory_order_relaxed) - rule.bytes,
                                   std::memory_order_relaxed);
  }
  std::erase_if(successors_, [&](const Successor& rule) { return rule.version <= version; });
  std::erase_if(old_states_, [&](const SwitchStateRef& state) { return state->version < version; });
  for (const auto& bridge : state_->bridges)
    for (const auto& rules : bridge->tables)
      if (rules != nullptr) rules->collect(version, version_.load(std::memory_order_relaxed));
}

const BridgeState& Switch::bridge(BridgeId id) const {
  for (const auto& bridge : state_->bridges)
    if (bridge->id == id) return *bridge;
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
