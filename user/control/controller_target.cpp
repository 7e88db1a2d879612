// SPDX-License-Identifier: Apache-2.0
#include "user/control/controller_target.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include "user/base/error.h"
#include "user/base/unix_listener.h"

namespace shunt {
namespace {

constexpr int kBacklog = 64;

struct Scheme {
  std::string_view prefix;
  Target::Kind kind;
  bool passive;
};
constexpr auto kSchemes = std::to_array<Scheme>({{"tcp:", Target::Kind::kTcp, false},
                                                 {"ssl:", Target::Kind::kTls, false},
                                                 {"unix:", Target::Kind::kUnix, false},
                                                 {"ptcp:", Target::Kind::kTcp, true},
                                                 {"pssl:", Target::Kind::kTls, true},
                                                 {"punix:", Target::Kind::kUnix, true}});

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

std::optional<Address> address_of(const std::string& host, std::uint16_t port) {
  Address address;
  if (auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
      ::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
    return address;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) != 1) return std::nullopt;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  address.size = sizeof *v6;
  return address;
}

[[noreturn]] void refuse(std::string_view text) {
  throw Error(
      "'{}' is no controller: tcp:ADDRESS[:PORT], ssl:ADDRESS[:PORT], unix:PATH, or to listen ptcp:[PORT][:ADDRESS], "
      "pssl:[PORT][:ADDRESS]",
      text);
}

std::uint16_t port_of(std::string_view digits, std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || end != digits.data() + digits.size()) refuse(text);
  return port;
}

// "[::1]" or "10.0.0.1", and what follows it.
std::string_view take_host(std::string_view& rest, std::string_view text) {
  std::string_view host;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) refuse(text);
    host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
  } else {
    host = rest.substr(0, rest.find(':'));
    rest.remove_prefix(host.size());
  }
  return host;
}

UniqueFd open_socket(const Address& address, const std::string& what) {
  UniqueFd fd{check(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), what)};
  const int on = 1;
  if (address.storage.ss_family != AF_UNIX) ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

Address unix_address(const std::string& path) {
  Address address;
  auto* local = reinterpret_cast<sockaddr_un*>(&address.storage);
  local->sun_family = AF_UNIX;
  if (path.size() >= sizeof local->sun_path) throw Error("'{}' is too long for a Unix socket", path);
  std::memcpy(local->sun_path, path.c_str(), path.size() + 1);
  address.size = sizeof *local;
  return address;
}

}  // namespace

Target parse_target(std::string_view text) {
  Target target;
  std::string_view rest;
  for (const Scheme& scheme : kSchemes) {
    if (!text.starts_with(scheme.prefix)) continue;
    target.kind = scheme.kind;
    target.passive = scheme.passive;
    rest = text.substr(scheme.prefix.size());
    if (target.kind == Target::Kind::kUnix) {
      if (rest.empty()) refuse(text);
      target.host = rest;
      unix_address(target.host);
      return target;
    }
    if (target.passive) {
      const std::string_view port = rest.substr(0, rest.find(':'));
      if (!port.empty()) target.port = port_of(port, text);
      rest.remove_prefix(port.size());
      if (rest.empty()) return target;
      rest.remove_prefix(1);
      target.host = take_host(rest, text);
    } else {
      target.host = take_host(rest, text);
      if (rest.starts_with(':')) {
        target.port = port_of(rest.substr(1), text);
        rest = {};
      }
    }
    if (!rest.empty() || !address_of(target.host, target.port)) refuse(text);
    return target;
  }
  refuse(text);
}

UniqueFd connect_to(const Target& target) {
  const Address address =
      target.kind == Target::Kind::kUnix ? unix_address(target.host) : *address_of(target.host, target.port);
  UniqueFd fd = open_socket(address, "controller: socket");
  if (::connect(fd.get(), address.get(), address.size) != 0 && errno != EINPROGRESS && errno != EAGAIN)
    throw_errno(errno, fmt::format("connect to {}", target.host));
  return fd;
}

UniqueFd listen_on(const Target& target) {
  const std::string what =
      fmt::format("listen on {}:{}", target.host.empty() ? "any address" : target.host, target.port);
  if (target.kind == Target::Kind::kUnix) return listen_unix(target.host, fmt::format("'{}'", target.host));
  const Address address = *address_of(target.host.empty() ? "::" : target.host, target.port);
  UniqueFd fd = open_socket(address, what);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  check(::bind(fd.get(), address.get(), address.size), what);
  check(::listen(fd.get(), kBacklog), what);
  return fd;
}

void check_controller(const ControllerSettings& controller) {
  const Target target = parse_target(controller.target);
  if (controller.auxiliary == 0) return;
  if (target.passive) throw Error("'{}' is listened on: auxiliary connections are the other side's", controller.target);
  if (controller.auxiliary > ControllerSettings::kMaxAuxiliary)
    throw Error("{} auxiliary connections: at most {}", controller.auxiliary, ControllerSettings::kMaxAuxiliary);
}

}  // namespace shunt
