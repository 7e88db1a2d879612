// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/trace_frame.h"

#include <cstring>
#include <span>

#include "bpf/datapath/wire.h"
#include "user/base/strong_types.h"

namespace shunt {
namespace {

constexpr std::uint8_t kDefaultTtl = 64;
constexpr std::uint32_t kMplsBos = 0x100;
constexpr std::uint16_t kEthPbb = 0x88e7;
constexpr std::uint16_t kEthExperimental = 0x88b5;  // IEEE 802: local experimental EtherType

// Bytes one after the other, in network order.
class Writer {
 public:
  void u8(unsigned value) { bytes_.push_back(static_cast<std::uint8_t>(value)); }
  void u16(unsigned value) {
    u8(value >> 8);
    u8(value);
  }
  void u32(std::uint32_t value) {
    u16(value >> 16);
    u16(value & 0xffff);
  }
  void copy(const void* from, std::size_t size) {
    const auto* at = static_cast<const std::uint8_t*>(from);
    bytes_.insert(bytes_.end(), at, at + size);
  }
  void zeroes(std::size_t count) { bytes_.insert(bytes_.end(), count, 0); }
  void append(const Writer& other) { copy(other.bytes_.data(), other.bytes_.size()); }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  std::vector<std::uint8_t> take() && { return std::move(bytes_); }
  std::uint8_t& at(std::size_t offset) { return bytes_[offset]; }
  [[nodiscard]] std::span<const std::uint8_t> view() const { return bytes_; }

