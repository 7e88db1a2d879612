// SPDX-License-Identifier: Apache-2.0
// A hash index maps 32-bit hashes to payloads of 32 bits, eight of both in a cache line: a count or a block. A payload
// of zero means that the entry is dead.
//
// Open addressing, the place being the hash scaled to the array, which is half to three quarters full. Dead entries
// keep their place until the array is rebuilt, so that a reader never loses its way. Threads: one writer; any number of
// readers, which never wait. Arrays that were replaced go to the Garbage.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "user/flow/arena.h"
#include "user/flow/garbage.h"

namespace shunt {

class HashIndex {
 public:
  using Entry = std::atomic<std::uint64_t>;  // the hash above the payload; 0: never used

  // Stands behind its entries, in one piece of memory: as ChainIndex::Array.
  class alignas(64) Array {
   public:
    static Array* make(std::size_t capacity) {
      auto* const first = static_cast<std::byte*>(allocate_pages(bytes(capacity)));
      return new (first + entry_bytes(capacity)) Array{static_cast<std::uint32_t>(capacity)};
    }
    static void operator delete(Array* array, std::destroying_delete_t) {
      free_pages(array->begin(), bytes(array->capacity));
    }
    static std::size_t bytes(std::size_t capacity) { return sizeof(Array) + entry_bytes(capacity); }

    const std::uint32_t capacity;
    std::uint32_t used = 0;  // entries with a hash, dead or alive

    [[nodiscard]] Entry& at(std::size_t i) noexcept { return begin()[i]; }
    [[nodiscard]] const Entry& at(std::size_t i) const noexcept { return const_cast<Array*>(this)->at(i); }
    [[nodiscard]] std::size_t start(std::uint32_t hash) const noexcept { return std::uint64_t{hash} * capacity >> 32; }
    [[nodiscard]] std::size_t next(std::size_t i) const noexcept { return i + 1 == capacity ? 0 : i + 1; }

   private:
    explicit Array(std::uint32_t c) : capacity{c} {}
    static std::size_t entry_bytes(std::size_t capacity) {
      return (capacity * sizeof(Entry) + sizeof(Array) - 1) / sizeof(Array) * sizeof(Array);
    }
    [[nodiscard]] Entry* begin() noexcept {
      return reinterpret_cast<Entry*>(reinterpret_cast<std::byte*>(this) - entry_bytes(capacity));
    }
  };

  HashIndex() : array_{Array::make(kMinCapacity)} {}
  HashIndex(const HashIndex&) = delete;
  HashIndex& operator=(const HashIndex&) = delete;
  ~HashIndex() { delete array_.load(std::memory_order_relaxed); }

  // Readers. The living payload of this hash, or 0.
  [[nodiscard]] std::uint32_t find(std::uint32_t hash) const noexcept {
    const Array& array = *array_.load(std::memory_order_acquire);
    for (std::size_t i = array.start(hash);; i = array.next(i)) {
      const std::uint64_t entry = array.at(i).load(std::memory_order_acquire);
      if (entry == 0) return 0;
      if (hash_of(entry) == hash && payload_of(entry) != 0) return payload_of(entry);
    }
  }
  // Fetches the place where a look-up of this hash begins.
  void prefetch(std::uint32_t hash) const noexcept {
    const Array& array = *array_.load(std::memory_order_acquire);
    __builtin_prefetch(&array.at(array.start(hash)));
  }

  // Writer. The entry of this hash that lives, or nullptr.
  [[nodiscard]] Entry* place(std::uint32_t hash) noexcept {
    Array& array = *array_.load(std::memory_order_relaxed);
    for (std::size_t i = array.start(hash);; i = array.next(i)) {
      const std::uint64_t entry = array.at(i).load(std::memory_order_relaxed);
      if (entry == 0) return nullptr;
      if (hash_of(entry) == hash && payload_of(entry) != 0) return &array.at(i);
    }
  }
  static std::uint32_t payload_of(std::uint64_t entry) noexcept { return static_cast<std::uint32_t>(entry); }
  // Gives a living entry another payload; 0 kills it.
  void set(Entry& entry, std::uint32_t payload) noexcept {
    const std::uint64_t hash = entry.load(std::memory_order_relaxed) >> 32 << 32;
    entry.store(hash | payload, std::memory_order_release);
    if (payload == 0) --live_;
  }
  // No entry of this hash lives.
  void add(std::uint32_t hash, std::uint32_t payload, Garbage& garbage) {
    Array* array = array_.load(std::memory_order_relaxed);
    if ((std::size_t{array->used} + 1) * 4 > std::size_t{array->capacity} * 3) {
      Array* rebuilt = this->rebuilt(*array);
      array_.store(rebuilt, std::memory_order_release);
      garbage.add(array);
      array = rebuilt;
    }
    put(*array, hash, payload);
    ++live_;
  }
  [[nodiscard]] std::size_t page_bytes() const {
    return shunt::page_bytes(Array::bytes(array_.load(std::memory_order_relaxed)->capacity));
  }

  template <typename Visit>
  void for_each(Visit visit) const {
    const Array& array = *array_.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < array.capacity; ++i)
      if (const std::uint32_t payload = payload_of(array.at(i).load(std::memory_order_acquire)); payload != 0)
        visit(payload);
  }

 private:
  static constexpr std::size_t kMinCapacity = 8;

  std::atomic<Array*> array_;
  std::size_t live_ = 0;

  static std::uint32_t hash_of(std::uint64_t entry) noexcept { return static_cast<std::uint32_t>(entry >> 32); }

  static void put(Array& array, std::uint32_t hash, std::uint32_t payload) {
    for (std::size_t i = array.start(hash);; i = array.next(i)) {
      const std::uint64_t entry = array.at(i).load(std::memory_order_relaxed);
      if (entry != 0 && (hash_of(entry) != hash || payload_of(entry) != 0)) continue;
      if (entry == 0) ++array.used;
      array.at(i).store(std::uint64_t{hash} << 32 | payload, std::memory_order_release);
      return;
    }
  }

  [[nodiscard]] Array* rebuilt(const Array& array) const {
    Array* made = Array::make(std::max(kMinCapacity, (live_ + 1) * 2));
    for (std::size_t i = 0; i < array.capacity; ++i) {
      const std::uint64_t entry = array.at(i).load(std::memory_order_relaxed);
      if (payload_of(entry) != 0) put(*made, hash_of(entry), payload_of(entry));
    }
    return made;
  }
};

}  // namespace shunt
