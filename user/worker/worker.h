// SPDX-License-Identifier: Apache-2.0
// A worker: a thread, on a core of its own where one was named, that owns AF_XDP sockets and runs each packet to
// completion:
//   receive -> parse -> translate (or a recent translation) -> run the actions, send -> kick -> hand the flow to the
//   revalidator
// What is queued is sent before the flow is asked for. It sleeps when nothing comes.
//
// No port starves another: sockets are served round robin, and what a socket is charged is the time its packets took.
// Each queue has one owner: a packet for a port whose socket is another worker's goes to that worker through a ring.
//
// Threads: control makes, starts and stops workers through WorkerPool; everything that changes a worker runs in its
// thread between two rounds, which is also its quiet point.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "maps/drop_reason.h"
#include "maps/flow.h"
#include "maps/port.h"
#include "user/afxdp/socket.h"
#include "user/afxdp/umem.h"
#include "user/base/latency.h"
#include "user/base/strong_types.h"
#include "user/pipeline/switch.h"
#include "user/pipeline/translate.h"
#include "user/worker/capture_tap.h"
#include "user/worker/executor.h"
#include "user/worker/placement.h"
#include "user/worker/upcall.h"

namespace shunt {

class EventQueue;
class Youth;

// A packet that a controller sends out: `actions` run over it as if a rule held them (translate_actions()).
struct PacketOutRequest {
  BridgeId bridge;
  PortNo in_port;  // CONTROLLER where it came in nowhere
  ActionList actions;
  std::vector<std::uint8_t> frame;
  ContinuationRef resumed{};  // it goes on there, and `actions` are none
  PipelineFields fields{};    // metadata, registers, tun_id, pkt_mark that it begins with
};

// What userspace did with a port's packets; upcalls and drops by ingress port, transmissions by output port.
struct PortCounters {
  std::uint64_t tx_packets = 0, tx_bytes = 0;
  std::uint64_t drops[SHUNT_DROP_COUNTERS] = {};
};

// One worker's.
struct WorkerStats {
  std::uint64_t upcalls = 0;      // packets handled
  std::uint64_t nanoseconds = 0;  // spent on them
  std::uint64_t translations = 0;
  std::uint64_t requests = 0, requests_refused = 0;  // flows asked for; refused: the revalidator was behind
  std::optional<unsigned> core;                      // that it is pinned on
  std::uint64_t busy_nanoseconds = 0;                // at work, and not waiting for it
  std::uint64_t load = 0;                            // the same lately, nanoseconds a second
  // A packet's way: from the kernel handing it up to a worker taking it; its translation, where none was at hand; from
  // the taking until the batch has been sent.
  Latencies wait, translate, send;
};

// A socket, and who serves it.
struct ServedQueue {
  DpPort port;  // SHUNT_LANE: packets of all ports of mode tcx
  QueueId queue;
  QueueLoad place;
};

class WorkerPool {
 public:
  struct Options {
    std::vector<unsigned> cores;  // a worker pinned on each; empty: one worker, not pinned
    bool busy_poll = false;
  };
  // What workers share with the rest; all of it outlives the pool. `queues`: one a worker.
  struct Context {
    const Switch& sw;
    Umem& umem;
    std::span<shunt_order> order;
    std::span<const shunt_port> ports;  // MTUs
    std::vector<RequestQueue*> queues;
    Youth& youth;
    std::span<shunt_meter> meters{};
    HashKeys hash{};               // of the datapath's configuration
    EventQueue* events = nullptr;  // a producer a worker, from 0 on; none: nothing is reported
  };

  WorkerPool(const Options& options, const Context& context);
  ~WorkerPool();  // stops
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  [[nodiscard]] static unsigned worker_count(const Options& options);

  void start();
  void stop();  // sockets are closed, frames come back

  // Takes a port's sockets, one a queue, of which the first can send, and spreads them over the workers, those that
  // `wanted` places apart; returns when every worker can send to the port. Take the sockets' fds for the XSKMAP before.
  void add_port(DpPort port, std::vector<std::unique_ptr<XskSocket>> sockets, const QueueWorkers& wanted = {});
  // The sockets of the lane: what comes there is of many ports, as its metadata say, and nothing is sent there. It goes
  // by remove_port(SHUNT_LANE).
  void add_lane(std::vector<std::unique_ptr<XskSocket>> sockets);
  // Packets in flight to the port are dropped (no-output-port) and its frames come back. Clear the XSKMAP before.
  void remove_port(DpPort port);
  // Where the user wants a port's queues from now on; moves what is elsewhere. Nothing is lost by a move, and flows
  // keep their order: all workers wait meanwhile.
  void place(DpPort port, const QueueWorkers& wanted);
  // Brings the loads up to date; to be called each second.
  void measure();
  // Moves queues from workers that have much to do to others (place_queues()).
  void balance();
  [[nodiscard]] std::vector<ServedQueue> queues() const;  // by port and queue; control
  // Returns when every worker has finished, and sent, what it did under an older SwitchState and has the newest.
  void quiesce();
  // Returns at once; a quiesce() after it returns when the packet has been sent.
  void send_out(PacketOutRequest&& request);

  // What workers record from now on; null: nothing. Returns when each of them has it, and uses no older one.
  void set_captures(std::shared_ptr<const WorkerCaptures> captures);

  [[nodiscard]] PortCounters counters(DpPort port) const;  // any thread
  void reset_counters(DpPort port);                        // of a port number that is used anew
  [[nodiscard]] std::vector<WorkerStats> stats() const;    // control; by worker

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace shunt