 private:
  std::vector<std::uint8_t> bytes_;
};

std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += static_cast<std::uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void write_nd(Writer& out, const FlowKey& key) {
  const auto is_set = [](const auto& mac) {
    for (const auto byte : mac)
      if (byte != 0) return true;
    return false;
  };
  out.copy(key.nd_target, sizeof key.nd_target);
  const auto option = [&](unsigned type, const auto& mac) {
    if (!is_set(mac)) return;
    out.u8(type);
    out.u8(1);
    out.copy(mac, sizeof mac);
  };
  option(SHUNT_ND_OPT_SLL, key.arp_sha);
  option(SHUNT_ND_OPT_TLL, key.arp_tha);
}

// What follows the IP header.
Writer l4_of(const FlowKey& key) {
  Writer out;
  if ((key.nw_frag & SHUNT_FRAG_LATER) != 0) {
    out.zeroes(8);
    return out;
  }
  const unsigned src = key.tp_src.host(), dst = key.tp_dst.host();
  switch (key.nw_proto) {
    case SHUNT_IP_PROTO_TCP:
      out.u16(src);
      out.u16(dst);
      out.zeroes(8);
      out.u16(0x5000u | (key.tcp_flags.host() & 0xfffu));
      out.zeroes(6);
      break;
    case SHUNT_IP_PROTO_UDP:
      out.u16(src);
      out.u16(dst);
      out.u16(8);
      out.u16(0);
      break;
    case SHUNT_IP_PROTO_SCTP:
      out.u16(src);
      out.u16(dst);
      out.zeroes(8);
      break;
    case SHUNT_IP_PROTO_ICMP:
    case SHUNT_IP_PROTO_IGMP:
    case SHUNT_IP_PROTO_ICMPV6:
      out.u8(src);
      out.u8(dst);
      out.zeroes(6);
      if (key.nw_proto == SHUNT_IP_PROTO_ICMPV6 && (src == SHUNT_ND_SOLICIT || src == SHUNT_ND_ADVERT))
        write_nd(out, key);
      break;
    default:
      break;
  }
  return out;
}

void write_ipv4(Writer& out, const FlowKey& key) {
  const Writer payload = l4_of(key);
  Writer header;
  header.u8(0x45);
  header.u8(key.nw_tos);
  header.u16(static_cast<unsigned>(20 + payload.size()));
  header.u16(0);
  // More fragments; offset 8 bytes times one.
  header.u16((key.nw_frag & SHUNT_FRAG_LATER) != 0 ? 0x0001u : (key.nw_frag & SHUNT_FRAG_ANY) != 0 ? 0x2000u : 0u);
  header.u8(key.nw_ttl);
  header.u8(key.nw_proto);
  header.u16(0);
  header.copy(key.ip_src + 12, 4);
  header.copy(key.ip_dst + 12, 4);
  const std::uint16_t checksum = internet_checksum(header.view());
  header.at(10) = static_cast<std::uint8_t>(checksum >> 8);
  header.at(11) = static_cast<std::uint8_t>(checksum);
  out.append(header);
  out.append(payload);
}

void write_ipv6(Writer& out, const FlowKey& key) {
  Writer payload;
  const bool fragment = (key.nw_frag & SHUNT_FRAG_ANY) != 0;
  if (fragment) {
    payload.u8(key.nw_proto);
    payload.u8(0);
    payload.u16((key.nw_frag & SHUNT_FRAG_LATER) != 0 ? 8 : 1);  // offset 1; more fragments
    payload.u32(0);
  }
  payload.append(l4_of(key));
  out.u32(6u << 28 | static_cast<std::uint32_t>(key.nw_tos) << 20 | (key.ipv6_label.host() & 0xfffffu));
  out.u16(static_cast<unsigned>(payload.size()));
  out.u8(fragment ? SHUNT_IP_PROTO_FRAGMENT : key.nw_proto);
  out.u8(key.nw_ttl);
  out.copy(key.ip_src, 16);
  out.copy(key.ip_dst, 16);
  out.append(payload);
}

void write_arp(Writer& out, const FlowKey& key) {
  out.u16(1);
  out.u16(SHUNT_ETH_TYPE_IPV4);
  out.u16(0x0604);
  out.u16(key.nw_proto);
  out.copy(key.arp_sha, 6);
  out.copy(key.ip_src + 12, 4);
  out.copy(key.arp_tha, 6);
  out.copy(key.ip_dst + 12, 4);
}

void write_mpls(Writer& out, const FlowKey& key) {
  bool bottom = false;
  for (const be32& entry : key.mpls_lse) {
    if (bottom) break;
    out.u32(entry.host());
    bottom = (entry.host() & kMplsBos) != 0;
  }
  if (!bottom) out.u32(kMplsBos | kDefaultTtl);
  FlowKey inner{};
  inner.nw_ttl = kDefaultTtl;
  write_ipv4(out, inner);
}

}  // namespace

std::vector<std::uint8_t> compose_frame(const FlowKey& key) {
  Writer out;
  out.copy(key.eth_dst, 6);
  out.copy(key.eth_src, 6);
  for (const shunt_vlan& tag : key.vlan) {
    if ((tag.tci.host() & SHUNT_VLAN_PRESENT) == 0) break;
    out.u16(tag.tpid.host());
    out.u16(tag.tci.host() & ~static_cast<unsigned>(SHUNT_VLAN_PRESENT));
  }
  const std::uint16_t type = key.eth_type.host();
  if (type == SHUNT_ETH_TYPE_NONE) {
    out.u16(46);  // an 802.3 length, then LLC of a spanning tree frame
    out.u8(0x42);
    out.u8(0x42);
    out.u8(0x03);
  } else {
    out.u16(type);
  }
  switch (type) {
    case SHUNT_ETH_TYPE_IPV4:
      write_ipv4(out, key);
      break;
    case SHUNT_ETH_TYPE_IPV6:
      write_ipv6(out, key);
      break;
    case SHUNT_ETH_TYPE_ARP:
    case SHUNT_ETH_TYPE_RARP:
      write_arp(out, key);
      break;
    case SHUNT_ETH_TYPE_MPLS:
    case SHUNT_ETH_TYPE_MPLS_MC:
      write_mpls(out, key);
      break;
    case kEthPbb:
      out.u32(key.pbb_itag.host());
      out.copy(key.eth_dst, 6);
      out.copy(key.eth_src, 6);
      out.u16(kEthExperimental);
      break;
    default:
      break;
  }
  if (out.size() < SHUNT_MIN_FRAME) out.zeroes(SHUNT_MIN_FRAME - out.size());
  return std::move(out).take();
}

FlowKey complete_key(FlowKey key, const FlowMask& given) {
  for (std::size_t i = 0; i < 2; ++i)
    if ((key.vlan[i].tci.host() & SHUNT_VLAN_PRESENT) != 0 && given.vlan[i].tpid.host() == 0)
      key.vlan[i].tpid = be16{SHUNT_ETH_TYPE_CVLAN};
  if (given.eth_type.host() == 0) key.eth_type = be16{SHUNT_ETH_TYPE_NONE};
  const auto map_ipv4 = [](std::uint8_t* address) {
    std::memset(address, 0, 10);
    std::memset(address + 10, 0xff, 2);
  };
  switch (key.eth_type.host()) {
    case SHUNT_ETH_TYPE_IPV4:
    case SHUNT_ETH_TYPE_ARP:
    case SHUNT_ETH_TYPE_RARP:
      map_ipv4(key.ip_src);
      map_ipv4(key.ip_dst);
      break;
    case SHUNT_ETH_TYPE_MPLS:
    case SHUNT_ETH_TYPE_MPLS_MC:
      if ((given.mpls_lse[0].host() & 0xff) == 0) key.mpls_lse[0] = be32{key.mpls_lse[0].host() | kDefaultTtl};
      if ((given.mpls_lse[0].host() & kMplsBos) == 0 && given.mpls_lse[1].host() == 0)
        key.mpls_lse[0] = be32{key.mpls_lse[0].host() | kMplsBos};
      break;
    default:
      break;
  }
  const bool ip = key.eth_type.host() == SHUNT_ETH_TYPE_IPV4 || key.eth_type.host() == SHUNT_ETH_TYPE_IPV6;
  if (ip && given.nw_ttl == 0) key.nw_ttl = kDefaultTtl;
  return key;
}

}  // namespace shunt
