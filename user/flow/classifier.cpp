// SPDX-License-Identifier: Apache-2.0
#include "user/flow/classifier.h"

#include <algorithm>
#include <deque>
#include <random>
#include <unordered_map>

#include "user/flow/subtable.h"

namespace shunt {

namespace {

// What a look-up needs of a subtable to pass it by, side by side in memory.
struct Listed {
  const Subtable* subtable;
  std::uint16_t max_priority;
  std::array<std::uint8_t, kTrieFields> prefix;  // lengths; 0: no trie for this field here
  std::uint32_t serial;

  // Among equals the older subtable stays first, so that a rule does not win and lose by turns.
  friend bool operator<(const Listed& a, const Listed& b) {
    return a.max_priority != b.max_priority ? a.max_priority > b.max_priority : a.serial < b.serial;
  }
};
using SubtableList = std::vector<Listed>;  // by descending priority; never edited once readers have it

struct Tries {
  std::array<PrefixTrie<std::uint32_t>, kNarrowTries> narrow;
  std::array<PrefixTrie<Bits128>, kTrieFields - kNarrowTries> wide;

  [[nodiscard]] PrefixMatches lookup(unsigned field, const KeyWords& key) const noexcept {
    if (field < kNarrowTries) return narrow[field].lookup(narrow_value(key, field));
    return wide[field - kNarrowTries].lookup(wide_value(key, field));
  }
};

struct WordsHash {
  std::size_t operator()(const KeyWords& words) const noexcept {
    std::uint64_t hash = 0;
    for (const auto word : words) hash = hash_step(hash, word);
    return hash;
  }
};

// One look-up: the key, and what was learned about its prefixes so far.
class Search {
 public:
  Search(const Tries& tries, const FlowKey& key, std::uint64_t version, FlowMask& examined) noexcept
      : tries_{tries}, key_{to_words(key)}, version_{version}, mask_{examined}, examined_{to_words(examined)} {}
  ~Search() { mask_ = from_words(examined_); }
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;

  const RuleNode* run(const SubtableList& subtables) noexcept {
    const RuleNode* best = nullptr;
    for (const Listed& listed : subtables) {
      if (best != nullptr && listed.max_priority <= best->priority) break;
      if (known_to_miss(listed)) continue;
      const RuleNode* found = probe(listed);
      if (found != nullptr && (best == nullptr || found->priority > best->priority)) best = found;
    }
    return best;
  }

 private:
  static constexpr unsigned kNarrowWidth = PrefixTrie<std::uint32_t>::kWidth;

  const Tries& tries_;
  const KeyWords key_;
  const std::uint64_t version_;
  FlowMask& mask_;
  KeyWords examined_;
  std::uint8_t looked_up_ = 0;                           // bit per TrieField
  std::array<std::uint8_t, kTrieFields> prefix_bits_{};  // un-wildcarded for tries so far
  std::array<PrefixMatches, kTrieFields> matches_;
  std::array<std::uint64_t, kTrieFields> known_misses_{};  // bit per length up to kNarrowWidth; never bit 0

  // True where prefix bits that are un-wildcarded already prove that the subtable has no such rule.
  [[nodiscard]] bool known_to_miss(const Listed& listed) const noexcept {
    std::uint64_t misses = 0;
    for (unsigned field = 0; field < kNarrowTries; ++field) misses |= known_misses_[field] >> listed.prefix[field];
    return (misses & 1) != 0;
  }

  // True where the field's trie proves that the subtable has no such rule; un-wildcards the proof. Whether a prefix of
  // some length matches depends on no bit behind that length.
  bool prefix_misses(const Listed& listed, unsigned field) noexcept {
    const unsigned length = listed.prefix[field];
    if (length == 0) return false;
    if ((looked_up_ >> field & 1) == 0) {
      matches_[field] = tries_.lookup(field, key_);
      looked_up_ = static_cast<std::uint8_t>(looked_up_ | 1u << field);
    }
    if (matches_[field].has(length)) return false;
    const unsigned bits = std::min<unsigned>(length, matches_[field].bits);
    if (bits > prefix_bits_[field]) {
      prefix_bits_[field] = static_cast<std::uint8_t>(bits);
      add_prefix(examined_, field, bits);
      // These bits tell about each length up to theirs, and about every length if they are all that the trie took.
      const unsigned told = bits >= matches_[field].bits ? kNarrowWidth : std::min(bits, kNarrowWidth);
      known_misses_[field] = ~matches_[field].lengths[0] & ((std::uint64_t{2} << told) - 2);
    }
    return true;
  }

