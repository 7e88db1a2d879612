// SPDX-License-Identifier: Apache-2.0
// Frames for tests, in the terms of headers: packet().eth(kA, kB).vlan(10).ipv4("10.0.0.1", "10.0.0.2").tcp(1,
// 2).payload(100).build().
//
// Headers are added from the outside in. Lengths, EtherTypes, protocols and checksums follow from what comes behind and
// are right, unless a call says otherwise. A setting (ttl(), flags(), ...) goes to the header added last that has it.
// Throws std::invalid_argument on an address it cannot read, and std::logic_error on a setting without its header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "user/base/strong_types.h"

namespace shunt::test {

using Bytes = std::vector<std::byte>;

// A MAC address: MacAddr or "02:00:00:00:00:01".
struct Mac {
  MacAddr address;
  Mac(MacAddr mac) : address{mac} {}  // NOLINT(google-explicit-constructor): either form is read the same
  Mac(const char* text);              // NOLINT(google-explicit-constructor)
};

inline constexpr MacAddr kBroadcast = MacAddr::from_number(0xffffffffffff);

class PacketBuilder {
 public:
  // Ethernet and what may stand before IP.
  PacketBuilder& eth(Mac src, Mac dst);
  PacketBuilder& eth_type(std::uint16_t type);  // of the Ethernet header or tag added last, instead of what follows
  PacketBuilder& vlan(std::uint16_t vid, std::uint16_t tpid = 0x8100, std::uint8_t pcp = 0, bool dei = false);
  PacketBuilder& llc(std::uint8_t dsap, std::uint8_t ssap, std::uint8_t control);  // 802.3: the type becomes a length
  PacketBuilder& snap(std::uint32_t org = 0);                                      // 802.3 with LLC and SNAP
  PacketBuilder& mpls(std::uint32_t label, std::uint8_t tc = 0, std::uint8_t ttl = 64);  // bottom bit: on the last one

  // ARP. Request and reply take the hardware addresses from the Ethernet header.
  PacketBuilder& arp(std::uint16_t op, Mac sha, const char* spa, Mac tha, const char* tpa);
  PacketBuilder& arp_request(const char* spa = "10.0.0.1", const char* tpa = "10.0.0.2");
  PacketBuilder& arp_reply(const char* spa = "10.0.0.2", const char* tpa = "10.0.0.1");

  // IP. ttl, tos, proto, length and fragment serve both versions (fragment: an extension header in IPv6).
  PacketBuilder& ipv4(const char* src, const char* dst);
  PacketBuilder& ipv6(const char* src, const char* dst);
  PacketBuilder& ttl(std::uint8_t ttl);
  PacketBuilder& tos(std::uint8_t tos);
  PacketBuilder& label(std::uint32_t label);
  PacketBuilder& proto(std::uint8_t proto);       // of the IP or extension header added last, instead of what follows
  PacketBuilder& length(std::uint16_t length);    // IPv4's total, IPv6's payload length, instead of the right one
  PacketBuilder& header_words(std::uint8_t ihl);  // IPv4's header length field, instead of the right one
  PacketBuilder& ip_options(std::size_t size);    // IPv4: no-operations; a multiple of 4, at most 40
  PacketBuilder& fragment(std::uint16_t offset, bool more);  // offset in 8 bytes
  PacketBuilder& hop_by_hop(std::size_t size = 8);
  PacketBuilder& dst_options(std::size_t size = 8);
  PacketBuilder& routing(const std::vector<const char*>& addresses, std::uint8_t segments_left);
  PacketBuilder& authentication(std::size_t size = 24);  // AH (RFC 4302); a multiple of 8

  // L4.
  PacketBuilder& tcp(std::uint16_t src, std::uint16_t dst);
  PacketBuilder& flags(std::uint16_t flags);  // TCP, 12 bits; else ACK
  PacketBuilder& udp(std::uint16_t src, std::uint16_t dst);
  PacketBuilder& sctp(std::uint16_t src, std::uint16_t dst);
  PacketBuilder& icmp(std::uint8_t type, std::uint8_t code);
  PacketBuilder& icmp6(std::uint8_t type, std::uint8_t code);
  PacketBuilder& igmp(std::uint8_t type, std::uint8_t code);
  PacketBuilder& nd_solicit(const char* target);
  PacketBuilder& nd_advert(const char* target);
  PacketBuilder& nd_option(std::uint8_t type, Mac address);  // 1: source, 2: target link-layer address
  PacketBuilder& nd_option(std::uint8_t type, std::uint8_t length,
                           std::size_t size);  // `length` in 8 bytes, as it says
  PacketBuilder& no_checksum();                // UDP over IPv4: 0
  PacketBuilder& partial_checksum();           // as a local stack leaves it to the card; SCTP: 0
  PacketBuilder& bad_checksum();               // L4: off by one bit

  PacketBuilder& payload(std::size_t size);  // bytes that count up
  PacketBuilder& payload(std::string_view text);
  PacketBuilder& pad(std::size_t size = 60);  // zeros behind it all, outside IP's length
  PacketBuilder& truncate(std::size_t size);  // what the frame is cut to, last

  [[nodiscard]] Bytes build() const;

 private:
  enum class Kind {
    kEth,
    kVlan,
    kLlc,
    kMpls,
    kArp,
    kIpv4,
    kIpv6,
    kExt,
    kTcp,
    kUdp,
    kSctp,
    kIcmp,
    kIcmp6,
    kIgmp,
    kPayload
  };
  struct Layer {
    Kind kind;
    std::vector<std::uint8_t> bytes;
    std::uint8_t proto = 0;               // kExt: its own number
    std::optional<std::uint16_t> next;    // EtherType or protocol, where a call said it
    std::optional<std::uint16_t> length;  // where a call said it
    std::vector<std::uint8_t> final_dst;  // kExt: routing's last address
    enum class Checksum { kRight, kNone, kPartial, kBad } checksum = Checksum::kRight;
  };

  Layer& add(Kind kind, std::vector<std::uint8_t> bytes);
  Layer& last(std::initializer_list<Kind> kinds);
  PacketBuilder& extension(std::uint8_t proto, std::vector<std::uint8_t> bytes);

  // build()'s steps. `tail` is what lies behind the layer, already right.
  void finish_type(Layer& layer, std::size_t index, std::size_t tail_size) const;
  void finish_proto(Layer& layer, std::size_t index, std::size_t tail_size) const;
  void finish_l4(Layer& layer, std::size_t index, const std::vector<std::uint8_t>& tail) const;
  [[nodiscard]] std::vector<std::uint8_t> pseudo_header(std::size_t index, std::uint8_t proto, std::size_t size) const;

  std::vector<Layer> layers_;
  std::size_t pad_ = 0;
  std::optional<std::size_t> truncate_;
};

inline PacketBuilder packet() { return {}; }

}  // namespace shunt::test
