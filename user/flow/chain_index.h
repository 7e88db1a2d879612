// SPDX-License-Identifier: Apache-2.0
// A chain index maps 32-bit hashes to chains and the best priority of each: a look-up goes to the chains alone that may
// have a better rule than it found. Six hashes share a cache line, and mostly one line answers, whether or not there is
// such a chain.
//
// A line that was full once sends those that it has no room for to the next one, and says so until the array is
// rebuilt. Threads: one writer; any number of readers, which never wait. Arrays that were replaced go to the Garbage.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "user/flow/arena.h"
#include "user/flow/garbage.h"

namespace shunt {

class ChainIndex {
  struct alignas(64) Line;

 public:
  // A chain, and a priority that none of its rules exceeds. No chain: both 0.
  struct Found {
    std::uint32_t chain;
    std::uint16_t best;
  };
  class alignas(64) Array {
   public:
    static Array* make(std::size_t lines) {
      return new (allocate_pages(bytes(lines))) Array{static_cast<std::uint32_t>(lines)};
    }
    static void operator delete(Array* array, std::destroying_delete_t) { free_pages(array, bytes(array->lines)); }
    static std::size_t bytes(std::size_t lines) { return sizeof(Array) + lines * sizeof(Line); }

    const std::uint32_t lines;
    std::uint32_t used = 0;        // entries
    std::uint32_t overflowed = 0;  // lines

    [[nodiscard]] Line* begin() noexcept { return reinterpret_cast<Line*>(this + 1); }
    [[nodiscard]] const Line* begin() const noexcept { return reinterpret_cast<const Line*>(this + 1); }
    [[nodiscard]] Line* end() noexcept { return begin() + lines; }
    [[nodiscard]] Line* start(std::uint32_t hash) noexcept { return begin() + (std::uint64_t{hash} * lines >> 32); }
    [[nodiscard]] Line* next(Line* line) noexcept { return line + 1 == end() ? begin() : line + 1; }

   private:
    explicit Array(std::uint32_t l) : lines{l} {}
  };

  ChainIndex() : array_{Array::make(1)} {}
  ChainIndex(const ChainIndex&) = delete;
  ChainIndex& operator=(const ChainIndex&) = delete;
  ~ChainIndex() { delete array_.load(std::memory_order_relaxed); }

  // Readers. In two steps: start() fetches the line where find() begins.
  struct Start {
    Array* array;
    Line* line;
  };
  [[nodiscard]] Start start(std::uint32_t hash) const noexcept {
    Array* const array = array_.load(std::memory_order_acquire);
    Line* const line = array->start(hash);
    __builtin_prefetch(line);
    return {array, line};
  }
  [[nodiscard]] static Found find(const Start& start, std::uint32_t hash) noexcept {
    const auto [line, slot] = place(start, hash);
    if (line == nullptr) return {0, 0};
    const std::uint32_t chain = line->chains[slot].load(std::memory_order_acquire);
    return {chain, line->best[slot].load(std::memory_order_relaxed)};
  }
  [[nodiscard]] Found find(std::uint32_t hash) const noexcept { return find(start(hash), hash); }

  // Writer. Gives the hash another chain; 0 takes it away.
  void set(std::uint32_t hash, Found to, Garbage& garbage) {
    if (const auto [line, slot] = place(start(hash), hash); line != nullptr)
      change(*line, slot, to);
    else if (to.chain != 0)
      add(hash, to, garbage);
  }
  [[nodiscard]] std::size_t page_bytes() const {
    return shunt::page_bytes(Array::bytes(array_.load(std::memory_order_relaxed)->lines));
  }

  template <typename Visit>
  void for_each(Visit visit) const {
    Place place;
    while (for_some(place, place.array == nullptr ? 1 : place.array->lines, visit)) continue;
  }
  // for_each() in pieces: goes on where `place` is, over `most` lines; false: that was all. It visits what was there
  // when it began, whatever comes meanwhile, while arrays that were replaced are kept.
  struct Place {
    const Array* array = nullptr;  // null: the beginning
    std::size_t next = 0;
  };
  template <typename Visit>
  bool for_some(Place& place, std::size_t most, Visit visit) const {
    if (place.array == nullptr) place.array = array_.load(std::memory_order_acquire);
    const std::size_t size = place.array->lines, end = std::min(size, place.next + most);
    for (; place.next < end; ++place.next)
      for (const auto& each : place.array->begin()[place.next].chains)
        if (const std::uint32_t chain = each.load(std::memory_order_acquire); chain != 0) visit(chain);
    return end < size;
  }

