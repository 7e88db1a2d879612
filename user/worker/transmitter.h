// SPDX-License-Identifier: Apache-2.0
// A worker's way out: to the output port's AF_XDP socket where the worker owns one, else to the worker that does,
// through a ring. Each queue has one owner.
//
// A batch: begin() a packet, send() its outputs, ..., flush(): kicks the sockets, then hands over what others must
// send, then calls the packets finished. So a packet counts as finished only when all its outputs were sent, whoever
// did it: each worker that it was handed to finishes it once.
//
// Threads: a worker's own; Handover rings have one worker at each end.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "maps/port.h"
#include "user/afxdp/socket.h"
#include "user/worker/counters.h"
#include "user/worker/doorbell.h"
#include "user/worker/executor.h"
#include "user/worker/order_gate.h"
#include "user/worker/spsc_ring.h"

namespace shunt {

// A descriptor on its way to another worker.
struct Handover {
  static constexpr std::uint32_t kNoBucket = ~std::uint32_t{0};
  XskDescriptor part;
  DpPort port;                       // out
  DpPort in_port;                    // whose drop it is, should it be one
  std::uint32_t finish = kNoBucket;  // upcall_order bucket to finish after this one
};

// Rings and doorbell of a worker that others hand packets to: one ring for each of them.
struct Inbox {
  static constexpr std::size_t kCapacity = 4096;
  Inbox(Doorbell& bell, unsigned workers) : doorbell{bell} {
    for (unsigned i = 0; i < workers; ++i) rings.push_back(std::make_unique<SpscRing<Handover>>(kCapacity));
  }
  Doorbell& doorbell;
  std::vector<std::unique_ptr<SpscRing<Handover>>> rings;  // by the worker that pushes
};

class Transmitter final : public FrameSink {
 public:
  Transmitter(unsigned self, Umem& umem, FrameCache& frames, Counters& counters, OrderGate& gate,
              std::vector<Inbox*> inboxes);  // by worker

  // Routes, between two rounds. A null socket: the port's packets go to worker `owner`. What another worker has queued
  // in the socket leaves with the next flush().
  void set_route(DpPort port, XskSocket* socket, unsigned owner);
  void clear_route(DpPort port);

  // The packet whose outputs follow. `bucket`: of upcall_order, or Handover::kNoBucket.
  void begin(DpPort in_port, std::uint32_t bucket) noexcept;
  [[nodiscard]] shunt_drop_reason send(DpPort port, std::span<const XskDescriptor> packet) noexcept override;
  void end() noexcept;
  void flush() noexcept;

  // Sends what other workers handed over; returns how many packets.
  std::uint32_t serve_inbox() noexcept;
  [[nodiscard]] bool inbox_empty() const noexcept;
  // True while some socket has refused to send for now: call flush() again soon.
  [[nodiscard]] bool unsent() const noexcept { return unsent_; }

 private:
  static constexpr unsigned kNoOwner = ~0u;
  static constexpr int kFullRetries = 3;

  struct Route {
    XskSocket* socket = nullptr;
    unsigned owner = kNoOwner;
  };
  [[nodiscard]] bool queue(XskSocket& socket, DpPort port, std::span<const XskDescriptor> packet) noexcept;
  void hand_over() noexcept;
  void release(const XskDescriptor& part) noexcept;

  const unsigned self_;
  Umem& umem_;
  FrameCache& frames_;
  Counters& counters_;
  OrderGate& gate_;
  const std::vector<Inbox*> inboxes_;
  std::array<Route, SHUNT_MAX_PORTS> routes_{};
  std::vector<XskSocket*> dirty_;  // queued to since the last kick, or refused then
  bool unsent_ = false;

  DpPort in_port_;
  std::uint32_t bucket_ = Handover::kNoBucket;
  std::size_t handed_over_from_ = 0;  // where the current packet's handovers begin in outgoing_
  struct Outgoing {
    unsigned owner;
    Handover handover;
  };
  std::vector<Outgoing> outgoing_;        // of this batch
  std::vector<std::uint64_t> handed_to_;  // by worker: the last packet (number) that has an output there
  std::uint64_t packet_ = 0;
  std::vector<std::uint32_t> finished_;  // buckets of this batch's packets
};

}  // namespace shunt
