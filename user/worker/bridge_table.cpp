// SPDX-License-Identifier: Apache-2.0
#include "user/worker/bridge_table.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "bpf/datapath/fdb.h"

namespace shunt {
namespace {

// An entry's two halves, each of which the kernel reads at once.
std::uint64_t load_key(const shunt_fdb_entry& entry) {
  std::uint64_t word;
  std::memcpy(&word, &entry, sizeof word);
  return word;
}
void store_key(shunt_fdb_entry& entry, std::uint64_t word) {
  __atomic_store_n(reinterpret_cast<shunt_word*>(&entry), word, __ATOMIC_RELEASE);
}
// Port and flags.
using Answer = std::uint32_t __attribute__((may_alias));
Answer* answer_of(shunt_fdb_entry& entry) { return reinterpret_cast<Answer*>(&entry.port); }
std::uint32_t exchange_answer(shunt_fdb_entry& entry, std::uint32_t answer) {
  return __atomic_exchange_n(answer_of(entry), answer, __ATOMIC_RELEASE);
}

std::uint64_t word_of(const MacAddr& mac, std::uint16_t number) {
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, mac.bytes.data(), mac.bytes.size());
  return SHUNT_FDB_KEY(bytes, number);
}

constexpr std::uint32_t kYoung = std::uint32_t{SHUNT_FDB_YOUNG} << 16;

}  // namespace

BridgeTable::BridgeTable(FlowMaps& maps) : maps_{maps}, domains_(1) {}

std::optional<std::uint16_t> BridgeTable::find_number(const Domain& domain) const {
  const auto found = numbers_.find(domain);
  return found == numbers_.end() ? std::nullopt : std::optional{found->second};
}

std::uint16_t BridgeTable::number(BridgeId bridge, VlanId vlan) {
  const Domain domain{bridge, vlan};
  if (const auto known = find_number(domain)) return *known;
  constexpr std::size_t kMost = 0xffff;
  if (numbers_.size() == kMost) return 0;
  // In turn: one that was given back is not soon anybody else's.
  do {
    ++last_number_;
    if (last_number_ >= domains_.size()) domains_.resize(std::size_t{last_number_} + 1);
  } while (last_number_ == 0 || domains_[last_number_]);
  domains_[last_number_] = domain;
  numbers_.emplace(domain, last_number_);
  return last_number_;
}

void BridgeTable::inherit(std::uint16_t number, BridgeId bridge, VlanId vlan) {
  const Domain domain{bridge, vlan};
  if (number == 0) return;
  if (domains_.size() <= number) domains_.resize(std::size_t{number} + 1);
  if (!domains_[number] && numbers_.emplace(domain, number).second) domains_[number] = domain;
}

void BridgeTable::forget_unknown() {
  for (std::uint32_t position = 0; position < maps_.fdb.size() * SHUNT_FDB_ENTRIES; ++position) {
    shunt_fdb_entry& entry = at(position);
    if (entry.number == 0) continue;
    const bool known = entry.number < domains_.size() && domains_[entry.number];
    if (known && entry.port != 0) {
      ++size_;
      continue;
    }
    (void)exchange_answer(entry, 0);
    store_key(entry, 0);
  }
}

std::uint32_t BridgeTable::first_bucket(std::uint64_t word) const {
  return shunt_fdb_first(word, maps_.config.hash_seed, maps_.config.hash_multiplier);
}

std::uint32_t BridgeTable::find(std::uint64_t word) const {
  const std::uint32_t first = first_bucket(word);
  for (std::uint32_t i = 0; i < SHUNT_FDB_PROBES; ++i) {
    const std::uint32_t bucket = (first + i) & (SHUNT_FDB_BUCKETS - 1);
    for (std::uint32_t e = 0; e < SHUNT_FDB_ENTRIES; ++e)
      if (load_key(maps_.fdb[bucket].entry[e]) == word) return bucket * SHUNT_FDB_ENTRIES + e;
  }
  return kNone;
}

