// SPDX-License-Identifier: Apache-2.0
#include "user/flow/subtable_list.h"

#include <algorithm>
#include <utility>

#include "user/flow/subtable.h"

namespace shunt {

SubtableList::SubtableList(std::vector<Listed> sorted) : listed_{std::move(sorted)} {
  for (unsigned field = 0; field < kAddressFields; ++field) {
    auto& lengths = lengths_[field];
    for (const Listed& listed : listed_)
      if (std::ranges::find(lengths, listed.lengths[field]) == lengths.end())
        lengths.push_back(static_cast<std::uint8_t>(listed.lengths[field]));
    std::ranges::sort(lengths);
    if (field >= kNarrowAddresses && !lengths.empty() && lengths.back() != 0) address_count_ = kAddressFields;

    bits_[field].resize(words() * lengths.size());
    for (std::size_t i = 0; i < listed_.size(); ++i) {
      const auto row = std::ranges::find(lengths, listed_[i].lengths[field]) - lengths.begin();
      bits_[field][i / 64 * lengths.size() + static_cast<std::size_t>(row)] |= std::uint64_t{1} << i % 64;
    }
  }
  find_rests();
}

void SubtableList::find_rests() {
  for (Listed& listed : listed_) {
    const auto is_alike = [&](const Subtable* other) { return other->has_same_rest(*listed.subtable); };
    const auto at = std::ranges::find_if(rests_, is_alike) - rests_.begin();
    listed.rest = static_cast<std::uint8_t>(at);
    if (at == std::ssize(rests_) && at < Listed::kRests) rests_.push_back(listed.subtable);
  }
}

}  // namespace shunt
