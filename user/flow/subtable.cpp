// SPDX-License-Identifier: Apache-2.0
#include "user/flow/subtable.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <utility>

namespace shunt {

namespace {

constexpr unsigned kPortsHalf = 2 * kPortsWord;  // the lower one: nodes have them apart
constexpr unsigned kDstHalf = 2 * kIpDstWord + 3, kSrcHalf = 2 * kIpSrcWord + 3;  // of IPv4 addresses

// True where the address prefixes of these lengths are all that the mask has of the word.
bool is_prefix_word(unsigned word, const PrefixLengths& lengths) {
  if (word / 2 == kIpSrcWord / 2) return (lengths[kIpv4Src] | lengths[kIpv6Src]) != 0;
  if (word / 2 == kIpDstWord / 2) return (lengths[kIpv4Dst] | lengths[kIpv6Dst]) != 0;
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
    if (hashed_count_ != (stage == 0 ? 0 : stage_end_[stage - 1]) || (stage == kL3 && prefix_word_count != 0))
      indexed_ |= static_cast<std::uint8_t>(1u << stage);
  }
  indexed_ &= static_cast<std::uint8_t>((1u << last_stage_) - 1);
  std::copy_n(prefix_words.begin(), prefix_word_count, words_.begin() + hashed_count_);
  word_count_ = static_cast<std::uint8_t>(hashed_count_ + prefix_word_count);
  for (unsigned half = 0; half < halves_.size(); ++half)
    if (const std::uint32_t bits = half_of(mask, half); bits != 0 && half != kPortsHalf) {
      if (half == kDstHalf) dst_half_ = half_count_;
      if (half == kSrcHalf) src_half_ = half_count_;
      halves_[half_count_++] = {bits, half};
    }
}

Subtable::~Subtable() {
  for_each([](const RuleNode& node) { node.~RuleNode(); });
}

bool Subtable::stages_miss(Stage first, Stage last, const PipelineWords& key, const AddressHashes& addresses,
                           PipelineWords& examined) const noexcept {
  const unsigned asked = indexed_ & ((2u << last) - 1);
  if (asked >> first == 0) return false;
  std::uint64_t sum = seed_;
  unsigned begin = 0;
  for (unsigned left = asked; left != 0; left &= left - 1) {
    const auto stage = static_cast<unsigned>(std::countr_zero(left));
    sum = this->sum(key, begin, stage_end_[stage], sum) + (stage == kL3 ? address_sum(addresses) : 0);
    begin = stage_end_[stage];
    if (stage < first || stages_[stage].find(finished(sum)) != 0) continue;
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
  value[kPortsWord] |= node.ports;
  return value;
}

PipelineWords Subtable::mask_of(const RuleNode& node) const noexcept {
  PipelineWords mask{};
  examine_mask(mask);
  add_tail(node, mask);
  return mask;
}

void Subtable::prefetch(const StageHashes& hashes) const noexcept {
  (void)chains_.start(hashes[last_stage_]);
  for_each_indexed([&](unsigned stage) { stages_[stage].prefetch(hashes[stage]); });
}

void Subtable::add_tail(const RuleNode& node, PipelineWords& mask) const noexcept {
  mask[kPortsWord] |= node.ports_mask;
  if (node.dst_bits != 0) add_prefix(mask, kIpv4Dst, lengths_[kIpv4Dst] + node.dst_bits);
  if (node.src_bits != 0) add_prefix(mask, kIpv4Src, lengths_[kIpv4Src] + node.src_bits);
}

ChainEntry Subtable::entry_of(BlockRef ref) const noexcept {
  const RuleNode& node = *arena_.at<const RuleNode>(ref);
  const auto first_bits = [](unsigned count) { return static_cast<std::uint8_t>(0xff00 >> count); };
  const auto address = [&](unsigned field, unsigned half) {
    return lengths_[field] == 0 ? 0 : __builtin_bswap32(node.values()[half]);
  };
  return {tail(node.ports, address(kIpv4Dst, dst_half_), address(kIpv4Src, src_half_)),
          node.ports_mask | std::uint64_t{first_bits(node.dst_bits)} << kDstTail |
              std::uint64_t{first_bits(node.src_bits)} << kSrcTail,
          ref, static_cast<std::uint16_t>(node.priority), node.is_clause != 0};
}

BlockRef Subtable::link(const MaskShape& shape, unsigned level, RuleRef rule, bool is_clause, std::uint64_t version,
                        const PipelineWords& value, Garbage& garbage) {
  const BlockRef ref = arena_.allocate(RuleNode::size(half_count_));
  const std::uint16_t priority = rule->priority;
  const unsigned dst_bits = unsigned{shape.lengths[kIpv4Dst]} - lengths_[kIpv4Dst];
  const unsigned src_bits = unsigned{shape.lengths[kIpv4Src]} - lengths_[kIpv4Src];
  new (arena_.at<void>(ref)) RuleNode{.ports = static_cast<std::uint32_t>(value[kPortsWord]),
                                      .ports_mask = static_cast<std::uint32_t>(shape.mask[kPortsWord]),
                                      .priority = priority,
                                      .dst_bits = dst_bits & 0xf,  // at most eight: coarse_length()
                                      .src_bits = src_bits & 0xf,
                                      .level = level & 0x7f,
                                      .is_clause = is_clause,
                                      .shape = shape.number,
                                      .added = version,
                                      .rule = std::move(rule)};
  for (unsigned i = 0; i < half_count_; ++i) arena_.at<RuleNode>(ref)->values()[i] = half_of(value, halves_[i].at);

  const StageHashes hashes = stage_hashes(value);
  // Earlier stages first: once the rule can be found, its way there is open.
  for_each_indexed([&](unsigned stage) {
    HashIndex& index = stages_[stage];
    if (auto* count = index.place(hashes[stage]))
      index.set(*count, HashIndex::payload_of(count->load(std::memory_order_relaxed)) + 1);
    else
      index.add(hashes[stage], 1, garbage);
  });
  priorities_.insert(priority);
  const std::uint32_t hash = hashes[last_stage_];
  set_chain(hash, chain(find(hash).chain).with(arena_, entry_of(ref), garbage), garbage);
  return ref;
}

void Subtable::set_chain(std::uint32_t hash, ChainRef ref, Garbage& garbage) {
  const Chain chain = this->chain(ref);
  chains_.set(hash, {ref, chain.empty() ? std::uint16_t{0} : chain.entries().front().priority}, garbage);
}

void Subtable::unlink(BlockRef ref, const StageHashes& hashes, Garbage& garbage) {
  const RuleNode& node = *arena_.at<RuleNode>(ref);
  const std::uint32_t hash = hashes[last_stage_];
  set_chain(hash, chain(find(hash).chain).without(arena_, ref, garbage), garbage);
  for_each_indexed([&](unsigned stage) {
    auto* count = stages_[stage].place(hashes[stage]);
    stages_[stage].set(*count, HashIndex::payload_of(*count) - 1);
  });
  priorities_.remove(static_cast<std::uint16_t>(node.priority));
  RuleNode::retire(ref, half_count_, garbage);
}

std::size_t Subtable::page_bytes() const {
  std::size_t bytes = chains_.page_bytes();
  for (const HashIndex& index : stages_) bytes += index.page_bytes();
  return bytes;
}

void Subtable::adopt(MaskShape& shape, unsigned level) {
  shape.levels[level].subtable = this;
  shape.levels[level].index = shapes_.size();
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
    sum = this->sum(value, stage == 0 ? 0 : stage_end_[stage - 1], stage_end_[stage], sum);
    if (stage == kL3) sum += addresses;
    hashes[stage] = finished(sum);
  }
  return hashes;
}

}  // namespace shunt
