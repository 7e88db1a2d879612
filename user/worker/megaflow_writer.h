// SPDX-License-Identifier: Apache-2.0
// Writes the hash map `megaflows` behind the revalidator: an element takes it as long as all else that publishing a
// flow does, most of it waiting for memory. Packets find a flow by the index; only flows that have no entry there, a
// restarted daemon and bpftool ask the hash map, and what they find is checked against the slot.
//
// What is put and erased is written in that order, several at once: many by a thread of its own, few by the caller,
// whom waking a thread would cost more.
//
// Threads: start() and stop() control; settle() and busy() any; the rest the revalidator. Not started, it writes at
// once.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "user/worker/doorbell.h"
#include "user/worker/flow_maps.h"

namespace shunt {

class MegaflowWriter {
 public:
  explicit MegaflowWriter(FlowMaps& maps) : maps_{maps}, batches_(kBatches) {}  // borrows
  ~MegaflowWriter() { stop(); }
  MegaflowWriter(const MegaflowWriter&) = delete;
  MegaflowWriter& operator=(const MegaflowWriter&) = delete;

  void start();
  void stop();  // writes the rest

  // `slot`: the value's, for refused().
  void put(const shunt_megaflow_key& key, const shunt_megaflow& value, std::uint32_t slot);
  void erase(const shunt_megaflow_key& key);
  // Writes what was put and erased, or hands it over. Waits where the thread is far behind.
  void commit();
  // Slots that the map has refused since this was asked last: without memory it takes no element.
  [[nodiscard]] std::vector<std::uint32_t> take_refused();

  // Returns when all that was committed before is written; how long the thread was at work.
  void settle() const noexcept;
  [[nodiscard]] std::chrono::nanoseconds busy() const noexcept { return busy_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::uint32_t kBatches = 16;
  static constexpr std::size_t kBatch = 64;  // elements
  static constexpr std::size_t kMany = 16;

  struct Batch {
    std::size_t count = 0;
    std::array<shunt_megaflow_key, kBatch> keys;
    std::array<shunt_megaflow, kBatch> values;  // of those that are put
    std::array<std::uint32_t, kBatch> slots;
    std::array<bool, kBatch> erases;
    std::array<int, kBatch> errors;
  };

  Batch& open_batch() { return batches_[handed_.load(std::memory_order_relaxed) % kBatches]; }
  void added(Batch& batch);
  void write(Batch& batch) noexcept;
  void look_at_written();      // what the thread has written since the last time
  void look_at(Batch& batch);  // which is written: it is empty then
  void run() noexcept;

  FlowMaps& maps_;
  // A ring: batches from seen_ on are written, those from written_ on wait, that of handed_ is being filled.
  std::vector<Batch> batches_;
  std::uint32_t seen_ = 0;
  std::atomic<std::uint32_t> written_{0}, handed_{0};
  std::vector<std::uint32_t> refused_;
  std::atomic<std::chrono::nanoseconds> busy_{};
  Doorbell doorbell_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace shunt
