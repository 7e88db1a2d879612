// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/port_codec.h"

#include "user/openflow/codec/message.h"
#include "user/openflow/codec/port_number.h"

namespace shunt::openflow {
namespace {

constexpr std::size_t kNameSize = 16;
constexpr std::uint16_t kEthernetProperty = 0;
constexpr std::uint64_t kNotCounted = ~std::uint64_t{0};

// ofp_port_config; the three spanning tree bits and NO_FLOOD are OpenFlow 1.0's.
enum ConfigBit : std::uint32_t {
  kPortDown = 1 << 0,
  kNoStp = 1 << 1,
  kNoReceive = 1 << 2,
  kNoReceiveStp = 1 << 3,
  kNoFlood = 1 << 4,
  kNoForward = 1 << 5,
  kNoPacketIn = 1 << 6,
};
enum StateBit : std::uint32_t { kLinkDown = 1 << 0, kLive = 1 << 2 };
constexpr std::uint32_t kConfig13 = kPortDown | kNoReceive | kNoForward | kNoPacketIn;
constexpr std::uint32_t kConfig10 = kConfig13 | kNoFlood | kNoStp | kNoReceiveStp;

std::uint32_t config_of(const PortDescription& port, Version version) {
  std::uint32_t config = 0;
  if (port.admin_down) config |= kPortDown;
  if (!port.receive) config |= kNoReceive;
  if (!port.forward) config |= kNoForward;
  if (!port.packet_in) config |= kNoPacketIn;
  if (!port.flood && version == Version::k10) config |= kNoFlood;
  return config;
}

std::uint32_t state_of(const PortDescription& port, Version version) {
  if (port.link_down) return kLinkDown;
  if (version == Version::k10) return 0;
  return kLive;
}

// ofp_port_features: full duplex, by speed.
std::uint32_t features_of(const PortDescription& port, Version version) {
  struct Speed {
    std::uint64_t kbps;
    std::uint32_t bit;
    bool since_13;
  };
  constexpr auto kSpeeds = std::to_array<Speed>({{10'000, 1 << 1, false},
                                                 {100'000, 1 << 3, false},
                                                 {1'000'000, 1 << 5, false},
                                                 {10'000'000, 1 << 6, false},
                                                 {40'000'000, 1 << 7, true},
                                                 {100'000'000, 1 << 8, true},
                                                 {1'000'000'000, 1 << 9, true}});
  for (const Speed& speed : kSpeeds)
    if (speed.kbps == port.speed_kbps && (!speed.since_13 || version >= Version::k13)) return speed.bit;
  return 0;
}

std::uint32_t speed_of(const PortDescription& port) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(port.speed_kbps, 0xffffffff));
}

void put_ethernet(Writer& out, const PortDescription& port, Version version) {
  out.u32(features_of(port, version));
  out.zeros(12);  // advertised, supported, of the peer: not known
  if (version == Version::k10) return;
  out.u32(speed_of(port));
  out.u32(speed_of(port));
}

}  // namespace

void encode_port(Writer& out, const PortDescription& port, Version version) {
  const std::size_t start = out.size();
  write_port(out, port.number, version);
  const bool with_length = version >= Version::k14;
  if (version >= Version::k13) out.zeros(4);  // since OpenFlow 1.4 the length is in here
  out.put(port.mac.bytes);
  if (version >= Version::k13) out.zeros(2);
  out.text(port.name, kNameSize);
  out.u32(config_of(port, version));
  out.u32(state_of(port, version));
  if (!with_length) return put_ethernet(out, port, version);
  {
    const Tlv tlv{out, kEthernetProperty};
    out.zeros(4);
    put_ethernet(out, port, version);
  }
  out.patch16(start + 4, out.size() - start);
}

void encode_port_status(Writer& out, PortChange change, const PortDescription& port, Version version) {
  const MessageScope scope{out, version, MessageKind::kPortStatus, 0};
  out.u8(static_cast<std::uint8_t>(change));
  out.zeros(7);
  encode_port(out, port, version);
}

PortMod decode_port_mod(Bytes body, Version version) {
  Reader in{body};
  PortMod mod;
  mod.number = read_port(in, version);
  if (version >= Version::k13) in.skip(4);
  mod.mac = MacAddr::from_wire(in.take(6).data());
  if (version >= Version::k13) in.skip(2);
  const std::uint32_t config = in.u32(), mask = in.u32();
  const std::uint32_t known = version == Version::k10 ? kConfig10 : kConfig13;
  if (((config & mask) & ~known) != 0)
    throw OfError(OfErrorCode::kPortModBadConfig, "port configuration {:#x} has unknown bits", config & mask);
  const auto bit = [&](std::uint32_t which, bool means) {
    return (mask & which) == 0 ? std::nullopt : std::optional{((config & which) != 0) == means};
  };
  mod.admin_down = bit(kPortDown, true);
  mod.receive = bit(kNoReceive, false);
  mod.forward = bit(kNoForward, false);
  mod.packet_in = bit(kNoPacketIn, false);
  if (version == Version::k10) mod.flood = bit(kNoFlood, false);
  std::uint32_t advertise = 0;
  if (version < Version::k14) {
    advertise = in.u32();
  } else {
    for_each_property(in, [&](std::uint16_t type, Reader& value) {
      if (type != kEthernetProperty) throw OfError(OfErrorCode::kBadProperty, "a port has no property {}", type);
      advertise = value.u32();
    });
  }
  if (advertise != 0)
    throw OfError(OfErrorCode::kPortModBadAdvertise, "what an interface advertises is Linux's: ethtool changes it");
  return mod;
}

std::optional<PortNo> decode_port_filter(Bytes body, Version version) {
  Reader in{body};
  const PortNo port = read_port(in, version);
  return port == kPortNone ? std::nullopt : std::optional{port};
}

// Counters that Linux keeps for the interface and Shunt does not are sent as not counted: all ones.
void encode_port_stats(Writer& out, const PortFigures& figures, Version version) {
  const std::size_t start = out.size();
  const auto traffic = [&] {
    for (const std::uint64_t value : {figures.rx_packets, figures.tx_packets, figures.rx_bytes, figures.tx_bytes,
                                      figures.rx_dropped, kNotCounted, kNotCounted, kNotCounted})
      out.u64(value);
  };
  const auto ethernet_errors = [&] {
    for (int i = 0; i < 4; ++i) out.u64(kNotCounted);
  };
  if (version >= Version::k14) {
    out.u16(0);
    out.zeros(2);
    out.u32(figures.number.value);
    put_duration(out, figures.age);
    traffic();
    {
      const Tlv tlv{out, kEthernetProperty};
      out.zeros(4);
      ethernet_errors();
    }
    out.patch16(start, out.size() - start);
    return;
  }
  write_port(out, figures.number, version);
  out.zeros(version == Version::k10 ? 6 : 4);
  traffic();
  ethernet_errors();
  if (version >= Version::k13) put_duration(out, figures.age);
}

QueueFilter decode_queue_filter(Bytes body, Version version) {
  constexpr std::uint32_t kAllQueues = 0xffffffff;
  Reader in{body};
  QueueFilter filter;
  const PortNo port = read_port(in, version);
  if (version == Version::k10) in.skip(2);
  // OpenFlow 1.0 says "all ports" by OFPP_ALL.
  if (port != kPortNone && !(version == Version::k10 && port == kPortAll)) filter.port = port;
  if (const std::uint32_t queue = in.u32(); queue != kAllQueues) filter.queue = queue;
  return filter;
}

}  // namespace shunt::openflow