 private:
  static constexpr unsigned kSlots = 6;
  struct alignas(64) Line {
    std::array<std::atomic<std::uint64_t>, kSlots / 2> hashes{};  // two in each, the lower one first; 0: free
    std::array<std::atomic<std::uint32_t>, kSlots> chains{};
    std::array<std::atomic<std::uint16_t>, kSlots> best{};
    std::atomic<bool> overflowed{false};

    // Bits of the slots, one at most, that have this hash.
    [[nodiscard]] std::uint32_t hits(std::uint32_t hash) const noexcept {
      const auto in_two = [&](unsigned i) {
        const std::uint64_t two = hashes[i].load(std::memory_order_relaxed);
        return std::uint32_t{static_cast<std::uint32_t>(two) == hash} << 2 * i | std::uint32_t{two >> 32 == hash}
                                                                                     << (2 * i + 1);
      };
      return in_two(0) | in_two(1) | in_two(2);
    }
    [[nodiscard]] std::uint32_t hash(unsigned slot) const noexcept {
      return static_cast<std::uint32_t>(hashes[slot / 2].load(std::memory_order_relaxed) >> slot % 2 * 32);
    }
    void set_hash(unsigned slot, std::uint32_t hash) noexcept {
      const std::uint64_t other = hashes[slot / 2].load(std::memory_order_relaxed) >> (1 - slot % 2) * 32 << 32;
      const std::uint64_t both = slot % 2 == 0 ? other | hash : other >> 32 | std::uint64_t{hash} << 32;
      hashes[slot / 2].store(both, std::memory_order_release);
    }
  };
  static_assert(sizeof(Line) == 64);

  std::atomic<Array*> array_;

  // Where the hash is, or a null line. An array of lines that overflowed all is searched once.
  static std::pair<Line*, unsigned> place(const Start& start, std::uint32_t hash) noexcept {
    Line* line = start.line;
    for (std::size_t passed = 0;; line = start.array->next(line)) {
      if (const std::uint32_t hits = line->hits(hash); hits != 0)
        return {line, static_cast<unsigned>(std::countr_zero(hits))};
      if (!line->overflowed.load(std::memory_order_relaxed) || ++passed == start.array->lines) return {nullptr, 0};
    }
  }
  // What a reader meets meanwhile: never a chain with a priority below its rules', and a chain of another hash at
  // worst, whose rules do not match it.
  void change(Line& line, unsigned slot, Found to) {
    if (to.best > line.best[slot].load(std::memory_order_relaxed))
      line.best[slot].store(to.best, std::memory_order_relaxed);
    line.chains[slot].store(to.chain, std::memory_order_release);
    line.best[slot].store(to.best, std::memory_order_relaxed);
    if (to.chain != 0) return;
    line.set_hash(slot, 0);
    --array_.load(std::memory_order_relaxed)->used;
  }
  // Lines stay overflowed when their entries go: where half of them are, all entries find places anew.
  void add(std::uint32_t hash, Found to, Garbage& garbage) {
    Array* array = array_.load(std::memory_order_relaxed);
    const bool is_full = (std::size_t{array->used} + 1) * 4 > std::size_t{array->lines} * kSlots * 3;
    if (is_full || array->overflowed > array->lines / 2) {
      Array* made = rebuilt(*array);
      array_.store(made, std::memory_order_release);
      garbage.add(array);
      array = made;
    }
    put(*array, hash, to);
  }
  static void put(Array& array, std::uint32_t hash, Found to) {
    ++array.used;
    Line* line = array.start(hash);
    for (; line->hits(0) == 0; line = array.next(line))
      if (!line->overflowed.exchange(true, std::memory_order_relaxed)) ++array.overflowed;
    const auto slot = static_cast<unsigned>(std::countr_zero(line->hits(0)));
    line->best[slot].store(to.best, std::memory_order_relaxed);
    line->chains[slot].store(to.chain, std::memory_order_release);
    line->set_hash(slot, hash);
  }
  static Array* rebuilt(Array& array) {
    Array* made = Array::make((std::size_t{array.used} + 1) * 2 / kSlots + 1);
    for (const Line& line : array)
      for (unsigned slot = 0; slot < kSlots; ++slot)
        if (const std::uint32_t chain = line.chains[slot].load(std::memory_order_relaxed); chain != 0)
          put(*made, line.hash(slot), {chain, line.best[slot].load(std::memory_order_relaxed)});
    return made;
  }
};

}  // namespace shunt
