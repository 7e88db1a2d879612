// SPDX-License-Identifier: Apache-2.0
// What a packet must be to have a field: the part of fields.h that looks at packets and matches.
#include "user/flow/fields.h"

namespace shunt {
namespace {

constexpr std::uint16_t kIpv4Type = 0x0800;
constexpr std::uint16_t kIpv6Type = 0x86dd;
constexpr std::uint16_t kArpType = 0x0806;
constexpr std::uint16_t kRarpType = 0x8035;
constexpr std::uint16_t kMplsType = 0x8847;
constexpr std::uint16_t kMplsMulticastType = 0x8848;
constexpr std::uint16_t kPbbType = 0x88e7;

constexpr std::uint8_t kTcpProtocol = 6;
constexpr std::uint8_t kUdpProtocol = 17;
constexpr std::uint8_t kSctpProtocol = 132;
constexpr std::uint8_t kIcmpProtocol = 1;
constexpr std::uint8_t kIcmpv6Protocol = 58;

constexpr std::uint8_t kNeighbourSolicitation = 135;
constexpr std::uint8_t kNeighbourAdvertisement = 136;

constexpr std::uint32_t kMplsBottomOfStack = 0x100;

bool is_ip(std::uint16_t type) { return type == kIpv4Type || type == kIpv6Type; }
bool is_mpls(std::uint16_t type) { return type == kMplsType || type == kMplsMulticastType; }

bool has_protocol(const FlowKey& key, std::uint8_t protocol) {
  return is_ip(key.eth_type.host()) && key.nw_proto == protocol && (key.nw_frag & SHUNT_FRAG_LATER) == 0;
}
bool is_icmpv6(const FlowKey& key) { return key.eth_type.host() == kIpv6Type && has_protocol(key, kIcmpv6Protocol); }
bool is_nd(const FlowKey& key, std::uint8_t type) {
  return is_icmpv6(key) && key.tp_src.host() == type && key.tp_dst.host() == 0;
}
bool has_tag(const FlowKey& key, int tag) { return (key.vlan[tag].tci.host() & SHUNT_VLAN_PRESENT) != 0; }
bool is_bottom(const FlowKey& key, int entry) { return (key.mpls_lse[entry].host() & kMplsBottomOfStack) != 0; }

}  // namespace

bool holds(Prerequisite prerequisite, const FlowKey& packet) noexcept {
  const std::uint16_t type = packet.eth_type.host();
  switch (prerequisite) {
    case Prerequisite::kNone:
      return true;
    case Prerequisite::kVlan:
      return has_tag(packet, 0);
    case Prerequisite::kInnerVlan:
      return has_tag(packet, 1);
    case Prerequisite::kIp:
      return is_ip(type);
    case Prerequisite::kIpv4:
      return type == kIpv4Type;
    case Prerequisite::kIpv6:
      return type == kIpv6Type;
    case Prerequisite::kArp:
      return type == kArpType || type == kRarpType;
    case Prerequisite::kMpls:
      return is_mpls(type);
    case Prerequisite::kMpls2:
      return is_mpls(type) && !is_bottom(packet, 0);
    case Prerequisite::kMpls3:
      return is_mpls(type) && !is_bottom(packet, 0) && !is_bottom(packet, 1);
    case Prerequisite::kTransport:
      return has_protocol(packet, kTcpProtocol) || has_protocol(packet, kUdpProtocol) ||
             has_protocol(packet, kSctpProtocol);
    case Prerequisite::kTcp:
      return has_protocol(packet, kTcpProtocol);
    case Prerequisite::kUdp:
      return has_protocol(packet, kUdpProtocol);
    case Prerequisite::kSctp:
      return has_protocol(packet, kSctpProtocol);
    case Prerequisite::kAnyIcmp:
      return (type == kIpv4Type && has_protocol(packet, kIcmpProtocol)) || is_icmpv6(packet);
    case Prerequisite::kIcmpv6:
      return is_icmpv6(packet);
    case Prerequisite::kNd:
      return is_nd(packet, kNeighbourSolicitation) || is_nd(packet, kNeighbourAdvertisement);
    case Prerequisite::kNdSolicit:
      return is_nd(packet, kNeighbourSolicitation);
    case Prerequisite::kNdAdvert:
      return is_nd(packet, kNeighbourAdvertisement);
    case Prerequisite::kPbb:
      return type == kPbbType;
  }
  return false;
}

FlowMask prerequisite_mask(Prerequisite prerequisite) noexcept {
  FlowMask mask{};
  switch (prerequisite) {
    case Prerequisite::kNone:
      break;
    case Prerequisite::kVlan:
      mask.vlan[0].tci = shunt_be16{SHUNT_VLAN_PRESENT};
      break;
    case Prerequisite::kInnerVlan:
      mask.vlan[1].tci = shunt_be16{SHUNT_VLAN_PRESENT};
      break;
    case Prerequisite::kMpls3:
      mask.mpls_lse[1] = shunt_be32{kMplsBottomOfStack};
      [[fallthrough]];
    case Prerequisite::kMpls2:
      mask.mpls_lse[0] = shunt_be32{kMplsBottomOfStack};
      [[fallthrough]];
    case Prerequisite::kIp:
    case Prerequisite::kIpv4:
    case Prerequisite::kIpv6:
    case Prerequisite::kArp:
    case Prerequisite::kMpls:
    case Prerequisite::kPbb:
      mask.eth_type = shunt_be16{0xffff};
      break;
    case Prerequisite::kNd:
    case Prerequisite::kNdSolicit:
    case Prerequisite::kNdAdvert:
      mask.tp_src = shunt_be16{0xffff};
      mask.tp_dst = shunt_be16{0xffff};
      [[fallthrough]];
    case Prerequisite::kTransport:
    case Prerequisite::kTcp:
    case Prerequisite::kUdp:
    case Prerequisite::kSctp:
    case Prerequisite::kAnyIcmp:
    case Prerequisite::kIcmpv6:
      mask.eth_type = shunt_be16{0xffff};
      mask.nw_proto = 0xff;
      mask.nw_frag = SHUNT_FRAG_LATER;
      break;
  }
  return mask;
}

bool implied_by(Prerequisite prerequisite, const Match& match) noexcept {
  FlowMask needed = prerequisite_mask(prerequisite);
  needed.nw_frag = 0;             // unsaid: thought of as no later fragment
  needed.tp_dst = shunt_be16{0};  // unsaid: an ND message's code is 0
  needed.tp_src = shunt_be16{static_cast<std::uint16_t>(needed.tp_src.host() & 0xff)};  // ICMP types are one byte
  return is_subset(needed, flow_part(match.mask)) && holds(prerequisite, match.value);
}

std::string_view describe(Prerequisite prerequisite) noexcept {
  switch (prerequisite) {
    case Prerequisite::kNone:
      return "nothing";
    case Prerequisite::kVlan:
      return "a VLAN tag (dl_vlan, or vlan_tci=0x1000/0x1000)";
    case Prerequisite::kInnerVlan:
      return "a second VLAN tag (vlan_tci1=0x1000/0x1000)";
    case Prerequisite::kIp:
      return "ip or ipv6";
    case Prerequisite::kIpv4:
      return "ip";
    case Prerequisite::kIpv6:
      return "ipv6";
    case Prerequisite::kArp:
      return "arp or rarp";
    case Prerequisite::kMpls:
      return "mpls or mplsm";
    case Prerequisite::kMpls2:
      return "mpls,mpls_bos=0";
    case Prerequisite::kMpls3:
      return "mpls,mpls_bos=0 and an mpls_lse1 without the bottom-of-stack bit";
    case Prerequisite::kTransport:
      return "tcp, udp or sctp (tcp6, udp6, sctp6 for IPv6)";
    case Prerequisite::kTcp:
      return "tcp or tcp6";
    case Prerequisite::kUdp:
      return "udp or udp6";
    case Prerequisite::kSctp:
      return "sctp or sctp6";
    case Prerequisite::kAnyIcmp:
      return "icmp or icmp6";
    case Prerequisite::kIcmpv6:
      return "icmp6";
    case Prerequisite::kNd:
      return "icmp6,icmp_type=135 or icmp6,icmp_type=136";
    case Prerequisite::kNdSolicit:
      return "icmp6,icmp_type=135";
    case Prerequisite::kNdAdvert:
      return "icmp6,icmp_type=136";
    case Prerequisite::kPbb:
      return "pbb (dl_type=0x88e7)";
  }
  return "";
}

}  // namespace shunt
