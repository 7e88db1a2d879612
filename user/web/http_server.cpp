// SPDX-License-Identifier: Apache-2.0
#include "user/web/http_server.h"

#include <httplib.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "user/base/clock.h"
#include "user/base/error.h"
#include "user/base/unique_fd.h"

namespace shunt {
namespace {

constexpr std::size_t kThreads = 8, kMostWaiting = 64;
constexpr std::size_t kMostRequestBytes = 16 * 1024;
constexpr std::chrono::seconds kRequestLimit{5};
// An answer is lost where the socket is closed over bytes that were not read: so much of them is, so long.
constexpr std::chrono::milliseconds kLinger{200};

// True while a connection is to be refused: there are too many.
thread_local bool too_many = false;

int milliseconds_until(TimePoint deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

bool wait_for(int fd, short events, TimePoint deadline) {
  pollfd descriptor{fd, events, 0};
  return ::poll(&descriptor, 1, milliseconds_until(deadline)) > 0;
}

// A connection with a deadline and a limit for its request, both for the whole of it.
class BoundedStream final : public httplib::Stream {
 public:
  explicit BoundedStream(int fd) : fd_{fd}, deadline_{Clock::now() + kRequestLimit} {}

  bool is_readable() const override { return wait_for(fd_, POLLIN, deadline_); }
  bool is_writable() const override { return wait_for(fd_, POLLOUT, deadline_); }
  ssize_t read(char* at, std::size_t size) override {
    if (at_ == end_ && !fill()) {
      broken_ = true;
      return -1;
    }
    const std::size_t count = std::min(size, static_cast<std::size_t>(end_ - at_));
    std::copy_n(buffer_.data() + at_, count, at);
    at_ += static_cast<std::ptrdiff_t>(count);
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* at, std::size_t size) override {
    // Of a request that did not come whole httplib says 400; why is known here, and said by refuse().
    if (broken_ || !is_writable()) return -1;
    written_ = true;
    return ::send(fd_, at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return fd_; }

  [[nodiscard]] bool silent() const { return !written_ && received_ > 0; }  // who sent something, and got no answer
  [[nodiscard]] bool too_long() const { return received_ >= kMostRequestBytes; }

 private:
  bool fill() {
    if (too_long() || !wait_for(fd_, POLLIN, deadline_)) return false;
    const ssize_t count = ::recv(fd_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (count <= 0) return false;
    at_ = 0;
    end_ = count;
    received_ += static_cast<std::size_t>(count);
    return true;
  }

  const int fd_;
  const TimePoint deadline_;
  std::array<char, 4096> buffer_;
  std::ptrdiff_t at_ = 0, end_ = 0;
  std::size_t received_ = 0;
  bool broken_ = false, written_ = false;
};

void refuse(int fd, std::string_view status) {
  const std::string answer =
      fmt::format("HTTP/1.1 {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}\n",
                  status, status.size() + 1, status);
  (void)!::send(fd, answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void linger(int fd) {
  ::shutdown(fd, SHUT_WR);
  const TimePoint deadline = Clock::now() + kLinger;
  char rest[4096];
  while (wait_for(fd, POLLIN, deadline) && ::recv(fd, rest, sizeof rest, MSG_DONTWAIT) > 0 && Clock::now() < deadline) {
  }
}

// Connections wait for one of a few threads; those that are too many are refused by who accepted them.
class BoundedQueue final : public httplib::TaskQueue {
 public:
  BoundedQueue() {
    for (std::size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { work(); });
  }
  void enqueue(std::function<void()> task) override {
    {
      const std::lock_guard lock{mutex_};
      if (tasks_.size() < kMostWaiting) {
        tasks_.push_back(std::move(task));
        wake_.notify_one();
        return;
      }
    }
    too_many = true;
    task();
    too_many = false;
  }
  void shutdown() override {
    {
      const std::lock_guard lock{mutex_};
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void work() {
    for (;;) {
      std::function<void()> task;
      {
        std::unique_lock lock{mutex_};
        wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

class Server final : public httplib::Server {
 public:
  std::atomic<bool> stopping{false};

 private:
  bool process_and_close_socket(socket_t socket) override {
    const UniqueFd fd{socket};
    if (too_many || stopping) {
      refuse(socket, "503 Service Unavailable");
      return false;
    }
    BoundedStream stream{socket};
    bool closed = false;
    const bool answered = process_request(stream, true, closed, nullptr);
    if (stream.silent())
      refuse(socket, stream.too_long() ? "431 Request Header Fields Too Large" : "408 Request Timeout");
    linger(socket);
    return answered;
  }
};

// What a browser sends as Host when it was led here by a name that somebody else's DNS resolves to this machine.
bool is_foreign_host(std::string_view host) {
  if (!host.ends_with(']')) host = host.substr(0, host.rfind(':'));  // the port
  return !(host.empty() || host == "localhost" || host == "[::1]" || is_loopback_address(std::string{host}));
}

}  // namespace

struct HttpServer::Impl {
  ListenAddress address;
  Handler handler;
  Server server;
  std::atomic<bool> ended{false};
  std::thread thread;

  void set_up();
  void answer(const httplib::Request& request, httplib::Response& response) const;
};

HttpServer::HttpServer(const ListenAddress& address, Handler handler) : impl_{std::make_unique<Impl>()} {
  impl_->address = address;
  impl_->handler = std::move(handler);
  impl_->set_up();
  errno = 0;
  int port = address.port;
  if (port == 0)
    port = impl_->server.bind_to_any_port(address.host, AI_NUMERICHOST);
  else if (!impl_->server.bind_to_port(address.host, port, AI_NUMERICHOST))
    port = -1;
  if (port < 0)
    throw Error("cannot listen on {}: {}", address.text(),
                errno == 0 ? "not possible" : std::generic_category().message(errno));
  impl_->address.port = static_cast<std::uint16_t>(port);
  impl_->thread = std::thread{[impl = impl_.get()] {
    impl->server.listen_after_bind();
    impl->ended = true;
  }};
}

HttpServer::~HttpServer() {
  impl_->server.stopping = true;
  while (!impl_->server.is_running() && !impl_->ended)
    std::this_thread::yield();  // stop() is lost on one that has not begun
  impl_->server.stop();
  impl_->thread.join();
}

const ListenAddress& HttpServer::address() const { return impl_->address; }

void HttpServer::Impl::set_up() {
  server.new_task_queue = [] { return new BoundedQueue; };  // httplib owns it
  server.set_keep_alive_max_count(1);
  server.set_payload_max_length(0);
  // Not SO_REUSEPORT, httplib's default: a second daemon would share the port with the first.
  server.set_socket_options([](socket_t socket) {
    const int on = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  });
  server.set_default_headers(
      {{"X-Content-Type-Options", "nosniff"}, {"Referrer-Policy", "no-referrer"}, {"Cache-Control", "no-store"}});
  server.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
    answer(request, response);
    return httplib::Server::HandlerResponse::Handled;
  });
}

void HttpServer::Impl::answer(const httplib::Request& request, httplib::Response& response) const {
  const auto send = [&](const HttpAnswer& answer) {
    response.status = answer.status;
    response.set_header("Content-Security-Policy", answer.policy);
    response.set_content(answer.body, answer.type.c_str());
  };
  if (request.method != "GET" && request.method != "HEAD") {
    response.set_header("Allow", "GET, HEAD");
    return send({.status = 405, .body = "405: only GET and HEAD; nothing can be changed here\n"});
  }
  if (address.is_loopback() && is_foreign_host(request.get_header_value("Host")))
    return send({.status = 403, .body = "403: the Host is not this machine's loopback\n"});
  try {
    send(handler({request.path, {request.params.begin(), request.params.end()}}));
  } catch (const std::exception& error) {
    send({.status = 500, .body = fmt::format("500: {}\n", error.what())});
  }
}

}  // namespace shunt
