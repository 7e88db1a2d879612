// SPDX-License-Identifier: Apache-2.0
#include "user/worker/megaflow_writer.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <span>

#include "user/base/clock.h"

namespace shunt {

void MegaflowWriter::start() {
  if (thread_.joinable()) return;
  stopping_ = false;
  thread_ = std::thread{[this] { run(); }};
  ::pthread_setname_np(thread_.native_handle(), "megaflow_writer");
}

void MegaflowWriter::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  doorbell_.ring();
  thread_.join();
  commit();
}

void MegaflowWriter::put(const shunt_megaflow_key& key, const shunt_megaflow& value, std::uint32_t slot) {
  Batch& batch = open_batch();
  batch.keys[batch.count] = key;
  batch.values[batch.count] = value;
  batch.slots[batch.count] = slot;
  batch.erases[batch.count] = false;
  added(batch);
}

void MegaflowWriter::erase(const shunt_megaflow_key& key) {
  Batch& batch = open_batch();
  batch.keys[batch.count] = key;
  batch.erases[batch.count] = true;
  added(batch);
}

void MegaflowWriter::added(Batch& batch) {
  if (++batch.count == kBatch || !thread_.joinable()) commit();
}

void MegaflowWriter::commit() {
  Batch& batch = open_batch();
  if (batch.count == 0) return;
  const std::uint32_t handed = handed_.load(std::memory_order_relaxed);
  const bool all_written = written_.load(std::memory_order_acquire) == handed;
  if (!thread_.joinable() || (batch.count < kMany && all_written)) {
    write(batch);
    look_at(batch);
    return;
  }
  handed_.store(handed + 1, std::memory_order_release);
  doorbell_.ring();
  if (handed + 1 - seen_ == kBatches) written_.wait(seen_, std::memory_order_acquire);
  look_at_written();
}

std::vector<std::uint32_t> MegaflowWriter::take_refused() {
  look_at_written();
  return std::exchange(refused_, {});
}

void MegaflowWriter::settle() const noexcept {
  const std::uint32_t handed = handed_.load(std::memory_order_acquire);
  for (std::uint32_t written = written_.load(std::memory_order_acquire);
       static_cast<std::int32_t>(handed - written) > 0; written = written_.load(std::memory_order_acquire))
    written_.wait(written, std::memory_order_acquire);
}

void MegaflowWriter::look_at_written() {
  for (; seen_ != written_.load(std::memory_order_acquire); ++seen_) look_at(batches_[seen_ % kBatches]);
}

void MegaflowWriter::look_at(Batch& batch) {
  for (std::size_t i = 0; i < batch.count; ++i)
    if (!batch.erases[i] && batch.errors[i] != 0) refused_.push_back(batch.slots[i]);
  batch.count = 0;
}

void MegaflowWriter::write(Batch& batch) noexcept {
  for (std::size_t at = 0; at < batch.count;) {
    const bool erases = batch.erases[at];
    std::size_t end = at + 1;
    while (end < batch.count && batch.erases[end] == erases) ++end;
    const auto keys = std::span{batch.keys}.subspan(at, end - at);
    if (erases)
      maps_.erase_megaflows(keys);
    else
      maps_.update_megaflows(keys, std::span{batch.values}.subspan(at, end - at),
                             std::span{batch.errors}.subspan(at, end - at));
    at = end;
  }
}

void MegaflowWriter::run() noexcept {
  TimePoint awake = Clock::now();
  while (true) {
    const std::uint32_t written = written_.load(std::memory_order_relaxed);
    if (handed_.load(std::memory_order_acquire) != written) {
      write(batches_[written % kBatches]);
      written_.store(written + 1, std::memory_order_release);
      written_.notify_all();
      continue;
    }
    if (stopping_) return;
    busy_.store(busy() + (Clock::now() - awake), std::memory_order_relaxed);
    doorbell_.arm();
    if (handed_.load(std::memory_order_acquire) == written && !stopping_) doorbell_.wait(std::chrono::seconds{1});
    doorbell_.disarm();
    awake = Clock::now();
  }
}

}  // namespace shunt
