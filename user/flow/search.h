// SPDX-License-Identifier: Apache-2.0
// One look-up in a classifier. Filters of the addresses tell first which subtables can hold a rule that matches; in
// these the best rule is found. Then it is proven, by as few bits as possible, that no rule above its priority matches:
// only then is it known which rules need a proof at all.
//
// Part of the classifier: see there for threads.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "user/flow/addresses.h"
#include "user/flow/chain.h"
#include "user/flow/flow_key.h"
#include "user/flow/mask_shape.h"
#include "user/flow/rule_node.h"
#include "user/flow/subtable.h"
#include "user/flow/subtable_list.h"

namespace shunt {

// A rule that was found, and where.
struct Found {
  const RuleNode* node = nullptr;
  const Subtable* subtable = nullptr;
  int priority = -1;

  explicit operator bool() const noexcept { return node != nullptr; }
};

class Search {
 public:
  Search(const SubtableList& list, const Addresses& addresses, const PipelineWords& key, std::uint64_t version,
         PipelineWords& examined) noexcept
      : list_{list}, addresses_{addresses}, key_{key}, version_{version}, examined_{examined}, walks_{addresses, key} {}

  // The best rule that is no clause.
  const RuleNode* run() noexcept;
  // ... and where clauses above it make a conjunctive match: the rule found with its conj_id.
  const RuleNode* run_with_clauses();

 private:
  static constexpr std::size_t kBatch = 32;       // subtables whose memory is fetched at once
  static constexpr std::size_t kKeptChains = 64;  // that find_best() keeps for prove()
  static constexpr std::size_t kNotKept = ~std::size_t{0};

  enum class Clauses : bool { kIgnored, kMatter };

  // Of one address, what its trie says of rules above above_.
  struct Proof {
    unsigned bits;     // of the address that tell
    LengthSet misses;  // no such rule has a prefix of this length that matches; never of length 0
  };
  struct Hit {
    std::uint32_t at;  // in the list
    ChainRef chain;
    int best;  // none of the chain's rules has a higher priority
  };
  // Subtables that may match, in their order.
  class Candidates {
   public:
    Candidates(const SubtableList& list, const AddressLengths& lengths) noexcept : list_{list}, lengths_{lengths} {}
    [[nodiscard]] std::size_t next() noexcept {  // list.size(): that was all
      while (left_ == 0) {
        if (words_ == list_.words()) return list_.size();
        left_ = list_.with_all(lengths_, words_++);
      }
      const auto bit = static_cast<std::size_t>(std::countr_zero(left_));
      left_ &= left_ - 1;
      return (words_ - 1) * 64 + bit;
    }

   private:
    const SubtableList& list_;
    const AddressLengths& lengths_;
    std::size_t words_ = 0;  // that were taken
    std::uint64_t left_ = 0;
  };

  const SubtableList& list_;
  const Addresses& addresses_;
  const PipelineWords& key_;
  const std::uint64_t version_;
  PipelineWords& examined_;
  AddressWalks walks_;
  AddressHashes hashes_;
  // Zeroed by nobody: set before they are read, for as many addresses as the list looks at.
  AddressLengths lengths_;  // of prefixes that may match, and 0
  // Of subtables by what they look at beside addresses: Listed::rest below kRests, bit by bit.
  std::uint64_t summed_ = 0, covered_ = 0;               // of which there is a sum; which are un-wildcarded
  std::array<std::uint64_t, Listed::kRests> rest_sums_;  // Subtable::rest_sum()
  bool trusts_entries_ = true;  // find_best() takes a rule whose tail matches for one that does: is_match() follows
  std::size_t hit_count_ = 0;
  std::size_t hits_end_ = kNotKept;  // hits_ has the chains of all candidates before this one
  std::array<Hit, kKeptChains + kBatch> hits_;  // the last batch may exceed what is kept
  int above_ = -1;  // rules of greater priority need a proof that they do not match
  std::array<Proof, kAddressFields> proofs_;
  AddressBits known_bits_{};  // how many bits of the addresses known_ and is_told() take for examined
  AddressLengths known_;      // proofs_[].misses, as far as these tell

  void filter_prefixes() noexcept;
  Found find_best() noexcept;
  void sum_rests(std::uint64_t rests) noexcept;
  [[nodiscard]] std::uint32_t hash_in(const Listed& listed) const noexcept {
    const std::uint64_t rest = listed.rest < Listed::kRests ? rest_sums_[listed.rest] : listed.subtable->rest_sum(key_);
    return Subtable::finished(rest + hashes_.sum(listed.lengths, list_.address_count()));
  }
  [[nodiscard]] Found best_of(std::span<const Hit> hits, Found best) noexcept;
  [[nodiscard]] Found best_in(const Hit& hit, Found best) const noexcept;
  [[nodiscard]] bool is_match(const Found& found) const noexcept {
    return found.node->visible(version_) && found.subtable->matches(*found.node, key_);
  }
  void begin_proofs(int above) noexcept;
  void prove(Clauses clauses) noexcept;
  [[nodiscard]] std::uint64_t better_hits() const noexcept;
  bool prove_what_was_not_kept(std::size_t at, Clauses clauses) noexcept;
  void prove_without_chain(const Listed& listed, bool may_match) noexcept;
  void prove_chain(const Subtable& subtable, ChainRef ref, Clauses clauses) noexcept;
  void refute_tail(const Subtable& subtable, const ChainEntry& entry, std::uint64_t differ) noexcept;
  void begin_proof(unsigned field, const PrefixMatches& found) noexcept;
  void update_known() noexcept;
  void examined_to(unsigned field, unsigned bits) noexcept;
  void know(unsigned field) noexcept;
  [[nodiscard]] bool is_told(const Listed& listed) const noexcept;
  [[nodiscard]] bool rest_is_covered(const Listed& listed) noexcept;
  bool prefix_misses(const Listed& listed) noexcept;
  [[nodiscard]] ChainIndex::Found chain_at(std::size_t at) const noexcept;
  void examine(Found found) noexcept;
  void refute(Found found) noexcept;

  [[nodiscard]] std::vector<Found> matching_clauses(int above) const;
  const RuleNode* second_search(std::uint32_t conj_id) const;
};

}  // namespace shunt
