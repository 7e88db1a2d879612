// SPDX-License-Identifier: Apache-2.0
// One AF_XDP socket, of one queue of one interface in the current network namespace, over the shared UMEM: its four
// rings. It speaks to the kernel directly and loads no program: packets come because Datapath put the socket into its
// XSKMAP.
//
// Frames pass through it as descriptors {address, length, options}; a frame longer than one UMEM frame is several
// descriptors, all but the last with kContinued. What does not fit the transmit ring stays the caller's.
//
// Threads: construction by control; then receive, refill, send, kick and reap by the one worker that owns it; fd(),
// statistics() by any; destruction by control after the worker let go. The destructor closes, waits a bounded time for
// what is being sent, and gives every frame back to the pool.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "user/afxdp/frame_pool.h"
#include "user/afxdp/umem.h"
#include "user/base/strong_types.h"
#include "user/base/unique_fd.h"

namespace shunt {

// The kernel's struct xdp_desc.
struct XskDescriptor {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  std::uint32_t options = 0;
};

inline constexpr std::uint32_t kContinued = 1;  // XDP_PKT_CONTD: the packet goes on in the next descriptor

struct XskStatistics {
  std::uint64_t rx_dropped = 0, rx_invalid = 0, tx_invalid = 0, rx_ring_full = 0, fill_ring_empty = 0,
                tx_ring_empty = 0;
};

class XskSocket {
 public:
  struct Options {
    Ifindex ifindex;
    std::string name;  // of the interface, for messages
    QueueId queue;
    bool try_zero_copy = false;
    bool busy_poll = false;
    bool can_send = true;  // the interface has a transmit queue of this number: elsewhere what is sent never leaves
    std::uint32_t ring_size = 2048;    // of each ring; a power of two
    std::uint32_t fill_target = 1024;  // frames the kernel may hold for receiving; falls with the pool's free frames;
                                       // 0: it only sends
  };

  // Throws Error naming interface, queue and remedy. Waits a bounded time where an earlier owner is still letting go
  // (EBUSY).
  XskSocket(Umem& umem, const Options& options);
  ~XskSocket();
  XskSocket(const XskSocket&) = delete;
  XskSocket& operator=(const XskSocket&) = delete;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] QueueId queue() const noexcept { return options_.queue; }
  [[nodiscard]] bool can_send() const noexcept { return options_.can_send; }
  [[nodiscard]] bool zero_copy() const noexcept { return mode_.zero_copy; }
  [[nodiscard]] bool multi_buffer() const noexcept { return mode_.multi_buffer; }
  [[nodiscard]] XskStatistics statistics() const noexcept;
  // Packets that found the receive ring full, or no frame to be received into, since the last call.
  [[nodiscard]] std::uint64_t take_lost() noexcept;

  // Takes what came, at most `into.size()` descriptors, never half a packet's. The frames are then the caller's batch.
  [[nodiscard]] std::uint32_t receive(std::span<XskDescriptor> into) noexcept;
  // Keeps the kernel supplied with frames to receive into.
  void refill(FrameCache& frames) noexcept;
  [[nodiscard]] bool starves() const noexcept {  // there were no frames for refill()
    return receiving_ == 0 && fill_target_ != 0;
  }
  // Queues one packet, all its descriptors or nothing; false: the ring is full. Sent by kick().
  [[nodiscard]] bool send(std::span<const XskDescriptor> packet) noexcept;
  // Makes the kernel send what is queued. False: it refused for now; call again.
  bool kick() noexcept;
  // Busy polling: lets the driver look for packets now, in this thread.
  void poll_device() noexcept;
  // Takes sent frames back into `frames`; returns how many.
  std::uint32_t reap(FrameCache& frames) noexcept;
  [[nodiscard]] std::uint32_t in_flight() const noexcept { return in_flight_; }  // sent or queued, not yet reaped

 private:
  struct Ring {
    std::uint32_t* producer = nullptr;
    std::uint32_t* consumer = nullptr;
    std::uint32_t* flags = nullptr;
    void* entries = nullptr;
    void* mapping = nullptr;
    std::size_t mapping_size = 0;
    std::uint32_t mask = 0;
    std::uint32_t cached = 0;  // our own index: producer of fill and tx, consumer of rx and completion
  };

  struct Attempt {
    XskMode mode;
    int shared_fd;  // -1: with a registration of its own
  };
  [[nodiscard]] std::vector<Attempt> attempts() const;
  int open(const Attempt& attempt) noexcept;  // 0 or -errno, then with nothing left open
  int register_umem() noexcept;
  int map_rings() noexcept;
  int bind(const Attempt& attempt) noexcept;
  void close_rings() noexcept;
  void tune() noexcept;
  void drain() noexcept;

  Umem& umem_;
  Options options_;
  UniqueFd fd_;
  std::uint16_t number_ = 0;
  XskMode mode_;
  std::uint32_t fill_target_ = 0;
  std::uint32_t receiving_ = 0;  // frames in the kernel's hands for receiving
  std::uint32_t in_flight_ = 0;
  std::uint64_t lost_ = 0;  // that take_lost() has told
  Ring fill_, completion_, rx_, tx_;
};

}  // namespace shunt
