// SPDX-License-Identifier: Apache-2.0
// The control socket: a Unix stream socket on which any number of clients send requests, a line each, and get a reply
// line for each, in order.
//
// No client can hold up another, or the daemon: reading, answering and writing are cut into pieces that take turns in
// the event loop. While a reply is on its way nothing more is read from that client, so what it can make the daemon
// hold is one request in the making and one reply. What is unfinished for too long is ended, and when all places are
// taken the client that was silent for the longest makes room; those that get notifications (ClientStream) last. These
// may read notifications as slowly as they like: what waits for one, and for all, is bounded apart from requests and
// replies, and what one misses is counted. Threads: the control thread only (that of the event loop).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "user/base/unique_fd.h"
#include "user/control/client_stream.h"
#include "user/control/event_loop.h"

namespace shunt {

class ControlSocket {
 public:
  struct Limits {
    std::size_t request_bytes = 64 << 20;     // one line
    std::size_t total_bytes = 256 << 20;      // requests in the making and replies on their way, all clients together
    std::size_t clients = 4096;               // or half of what the process may open (RLIMIT_NOFILE), if that is less
    std::chrono::milliseconds stall{30'000};  // for the rest of a request to come, or for a reply to move on
    std::size_t waiting_bytes = 1 << 20;      // notifications that wait for one client
    std::size_t streams_bytes = 64 << 20;     // notifications for all; beyond it each client still has a little room
  };
  // One request line in, one reply line (without its end) out. Must throw nothing but NotYet: then the client waits for
  // its reply, and the request is handled anew after resume(); if it hangs up until then, the request is forgotten.
  // `client` may be kept until its on_close().
  using Handler = std::function<std::string(std::string_view request, ClientStream& client)>;

  // Replaces what a dead daemon left at `path`: the caller holds the InstanceLock. Mode 0660 from the first moment.
  ControlSocket(EventLoop& loop, const std::string& path, Handler handler, const Limits& limits);
  ControlSocket(EventLoop& loop, const std::string& path, Handler handler)
      : ControlSocket(loop, path, std::move(handler), Limits{}) {}
  ~ControlSocket();  // ends all connections, removes the socket
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  void resume();
  [[nodiscard]] std::size_t client_count() const { return clients_.size(); }

 private:
  struct Client;
  using ClientId = std::uint64_t;

  void accept_clients();
  void add_client(UniqueFd fd);
  void close_client(ClientId id);
  void close_quietest();
  void on_events(ClientId id, std::uint32_t events);
  void read_some(Client& client);
  void answer_next(ClientId id);
  void answer(Client& client, std::string_view line);
  void answer_later(Client& client);
  void reply(Client& client, std::string line);
  void write_some(Client& client);
  void load_notifications(Client& client);  // as what is on its way, where nothing is
  void flush_later(Client& client);
  void settle(ClientId id);  // after anything happened: close, wait for the right events, go on with the next request
  void refuse(Client& client, std::string_view why);
  void end_stalled();
  [[nodiscard]] std::size_t held_bytes() const;  // requests and replies
  [[nodiscard]] std::size_t room_for(const Client& client) const;

  EventLoop& loop_;
  std::string path_;
  Handler handler_;
  Limits limits_;
  UniqueFd listener_;
  EventLoop::TimerId stall_timer_;
  std::map<ClientId, std::unique_ptr<Client>> clients_;
  ClientId next_id_ = 1;
  std::size_t streams_bytes_ = 0;  // of notifications that wait, or are on their way
  // What was posted to the loop must not reach a socket that is gone.
  std::shared_ptr<ControlSocket*> self_;
};

}  // namespace shunt
