// SPDX-License-Identifier: Apache-2.0
// Where controllers are, or may connect from, as Open vSwitch writes it: tcp:HOST[:PORT], ssl:HOST[:PORT], unix:PATH to
// connect to; ptcp:[PORT][:HOST], pssl:[PORT][:HOST], punix:PATH to listen on. HOST is an address: IPv4, or IPv6 in
// brackets. Threads: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "user/base/unique_fd.h"
#include "user/control/openflow_settings.h"

namespace shunt {

inline constexpr std::uint16_t kOpenFlowPort = 6653;

struct Target {
  enum class Kind { kTcp, kTls, kUnix };
  Kind kind = Kind::kTcp;
  bool passive = false;
  std::string host;  // or path; empty where passive: any address
  std::uint16_t port = kOpenFlowPort;
};
[[nodiscard]] Target parse_target(std::string_view text);  // throws Error
// What can be told before anything is connected. Throws Error.
void check_controller(const ControllerSettings& controller);

// A socket that is connecting, or listening; does not block. Throws std::system_error, Error.
[[nodiscard]] UniqueFd connect_to(const Target& target);
[[nodiscard]] UniqueFd listen_on(const Target& target);

}  // namespace shunt
