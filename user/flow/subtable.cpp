// SPDX-License-Identifier: Apache-2.0
#include "user/flow/subtable.h"

#include <algorithm>
#include <utility>

namespace shunt {

Subtable::Subtable(const PipelineWords& mask, std::uint64_t seed, std::uint32_t serial)
    : seed_{seed}, mask_{mask}, serial_{serial} {
  unsigned i = 0;
  for (unsigned stage = 0; stage < kStages; ++stage) {
    for (; i < kStageEnd[stage]; ++i) {
      const std::uint8_t word = kWordOrder[i];
      if (mask[word] == 0) continue;
      word_[word_count_] = word;
      bits_[word_count_] = mask[word];
      ++word_count_;
      last_stage_ = static_cast<std::uint8_t>(stage);
    }
    stage_end_[stage] = word_count_;
  }
}

Subtable::~Subtable() {
  chains_.for_each([](RuleNode* node) {
    while (node != nullptr) delete std::exchange(node, node->next.load(std::memory_order_relaxed));
  });
}

void Subtable::examine(const PipelineWords& key, PipelineWords& examined) const noexcept {
  std::uint64_t hash = seed_;
  unsigned i = 0;
  for (unsigned stage = 0; stage < last_stage_; ++stage) {
    if (!has_index(stage)) continue;
    for (; i < stage_end_[stage]; ++i) {
      hash = hash_step(hash, key[word_[i]] & bits_[i]);
      examined[word_[i]] |= bits_[i];
    }
    if (!stages_[stage].contains(hash)) return;
  }
  for (; i < word_count_; ++i) examined[word_[i]] |= bits_[i];
}

bool Subtable::stages_miss(Stage last, const PipelineWords& key, PipelineWords& examined) const noexcept {
  std::uint64_t hash = seed_;
  unsigned i = 0;
  for (unsigned stage = 0; stage <= last && stage < last_stage_; ++stage) {
    if (!has_index(stage)) continue;
    for (; i < stage_end_[stage]; ++i) hash = hash_step(hash, key[word_[i]] & bits_[i]);
    if (stages_[stage].contains(hash)) continue;
    for (unsigned at = 0; at < i; ++at) examined[word_[at]] |= bits_[at];
    return true;
  }
  return false;
}

bool Subtable::ports_miss(const LengthSets& lengths, const PipelineWords& key, int above,
                          PipelineWords& examined) const noexcept {
  for (unsigned i = 0; i < 2; ++i) {
    if (lengths.any_port[i]) continue;
    const unsigned field = kPortDst + i;
    const PrefixMatches found = ports_[i].lookup(narrow_value(key, field), above);
    if (found.lengths[0] != 0) continue;
    add_prefix(examined, field, proof_length(found.bits));
    return true;
  }
  return false;
}

RuleNode* Subtable::head(const PipelineWords& value) const {
  return chains_.find(hash(value), [](const RuleNode*) { return true; });
}

bool Subtable::link(RuleNode& node, const PipelineWords& value, unsigned limit, Garbage& garbage) {
  const StageHashes hashes = stage_hashes(value);
  const std::uint64_t hash = hashes[last_stage_];
  auto* const first = chains_.place(hash, [](const RuleNode*) { return true; });
  auto* edge = first;
  if (first != nullptr) {
    unsigned length = 0;
    for (RuleNode* at = first->load(std::memory_order_relaxed); at != nullptr;
         at = at->next.load(std::memory_order_relaxed)) {
      if (++length >= limit) return false;
      if (at->priority >= node.priority)
        edge = &at->next;
      else if (limit == kNoLimit)
        break;
    }
  }
  // Earlier stages first: once the rule can be found, its way there is open.
  for (unsigned stage = 0; stage < last_stage_; ++stage) {
    if (!has_index(stage)) continue;
    auto* count = stages_[stage].place(hashes[stage], [](std::uint32_t) { return true; });
    if (count != nullptr)
      count->store(count->load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    else
      stages_[stage].add(hashes[stage], 1, [&](auto* array) { garbage.add(array); });
  }
  for_each_port(node, [&](auto& trie, unsigned field) {
    trie.insert(narrow_value(value, field), node.shape->lengths[field], node.priority);
  });
  priorities_.insert(node.priority);
  if (edge == nullptr) {
    chains_.add(hash, &node, [&](auto* array) { garbage.add(array); });
    return true;
  }
  node.next.store(edge->load(std::memory_order_relaxed), std::memory_order_relaxed);
  edge->store(&node, std::memory_order_release);
  return true;
}

void Subtable::unlink(RuleNode& node, Garbage& garbage) {
  const PipelineWords value = to_words(node.rule->match.value);
  const StageHashes hashes = stage_hashes(value);
  auto* const first = chains_.place(hashes[last_stage_], [](const RuleNode*) { return true; });
  auto* edge = first;
  while (edge->load(std::memory_order_relaxed) != &node) edge = &edge->load(std::memory_order_relaxed)->next;
  edge->store(node.next.load(std::memory_order_relaxed), std::memory_order_release);
  if (first->load(std::memory_order_relaxed) == nullptr) chains_.died();

  for (unsigned stage = 0; stage < last_stage_; ++stage) {
    if (!has_index(stage)) continue;
    auto* count = stages_[stage].place(hashes[stage], [](std::uint32_t) { return true; });
    count->store(count->load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    if (count->load(std::memory_order_relaxed) == 0) stages_[stage].died();
  }
  for_each_port(node, [&](auto& trie, unsigned field) {
    trie.remove(narrow_value(value, field), node.shape->lengths[field], node.priority,
                [&](auto* gone) { garbage.add(gone); });
  });
  priorities_.remove(node.priority);
  garbage.add(&node);
}

template <typename Visit>  // visit(trie, field)
void Subtable::for_each_port(const RuleNode& node, Visit visit) {
  for (unsigned i = 0; i < 2; ++i)
    if (node.shape->lengths[kPortDst + i] != 0) visit(ports_[i], kPortDst + i);
}

void Subtable::adopt(MaskShape& shape, unsigned level) {
  shape.levels[level] = {this, 0, shapes_.size()};
  shapes_.push_back(&shape);
}

void Subtable::release(const MaskShape& shape, unsigned level) {
  const std::size_t index = shape.levels[level].index;
  MaskShape* last = shapes_.back();
  for (MaskShape::Level& at : last->levels)
    if (at.subtable == this) at.index = index;
  shapes_[index] = last;
  shapes_.pop_back();
}

bool Subtable::count(const RuleNode& node, int change) {
  MaskShape& shape = *node.shape;
  std::uint32_t& rules = shape.levels[node.level].rules;
  rules += static_cast<std::uint32_t>(change);
  shape.rules += static_cast<std::uint32_t>(change);
  const LengthSets before = lengths_;
  if (change > 0) {
    if (rules == 1) lengths_.add(shape.lengths);
  } else if (rules == 0 && ++departed_ * 8 >= shapes_.size()) {
    departed_ = 0;
    lengths_ = {};
    for (const MaskShape* other : shapes_)
      for (const MaskShape::Level& level : other->levels)
        if (level.subtable == this && level.rules != 0) lengths_.add(other->lengths);
  }
  return before != lengths_;
}

Subtable::StageHashes Subtable::stage_hashes(const PipelineWords& value) const {
  StageHashes hashes;
  std::uint64_t hash = seed_;
  unsigned i = 0;
  for (unsigned stage = 0; stage < kStages; ++stage) {
    for (; i < stage_end_[stage]; ++i) hash = hash_step(hash, value[word_[i]] & bits_[i]);
    hashes[stage] = hash;
  }
  return hashes;
}

bool Subtable::has_index(unsigned stage) const { return stage_end_[stage] != (stage == 0 ? 0 : stage_end_[stage - 1]); }

}  // namespace shunt
