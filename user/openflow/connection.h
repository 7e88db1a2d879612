// SPDX-License-Identifier: Apache-2.0
// A session on its transport, in the event loop. Reads a bounded piece a turn, and nothing while the session has
// enough; what the session wrote is kept here until the other side takes it. Thread: control.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "user/base/clock.h"
#include "user/control/event_loop.h"
#include "user/openflow/session.h"
#include "user/openflow/transport.h"

namespace shunt::openflow {

class Connection {
 public:
  // `on_ready` when the session has something to do: the owner calls run() then, and flush() afterwards.
  Connection(EventLoop& loop, std::unique_ptr<Transport> transport, BridgeAgent& agent, Session::Kind kind,
             std::function<void()> on_ready);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // True: at once again, for there is more to do and room for what it writes.
  bool run();
  void flush();
  [[nodiscard]] int fd() const { return transport_->fd(); }
  [[nodiscard]] bool is_over() const { return over_; }
  [[nodiscard]] int error() const { return error_; }       // an errno: why it is over; 0: it was closed
  [[nodiscard]] bool lingers() const { return lingers_; }  // has said its last, and lets the other side read it
  // Nothing was heard for `interval`: asks whether the other side is there, and gives up after as much again; on one
  // that has not agreed on a version by then, without asking.
  void probe(TimePoint now, std::chrono::milliseconds interval);

  [[nodiscard]] Session& session() { return session_; }
  [[nodiscard]] const Session& session() const { return session_; }

 private:
  static constexpr std::size_t kReadSize = 64 << 10;
  static constexpr std::size_t kEnoughInput = 256 << 10;  // unread requests, beyond which no more is taken

  void on_events(std::uint32_t events);
  void read_some();
  void await();
  void linger();
  [[nodiscard]] std::size_t waiting() const { return out_.size() - sent_; }

  EventLoop& loop_;
  std::unique_ptr<Transport> transport_;
  Session session_;
  const std::function<void()> on_ready_;
  std::vector<std::uint8_t> out_;
  std::size_t sent_ = 0;
  std::uint32_t awaited_ = 0;  // events
  int error_ = 0;
  bool over_ = false;
  bool more_ = false;      // run() again when there is room
  bool ended_ = false;     // the other side will send nothing any more
  bool finished_ = false;  // and what it had sent is handled: over once it has taken the answers
  bool lingers_ = false;
  TimePoint since_, heard_, probed_{};
};

}  // namespace shunt::openflow
