// SPDX-License-Identifier: Apache-2.0
#include "user/l2/fdb.h"

#include <algorithm>
#include <atomic>
#include <list>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace shunt {

namespace {

using Word = std::uint64_t;

// A key as a non-zero word: VLAN, MAC, and a bit that tells it from an empty or a removed slot.
constexpr Word kEmpty = 0;
constexpr Word kRemoved = 1;
constexpr Word kUsed = Word{1} << 63;

Word pack(FdbKey key) noexcept { return kUsed | Word{key.vlan.value & 0xfffu} << 48 | key.mac.number(); }

FdbKey unpack(Word word) {
  return {VlanId{static_cast<std::uint16_t>(word >> 48 & 0xfff)}, MacAddr::from_number(word & 0xffff'ffff'ffff)};
}

std::size_t hash_of(Word word) noexcept {
  word *= 0x9e3779b97f4a7c15;
  return word ^ word >> 32;
}

struct KeyHash {
  std::size_t operator()(Word word) const noexcept { return hash_of(word); }
};

// What readers see. A slot's second word carries the port and the number of times that the slot changed its key: a
// reader that finds the same second word before and after the first has read a pair that belongs together.
struct Slot {
  std::atomic<Word> key{kEmpty};
  std::atomic<Word> value{0};  // use count << 32 | port
};

class SlotTable {
 public:
  explicit SlotTable(std::size_t capacity) : mask_{capacity - 1}, slots_{std::make_unique<Slot[]>(capacity)} {}

  [[nodiscard]] std::size_t capacity() const { return mask_ + 1; }

  [[nodiscard]] std::optional<PortNo> lookup(Word key) const noexcept {
    for (std::size_t i = hash_of(key), probes = 0; probes <= mask_; ++i, ++probes) {
      const Slot& slot = slots_[i & mask_];
      Word found = slot.key.load(std::memory_order_acquire);
      if (found == kEmpty) return std::nullopt;
      // Another round only when the writer changed the slot meanwhile: it never makes a reader wait.
      while (found == key) {
        const Word before = slot.value.load(std::memory_order_acquire);
        found = slot.key.load(std::memory_order_acquire);
        if (found == key && slot.value.load(std::memory_order_relaxed) == before)
          return PortNo{static_cast<std::uint32_t>(before)};
      }
    }
    return std::nullopt;
  }

  // Writer. Adds or changes.
  void put(Word key, PortNo port) {
    Slot* free = nullptr;
    for (std::size_t i = hash_of(key);; ++i) {
      Slot& slot = slots_[i & mask_];
      const Word found = slot.key.load(std::memory_order_relaxed);
      if (found == key) {
        const Word uses = slot.value.load(std::memory_order_relaxed) >> 32;
        slot.value.store(uses << 32 | port.value, std::memory_order_release);
        return;
      }
      if (found == kRemoved && free == nullptr) free = &slot;
      if (found != kEmpty) continue;
      if (free == nullptr) free = &slot;
      break;
    }
    const Word uses = (free->value.load(std::memory_order_relaxed) >> 32) + 1;
    free->value.store(uses << 32 | port.value, std::memory_order_release);
    free->key.store(key, std::memory_order_release);
  }

  void erase(Word key) {
    std::size_t i = hash_of(key);
    while (slots_[i & mask_].key.load(std::memory_order_relaxed) != key) ++i;
    slots_[i & mask_].key.store(kRemoved, std::memory_order_release);
    // Nothing follows: removed slots up to here end no probe any more and become empty again.
    if (slots_[(i + 1) & mask_].key.load(std::memory_order_relaxed) != kEmpty) return;
    for (; slots_[i & mask_].key.load(std::memory_order_relaxed) == kRemoved; --i)
      slots_[i & mask_].key.store(kEmpty, std::memory_order_release);
  }

 private:
  std::size_t mask_;
  std::unique_ptr<Slot[]> slots_;
};

// The writer's view: entries, and for each port its learned ones, the longest unseen first.
struct Entry {
  PortNo port;
  bool is_static = false;
  TimePoint seen{};
  std::list<Word>::iterator age;  // in PortEntries::by_age; learned entries only
};

}  // namespace

struct Fdb::Impl {
  std::atomic<const SlotTable*> readers_table{nullptr};
  std::atomic<std::uint64_t> version{1};
  std::atomic<std::size_t> size{0};

