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
constexpr unsigned kNearSteps = 2;  // of a walk, whose memory is near for all packets look at it

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

// What whoever looked a rule up reads of it: who keeps it alive, its actions, its counters.
void prefetch(const Rule& rule) noexcept {
  constexpr int kWrite = 1;
  __builtin_prefetch(&rule, kWrite);
  __builtin_prefetch(&rule.actions);
  __builtin_prefetch(&rule.counters, kWrite);
}

}  // namespace

// The best rule's memory is fetched while it is proven that there is no better one.
const RuleNode* Search::run() noexcept {
  const Found best = find_best();
  if (best) {
    prefetch(*best.node->rule);
    examine(best);
  }
  prove(best.priority(), Clauses::kIgnored);
  return best.node;
}

void Search::filter_prefixes() noexcept {
  for (unsigned field = 0; field < kNarrowAddresses; ++field)
    lengths_[field] = addresses_.narrow[field].filter.lookup(narrow_value(key_, field), hashes_.narrow[field]);
  for (unsigned field = kNarrowAddresses; field < list_.address_count(); ++field)
    lengths_[field] = addresses_.wide[field - kNarrowAddresses].filter.lookup(wide_value(key_, field),
                                                                              hashes_.wide[field - kNarrowAddresses]);
}

std::size_t Search::Candidates::next() noexcept {
  while (left_ == 0) {
    if (words_ == list_.words()) return list_.size();
    left_ = list_.with_all(lengths_, words_++);
  }
  const auto bit = static_cast<std::size_t>(std::countr_zero(left_));
  left_ &= left_ - 1;
  return (words_ - 1) * 64 + bit;
}

void Search::step_walks(unsigned steps) noexcept {
  for (; steps != 0; --steps) {
    if (!dst_walk_.is_done()) dst_walk_.step();
    if (!src_walk_.is_done()) src_walk_.step();
  }
}

// What the tries will be asked when the best rule is known is fetched meanwhile, a step for each wait.
Found Search::find_best() noexcept {
  filter_prefixes();
  step_walks(kNearSteps);

  Found best;
  Candidates candidates{list_, lengths_};
  std::size_t at = candidates.next();
  while (at < list_.size() && list_[at].max_priority > best.priority()) {
    struct Probe {
      std::size_t at;
      std::uint32_t hash;
      ChainRef chain;
      std::size_t first;
    };
    std::array<Probe, kBatch> batch;
    std::size_t size = 0;
    for (; at < list_.size() && size < kBatch && list_[at].max_priority > best.priority(); at = candidates.next()) {
      batch[size].at = at;
      batch[size].hash = list_[at].subtable->hash(key_, hashes_);
      list_[at].subtable->prefetch(batch[size++].hash);
    }
    step_walks(1);
    std::size_t hits = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const ChainRef chain = list_[batch[i].at].subtable->find(batch[i].hash);
      batch[hits].at = batch[i].at;
      batch[hits].chain = chain;
      hits += chain != 0 ? 1 : 0;
    }
    for (std::size_t i = 0; i < hits; ++i) {
      list_[batch[i].at].subtable->chain(batch[i].chain).prefetch();
      keep(batch[i].at, batch[i].chain);
    }
    step_walks(1);
    for (std::size_t i = 0; i < hits; ++i) {
      const Chain chain = list_[batch[i].at].subtable->chain(batch[i].chain);
      batch[i].first = next_match(chain, 0, best.priority());
      if (batch[i].first < chain.entries().size()) __builtin_prefetch(&chain.node(batch[i].first));
    }
    for (std::size_t i = 0; i < hits; ++i) {
      const Subtable& subtable = *list_[batch[i].at].subtable;
      best = best_in(subtable, subtable.chain(batch[i].chain), batch[i].first, best);
    }
  }
  return best;
}

void Search::keep(std::size_t at, ChainRef chain) noexcept {
  if (hit_count_ < kKeptChains)
    hits_[hit_count_++] = {static_cast<std::uint32_t>(at), chain};
  else
    hits_end_ = std::min(hits_end_, at);
}