bool BridgeTable::set(BridgeId bridge, const FdbKey& key, const std::optional<Place>& place, std::uint64_t epoch,
                      TimePoint now) {
  if (key.mac.is_multicast()) return false;
  const std::uint16_t its_number = place ? number(bridge, key.vlan) : find_number({bridge, key.vlan}).value_or(0);
  if (its_number == 0) return false;
  const std::uint64_t word = word_of(key.mac, its_number);
  std::uint32_t position = find(word);
  if (!place) return position != kNone && clear(position, epoch);
  const std::uint32_t answer = std::uint32_t{place->flags} << 16 | place->port.value;
  if (position != kNone) {
    if ((*answer_of(at(position)) & ~kYoung) == answer) return false;
    const std::uint32_t before = exchange_answer(at(position), answer | kYoung);
    grow_young(position, now);
    if (before == 0) {
      ++size_;
      return false;
    }
    changed_.add(epoch, position);
    changed_in_[position] = epoch;
    return true;
  }
  const std::uint32_t first = first_bucket(word);
  for (std::uint32_t i = 0; i < SHUNT_FDB_PROBES * SHUNT_FDB_ENTRIES && position == kNone; ++i) {
    const std::uint32_t candidate = (first * SHUNT_FDB_ENTRIES + i) % (SHUNT_FDB_BUCKETS * SHUNT_FDB_ENTRIES);
    if (load_key(at(candidate)) == 0) position = candidate;
  }
  if (position == kNone) {
    ++homeless_;
    return false;
  }
  ++size_;
  shunt_fdb_entry& entry = at(position);
  std::atomic_ref<__u32>{entry.used}.store(0, std::memory_order_relaxed);
  (void)exchange_answer(entry, answer | kYoung);
  store_key(entry, word);
  grow_young(position, now);
  return false;
}

bool BridgeTable::clear(std::uint32_t position, std::uint64_t epoch) {
  if (exchange_answer(at(position), 0) == 0) return false;
  --size_;
  changed_.add(epoch, position);
  changed_in_[position] = epoch;
  return true;
}

bool BridgeTable::remove(BridgeId bridge, std::uint64_t epoch) {
  bool changed = false;
  visit(0, kBuckets, [&](const Entry& entry) {
    if (entry.bridge != bridge) return;
    changed = clear(find(word_of(entry.key.mac, numbers_.at({bridge, entry.key.vlan}))), epoch) || changed;
  });
  for (auto& domain : domains_)
    if (domain && domain->first == bridge) {
      numbers_.erase(*domain);
      domain.reset();
    }
  return changed;
}

std::optional<DpPort> BridgeTable::lookup(const FlowKey& key, std::uint16_t number) const {
  const std::uint32_t src = find(shunt_fdb_src(&key, number)), dst = find(shunt_fdb_dst(&key, number));
  if (src == kNone || dst == kNone || at(src).port != key.in_port) return std::nullopt;
  const shunt_fdb_entry& to = at(dst);
  if (to.port == 0 || to.port == key.in_port || (to.flags & shunt_fdb_form(&key)) == 0) return std::nullopt;
  return DpPort{to.port};
}

void BridgeTable::visit(std::uint32_t begin, std::uint32_t end, const std::function<void(const Entry&)>& visit) const {
  for (std::uint32_t bucket = begin; bucket < std::min<std::size_t>(end, maps_.fdb.size()); ++bucket)
    for (shunt_fdb_entry& entry : maps_.fdb[bucket].entry) {
      if (entry.port == 0 || entry.number >= domains_.size() || !domains_[entry.number]) continue;
      const auto& [bridge, vlan] = *domains_[entry.number];
      visit({bridge,
             {vlan, MacAddr::from_wire(entry.mac)},
             DpPort{entry.port},
             std::atomic_ref<__u32>{entry.used}.load(std::memory_order_relaxed)});
    }
}

std::uint32_t BridgeTable::used(BridgeId bridge, const FdbKey& key) const {
  const auto its_number = find_number({bridge, key.vlan});
  const std::uint32_t position = its_number ? find(word_of(key.mac, *its_number)) : kNone;
  return position == kNone ? 0 : std::atomic_ref<__u32>{at(position).used}.load(std::memory_order_relaxed);
}

void BridgeTable::grow_young(std::uint32_t position, TimePoint now) {
  young_.emplace_back(position, now);
  young_since_[position] = now;
}

void BridgeTable::mature(TimePoint before) {
  for (; !young_.empty() && young_.front().second <= before; young_.pop_front()) {
    const auto [position, since] = young_.front();
    const auto found = young_since_.find(position);
    if (found == young_since_.end() || found->second != since) continue;
    young_since_.erase(found);
    __atomic_fetch_and(answer_of(at(position)), ~kYoung, __ATOMIC_RELEASE);
  }
}

std::vector<BridgeId> BridgeTable::bridges() const {
  std::vector<BridgeId> list;
  for (const auto& [domain, number] : numbers_)
    if (list.empty() || list.back() != domain.first) list.push_back(domain.first);
  return list;
}

void BridgeTable::reclaim(std::uint64_t epoch) {
  changed_.reclaim(epoch, [this](std::uint64_t left, std::uint32_t position) {
    const auto found = changed_in_.find(position);
    if (found == changed_in_.end() || found->second != left) return;  // it changed once more
    changed_in_.erase(found);
    if (at(position).port == 0) store_key(at(position), 0);
  });
}

}  // namespace shunt
