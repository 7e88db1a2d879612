// SPDX-License-Identifier: Apache-2.0
// A part that few objects have: where there is none it takes a pointer, and is read as an empty T. It is its object's
// own, and copied with it.
//
// Threads: as of any other member.
#pragma once

#include <memory>

namespace shunt {

template <typename T>
class Rare {
 public:
  Rare() = default;
  Rare(const Rare& other) : part_{other.part_ ? std::make_unique<T>(*other.part_) : nullptr} {}
  Rare(Rare&&) noexcept = default;
  Rare& operator=(const Rare& other) {
    if (this != &other) *this = Rare{other};
    return *this;
  }
  Rare& operator=(Rare&&) noexcept = default;
  ~Rare() = default;

  [[nodiscard]] bool exists() const { return part_ != nullptr; }
  [[nodiscard]] const T& operator*() const { return part_ ? *part_ : kNone; }
  [[nodiscard]] const T* operator->() const { return &**this; }
  T& make() {  // it exists from here on
    if (!part_) part_ = std::make_unique<T>();
    return *part_;
  }
  void clear() { part_.reset(); }

 private:
  inline static const T kNone{};

  std::unique_ptr<T> part_;
};

}  // namespace shunt
