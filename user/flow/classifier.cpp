// SPDX-License-Identifier: Apache-2.0
#include "user/flow/classifier.h"

#include <algorithm>
#include <deque>
#include <random>
#include <unordered_map>
#include <variant>

#include "user/flow/search.h"

namespace shunt {

namespace {

// Rules of one hash that a subtable takes before they are told apart by bits of their ports, in another one.
constexpr unsigned kChainLimit = 64;

struct WordsHash {
  std::size_t operator()(const PipelineWords& words) const noexcept {
    std::uint64_t hash = 0;
    for (const auto word : words) hash = hash_step(hash, word);
    return hash;
  }
};

bool is_clause(const Rule& rule) {
  const auto is = [](const Action& action) { return std::holds_alternative<ConjunctionAction>(action); };
  return std::any_of(rule.actions.begin(), rule.actions.end(), is) &&
         std::all_of(rule.actions.begin(), rule.actions.end(),
                     [&](const Action& action) { return is(action) || std::holds_alternative<NoteAction>(action); });
}

// Picks out of what it is shown the rules that a filter selects.
class Selection {
 public:
  Selection(const Match& filter, std::uint64_t version, std::vector<RuleRef>& selected)
      : filter_{filter}, value_{to_words(filter.value)}, version_{version}, selected_{selected} {}

  [[nodiscard]] bool may_be_in(const Subtable& subtable) const {
    return std::ranges::any_of(subtable.shapes(), [&](const MaskShape* each) { return fits(from_words(each->mask)); });
  }
  // All of the subtable's that fit have the filter's hash there.
  [[nodiscard]] bool is_one_chain(const Subtable& subtable) const {
    return is_subset(from_words(subtable.mask()), filter_.mask);
  }
  template <typename Visit>
  void for_chain(const Subtable& subtable, Visit visit) const {
    for (const ChainEntry& entry : subtable.chain(subtable.hash(value_)).entries()) visit(*entry.node);
  }
  // A match is many cache lines, and a table may have a million of them: rules of a shape have one mask, and of those
  // that an empty filter selects no match is looked at.
  void take(const RuleNode& node) {
    if (!node.visible(version_)) return;
    if (node.shape != shape_) {
      shape_ = node.shape;
      shape_fits_ = fits(from_words(shape_->mask));
    }
    if (shape_fits_ && (all_ || filter_.matches(node.rule->match.value))) selected_.push_back(node.rule);
  }

 private:
  const Match& filter_;
  const PipelineWords value_;
  const std::uint64_t version_;
  std::vector<RuleRef>& selected_;
  const bool all_ = is_zero(filter_.mask);
  const MaskShape* shape_ = nullptr;
  bool shape_fits_ = false;

  [[nodiscard]] bool fits(const PipelineMask& rule_mask) const { return is_subset(filter_.mask, rule_mask); }
};

}  // namespace

struct Classifier::Impl {
  // Readers.
  std::atomic<SubtableList*> list{new SubtableList};
  std::atomic<std::uint32_t> clause_count{0};  // rules that are clauses of conjunctive matches
  Addresses addresses;
  HashIndex<std::uint32_t> cookies;  // how many rules have each

  // Writer.
  struct Change {
    std::uint64_t version;
    RuleNode* node;
  };
  std::unordered_map<PipelineWords, std::unique_ptr<Subtable>, WordsHash> subtables;
  std::unordered_map<PipelineWords, MaskShape, WordsHash> shapes;  // references stay good when others come
  std::vector<Subtable*> stale;                                    // what the list says of them is not up to date
  std::uint32_t next_serial = 0;
  std::vector<Change> added;   // at the newest version, for rollback()
  std::deque<Change> removed;  // by version; still linked, for readers of older versions
  std::size_t size = 0;
  std::uint64_t seed = std::random_device{}() | std::uint64_t{std::random_device{}()} << 32;
  Garbage garbage;

  ~Impl() { delete list.load(std::memory_order_relaxed); }

