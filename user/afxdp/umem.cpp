// SPDX-License-Identifier: Apache-2.0
#include "user/afxdp/umem.h"

#include <sys/mman.h>

#include <array>
#include <fstream>
#include <limits>
#include <string>

#include "user/base/error.h"

namespace shunt {
namespace {

constexpr std::size_t kHugePageSize = std::size_t{2} << 20;

// What the machine could give without swapping, in bytes. Asked beforehand, since pinning too much ends in the OOM
// killer and not in an error.
std::uint64_t available_memory() {
  std::ifstream meminfo{"/proc/meminfo"};
  std::string word;
  while (meminfo >> word) {
    if (std::uint64_t kib = 0; word == "MemAvailable:" && meminfo >> kib) return kib * 1024;
  }
  return std::numeric_limits<std::uint64_t>::max();
}

}  // namespace

Umem::Umem(std::uint32_t frame_count, bool huge_pages)
    : frame_count_{frame_count},
      area_{frame_count, huge_pages},
      ledger_{std::make_unique<std::atomic<std::uint32_t>[]>(frame_count)},
      pool_{frame_count} {}

Umem::Area::Area(std::uint32_t frame_count, bool want_huge_pages) {
  if (frame_count < FramePool::kBatch)
    throw Error("UMEM of {} frames: at least {} are needed", frame_count, FramePool::kBatch);
  size = (std::size_t{frame_count} * kFrameSize + kHugePageSize - 1) / kHugePageSize * kHugePageSize;
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS;
  void* area = MAP_FAILED;
  if (want_huge_pages) area = ::mmap(nullptr, size, kProtection, kFlags | MAP_HUGETLB, -1, 0);
  huge_pages = area != MAP_FAILED;
  if (!huge_pages) {
    if (const std::uint64_t available = available_memory(); size > available)
      throw Error("UMEM of {} frames needs {} MiB, and {} MiB are available: ask for fewer frames (--umem-frames)",
                  frame_count, size >> 20, available >> 20);
    area = ::mmap(nullptr, size, kProtection, kFlags, -1, 0);
    if (area == MAP_FAILED)
      throw Error("UMEM of {} frames: no {} MiB of address space ({}): ask for fewer frames (--umem-frames)",
                  frame_count, size >> 20, std::generic_category().message(errno));
    (void)::madvise(area, size, MADV_HUGEPAGE);  // a wish: small pages serve as well
  }
  at = static_cast<std::byte*>(area);
}

Umem::Area::~Area() { ::munmap(at, size); }

std::uint32_t Umem::reclaim(std::uint16_t socket) noexcept {
  std::array<Frame, FramePool::kBatch> batch;
  std::uint32_t count = 0, total = 0;
  for (Frame frame = 0; frame < frame_count_; ++frame) {
    const std::uint32_t entry = ledger_[frame].load(std::memory_order_relaxed);
    const Hand hand = static_cast<Hand>(entry >> 16);
    if ((entry & 0xffff) != socket || (hand != Hand::kKernelRx && hand != Hand::kKernelTx)) continue;
    this->hand(frame, Hand::kPool);
    batch[count++] = frame;
    ++total;
    if (count == batch.size()) {
      pool_.give(batch);
      count = 0;
    }
  }
  pool_.give(std::span{batch}.first(count));
  return total;
}

FrameCensus Umem::census() const noexcept {
  FrameCensus census;
  for (Frame frame = 0; frame < frame_count_; ++frame) {
    switch (holder(frame)) {
      case Hand::kPool:
        ++census.pool;
        break;
      case Hand::kBatch:
        ++census.batch;
        break;
      case Hand::kKernelRx:
        ++census.kernel_rx;
        break;
      case Hand::kKernelTx:
        ++census.kernel_tx;
        break;
    }
  }
  return census;
}

std::uint16_t Umem::enlist(int fd, XskMode mode) {
  for (std::size_t i = 0; i < sockets_.size(); ++i) {
    if (sockets_[i].fd >= 0) continue;
    sockets_[i] = {fd, mode};
    return static_cast<std::uint16_t>(i + 1);
  }
  if (sockets_.size() == std::numeric_limits<std::uint16_t>::max()) throw Error("too many AF_XDP sockets");
  sockets_.push_back({fd, mode});
  return static_cast<std::uint16_t>(sockets_.size());
}

void Umem::dismiss(std::uint16_t socket) noexcept { sockets_[socket - 1u].fd = -1; }

int Umem::sharable(XskMode mode) const noexcept {
  for (const Enlisted& socket : sockets_)
    if (socket.fd >= 0 && socket.mode == mode) return socket.fd;
  return -1;
}

}  // namespace shunt
