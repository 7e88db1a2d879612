// SPDX-License-Identifier: Apache-2.0
#include "user/flow/search.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <type_traits>

namespace shunt {

namespace {

constexpr unsigned kFirstAddressWord = offsetof(shunt_flow_key, ip_src) / 8;
constexpr unsigned kLastAddressWord = kFirstAddressWord + 3;
constexpr int kNoRank = 9;
constexpr unsigned kNearSteps = 3;  // of a walk, whose memory is near for all packets look at it

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
    for (const std::uint64_t port : {kPortDstBits, kPortSrcBits})
      if ((differ & port) != 0) return mask & port & up_to_first_difference(differ & port);
  }
  return mask & std::uint64_t{0xff} << (std::countr_zero(differ) & ~7);
}

}  // namespace

const RuleNode* Search::run() noexcept {
  const RuleNode* best = find_best();
  if (best != nullptr) examine(*best);
  prove(best != nullptr ? best->priority() : -1, Clauses::kIgnored);
  return best;
}

void Search::filter_prefixes() noexcept {
  for (unsigned field = 0; field < kNarrowAddresses; ++field)
    lengths_[field] = addresses_.narrow[field].filter.lookup(narrow_value(key_, field));
  if (addresses_.wide[0].trie.empty() && addresses_.wide[1].trie.empty()) return;
  fields_ = kAddressFields;
  for (unsigned field = kNarrowAddresses; field < kAddressFields; ++field)
    lengths_[field] = addresses_.wide[field - kNarrowAddresses].filter.lookup(wide_value(key_, field));
}

bool Search::may_match(const Listed& listed) const noexcept {
  // Narrow prefixes have at most 32 bits.
  const bool may = (lengths_[0][0] >> listed.lengths[0] & lengths_[1][0] >> listed.lengths[1] & 1) != 0;
  if (!listed.is_wide || !may) return may;
  return has(lengths_[2], listed.lengths[2]) && has(lengths_[3], listed.lengths[3]);
}

const RuleNode* Search::find_best() noexcept {
  filter_prefixes();
  // What the tries will be asked when the best rule is known is fetched meanwhile, a step for each wait.
  PrefixTrie<std::uint32_t>::Walk dst{addresses_.narrow[0].trie, narrow_value(key_, kIpv4Dst), -1};
  PrefixTrie<std::uint32_t>::Walk src{addresses_.narrow[1].trie, narrow_value(key_, kIpv4Src), -1};
  const auto fetch_tries = [&](unsigned steps) {
    for (; steps != 0; --steps) {
      if (!dst.is_done()) dst.step();
      if (!src.is_done()) src.step();
    }
  };
  fetch_tries(kNearSteps);

  const RuleNode* best = nullptr;
  std::size_t at = 0;
  while (at < list_.size() && (best == nullptr || list_[at].max_priority > best->priority())) {
    std::array<Probe, kBatch> batch;
    std::array<std::uint64_t, kBatch> hashes;
    std::size_t size = 0;
    for (; at < list_.size() && size < kBatch; ++at) {
      if (!may_match(list_[at])) continue;
      hashes[size] = list_[at].subtable->hash(key_);
      list_[at].subtable->prefetch(hashes[size]);
      batch[size++].at = static_cast<std::uint32_t>(at);
    }
    fetch_tries(1);
    for (std::size_t i = 0; i < size; ++i) {
      batch[i].chain = list_[batch[i].at].subtable->chain(hashes[i]);
      batch[i].chain.prefetch();
      if (probe_count_ < kKeptChains) {
        probes_[probe_count_++] = batch[i];
        probed_to_ = batch[i].at + 1;
      }
    }
    fetch_tries(1);
    std::array<const ChainEntry*, kBatch> first;
    for (std::size_t i = 0; i < size; ++i) {
      first[i] = first_match(batch[i].chain.entries(), best);
      if (first[i] != nullptr) first[i]->node->prefetch();
    }
    fetch_tries(1);
    for (std::size_t i = 0; i < size; ++i)
      if (first[i] != nullptr) best = best_in(batch[i].chain, first[i], best);
  }
  return best;
}

// The first rule better than `best` whose ports match.
const ChainEntry* Search::first_match(std::span<const ChainEntry> entries, const RuleNode* best) const noexcept {
  for (const ChainEntry& entry : entries) {
    if (best != nullptr && entry.priority <= best->priority()) return nullptr;
    if (entry.differ(ports_) == 0 && !entry.is_clause) return &entry;
  }
  return nullptr;
}

const RuleNode* Search::best_in(Chain chain, const ChainEntry* first, const RuleNode* best) const noexcept {
  const auto entries = chain.entries();
  while (first != nullptr) {
    const RuleNode& node = *first->node;
    if (best != nullptr && node.priority() <= best->priority()) return best;
    if (node.visible(version_) && node.matches(key_)) return &node;
    first = first_match(entries.subspan(static_cast<std::size_t>(first - entries.data()) + 1), best);
  }
  return best;
}

