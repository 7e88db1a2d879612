// SPDX-License-Identifier: Apache-2.0
#include "user/flow/classifier.h"

#include <algorithm>
#include <deque>
#include <random>
#include <unordered_map>
#include <variant>

#include "user/flow/cookie_counts.h"
#include "user/flow/search.h"

namespace shunt {

namespace {

// A subtable that looks at less of the addresses takes the place of so many that look at what their rules do, so that a
// look-up asks one and not all. Rules that are there already go to it if they are few.
constexpr std::size_t kReplaced = 2;
constexpr std::size_t kMovedRules = 64;

struct WordsHash {
  std::size_t operator()(const PipelineWords& words) const noexcept {
    std::uint64_t sum = 0;  // its parts are found side by side
    for (std::size_t i = 0; i < words.size(); ++i) sum += hash_step(i, words[i]);
    return sum;
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
  Selection(const std::vector<MaskShape*>& shapes, const Match& filter, std::uint64_t version,
            std::vector<RuleRef>& selected)
      : shapes_{shapes}, filter_{filter}, value_{to_words(filter.value)}, version_{version}, selected_{selected} {}

  [[nodiscard]] bool may_be_in(const Subtable& subtable) const {
    return std::ranges::any_of(subtable.shapes(), [&](const MaskShape* each) { return fits(from_words(each->mask)); });
  }
  // All of the subtable's that fit have the filter's hash there.
  [[nodiscard]] bool is_one_chain(const Subtable& subtable) const {
    return is_subset(from_words(subtable.mask()), filter_.mask);
  }
  template <typename Visit>
  void for_chain(const Subtable& subtable, Visit visit) const {
    subtable.chain_of(value_).for_each_node(visit);
  }
  // A match is many cache lines, and a table may have a million of them: rules of a shape have one mask, and of those
  // that an empty filter selects no match is looked at.
  void take(const RuleNode& node) {
    if (!node.visible(version_)) return;
    if (node.shape != shape_) {
      shape_ = node.shape;
      shape_fits_ = fits(from_words(shapes_[shape_]->mask));
    }
    if (shape_fits_ && (all_ || filter_.matches(node.rule->match.value))) selected_.push_back(node.rule);
  }

 private:
  static constexpr std::uint32_t kNoShape = ~std::uint32_t{0};
  const std::vector<MaskShape*>& shapes_;
  const Match& filter_;
  const PipelineWords value_;
  const std::uint64_t version_;
  std::vector<RuleRef>& selected_;
  const bool all_ = is_zero(filter_.mask);
  std::uint32_t shape_ = kNoShape;
  bool shape_fits_ = false;

  [[nodiscard]] bool fits(const PipelineMask& rule_mask) const { return is_subset(filter_.mask, rule_mask); }
};

}  // namespace

struct Classifier::Impl {
  // Readers.
  std::atomic<SubtableList*> list{new SubtableList};
  std::atomic<std::uint32_t> clause_count{0};  // rules that are clauses of conjunctive matches
  const std::uint64_t seed = std::random_device{}() | std::uint64_t{std::random_device{}()} << 32;
  Arena arena;
  Garbage garbage{arena};
  Addresses addresses{seed, arena, garbage};
  CookieCounts cookies{seed, arena, garbage};

  // Writer.
  struct Change {
    std::uint64_t version;
    BlockRef node;
  };
  std::unordered_map<PipelineWords, std::unique_ptr<Subtable>, WordsHash> subtables;
  std::unordered_map<PipelineWords, MaskShape, WordsHash> shapes;   // references stay good when others come
  std::vector<MaskShape*> shape_by_number;                          // null: free
  std::vector<std::uint32_t> free_numbers;
  std::vector<Subtable*> stale;                    // what the list says of them is not up to date
  std::vector<std::unique_ptr<Subtable>> retired;  // out of use, but perhaps still in the list
  std::uint32_t next_serial = 0;
  std::vector<Change> added;   // at the newest version, for rollback()
  std::deque<Change> removed;  // by version; still linked, for readers of older versions
  std::size_t size = 0;

  ~Impl() { delete list.load(std::memory_order_relaxed); }

  [[nodiscard]] RuleNode& node(BlockRef ref) const { return *arena.at<RuleNode>(ref); }

