// SPDX-License-Identifier: Apache-2.0
#include "cli/client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace shunt::cli {
namespace {

constexpr std::size_t kMostFds = 8;                        // of one reply
constexpr std::size_t kReplyBytes = std::size_t{1} << 30;  // far above a list of the most flows there can be

Refused refused(const Json& error) {
  const std::string message = error.value("message", "refused without a reason");
  const auto data = error.find("data");
  if (data == error.end() || !data->is_object()) return Refused{message};
  Refused refusal{data->contains("of_error")
                      ? fmt::format("refused ({}): {}", data->value("of_error", std::string{}), message)
                      : message};
  if (data->contains("line")) refusal.line = data->value("line", std::size_t{1});
  if (data->contains("column")) refusal.column = data->value("column", std::size_t{1});
  return refusal;
}

}  // namespace

Client::Client(const std::string& rundir, const std::string& instance, std::chrono::milliseconds timeout)
    : instance_{instance}, path_{fmt::format("{}/{}.sock", rundir, instance)}, timeout_{timeout} {}

Json Client::call(std::string_view method, const Json& params) {
  if (!fd_) connect();
  const TimePoint deadline = Clock::now() + timeout_;
  const Json request = {{"jsonrpc", "2.0"}, {"id", next_id_++}, {"method", method}, {"params", params}};
  std::string line;
  try {
    line = request.dump() + '\n';
  } catch (const Json::exception&) {
    throw Error("the text is not UTF-8");
  }
  send(line, deadline);
  Json reply = receive(deadline);
  if (reply.contains("error")) {
    constexpr int kNotStored = 2;  // docs/cli.md, "The control socket"
    const Json& error = reply["error"];
    if (error.value("code", 0) == kNotStored) throw NotStored(error.value("message", "not stored"));
    throw refused(error);
  }
  if (!reply.contains("result")) throw Error("the daemon's reply has no result");
  return std::move(reply["result"]);
}

void Client::connect() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) throw Error("control socket '{}': the path is too long", path_);
  std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
  fd_.reset(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "control socket"));
  const timeval limit{std::max<time_t>(1, std::chrono::duration_cast<std::chrono::seconds>(timeout_).count()), 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);  // bounds connect() to a full backlog
  if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return;
  const int error = errno;
  fd_.reset();
  if (error == ENOENT || error == ECONNREFUSED)
    throw Error(
        "no daemon answers on '{}': start 'shuntd --instance {}', or say --rundir and --instance of one that runs",
        path_, instance_);
  if (error == EACCES)
    throw Error("control socket '{}': permission denied; run as root, or as a member of its group", path_);
  throw_errno(error, fmt::format("control socket '{}'", path_));
}

void Client::send(const std::string& request, TimePoint deadline) {
  std::size_t sent = 0;
  while (sent < request.size()) {
    const ssize_t size = ::send(fd_.get(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size >= 0) {
      sent += static_cast<std::size_t>(size);
    } else if (errno == EAGAIN || errno == EINTR) {
      wait(POLLOUT, deadline);
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return;  // the daemon has closed: its last line says why
    } else {
      throw_errno(errno, fmt::format("control socket '{}': send", path_));
    }
  }
}

// The next reply; what comes unasked before it waits.
Json Client::receive(TimePoint deadline) {
  while (true) {
    const std::optional<std::string> line = next_line();
    if (!line) {
      wait(POLLIN, deadline);
      read_some();
      continue;
    }
    Json message;
    try {
      message = Json::parse(*line);
    } catch (const Json::exception&) {
      throw Error("the daemon's reply is no JSON: do client and daemon have the same version? See 'shunt version'");
    }
    if (!message.contains("method") || message.contains("id")) return message;
    notifications_.push_back({message.value("method", std::string{}), message.value("params", Json::object())});
  }
}

std::optional<Client::Notification> Client::next_notification(std::chrono::milliseconds wait_for) {
  const TimePoint deadline = Clock::now() + wait_for;
  while (notifications_.empty()) {
    if (const std::optional<std::string> line = next_line()) {
      const Json message = Json::parse(*line, nullptr, false);
      if (message.is_object() && message.contains("method"))
        notifications_.push_back({message.value("method", std::string{}), message.value("params", Json::object())});
      continue;
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd poll_fd{fd_.get(), POLLIN, 0};
    if (::poll(&poll_fd, 1, std::max(0, static_cast<int>(left.count()))) <= 0) return std::nullopt;
    read_some();
  }
  Notification first = std::move(notifications_.front());
  notifications_.pop_front();
  return first;
}

std::optional<std::string> Client::next_line() {
  const std::size_t end = received_.find('\n', scanned_);
  if (end == std::string::npos) {
    scanned_ = received_.size();
    if (scanned_ > kReplyBytes) throw Error("the daemon's reply is longer than {} bytes", kReplyBytes);
    return std::nullopt;
  }
  std::string line = received_.substr(0, end);
  received_.erase(0, end + 1);
  scanned_ = 0;
  return line;
}

void Client::read_some() {
  std::array<char, 65'536> buffer;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostFds * sizeof(int))> control;
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = ::recvmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) throw Error("the daemon closed the connection on '{}' without an answer: see its log", path_);
  received_.append(buffer.data(), static_cast<std::size_t>(size));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      fds_.emplace_back(fd);
    }
  }
}

void Client::wait(short events, TimePoint deadline) const {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  if (left.count() <= 0)
    throw Error("no answer on '{}' within {} s: --timeout gives it longer", path_,
                std::chrono::duration<double>(timeout_).count());
  pollfd poll_fd{fd_.get(), events, 0};
  if (::poll(&poll_fd, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 1'000'000))) < 0 && errno != EINTR)
    throw_errno(errno, fmt::format("control socket '{}': poll", path_));
}

}  // namespace shunt::cli
