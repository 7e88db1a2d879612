// SPDX-License-Identifier: Apache-2.0
// Rings of capture records in memory that the daemon's workers share with one reader, which may be another process: one
// ring a worker, a header page and a power of two of bytes that is mapped twice in a row, so that a record never wraps.
//
// A writer never waits: what finds its ring full is lost, and counted. It trusts nothing that the reader can write: of
// it only the reader's place is read, and checked; the memory cannot shrink under it (sealed). Threads: a writer is one
// thread's, a reader another's.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "maps/capture.h"
#include "user/base/unique_fd.h"

namespace shunt {

// At the front of each ring. Counts of bytes, which only grow.
struct RecordRingHead {
  alignas(64) std::atomic<std::uint64_t> read;
  alignas(64) std::atomic<std::uint64_t> written;
};

// One ring's memory, mapped.
class RecordRing {
 public:
  RecordRing(int fd, unsigned number, std::size_t bytes);  // throws std::system_error
  ~RecordRing();
  RecordRing(const RecordRing&) = delete;
  RecordRing& operator=(const RecordRing&) = delete;

  [[nodiscard]] RecordRingHead& head() const noexcept { return *reinterpret_cast<RecordRingHead*>(memory_); }
  [[nodiscard]] std::uint8_t* at(std::uint64_t place) const noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return bytes_; }

 private:
  std::byte* memory_ = nullptr;
  std::size_t bytes_;
};

// Memory for `rings` rings of `bytes` each (a power of two of pages).
[[nodiscard]] UniqueFd make_record_memory(unsigned rings, std::size_t bytes);

class RecordWriter {
 public:
  RecordWriter(int fd, unsigned number, std::size_t bytes) : ring_{fd, number, bytes} {}

  // Puts a record behind those put before, for publish(); record.captured of `bytes` go with it, and its `lost` is
  // filled in. False: no room; lost, and counted.
  bool put(shunt_capture_record record, std::span<const std::uint8_t> bytes) noexcept;
  void publish() noexcept;  // the reader sees what was put
  void forget() noexcept;   // what was put and not published was not
  [[nodiscard]] std::uint64_t captured() const noexcept { return captured_.load(std::memory_order_relaxed); }  // any
  [[nodiscard]] std::uint64_t lost() const noexcept { return lost_.load(std::memory_order_relaxed); }          // thread

 private:
  RecordRing ring_;
  std::uint64_t published_ = 0, put_ = 0;
  std::uint64_t unpublished_ = 0;             // records
  std::uint64_t told_ = 0, told_before_ = 0;  // of the lost; as it was at the last publish()
  std::atomic<std::uint64_t> captured_{0}, lost_{0};
};

class RecordReader {
 public:
  RecordReader(int fd, unsigned number, std::size_t bytes) : ring_{fd, number, bytes} {}

  struct Record {
    shunt_capture_record head;
    std::span<const std::uint8_t> bytes;  // until the next call
  };
  [[nodiscard]] std::optional<Record> next() noexcept;  // takes one

 private:
  RecordRing ring_;
  std::uint64_t taken_ = 0;
};

}  // namespace shunt
