// SPDX-License-Identifier: Apache-2.0
#include "user/flow/arena.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace shunt {

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kMinMapped = std::size_t{1} << 20;  // below that malloc serves

}  // namespace

Arena::~Arena() {
  for (unsigned n = kFirstSlab; n <= slab_; ++n)
    free_pages(at<void>(BlockRef{1} << (n - 1)), (std::size_t{1} << (n - 1)) * kUnit);
}

BlockRef Arena::allocate(std::size_t size) {
  const SizeClass want = class_of(size);
  BlockRef& list = free_[want.index];
  if (list == 0) {
    if (want.size >= kLine) return take(want.size);
    const BlockRef line = take(kLine);
    for (std::size_t at = 0; at < kLine; at += want.size) free(line + static_cast<BlockRef>(at / kUnit), want.size);
  }
  const BlockRef ref = list;
  std::memcpy(&list, at<BlockRef>(ref), sizeof list);
  if (list != 0) __builtin_prefetch(at<void>(list));  // where the next call reads what comes behind it
  return ref;
}

void Arena::free(BlockRef ref, std::size_t size) noexcept {
  BlockRef& list = free_[class_of(size).index];
  std::memcpy(at<BlockRef>(ref), &list, sizeof list);
  list = ref;
}

Arena::SizeClass Arena::class_of(std::size_t size) {
  if (size <= 16) return {0, 16};
  if (size <= 32) return {1, 32};
  const std::size_t lines = (size + kLine - 1) / kLine;
  if (lines <= kLineClasses) return {1 + lines, lines * kLine};
  const std::size_t rounded = std::bit_ceil(size);
  return {kLineClasses + static_cast<std::size_t>(std::bit_width(rounded / kLine / kLineClasses)), rounded};
}

BlockRef Arena::take(std::size_t size) {
  while (next_ + size / kUnit > end_) add_slab();
  const auto ref = static_cast<BlockRef>(next_);
  next_ += size / kUnit;
  if (shunt::page_bytes((end_ / 2) * kUnit) != 0) page_bytes_ += size;
  return ref;
}

// What the slab before has left stays unused: at most the block for which this one is made.
void Arena::add_slab() {
  if (slab_ + 1 >= kSlabs) throw std::bad_alloc{};
  const std::size_t first = std::size_t{1} << slab_;
  const auto memory = reinterpret_cast<std::uintptr_t>(allocate_pages(first * kUnit));
  ++slab_;
  origins_[slab_] = memory - first * kUnit;
  next_ = first;
  end_ = first * 2;
}

std::size_t page_bytes(std::size_t size) noexcept { return size >= kMinMapped ? size : 0; }

void* allocate_pages(std::size_t size) {
  if (page_bytes(size) == 0) {
    void* memory = std::aligned_alloc(64, (size + 63) / 64 * 64);
    if (memory == nullptr) throw std::bad_alloc{};
    return std::memset(memory, 0, size);
  }
  // Huge pages want their alignment: more is mapped, and what is too much goes back.
  const std::size_t mapped = size + kHugePage;
  void* const memory =
      ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc{};
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t aligned = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const std::uintptr_t end = aligned + (size + 4095) / 4096 * 4096;
  if (aligned != begin) ::munmap(memory, aligned - begin);
  if (end != begin + mapped) ::munmap(reinterpret_cast<void*>(end), begin + mapped - end);
  (void)::madvise(reinterpret_cast<void*>(aligned), size, MADV_HUGEPAGE);
  return reinterpret_cast<void*>(aligned);
}

void free_pages(void* memory, std::size_t size) noexcept {
  if (page_bytes(size) == 0)
    std::free(memory);
  else
    ::munmap(memory, (size + 4095) / 4096 * 4096);
}

}  // namespace shunt
