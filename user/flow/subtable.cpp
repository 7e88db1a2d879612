// SPDX-License-Identifier: Apache-2.0
#include "user/flow/subtable.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace shunt {

namespace {

constexpr unsigned kPortsHalf = 2 * kPortsWord;  // the lower one: nodes have them in their entry

// True where the address prefixes of these lengths are all that the mask has of the word.
bool is_prefix_word(unsigned word, const PrefixLengths& lengths) {
  constexpr unsigned kSrcWord = offsetof(shunt_flow_key, ip_src) / 8, kDstWord = offsetof(shunt_flow_key, ip_dst) / 8;
  if (word / 2 == kSrcWord / 2) return (lengths[kIpv4Src] | lengths[kIpv6Src]) != 0;
  if (word / 2 == kDstWord / 2) return (lengths[kIpv4Dst] | lengths[kIpv6Dst]) != 0;
  return false;
}
static_assert(offsetof(shunt_flow_key, ip_src) % 16 == 0 && offsetof(shunt_flow_key, ip_dst) % 16 == 0);

}  // namespace

Subtable::Subtable(const PipelineWords& mask, std::uint64_t seed, std::uint32_t serial, Arena& arena)
    : arena_{arena},
      seed_{seed},
      lengths_{prefix_lengths(mask)},
      is_wide_{(lengths_[kIpv6Dst] | lengths_[kIpv6Src]) != 0},
      mask_{mask},
      serial_{serial} {
  std::array<Word, kPipelineWords> prefix_words;
  unsigned prefix_word_count = 0, i = 0;
  for (unsigned stage = 0; stage < kStages; ++stage) {
    for (; i < kStageEnd[stage]; ++i) {
      const std::uint8_t word = kWordOrder[i];
      if (mask[word] == 0) continue;
      last_stage_ = static_cast<std::uint8_t>(stage);
      if (is_prefix_word(word, lengths_))
        prefix_words[prefix_word_count++] = {mask[word], word};
      else
        words_[hashed_count_++] = {mask[word], word};
    }
    stage_end_[stage] = hashed_count_;
  }
  std::copy_n(prefix_words.begin(), prefix_word_count, words_.begin() + hashed_count_);
  word_count_ = static_cast<std::uint8_t>(hashed_count_ + prefix_word_count);
  for (unsigned half = 0; half < halves_.size(); ++half)
    if (const std::uint32_t bits = half_of(mask, half); bits != 0 && half != kPortsHalf)
      halves_[half_count_++] = {bits, half};
}

Subtable::~Subtable() {
  for_each([](const RuleNode& node) { node.~RuleNode(); });
}

void Subtable::examine(const PipelineWords& key, const AddressHashes& addresses,
                       PipelineWords& examined) const noexcept {
  if (!stages_miss(kL4, key, addresses, examined)) examine_mask(examined);
}

bool Subtable::stages_miss(Stage last, const PipelineWords& key, const AddressHashes& addresses,
                           PipelineWords& examined) const noexcept {
  const std::uint64_t address = last >= kL3 ? address_sum(addresses) : 0;
  std::uint64_t sum = seed_;
  for (unsigned stage = 0; stage <= last && stage < last_stage_; ++stage) {
    if (!has_index(stage)) continue;
    sum = stage_sum(stage, key, address, sum);
    if (stages_[stage].find(finished(sum)) != 0) continue;
    examine_stages(stage, examined);
    return true;
  }
  return false;
}

void Subtable::examine_stages(unsigned last, PipelineWords& examined) const noexcept {
  for (unsigned i = 0; i < stage_end_[last]; ++i) examined[words_[i].word] |= words_[i].bits;
  for (unsigned i = hashed_count_; last >= kL3 && i < word_count_; ++i) examined[words_[i].word] |= words_[i].bits;
}

PipelineWords Subtable::value_of(const RuleNode& node) const noexcept {
  PipelineWords value{};
  for (unsigned i = 0; i < half_count_; ++i)
    value[halves_[i].at / 2] |= std::uint64_t{node.values()[i]} << halves_[i].at % 2 * 32;
  value[kPortsWord] |= node.entry.ports;
  return value;
}

PipelineWords Subtable::mask_of(const RuleNode& node) const noexcept {
  PipelineWords mask{};
  examine_mask(mask);
  mask[kPortsWord] |= node.entry.ports_mask;
  return mask;
}

void Subtable::prefetch(const StageHashes& hashes) const noexcept {
  chains_.prefetch(hashes[last_stage_]);
  for (unsigned stage = 0; stage < last_stage_; ++stage)
    if (has_index(stage)) stages_[stage].prefetch(hashes[stage]);
}

BlockRef Subtable::link(const ChainEntry& entry, std::uint32_t shape, RuleRef rule, std::uint64_t version,
                        const PipelineWords& value, Garbage& garbage) {
  const BlockRef ref = RuleNode::make(arena_, entry, shape, std::move(rule), version, half_count_);
  for (unsigned i = 0; i < half_count_; ++i) arena_.at<RuleNode>(ref)->values()[i] = half_of(value, halves_[i].at);

  const StageHashes hashes = stage_hashes(value);
  // Earlier stages first: once the rule can be found, its way there is open.
  for (unsigned stage = 0; stage < last_stage_; ++stage) {
    if (!has_index(stage)) continue;
    HashIndex& index = stages_[stage];
    if (auto* count = index.place(hashes[stage]))
      index.set(*count, HashIndex::payload_of(count->load(std::memory_order_relaxed)) + 1);
    else
      index.add(hashes[stage], 1, garbage);
  }
  priorities_.insert(entry.priority);
  const std::uint32_t hash = hashes[last_stage_];
  if (auto* place = chains_.place(hash))
    chains_.set(*place, chain(HashIndex::payload_of(*place)).with(arena_, ref, garbage));
  else
    chains_.add(hash, ref, garbage);
  return ref;
}

void Subtable::unlink(BlockRef ref, const StageHashes& hashes, Garbage& garbage) {
  const RuleNode& node = *arena_.at<RuleNode>(ref);
  auto* const place = chains_.place(hashes[last_stage_]);
  chains_.set(*place, chain(HashIndex::payload_of(*place)).without(arena_, ref, garbage));
  for (unsigned stage = 0; stage < last_stage_; ++stage) {
    if (!has_index(stage)) continue;
    auto* count = stages_[stage].place(hashes[stage]);
    stages_[stage].set(*count, HashIndex::payload_of(*count) - 1);
  }
  priorities_.remove(node.priority());
  RuleNode::retire(ref, half_count_, garbage);
}

std::size_t Subtable::page_bytes() const {
  std::size_t bytes = chains_.page_bytes();
  for (const HashIndex& index : stages_) bytes += index.page_bytes();
  return bytes;
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

Subtable::StageHashes Subtable::stage_hashes(const PipelineWords& value) const noexcept {
  const std::uint64_t addresses = Addresses::hash(seed_, value, lengths_);
  StageHashes hashes;
  std::uint64_t sum = seed_;
  for (unsigned stage = 0; stage < kStages; ++stage) {
    sum = stage_sum(stage, value, addresses, sum);
    hashes[stage] = finished(sum);
  }
  return hashes;
}

bool Subtable::has_index(unsigned stage) const noexcept {
  return stage_end_[stage] != (stage == 0 ? 0 : stage_end_[stage - 1]) ||
         (stage == kL3 && word_count_ != hashed_count_);
}

}  // namespace shunt
