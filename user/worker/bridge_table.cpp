// SPDX-License-Identifier: Apache-2.0
#include "user/worker/bridge_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "bpf/datapath/fdb.h"

namespace shunt {
namespace {

// An entry has room for these, and a spread key's lower bits for that.
static_assert(SHUNT_MAX_PORTS <= SHUNT_FDB_UNTAGGED && SHUNT_FDB_PROBES <= 4 && SHUNT_FDB_BUCKETS == 1 << 16);

std::uint64_t load(const __u64& entry) { return __atomic_load_n(&entry, __ATOMIC_ACQUIRE); }
std::uint64_t exchange(__u64& entry, std::uint64_t word) { return __atomic_exchange_n(&entry, word, __ATOMIC_RELEASE); }

std::uint64_t key_of(const MacAddr& mac, std::uint16_t number) {
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, mac.bytes.data(), mac.bytes.size());
  return SHUNT_FDB_KEY(bytes, number);
}

// Of an odd number, modulo 2^64. Each step doubles the bits that are right, three at first.
std::uint64_t inverse(std::uint64_t odd) {
  std::uint64_t guess = odd;
  for (int bits = 3; bits < 64; bits *= 2) guess *= 2 - odd * guess;
  return guess;
}

}  // namespace

BridgeTable::BridgeTable(FlowMaps& maps)
    : maps_{maps},
      unmultiply_{inverse(maps.config.hash_multiplier)},
      domains_(1),
      was_used_(maps.fdb.size() * SHUNT_FDB_ENTRIES) {}

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
  for (std::uint32_t position = 0; position < was_used_.size(); ++position) {
    if (load(at(position)) == 0) continue;
    if (domain_of(key_at(position)))
      ++size_;
    else
      (void)exchange(at(position), 0);
  }
}

std::uint64_t BridgeTable::spread(std::uint64_t key) const {
  return shunt_fdb_spread(key, maps_.config.hash_seed, maps_.config.hash_multiplier);
}

std::uint64_t BridgeTable::key_at(std::uint32_t position) const {
  const std::uint64_t entry = load(at(position));
  const std::uint64_t probe = entry >> SHUNT_FDB_NAME_SHIFT & (SHUNT_FDB_PROBES - 1);
  const std::uint64_t first = (position / SHUNT_FDB_ENTRIES - probe) & (SHUNT_FDB_BUCKETS - 1);
  const std::uint64_t hash = std::rotl(entry >> 16 << 16 | first, 16);
  // As shunt_fdb_spread(), backwards.
  const auto step_back = [this](std::uint64_t after) { return (after ^ after >> 32) * unmultiply_; };
  return step_back(step_back(hash)) ^ maps_.config.hash_seed;
}

const std::optional<BridgeTable::Domain>& BridgeTable::domain_of(std::uint64_t key) const {
  const std::size_t number = key >> 48;
  return domains_[number < domains_.size() ? number : 0];
}

std::uint32_t BridgeTable::find(std::uint64_t key) const {
  const std::uint64_t where = spread(key);
  for (std::uint32_t probe = 0; probe < SHUNT_FDB_PROBES; ++probe)
    for (std::uint32_t e = 0; e < SHUNT_FDB_ENTRIES; ++e) {
      const std::uint32_t position = shunt_fdb_bucket_of(where, probe) * SHUNT_FDB_ENTRIES + e;
      if (shunt_fdb_has_name(load(at(position)), shunt_fdb_name(where, probe)) != 0) return position;
    }
  return kNone;
}

bool BridgeTable::set(BridgeId bridge, const FdbKey& key, const std::optional<Place>& place, std::uint64_t epoch,
                      TimePoint now) {
  if (key.mac.is_multicast()) return false;
  const std::uint16_t its_number = place ? number(bridge, key.vlan) : find_number({bridge, key.vlan}).value_or(0);
  if (its_number == 0) return false;
  const std::uint64_t word = key_of(key.mac, its_number);
  const std::uint32_t position = find(word);
  if (position == kNone) {
    if (place) insert(word, *place, now);
    return false;
  }
  if (!place) {
    clear(position, epoch);
    return true;
  }
  const std::uint64_t before = load(at(position));
  const std::uint64_t wanted =
      before >> SHUNT_FDB_NAME_SHIFT << SHUNT_FDB_NAME_SHIFT | place->flags | place->port.value;
  if ((before & ~std::uint64_t{SHUNT_FDB_YOUNG | SHUNT_FDB_USED}) == wanted) return false;
  (void)exchange(at(position), wanted | SHUNT_FDB_YOUNG | (before & SHUNT_FDB_USED));
  grow_young(position, now);
  changed_in_ = epoch;
  return true;
}

void BridgeTable::insert(std::uint64_t key, const Place& place, TimePoint now) {
  const std::uint64_t where = spread(key);
  std::optional<Spot> spot = find_free(where);
  if (!spot && make_room(where, now)) spot = find_free(where);
  if (!spot) {
    ++homeless_;
    return;
  }
  was_used_[spot->position] = false;
  grow_young(spot->position, now);
  (void)exchange(at(spot->position),
                 shunt_fdb_name(where, spot->probe) | SHUNT_FDB_YOUNG | place.flags | place.port.value);
  ++size_;
}

