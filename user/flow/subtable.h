// SPDX-License-Identifier: Apache-2.0
// A subtable holds rules of a classifier whose masks are its own, but for their tails: hashed by its mask, rules of
// equal hash in a chain. Who looks up verifies the rule that it takes from the chain.
//
// A hash is a sum over the words of the mask, and over address prefixes, whose part is known for a key whatever the
// subtable. Sums go stage by stage: each stage but the last has an index of the hashes that its rules have so far, so
// that a miss can be told by as few fields as possible. Part of the classifier: see there for threads. What readers may
// hold goes to the Garbage.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <vector>

#include "user/flow/addresses.h"
#include "user/flow/chain.h"
#include "user/flow/chain_index.h"
#include "user/flow/flow_key.h"
#include "user/flow/hash_index.h"
#include "user/flow/mask_shape.h"
#include "user/flow/priority_bag.h"
#include "user/flow/rule_node.h"
#include "user/flow/subtable_list.h"

namespace shunt {

class alignas(64) Subtable {  // what a look-up touches first is one line
 public:
  Subtable(const PipelineWords& mask, std::uint64_t seed, std::uint32_t serial, Arena& arena);
  ~Subtable();
  Subtable(const Subtable&) = delete;
  Subtable& operator=(const Subtable&) = delete;

  // Readers.
  [[nodiscard]] std::uint32_t hash(const PipelineWords& key, const AddressHashes& addresses) const noexcept {
    return finished(rest_sum(key) + address_sum(addresses));
  }
  // In two steps, for subtables of one rest have the first one's result alike: the rest is what the mask has beside
  // address prefixes.
  [[nodiscard]] bool has_same_rest(const Subtable& other) const noexcept {
    const auto is_same = [](const Word& a, const Word& b) { return a.word == b.word && a.bits == b.bits; };
    return std::equal(words_.begin(), words_.begin() + hashed_count_, other.words_.begin(),
                      other.words_.begin() + other.hashed_count_, is_same);
  }
  [[nodiscard]] std::uint64_t rest_sum(const PipelineWords& key) const noexcept {
    return sum(key, 0, hashed_count_, seed_);
  }
  // Of the sum of the rest's and what the address prefixes add.
  static std::uint32_t finished(std::uint64_t sum) noexcept {
    const auto hash = static_cast<std::uint32_t>(sum * 0xc4ceb9fe1a85ec53 >> 32);
    return hash == 0 ? 1 : hash;
  }
  // Fetches where ChainIndex::find() begins.
  [[nodiscard]] ChainIndex::Start start(std::uint32_t hash) const noexcept { return chains_.start(hash); }
  [[nodiscard]] ChainIndex::Found find(std::uint32_t hash) const noexcept { return chains_.find(hash); }
  void prefetch_chain(ChainRef ref) const noexcept { Chain::prefetch(arena_, ref); }  // not of an empty one
  [[nodiscard]] Chain chain(ChainRef ref) const noexcept {
    return {arena_, ref, ref == 0 || Chain::is_row(ref) ? ChainEntry{} : entry_of(ref)};
  }
  // What of a key its rules may look at beside the mask: the ports, and the eight bits of each IPv4 address that follow
  // the mask's.
  [[nodiscard]] std::uint64_t tail(const PipelineWords& key) const noexcept {
    return tail(static_cast<std::uint32_t>(key[kPortsWord]), narrow_value(key, kIpv4Dst), narrow_value(key, kIpv4Src));
  }
  static constexpr unsigned kDstTail = 32, kSrcTail = 40;  // where the addresses' bits are in it
  // Of a rule in here whose tail matches.
  [[nodiscard]] bool matches(const RuleNode& node, const PipelineWords& key) const noexcept {
    std::uint32_t differ = 0;
    for (unsigned i = 0; i < half_count_; ++i)
      differ |= (half_of(key, halves_[i].at) ^ node.values()[i]) & halves_[i].bits;
    return differ == 0;
  }
  void examine_mask(PipelineWords& examined) const noexcept {
    for (unsigned i = 0; i < word_count_; ++i) examined[words_[i].word] |= words_[i].bits;
  }
  // True where the rest is un-wildcarded.
  [[nodiscard]] bool rest_is_covered(const PipelineWords& examined) const noexcept {
    std::uint64_t missing = 0;
    for (unsigned i = 0; i < hashed_count_; ++i) missing |= words_[i].bits & ~examined[words_[i].word];
    return missing == 0;
  }
  // True where the fields up to one of these stages, and not only the last one's, tell that no rule is met; then
  // un-wildcards them.
  [[nodiscard]] bool stages_miss(Stage first, Stage last, const PipelineWords& key, const AddressHashes& addresses,
                                 PipelineWords& examined) const noexcept;
  // Of the addresses under the mask, by TrieField.
  [[nodiscard]] const PrefixLengths& lengths() const noexcept { return lengths_; }
  // What a rule in here matches.
  [[nodiscard]] PipelineWords value_of(const RuleNode& node) const noexcept;
  [[nodiscard]] PipelineWords mask_of(const RuleNode& node) const noexcept;
  // Adds what a rule in here looks at beside the mask.
  void add_tail(const RuleNode& node, PipelineWords& mask) const noexcept;

