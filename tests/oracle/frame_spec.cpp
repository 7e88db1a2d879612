// SPDX-License-Identifier: Apache-2.0
#include "tests/oracle/frame_spec.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

namespace shunt::test {
namespace {

using L3 = FrameSpec::L3;
using L4 = FrameSpec::L4;

std::uint8_t random_tos(Random& random) {
  static constexpr std::array<std::uint8_t, 5> kValues{0, 0, 0xb8, 0x03, 0x28};
  return random.of(kValues);
}
std::uint8_t random_ttl(Random& random) {
  static constexpr std::array<std::uint8_t, 6> kValues{64, 64, 64, 2, 1, 0};
  return random.of(kValues);
}
std::uint16_t random_flags(Random& random) {
  static constexpr std::array<std::uint16_t, 5> kValues{0x010, 0x002, 0x012, 0x011, 0x1ff};
  return random.of(kValues);
}

FrameSpec::Tag random_tag(Random& random) {
  return {static_cast<std::uint16_t>(random.one_in(5) ? 0x88a8 : 0x8100), random_vid(random),
          static_cast<std::uint8_t>(random.one_in(2) ? 0 : random.below(8))};
}

void random_tags(Random& random, FrameSpec& spec) {
  spec.tags.clear();
  if (!random.percent(40)) return;
  spec.tags.push_back(random_tag(random));
  if (random.percent(25)) spec.tags.push_back(random_tag(random));
}

void random_l4(Random& random, FrameSpec& spec) {
  static constexpr std::array<L4, 8> kOfIpv4{L4::kTcp,  L4::kTcp,  L4::kUdp,  L4::kUdp,
                                             L4::kSctp, L4::kIcmp, L4::kNone, L4::kIgmp};
  static constexpr std::array<L4, 8> kOfIpv6{L4::kTcp,  L4::kTcp,     L4::kUdp,    L4::kUdp,
                                             L4::kIcmp, L4::kSolicit, L4::kAdvert, L4::kNone};
  spec.l4 = random.of(spec.l3 == L3::kIpv4 ? kOfIpv4 : kOfIpv6);
  spec.tp_src = random_port(random);
  spec.tp_dst = random_port(random);
  spec.tcp_flags = random_flags(random);
  spec.icmp_type = static_cast<std::uint8_t>(spec.l3 == L3::kIpv4 ? random.below(2) * 8 : 128 + random.below(2));
  spec.icmp_code = static_cast<std::uint8_t>(random.below(2));
  spec.udp_checksum = spec.l3 == L3::kIpv6 || !random.one_in(4);
  spec.target = random_ipv6(random);
  spec.nd_option.reset();
  if (!random.one_in(3)) spec.nd_option = random_mac(random);
}

void random_l3(Random& random, FrameSpec& spec) {
  static constexpr std::array<L3, 16> kKinds{L3::kIpv4, L3::kIpv4, L3::kIpv4, L3::kIpv4, L3::kIpv4, L3::kIpv4,
                                             L3::kIpv6, L3::kIpv6, L3::kIpv6, L3::kIpv6, L3::kArp,  L3::kArp,
                                             L3::kMpls, L3::kMpls, L3::kLlc,  L3::kOther};
  spec.l3 = random.of(kKinds);
  spec.l4 = L4::kNone;
  spec.src4 = random_ipv4(random);
  spec.dst4 = random_ipv4(random);
  spec.src6 = random_ipv6(random);
  spec.dst6 = random_ipv6(random);
  spec.sha = random_mac(random);
  spec.tha = random_mac(random);
  spec.arp_op = static_cast<std::uint16_t>(1 + random.below(2));
  spec.tos = random_tos(random);
  spec.ttl = random_ttl(random);
  spec.flow_label = static_cast<std::uint32_t>(random.below(3) * 0x12345);
  spec.fragment_offset = 0;
  spec.more_fragments = false;
  spec.extensions.clear();
  spec.options = false;
  spec.labels.clear();
  if (spec.l3 == L3::kMpls) {
    for (auto left = 1 + random.below(3); left > 0; --left)
      spec.labels.push_back({random_label(random), static_cast<std::uint8_t>(random.below(3)), random_ttl(random)});
    spec.ip_below_labels = random.one_in(2);
  }
  if (spec.is_ip()) {
    random_l4(random, spec);
    if (random.one_in(10)) {
      spec.fragment_offset = static_cast<std::uint16_t>(random.below(2) * 8);
      spec.more_fragments = random.one_in(2) || spec.fragment_offset == 0;
    }
    spec.options = random.one_in(12);
    static constexpr std::array<std::uint8_t, 4> kExtensions{0, 60, 43, 51};
    if (spec.l3 == L3::kIpv6 && random.one_in(6))
      for (auto left = 1 + random.below(2); left > 0; --left) spec.extensions.push_back(random.of(kExtensions));
  }
  static constexpr std::array<std::uint16_t, 5> kPayloads{0, 1, 18, 40, 300};
  spec.payload = random.of(kPayloads);
}

void add_l4(const FrameSpec& spec, PacketBuilder& builder) {
  switch (spec.l4) {
    case L4::kTcp:
      builder.tcp(spec.tp_src, spec.tp_dst).flags(spec.tcp_flags);
      break;
    case L4::kUdp:
      builder.udp(spec.tp_src, spec.tp_dst);
      if (!spec.udp_checksum) builder.no_checksum();
      break;
    case L4::kSctp:
      builder.sctp(spec.tp_src, spec.tp_dst);
      break;
    case L4::kIcmp:
      if (spec.l3 == L3::kIpv6)
        builder.icmp6(spec.icmp_type, spec.icmp_code);
      else
        builder.icmp(spec.icmp_type, spec.icmp_code);
      break;
    case L4::kSolicit:
    case L4::kAdvert:
      if (spec.l4 == L4::kSolicit)
        builder.nd_solicit(ipv6_text(spec.target).c_str());
      else
        builder.nd_advert(ipv6_text(spec.target).c_str());
      if (spec.nd_option) builder.nd_option(spec.l4 == L4::kSolicit ? 1 : 2, MacAddr::from_number(*spec.nd_option));
      break;
    case L4::kIgmp:
      builder.igmp(0x16, 0);
      break;
    case L4::kNone:
      builder.proto(spec.l3 == L3::kIpv6 ? 59 : 47);
      break;
  }
}

void add_ipv4(const FrameSpec& spec, PacketBuilder& builder) {
  builder.ipv4(ipv4_text(spec.src4).c_str(), ipv4_text(spec.dst4).c_str()).ttl(spec.ttl).tos(spec.tos);
  if (spec.options) builder.ip_options(8);
  if (spec.is_fragment()) builder.fragment(spec.fragment_offset, spec.more_fragments);
  add_l4(spec, builder);
}

void add_ipv6(const FrameSpec& spec, PacketBuilder& builder) {
  builder.ipv6(ipv6_text(spec.src6).c_str(), ipv6_text(spec.dst6).c_str())
      .ttl(spec.ttl)
      .tos(spec.tos)
      .label(spec.flow_label);
  for (const std::uint8_t extension : spec.extensions) {
    if (extension == 0)
      builder.hop_by_hop();
    else if (extension == 60)
      builder.dst_options();
    else if (extension == 43)
      builder.routing({"fd00::7"}, 1);
    else
      builder.authentication();
  }
  if (spec.is_fragment()) builder.fragment(spec.fragment_offset, spec.more_fragments);
  add_l4(spec, builder);
}

}  // namespace

std::uint64_t random_mac(Random& random) {
  static constexpr std::array<std::uint64_t, 9> kMacs{0x020000000001, 0x020000000002, 0x020000000003,
                                                      0x020000000004, 0x020000000104, 0x520000000001,
                                                      0xffffffffffff, 0x01005e000001, 0x0180c2000003};
  return random.of(kMacs);
}

std::uint32_t random_ipv4(Random& random) {
  static constexpr std::array<std::uint32_t, 7> kAddresses{0x0a000001, 0x0a000002, 0x0a000003, 0x0a000101,
                                                           0x0a010001, 0xc0a80001, 0xe0000005};
  return random.of(kAddresses);
}

Ipv6 random_ipv6(Random& random) {
  static constexpr std::array<Ipv6, 5> kAddresses{Ipv6{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
                                                  Ipv6{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2},
                                                  Ipv6{0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
                                                  Ipv6{0x20, 1, 0xd, 0xb8, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9},
                                                  Ipv6{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0xff, 0xfe, 0, 0, 1}};
  return random.of(kAddresses);
}

std::uint16_t random_port(Random& random) {
  static constexpr std::array<std::uint16_t, 6> kPorts{80, 443, 1000, 1001, 0x1234, 53};
  return random.of(kPorts);
}

std::uint16_t random_vid(Random& random) {
  static constexpr std::array<std::uint16_t, 6> kVids{10, 10, 20, 30, 0, 11};
  return random.of(kVids);
}

std::uint32_t random_label(Random& random) {
  static constexpr std::array<std::uint32_t, 4> kLabels{16, 17, 100, 0xfffff};
  return random.of(kLabels);
}

std::string mac_text(std::uint64_t mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac >> 40 & 255, mac >> 32 & 255, mac >> 24 & 255,
                     mac >> 16 & 255, mac >> 8 & 255, mac & 255);
}

std::string ipv4_text(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

std::string ipv6_text(const Ipv6& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  return ::inet_ntop(AF_INET6, address.data(), text.data(), text.size());
}

FrameSpec random_spec(Random& random, const std::vector<std::uint32_t>& ports) {
  FrameSpec spec;
  spec.in_port = random.of(ports);
  // A source is now and then a group address, which no switch may learn.
  do spec.src = random_mac(random);
  while ((spec.src >> 40 & 1) != 0 && !random.one_in(8));
  spec.dst = random_mac(random);
  random_tags(random, spec);
  random_l3(random, spec);
  return spec;
}

FrameSpec nearby(Random& random, FrameSpec spec, const std::vector<std::uint32_t>& ports) {
  for (auto changes = 1 + random.below(2); changes > 0; --changes) {
    switch (random.below(14)) {
      case 0:
        spec.in_port = random.of(ports);
        break;
      case 1:
        spec.src = 0x020000000001 + random.below(4);
        break;
      case 2:
        spec.dst = random_mac(random);
        break;
      case 3:
        random_tags(random, spec);
        break;
      case 4:
        spec.src4 = random_ipv4(random);
        spec.src6 = random_ipv6(random);
        break;
      case 5:
        spec.dst4 = random_ipv4(random);
        spec.dst6 = random_ipv6(random);
        break;
      case 6:
        spec.tos = random_tos(random);
        break;
      case 7:
        spec.ttl = random_ttl(random);
        break;
      case 8:
        spec.tp_src = random_port(random);
        break;
      case 9:
        spec.tp_dst = random_port(random);
        break;
      case 10:
        spec.tcp_flags = random_flags(random);
        spec.icmp_code = static_cast<std::uint8_t>(random.below(2));
        break;
      case 11:
        if (!spec.labels.empty()) spec.labels.front().label = random_label(random);
        break;
      case 12:
        if (!spec.tags.empty()) spec.tags.front().pcp = static_cast<std::uint8_t>(random.below(8));
        break;
      default:
        if (spec.is_ip()) random_l4(random, spec);
    }
  }
  return spec;
}

Bytes build(const FrameSpec& spec) {
  PacketBuilder builder = packet().eth(MacAddr::from_number(spec.src), MacAddr::from_number(spec.dst));
  for (const FrameSpec::Tag& tag : spec.tags) builder.vlan(tag.vid, tag.tpid, tag.pcp);
  switch (spec.l3) {
    case L3::kOther:
      builder.eth_type(spec.eth_type);
      break;
    case L3::kLlc:
      builder.llc(0x42, 0x42, 3);
      break;
    case L3::kArp:
      builder.arp(spec.arp_op, MacAddr::from_number(spec.sha), ipv4_text(spec.src4).c_str(),
                  MacAddr::from_number(spec.tha), ipv4_text(spec.dst4).c_str());
      return builder.pad().build();
    case L3::kMpls:
      for (const FrameSpec::Label& label : spec.labels) builder.mpls(label.label, label.tc, label.ttl);
      if (spec.ip_below_labels)
        builder.ipv4(ipv4_text(spec.src4).c_str(), ipv4_text(spec.dst4).c_str())
            .ttl(spec.ttl)
            .tos(spec.tos)
            .udp(spec.tp_src, spec.tp_dst);
      break;
    case L3::kIpv4:
      add_ipv4(spec, builder);
      break;
    case L3::kIpv6:
      add_ipv6(spec, builder);
      break;
  }
  return builder.payload(std::size_t{spec.payload}).build();
}

Bytes damaged(Random& random, Bytes frame) {
  // At least the tags and a type: less is on no wire.
  if (random.percent(4) && frame.size() > 22)
    frame.resize(22 + random.below(std::min<std::size_t>(frame.size() - 21, 70)));
  if (random.percent(4) && frame.size() > 14)
    frame[14 + random.below(std::min<std::size_t>(frame.size() - 14, 50))] = static_cast<std::byte>(random.bits());
  if (random.one_in(3)) frame.resize(std::max<std::size_t>(frame.size(), 60));
  return frame;
}

}  // namespace shunt::test
