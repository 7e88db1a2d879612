// SPDX-License-Identifier: Apache-2.0
#include "user/control/control_socket.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "user/base/error.h"
#include "user/base/unix_listener.h"
#include "user/control/json_rpc.h"
#include "user/control/not_yet.h"

namespace shunt {
namespace {

constexpr std::size_t kReadBytes = 256 * 1024;  // from one client before the others have their turn
constexpr int kAcceptsPerTurn = 16;
constexpr std::chrono::milliseconds kAcceptPause{100};  // when the process has no file descriptor left
constexpr std::size_t kOwnBytes = 16 * 1024;            // of notifications that may wait for a client in any case

// The rest is for ports, controllers and files.
std::size_t half_of_descriptors() {
  rlimit limit{};
  check(::getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  return std::max<std::size_t>(limit.rlim_cur / 2, 1);
}

// As send(), with file descriptors that go with the first byte.
ssize_t send_with_fds(int socket, std::string_view bytes, std::span<const UniqueFd> fds) {
  if (fds.empty()) return ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  for (std::size_t i = 0; i < fds.size(); ++i) {
    const int fd = fds[i].get();
    std::memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL);
}

}  // namespace

struct ControlSocket::Client final : ClientStream {
  Client(ControlSocket& control_socket, ClientId client_id, UniqueFd client_fd)
      : socket{control_socket}, id{client_id}, fd{std::move(client_fd)}, in{control_socket.limits_.request_bytes} {}

  void attach(UniqueFd attached) override { fds.push_back(std::move(attached)); }
  void notify(std::string_view method, const std::function<Json()>& params) override;
  void on_close(std::function<void()> callback) override { closed.push_back(std::move(callback)); }

  ControlSocket& socket;
  ClientId id;
  UniqueFd fd;
  LineFramer in;
  std::string out;            // the reply on its way
  std::size_t sent = 0;       // of it
  TimePoint moved{};          // last time that bytes came or went
  TimePoint begun{};          // when the request in the making began; counted from the last reply where that is later
  bool end_of_input = false;  // the client will send no more
  bool closing = false;       // after this reply
  bool broken = false;
  bool queued = false;  // answer_next() is posted
  std::optional<std::string> put_off;  // the request that waits for resume()
  // As a stream.
  std::vector<UniqueFd> fds;                  // go with the reply's first byte
  std::string waiting;                        // notifications
  std::uint64_t missed = 0;                   // for which there was no room
  bool notifying = false;                     // what is on its way are notifications
  bool flushing = false;                      // a flush is posted
  std::vector<std::function<void()>> closed;  // whom to tell