  // The last one is in use. Older, smaller ones stay, for a reader may be in them; together they are no larger.
  std::vector<std::unique_ptr<SlotTable>> tables;
  std::unordered_map<Word, Entry, KeyHash> entries;
  std::unordered_map<PortNo, std::list<Word>> learned;             // by port, the longest unseen first
  std::set<std::pair<std::size_t, std::uint32_t>> ports_by_count;  // (learned entries, port)
  std::size_t limit;
  std::chrono::seconds ageing;
  std::optional<std::unordered_set<Word, KeyHash>> kept_changes;  // none: nobody asked yet
  bool too_many_changes = false;

  Impl(std::size_t the_limit, std::chrono::seconds the_ageing) : limit{the_limit}, ageing{the_ageing} { grow(1024); }

  SlotTable& table() { return *tables.back(); }
  void changed() { version.fetch_add(1, std::memory_order_release); }

  void keep_change(Word key) {
    if (!kept_changes || too_many_changes) return;
    kept_changes->insert(key);
    if (kept_changes->size() <= kKeptChanges) return;
    kept_changes->clear();
    too_many_changes = true;
  }

  void grow(std::size_t capacity) {
    auto bigger = std::make_unique<SlotTable>(capacity);
    for (const auto& [key, entry] : entries) bigger->put(key, entry.port);
    readers_table.store(bigger.get(), std::memory_order_release);
    tables.push_back(std::move(bigger));
  }

  void link(Word key, Entry& entry) {
    auto& ages = learned[entry.port];
    recount(entry.port, ages.size(), ages.size() + 1);
    entry.age = ages.insert(ages.end(), key);
  }

  void unlink(const Entry& entry) {
    const auto at = learned.find(entry.port);
    recount(entry.port, at->second.size(), at->second.size() - 1);
    at->second.erase(entry.age);
    if (at->second.empty()) learned.erase(at);
  }

  void recount(PortNo port, std::size_t before, std::size_t after) {
    ports_by_count.erase({before, port.value});
    if (after != 0) ports_by_count.insert({after, port.value});
  }

  Entry& add(Word key, const Entry& entry) {
    // Probes stay short below a load of 3/8.
    if ((entries.size() + 1) * 8 > table().capacity() * 3) grow(table().capacity() * 2);
    Entry& added = entries.insert_or_assign(key, entry).first->second;
    if (!added.is_static) link(key, added);
    keep_change(key);
    table().put(key, entry.port);
    size.store(entries.size(), std::memory_order_relaxed);
    return added;
  }

  void erase(Word key) {
    const auto at = entries.find(key);
    if (!at->second.is_static) unlink(at->second);
    entries.erase(at);
    keep_change(key);
    table().erase(key);
    size.store(entries.size(), std::memory_order_relaxed);
  }

  // Frees a place that `newcomer` wants: the oldest entry of the port that holds the most, its own if none holds more.
  std::optional<Word> evict(std::optional<PortNo> newcomer) {
    if (ports_by_count.empty()) return std::nullopt;
    auto [most, victim] = *ports_by_count.rbegin();
    if (newcomer && ports_by_count.contains({most, newcomer->value})) victim = newcomer->value;
    const Word key = learned.at(PortNo{victim}).front();
    erase(key);
    return key;
  }

  template <typename Condition>
  std::vector<FdbKey> erase_if(Condition condition) {
    std::vector<FdbKey> gone;
    for (const auto& [key, entry] : entries)
      if (condition(entry)) gone.push_back(unpack(key));
    for (const FdbKey& key : gone) erase(pack(key));
    if (!gone.empty()) changed();
    return gone;
  }
};

Fdb::Fdb(std::size_t limit, std::chrono::seconds ageing) : impl_{std::make_unique<Impl>(limit, ageing)} {}
Fdb::~Fdb() = default;

std::optional<PortNo> Fdb::lookup(FdbKey key) const noexcept {
  return impl_->readers_table.load(std::memory_order_acquire)->lookup(pack(key));
}

std::uint64_t Fdb::version() const noexcept { return impl_->version.load(std::memory_order_acquire); }

std::optional<PortNo> Fdb::fullest_port() const {
  if (impl_->ports_by_count.empty()) return std::nullopt;
  return PortNo{impl_->ports_by_count.rbegin()->second};
}

std::size_t Fdb::size() const noexcept { return impl_->size.load(std::memory_order_relaxed); }

