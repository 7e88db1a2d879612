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

// The best rule's memory is fetched while it is proven that there is no better one, and its node's while that begins.
const RuleNode* Search::run() noexcept {
  Found best = find_best();
  begin_proofs(best.priority);
  if (best && !is_match(best)) {  // another rule of this hash, or one of another version
    trusts_entries_ = false;
    best = find_best();
    begin_proofs(best.priority);
  }
  if (best) {
    prefetch(*best.node->rule);
    examine(best);
  }
  prove(Clauses::kIgnored);
  return best.node;
}

void Search::filter_prefixes() noexcept {
  for (unsigned field = 0; field < kNarrowAddresses; ++field)
    lengths_[field] = addresses_.narrow[field].filter.lookup(narrow_value(key_, field), hashes_.narrow[field]);
  for (unsigned field = kNarrowAddresses; field < list_.address_count(); ++field)
    lengths_[field] = addresses_.wide[field - kNarrowAddresses].filter.lookup(wide_value(key_, field),
                                                                              hashes_.wide[field - kNarrowAddresses]);
}

// What the tries will be asked when the best rule is known is fetched meanwhile, a step for each wait.
Found Search::find_best() noexcept {
  filter_prefixes();
  for (unsigned i = 0; i < kNearSteps; ++i) walks_.step();

  Found best;
  hit_count_ = 0;
  hits_end_ = kNotKept;
  Candidates candidates{list_, lengths_};
  for (bool is_last = false; !is_last;) {
    struct Probe {
      std::size_t at;
      std::uint32_t hash;
      ChainIndex::Start start;
    };
    std::array<Probe, kBatch> batch;
    std::size_t size = 0;
    std::uint64_t rests = 0;
    while (size < kBatch) {
      const std::size_t at = candidates.next();
      is_last = at == list_.size() || list_[at].max_priority <= best.priority;
      if (is_last) break;
      batch[size++].at = at;
      rests |= std::uint64_t{1} << list_[at].rest;
    }
    sum_rests(rests);
    const std::span probes{batch.data(), size};
    for (Probe& probe : probes) {
      const Listed& listed = list_[probe.at];
      probe.hash = hash_in(listed);
      probe.start = listed.subtable->start(probe.hash);
    }
    walks_.step();
    Hit* const hits = &hits_[hit_count_];
    std::size_t count = 0;
    for (const Probe& probe : probes) {
      const ChainIndex::Found found = ChainIndex::find(probe.start, probe.hash);
      hits[count] = {static_cast<std::uint32_t>(probe.at), found.chain, found.best};
      count += found.chain != 0 ? 1 : 0;  // no branch: nobody can guess it
    }
    best = best_of({hits, count}, best);
    hit_count_ += count;
    if (hit_count_ > kKeptChains) {
      hits_end_ = std::min<std::size_t>(hits_end_, hits_[kKeptChains].at);
      hit_count_ = kKeptChains;
    }
  }
  return best;
}

// Of these there are sums afterwards.
void Search::sum_rests(std::uint64_t rests) noexcept {
  rests &= ~summed_ & ((std::uint64_t{1} << Listed::kRests) - 1);
  summed_ |= rests;
  for (; rests != 0; rests &= rests - 1) {
    const auto rest = static_cast<unsigned>(std::countr_zero(rests));
    rest_sums_[rest] = list_.with_rest(rest).rest_sum(key_);
  }
}

// By descending best priority, until no chain can have a better rule than was found. The next chain's memory is fetched
// while one is looked at.
Found Search::best_of(std::span<const Hit> hits, Found best) noexcept {
  // The priority, plus one, above the place, the first one having the greatest: the best is a maximum, without a
  // branch.
  constexpr std::uint32_t kLast = 255;
  static_assert(kBatch <= kLast + 1);
  std::array<std::uint32_t, kBatch> ranks;
  for (std::size_t i = 0; i < hits.size(); ++i)
    ranks[i] = static_cast<std::uint32_t>(hits[i].best + 1) << 8 | (kLast - static_cast<std::uint32_t>(i));
  const auto take_best = [&] {
    std::uint32_t most = 0;
    for (std::size_t i = 0; i < hits.size(); ++i) most = std::max(most, ranks[i]);
    if (most == 0) return most;
    const std::size_t at = kLast - (most & kLast);
    ranks[at] = 0;
    list_[hits[at].at].subtable->prefetch_chain(hits[at].chain);
    return most;
  };
  std::uint32_t rank = take_best();
  walks_.step();
  while (static_cast<int>(rank >> 8) > best.priority + 1) {
    const Hit& hit = hits[kLast - (rank & kLast)];
    rank = take_best();
    best = best_in(hit, best);
  }
  return best;
}

