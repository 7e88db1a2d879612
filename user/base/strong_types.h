// SPDX-License-Identifier: Apache-2.0
// Numbers and addresses that cannot be mixed up: no conversion happens unasked.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include "maps/types.h"

namespace shunt {

using be16 = shunt_be16;
using be32 = shunt_be32;

// An integer with a meaning. Tag is an empty struct that names it.
template <typename Tag, typename Rep>
struct StrongInt {
  using rep = Rep;
  Rep value{};
  constexpr StrongInt() = default;
  constexpr explicit StrongInt(Rep v) : value{v} {}
  friend constexpr auto operator<=>(StrongInt, StrongInt) = default;
};

using PortNo = StrongInt<struct PortNoTag, std::uint32_t>;    // OpenFlow port number, 1..0xff00, or reserved below
using DpPort = StrongInt<struct DpPortTag, std::uint32_t>;    // datapath port: index in the `ports` map; 0 is none
using Ifindex = StrongInt<struct IfindexTag, std::uint32_t>;  // of the kernel
using QueueId = StrongInt<struct QueueIdTag, std::uint32_t>;  // of an interface
using VlanId = StrongInt<struct VlanIdTag, std::uint16_t>;    // 0..4095; 0: untagged
using BridgeId = StrongInt<struct BridgeIdTag, std::uint32_t>;

// Reserved OpenFlow port numbers (OpenFlow 1.3.5 section A.2.1).
inline constexpr PortNo kPortMax{0xffffff00};
inline constexpr PortNo kPortUnset{0xfffffff7};  // actset_output where the action set has no output (OpenFlow 1.5)
inline constexpr PortNo kPortInPort{0xfffffff8};
inline constexpr PortNo kPortTable{0xfffffff9};
inline constexpr PortNo kPortNormal{0xfffffffa};
inline constexpr PortNo kPortFlood{0xfffffffb};
inline constexpr PortNo kPortAll{0xfffffffc};
inline constexpr PortNo kPortController{0xfffffffd};
inline constexpr PortNo kPortLocal{0xfffffffe};
inline constexpr PortNo kPortNone{0xffffffff};

// An Ethernet address, in the order of its bytes on the wire.
struct MacAddr {
  std::array<std::uint8_t, 6> bytes{};
  constexpr MacAddr() = default;
  constexpr explicit MacAddr(std::array<std::uint8_t, 6> b) : bytes{b} {}
  static MacAddr from_wire(const void* at) {
    MacAddr mac;
    std::memcpy(mac.bytes.data(), at, mac.bytes.size());
    return mac;
  }
  // The address as a number, first byte most significant.
  [[nodiscard]] constexpr std::uint64_t number() const {
    std::uint64_t n = 0;
    for (auto b : bytes) n = n << 8 | b;
    return n;
  }
  static constexpr MacAddr from_number(std::uint64_t n) {
    MacAddr mac;
    for (std::size_t i = 0; i < 6; ++i) mac.bytes[i] = static_cast<std::uint8_t>(n >> (40 - 8 * i));
    return mac;
  }
  [[nodiscard]] constexpr bool is_multicast() const { return (bytes[0] & 1) != 0; }
  friend constexpr auto operator<=>(const MacAddr&, const MacAddr&) = default;
};

}  // namespace shunt

template <typename Tag, typename Rep>
struct std::hash<shunt::StrongInt<Tag, Rep>> {
  std::size_t operator()(shunt::StrongInt<Tag, Rep> v) const noexcept { return std::hash<Rep>{}(v.value); }
};
