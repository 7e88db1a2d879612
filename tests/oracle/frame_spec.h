// SPDX-License-Identifier: Apache-2.0
// A frame in numbers: drawn from few values, so that rules made of one frame meet others. A rule's match is some of a
// spec's fields, under masks.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/support/packet_builder.h"

namespace shunt::test {

// Draws with words.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_{seed} {}
  std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
  bool one_in(unsigned chances) { return below(chances) == 0; }
  bool percent(unsigned chance) { return below(100) < chance; }
  std::uint64_t bits() { return engine_(); }
  template <typename T>
  const T& of(const std::vector<T>& values) {
    return values[below(values.size())];
  }
  template <typename T, std::size_t N>
  const T& of(const std::array<T, N>& values) {
    return values[below(N)];
  }

 private:
  std::mt19937_64 engine_;
};

using Ipv6 = std::array<std::uint8_t, 16>;

struct FrameSpec {
  enum class L3 : std::uint8_t { kOther, kArp, kIpv4, kIpv6, kMpls, kLlc };
  enum class L4 : std::uint8_t { kNone, kTcp, kUdp, kSctp, kIcmp, kSolicit, kAdvert, kIgmp };
  struct Tag {
    std::uint16_t tpid, vid;
    std::uint8_t pcp;
  };
  struct Label {
    std::uint32_t label;
    std::uint8_t tc, ttl;
  };
  std::uint32_t in_port = 1;
  std::uint64_t src = 0, dst = 0;
  std::vector<Tag> tags;
  L3 l3 = L3::kOther;
  L4 l4 = L4::kNone;
  std::uint16_t eth_type = 0x88b5;  // of kOther
  std::vector<Label> labels;        // of kMpls, the outer one first
  bool ip_below_labels = false;
  std::uint32_t src4 = 0, dst4 = 0;  // IPv4; ARP's spa and tpa
  Ipv6 src6{}, dst6{}, target{};
  std::uint32_t flow_label = 0;
  std::uint8_t tos = 0, ttl = 64;
  std::uint16_t fragment_offset = 0;  // in 8 bytes
  bool more_fragments = false;
  std::vector<std::uint8_t> extensions;  // of IPv6: 0 hop-by-hop, 60 destination options, 43 routing, 51 AH
  bool options = false;                  // of IPv4
  std::uint16_t tp_src = 0, tp_dst = 0, tcp_flags = 0x010;
  std::uint8_t icmp_type = 8, icmp_code = 0;
  bool udp_checksum = true;
  std::uint16_t arp_op = 1;
  std::uint64_t sha = 0, tha = 0;
  std::optional<std::uint64_t> nd_option;
  std::uint16_t payload = 40;

  [[nodiscard]] bool is_ip() const { return l3 == L3::kIpv4 || l3 == L3::kIpv6; }
  [[nodiscard]] bool is_fragment() const { return fragment_offset != 0 || more_fragments; }
};

// `ports`: the numbers that frames come in by.
FrameSpec random_spec(Random& random, const std::vector<std::uint32_t>& ports);
// Like `spec`, but for one or two fields.
FrameSpec nearby(Random& random, FrameSpec spec, const std::vector<std::uint32_t>& ports);
Bytes build(const FrameSpec& spec);
// As a switch may meet it: now and then cut short or with bytes changed.
Bytes damaged(Random& random, Bytes frame);

std::string mac_text(std::uint64_t mac);
std::string ipv4_text(std::uint32_t address);
std::string ipv6_text(const Ipv6& address);

// The values that fields are drawn from.
std::uint64_t random_mac(Random& random);
std::uint32_t random_ipv4(Random& random);
Ipv6 random_ipv6(Random& random);
std::uint16_t random_port(Random& random);
std::uint16_t random_vid(Random& random);
std::uint32_t random_label(Random& random);

}  // namespace shunt::test
