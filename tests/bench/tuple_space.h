// SPDX-License-Identifier: Apache-2.0
// What the classifier is compared with: tuple space search as Open vSwitch's lib/classifier.c does it, a subtable for
// each mask, by descending best priority; tries over the addresses, stages, a trie over each subtable's ports.
#pragma once

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "user/flow/search.h"

namespace shunt {

class TupleSpace {
 public:
  explicit TupleSpace(std::span<const RuleRef> rules) {
    std::map<PipelineWords, Tuple*> by_mask;
    for (const RuleRef& rule : rules) {
      const PipelineWords mask = to_words(rule->match.mask), value = to_words(rule->match.value);
      Tuple*& tuple = by_mask[mask];
      if (tuple == nullptr) {
        tuples_.push_back(std::make_unique<Tuple>(mask, static_cast<std::uint32_t>(tuples_.size()), arena_, garbage_));
        tuple = tuples_.back().get();
      }
      tuple->subtable.link(tuple->shape, 0, rule, false, 0, value, garbage_);
      for (const unsigned field : {kIpv4Dst, kIpv4Src})
        if (tuple->shape.lengths[field] != 0)
          tries_[field].insert(narrow_value(value, field), tuple->shape.lengths[field], rule->priority);
      if (tuple->ports_length != 0) tuple->ports.insert(ports_of(value), tuple->ports_length, rule->priority);
    }
    garbage_.free(kNever);
    std::stable_sort(tuples_.begin(), tuples_.end(), [](const auto& a, const auto& b) {
      return a->subtable.max_priority() > b->subtable.max_priority();
    });
  }

  [[nodiscard]] std::size_t tuple_count() const { return tuples_.size(); }

  const Rule* lookup(const PipelineKey& key, PipelineMask& examined) const noexcept {
    const PipelineWords words = to_words(key);
    PipelineWords mask = to_words(examined);
    const RuleNode* best = nullptr;
    std::array<PrefixMatches, 2> matches;
    AddressHashes hashes;
    for (const unsigned field : {kIpv4Dst, kIpv4Src}) {
      const std::uint32_t address = narrow_value(words, field);
      matches[field] = tries_[field].lookup(address);
      hashes.narrow[field][0] = 0;
      for (unsigned length = 1; length <= 32; ++length)
        if (has(matches[field].lengths, length))
          hashes.narrow[field][length] = prefix_hash(Addresses::salt(kSeed, field), prefix_of(address, length), length);
    }
    for (const auto& tuple : tuples_) {
      if (best != nullptr && tuple->subtable.max_priority() <= best->priority) break;
      const RuleNode* found = probe(*tuple, words, matches, hashes, mask);
      if (found != nullptr && (best == nullptr || found->priority > best->priority)) best = found;
    }
    examined = from_words(mask);
    return best != nullptr ? best->rule.get() : nullptr;
  }

 private:
  struct Tuple {
    MaskShape shape;
    Subtable subtable;
    PipelineWords lower;  // the mask without ports
    std::uint32_t ports_mask;
    unsigned ports_length = 0;
    PrefixTrie<std::uint32_t> ports;
    Tuple(const PipelineWords& mask, std::uint32_t serial, Arena& arena, Garbage& garbage)
        : shape{mask, 0},
          subtable{mask, kSeed, serial, arena},
          lower{mask},
          ports_mask{ports_of(mask)},
          ports{arena, garbage} {
      lower[kPortsWord] &= ~kPortBits;
      if (ports_mask != 0) ports_length = static_cast<unsigned>(32 - std::countr_zero(ports_mask));
    }
  };

  static constexpr std::uint64_t kSeed = 1;

  Arena arena_;
  Garbage garbage_{arena_};
  std::array<PrefixTrie<std::uint32_t>, 2> tries_{{{arena_, garbage_}, {arena_, garbage_}}};
  std::vector<std::unique_ptr<Tuple>> tuples_;

  static std::uint32_t ports_of(const PipelineWords& words) {
    return __builtin_bswap32(static_cast<std::uint32_t>(words[kPortsWord]));
  }

  // By the first stage that tells, or the whole mask.
  static void examine(const Subtable& subtable, const PipelineWords& key, const AddressHashes& hashes,
                      PipelineWords& examined) noexcept {
    if (!subtable.stages_miss(kMetadata, kL4, key, hashes, examined)) subtable.examine_mask(examined);
  }
  static const RuleNode* probe(const Tuple& tuple, const PipelineWords& key,
                               const std::array<PrefixMatches, 2>& matches, const AddressHashes& hashes,
                               PipelineWords& examined) noexcept {
    if (tuple.subtable.stages_miss(kMetadata, kL2, key, hashes, examined)) return nullptr;
    for (const unsigned field : {kIpv4Dst, kIpv4Src}) {
      const unsigned length = tuple.shape.lengths[field];
      if (length == 0 || has(matches[field].lengths, length)) continue;
      add_prefix(examined, field, std::min<unsigned>(length, matches[field].bits));
      return nullptr;
    }
    const Chain chain = tuple.subtable.chain(tuple.subtable.find(tuple.subtable.hash(key, hashes)).chain);
    if (chain.empty() && tuple.ports_length != 0) {
      const PrefixMatches found = tuple.ports.lookup(ports_of(key) & tuple.ports_mask);
      if (!has(found.lengths, tuple.ports_length)) {
        // The stages before the ports may tell already.
        PipelineWords staged{};
        examine(tuple.subtable, key, hashes, staged);
        const bool told_before = staged[kPortsWord] == 0;
        if (!told_before) {
          staged = tuple.lower;
          const auto prefix = static_cast<std::uint32_t>(~std::uint64_t{0} << (32 - found.bits));
          staged[kPortsWord] |= __builtin_bswap32(tuple.ports_mask & prefix);
        }
        for (std::size_t i = 0; i < kPipelineWords; ++i) examined[i] |= staged[i];
        return nullptr;
      }
    }
    examine(tuple.subtable, key, hashes, examined);
    return chain.empty() ? nullptr : &chain.node(chain.entries().front());
  }
};

}  // namespace shunt