  // Writer.
  [[nodiscard]] const PipelineWords& mask() const { return mask_; }
  [[nodiscard]] Chain chain_of(const PipelineWords& value) const noexcept { return chain(find(hash_of(value)).chain); }
  // Of a rule: what its stages are found by, and at last its chain.
  using StageHashes = std::array<std::uint32_t, kStages>;
  [[nodiscard]] StageHashes stage_hashes(const PipelineWords& value) const noexcept;
  // Fetch what link() and unlink() begin with, and, when that has come, the chain.
  void prefetch(const StageHashes& hashes) const noexcept;
  void prefetch_chain(const StageHashes& hashes) const noexcept {
    if (const ChainRef ref = find(hashes[last_stage_]).chain; ref != 0) prefetch_chain(ref);
  }
  // Of a rule of this shape, which is in this subtable by its level there. Returns the rule's node.
  BlockRef link(const MaskShape& shape, unsigned level, RuleRef rule, bool is_clause, std::uint64_t version,
                const PipelineWords& value, Garbage& garbage);
  void unlink(BlockRef node, const StageHashes& hashes, Garbage& garbage);
  [[nodiscard]] bool empty() const { return priorities_.empty(); }
  [[nodiscard]] std::size_t size() const { return priorities_.size(); }           // linked rules, visible or not
  [[nodiscard]] std::uint16_t max_priority() const { return priorities_.max(); }  // not of an empty one
  [[nodiscard]] std::uint32_t serial() const { return serial_; }                  // older subtables have lower ones
  [[nodiscard]] std::size_t page_bytes() const;
  template <typename Visit>
  void for_each(Visit visit) const {
    chains_.for_each([&](ChainRef ref) { chain(ref).for_each_node(visit); });
  }
  using Place = ChainIndex::Place;
  template <typename Visit>
  bool for_some(Place& place, std::size_t& most, Visit visit) const {  // as ChainIndex::for_some()
    return chains_.for_some(place, most, [&](ChainRef ref) { chain(ref).for_each_node(visit); });
  }

  // Shapes that may have rules here.
  void adopt(MaskShape& shape, unsigned level);
  void release(const MaskShape& shape, unsigned level);
  [[nodiscard]] const std::vector<MaskShape*>& shapes() const { return shapes_; }
  bool is_stale = false;  // what the classifier's list says of this subtable is not up to date
  std::vector<Subtable*> exact;  // of its shapes, those that look at the addresses as their rules do

 private:
  struct Word {
    std::uint64_t bits;
    std::uint64_t word;  // of the key
  };
  struct Half {
    std::uint32_t bits;
    std::uint32_t at;  // of the key's half words, the lower one first
  };
  // What a look-up that finds no chain touches.
  Arena& arena_;
  ChainIndex chains_;
  std::uint64_t seed_;
  PrefixLengths lengths_;
  bool is_wide_;  // looks at IPv6 addresses
  std::uint8_t half_count_ = 0;
  std::uint8_t dst_half_ = 0, src_half_ = 0;       // those of the IPv4 addresses that it looks at
  std::uint8_t last_stage_ = 0;                    // the last stage with words
  std::uint8_t indexed_ = 0;                       // bit by stage: those before it that have something
  std::uint8_t word_count_ = 0;                    // those of address prefixes come last
  std::uint8_t hashed_count_ = 0;                  // without them
  std::array<std::uint8_t, kStages> stage_end_{};  // of the hashed words of each stage
  std::array<Word, kPipelineWords> words_;         // of the mask, in the order of the stages
  std::array<Half, 2 * kPipelineWords> halves_;    // what nodes have values for
  std::array<HashIndex, kStages - 1> stages_;
  // Writer.
  PipelineWords mask_;
  std::uint32_t serial_;
  PriorityBag priorities_;  // of linked rules, visible or not
  std::vector<MaskShape*> shapes_;

  [[nodiscard]] std::uint64_t tail(std::uint32_t ports, std::uint32_t dst, std::uint32_t src) const noexcept {
    return ports | std::uint64_t{byte_behind(dst, lengths_[kIpv4Dst])} << kDstTail |
           std::uint64_t{byte_behind(src, lengths_[kIpv4Src])} << kSrcTail;
  }
  static std::uint8_t byte_behind(std::uint32_t address, unsigned length) noexcept {
    return static_cast<std::uint8_t>(std::uint64_t{address} << 8 >> (32 - length));
  }
  [[nodiscard]] ChainEntry entry_of(BlockRef ref) const noexcept;
  void set_chain(std::uint32_t hash, ChainRef ref, Garbage& garbage);
  static std::uint32_t half_of(const PipelineWords& words, unsigned half) noexcept {
    return static_cast<std::uint32_t>(words[half / 2] >> half % 2 * 32);
  }
  // Adds the hashed words from `begin` to `end`.
  [[nodiscard]] std::uint64_t sum(const PipelineWords& key, unsigned begin, unsigned end,
                                  std::uint64_t before) const noexcept {
    for (unsigned i = begin; i < end; ++i) {
      const Word& at = words_[i];
      before += hash_step(seed_ + at.word, key[at.word] & at.bits);
    }
    return before;
  }
  [[nodiscard]] std::uint64_t address_sum(const AddressHashes& addresses) const noexcept {
    return addresses.sum(lengths_, is_wide_ ? kAddressFields : kNarrowAddresses);
  }
  [[nodiscard]] std::uint32_t hash_of(const PipelineWords& value) const noexcept {
    return finished(sum(value, 0, hashed_count_, seed_) + Addresses::hash(seed_, value, lengths_));
  }
  // Un-wildcards what the stages up to one look at.
  void examine_stages(unsigned last, PipelineWords& examined) const noexcept;
  template <typename Visit>
  void for_each_indexed(Visit visit) const {
    for (unsigned left = indexed_; left != 0; left &= left - 1) visit(static_cast<unsigned>(std::countr_zero(left)));
  }
};

}  // namespace shunt
