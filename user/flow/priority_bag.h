// SPDX-License-Identifier: Apache-2.0
// A bag of priorities that knows its greatest one. Two heaps: what came, and what went but is not at the top yet; two
// bytes a priority, and a change moves few of them. Threads: one, the classifier's writer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

namespace shunt {

class PriorityBag {
 public:
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] std::size_t size() const { return in_.size() - out_.size(); }
  [[nodiscard]] std::uint16_t max() const { return in_.empty() ? std::uint16_t{0} : in_.front(); }

  void insert(std::uint16_t priority) {
    in_.push_back(priority);
    std::push_heap(in_.begin(), in_.end());
  }

  void remove(std::uint16_t priority) {  // it must be there
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

}  // namespace shunt