  void mark_stale(Subtable& subtable) {
    if (!subtable.is_stale) stale.push_back(&subtable);
    subtable.is_stale = true;
  }

  MaskShape& shape_for(const PipelineWords& mask) {
    if (const auto at = shapes.find(mask); at != shapes.end()) return at->second;
    if (free_numbers.empty()) {
      free_numbers.push_back(static_cast<std::uint32_t>(shape_by_number.size()));
      shape_by_number.push_back(nullptr);
    }
    const std::uint32_t number = free_numbers.back();
    free_numbers.pop_back();
    MaskShape& shape = shapes.try_emplace(mask, mask, number).first->second;
    shape_by_number[number] = &shape;
    const RelaxedMasks relaxed = relaxed_masks(mask, shape.lengths);
    shape.first_exact = relaxed.first_exact;
    for (; shape.level_count < relaxed.count; ++shape.level_count) {
      const auto& [level_mask, chain_limit] = relaxed.levels[shape.level_count];
      auto& place = subtables[level_mask];
      if (!place) place = std::make_unique<Subtable>(level_mask, seed, next_serial++, arena);
      place->adopt(shape, shape.level_count);
      shape.levels[shape.level_count].chain_limit = chain_limit;
    }
    std::vector<Subtable*>& exact = shape.levels[0].subtable->exact;
    Subtable* const own = shape.levels[shape.first_exact].subtable;
    if (std::ranges::find(exact, own) == exact.end()) exact.push_back(own);
    return shape;
  }

  // A shape without rules goes, and the subtables that were there for it alone. A subtable without rules that another
  // shape may still use is only left out of the list.
  void drop(MaskShape& shape) {
    for (unsigned i = 0; i < shape.level_count; ++i) {
      Subtable* subtable = shape.levels[i].subtable;
      subtable->release(shape, i);
      if (!subtable->shapes().empty()) continue;
      std::erase(shape.levels[0].subtable->exact, subtable);
      if (subtable->is_stale) std::erase(stale, subtable);
      const auto at = subtables.find(subtable->mask());
      retired.push_back(std::move(at->second));
      subtables.erase(at);
    }
    shape_by_number[shape.number] = nullptr;
    free_numbers.push_back(shape.number);
    shapes.erase(shapes.find(shape.mask));
  }

  // Whether its first subtable looks at less of the addresses than its rules do.
  [[nodiscard]] static bool has_coarse(const MaskShape& shape) { return shape.first_exact != 0; }
  [[nodiscard]] static unsigned first_level(const MaskShape& shape) {
    return has_coarse(shape) && shape.levels[0].subtable->exact.size() < kReplaced ? shape.first_exact : 0;
  }
  // Rules of the subtables that this one takes the place of, if they are few.
  static std::vector<RuleRef> rules_to_move(const Subtable& coarse, std::uint64_t version) {
    std::vector<RuleRef> rules;
    for (const Subtable* exact : coarse.exact) {
      if (exact == &coarse || exact->size() > kMovedRules) continue;
      exact->for_each([&](const RuleNode& node) {
        if (node.visible(version)) rules.push_back(node.rule);
      });
    }
    return rules;
  }
  // The first of a shape's subtables whose chain has room, and at last the last one.
  [[nodiscard]] static unsigned level_for(const MaskShape& shape, const PipelineWords& value) {
    unsigned level = first_level(shape);
    while (level + 1 < shape.level_count &&
           shape.levels[level].subtable->chain_of(value).entries().size() >= shape.levels[level].chain_limit)
      ++level;
    return level;
  }

  BlockRef link(MaskShape& shape, RuleRef rule, std::uint64_t version, const PipelineWords& value, bool clause) {
    const unsigned level = level_for(shape, value);
    MaskShape::Level& place = shape.levels[level];
    if (place.subtable->empty() || place.subtable->max_priority() < rule->priority) mark_stale(*place.subtable);
    for_each_prefix(value, place.subtable->lengths(), [&](auto& prefixes, auto prefix, unsigned length) {
      prefixes.insert(prefix, length, rule->priority);
    });
    ++place.rules;
    ++shape.rules;
    return place.subtable->link(shape, level, std::move(rule), clause, version, value, garbage);
  }

