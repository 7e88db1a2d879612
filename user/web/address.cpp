// SPDX-License-Identifier: Apache-2.0
#include "user/web/address.h"

#include <arpa/inet.h>

#include <charconv>

#include "user/base/error.h"

namespace shunt {
namespace {

bool is_numeric(const std::string& host, int family) {
  in6_addr address{};
  return ::inet_pton(family, host.c_str(), &address) == 1;
}

}  // namespace

bool is_loopback_address(const std::string& host) {
  return host == "::1" || (host.starts_with("127.") && is_numeric(host, AF_INET));
}

bool ListenAddress::is_loopback() const { return is_loopback_address(host); }

std::string ListenAddress::text() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

ListenAddress parse_listen_address(std::string_view text) {
  ListenAddress address;
  std::string_view port = text;
  if (const auto colon = text.rfind(':'); colon != std::string_view::npos) {
    std::string_view host = text.substr(0, colon);
    port = text.substr(colon + 1);
    const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (brackets) host = host.substr(1, host.size() - 2);
    address.host = host == "localhost" ? "127.0.0.1" : std::string{host};
    if (!is_numeric(address.host, brackets ? AF_INET6 : AF_INET))
      throw Error("'{}' is no address: give an IPv4 address, an IPv6 address in brackets, or localhost", host);
  }
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc{} || end != port.data() + port.size() || port.empty())
    throw Error("'{}' is no port: give a number from 1 to 65535, or 0 for any that is free", port);
  return address;
}

}  // namespace shunt
