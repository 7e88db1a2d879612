// SPDX-License-Identifier: Apache-2.0
// What was taken out of use while the kernel's programs may still read it, in the order of the epochs it left in. It is
// free to be used again when a grace period that began after its epoch was closed has passed.
//
// Threads: the owner's.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

namespace shunt {

template <typename T>
class EpochQueue {
 public:
  void add(std::uint64_t epoch, T item) { items_.emplace_back(epoch, std::move(item)); }

  // Hands `use(epoch, item)` all that left in `epoch` or before.
  template <typename Use>
  void reclaim(std::uint64_t epoch, Use&& use) {
    while (!items_.empty() && items_.front().first <= epoch) {
      const std::pair<std::uint64_t, T> item = std::move(items_.front());
      items_.pop_front();
      use(item.first, item.second);
    }
  }

  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const auto& [epoch, item] : items_) visit(item);
  }
  [[nodiscard]] bool empty() const { return items_.empty(); }
  [[nodiscard]] std::size_t size() const { return items_.size(); }
  [[nodiscard]] bool has(std::uint64_t epoch) const { return !items_.empty() && items_.back().first >= epoch; }

 private:
  std::deque<std::pair<std::uint64_t, T>> items_;
};

}  // namespace shunt