// The place of the first rule from there on that is better than `best` and whose ports match; the chain's end: none.
std::size_t Search::next_match(const Chain& chain, std::size_t from, int best) const noexcept {
  const auto entries = chain.entries();
  for (std::size_t i = from; i < entries.size(); ++i) {
    if (entries[i].priority <= best) return entries.size();
    if (entries[i].differ(ports_) == 0 && !entries[i].is_clause) return i;
  }
  return entries.size();
}

Found Search::best_in(const Subtable& subtable, const Chain& chain, std::size_t first, Found best) const noexcept {
  const auto entries = chain.entries();
  for (std::size_t i = first; i < entries.size(); i = next_match(chain, i + 1, best.priority())) {
    if (entries[i].priority <= best.priority()) return best;
    const RuleNode& node = chain.node(i);
    if (node.visible(version_) && subtable.matches(node, key_)) return {&node, &subtable};
  }
  return best;
}

// Of a subtable that may match. What find_best() did not keep is looked up again.
ChainRef Search::chain_at(std::size_t at) const noexcept {
  if (at >= hits_end_) return list_[at].subtable->find(list_[at].subtable->hash(key_, hashes_));
  for (std::size_t i = 0; i < hit_count_; ++i)
    if (hits_[i].at == at) return hits_[i].chain;
  return 0;
}

// Subtables first: what they un-wildcard often tells of rules in the chains, too.
void Search::prove(int above, Clauses clauses) noexcept {
  if (list_.size() == 0 || list_[0].max_priority <= above) return;
  above_ = above;
  begin_proofs();
  struct Open {
    const Subtable* subtable;
    ChainRef chain;
  };
  std::array<Open, kKeptChains> open;
  std::size_t open_count = 0, next_hit = 0;
  for (std::size_t word = 0; word < list_.words(); ++word) {
    const std::uint64_t candidates = list_.with_all(lengths_, word);
    std::uint64_t left = list_.of_any_length(word) & (candidates | ~list_.with_one(known_, word));
    while (left != 0) {
      const auto bit = static_cast<unsigned>(std::countr_zero(left));
      left &= left - 1;
      const Listed& listed = list_[word * 64 + bit];
      if (listed.max_priority <= above) break;
      const Subtable& subtable = *listed.subtable;
      const bool may_match = (candidates >> bit & 1) != 0;
      const std::size_t at = word * 64 + bit;
      ChainRef chain = 0;
      if (next_hit < hit_count_ && hits_[next_hit].at == at)
        chain = hits_[next_hit++].chain;  // each is come by, for it is a candidate
      else if (may_match && at >= hits_end_)
        chain = chain_at(at);
      if (chain == 0 || subtable.chain(chain).entries().front().priority <= above) {
        if (!prove_without_chain(listed, may_match)) continue;
      } else {
        subtable.examine_mask(examined_);
        if (open_count < open.size())
          open[open_count++] = {&subtable, chain};
        else
          prove_chain(subtable, chain, clauses);
      }
      if (update_known()) left &= candidates | ~list_.with_one(known_, word);
    }
  }
  for (std::size_t i = 0; i < open_count; ++i) prove_chain(*open[i].subtable, open[i].chain, clauses);
}

// By the first of these that tells that the subtable has no rule to look at. True where that took bits.
bool Search::prove_without_chain(const Listed& listed, bool may_match) noexcept {
  const Subtable& subtable = *listed.subtable;
  if (is_known_miss(listed) || is_covered(listed)) return false;
  if (subtable.stages_miss(kL2, key_, hashes_, examined_) || prefix_misses(listed)) return true;
  if (may_match)
    subtable.examine(key_, hashes_, examined_);
  else
    subtable.examine_mask(examined_);  // hashes are there of lengths alone that may match
  return true;
}

