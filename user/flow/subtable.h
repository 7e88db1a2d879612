// SPDX-License-Identifier: Apache-2.0
// A subtable holds rules of a classifier whose masks are its own, but for ports: hashed by its mask, rules of equal
// hash in a chain. Who looks up verifies the rule that it takes from the chain.
//
// The mask's words are hashed stage by stage. Each stage but the last has an index of the hashes that its rules have so
// far, so that a miss can be told by as few fields as possible. Part of the classifier: see there for threads. What
// readers may hold goes to the Garbage.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

#include "user/flow/chain.h"
#include "user/flow/flow_key.h"
#include "user/flow/hash_index.h"
#include "user/flow/mask_shape.h"
#include "user/flow/priority_bag.h"
#include "user/flow/rule_node.h"

namespace shunt {

class Subtable {
 public:
  Subtable(const PipelineWords& mask, std::uint64_t seed, std::uint32_t serial);
  ~Subtable();
  Subtable(const Subtable&) = delete;
  Subtable& operator=(const Subtable&) = delete;

  // Readers.
  [[nodiscard]] std::uint64_t hash(const PipelineWords& key) const noexcept {
    std::uint64_t hash = seed_;
    for (unsigned i = 0; i < word_count_; ++i) hash = hash_step(hash, key[word_[i]] & bits_[i]);
    return hash;
  }
  void prefetch(std::uint64_t hash) const noexcept { chains_.prefetch(hash); }
  [[nodiscard]] Chain chain(std::uint64_t hash) const noexcept {
    return chains_.find(hash, [](Chain) { return true; });
  }
  void examine_mask(PipelineWords& examined) const noexcept {
    for (unsigned i = 0; i < word_count_; ++i) examined[word_[i]] |= bits_[i];
  }
  // Un-wildcards what proves that no rule has the key's hash: the first stage that tells, or the whole mask.
  void examine(const PipelineWords& key, PipelineWords& examined) const noexcept;

  [[nodiscard]] bool is_covered(const PipelineWords& examined) const noexcept {
    std::uint64_t missing = 0;
    for (unsigned i = 0; i < word_count_; ++i) missing |= bits_[i] & ~examined[word_[i]];
    return missing == 0;
  }
  // True where the fields up to a stage, and not only the last one's, tell that no rule is met; then un-wildcards them.
  [[nodiscard]] bool stages_miss(Stage stage, const PipelineWords& key, PipelineWords& examined) const noexcept;
  // Of the addresses under the mask, by TrieField.
  [[nodiscard]] const PrefixLengths& lengths() const noexcept { return lengths_; }

  // Writer.
  [[nodiscard]] const PipelineWords& mask() const { return mask_; }
  // Adds a rule if its chain then has no more than `limit` rules.
  static constexpr unsigned kNoLimit = std::numeric_limits<unsigned>::max();
  bool link(RuleNode& node, const PipelineWords& value, unsigned limit, Garbage& garbage);
  void unlink(RuleNode& node, Garbage& garbage);
  [[nodiscard]] bool empty() const { return priorities_.empty(); }
  [[nodiscard]] std::uint16_t max_priority() const { return priorities_.max(); }  // not of an empty one
  [[nodiscard]] std::uint32_t serial() const { return serial_; }                  // older subtables have lower ones
  template <typename Visit>
  void for_each(Visit visit) const {
    chains_.for_each([&](Chain chain) {
      for (const ChainEntry& entry : chain.entries()) visit(*entry.node);
    });
  }
  using Place = HashIndex<Chain>::Place;
  template <typename Visit>
  bool for_some(Place& place, std::size_t most, Visit visit) const {  // as HashIndex::for_some()
    return chains_.for_some(place, most, [&](Chain chain) {
      for (const ChainEntry& entry : chain.entries()) visit(*entry.node);
    });
  }

  // Shapes that may have rules here.
  void adopt(MaskShape& shape, unsigned level);
  void release(const MaskShape& shape, unsigned level);
  [[nodiscard]] const std::vector<MaskShape*>& shapes() const { return shapes_; }
  bool is_stale = false;  // what the classifier's list says of this subtable is not up to date

 private:
  using StageHashes = std::array<std::uint64_t, kStages>;

  std::uint64_t seed_;
  std::uint8_t word_count_ = 0;
  std::uint8_t last_stage_ = 0;                      // the last stage with words
  std::array<std::uint8_t, kStages> stage_end_{};    // in word_, cumulative
  std::array<std::uint8_t, kPipelineWords> word_{};  // of the key, in the order of the stages
  std::array<std::uint64_t, kPipelineWords> bits_{};
  HashIndex<Chain> chains_;
  std::array<HashIndex<std::uint32_t>, kStages - 1> stages_;
  PipelineWords mask_;
  PrefixLengths lengths_;
  std::uint32_t serial_;
  PriorityBag priorities_;  // of linked rules, visible or not

  std::vector<MaskShape*> shapes_;

  [[nodiscard]] StageHashes stage_hashes(const PipelineWords& value) const;
  [[nodiscard]] bool has_index(unsigned stage) const;
};

}  // namespace shunt
