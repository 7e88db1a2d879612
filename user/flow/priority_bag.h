// SPDX-License-Identifier: Apache-2.0
// A bag of priorities that knows its greatest one. Few stand in a row, by descending priority; many in two heaps: what
// came, and what went but is not at the top yet; so two bytes a priority, and a change moves few of them.
// Threads: one, the classifier's writer.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

namespace shunt {

class PriorityBag {
 public:
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] std::size_t size() const { return many_ == nullptr ? few_count_ : many_->size(); }
  [[nodiscard]] std::uint16_t max() const {  // 0 of an empty one
    if (many_ != nullptr) return many_->max();
    return few_count_ == 0 ? std::uint16_t{0} : few_.front();
  }

  void insert(std::uint16_t priority) {
    if (many_ == nullptr && few_count_ == kFew) many_ = std::make_unique<Heaps>(few_.begin(), few_.end());
    if (many_ != nullptr) return many_->insert(priority);
    const auto end = few_.begin() + few_count_++, at = std::lower_bound(few_.begin(), end, priority, std::greater{});
    std::move_backward(at, end, end + 1);
    *at = priority;
  }

  void remove(std::uint16_t priority) {  // it must be there
    if (many_ == nullptr) {
      const auto end = few_.begin() + few_count_--;
      const auto at = std::lower_bound(few_.begin(), end, priority, std::greater{});
      std::move(at + 1, end, at);
      return;
    }
    many_->remove(priority);
    if (many_->size() > kFew / 2) return;
    few_count_ = static_cast<std::uint16_t>(many_->size());
    for (std::uint16_t i = 0; i < few_count_; ++i) {
      few_[i] = many_->max();
      many_->remove(few_[i]);
    }
    many_ = nullptr;
  }

 private:
  class Heaps {
   public:
    template <typename Iterator>
    Heaps(Iterator begin, Iterator end) : in_(begin, end) {
      std::make_heap(in_.begin(), in_.end());
    }
    [[nodiscard]] std::size_t size() const { return in_.size() - out_.size(); }
    [[nodiscard]] std::uint16_t max() const { return in_.front(); }

    void insert(std::uint16_t priority) {
      in_.push_back(priority);
      std::push_heap(in_.begin(), in_.end());
    }

    void remove(std::uint16_t priority) {
      out_.push_back(priority);
      std::push_heap(out_.begin(), out_.end());
      while (!out_.empty() && out_.front() == in_.front()) {
        pop(in_);
        pop(out_);
      }
      if (out_.size() > 16 && out_.size() > in_.size() / 2) compact();
    }

   private:
    std::vector<std::uint16_t> in_, out_;  // each of out_ stands in in_, too

    static void pop(std::vector<std::uint16_t>& heap) {
      std::pop_heap(heap.begin(), heap.end());
      heap.pop_back();
    }

    void compact() {
      std::sort(in_.begin(), in_.end());
      std::sort(out_.begin(), out_.end());
      std::vector<std::uint16_t> left;
      left.reserve(in_.size() - out_.size());
      std::set_difference(in_.begin(), in_.end(), out_.begin(), out_.end(), std::back_inserter(left));
      in_ = std::move(left);
      out_.clear();
      std::make_heap(in_.begin(), in_.end());
    }
  };

  static constexpr std::size_t kFew = 19;  // with which a bag is 48 bytes, and what a prefix of IPv4 has 64

  std::uint16_t few_count_ = 0;
  std::array<std::uint16_t, kFew> few_;
  std::unique_ptr<Heaps> many_;  // null: few
};

}  // namespace shunt
