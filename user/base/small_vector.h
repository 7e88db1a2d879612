// SPDX-License-Identifier: Apache-2.0
// A vector whose first elements lie within it, as most have no more: what holds several of them is one block of memory,
// and not one for each. Only what lists that are appended to need.
//
// Unlike std::vector's, its elements move with it: references into one that is moved from are no good any more.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace shunt {

template <typename T, std::uint32_t kInline>
class SmallVector {
  static_assert(kInline > 0 && std::is_nothrow_move_constructible_v<T>);
  static_assert(alignof(T) <= alignof(std::max_align_t));

 public:
  using value_type = T;

  SmallVector() noexcept = default;
  SmallVector(std::initializer_list<T> elements) { append(elements.begin(), elements.end()); }
  SmallVector(const SmallVector& other) { assign(other.begin(), other.end()); }
  SmallVector(SmallVector&& other) noexcept { take(other); }
  SmallVector& operator=(const SmallVector& other) {
    if (this != &other) assign(other.begin(), other.end());
    return *this;
  }
  SmallVector& operator=(SmallVector&& other) noexcept {
    if (this == &other) return *this;
    release();
    take(other);
    return *this;
  }
  ~SmallVector() { release(); }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] T* data() noexcept { return capacity_ == kInline ? reinterpret_cast<T*>(place_) : block(); }
  [[nodiscard]] const T* data() const noexcept { return const_cast<SmallVector*>(this)->data(); }
  [[nodiscard]] T* begin() noexcept { return data(); }
  [[nodiscard]] T* end() noexcept { return data() + size_; }
  [[nodiscard]] const T* begin() const noexcept { return data(); }
  [[nodiscard]] const T* end() const noexcept { return data() + size_; }
  [[nodiscard]] T& operator[](std::size_t i) noexcept { return data()[i]; }
  [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return data()[i]; }
  [[nodiscard]] const T& at(std::size_t i) const {  // throws std::out_of_range
    if (i >= size_) throw std::out_of_range("SmallVector::at");
    return data()[i];
  }
  [[nodiscard]] T& front() noexcept { return data()[0]; }  // not of an empty one; nor back()
  [[nodiscard]] const T& front() const noexcept { return data()[0]; }
  [[nodiscard]] T& back() noexcept { return data()[size_ - 1]; }
  [[nodiscard]] const T& back() const noexcept { return data()[size_ - 1]; }

  void push_back(T value) {
    if (size_ == capacity_) grow();
    ::new (static_cast<void*>(data() + size_)) T(std::move(value));
    ++size_;
  }
  void clear() noexcept {
    std::destroy(begin(), end());
    size_ = 0;
  }
  template <typename Iterator>
  void append(Iterator first, Iterator last) {  // not of its own
    for (; first != last; ++first) push_back(*first);
  }
  template <typename Iterator>
  void assign(Iterator first, Iterator last) {  // likewise
    clear();
    append(first, last);
  }

  friend bool operator==(const SmallVector& a, const SmallVector& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  [[nodiscard]] T* block() const noexcept {
    T* at;
    std::memcpy(&at, place_, sizeof at);
    return at;
  }
  void grow() {
    const std::uint32_t capacity = 2 * capacity_;
    T* const more = std::allocator<T>{}.allocate(capacity);
    std::uninitialized_move(begin(), end(), more);
    const std::uint32_t size = size_;
    release();
    std::memcpy(place_, &more, sizeof more);
    size_ = size;
    capacity_ = capacity;
  }
  void release() noexcept {
    clear();
    if (capacity_ == kInline) return;
    std::allocator<T>{}.deallocate(block(), capacity_);
    capacity_ = kInline;
  }
  void take(SmallVector& other) noexcept {  // this one is empty, and has no block
    if (other.capacity_ == kInline) {
      std::uninitialized_move(other.begin(), other.end(), begin());
      size_ = other.size_;
      other.clear();
      return;
    }
    std::memcpy(place_, other.place_, sizeof(T*));
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, kInline);
  }

  std::uint32_t size_ = 0, capacity_ = kInline;  // more than kInline: place_ holds where the elements are
  alignas(std::max(alignof(T), alignof(T*))) std::byte place_[std::max(kInline * sizeof(T), sizeof(T*))];
};

}  // namespace shunt
