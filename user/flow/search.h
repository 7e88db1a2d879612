// SPDX-License-Identifier: Apache-2.0
// One look-up in a classifier. Filters of the addresses tell first which subtables can hold a rule that matches; in
// these the best rule is found. Then it is proven, by as few bits as possible, that no rule above its priority matches:
// only then is it known which rules need a proof at all.
//
// Part of the classifier: see there for threads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "user/flow/chain.h"
#include "user/flow/flow_key.h"
#include "user/flow/mask_shape.h"
#include "user/flow/prefix_filter.h"
#include "user/flow/prefix_trie.h"
#include "user/flow/rule_node.h"
#include "user/flow/subtable.h"

namespace shunt {

// A subtable and what is asked of it before it is touched.
struct Listed {
  const Subtable* subtable;
  std::uint32_t serial;
  std::uint16_t max_priority;
  std::array<std::uint8_t, kAddressFields> lengths;  // of its addresses, by TrieField; 0: does not look at them
  bool is_wide;                                      // looks at IPv6 addresses

  // Among equals the older subtable stays first, so that a rule does not win and lose by turns.
  friend bool operator<(const Listed& a, const Listed& b) {
    return a.max_priority != b.max_priority ? a.max_priority > b.max_priority : a.serial < b.serial;
  }
};
using SubtableList = std::vector<Listed>;  // by descending priority; never edited once readers have it

// The prefixes of one address that rules have.
template <typename Value>
struct Prefixes {
  PrefixFilter<Value> filter;
  PrefixTrie<Value> trie;

  // Writer. `retire(pointer)` takes over what is unlinked.
  template <typename Retire>
  void insert(Value prefix, unsigned length, std::uint16_t priority, Retire retire) {
    if (trie.insert(prefix, length, priority, retire)) filter.insert(prefix, length, trie, retire);
  }
  template <typename Retire>
  void remove(Value prefix, unsigned length, std::uint16_t priority, Retire retire) {
    if (trie.remove(prefix, length, priority, retire)) filter.remove(length, trie, retire);
  }
};
struct Addresses {
  std::array<Prefixes<std::uint32_t>, kNarrowAddresses> narrow;
  std::array<Prefixes<Bits128>, kAddressFields - kNarrowAddresses> wide;
};

class Search {
 public:
  Search(const SubtableList& list, const Addresses& addresses, const PipelineWords& key, std::uint64_t version,
         PipelineWords& examined) noexcept
      : list_{list},
        addresses_{addresses},
        key_{key},
        version_{version},
        ports_{ChainEntry::ports_of(key)},
        examined_{examined} {}

  // The best rule that is no clause.
  const RuleNode* run() noexcept;
  // ... and where clauses above it make a conjunctive match: the rule found with its conj_id.
  const RuleNode* run_with_clauses();

 private:
  static constexpr std::size_t kBatch = 16;       // subtables whose memory is fetched at once
  static constexpr std::size_t kKeptChains = 64;  // that find_best() keeps for prove()

  enum class Clauses : bool { kIgnored, kMatter };

  // Of one address, what its trie says of rules above above_.
  struct Proof {
    unsigned bits = 0;     // of the address that tell
    LengthSet misses{};    // no such rule has a prefix of this length that matches; never of length 0
    LengthSet is_known{};  // ... which the bits that are examined already tell
  };
  struct Probe {
    std::uint32_t at;  // in the list
    Chain chain;
  };

  const SubtableList& list_;
  const Addresses& addresses_;
  const PipelineWords& key_;
  const std::uint64_t version_;
  const std::uint32_t ports_;
  PipelineWords& examined_;
  std::size_t probe_count_ = 0;
  std::size_t probed_to_ = 0;  // subtables that find_best() has passed
  std::array<Probe, kKeptChains> probes_;
  bool has_proofs_ = false;                        // proofs_ are there
  int above_ = -1;                                 // rules of greater priority need a proof that they do not match
  std::array<LengthSet, kAddressFields> lengths_;  // of prefixes that may match, and 0
  std::array<Proof, kAddressFields> proofs_;
  unsigned fields_ = kNarrowAddresses;  // all where there are IPv6 prefixes

  void filter_prefixes() noexcept;
  [[nodiscard]] bool may_match(const Listed& listed) const noexcept;
  const RuleNode* find_best() noexcept;
  [[nodiscard]] const ChainEntry* first_match(std::span<const ChainEntry> entries, const RuleNode* best) const noexcept;
  [[nodiscard]] const RuleNode* best_in(Chain chain, const ChainEntry* first, const RuleNode* best) const noexcept;
  void prove(int above, Clauses clauses) noexcept;
  void prove_chain(Chain chain, Clauses clauses) noexcept;
  bool misses(const Listed& listed) noexcept;
  void begin_proofs() noexcept;
  template <typename Value, std::size_t kFields>
  void walk(const std::array<Prefixes<Value>, kFields>& prefixes, Value dst_value, Value src_value,
            Proof* proofs) noexcept;
  static Proof proof_of(const PrefixMatches& found) noexcept;
  void update_known() noexcept;
  [[nodiscard]] bool is_known_miss(const Listed& listed) const noexcept;
  bool prefix_misses(const Listed& listed) noexcept;
  [[nodiscard]] Chain chain_of(std::size_t at) const noexcept;
  void examine(const RuleNode& node) noexcept;
  void refute(const RuleNode& node) noexcept;

  [[nodiscard]] std::vector<const RuleNode*> matching_clauses(int above) const;
  const RuleNode* second_search(std::uint32_t conj_id) const;
};

}  // namespace shunt
