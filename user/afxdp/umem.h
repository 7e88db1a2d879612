// SPDX-License-Identifier: Apache-2.0
// The UMEM: one memory for the frames of all ports, in huge pages where there are some, and the ledger of whose hands
// each frame is in.
//
// A frame is at any moment in exactly one of four hands: the pool, the kernel receiving (fill ring to rx ring), a
// worker's batch, the kernel sending (tx ring to completion ring). Every hand-over is written down in the ledger by the
// thread that makes it: a socket that closes gets back what the kernel still held for it, and a test stops the traffic
// and counts.
//
// The kernel knows the memory by one registration a mode (XskMode), since a socket that shares a registration inherits
// the other's mode; addresses are the same in all.
//
// Threads: construction, registrations and census by control; data(), hand() and the pool by any worker.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "user/afxdp/frame_pool.h"

namespace shunt {

enum class Hand : std::uint8_t { kPool, kBatch, kKernelRx, kKernelTx };

// How a socket is bound. One that shares a registration inherits both.
struct XskMode {
  bool zero_copy = false;
  bool multi_buffer = false;  // frames above a UMEM frame pass, as several descriptors
  friend bool operator==(const XskMode&, const XskMode&) = default;
};

struct FrameCensus {
  std::uint32_t pool = 0, batch = 0, kernel_rx = 0, kernel_tx = 0;
  [[nodiscard]] std::uint32_t total() const { return pool + batch + kernel_rx + kernel_tx; }
};

class Umem {
 public:
  static constexpr std::uint32_t kFrameSize = 4096;

  // Throws Error, naming the remedy, where there is no memory for `frame_count` frames.
  explicit Umem(std::uint32_t frame_count, bool huge_pages = true);
  Umem(const Umem&) = delete;
  Umem& operator=(const Umem&) = delete;

  [[nodiscard]] std::byte* area() const noexcept { return area_.at; }
  [[nodiscard]] std::uint64_t size() const noexcept { return std::uint64_t{frame_count_} * kFrameSize; }
  [[nodiscard]] std::uint32_t frame_count() const noexcept { return frame_count_; }
  [[nodiscard]] bool huge_pages() const noexcept { return area_.huge_pages; }
  [[nodiscard]] FramePool& pool() noexcept { return pool_; }

  [[nodiscard]] std::byte* data(std::uint64_t address) const noexcept { return area_.at + address; }
  [[nodiscard]] static Frame frame_of(std::uint64_t address) noexcept {
    return static_cast<Frame>(address / kFrameSize);
  }
  [[nodiscard]] static std::uint64_t address_of(Frame frame) noexcept { return std::uint64_t{frame} * kFrameSize; }

  // The ledger. `socket` is the XskSocket's number where the kernel holds the frame. A frame in a FrameCache counts as
  // in the pool: it is free.
  void hand(Frame frame, Hand to, std::uint16_t socket = 0) noexcept {
    ledger_[frame].store(static_cast<std::uint32_t>(to) << 16 | socket, std::memory_order_relaxed);
  }
  [[nodiscard]] Hand holder(Frame frame) const noexcept {
    return static_cast<Hand>(ledger_[frame].load(std::memory_order_relaxed) >> 16);
  }
  // Gives the frames that the kernel held for a closed socket back to the pool; returns how many. Control's or the
  // owning worker's thread, after close().
  std::uint32_t reclaim(std::uint16_t socket) noexcept;
  [[nodiscard]] FrameCensus census() const noexcept;  // exact while no traffic runs

  // Sockets that are open, for sharing a registration: `enlist` returns the socket's number (1..).
  [[nodiscard]] std::uint16_t enlist(int fd, XskMode mode);
  void dismiss(std::uint16_t socket) noexcept;
  // A live socket in that mode to share the registration with, or -1: register anew.
  [[nodiscard]] int sharable(XskMode mode) const noexcept;

 private:
  struct Enlisted {
    int fd = -1;  // -1: number free
    XskMode mode;
  };
  // The mapping. It comes first: the rest is in proportion to it, and what is too much is refused here.
  struct Area {
    Area(std::uint32_t frame_count, bool want_huge_pages);
    ~Area();
    Area(const Area&) = delete;
    Area& operator=(const Area&) = delete;
    std::byte* at = nullptr;
    std::size_t size = 0;
    bool huge_pages = false;
  };
  const std::uint32_t frame_count_;
  const Area area_;
  std::unique_ptr<std::atomic<std::uint32_t>[]> ledger_;
  FramePool pool_;
  std::vector<Enlisted> sockets_;  // control thread only
};

}  // namespace shunt