std::optional<BridgeTable::Spot> BridgeTable::find_free(std::uint64_t where) const {
  for (std::uint32_t probe = 0; probe < SHUNT_FDB_PROBES; ++probe)
    for (std::uint32_t e = 0; e < SHUNT_FDB_ENTRIES; ++e) {
      const std::uint32_t position = shunt_fdb_bucket_of(where, probe) * SHUNT_FDB_ENTRIES + e;
      if (load(at(position)) == 0) return Spot{position, probe};
    }
  return std::nullopt;
}

// One of the entries that are where this one could be goes to another of its own buckets. Packets find it here until it
// is there; one that looked there before and here behind that is a miss, as of a MAC that is not known yet.
bool BridgeTable::make_room(std::uint64_t where, TimePoint now) {
  for (std::uint32_t probe = 0; probe < SHUNT_FDB_PROBES; ++probe)
    for (std::uint32_t e = 0; e < SHUNT_FDB_ENTRIES; ++e) {
      const std::uint32_t from = shunt_fdb_bucket_of(where, probe) * SHUNT_FDB_ENTRIES + e;
      const std::uint64_t its = spread(key_at(from));
      const std::optional<Spot> to = find_free(its);
      if (!to) continue;
      constexpr std::uint64_t kSaid = (std::uint64_t{1} << SHUNT_FDB_NAME_SHIFT) - 1;
      const std::uint64_t entry = load(at(from));
      was_used_[to->position] = was_used_[from];
      if ((entry & SHUNT_FDB_YOUNG) != 0) grow_young(to->position, now);
      young_since_.erase(from);
      (void)exchange(at(to->position), shunt_fdb_name(its, to->probe) | (entry & kSaid));
      (void)exchange(at(from), 0);
      return true;
    }
  return false;
}

void BridgeTable::clear(std::uint32_t position, std::uint64_t epoch) {
  (void)exchange(at(position), 0);
  --size_;
  changed_in_ = epoch;
}

bool BridgeTable::remove(BridgeId bridge, std::uint64_t epoch) {
  bool changed = false;
  visit(0, kBuckets, [&](const Entry& entry) {
    if (entry.bridge != bridge) return;
    clear(entry.position, epoch);
    changed = true;
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
  if (src == kNone || dst == kNone || SHUNT_FDB_PORT(load(at(src))) != key.in_port) return std::nullopt;
  const std::uint64_t to = load(at(dst));
  if (SHUNT_FDB_PORT(to) == key.in_port || (to & shunt_fdb_form(&key)) == 0) return std::nullopt;
  return DpPort{SHUNT_FDB_PORT(to)};
}

void BridgeTable::visit(std::uint32_t begin, std::uint32_t end, const std::function<void(const Entry&)>& visit) const {
  const std::uint32_t last = std::min(end, kBuckets) * SHUNT_FDB_ENTRIES;
  for (std::uint32_t position = begin * SHUNT_FDB_ENTRIES; position < last; ++position)
    if (const std::optional<Entry> entry = entry_at(position)) visit(*entry);
}

void BridgeTable::take_used(std::uint32_t begin, std::uint32_t end, const std::function<void(const Entry&)>& visitor) {
  const std::uint32_t last = std::min(end, kBuckets) * SHUNT_FDB_ENTRIES;
  for (std::uint32_t position = begin * SHUNT_FDB_ENTRIES; position < last; ++position) {
    was_used_[position] = is_used(position);
    if (!was_used_[position]) continue;
    __atomic_fetch_and(&at(position), ~std::uint64_t{SHUNT_FDB_USED}, __ATOMIC_RELAXED);
    if (const std::optional<Entry> entry = entry_at(position)) visitor(*entry);
  }
}

std::optional<BridgeTable::Entry> BridgeTable::entry_at(std::uint32_t position) const {
  const std::uint64_t entry = load(at(position));
  if (entry == 0) return std::nullopt;
  const std::uint64_t key = key_at(position);
  const std::optional<Domain>& domain = domain_of(key);
  if (!domain) return std::nullopt;
  std::uint8_t mac[8];
  std::memcpy(mac, &key, sizeof mac);
  return Entry{domain->first, {domain->second, MacAddr::from_wire(mac)}, DpPort{SHUNT_FDB_PORT(entry)}, position};
}

bool BridgeTable::is_used(std::uint32_t position) const { return (load(at(position)) & SHUNT_FDB_USED) != 0; }

bool BridgeTable::is_used(BridgeId bridge, const FdbKey& key) const {
  const auto its_number = find_number({bridge, key.vlan});
  const std::uint32_t position = its_number ? find(key_of(key.mac, *its_number)) : kNone;
  return position != kNone && (was_used_[position] || is_used(position));
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
    __atomic_fetch_and(&at(position), ~std::uint64_t{SHUNT_FDB_YOUNG}, __ATOMIC_RELEASE);
  }
}

std::vector<BridgeId> BridgeTable::bridges() const {
  std::vector<BridgeId> list;
  for (const auto& [domain, number] : numbers_)
    if (list.empty() || list.back() != domain.first) list.push_back(domain.first);
  return list;
}

void BridgeTable::reclaim(std::uint64_t epoch) {
  if (changed_in_ && *changed_in_ <= epoch) changed_in_.reset();
}

}  // namespace shunt
