// SPDX-License-Identifier: Apache-2.0
// Frames out of a fuzzer's input: a good frame of some kind, damaged as the input says, or the input's bytes
// themselves.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "tests/support/packet_builder.h"

namespace shunt::test {

// Takes numbers off the front of the input; zeros once it is used up.
class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size) : rest_{data, size} {}
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const std::uint8_t value = rest_[0];
    rest_ = rest_.subspan(1);
    return value;
  }
  std::uint16_t word() {
    const std::uint8_t high = byte();
    return static_cast<std::uint16_t>(high << 8 | byte());
  }
  [[nodiscard]] std::span<const std::uint8_t> rest() const { return rest_; }
  [[nodiscard]] bool empty() const { return rest_.empty(); }

 private:
  std::span<const std::uint8_t> rest_;
};

inline const std::vector<Bytes>& good_frames() {
  static const std::vector<Bytes> frames = [] {
    const MacAddr a = MacAddr::from_number(0x020000000001), b = MacAddr::from_number(0x020000000002);
    const auto eth = [&] { return packet().eth(a, b); };
    const auto v4 = [&] { return eth().ipv4("10.0.0.1", "10.0.0.2"); };
    const auto v6 = [&] { return eth().ipv6("2001:db8::1", "2001:db8::2"); };
    const PacketBuilder builders[] = {
        v4().tcp(1, 2).payload(6),
        v4().udp(1, 2).payload(5).pad(),
        v4().udp(1, 2).no_checksum(),
        v4().sctp(1, 2).payload(9),
        v4().icmp(8, 0).payload(8),
        v4().igmp(0x11, 0),
        v4().ip_options(12).tcp(1, 2).payload(3),
        v4().fragment(0, true).udp(1, 2).payload(16),
        v4().fragment(0, true).sctp(1, 2).payload(16),
        v4().fragment(5, false).proto(17).payload(16),
        v6().tcp(1, 2).payload(7),
        v6().udp(1, 2).payload(4),
        v6().sctp(1, 2).payload(4),
        v6().icmp6(128, 0).payload(8),
        v6().nd_solicit("fe80::2").nd_option(1, a),
        v6().nd_advert("fe80::2").nd_option(14, 1, 8).nd_option(2, b).nd_option(1, a),
        v6().hop_by_hop().dst_options(16).authentication().tcp(1, 2),
        v6().routing({"2001:db8::9"}, 1).udp(1, 2).payload(2),
        v6().fragment(0, true).tcp(1, 2).payload(4),
        v6().fragment(3, true).proto(6).payload(16),
        eth().vlan(10).ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2),
        eth().vlan(10, 0x88a8).vlan(20).ipv6("2001:db8::1", "2001:db8::2").udp(1, 2),
        eth().vlan(1).vlan(2).vlan(3).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2),
        eth().arp_request(),
        eth().vlan(7).arp_reply(),
        eth().mpls(16).mpls(17).payload(20),
        eth().mpls(1).mpls(2).mpls(3).mpls(4).payload(20),
        eth().llc(0x42, 0x42, 3).payload(40),
        eth().snap().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2),
        eth().eth_type(0x1234).payload(30),
    };
    std::vector<Bytes> all;
    for (const PacketBuilder& builder : builders) all.push_back(builder.build());
    return all;
  }();
  return frames;
}

// Takes a frame off the input. Its first byte picks a good frame, the second the number of damages (none, mostly, so
// that what follows is reached); 255 takes the bytes as they are.
inline Bytes fuzz_frame(FuzzInput& input) {
  const std::vector<Bytes>& good = good_frames();
  const std::uint8_t kind = input.byte();
  if (kind == 0xff) {
    const auto rest = input.rest();
    Bytes frame(rest.size());
    std::transform(rest.begin(), rest.end(), frame.begin(), [](std::uint8_t b) { return std::byte{b}; });
    return frame;
  }
  Bytes frame = good[kind % good.size()];
  const std::uint8_t damages = input.byte();
  for (unsigned i = 0; i < damages % 8u && damages >= 0x80; ++i) {
    const std::uint8_t at = input.byte();
    if (at == 0xff)
      frame.resize(std::max<std::size_t>(14, frame.size() - std::min<std::size_t>(frame.size(), input.byte())));
    if (at == 0xfe) frame.resize(frame.size() + input.byte() % 64);
    if (!frame.empty()) frame[at % frame.size()] = std::byte{input.byte()};
  }
  return frame;
}

// A frame in a buffer of its own, exactly as long as it is with its room, so that a sanitizer sees each byte too far.
class ExactBuffer {
 public:
  explicit ExactBuffer(std::span<const std::byte> frame, std::size_t headroom = 0, std::size_t tailroom = 0)
      : bytes_{std::make_unique<std::uint8_t[]>(headroom + frame.size() + tailroom)} {
    std::transform(frame.begin(), frame.end(), bytes_.get() + headroom,
                   [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  }
  std::uint8_t* get() { return bytes_.get(); }

 private:
  std::unique_ptr<std::uint8_t[]> bytes_;
};

}  // namespace shunt::test
