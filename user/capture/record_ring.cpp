// SPDX-License-Identifier: Apache-2.0
#include "user/capture/record_ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "user/base/error.h"

namespace shunt {
namespace {

constexpr std::size_t kHeadBytes = 4096;

constexpr std::uint64_t rounded(std::uint64_t bytes) { return (bytes + 7) & ~std::uint64_t{7}; }

void* map_at(void* at, std::size_t bytes, int fd, std::size_t offset) {
  return ::mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, static_cast<off_t>(offset));
}

}  // namespace

UniqueFd make_record_memory(unsigned rings, std::size_t bytes) {
  UniqueFd fd{check(::memfd_create("shunt-capture", MFD_CLOEXEC | MFD_ALLOW_SEALING), "capture: shared memory")};
  check(::ftruncate(fd.get(), static_cast<off_t>(rings * (kHeadBytes + bytes))), "capture: shared memory");
  check(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), "capture: seal the shared memory");
  return fd;
}

RecordRing::RecordRing(int fd, unsigned number, std::size_t bytes) : bytes_{bytes} {
  const std::size_t offset = number * (kHeadBytes + bytes);
  void* place = ::mmap(nullptr, kHeadBytes + 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) throw_errno(errno, "capture: map a ring");
  memory_ = static_cast<std::byte*>(place);
  const bool mapped = map_at(memory_, kHeadBytes + bytes, fd, offset) != MAP_FAILED &&
                      map_at(memory_ + kHeadBytes + bytes, bytes, fd, offset + kHeadBytes) != MAP_FAILED;
  if (mapped) return;
  const int error = errno;
  ::munmap(memory_, kHeadBytes + 2 * bytes);
  throw_errno(error, "capture: map a ring");
}

RecordRing::~RecordRing() { ::munmap(memory_, kHeadBytes + 2 * bytes_); }

std::uint8_t* RecordRing::at(std::uint64_t place) const noexcept {
  return reinterpret_cast<std::uint8_t*>(memory_ + kHeadBytes + (place & (bytes_ - 1)));
}

bool RecordWriter::put(shunt_capture_record record, std::span<const std::uint8_t> bytes) noexcept {
  record.captured = static_cast<__u32>(std::min<std::size_t>(record.captured, bytes.size()));
  const std::uint64_t size = rounded(sizeof record + record.captured);
  const std::uint64_t waiting = put_ - ring_.head().read.load(std::memory_order_acquire);
  // A reader that is ahead of the writer lies.
  if (waiting > ring_.size() || ring_.size() - waiting < size) {
    lost_.store(lost() + 1, std::memory_order_relaxed);
    return false;
  }
  record.lost = static_cast<__u32>(lost() - told_);
  told_ = lost();
  std::memcpy(ring_.at(put_), &record, sizeof record);
  std::copy_n(bytes.begin(), record.captured, ring_.at(put_) + sizeof record);
  put_ += size;
  ++unpublished_;
  return true;
}

void RecordWriter::publish() noexcept {
  published_ = put_;
  told_before_ = told_;
  captured_.store(captured() + unpublished_, std::memory_order_relaxed);
  unpublished_ = 0;
  ring_.head().written.store(published_, std::memory_order_release);
}

void RecordWriter::forget() noexcept {
  put_ = published_;
  told_ = told_before_;
  unpublished_ = 0;
}

std::optional<RecordReader::Record> RecordReader::next() noexcept {
  ring_.head().read.store(taken_, std::memory_order_release);  // the one before is done with
  const std::uint64_t waiting = ring_.head().written.load(std::memory_order_acquire) - taken_;
  Record record;
  if (waiting < sizeof record.head || waiting > ring_.size()) return std::nullopt;
  std::memcpy(&record.head, ring_.at(taken_), sizeof record.head);
  if (sizeof record.head + record.head.captured > waiting) return std::nullopt;
  record.bytes = {ring_.at(taken_) + sizeof record.head, record.head.captured};
  taken_ += rounded(sizeof record.head + record.head.captured);
  return record;
}

}  // namespace shunt
