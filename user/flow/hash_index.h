// SPDX-License-Identifier: Apache-2.0
// A hash index maps 64-bit hashes to payloads: a pointer or a count, where zero means that the entry is dead. Several
// entries may have the same hash.
//
// Open addressing at a load of at most one half. Dead entries keep their place until the array is rebuilt, so that a
// reader never loses its way. Threads: one writer; any number of readers, which never wait. The writer is handed arrays
// that were replaced, and frees them when no reader can be in them any more.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace shunt {

template <typename Payload>
class HashIndex {
 public:
  struct Entry {
    std::atomic<std::uint64_t> hash{0};  // 0: never used
    std::atomic<Payload> payload{};
  };
  // One piece of memory, so that a look-up that misses the cache misses it once.
  class Array {
   public:
    static Array* make(std::size_t capacity) {
      auto* array = new (::operator new(sizeof(Array) + capacity * sizeof(Entry))) Array{capacity - 1};
      std::uninitialized_value_construct_n(&array->at(0), capacity);
      return array;
    }
    static void operator delete(void* memory) { ::operator delete(memory); }

    std::size_t mask;
    std::size_t used = 0;  // entries with a hash, dead or alive

    Entry& at(std::size_t i) { return reinterpret_cast<Entry*>(this + 1)[i & mask]; }
    const Entry& at(std::size_t i) const { return reinterpret_cast<const Entry*>(this + 1)[i & mask]; }

   private:
    explicit Array(std::size_t m) : mask{m} {}
  };

  HashIndex() : array_{Array::make(4)} {}
  HashIndex(const HashIndex&) = delete;
  HashIndex& operator=(const HashIndex&) = delete;
  ~HashIndex() { delete array_.load(std::memory_order_relaxed); }

  // Readers. The first living payload of this hash that `accept(payload)` takes, or Payload{}.
  template <typename Accept>
  [[nodiscard]] Payload find(std::uint64_t hash, Accept accept) const noexcept {
    const Array& array = *array_.load(std::memory_order_acquire);
    hash = valid(hash);
    for (std::size_t i = start(hash);; ++i) {
      const Entry& entry = array.at(i);
      const std::uint64_t found = entry.hash.load(std::memory_order_acquire);
      if (found == 0) return Payload{};
      if (found != hash) continue;
      const Payload payload = entry.payload.load(std::memory_order_acquire);
      if (payload != Payload{} && accept(payload)) return payload;
    }
  }
  [[nodiscard]] bool contains(std::uint64_t hash) const noexcept {
    return find(hash, [](Payload) { return true; }) != Payload{};
  }

  // Fetches the place where a look-up of this hash begins.
  void prefetch(std::uint64_t hash) const noexcept {
    __builtin_prefetch(&array_.load(std::memory_order_acquire)->at(start(valid(hash))));
  }

  // Writer. The place of the first living payload of this hash that `accept(payload)` takes, or nullptr. Store zero to
  // kill the entry, and say so by died().
  template <typename Accept>
  [[nodiscard]] std::atomic<Payload>* place(std::uint64_t hash, Accept accept) {
    Array& array = *array_.load(std::memory_order_relaxed);
    hash = valid(hash);
    for (std::size_t i = start(hash);; ++i) {
      Entry& entry = array.at(i);
      const std::uint64_t found = entry.hash.load(std::memory_order_relaxed);
      if (found == 0) return nullptr;
      if (found != hash) continue;
      const Payload payload = entry.payload.load(std::memory_order_relaxed);
      if (payload != Payload{} && accept(payload)) return &entry.payload;
    }
  }
  void died() { --live_; }

  // `retire(Array*)` takes over the array that this one outgrew.
  template <typename Retire>
  void add(std::uint64_t hash, Payload payload, Retire retire) {
    Array* array = array_.load(std::memory_order_relaxed);
    if ((array->used + 1) * 2 > array->mask + 1) {
      Array* bigger = rebuilt(*array);
      array_.store(bigger, std::memory_order_release);
      retire(array);
      array = bigger;
    }
    put(*array, valid(hash), payload);
    ++live_;
  }

  template <typename Visit>
  void for_each(Visit visit) const {
    const Array& array = *array_.load(std::memory_order_acquire);
    for (std::size_t i = 0; i <= array.mask; ++i) {
      const Payload payload = array.at(i).payload.load(std::memory_order_acquire);
      if (payload != Payload{}) visit(payload);
    }
  }

  // for_each() in pieces: goes on where `place` is, over `most` entries; false: that was all. It visits what was there
  // when it began, whatever comes meanwhile, while arrays that were replaced are kept.
  struct Place {
    const Array* array = nullptr;  // null: the beginning
    std::size_t next = 0;
  };
  template <typename Visit>
  bool for_some(Place& place, std::size_t most, Visit visit) const {
    if (place.array == nullptr) place.array = array_.load(std::memory_order_acquire);
    const std::size_t size = place.array->mask + 1, end = std::min(size, place.next + most);
    for (; place.next < end; ++place.next) {
      const Payload payload = place.array->at(place.next).payload.load(std::memory_order_acquire);
      if (payload != Payload{}) visit(payload);
    }
    return end < size;
  }

 private:
  std::atomic<Array*> array_;
  std::size_t live_ = 0;

  static std::uint64_t valid(std::uint64_t hash) noexcept { return hash == 0 ? 1 : hash; }
  // Where probing begins. The last word's upper bytes (the end of an IPv4 address) have not reached a hash's lower
  // half; without this round the hosts of a subnet would stand in one long row.
  static std::size_t start(std::uint64_t hash) noexcept { return (hash * 0xc4ceb9fe1a85ec53) >> 32; }

  static void put(Array& array, std::uint64_t hash, Payload payload) {
    for (std::size_t i = start(hash);; ++i) {
      Entry& entry = array.at(i);
      const std::uint64_t found = entry.hash.load(std::memory_order_relaxed);
      if (found == hash && entry.payload.load(std::memory_order_relaxed) == Payload{}) {
        entry.payload.store(payload, std::memory_order_release);
        return;
      }
      if (found != 0) continue;
      entry.payload.store(payload, std::memory_order_relaxed);
      entry.hash.store(hash, std::memory_order_release);
      ++array.used;
      return;
    }
  }

  [[nodiscard]] Array* rebuilt(const Array& array) const {
    std::size_t capacity = 4;
    while (capacity < (live_ + 1) * 4) capacity *= 2;
    auto* bigger = Array::make(capacity);
    for (std::size_t i = 0; i <= array.mask; ++i) {
      const Payload payload = array.at(i).payload.load(std::memory_order_relaxed);
      if (payload != Payload{}) put(*bigger, array.at(i).hash.load(std::memory_order_relaxed), payload);
    }
    return bigger;
  }
};

}  // namespace shunt