  [[nodiscard]] std::uint64_t hash_of(std::uint64_t cookie) const noexcept { return cookie ^ seed; }
  void count_cookie(std::uint64_t cookie) {
    if (auto* count = cookies.place(hash_of(cookie), [](std::uint32_t) { return true; }))
      count->store(count->load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    else
      cookies.add(hash_of(cookie), 1, [&](auto* array) { garbage.add(array); });
  }
  void discount_cookie(std::uint64_t cookie) {
    auto* count = cookies.place(hash_of(cookie), [](std::uint32_t) { return true; });
    const std::uint32_t left = count->load(std::memory_order_relaxed) - 1;
    count->store(left, std::memory_order_relaxed);
    if (left == 0) cookies.died();
  }

  void mark_stale(Subtable& subtable) {
    if (!subtable.is_stale) stale.push_back(&subtable);
    subtable.is_stale = true;
  }

  [[nodiscard]] const MaskShape* find_shape(const PipelineMask& mask) const {
    const auto at = shapes.find(to_words(mask));
    return at == shapes.end() ? nullptr : &at->second;
  }

  MaskShape& shape_for(const PipelineWords& mask) {
    const auto [at, is_new] = shapes.try_emplace(mask, mask);
    MaskShape& shape = at->second;
    if (!is_new) return shape;
    const RelaxedMasks relaxed = relaxed_masks(mask, shape.lengths);
    for (; shape.level_count < relaxed.count; ++shape.level_count) {
      auto& place = subtables[relaxed.masks[shape.level_count]];
      if (!place) place = std::make_unique<Subtable>(relaxed.masks[shape.level_count], seed, next_serial++);
      place->adopt(shape, shape.level_count);
    }
    return shape;
  }

  // A shape without rules goes, and the subtables that were there for it alone. A subtable without rules that another
  // shape may still use is only left out of the list.
  void drop(MaskShape& shape) {
    for (unsigned i = 0; i < shape.level_count; ++i) {
      Subtable* subtable = shape.levels[i].subtable;
      subtable->release(shape, i);
      if (!subtable->shapes().empty()) continue;
      if (subtable->is_stale) std::erase(stale, subtable);
      const auto at = subtables.find(subtable->mask());
      retired.push_back(std::move(at->second));
      subtables.erase(at);
    }
    shapes.erase(shapes.find(shape.mask));
  }
  std::vector<std::unique_ptr<Subtable>> retired;  // out of use, but perhaps still in the list

  void link(RuleNode& node) {
    const PipelineWords value = to_words(node.rule->match.value);
    MaskShape& shape = *node.shape;
    for (unsigned i = 0; i < shape.level_count; ++i) {
      const bool is_last = i + 1 == shape.level_count;
      node.level = static_cast<std::uint8_t>(i);
      Subtable& subtable = *shape.levels[i].subtable;
      const bool was_better = !subtable.empty() && subtable.max_priority() >= node.priority();
      if (!subtable.link(node, value, is_last ? Subtable::kNoLimit : kChainLimit, garbage)) continue;
      ++shape.levels[i].rules;
      ++shape.rules;
      if (!was_better) mark_stale(subtable);
      return;
    }
  }

  // A rule's place: its node and the level of its shape.
  template <typename Accept>
  [[nodiscard]] static RuleNode* find(const MaskShape& shape, const PipelineWords& value, Accept accept) {
    for (unsigned i = 0; i < shape.level_count; ++i) {
      if (shape.levels[i].rules == 0) continue;
      const Subtable& subtable = *shape.levels[i].subtable;
      for (const ChainEntry& entry : subtable.chain(subtable.hash(value)).entries())
        if (entry.ports == ChainEntry::ports_of(value) && entry.node->shape == &shape && accept(*entry.node))
          return entry.node;
    }
    return nullptr;
  }

  template <typename Visit>  // visit(prefixes, value, length) for each address prefix of the rule
  void for_each_prefix(const RuleNode& node, Visit visit) {
    const PipelineWords words = to_words(node.rule->match.value);
    for (unsigned field = 0; field < kAddressFields; ++field) {
      const unsigned length = node.shape->lengths[field];
      if (length == 0) continue;
      if (field < kNarrowAddresses)
        visit(addresses.narrow[field], narrow_value(words, field), length);
      else
        visit(addresses.wide[field - kNarrowAddresses], wide_value(words, field), length);
    }
  }

  void unlink(RuleNode& node) {
    for_each_prefix(node, [&](auto& prefixes, auto value, unsigned length) {
      prefixes.remove(value, length, node.priority(), [&](auto* gone) { garbage.add(gone); });
    });
    if (node.entry.is_clause) clause_count.fetch_sub(1, std::memory_order_relaxed);
    MaskShape& shape = *node.shape;
    Subtable& subtable = *shape.levels[node.level].subtable;
    const std::uint16_t priority = subtable.max_priority();
    --shape.levels[node.level].rules;
    --shape.rules;
    subtable.unlink(node, garbage);
    if (subtable.empty() || subtable.max_priority() != priority) mark_stale(subtable);
    if (shape.rules == 0) drop(shape);
  }
};

Classifier::Classifier() : impl_{std::make_unique<Impl>()} {}
Classifier::~Classifier() = default;

const Rule* Classifier::lookup(const PipelineKey& key, std::uint64_t version, PipelineMask& examined) const noexcept {
  const SubtableList& list = *impl_->list.load(std::memory_order_acquire);
  const PipelineWords words = to_words(key);
  PipelineWords mask = to_words(examined);
  Search search{list, impl_->addresses, words, version, mask};
  const bool has_clauses = impl_->clause_count.load(std::memory_order_relaxed) != 0;
  const RuleNode* found = has_clauses ? search.run_with_clauses() : search.run();
  examined = from_words(mask);
  return found != nullptr ? found->rule.get() : nullptr;
}

// By descending best priority: behind the first subtable of none so good no rule is.
bool Classifier::contains(const Match& match, std::uint16_t priority, std::uint64_t version) const noexcept {
  const PipelineWords value = to_words(match.value);
  for (const Listed& listed : *impl_->list.load(std::memory_order_acquire)) {
    if (listed.max_priority < priority) return false;
    const Subtable& subtable = *listed.subtable;
    if (!is_subset(from_words(subtable.mask()), match.mask)) continue;
    for (const ChainEntry& entry : subtable.chain(subtable.hash(value)).entries())
      if (entry.priority == priority && entry.node->visible(version) &&
          equal(entry.node->rule->match.mask, match.mask) && equal(entry.node->rule->match.value, match.value))
        return true;
  }
  return false;
}

std::uint32_t Classifier::count(std::uint64_t cookie) const noexcept {
  return impl_->cookies.find(impl_->hash_of(cookie), [](std::uint32_t) { return true; });
}

void Classifier::insert(RuleRef rule, std::uint64_t version) {
  impl_->garbage.set_tag(version);
  impl_->count_cookie(rule->cookie);
  if (!impl_->added.empty() && impl_->added.back().version != version) impl_->added.clear();
  MaskShape& shape = impl_->shape_for(to_words(rule->match.mask));
  const bool clause = is_clause(*rule);
  RuleNode* node = RuleNode::make(std::move(rule), version, &shape, clause);
  if (clause) impl_->clause_count.fetch_add(1, std::memory_order_relaxed);
  impl_->for_each_prefix(*node, [&](auto& prefixes, auto value, unsigned length) {
    prefixes.insert(value, length, node->priority(), [&](auto* gone) { impl_->garbage.add(gone); });
  });
  impl_->link(*node);
  impl_->added.push_back({version, node});
  ++impl_->size;
}

void Classifier::remove(const Rule& rule, std::uint64_t version) {
  const MaskShape* shape = impl_->find_shape(rule.match.mask);
  RuleNode* node = Impl::find(*shape, to_words(rule.match.value), [&](const RuleNode& at) {
    return at.rule.get() == &rule && at.removed.load(std::memory_order_relaxed) == kNever;
  });
  node->removed.store(version, std::memory_order_relaxed);
  impl_->removed.push_back({version, node});
  impl_->discount_cookie(rule.cookie);
  --impl_->size;
}

void Classifier::publish() {
  if (impl_->stale.empty() && impl_->retired.empty()) return;
  SubtableList changed;
  for (const Subtable* subtable : impl_->stale) {
    if (subtable->empty()) continue;
    changed.push_back({subtable, subtable->serial(), subtable->max_priority(), {}, false});
    Listed& listed = changed.back();
    std::copy_n(subtable->lengths().begin(), listed.lengths.size(), listed.lengths.begin());
    listed.is_wide = (listed.lengths[kIpv6Dst] | listed.lengths[kIpv6Src]) != 0;
  }
  std::sort(changed.begin(), changed.end());
  for (auto& subtable : impl_->retired) subtable->is_stale = true;

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
  for (auto& subtable : impl_->retired) impl_->garbage.add(subtable.release());
  impl_->retired.clear();
}

RuleRef Classifier::find(const Match& match, std::uint16_t priority, std::uint64_t version) const {
  const MaskShape* shape = impl_->find_shape(match.mask);
  if (shape == nullptr) return nullptr;
  const RuleNode* node = Impl::find(*shape, to_words(match.value), [&](const RuleNode& at) {
    return at.priority() == priority && at.visible(version) && equal(at.rule->match.value, match.value);
  });
  return node != nullptr ? node->rule : nullptr;
}

std::vector<RuleRef> Classifier::rules(std::uint64_t version) const { return select(Match{}, version); }

std::vector<RuleRef> Classifier::select(const Match& filter, std::uint64_t version, std::size_t& looked_at) const {
  std::vector<RuleRef> selected;
  Selection selection{filter, version, selected};
  for (const auto& [own, subtable] : impl_->subtables) {
    if (!selection.may_be_in(*subtable)) continue;
    const auto take = [&](const RuleNode& node) {
      ++looked_at;
      selection.take(node);
    };
    if (selection.is_one_chain(*subtable))
      selection.for_chain(*subtable, take);
    else
      subtable->for_each(take);
  }
  return selected;
}

bool Classifier::select_some(const Match& filter, std::uint64_t version, Place& place, std::size_t most,
                             std::vector<RuleRef>& selected) const {
  if (place.list == nullptr) place.list = impl_->list.load(std::memory_order_relaxed);
  const auto& list = *static_cast<const SubtableList*>(place.list);
  Selection selection{filter, version, selected};
  const auto take = [&](const RuleNode& node) { selection.take(node); };
  for (; place.subtable < list.size(); ++place.subtable) {
    if (most == 0) return true;
    --most;
    const Subtable& subtable = *list[place.subtable].subtable;
    if (!selection.may_be_in(subtable)) continue;
    if (selection.is_one_chain(subtable)) {
      selection.for_chain(subtable, take);
      continue;
    }
    Subtable::Place at{static_cast<const HashIndex<Chain>::Array*>(place.array), place.entry};
    const std::size_t before = at.next;
    const bool more = subtable.for_some(at, most, take);
    most -= at.next - before;
    place.array = more ? at.array : nullptr;
    place.entry = more ? at.next : 0;
    if (more) return true;
  }
  return false;
}

// Rules of a subtable whose mask the match has too are in one chain, or do not overlap it.
RuleRef Classifier::find_overlap(const Match& match, std::uint16_t priority, std::uint64_t version,
                                 std::size_t& looked_at) const {
  const PipelineWords value = to_words(match.value);
  for (const auto& [own, subtable] : impl_->subtables) {
    if (subtable->empty() || subtable->max_priority() < priority) continue;
    const RuleNode* found = nullptr;
    const auto look = [&](const RuleNode& node) {
      ++looked_at;
      if (found == nullptr && node.priority() == priority && node.visible(version) && node.rule->match.overlaps(match))
        found = &node;
    };
    if (is_subset(from_words(own), match.mask)) {
      for (const ChainEntry& entry : subtable->chain(subtable->hash(value)).entries()) look(*entry.node);
    } else {
      subtable->for_each(look);
    }
    if (found != nullptr) return found->rule;
  }
  return nullptr;
}

std::size_t Classifier::size() const { return impl_->size; }

void Classifier::rollback(std::uint64_t version) {
  impl_->garbage.set_tag(version);
  while (!impl_->removed.empty() && impl_->removed.back().version == version) {
    impl_->removed.back().node->removed.store(kNever, std::memory_order_relaxed);
    impl_->count_cookie(impl_->removed.back().node->rule->cookie);
    impl_->removed.pop_back();
    ++impl_->size;
  }
  if (impl_->added.empty() || impl_->added.back().version != version) return;
  for (const auto& change : impl_->added) {
    impl_->discount_cookie(change.node->rule->cookie);
    impl_->unlink(*change.node);
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
    impl_->unlink(*impl_->removed.front().node);
    impl_->removed.pop_front();
  }
  publish();
}

}  // namespace shunt
