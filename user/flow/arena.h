// SPDX-License-Identifier: Apache-2.0
// Memory of many small blocks that are named by 32 bits, and pages for arrays: what a classifier's readers touch.
// Dense, on whole cache lines and, where there is much of it, on huge pages, for a look-up costs what it waits for
// memory.
//
// Slabs double, so that few addresses say where a block is. Blocks of up to 64 bytes lie in one cache line, larger ones
// begin with one. What is freed is used again for blocks of its size.
// Threads: one writer; any number of readers of what the writer has published.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace shunt {

// A block: its place in units of 16 bytes, less than 2^31. 0: none.
using BlockRef = std::uint32_t;

class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  template <typename T>
  [[nodiscard]] T* at(BlockRef ref) const noexcept {
    return reinterpret_cast<T*>(origins_[std::bit_width(ref)] + std::uintptr_t{ref} * kUnit);
  }

  // Writer. Throws std::bad_alloc. `size` in bytes; free() wants the same.
  [[nodiscard]] BlockRef allocate(std::size_t size);
  void free(BlockRef ref, std::size_t size) noexcept;
  [[nodiscard]] std::size_t page_bytes() const { return page_bytes_; }  // of blocks that stand in pages of their own

 private:
  static constexpr std::size_t kUnit = 16, kLine = 64;
  static constexpr unsigned kFirstSlab = 9, kSlabs = 32;  // slab n has the units from 2^(n-1) to 2^n
  static constexpr std::size_t kLineClasses = 32;         // blocks of whole lines, by their number
  static constexpr std::size_t kClasses = 64;

  std::array<std::uintptr_t, kSlabs + 1> origins_{};  // of slab n, where unit 0 would be
  std::array<BlockRef, kClasses> free_{};             // lists by class
  unsigned slab_ = kFirstSlab - 1;
  std::size_t next_ = 0, end_ = 0;  // units of the newest slab that were not handed out
  std::size_t page_bytes_ = 0;

  struct SizeClass {
    std::size_t index, size;
  };
  static SizeClass class_of(std::size_t size);
  BlockRef take(std::size_t size);
  void add_slab();
};

// Zeroed memory of a large array: huge pages, if there is enough of it. Throws std::bad_alloc.
void* allocate_pages(std::size_t size);
void free_pages(void* memory, std::size_t size) noexcept;
// How much of it malloc does not know of.
std::size_t page_bytes(std::size_t size) noexcept;

}  // namespace shunt