// The ports tell of nearly all.
void Search::prove_chain(const Subtable& subtable, ChainRef ref, Clauses clauses) noexcept {
  const Chain chain = subtable.chain(ref);
  const auto entries = chain.entries();
  for (std::size_t i = 0; i < entries.size() && entries[i].priority > above_; ++i) {
    const ChainEntry& entry = entries[i];
    if (clauses == Clauses::kIgnored && entry.is_clause) continue;
    const std::uint64_t differ = entry.differ(ports_);
    if ((differ & examined_[kPortsWord]) != 0) continue;
    if (differ != 0)
      examined_[kPortsWord] |= proof_in_word(kPortsWord, differ, entry.ports_mask);
    else if (chain.node(i).visible(version_))
      refute({&chain.node(i), &subtable});
  }
}

// The first address that can tell does. Whether a prefix of some length matches depends on no bit behind that length.
bool Search::prefix_misses(const Listed& listed) noexcept {
  for (unsigned field = 0; field < list_.address_count(); ++field) {
    const unsigned length = listed.lengths[field];
    if (!has(proofs_[field].misses, length)) continue;
    add_prefix(examined_, field, std::min(length, proofs_[field].bits));
    return true;
  }
  return false;
}

void Search::begin_proofs() noexcept {
  while (!dst_walk_.is_done() || !src_walk_.is_done()) step_walks(1);
  proofs_[kIpv4Dst] = proof_of(dst_walk_.matches(above_));
  proofs_[kIpv4Src] = proof_of(src_walk_.matches(above_));
  for (unsigned field = kNarrowAddresses; field < list_.address_count(); ++field)
    proofs_[field] = proof_of(addresses_.wide[field - kNarrowAddresses].trie.lookup(wide_value(key_, field), above_));
  update_known();
}

Search::Proof Search::proof_of(const PrefixMatches& found) noexcept {
  Proof proof{found.bits, kNothing, {}};
  for (unsigned i = 0; i < proof.misses.size(); ++i) proof.misses[i] = ~found.lengths[i];
  proof.misses[0] &= ~std::uint64_t{1};
  return proof;
}

// True where more is known than before.
bool Search::update_known() noexcept {
  bool is_more = false;
  for (unsigned field = 0; field < list_.address_count(); ++field) {
    Proof& proof = proofs_[field];
    const unsigned bits = prefix_of(examined_, field);
    if (bits == proof.examined) continue;
    is_more = true;
    proof.examined = bits;
    LengthSet& known = known_[field];
    known = proof.misses;
    if (bits >= proof.bits) continue;
    const unsigned last = (bits + 1) / 64;  // the word of the first length that is not known
    known[last] &= (std::uint64_t{1} << (bits + 1) % 64) - 1;
    for (unsigned i = last + 1; i < 3; ++i) known[i] = 0;
  }
  return is_more;
}

bool Search::is_known_miss(const Listed& listed) const noexcept {
  bool is_known = false;
  for (unsigned field = 0; field < list_.address_count(); ++field)
    is_known |= has(known_[field], listed.lengths[field]);
  return is_known;
}

// True where the subtable's mask is un-wildcarded already.
bool Search::is_covered(const Listed& listed) const noexcept {
  for (unsigned field = 0; field < list_.address_count(); ++field)
    if (listed.lengths[field] > proofs_[field].examined) return false;
  return listed.subtable->rest_is_covered(examined_);
}

void Search::examine(Found found) noexcept {
  found.subtable->examine_mask(examined_);
  examined_[kPortsWord] |= found.node->entry.ports_mask;
}

// Un-wildcards what proves that the rule does not match: nothing if that is known already, else bits of one field.
void Search::refute(Found found) noexcept {
  const PipelineWords value = found.subtable->value_of(*found.node), mask = found.subtable->mask_of(*found.node);
  int best_rank = kNoRank;
  unsigned best_word = 0;
  std::uint64_t proof = 0;
  for (unsigned word = 0; word < kPipelineWords; ++word) {
    const std::uint64_t differ = (key_[word] ^ value[word]) & mask[word];
    if ((differ & examined_[word]) != 0) return;
    if (differ == 0 || rank(word) >= best_rank) continue;
    best_rank = rank(word);
    best_word = word;
    proof = proof_in_word(word, differ, mask[word]);
  }
  if (best_rank == kNoRank) return examine(found);  // it matches: a clause
  examined_[best_word] |= proof;
}

}  // namespace shunt
