// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/group_select.h"

#include <algorithm>
#include <numeric>

namespace shunt {

namespace {

// How many of `size` slots each bucket gets: its share rounded down, and one more for those who lose the most by that.
std::vector<std::size_t> apportion(std::span<const BucketRef> buckets, std::uint64_t total, std::size_t size) {
  std::vector<std::size_t> counts(buckets.size());
  std::size_t left = size;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    counts[i] = static_cast<std::size_t>(buckets[i]->weight * size / total);
    left -= counts[i];
  }
  std::vector<std::size_t> order(buckets.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto remainder = [&](std::size_t i) { return buckets[i]->weight * size % total; };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return remainder(a) > remainder(b); });
  for (std::size_t i = 0; i < left; ++i) ++counts[order[i]];
  return counts;
}

bool is_close(std::span<const BucketRef> buckets, std::uint64_t total, const std::vector<std::size_t>& counts,
              std::size_t size) {
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    const double share = static_cast<double>(buckets[i]->weight) / static_cast<double>(total);
    const double given = static_cast<double>(counts[i]) / static_cast<double>(size);
    if (given > share + 0.001 || given < share - 0.001) return false;
    if (counts[i] == 0 && buckets[i]->weight != 0) return false;
  }
  return true;
}

}  // namespace

std::vector<std::uint16_t> make_slots(std::span<const BucketRef> buckets) {
  std::uint64_t total = 0;
  for (const BucketRef& bucket : buckets) total += bucket->weight;
  if (total == 0) return {};
  std::size_t size = 1;
  std::vector<std::size_t> counts = apportion(buckets, total, size);
  while (size < kMaxSlots && !is_close(buckets, total, counts, size)) counts = apportion(buckets, total, size *= 2);

  std::vector<std::uint16_t> slots;
  slots.reserve(size);
  for (std::size_t i = 0; i < counts.size(); ++i) slots.insert(slots.end(), counts[i], static_cast<std::uint16_t>(i));
  return slots;
}

}  // namespace shunt
