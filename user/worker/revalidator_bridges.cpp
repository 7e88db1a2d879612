// SPDX-License-Identifier: Apache-2.0
// Flows of bridged packets: one a port and VLAN, which the kernel answers by the FDB's entries. They follow the FDB,
// and the ports that it names. Who sends is noted: a MAC that did in a round is refreshed when the next one
// begins. The exact-match cache may answer without a look at the entries, so what it holds is void then.
#include <algorithm>

#include "user/l2/vlan.h"
#include "user/worker/revalidator_impl.h"

namespace shunt {
namespace {

using std::chrono::seconds;

// A round is an eighth of the shortest ageing, and no longer than this.
constexpr seconds kLongestRound{10};
constexpr std::int64_t kRoundsOfAgeing = 8;
constexpr std::uint32_t kBucketSlice = 4096;

}  // namespace

bool Revalidator::Impl::answered_as_bridged(const FlowKey& key, const Translation& translation) {
  if (!translation.may_be_bridged || translation.needs_packet || translation.actions.size() != 1) return false;
  const shunt_action& output = translation.actions.front();
  if (output.type != SHUNT_ACT_OUTPUT || output.field != 0) return false;
  if (const std::uint32_t slot = table.find(key); slot != MegaflowTable::kNoSlot && table.flow(slot)->bridged)
    return table.bridges().lookup(key, table.actions(slot).front().arg).has_value();
  auto bridged = std::make_shared<const Translation>(translate_bridged(*state, key));
  if (!bridged->bridged) return false;
  const std::uint16_t number = table.bridges().number(*bridged->bridge, *bridged->bridged);
  // Its own entries may have found no room, or say that the port wants the frame otherwise.
  if (number == 0 || table.bridges().lookup(key, number) != DpPort{output.arg}) return false;
  switch (table.stage(key, std::move(bridged), now)) {
    case MegaflowTable::Publish::kPublished:
    case MegaflowTable::Publish::kExists:
      return true;
    default:
      return false;
  }
}

std::optional<BridgeTable::Place> Revalidator::Impl::place_of(const BridgeState& bridge, const FdbKey& key) const {
  const std::optional<PortNo> number = bridge.fdb->lookup(key);
  const BridgePort* port = number ? bridge.find(*number) : nullptr;
  if (port == nullptr) return std::nullopt;
  BridgeTable::Place place{port->dp};
  const PortOutput& output = table.outputs()[port->dp.value];
  if (!port->up || !port->forward || output.ifindex.value == 0 || !output.xdp_transmit) return place;
  if (sends_unchanged(port->vlan, key.vlan, false)) place.flags |= SHUNT_FDB_UNTAGGED;
  if (sends_unchanged(port->vlan, key.vlan, true)) place.flags |= SHUNT_FDB_TAGGED;
  return place;
}

bool Revalidator::Impl::write_mac(const BridgeState& bridge, const FdbKey& key) {
  return table.set_mac(bridge.id, key, place_of(bridge, key), now);
}

bool Revalidator::Impl::rewrite_macs(std::optional<BridgeId> bridge, std::optional<DpPort> port) {
  std::vector<BridgeTable::Entry> entries;
  table.bridges().visit(0, BridgeTable::kBuckets, [&](const BridgeTable::Entry& entry) {
    if ((!bridge || entry.bridge == *bridge) && (!port || entry.port == *port)) entries.push_back(entry);
  });
  bool changed = false;
  for (const BridgeTable::Entry& entry : entries)
    if (const BridgeState* found = state->find(entry.bridge)) changed = write_mac(*found, entry.key) || changed;
  return changed;
}

bool Revalidator::Impl::follow_ports(std::optional<BridgeId> id) {
  bool changed = false;
  for (const BridgeId known : table.bridges().bridges()) {
    if (id && known != *id) continue;
    const BridgeState* bridge = state->find(known);
    if (bridge == nullptr) {
      changed = table.remove_bridge(known) || changed;
      followed.erase(known);
    } else if (std::vector<BridgePort>& ports = followed[known]; ports != bridge->ports) {
      ports = bridge->ports;
      changed = rewrite_macs(known, std::nullopt) || changed;
    }
  }
  return changed;
}

seconds Revalidator::Impl::round_length() const {
  seconds shortest = kLongestRound * kRoundsOfAgeing;
  for (const auto& bridge : state->bridges) shortest = std::min(shortest, bridge->fdb->ageing());
  return std::max(shortest / kRoundsOfAgeing, seconds{1});
}

void Revalidator::Impl::turn_round() {
  round_began = now;
  for (std::uint32_t begin = 0; begin < BridgeTable::kBuckets; begin += kBucketSlice) {
    table.bridges().take_used(begin, begin + kBucketSlice, [&](const BridgeTable::Entry& entry) {
      const BridgeState* bridge = state->find(entry.bridge);
      const BridgePort* port = bridge != nullptr ? bridge->find(entry.port) : nullptr;
      if (port != nullptr && bridge->fdb->lookup(entry.key) == port->number)
        bridge->fdb->learn(entry.key, port->number, now);
    });
    serve_requests();
  }
  table.ask_bridges_again();
}

// What an earlier daemon's flows ask: their numbers stay. MACs that nobody else knows are learned from the entries.
void Revalidator::Impl::inherit_macs(std::span<const std::uint32_t> slots) {
  for (const std::uint32_t slot : slots) {
    if (!table.flow(slot)->bridged) continue;
    const Translation translation = translate_bridged(*state, table.key(slot));
    if (translation.bridged)
      table.bridges().inherit(table.actions(slot).front().arg, *translation.bridge, *translation.bridged);
  }
  table.bridges().forget_unknown();
  table.bridges().visit(0, BridgeTable::kBuckets, [&](const BridgeTable::Entry& entry) {
    const BridgeState* bridge = state->find(entry.bridge);
    const BridgePort* port = bridge != nullptr ? bridge->find(entry.port) : nullptr;
    if (port != nullptr && !bridge->fdb->lookup(entry.key)) bridge->fdb->learn(entry.key, port->number, now);
  });
  rewrite_macs(std::nullopt, std::nullopt);
}

// What the FDBs held before the revalidator began.
void Revalidator::Impl::write_macs() {
  refresh_state();
  for (const auto& bridge : state->bridges)
    for (const FdbEntry& entry : bridge->fdb->list()) write_mac(*bridge, entry.key);
}

}  // namespace shunt
