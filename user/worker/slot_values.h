// SPDX-License-Identifier: Apache-2.0
// What few flows have, by slot: memory for it is there in pieces of 256 slots of which one has had it.
//
// Threads: its owner's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace shunt {

// T has empty(), which is true of a T{}.
template <typename T>
class SlotValues {
 public:
  explicit SlotValues(std::uint32_t slot_limit) : pieces_((slot_limit + kPiece - 1) / kPiece) {}

  [[nodiscard]] const T& operator[](std::uint32_t slot) const {
    const auto& piece = pieces_[slot / kPiece];
    return piece == nullptr ? kNone : (*piece)[slot % kPiece];
  }
  void set(std::uint32_t slot, T value) {
    auto& piece = pieces_[slot / kPiece];
    if (piece == nullptr) {
      if (value.empty()) return;
      piece = std::make_unique<Piece>();
    }
    (*piece)[slot % kPiece] = std::move(value);
  }
  void clear(std::uint32_t slot) { set(slot, T{}); }

 private:
  static constexpr std::size_t kPiece = 256;
  using Piece = std::array<T, kPiece>;

  inline static const T kNone{};
  std::vector<std::unique_ptr<Piece>> pieces_;
};

}  // namespace shunt