Found Search::best_in(const Hit& hit, Found best) const noexcept {
  const Subtable& subtable = *list_[hit.at].subtable;
  const Chain chain = subtable.chain(hit.chain);
  const std::uint64_t tail = subtable.tail(key_);
  for (const ChainEntry& entry : chain.entries()) {
    if (entry.priority <= best.priority) break;
    if (entry.differ(tail) != 0 || entry.is_clause) continue;
    const Found found{&chain.node(entry), &subtable, entry.priority};
    __builtin_prefetch(found.node);
    if (trusts_entries_ || is_match(found)) return found;
  }
  return best;
}

// Of a subtable that may match. What find_best() did not keep is looked up again.
ChainIndex::Found Search::chain_at(std::size_t at) const noexcept {
  if (at >= hits_end_) return list_[at].subtable->find(list_[at].subtable->hash(key_, hashes_));
  for (std::size_t i = 0; i < hit_count_; ++i)
    if (hits_[i].at == at) return {hits_[i].chain, static_cast<std::uint16_t>(hits_[i].best)};
  return {0, 0};
}

// Of rules above above_. Subtables with a chain first, for their masks are wanted in any case; the rules in the chains
// last, for by then most of them are told.
void Search::prove(Clauses clauses) noexcept {
  const std::uint64_t better = better_hits();
  std::uint64_t next_hits = better;
  for (std::size_t word = 0; word < list_.words() && list_[word * 64].max_priority > above_; ++word) {
    const std::uint64_t candidates = list_.with_all(lengths_, word);
    std::uint64_t left = list_.above(above_, word);
    for (; next_hits != 0; next_hits &= next_hits - 1) {
      const std::size_t at = hits_[static_cast<unsigned>(std::countr_zero(next_hits))].at;
      if (at >= (word + 1) * 64) break;
      list_[at].subtable->examine_mask(examined_);
      left &= ~(std::uint64_t{1} << at % 64);
    }
    update_known();
    left &= ~list_.with_one(known_, word);
    for (std::uint64_t may_match = left & candidates; may_match != 0; may_match &= may_match - 1) {
      const std::size_t at = word * 64 + static_cast<unsigned>(std::countr_zero(may_match));
      if (is_told(list_[at])) continue;
      if (at < hits_end_ || !prove_what_was_not_kept(at, clauses)) prove_without_chain(list_[at], true);
    }
    left &= ~candidates;
    while ((left &= ~list_.with_one(known_, word)) != 0) {
      prove_without_chain(list_[word * 64 + static_cast<unsigned>(std::countr_zero(left))], false);
      left &= left - 1;
    }
  }
  for (std::uint64_t hits = better; hits != 0; hits &= hits - 1) {
    const Hit& hit = hits_[static_cast<unsigned>(std::countr_zero(hits))];
    prove_chain(*list_[hit.at].subtable, hit.chain, clauses);
  }
}

// Bits of hits_ whose chain may have a rule above above_: found without a branch.
std::uint64_t Search::better_hits() const noexcept {
  static_assert(kKeptChains <= 64);
  std::uint64_t better = 0;
  for (std::size_t i = 0; i < hit_count_; ++i) better |= std::uint64_t{hits_[i].best > above_} << i;
  return better;
}

// True where there is a chain.
bool Search::prove_what_was_not_kept(std::size_t at, Clauses clauses) noexcept {
  const auto [chain, best] = chain_at(at);
  if (chain == 0 || best <= above_) return false;
  list_[at].subtable->examine_mask(examined_);
  prove_chain(*list_[at].subtable, chain, clauses);
  update_known();
  return true;
}

// By the first of these that tells that the subtable has no rule to look at.
void Search::prove_without_chain(const Listed& listed, bool may_match) noexcept {
  const Subtable& subtable = *listed.subtable;
  if (is_within(listed.lengths, known_bits_) && rest_is_covered(listed)) return;
  if (subtable.stages_miss(kMetadata, kL2, key_, hashes_, examined_) || prefix_misses(listed)) return;
  // Hashes are there of lengths alone that may match.
  if (may_match && subtable.stages_miss(kL3, kL4, key_, hashes_, examined_)) return update_known();
  subtable.examine_mask(examined_);
  for (unsigned field = 0; field < list_.address_count(); ++field) examined_to(field, listed.lengths[field]);
}

