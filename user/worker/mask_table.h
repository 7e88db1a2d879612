// SPDX-License-Identifier: Apache-2.0
// The masks in use, by number: the `masks` map. Flows with equal masks share a number; a number that no flow uses any
// more is given away again only after a grace period. Keeps SHUNT_MASK_UNION, over which the exact-match level hashes;
// a program that reads it half written computes another hash and finds no hint, which is no harm.
//
// Threads: the revalidator.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "maps/flow.h"
#include "user/flow/flow_key.h"
#include "user/worker/epoch_queue.h"

namespace shunt {

class MaskTable {
 public:
  explicit MaskTable(std::span<shunt_mask> masks);

  // Takes over the masks that an earlier daemon numbered, before any other call; then acquire() those in use, and
  // forget_unused().
  void inherit();
  void forget_unused(std::uint64_t epoch);

  // Takes a reference; nothing when all numbers are taken. SHUNT_MASK_EXACT is number 0 and always there.
  [[nodiscard]] std::optional<std::uint16_t> acquire(const FlowMask& mask);
  void release(std::uint16_t number, std::uint64_t epoch);
  void reclaim(std::uint64_t epoch);
  [[nodiscard]] bool has_retired(std::uint64_t epoch) const { return retired_.has(epoch); }

  [[nodiscard]] std::optional<std::uint16_t> find(const FlowMask& mask) const;
  [[nodiscard]] bool has_number(std::uint32_t number) const {  // a flow may have it
    return number == SHUNT_MASK_EXACT || (number < entries_.size() && entries_[number].named);
  }
  [[nodiscard]] const FlowMask& bits(std::uint16_t number) const { return entries_[number].bits; }
  [[nodiscard]] std::uint16_t fields(std::uint16_t number) const { return entries_[number].fields; }  // SHUNT_PLAIN_*
  [[nodiscard]] const shunt_mask& layout(std::uint16_t number) const { return masks_[number]; }
  [[nodiscard]] std::uint32_t count() const { return count_; }  // in use, exact included where a flow has it

  void shrink_union();  // leaves out what no mask in use has any more; acquire() only adds

 private:
  struct Entry {
    FlowMask bits{};
    std::uint16_t fields = 0;  // plain_fields()
    std::uint32_t references = 0;
    bool named = false;            // in numbers_
    std::uint64_t retired_in = 0;  // epoch
  };
  struct Hash {
    std::size_t operator()(const KeyWords& words) const noexcept;
  };
  void write_union(const FlowMask& bits);

  std::span<shunt_mask> masks_;
  std::vector<Entry> entries_;
  std::unordered_map<KeyWords, std::uint16_t, Hash> numbers_;
  std::vector<std::uint16_t> free_;
  EpochQueue<std::uint16_t> retired_;
  FlowMask union_{};
  std::uint32_t count_ = 0;
  mutable std::uint16_t found_ = SHUNT_MASK_EXACT;  // by find(), last: most flows have the mask of the one before
};

}  // namespace shunt
