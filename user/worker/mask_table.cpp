// SPDX-License-Identifier: Apache-2.0
#include "user/worker/mask_table.h"

#include <algorithm>

#include "bpf/datapath/mask.h"
#include "user/worker/plain_fields.h"

namespace shunt {

MaskTable::MaskTable(std::span<shunt_mask> masks) : masks_{masks}, entries_(masks.size()) {
  for (std::size_t number = masks.size(); number-- > SHUNT_MASK_FIRST;)
    free_.push_back(static_cast<std::uint16_t>(number));
  KeyWords ones;
  ones.fill(~std::uint64_t{0});
  Entry& exact = entries_[SHUNT_MASK_EXACT];
  exact.bits = from_words(ones);
  exact.fields = plain_fields(exact.bits);
  shunt_mask_from_bits(&exact.bits, &masks_[SHUNT_MASK_EXACT]);
  write_union({});
}

void MaskTable::inherit() {
  free_.clear();
  for (std::size_t at = masks_.size(); at-- > SHUNT_MASK_FIRST;) {
    const auto number = static_cast<std::uint16_t>(at);
    const shunt_mask& layout = masks_[number];
    KeyWords words{};
    for (std::size_t i = 0; i < std::min<std::size_t>(layout.word_count, words.size()); ++i)
      if (layout.word[i] < words.size()) words[layout.word[i]] = layout.bits[i];
    if (layout.word_count == 0 || !numbers_.emplace(words, number).second) {
      free_.push_back(number);
      continue;
    }
    entries_[number] = Entry{from_words(words), plain_fields(from_words(words)), 0, true, 0};
  }
}

void MaskTable::forget_unused(std::uint64_t epoch) {
  for (const auto& [words, number] : numbers_) {
    Entry& entry = entries_[number];
    if (entry.references > 0) continue;
    entry.retired_in = epoch;
    retired_.add(epoch, number);
  }
}

std::optional<std::uint16_t> MaskTable::acquire(const FlowMask& mask) {
  std::optional<std::uint16_t> number = find(mask);
  if (number) {
    if (entries_[*number].references++ == 0) ++count_;
  } else {
    if (free_.empty()) return std::nullopt;
    number = free_.back();
    free_.pop_back();
    entries_[*number] = Entry{mask, plain_fields(mask), 1, true, 0};
    shunt_mask_from_bits(&mask, &masks_[*number]);
    numbers_.emplace(to_words(mask), *number);
    ++count_;
  }
  if (!is_subset(mask, union_)) {
    FlowMask wider = union_;
    add_mask(wider, mask);
    write_union(wider);
  }
  return number;
}

std::optional<std::uint16_t> MaskTable::find(const FlowMask& mask) const {
  if (has_number(found_) && equal(mask, entries_[found_].bits)) return found_;
  if (equal(mask, entries_[SHUNT_MASK_EXACT].bits)) return SHUNT_MASK_EXACT;
  const auto known = numbers_.find(to_words(mask));
  if (known == numbers_.end()) return std::nullopt;
  found_ = known->second;
  return found_;
}

void MaskTable::release(std::uint16_t number, std::uint64_t epoch) {
  Entry& entry = entries_[number];
  if (--entry.references > 0) return;
  --count_;
  if (number == SHUNT_MASK_EXACT) return;
  entry.retired_in = epoch;
  retired_.add(epoch, number);
}

void MaskTable::reclaim(std::uint64_t epoch) {
  retired_.reclaim(epoch, [this](std::uint64_t left, std::uint16_t number) {
    Entry& entry = entries_[number];
    // In use again meanwhile, or left once more in a later epoch.
    if (entry.references > 0 || !entry.named || entry.retired_in != left) return;
    numbers_.erase(to_words(entry.bits));
    entry = Entry{};
    masks_[number] = shunt_mask{};
    free_.push_back(number);
  });
}

void MaskTable::shrink_union() {
  FlowMask needed{};
  for (const Entry& entry : entries_)
    if (entry.references > 0) add_mask(needed, entry.bits);
  if (!equal(needed, union_)) write_union(needed);
}

void MaskTable::write_union(const FlowMask& bits) {
  union_ = bits;
  shunt_mask_from_bits(&union_, &masks_[SHUNT_MASK_UNION]);
}

std::size_t MaskTable::Hash::operator()(const KeyWords& words) const noexcept {
  std::uint64_t hash = 0;
  for (const std::uint64_t word : words) hash = shunt_hash_step(hash, word, 0x9e3779b97f4a7c15);
  return hash;
}

}  // namespace shunt
