// SPDX-License-Identifier: Apache-2.0
// Messages about ports and queues: descriptions, port-mod, port-status, statistics. Threads: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "user/base/strong_types.h"
#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/version.h"

namespace shunt::openflow {

struct PortDescription {
  PortNo number;
  MacAddr mac;
  std::string name;
  bool admin_down = false, receive = true, forward = true, packet_in = true, flood = true;  // the configuration
  bool link_down = false;
  std::uint64_t speed_kbps = 0;  // 0: not known
  friend bool operator==(const PortDescription&, const PortDescription&) = default;
};
// An ofp_port (ofp_phy_port).
void encode_port(Writer& out, const PortDescription& port, Version version);

enum class PortChange : std::uint8_t { kAdd, kDelete, kModify };  // ofp_port_reason
void encode_port_status(Writer& out, PortChange change, const PortDescription& port, Version version);

struct PortMod {
  PortNo number;
  MacAddr mac;
  // What changes; none: as it is. `flood` is OpenFlow 1.0's only.
  std::optional<bool> admin_down, receive, forward, packet_in, flood;
};
[[nodiscard]] PortMod decode_port_mod(Bytes body, Version version);

struct PortFigures {
  PortNo number;
  std::uint64_t rx_packets = 0, tx_packets = 0, rx_bytes = 0, tx_bytes = 0, rx_dropped = 0;
  std::chrono::nanoseconds age{};  // since it was attached
};
// The port of a request for port statistics, or since OpenFlow 1.5 for descriptions; none: all.
[[nodiscard]] std::optional<PortNo> decode_port_filter(Bytes body, Version version);
void encode_port_stats(Writer& out, const PortFigures& figures, Version version);

struct QueueFilter {
  std::optional<PortNo> port;
  std::optional<std::uint32_t> queue;
};
[[nodiscard]] QueueFilter decode_queue_filter(Bytes body, Version version);

}  // namespace shunt::openflow
