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
  // Stands behind its lines: those of large arrays begin with a page, and what is read of all arrays would have but few
  // places in a processor's cache if it began there, too.
  class alignas(64) Array {
   public:
    static Array* make(std::size_t lines) {
      auto* const first = static_cast<Line*>(allocate_pages(bytes(lines)));
      return new (first + lines) Array{static_cast<std::uint32_t>(lines)};
    }
    static void operator delete(Array* array, std::destroying_delete_t) {
      free_pages(array->begin(), bytes(array->lines));
    }
    static std::size_t bytes(std::size_t lines) { return sizeof(Array) + lines * sizeof(Line); }

    const std::uint32_t lines;
    std::uint32_t used = 0;        // entries
    std::uint32_t overflowed = 0;  // lines

    [[nodiscard]] Line* begin() noexcept { return end() - lines; }
    [[nodiscard]] const Line* begin() const noexcept { return reinterpret_cast<const Line*>(this) - lines; }
    [[nodiscard]] Line* end() noexcept { return reinterpret_cast<Line*>(this); }
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
  // Of what its first line answers without a branch: whether the hash is there nobody can guess.
  [[nodiscard]] static Found find(const Start& start, std::uint32_t hash) noexcept {
    const Line* line = start.line;
    std::uint32_t hits = line->hits(hash);
    if ((std::uint32_t{hits == 0} & line->overflowed.load(std::memory_order_relaxed)) != 0) [[unlikely]] {
      line = line_of(start, hash);
      hits = line->hits(hash);
    }
    const std::uint32_t all_if_there = -std::uint32_t{hits != 0};
    const unsigned slot = static_cast<unsigned>(std::countr_zero(hits)) & all_if_there;
    const std::uint32_t chain = line->chains[slot].load(std::memory_order_acquire) & all_if_there;
    return {chain, static_cast<std::uint16_t>(line->best[slot].load(std::memory_order_relaxed) & all_if_there)};
  }
  [[nodiscard]] Found find(std::uint32_t hash) const noexcept { return find(start(hash), hash); }

  // Writer. Gives the hash another chain; 0 takes it away.
  void set(std::uint32_t hash, Found to, Garbage& garbage) {
    Line& line = *line_of(start(hash), hash);
    if (const std::uint32_t hits = line.hits(hash); hits != 0)
      change(line, static_cast<unsigned>(std::countr_zero(hits)), to);
    else if (to.chain != 0)
      add(hash, to, garbage);
  }
  [[nodiscard]] std::size_t page_bytes() const {
    return shunt::page_bytes(Array::bytes(array_.load(std::memory_order_relaxed)->lines));
  }

  template <typename Visit>
  void for_each(Visit visit) const {
    Place place;
    std::size_t all = ~std::size_t{0};
    for_some(place, all, visit);
  }
  // for_each() in pieces: goes on where `place` is until it has been over `most` entries, used or not, and takes from
  // `most` what it has been over; false: that was all. It visits what was there when it began, whatever comes
  // meanwhile, while arrays that were replaced are kept.
  struct Place {
    const Array* array = nullptr;  // null: the beginning
    std::size_t next = 0;          // line
  };
  template <typename Visit>
  bool for_some(Place& place, std::size_t& most, Visit visit) const {
    if (place.array == nullptr) place.array = array_.load(std::memory_order_acquire);
    for (; most != 0 && place.next < place.array->lines; ++place.next) {
      most -= std::min<std::size_t>(most, kSlots);
      for (const auto& each : place.array->begin()[place.next].chains)
        if (const std::uint32_t chain = each.load(std::memory_order_acquire); chain != 0) visit(chain);
    }
    return place.next < place.array->lines;
  }

 private:
  static constexpr unsigned kSlots = 6;
  struct alignas(64) Line {
    std::array<std::atomic<std::uint64_t>, kSlots / 2> hashes{};  // two in each, the lower one first; 0: free
    std::array<std::atomic<std::uint32_t>, kSlots> chains{};
    std::array<std::atomic<std::uint16_t>, kSlots> best{};
    std::atomic<std::uint8_t> overflowed{0};  // 1: it was full once

    // Bits of the slots that have this hash: one at most, but of 0.
    [[nodiscard]] std::uint32_t hits(std::uint32_t hash) const noexcept {
      using Halves = std::uint64_t __attribute__((vector_size(16)));
      using Lanes = std::uint32_t __attribute__((vector_size(16)));
      const auto load = [&](unsigned i) { return hashes[i].load(std::memory_order_relaxed); };
      const auto first = reinterpret_cast<Lanes>(Halves{load(0), load(1)});
      const auto rest = reinterpret_cast<Lanes>(Halves{load(2), 0});
      const Lanes bits = (reinterpret_cast<Lanes>(first == hash) & Lanes{1, 2, 4, 8}) |
                         (reinterpret_cast<Lanes>(rest == hash) & Lanes{16, 32, 0, 0});
      const auto halves = reinterpret_cast<Halves>(bits);
      const std::uint64_t both = halves[0] | halves[1];
      return static_cast<std::uint32_t>(both | both >> 32);
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

  // The line that has the hash, or else one that has not. An array of lines that overflowed all is searched once.
  static Line* line_of(const Start& start, std::uint32_t hash) noexcept {
    Line* line = start.line;
    for (std::size_t passed = 1;
         line->hits(hash) == 0 && line->overflowed.load(std::memory_order_relaxed) != 0 && passed < start.array->lines;
         ++passed)
      line = start.array->next(line);
    return line;
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
      if (line->overflowed.exchange(1, std::memory_order_relaxed) == 0) ++array.overflowed;
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