// The tail tells of nearly all.
void Search::prove_chain(const Subtable& subtable, ChainRef ref, Clauses clauses) noexcept {
  const Chain chain = subtable.chain(ref);
  const std::uint64_t tail = subtable.tail(key_);
  std::uint64_t examined = subtable.tail(examined_);
  for (const ChainEntry& entry : chain.entries()) {
    if (entry.priority <= above_) return;
    if (clauses == Clauses::kIgnored && entry.is_clause) continue;
    const std::uint64_t differ = entry.differ(tail);
    if (differ == 0) {
      if (const RuleNode& node = chain.node(entry); node.visible(version_)) refute({&node, &subtable, entry.priority});
    } else if ((differ & examined) == 0) {
      refute_tail(subtable, entry, differ);
      examined = subtable.tail(examined_);
    }
  }
}

// Un-wildcards what proves that a rule's tail does not match: of the first field that differs, in the order of rank().
void Search::refute_tail(const Subtable& subtable, const ChainEntry& entry, std::uint64_t differ) noexcept {
  const auto dst = static_cast<std::uint8_t>(differ >> Subtable::kDstTail);
  const auto src = static_cast<std::uint8_t>(differ >> Subtable::kSrcTail);
  const auto add_address = [&](unsigned field, std::uint8_t byte) {
    add_prefix(examined_, field, subtable.lengths()[field] + static_cast<unsigned>(std::countl_zero(byte)) + 1);
  };
  if (dst != 0)
    add_address(kIpv4Dst, dst);
  else if (src != 0)
    add_address(kIpv4Src, src);
  else
    examined_[kPortsWord] |= proof_in_word(kPortsWord, differ, entry.mask);
}

// The first address that can tell does. Whether a prefix of some length matches depends on no bit behind that length.
bool Search::prefix_misses(const Listed& listed) noexcept {
  for (unsigned field = 0; field < list_.address_count(); ++field) {
    const unsigned length = listed.lengths[field];
    if (!has(proofs_[field].misses, length)) continue;
    const unsigned bits = std::min(length, proofs_[field].bits);
    add_prefix(examined_, field, bits);
    examined_to(field, bits);
    return true;
  }
  return false;
}

// Before it is known what is examined.
void Search::begin_proofs(int above) noexcept {
  above_ = above;
  if (list_.size() == 0 || list_[0].max_priority <= above) return;
  while (walks_.step()) continue;
  for (unsigned field = 0; field < list_.address_count(); ++field) begin_proof(field, walks_.matches(field, above));
}

void Search::begin_proof(unsigned field, const PrefixMatches& found) noexcept {
  Proof& proof = proofs_[field];
  proof.bits = found.bits;
  for (unsigned i = 0; i < proof.misses.size(); ++i) proof.misses[i] = ~found.lengths[i];
  proof.misses[0] &= ~std::uint64_t{1};
  known_bits_[field] = 0;
  know(field);
}

// After bits were examined that nobody told examined_to() of.
void Search::update_known() noexcept {
  for (unsigned field = 0; field < list_.address_count(); ++field) examined_to(field, prefix_of(examined_, field));
}

// The first bits of an address are examined.
void Search::examined_to(unsigned field, unsigned bits) noexcept {
  if (bits <= known_bits_[field]) return;
  known_bits_[field] = static_cast<std::uint16_t>(bits);
  know(field);
}

void Search::know(unsigned field) noexcept {
  const Proof& proof = proofs_[field];
  const unsigned bits = known_bits_[field];
  LengthSet& known = known_[field];
  known = proof.misses;
  if (bits >= proof.bits) return;
  const unsigned last = (bits + 1) / 64;  // the word of the first length that is not known
  known[last] &= (std::uint64_t{1} << (bits + 1) % 64) - 1;
  for (unsigned i = last + 1; i < 3; ++i) known[i] = 0;
}

// True where it is known that no rule above above_ matches: by an address, or since the mask is un-wildcarded already.
// Nobody can guess the answer, so it is found without a branch.
bool Search::is_told(const Listed& listed) const noexcept {
  bool is_miss = has(known_[kIpv4Dst], listed.lengths[kIpv4Dst]) | has(known_[kIpv4Src], listed.lengths[kIpv4Src]);
  for (unsigned field = kNarrowAddresses; field < list_.address_count(); ++field)
    is_miss |= has(known_[field], listed.lengths[field]);
  return is_miss | (is_within(listed.lengths, known_bits_) & ((covered_ >> listed.rest & 1) != 0));
}

// True where what it looks at beside addresses is un-wildcarded.
bool Search::rest_is_covered(const Listed& listed) noexcept {
  if (!listed.subtable->rest_is_covered(examined_)) return false;
  if (listed.rest < Listed::kRests) covered_ |= std::uint64_t{1} << listed.rest;
  return true;
}

void Search::examine(Found found) noexcept {
  found.subtable->examine_mask(examined_);
  found.subtable->add_tail(*found.node, examined_);
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
