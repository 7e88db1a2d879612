// SPDX-License-Identifier: Apache-2.0
// One worker's thread and all that it owns. See worker.h for what a worker does.
//
// Threads: what is marked so by control; the rest runs in the worker's own thread, control's requests through
// mailbox().
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "user/afxdp/socket.h"
#include "user/base/clock.h"
#include "user/base/unique_fd.h"
#include "user/pipeline/switch.h"
#include "user/worker/capture_tap.h"
#include "user/worker/counters.h"
#include "user/worker/executor.h"
#include "user/worker/mailbox.h"
#include "user/worker/order_gate.h"
#include "user/worker/packet_reporter.h"
#include "user/worker/transmitter.h"
#include "user/worker/upcall.h"
#include "user/worker/worker.h"
#include "user/worker/youth.h"

namespace shunt {

class WorkerThread {
 public:
  struct Options {
    unsigned number = 0;
    std::optional<unsigned> core;
    bool busy_poll = false;
  };

  WorkerThread(const Options& options, const WorkerPool::Context& context, Doorbell& doorbell,
               std::vector<Inbox*> inboxes);
  ~WorkerThread();

  // Control.
  void start();
  void stop();
  [[nodiscard]] Mailbox& mailbox() noexcept { return mailbox_; }
  [[nodiscard]] Counters& counters() noexcept { return counters_; }
  [[nodiscard]] std::optional<unsigned> core() const noexcept { return options_.core; }

  // In the worker's thread, by mailbox().
  // What is spent on the socket goes into `spent`, too: nanoseconds.
  void adopt(DpPort port, std::unique_ptr<XskSocket> socket, std::shared_ptr<Counter> spent);
  [[nodiscard]] std::vector<std::unique_ptr<XskSocket>> give_up(DpPort port);
  [[nodiscard]] std::unique_ptr<XskSocket> give_up(DpPort port, QueueId queue);  // null: it has none of that queue
  void set_route(DpPort port, unsigned owner);  // to this worker's own socket where it has one
  void clear_route(DpPort port);
  void refresh_state();
  void send_out(const PacketOutRequest& request);
  void serve_inbox();  // sends what was handed over so far; what has no route any more is dropped
  void close_sockets() { served_.clear(); }
  void set_captures(std::shared_ptr<const WorkerCaptures> captures) { tap_.set(std::move(captures)); }

 private:
  static constexpr std::size_t kBatch = 64;
  static constexpr std::size_t kRecent = 1024;  // a power of two

  struct Served {
    DpPort port;
    std::unique_ptr<XskSocket> socket;
    std::shared_ptr<Counter> spent;
    std::chrono::nanoseconds credit{0};  // of time; below zero it waits for its turn
    TimePoint reached{};                 // what was handed up before has been sent or dropped
  };
  // Of one exact key, good for one version of the switch and of its FDB; where the translation needed the packet, for
  // that packet only.
  struct Recent {
    std::uint64_t hash = 0;  // of the key
    DecisionRef decision;
    TimePoint requested{};
    TimePoint learned{};  // when control was asked for its rules
  };

  void run();
  void pin();
  void count_busy(TimePoint& since, TimePoint now) noexcept;  // up to now, which becomes `since`
  bool serve_sockets() noexcept;
  std::size_t serve(Served& served) noexcept;
  void tell_progress(TimePoint round) noexcept;
  void handle(std::span<const XskDescriptor> packet, DpPort from) noexcept;
  shunt_upcall_meta take_meta(const XskDescriptor& first, DpPort port) noexcept;
  shunt_drop_reason run_packet_out(const PacketOutRequest& request, DpPort in_port);
  [[nodiscard]] FrameSink& sink() noexcept { return tap_.active() ? static_cast<FrameSink&>(tap_) : transmitter_; }
  Recent& look_up(DecisionRef& displaced);
  [[nodiscard]] bool is_current(const Translation& translation, const FlowKey& key) const noexcept;
  void push_requests() noexcept;
  void rest();
  void housekeeping();

  const Options options_;
  const Switch& switch_;
  RequestQueue& requests_;
  Youth& youth_;
  Doorbell& doorbell_;
  Mailbox mailbox_;
  Umem& umem_;
  const std::span<const shunt_port> ports_;
  FrameCache frames_;
  Counters counters_;
  OrderGate gate_;
  Executor executor_;
  Transmitter transmitter_;
  CaptureTap tap_;
  PacketReporter reporter_;
  UniqueFd epoll_;
  SwitchStateRef state_;
  std::vector<Served> served_;
  std::vector<Recent> recent_;
  std::vector<FlowRequest> pending_;  // of this batch
  TimePoint now_{}, next_housekeeping_{};
  TimePoint received_{};   // this batch
  TimePoint handed_up_{};  // the last packet
  TimePoint busy_at_{};    // the last round that had something to do
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace shunt
