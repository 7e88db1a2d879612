// SPDX-License-Identifier: Apache-2.0
// One look-up in a classifier. First the best rule is found; then it is proven, by as few bits as possible, that no
// rule above its priority matches: only then is it known which rules need a proof at all.
//
// Part of the classifier: see there for threads.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "user/flow/flow_key.h"
#include "user/flow/mask_shape.h"
#include "user/flow/prefix_trie.h"
#include "user/flow/rule_node.h"
#include "user/flow/subtable.h"

namespace shunt {

// A subtable and what its rules look like as a whole.
struct Listed {
  const Subtable* subtable;
  std::uint16_t max_priority;
  std::uint32_t serial;
  LengthSets lengths;

  // Among equals the older subtable stays first, so that a rule does not win and lose by turns.
  friend bool operator<(const Listed& a, const Listed& b) {
    return a.max_priority != b.max_priority ? a.max_priority > b.max_priority : a.serial < b.serial;
  }
};
using SubtableList = std::vector<Listed>;  // by descending priority; never edited once readers have it

struct Tries {
  std::array<PrefixTrie<std::uint32_t>, kNarrowAddresses> narrow;
  std::array<PrefixTrie<Bits128>, kAddressFields - kNarrowAddresses> wide;
};

class Search {
 public:
  Search(const SubtableList& list, const Tries& tries, const PipelineWords& key, std::uint64_t version,
         PipelineWords& examined) noexcept
      : list_{list}, tries_{tries}, key_{key}, version_{version}, examined_{examined} {}

  // The best rule that is no clause.
  const RuleNode* run() noexcept;
  // ... and where clauses above it make a conjunctive match: the rule found with its conj_id.
  const RuleNode* run_with_clauses();

 private:
  static constexpr std::size_t kBatch = 8;        // subtables whose memory is fetched at once
  static constexpr std::size_t kKeptChains = 64;  // that find_best() keeps for prove()

  enum class Clauses : bool { kIgnored, kMatter };

  static constexpr unsigned kNoProof = ~0u;
  struct PrefixProof {
    unsigned field = 0, bits = 0;
    unsigned added = kNoProof;  // bits that are not examined yet
  };

  const SubtableList& list_;
  const Tries& tries_;
  const PipelineWords& key_;
  const std::uint64_t version_;
  PipelineWords& examined_;
  std::size_t searched_ = 0;  // subtables
  std::array<const RuleNode*, kKeptChains> chains_;
  int above_ = -1;              // rules of greater priority need a proof that they do not match
  std::uint8_t looked_up_ = 0;  // bit 0: IPv4 prefixes; bit 1: IPv6
  std::array<PrefixMatches, kAddressFields> matches_;

  const RuleNode* find_best() noexcept;
  [[nodiscard]] const RuleNode* best_in(const RuleNode* chain, const RuleNode* best) const noexcept;
  void prove(int above, Clauses clauses) noexcept;
  void look_up_prefixes(bool is_narrow) noexcept;
  bool misses(const Listed& listed) noexcept;
  [[nodiscard]] PrefixProof prefix_proof(const LengthSets& lengths) noexcept;
  [[nodiscard]] unsigned proof_bits(const LengthSets& lengths, unsigned field) noexcept;
  [[nodiscard]] const RuleNode* chain_of(std::size_t i) const noexcept;
  void examine(const RuleNode& node) noexcept;
  void refute(const RuleNode& node) noexcept;

  [[nodiscard]] std::vector<const RuleNode*> matching_clauses(int above) const;
  const RuleNode* second_search(std::uint32_t conj_id) const;
};

}  // namespace shunt