  [[nodiscard]] bool busy() const { return sent < out.size(); }
  [[nodiscard]] bool is_stream() const { return !closed.empty(); }
};

ControlSocket::ControlSocket(EventLoop& loop, const std::string& path, Handler handler, const Limits& limits)
    : loop_{loop},
      path_{path},
      handler_{std::move(handler)},
      limits_{limits},
      listener_{listen_unix(path, fmt::format("control socket '{}'", path))},
      stall_timer_{loop_.every(std::min(limits.stall, std::chrono::milliseconds{1'000}), [this] { end_stalled(); })},
      self_{std::make_shared<ControlSocket*>(this)} {
  limits_.clients = std::min(limits_.clients, half_of_descriptors());
  loop_.add(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept_clients(); });
}

ControlSocket::~ControlSocket() {
  *self_ = nullptr;
  loop_.cancel(stall_timer_);
  loop_.remove(listener_.get());
  while (!clients_.empty()) close_client(clients_.begin()->first);
  ::unlink(path_.c_str());
}

void ControlSocket::accept_clients() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    UniqueFd fd{::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    if (fd) {
      if (clients_.size() >= limits_.clients) close_quietest();
      add_client(std::move(fd));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
      // The listener stays readable: without a pause the loop would spin.
      if (!clients_.empty()) close_quietest();
      loop_.modify(listener_.get(), 0);
      loop_.after(kAcceptPause, [self = self_] {
        if (*self != nullptr) (*self)->loop_.modify((*self)->listener_.get(), EPOLLIN);
      });
      return;
    } else {
      return;
    }
  }
}

void ControlSocket::add_client(UniqueFd fd) {
  const ClientId id = next_id_++;
  auto client = std::make_unique<Client>(*this, id, std::move(fd));
  client->moved = client->begun = Clock::now();
  loop_.add(client->fd.get(), EPOLLIN, [this, id](std::uint32_t events) { on_events(id, events); });
  clients_.emplace(id, std::move(client));
}

void ControlSocket::close_client(ClientId id) {
  const auto found = clients_.find(id);
  loop_.remove(found->second->fd.get());
  const std::unique_ptr<Client> client = std::move(found->second);
  clients_.erase(found);
  streams_bytes_ -= client->waiting.size() + (client->notifying ? client->out.size() : 0);
  for (const auto& tell : client->closed) tell();
}

void ControlSocket::close_quietest() {
  const auto quietest = std::min_element(clients_.begin(), clients_.end(), [](const auto& a, const auto& b) {
    return std::pair{a.second->is_stream(), a.second->moved} < std::pair{b.second->is_stream(), b.second->moved};
  });
  close_client(quietest->first);
}

void ControlSocket::on_events(ClientId id, std::uint32_t events) {
  Client& client = *clients_.at(id);
  if ((events & EPOLLERR) != 0 || client.put_off) client.broken = true;  // who waits is looked at for its end only
  if ((events & (EPOLLOUT | EPOLLHUP)) != 0 && client.busy()) write_some(client);
  if ((events & (EPOLLIN | EPOLLHUP)) != 0 && !client.busy()) read_some(client);
  settle(id);
}

void ControlSocket::read_some(Client& client) {
  static thread_local std::array<char, kReadBytes> buffer;
  const ssize_t size = ::recv(client.fd.get(), buffer.data(), buffer.size(), 0);
  if (size > 0) {
    client.moved = Clock::now();
    if (!client.in.partial()) client.begun = client.moved;
    client.in.feed({buffer.data(), static_cast<std::size_t>(size)});
    if (client.in.oversized())
      refuse(client, fmt::format("the request is longer than {} bytes", limits_.request_bytes));
    else if (client.in.partial() && held_bytes() > limits_.total_bytes)
      refuse(client, "too many large requests at once: try again");
  } else if (size == 0) {
    client.end_of_input = true;
  } else if (errno != EAGAIN && errno != EINTR) {
    client.broken = true;
  }
}

void ControlSocket::answer_next(ClientId id) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  Client& client = *found->second;
  client.queued = false;
  if (const auto again = std::exchange(client.put_off, std::nullopt))
    answer(client, *again);
  else if (const auto line = client.in.next(); line && !line->empty())
    answer(client, *line);
  settle(id);
}

void ControlSocket::answer(Client& client, std::string_view line) {
  try {
    if (held_bytes() > limits_.total_bytes + limits_.request_bytes)
      reply(client, format_error(nullptr, RpcCode::kRefused, "too many replies wait for their clients: try again"));
    else
      reply(client, handler_(line, client));
  } catch (const NotYet&) {
    client.put_off = line;
  }
}

void ControlSocket::answer_later(Client& client) {
  if (std::exchange(client.queued, true)) return;
  loop_.post([self = self_, id = client.id] {
    if (*self != nullptr) (*self)->answer_next(id);
  });
}

void ControlSocket::resume() {
  for (const auto& [id, client] : clients_)
    if (client->put_off) answer_later(*client);
}

void ControlSocket::reply(Client& client, std::string line) {
  client.out = std::move(line);
  client.out += '\n';
  client.sent = 0;
  client.moved = Clock::now();
  write_some(client);
}

void ControlSocket::write_some(Client& client) {
  const ssize_t size = send_with_fds(client.fd.get(), std::string_view{client.out}.substr(client.sent), client.fds);
  if (size > 0) {
    client.fds.clear();
    client.sent += static_cast<std::size_t>(size);
    client.moved = Clock::now();
    if (client.busy()) return;
    if (std::exchange(client.notifying, false)) streams_bytes_ -= client.out.size();
    client.out = std::string{};
    client.sent = 0;
    client.begun = client.moved;
  } else if (size < 0 && errno != EAGAIN && errno != EINTR) {
    client.broken = true;
  }
}

// Called from wherever something happens: what is sent now could close the client, so it is sent in the next round.
// Where events are being missed already there is nothing to be made of one more.
void ControlSocket::Client::notify(std::string_view method, const std::function<Json()>& params) {
  socket.flush_later(*this);
  if (missed == 0) {
    const Json message = {{"jsonrpc", "2.0"}, {"method", method}, {"params", params()}};
    const std::string line = message.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
    if (line.size() <= socket.room_for(*this)) {
      waiting += line;
      socket.streams_bytes_ += line.size();
      return;
    }
  }
  ++missed;
}

std::size_t ControlSocket::room_for(const Client& client) const {
  const std::size_t most =
      streams_bytes_ < limits_.streams_bytes ? limits_.waiting_bytes : std::min(kOwnBytes, limits_.waiting_bytes);
  return most - std::min(most, client.waiting.size());
}

void ControlSocket::flush_later(Client& client) {
  if (std::exchange(client.flushing, true)) return;
  loop_.post([self = self_, id = client.id] {
    if (*self == nullptr) return;
    const auto found = (*self)->clients_.find(id);
    if (found == (*self)->clients_.end()) return;
    found->second->flushing = false;
    (*self)->settle(id);
  });
}

// What was missed is told when all that had found room is on its way: that is where it is missing.
void ControlSocket::load_notifications(Client& client) {
  if (client.busy() || (client.waiting.empty() && client.missed == 0)) return;
  client.out = std::exchange(client.waiting, {});
  client.notifying = true;
  if (const std::uint64_t missed = std::exchange(client.missed, 0); missed != 0) {
    const std::string line =
        fmt::format("{{\"jsonrpc\":\"2.0\",\"method\":\"missed\",\"params\":{{\"count\":{}}}}}\n", missed);
    client.out += line;
    streams_bytes_ += line.size();
  }
  client.sent = 0;
  write_some(client);
}

void ControlSocket::settle(ClientId id) {
  Client& client = *clients_.at(id);
  const bool has_request = client.put_off || client.in.has_line();
  if (!client.broken && !has_request) load_notifications(client);
  const bool done = !client.busy() && (client.closing || (client.end_of_input && !has_request));
  if (client.broken || done) {
    close_client(id);
    return;
  }
  if (client.busy()) {
    loop_.modify(client.fd.get(), EPOLLOUT);
  } else if (has_request) {
    loop_.modify(client.fd.get(), 0);
    if (!client.put_off) answer_later(client);
  } else {
    loop_.modify(client.fd.get(), EPOLLIN);
  }
}

void ControlSocket::refuse(Client& client, std::string_view why) {
  client.in = LineFramer{limits_.request_bytes};
  client.closing = true;
  reply(client, format_error(nullptr, RpcCode::kInvalidRequest, why));
}

void ControlSocket::end_stalled() {
  const TimePoint now = Clock::now();
  std::vector<ClientId> stalled;
  for (const auto& [id, client] : clients_) {
    const bool replying = client->busy() && !client->notifying;
    const TimePoint since = replying ? client->moved : client->begun;
    if ((replying || (client->in.partial() && !client->put_off)) && now - since > limits_.stall) stalled.push_back(id);
  }
  for (const ClientId id : stalled) {
    Client& client = *clients_.at(id);
    if (client.busy()) {
      client.broken = true;
    } else {
      refuse(client, "the rest of the request did not come in time");
    }
    settle(id);
  }
}

std::size_t ControlSocket::held_bytes() const {
  std::size_t bytes = 0;
  for (const auto& [id, client] : clients_) {
    bytes += client->in.size() + (client->notifying ? 0 : client->out.size());
    if (client->put_off) bytes += client->put_off->size();
  }
  return bytes;
}

}  // namespace shunt
