// SPDX-License-Identifier: Apache-2.0
#include "user/worker/affected_index.h"

#include <algorithm>
#include <bit>
#include <bitset>
#include <cstddef>
#include <utility>

#include "bpf/datapath/mask.h"

namespace shunt {
namespace {

using KeyBytes = std::array<std::uint8_t, sizeof(FlowKey)>;

KeyBytes to_bytes(const FlowKey& key) { return std::bit_cast<KeyBytes>(key); }

// Bytes of a key in the order in which they are taken where a mask has more than there is room for: of each field
// those first in which flows differ most, two of one being enough to leave one flow of 65,536. in_port is the class's.
constexpr auto kOrder = [] {
  constexpr std::size_t src = offsetof(FlowKey, ip_src), dst = offsetof(FlowKey, ip_dst);
  constexpr std::size_t tp_src = offsetof(FlowKey, tp_src), tp_dst = offsetof(FlowKey, tp_dst);
  constexpr std::size_t eth_src = offsetof(FlowKey, eth_src), eth_dst = offsetof(FlowKey, eth_dst);
  constexpr std::size_t tci = offsetof(FlowKey, vlan) + offsetof(shunt_vlan, tci);
  constexpr std::array first{src + 15,    dst + 15,    tp_src + 1, tp_dst + 1,  eth_src + 5, eth_dst + 5,
                             tci + 1,     offsetof(FlowKey, nw_proto),          src + 14,    dst + 14,
                             tp_src,      tp_dst,      eth_src + 4, eth_dst + 4, tci,         src + 13,
                             dst + 13,    src + 12,    dst + 12,    eth_src + 3, eth_dst + 3};
  std::array<std::uint8_t, sizeof(FlowKey)> order{};
  std::array<bool, sizeof(FlowKey)> taken{};
  std::size_t count = 0;
  const auto take = [&](std::size_t at) {
    if (taken[at]) return;
    taken[at] = true;
    order[count++] = static_cast<std::uint8_t>(at);
  };
  for (const std::size_t at : first) take(at);
  for (std::size_t at = 0; at < sizeof(FlowKey); ++at) take(at);
  return order;
}();

}  // namespace

AffectedIndex::AffectedIndex(std::uint32_t flow_limit) : classes_(1) {
  class_of_.reserve(flow_limit);
  first_bytes_.reserve(flow_limit);
  more_bytes_.reserve(flow_limit);
}

void AffectedIndex::set(std::uint32_t slot, const Basis& basis, const FlowMask& bits, const FlowKey& key) {
  if (slot >= class_of_.size()) {
    class_of_.resize(slot + 1, kNone);
    first_bytes_.resize(slot + 1);
    more_bytes_.resize(slot + 1);
  }
  const std::uint32_t number = number_of(basis, bits);
  ++classes_[number].flows;  // before the older one's end, which may be the same
  clear(slot);
  class_of_[slot] = number;
  const Bytes bytes = bytes_of(classes_[number], key);
  first_bytes_[slot] = bytes[0];
  more_bytes_[slot] = bytes[1];
}

void AffectedIndex::clear(std::uint32_t slot) {
  if (slot >= class_of_.size() || class_of_[slot] == kNone) return;
  const std::uint32_t number = std::exchange(class_of_[slot], kNone);
  Class& its_class = classes_[number];
  if (--its_class.flows != 0) return;
  numbers_.erase(numbers_.find(*its_class.key));
  its_class = Class{};
  free_.push_back(number);
  if (found_ == number) found_ = kNone;
}

std::uint32_t AffectedIndex::number_of(const Basis& basis, const FlowMask& bits) {
  const Dependencies& d = basis.dependencies;
  if (found_ != kNone) {
    const Key& last = *classes_[found_].key;
    if (last.port == basis.port.value && last.mask == basis.mask && last.bridge == basis.bridge &&
        last.dependencies.tags == d.tags && last.dependencies.tables == d.tables &&
        equal(*last.dependencies.rewritten, *d.rewritten))
      return found_;
  }
  const auto [found, is_new] = numbers_.try_emplace(Key{basis.port.value, basis.mask, basis.bridge, d}, kNone);
  if (is_new) {
    if (free_.empty()) {
      found->second = static_cast<std::uint32_t>(classes_.size());
      classes_.emplace_back();
    } else {
      found->second = free_.back();
      free_.pop_back();
    }
    Class& fresh = classes_[found->second];
    fresh.key = &found->first;
    fresh.filter = without(bits, *d.rewritten);
    const KeyBytes filter = to_bytes(fresh.filter);
    for (const std::uint8_t at : kOrder)
      if (fresh.byte_count < kBytes && filter[at] != 0 && at >= sizeof(FlowKey::in_port))
        fresh.bytes[fresh.byte_count++] = at;
  }
  return found_ = found->second;
}

AffectedIndex::Bytes AffectedIndex::bytes_of(const Class& a_class, const FlowKey& key) {
  const KeyBytes all = to_bytes(key);
  std::array<std::uint8_t, kBytes> taken{};
  for (std::size_t i = 0; i < a_class.byte_count; ++i) taken[i] = all[a_class.bytes[i]];
  return std::bit_cast<Bytes>(taken);
}

AffectedIndex::Query AffectedIndex::query(const Change& change, const SwitchState& state) const {
  Query query;
  query.first.reserve(classes_.size() + 1);
  for (const Class& each : classes_) {
    query.first.push_back(static_cast<std::uint32_t>(query.tests.size()));
    if (each.key != nullptr) add_tests(each, change, state, query);
  }
  query.first.push_back(static_cast<std::uint32_t>(query.tests.size()));
  return query;
}

void AffectedIndex::add_tests(const Class& a_class, const Change& change, const SwitchState& state,
                              Query& query) const {
  const Key& key = *a_class.key;
  const BridgeState* found = state.bridge_of[key.port];
  const std::optional<BridgeId> bridge = found != nullptr ? std::optional{found->id} : std::nullopt;
  const bool moved = key.bridge != bridge;  // the port has another bridge than its flows were made for
  if (!moved && change.bridge && bridge != change.bridge) return;
  if (moved || change.all || (change.tags & key.dependencies.tags) != 0) {
    query.tests.emplace_back();
    return;
  }
  for (const Change::Rules& rule : change.rules) {
    if (!key.dependencies.tables.test(rule.table)) continue;
    const FlowMask looked_at = flow_part(rule.match.mask) & a_class.filter;
    if (((rule.match.value.in_port ^ key.port) & looked_at.in_port) != 0) continue;
    Query::Test& test = query.tests.emplace_back();
    test.bits = bytes_of(a_class, looked_at);
    test.value = bytes_of(a_class, flow_part(rule.match.value));
  }
}

void AffectedIndex::find(const Query& query, std::uint32_t begin, std::uint32_t end,
                         std::vector<std::uint32_t>& slots) const {
  if (query.tests.empty()) return;
  end = std::min(end, static_cast<std::uint32_t>(class_of_.size()));
  for (std::uint32_t slot = begin; slot < end; ++slot)
    if (passes(query, slot)) slots.push_back(slot);
}

std::uint32_t AffectedIndex::count(const Query& query, std::uint32_t begin, DpPort port) const {
  std::uint32_t count = 0;
  for (std::uint32_t slot = begin; slot < class_of_.size(); ++slot)
    if (passes(query, slot) && classes_[class_of_[slot]].key->port == port.value) ++count;
  return count;
}

std::size_t AffectedIndex::Hash::operator()(const Key& key) const noexcept {
  constexpr std::uint64_t kMultiplier = 0x9e3779b97f4a7c15;
  std::uint64_t hash = shunt_hash_step(key.dependencies.tags, std::uint64_t{key.port} << 16 | key.mask, kMultiplier);
  hash = shunt_hash_step(hash, key.bridge ? std::uint64_t{key.bridge->value} + 1 : 0, kMultiplier);
  hash = shunt_hash_step(hash, std::hash<std::bitset<kTableCount>>{}(key.dependencies.tables), kMultiplier);
  for (const std::uint64_t word : to_words(*key.dependencies.rewritten))
    if (word != 0) hash = shunt_hash_step(hash, word, kMultiplier);
  return hash;
}

bool AffectedIndex::Same::operator()(const Key& a, const Key& b) const noexcept {
  return a.port == b.port && a.mask == b.mask && a.bridge == b.bridge && a.dependencies.tags == b.dependencies.tags &&
         a.dependencies.tables == b.dependencies.tables && equal(*a.dependencies.rewritten, *b.dependencies.rewritten);
}

}  // namespace shunt