// Of a subtable that may match. What find_best() did not keep is looked up again.
Chain Search::chain_of(std::size_t at) const noexcept {
  if (at < probed_to_) {
    const auto end = probes_.begin() + static_cast<std::ptrdiff_t>(probe_count_);
    const auto probe =
        std::lower_bound(probes_.begin(), end, at, [](const Probe& p, std::size_t i) { return p.at < i; });
    return probe->chain;
  }
  return list_[at].subtable->chain(list_[at].subtable->hash(key_));
}

// Subtables first: what they un-wildcard often tells of rules in the chains, too.
void Search::prove(int above, Clauses clauses) noexcept {
  above_ = above;
  has_proofs_ = false;
  std::array<Chain, kKeptChains> chains;
  std::size_t chain_count = 0;
  for (std::size_t i = 0; i < list_.size() && list_[i].max_priority > above; ++i) {
    const Subtable& subtable = *list_[i].subtable;
    const Chain chain = may_match(list_[i]) ? chain_of(i) : Chain{};
    if (chain == Chain{} || chain.entries().front().priority <= above) {
      if ((has_proofs_ && is_known_miss(list_[i])) || subtable.is_covered(examined_) || misses(list_[i])) continue;
      subtable.examine(key_, examined_);
    } else {
      subtable.examine_mask(examined_);
      if (chain_count < chains.size())
        chains[chain_count++] = chain;
      else
        prove_chain(chain, clauses);
    }
    update_known();
  }
  for (std::size_t i = 0; i < chain_count; ++i) prove_chain(chains[i], clauses);
}

// The ports tell of nearly all.
void Search::prove_chain(Chain chain, Clauses clauses) noexcept {
  for (const ChainEntry& entry : chain.entries()) {
    if (entry.priority <= above_) return;
    if (clauses == Clauses::kIgnored && entry.is_clause) continue;
    const std::uint64_t differ = entry.differ(ports_);
    if ((differ & examined_[kPortsWord]) != 0) continue;
    if (differ != 0)
      examined_[kPortsWord] |= proof_in_word(kPortsWord, differ, entry.ports_mask);
    else if (entry.node->visible(version_))
      refute(*entry.node);
  }
}

// True where something short of the subtable's mask proves that none of its rules needs to be looked at.
bool Search::misses(const Listed& listed) noexcept {
  const Subtable& subtable = *listed.subtable;
  if (!has_proofs_) {
    begin_proofs();
    if (is_known_miss(listed)) return true;
  }
  if (!subtable.stages_miss(kL2, key_, examined_) && !prefix_misses(listed) &&
      !subtable.stages_miss(kL3, key_, examined_))
    return false;
  update_known();
  return true;
}

// The first address that can tell does. Whether a prefix of some length matches depends on no bit behind that length.
bool Search::prefix_misses(const Listed& listed) noexcept {
  for (unsigned field = 0; field < fields_; ++field) {
    const unsigned length = listed.lengths[field];
    if (!has(proofs_[field].misses, length)) continue;
    add_prefix(examined_, field, std::min(length, proofs_[field].bits));
    return true;
  }
  return false;
}

// Both tries of a kind at a time, so that they wait for memory together.
template <typename Value, std::size_t kFields>
void Search::walk(const std::array<Prefixes<Value>, kFields>& prefixes, Value dst_value, Value src_value,
                  Proof* proofs) noexcept {
  typename PrefixTrie<Value>::Walk dst{prefixes[0].trie, dst_value, above_}, src{prefixes[1].trie, src_value, above_};
  while (!dst.is_done() || !src.is_done()) {
    if (!dst.is_done()) dst.step();
    if (!src.is_done()) src.step();
  }
  proofs[0] = proof_of(dst.found());
  proofs[1] = proof_of(src.found());
}

// Only where a proof is wanted: what a walk costs is memory that is far away.
void Search::begin_proofs() noexcept {
  has_proofs_ = true;
  walk(addresses_.narrow, narrow_value(key_, kIpv4Dst), narrow_value(key_, kIpv4Src), &proofs_[kIpv4Dst]);
  if (fields_ == kAddressFields)
    walk(addresses_.wide, wide_value(key_, kIpv6Dst), wide_value(key_, kIpv6Src), &proofs_[kIpv6Dst]);
  update_known();
}

Search::Proof Search::proof_of(const PrefixMatches& found) noexcept {
  Proof proof{found.bits, {}, {}};
  for (unsigned i = 0; i < proof.misses.size(); ++i) proof.misses[i] = ~found.lengths[i];
  proof.misses[0] &= ~std::uint64_t{1};
  return proof;
}

void Search::update_known() noexcept {
  if (!has_proofs_) return;
  for (unsigned field = 0; field < fields_; ++field) {
    Proof& proof = proofs_[field];
    const unsigned known = prefix_of(examined_, field);
    proof.is_known = proof.misses;
    if (known >= proof.bits) continue;
    const unsigned last = (known + 1) / 64;  // the word of the first length that is not known
    proof.is_known[last] &= (std::uint64_t{1} << (known + 1) % 64) - 1;
    for (unsigned i = last + 1; i < 3; ++i) proof.is_known[i] = 0;
  }
}

bool Search::is_known_miss(const Listed& listed) const noexcept {
  bool is_known = false;
  for (unsigned field = 0; field < fields_; ++field) is_known |= has(proofs_[field].is_known, listed.lengths[field]);
  return is_known;
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