  bool prefixes_miss(const Listed& listed, unsigned stage) noexcept {
    if (stage == 2)
      return prefix_misses(listed, kIpv4Dst) || prefix_misses(listed, kIpv4Src) || prefix_misses(listed, kIpv6Dst) ||
             prefix_misses(listed, kIpv6Src);
    if (stage == 3) return prefix_misses(listed, kPortDst) || prefix_misses(listed, kPortSrc);
    return false;
  }

  const RuleNode* probe(const Listed& listed) noexcept {
    const Subtable& subtable = *listed.subtable;
    const unsigned count = subtable.word_count();
    std::array<std::uint64_t, kKeyWords> value;
    std::uint64_t hash = subtable.seed();
    unsigned i = 0;
    for (unsigned stage = 0; i < count; ++stage) {
      const unsigned end = subtable.stage_end(stage);
      if (end == i) continue;
      if (prefixes_miss(listed, stage)) return nullptr;
      for (; i < end; ++i) {
        value[i] = key_[subtable.word(i)] & subtable.bits(i);
        hash = hash_step(hash, value[i]);
      }
      if (i < count && !subtable.stage_has(stage, hash)) {
        examine(subtable, i);
        return nullptr;
      }
    }
    const RuleNode* found = subtable.find(hash, value.data(), version_);
    if (found != nullptr || !subtable.no_such_ports(key_, examined_)) examine(subtable, count);
    return found;
  }

  void examine(const Subtable& subtable, unsigned words) noexcept {
    for (unsigned i = 0; i < words; ++i) examined_[subtable.word(i)] |= subtable.bits(i);
  }
};

}  // namespace

struct Classifier::Impl {
  // Readers.
  std::atomic<SubtableList*> list{new SubtableList};
  Tries tries;

  // Writer.
  struct Change {
    std::uint64_t version;
    RuleNode* node;
    Subtable* subtable;
  };
  std::unordered_map<KeyWords, std::unique_ptr<Subtable>, WordsHash> subtables;
  std::vector<Subtable*> stale;  // changed their best priority, came or went since publish()
  std::uint32_t next_serial = 0;
  std::vector<Change> added;   // at the newest version, for rollback()
  std::deque<Change> removed;  // by version; still linked, for readers of older versions
  std::size_t size = 0;
  std::uint64_t seed = std::random_device{}() | std::uint64_t{std::random_device{}()} << 32;
  Garbage garbage;

  ~Impl() { delete list.load(std::memory_order_relaxed); }

  [[nodiscard]] Subtable* subtable(const FlowMask& mask) const {
    const auto at = subtables.find(to_words(mask));
    return at == subtables.end() ? nullptr : at->second.get();
  }

  Subtable& subtable_for(const FlowMask& mask) {
    auto& place = subtables[to_words(mask)];
    if (!place) {
      place = std::make_unique<Subtable>(mask, seed, next_serial++);
    }
    return *place;
  }

  void mark_stale(Subtable& subtable) {
    if (!subtable.is_stale) stale.push_back(&subtable);
    subtable.is_stale = true;
  }

  template <typename Visit>  // visit(trie, value, length) for each prefix of the rule
  void for_each_prefix(const Rule& rule, Visit visit) {
    const auto lengths = prefix_lengths(to_words(rule.match.mask));
    const KeyWords words = to_words(rule.match.value);
    for (unsigned field = 0; field < kTrieFields; ++field) {
      if (lengths[field] == 0) continue;
      if (field < kNarrowTries)
        visit(tries.narrow[field], narrow_value(words, field), lengths[field]);
      else
        visit(tries.wide[field - kNarrowTries], wide_value(words, field), lengths[field]);
    }
  }