  template <typename Visit>  // visit(prefixes, value, length) for each address prefix of a rule
  void for_each_prefix(const PipelineWords& value, const PrefixLengths& lengths, Visit visit) {
    for (unsigned field = 0; field < kAddressFields; ++field) {
      const unsigned length = lengths[field];
      if (length == 0) continue;
      if (field < kNarrowAddresses)
        visit(addresses.narrow[field], prefix_of(narrow_value(value, field), length), length);
      else
        visit(addresses.wide[field - kNarrowAddresses], prefix_of(wide_value(value, field), length), length);
    }
  }

  // What linking or unlinking a rule touches is fetched all at once: else each part of it waits for memory.
  void prefetch(const Subtable& subtable, const Subtable::StageHashes& hashes, const PipelineWords& value,
                const PrefixLengths& lengths) {
    subtable.prefetch(hashes);
    for_each_prefix(value, lengths,
                    [](const auto& prefixes, auto prefix, unsigned length) { prefixes.prefetch(prefix, length); });
    AddressWalks walks{addresses, value};
    while (walks.step(
        [&](const auto& walk, unsigned field) { return lengths[field] != 0 && !walk.decides(lengths[field]); }))
      continue;
    for_each_prefix(value, lengths, [](const auto& prefixes, auto prefix, unsigned length) {
      prefixes.trie.prefetch_bag(prefix, length);
    });
    subtable.prefetch_chain(hashes);
  }

