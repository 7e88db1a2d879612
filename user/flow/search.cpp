// SPDX-License-Identifier: Apache-2.0
#include "user/flow/search.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <type_traits>

namespace shunt {

namespace {

constexpr unsigned kPortsWord = offsetof(shunt_flow_key, tp_src) / 8;
constexpr unsigned kFirstAddressWord = offsetof(shunt_flow_key, ip_src) / 8;
constexpr unsigned kLastAddressWord = kFirstAddressWord + 3;
constexpr int kNoRank = 9;

// How many leading bits of the field are examined.
unsigned prefix_of(const PipelineWords& examined, unsigned field) noexcept {
  if (field >= kNarrowAddresses) {
    const Bits128 mask = ~wide_value(examined, field);
    return mask == 0 ? 128 : leading_zeros(mask);
  }
  return leading_zeros(~narrow_value(examined, field));
}

// In which field a difference is looked for first: one order for all packets, so that their masks are alike.
int rank(unsigned word) noexcept {
  if (word >= kKeyWords) return 1;  // what only the pipeline knows costs no cached flow anything
  if (word == kPortsWord) return 5;
  if (word < kFirstAddressWord || word > kLastAddressWord) return 2;
  return word < kFirstAddressWord + 2 ? 4 : 3;
}

std::uint64_t up_to_first_difference(std::uint64_t differ) noexcept {
  const unsigned first = static_cast<unsigned>(std::countl_zero(__builtin_bswap64(differ)));
  return __builtin_bswap64(~std::uint64_t{0} << (63 - first));
}

// Bits of one word that prove that it differs, of a field that differs: of ports and addresses those up to the first
// that differs, so that masks stay prefixes; of other fields the byte.
std::uint64_t proof_in_word(unsigned word, std::uint64_t differ, std::uint64_t mask) noexcept {
  if (word >= kFirstAddressWord && word <= kLastAddressWord) return mask & up_to_first_difference(differ);
  if (word == kPortsWord) {
    constexpr std::uint64_t kSrc = 0xffff, kDst = 0xffff0000;
    if ((differ & kDst) != 0) return mask & kDst & up_to_first_difference(differ & kDst);
    if ((differ & kSrc) != 0) return mask & kSrc & up_to_first_difference(differ & kSrc);
  }
  return mask & std::uint64_t{0xff} << (std::countr_zero(differ) & ~7);
}

}  // namespace

const RuleNode* Search::run() noexcept {
  const RuleNode* best = find_best();
  if (best != nullptr) examine(*best);
  prove(best != nullptr ? best->priority : -1, Clauses::kIgnored);
  return best;
}

const RuleNode* Search::find_best() noexcept {
  const RuleNode* best = nullptr;
  const std::size_t count = list_.size();
  std::array<std::uint64_t, kBatch> hashes;
  for (std::size_t begin = 0; begin < count; begin += kBatch) {
    if (best != nullptr && list_[begin].max_priority <= best->priority) break;
    const std::size_t size = std::min(kBatch, count - begin);
    for (std::size_t i = 0; i < size; ++i) {
      hashes[i] = list_[begin + i].subtable->hash(key_);
      list_[begin + i].subtable->prefetch(hashes[i]);
    }
    std::array<const RuleNode*, kBatch> chains;
    for (std::size_t i = 0; i < size; ++i) {
      chains[i] = list_[begin + i].subtable->chain(hashes[i]);
      if (begin + i < kKeptChains) chains_[begin + i] = chains[i];
      __builtin_prefetch(chains[i]);
      __builtin_prefetch(reinterpret_cast<const std::byte*>(chains[i]) + 64);
    }
    for (std::size_t i = 0; i < size; ++i) best = best_in(chains[i], best);
    searched_ = begin + size;
  }
  return best;
}

const RuleNode* Search::best_in(const RuleNode* chain, const RuleNode* best) const noexcept {
  for (const RuleNode* node = chain; node != nullptr; node = node->next.load(std::memory_order_acquire)) {
    if (best != nullptr && node->priority <= best->priority) break;
    if (!node->is_clause && node->matches(key_) && node->visible(version_)) return node;
  }
  return best;
}

const RuleNode* Search::chain_of(std::size_t i) const noexcept {
  if (i < std::min(searched_, kKeptChains)) return chains_[i];
  return list_[i].subtable->chain(list_[i].subtable->hash(key_));
}

// Subtables first: what they un-wildcard often tells of rules in the chains, too.
void Search::prove(int above, Clauses clauses) noexcept {
  above_ = above;
  std::array<const RuleNode*, kKeptChains> chains;
  std::size_t chain_count = 0;
  const auto prove_chain = [&](const RuleNode* node) {
    for (; node != nullptr && node->priority > above; node = node->next.load(std::memory_order_acquire)) {
      if ((clauses == Clauses::kIgnored && node->is_clause) || !node->visible(version_)) continue;
      refute(*node);
    }
  };
  for (std::size_t i = 0; i < list_.size() && list_[i].max_priority > above; ++i) {
    // Where its mask is examined anyway, or a chain holds what must be looked at, tries would tell little, and late.
    const Subtable& subtable = *list_[i].subtable;
    const RuleNode* chain = chain_of(i);
    const bool has_rules = chain != nullptr && chain->priority > above;
    if (!has_rules && !subtable.is_covered(examined_) && misses(list_[i])) continue;
    subtable.examine(key_, examined_);
    if (!has_rules) continue;
    if (chain_count < chains.size())
      chains[chain_count++] = chain;
    else
      prove_chain(chain);
  }
  for (std::size_t i = 0; i < chain_count; ++i) prove_chain(chains[i]);
}

// True where something short of the subtable's mask proves that none of its rules needs to be looked at.
bool Search::misses(const Listed& listed) noexcept {
  const Subtable& subtable = *listed.subtable;
  const PrefixProof proof = prefix_proof(listed.lengths);
  if (proof.added == 0 || subtable.stages_miss(kL2, key_, examined_)) return true;
  if (proof.added != kNoProof) {
    add_prefix(examined_, proof.field, proof.bits);
    return true;
  }
  return subtable.stages_miss(kL3, key_, examined_) || subtable.ports_miss(listed.lengths, key_, above_, examined_);
}

// How a trie proves that the subtable has no such rule: by bits that are examined already, or by the first field that
// can.
Search::PrefixProof Search::prefix_proof(const LengthSets& lengths) noexcept {
  PrefixProof first;
  for (unsigned field = 0; field < kAddressFields; ++field) {
    const unsigned bits = proof_bits(lengths, field);
    if (bits == kNoProof) continue;
    const unsigned known = prefix_of(examined_, field);
    if (bits <= known) return {field, bits, 0};
    if (first.added == kNoProof) first = {field, bits, bits - known};
  }
  return first;
}

// How many leading bits of the field prove that no rule above the priority has one of these lengths, or kNoProof.
// Whether a prefix of some length matches depends on no bit behind that length.
unsigned Search::proof_bits(const LengthSets& lengths, unsigned field) noexcept {
  const bool is_narrow = field < kNarrowAddresses;
  const std::uint64_t* set = is_narrow ? &lengths.narrow[field] : lengths.wide[field - kNarrowAddresses].data();
  if ((*set & 1) != 0) return kNoProof;  // some rule does not look at the field
  if ((looked_up_ >> (is_narrow ? 0 : 1) & 1) == 0) look_up_prefixes(is_narrow);
  const PrefixMatches& found = matches_[field];
  unsigned longest = 0;
  for (unsigned i = 0; i < (is_narrow ? 1u : 3u); ++i) {
    if ((set[i] & found.lengths[i]) != 0) return kNoProof;
    if (set[i] != 0) longest = i * 64 + 63 - static_cast<unsigned>(std::countl_zero(set[i]));
  }
  return std::min<unsigned>(longest, found.bits);
}

void Search::look_up_prefixes(bool is_narrow) noexcept {
  const auto both = [&](const auto& tries, const auto& dst_value, const auto& src_value, PrefixMatches* found) {
    using Trie = std::remove_cvref_t<decltype(tries[0])>;
    typename Trie::Walk dst{tries[0], dst_value, above_}, src{tries[1], src_value, above_};
    while (!dst.is_done() && !src.is_done()) {
      dst.step();
      src.step();
    }
    while (!dst.is_done()) dst.step();
    while (!src.is_done()) src.step();
    found[0] = dst.found();
    found[1] = src.found();
  };
  if (is_narrow)
    both(tries_.narrow, narrow_value(key_, kIpv4Dst), narrow_value(key_, kIpv4Src), &matches_[kIpv4Dst]);
  else
    both(tries_.wide, wide_value(key_, kIpv6Dst), wide_value(key_, kIpv6Src), &matches_[kIpv6Dst]);
  looked_up_ = static_cast<std::uint8_t>(looked_up_ | (is_narrow ? 1u : 2u));
}

void Search::examine(const RuleNode& node) noexcept {
  node.for_each_condition([&](unsigned word, const Condition& c) { examined_[word] |= c.mask; });
}

// Un-wildcards what proves that the rule does not match: nothing if that is known already, else bits of one field.
void Search::refute(const RuleNode& node) noexcept {
  bool is_known = false;
  int best_rank = kNoRank;
  unsigned best_word = 0;
  std::uint64_t proof = 0;
  node.for_each_condition([&](unsigned word, const Condition& c) {
    const std::uint64_t differ = (key_[word] ^ c.value) & c.mask;
    is_known = is_known || (differ & examined_[word]) != 0;
    if (differ == 0 || rank(word) >= best_rank) return;
    best_rank = rank(word);
    best_word = word;
    proof = proof_in_word(word, differ, c.mask);
  });
  if (is_known) return;
  if (best_rank == kNoRank) return examine(node);  // it matches: a clause
  examined_[best_word] |= proof;
}

}  // namespace shunt