Fdb::LearnResult Fdb::learn(FdbKey key, PortNo port, TimePoint now) {
  const Word word = pack(key);
  if (const auto at = impl_->entries.find(word); at != impl_->entries.end()) {
    Entry& entry = at->second;
    if (entry.is_static) return {Learned::kIgnored, {}, {}};
    if (entry.port == port) {
      if (now > entry.seen) {
        entry.seen = now;
        auto& ages = impl_->learned.at(port);
        ages.splice(ages.end(), ages, entry.age);
      }
      return {Learned::kRefreshed, {}, {}};
    }
    const PortNo old_port = entry.port;
    impl_->unlink(entry);
    entry.port = port;
    entry.seen = std::max(entry.seen, now);
    impl_->link(word, entry);
    impl_->keep_change(word);
    impl_->table().put(word, port);
    impl_->changed();
    return {Learned::kMoved, old_port, {}};
  }
  if (impl_->limit == 0) return {Learned::kIgnored, {}, {}};
  std::optional<FdbKey> evicted;
  if (impl_->entries.size() >= impl_->limit) {
    const auto victim = impl_->evict(port);
    if (!victim) return {Learned::kIgnored, {}, {}};  // full of static entries
    evicted = unpack(*victim);
  }
  impl_->add(word, Entry{port, false, now, {}});
  impl_->changed();
  return {Learned::kAdded, {}, evicted};
}

void Fdb::add_static(FdbKey key, PortNo port) {
  const Word word = pack(key);
  if (impl_->entries.contains(word)) {
    Entry& entry = impl_->entries.at(word);
    if (!entry.is_static) impl_->unlink(entry);
    entry = Entry{port, true, {}, {}};
    impl_->keep_change(word);
    impl_->table().put(word, port);
  } else {
    impl_->add(word, Entry{port, true, {}, {}});
  }
  impl_->changed();
}

bool Fdb::remove(FdbKey key) {
  const Word word = pack(key);
  if (!impl_->entries.contains(word)) return false;
  impl_->erase(word);
  impl_->changed();
  return true;
}

std::vector<FdbKey> Fdb::flush(std::optional<PortNo> port) {
  return impl_->erase_if([&](const Entry& entry) { return !entry.is_static && (!port || entry.port == *port); });
}

std::vector<FdbKey> Fdb::remove_port(PortNo port) {
  return impl_->erase_if([&](const Entry& entry) { return entry.port == port; });
}

std::vector<FdbKey> Fdb::expire(TimePoint now, const std::function<bool(const FdbKey&)>& still_used) {
  std::vector<FdbKey> gone;
  std::vector<FdbEntry> used;
  for (const auto& [port, ages] : impl_->learned)
    for (const Word key : ages) {
      if (impl_->entries.at(key).seen + impl_->ageing > now) break;
      if (still_used && still_used(unpack(key)))
        used.push_back({unpack(key), port});
      else
        gone.push_back(unpack(key));
    }
  for (const FdbEntry& entry : used) (void)learn(entry.key, entry.port, now);
  for (const FdbKey& key : gone) impl_->erase(pack(key));
  if (!gone.empty()) impl_->changed();
  return gone;
}

void Fdb::set_ageing(std::chrono::seconds ageing) { impl_->ageing = ageing; }

std::vector<FdbKey> Fdb::set_limit(std::size_t limit) {
  impl_->limit = limit;
  std::vector<FdbKey> gone;
  while (impl_->entries.size() > limit) {
    const auto victim = impl_->evict(std::nullopt);
    if (!victim) break;  // the rest is static
    gone.push_back(unpack(*victim));
  }
  if (!gone.empty()) impl_->changed();
  return gone;
}

std::chrono::seconds Fdb::ageing() const { return impl_->ageing; }

std::size_t Fdb::limit() const { return impl_->limit; }

std::vector<FdbEntry> Fdb::list() const {
  std::vector<FdbEntry> all;
  all.reserve(impl_->entries.size());
  for (const auto& [key, entry] : impl_->entries) all.push_back({unpack(key), entry.port, entry.is_static, entry.seen});
  std::sort(all.begin(), all.end(), [](const FdbEntry& a, const FdbEntry& b) { return a.key < b.key; });
  return all;
}

FdbChanges Fdb::take_changes() {
  const bool first = !impl_->kept_changes;
  FdbChanges changes;
  changes.everything = first || std::exchange(impl_->too_many_changes, false);
  if (changes.everything) {
    for (const FdbEntry& entry : list()) changes.changes.push_back({entry.key, entry});
  } else {
    for (const Word key : *impl_->kept_changes) {
      FdbChanges::Change change{unpack(key), {}};
      if (const auto at = impl_->entries.find(key); at != impl_->entries.end())
        change.now = {change.key, at->second.port, at->second.is_static, at->second.seen};
      changes.changes.push_back(std::move(change));
    }
  }
  impl_->kept_changes.emplace();
  return changes;
}

}  // namespace shunt