  void unlink(BlockRef ref) {
    const RuleNode& node = this->node(ref);
    MaskShape& shape = *shape_by_number[node.shape];
    MaskShape::Level& place = shape.levels[node.level];
    Subtable& subtable = *place.subtable;
    const PipelineWords value = subtable.value_of(node);
    const Subtable::StageHashes hashes = subtable.stage_hashes(value);
    prefetch(subtable, hashes, value, subtable.lengths());
    for_each_prefix(value, subtable.lengths(), [&](auto& prefixes, auto prefix, unsigned length) {
      prefixes.remove(prefix, length, node.priority);
    });
    if (node.is_clause != 0) clause_count.fetch_sub(1, std::memory_order_relaxed);
    const std::uint16_t priority = subtable.max_priority();
    --place.rules;
    --shape.rules;
    subtable.unlink(ref, hashes, garbage);
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
  for (const Listed& listed : impl_->list.load(std::memory_order_acquire)->listed()) {
    if (listed.max_priority < priority) return false;
    if (!is_subset(from_words(listed.subtable->mask()), match.mask)) continue;
    bool found = false;
    listed.subtable->chain_of(value).for_each_node([&](const RuleNode& node) {
      found = found || (node.priority == priority && node.visible(version) && node.rule->match == match);
    });
    if (found) return true;
  }
  return false;
}

std::uint32_t Classifier::count(std::uint64_t cookie) const noexcept { return impl_->cookies.of(cookie); }

void Classifier::insert(RuleRef rule, std::uint64_t version) {
  impl_->garbage.set_tag(version);
  impl_->cookies.add(rule->cookie);
  if (!impl_->added.empty() && impl_->added.back().version != version) impl_->added.clear();
  MaskShape& shape = impl_->shape_for(to_words(rule->match.mask));
  const PipelineWords value = to_words(rule->match.value);
  const Subtable& subtable = *shape.levels[Impl::first_level(shape)].subtable;
  if (shape.rules == 0 && Impl::first_level(shape) == 0) {
    for (const RuleRef& each : Impl::rules_to_move(subtable, version)) {
      remove(*each, version);
      insert(each, version);
    }
  }
  impl_->prefetch(subtable, subtable.stage_hashes(value), value, subtable.lengths());
  const bool clause = is_clause(*rule);
  if (clause) impl_->clause_count.fetch_add(1, std::memory_order_relaxed);
  const Rule& linked = *rule;  // which its node holds
  linked.node = impl_->link(shape, std::move(rule), version, value, clause);
  impl_->added.push_back({version, linked.node});
  ++impl_->size;
}

void Classifier::remove(const Rule& rule, std::uint64_t version) {
  impl_->node(rule.node).removed.store(version, std::memory_order_relaxed);
  impl_->removed.push_back({version, rule.node});
  impl_->garbage.set_tag(version);
  impl_->cookies.remove(rule.cookie);
  --impl_->size;
}

void Classifier::publish() {
  if (impl_->stale.empty() && impl_->retired.empty()) return;
  std::vector<Listed> changed;
  for (const Subtable* subtable : impl_->stale) {
    if (subtable->empty()) continue;
    changed.push_back({subtable, {}, subtable->serial(), subtable->max_priority()});
    std::copy_n(subtable->lengths().begin(), kAddressFields, changed.back().lengths.begin());
  }
  std::sort(changed.begin(), changed.end());
  for (auto& subtable : impl_->retired) subtable->is_stale = true;

  const SubtableList* old = impl_->list.load(std::memory_order_relaxed);
  std::vector<Listed> listed;
  listed.reserve(old->size() + changed.size());
  auto next = changed.begin();
  for (const Listed& each : old->listed()) {
    if (each.subtable->is_stale) continue;
    while (next != changed.end() && *next < each) listed.push_back(*next++);
    listed.push_back(each);
  }
  listed.insert(listed.end(), next, changed.end());

  for (Subtable* subtable : impl_->stale) subtable->is_stale = false;
  impl_->stale.clear();
  impl_->list.store(new SubtableList{std::move(listed)}, std::memory_order_release);
  impl_->garbage.add(old);
  for (auto& subtable : impl_->retired) impl_->garbage.add(subtable.release());
  impl_->retired.clear();
}

RuleRef Classifier::find(const Match& match, std::uint16_t priority, std::uint64_t version) const {
  const auto at = impl_->shapes.find(to_words(match.mask));
  if (at == impl_->shapes.end()) return nullptr;
  const MaskShape& shape = at->second;
  const PipelineWords value = to_words(match.value);
  for (unsigned level = 0; level < shape.level_count; ++level) {
    if (shape.levels[level].rules == 0) continue;
    const Subtable& subtable = *shape.levels[level].subtable;
    const Chain chain = subtable.chain_of(value);
    const std::uint64_t tail = subtable.tail(value);
    for (const ChainEntry& entry : chain.entries()) {
      if (entry.priority != priority || entry.differ(tail) != 0) continue;
      const RuleNode& node = chain.node(entry);
      if (node.shape == shape.number && node.visible(version) && equal(node.rule->match.value, match.value))
        return node.rule;
    }
  }
  return nullptr;
}

std::vector<RuleRef> Classifier::rules(std::uint64_t version) const { return select(Match{}, version); }

std::vector<RuleRef> Classifier::select(const Match& filter, std::uint64_t version, std::size_t& looked_at) const {
  std::vector<RuleRef> selected;
  Selection selection{impl_->shape_by_number, filter, version, selected};
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
  Selection selection{impl_->shape_by_number, filter, version, selected};
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
    Subtable::Place at{static_cast<const ChainIndex::Array*>(place.array), place.entry};
    const bool more = subtable.for_some(at, most, take);
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
      if (found == nullptr && node.priority == priority && node.visible(version) && node.rule->match.overlaps(match))
        found = &node;
    };
    if (is_subset(from_words(own), match.mask)) {
      subtable->chain_of(value).for_each_node(look);
    } else {
      subtable->for_each(look);
    }
    if (found != nullptr) return found->rule;
  }
  return nullptr;
}

std::size_t Classifier::size() const { return impl_->size; }

std::size_t Classifier::page_bytes() const {
  std::size_t bytes = impl_->arena.page_bytes() + impl_->addresses.page_bytes() + impl_->cookies.page_bytes();
  for (const auto& [mask, subtable] : impl_->subtables) bytes += subtable->page_bytes();
  return bytes;
}

void Classifier::rollback(std::uint64_t version) {
  impl_->garbage.set_tag(version);
  while (!impl_->removed.empty() && impl_->removed.back().version == version) {
    const BlockRef ref = impl_->removed.back().node;
    RuleNode& node = impl_->node(ref);
    node.removed.store(kNever, std::memory_order_relaxed);
    node.rule->node = ref;  // the rule itself may have come again at this version
    impl_->cookies.add(node.rule->cookie);
    impl_->removed.pop_back();
    ++impl_->size;
  }
  if (impl_->added.empty() || impl_->added.back().version != version) return;
  for (const auto& change : impl_->added) {
    impl_->cookies.remove(impl_->node(change.node).rule->cookie);
    impl_->unlink(change.node);
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
    impl_->unlink(impl_->removed.front().node);
    impl_->removed.pop_front();
  }
  publish();
}

}  // namespace shunt
