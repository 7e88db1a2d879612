// SPDX-License-Identifier: Apache-2.0
#include "user/flow/subtable.h"

#include <algorithm>
#include <utility>

namespace shunt {

Subtable::Subtable(const PipelineWords& mask, std::uint64_t seed, std::uint32_t serial)
    : seed_{seed}, mask_{mask}, lengths_{prefix_lengths(mask)}, serial_{serial} {
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
  chains_.for_each([](Chain chain) { chain.destroy(); });
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

bool Subtable::link(RuleNode& node, const PipelineWords& value, unsigned limit, Garbage& garbage) {
  const StageHashes hashes = stage_hashes(value);
  auto* const place = chains_.place(hashes[last_stage_], [](Chain) { return true; });
  const Chain chain = place == nullptr ? Chain{} : place->load(std::memory_order_relaxed);
  if (chain.entries().size() >= limit) return false;
  // Earlier stages first: once the rule can be found, its way there is open.
  for (unsigned stage = 0; stage < last_stage_; ++stage) {
    if (!has_index(stage)) continue;
    auto* count = stages_[stage].place(hashes[stage], [](std::uint32_t) { return true; });
    if (count != nullptr)
      count->store(count->load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    else
      stages_[stage].add(hashes[stage], 1, [&](auto* array) { garbage.add(array); });
  }
  priorities_.insert(node.priority());
  const Chain longer = chain.with(node, garbage);
  if (place == nullptr)
    chains_.add(hashes[last_stage_], longer, [&](auto* array) { garbage.add(array); });
  else
    place->store(longer, std::memory_order_release);
  return true;
}

void Subtable::unlink(RuleNode& node, Garbage& garbage) {
  const StageHashes hashes = stage_hashes(to_words(node.rule->match.value));
  auto* const place = chains_.place(hashes[last_stage_], [](Chain) { return true; });
  const Chain shorter = place->load(std::memory_order_relaxed).without(node, garbage);
  place->store(shorter, std::memory_order_release);
  if (shorter == Chain{}) chains_.died();

  for (unsigned stage = 0; stage < last_stage_; ++stage) {
    if (!has_index(stage)) continue;
    auto* count = stages_[stage].place(hashes[stage], [](std::uint32_t) { return true; });
    count->store(count->load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    if (count->load(std::memory_order_relaxed) == 0) stages_[stage].died();
  }
  priorities_.remove(node.priority());
  garbage.add(&node);
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
