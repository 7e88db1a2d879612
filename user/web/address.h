// SPDX-License-Identifier: Apache-2.0
// Where a server listens, as an option says it: "9101", "0.0.0.0:9101", "[::1]:9101". Threads: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace shunt {

struct ListenAddress {
  std::string host = "127.0.0.1";  // numeric
  std::uint16_t port = 0;          // 0: any that is free
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] std::string text() const;  // "[::1]:9101"
};

// An address on loopback, as numbers: "127.0.0.1", "::1". A name that begins like one ("127.x.example") is none.
[[nodiscard]] bool is_loopback_address(const std::string& host);

// Throws Error, naming what is wrong.
[[nodiscard]] ListenAddress parse_listen_address(std::string_view text);

}  // namespace shunt