  void unlink(RuleNode& node, Subtable& subtable) {
    const std::uint16_t priority = subtable.max_priority();
    for_each_prefix(*node.rule, [&](auto& trie, auto value, unsigned length) {
      trie.remove(value, length, [&](auto* gone) { garbage.add(gone); });
    });
    subtable.unlink(node, garbage);
    if (subtable.empty() || subtable.max_priority() != priority) mark_stale(subtable);
    if (!subtable.empty()) return;
    const auto at = subtables.find(to_words(subtable.mask()));
    garbage.add(at->second.release());
    subtables.erase(at);
  }
};

Classifier::Classifier() : impl_{std::make_unique<Impl>()} {}
Classifier::~Classifier() = default;

const Rule* Classifier::lookup(const FlowKey& key, std::uint64_t version, FlowMask& examined) const noexcept {
  const SubtableList& subtables = *impl_->list.load(std::memory_order_acquire);
  const RuleNode* found = Search{impl_->tries, key, version, examined}.run(subtables);
  return found != nullptr ? found->rule.get() : nullptr;
}

void Classifier::insert(RuleRef rule, std::uint64_t version) {
  impl_->garbage.set_tag(version);
  if (!impl_->added.empty() && impl_->added.back().version != version) impl_->added.clear();
  Subtable& subtable = impl_->subtable_for(rule->match.mask);
  if (subtable.empty() || rule->priority > subtable.max_priority()) impl_->mark_stale(subtable);
  impl_->for_each_prefix(*rule, [](auto& trie, auto value, unsigned length) { trie.insert(value, length); });
  RuleNode* node = subtable.link(std::move(rule), version, impl_->garbage);
  impl_->added.push_back({version, node, &subtable});
  ++impl_->size;
}

void Classifier::remove(const Rule& rule, std::uint64_t version) {
  Subtable* subtable = impl_->subtable(rule.match.mask);
  RuleNode* node = subtable->find(rule);
  node->removed.store(version, std::memory_order_relaxed);
  impl_->removed.push_back({version, node, subtable});
  --impl_->size;
}

void Classifier::publish() {
  if (impl_->stale.empty()) return;
  SubtableList changed;
  for (const Subtable* subtable : impl_->stale)
    if (!subtable->empty())
      changed.push_back(
          {subtable, subtable->max_priority(), prefix_lengths(to_words(subtable->mask())), subtable->serial()});
  std::sort(changed.begin(), changed.end());

  SubtableList* old = impl_->list.load(std::memory_order_relaxed);
  auto list = std::make_unique<SubtableList>();
  list->reserve(old->size() + changed.size());
  auto next = changed.begin();
  for (const Listed& listed : *old) {
    if (listed.subtable->is_stale) continue;
    while (next != changed.end() && *next < listed) list->push_back(*next++);
    list->push_back(listed);
  }
  list->insert(list->end(), next, changed.end());

  for (Subtable* subtable : impl_->stale) subtable->is_stale = false;
  impl_->stale.clear();
  impl_->list.store(list.release(), std::memory_order_release);
  impl_->garbage.add(old);
}

RuleRef Classifier::find(const Match& match, std::uint16_t priority, std::uint64_t version) const {
  const Subtable* subtable = impl_->subtable(match.mask);
  const RuleNode* node = subtable != nullptr ? subtable->find(match.value, priority, version) : nullptr;
  return node != nullptr ? node->rule : nullptr;
}

std::vector<RuleRef> Classifier::rules(std::uint64_t version) const { return select(Match{}, version); }

std::vector<RuleRef> Classifier::select(const Match& filter, std::uint64_t version) const {
  std::vector<RuleRef> selected;
  for (const auto& [mask, subtable] : impl_->subtables) {
    if (!is_subset(filter.mask, subtable->mask())) continue;
    if (equal(filter.mask, subtable->mask())) {
      for (const RuleNode* node = subtable->head(filter.value); node != nullptr;
           node = node->next.load(std::memory_order_relaxed))
        if (node->visible(version)) selected.push_back(node->rule);
      continue;
    }
    subtable->for_each([&](const RuleNode& node) {
      if (node.visible(version) && filter.matches(node.rule->match.value)) selected.push_back(node.rule);
    });
  }
  return selected;
}

std::size_t Classifier::size() const { return impl_->size; }

void Classifier::rollback(std::uint64_t version) {
  impl_->garbage.set_tag(version);
  while (!impl_->removed.empty() && impl_->removed.back().version == version) {
    impl_->removed.back().node->removed.store(kNever, std::memory_order_relaxed);
    impl_->removed.pop_back();
    ++impl_->size;
  }
  if (impl_->added.empty() || impl_->added.back().version != version) return;
  for (const auto& change : impl_->added) {
    impl_->unlink(*change.node, *change.subtable);
    --impl_->size;
  }
  impl_->added.clear();
  publish();
}

void Classifier::collect(std::uint64_t version, std::uint64_t newest) {
  impl_->garbage.free(version);
  impl_->garbage.set_tag(newest + 1);
  impl_->added.clear();
  while (!impl_->removed.empty() && impl_->removed.front().version <= version) {
    impl_->unlink(*impl_->removed.front().node, *impl_->removed.front().subtable);
    impl_->removed.pop_front();
  }
  publish();
}

}  // namespace shunt
