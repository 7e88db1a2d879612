// SPDX-License-Identifier: Apache-2.0
#include "user/flow/fields.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace shunt {
namespace {

constexpr std::uint16_t kIpv4Type = 0x0800;
constexpr std::uint16_t kIpv6Type = 0x86dd;
constexpr std::uint16_t kArpType = 0x0806;
constexpr std::uint16_t kRarpType = 0x8035;
constexpr std::uint16_t kMplsType = 0x8847;
constexpr std::uint16_t kMplsMulticastType = 0x8848;

constexpr std::uint8_t kTcpProtocol = 6;
constexpr std::uint8_t kUdpProtocol = 17;
constexpr std::uint8_t kSctpProtocol = 132;
constexpr std::uint8_t kIcmpProtocol = 1;
constexpr std::uint8_t kIcmpv6Protocol = 58;

constexpr std::uint8_t kNeighbourSolicitation = 135;
constexpr std::uint8_t kNeighbourAdvertisement = 136;

constexpr std::uint32_t kMplsBottomOfStack = 0x100;

#define AT(member) static_cast<std::uint8_t>(offsetof(shunt_flow_key, member))
// The low four bytes of a 128-bit address: where an IPv4 address lies.
constexpr std::uint8_t kIpv4Src = AT(ip_src) + 12;
constexpr std::uint8_t kIpv4Dst = AT(ip_dst) + 12;
// The low byte of the L4 ports: where ICMP type and code lie.
constexpr std::uint8_t kIcmpTypeByte = AT(tp_src) + 1;
constexpr std::uint8_t kIcmpCodeByte = AT(tp_dst) + 1;
constexpr std::uint8_t kOuterTci = AT(vlan) + 2;
constexpr std::uint8_t kInnerTpid = AT(vlan) + 4;
constexpr std::uint8_t kInnerTci = AT(vlan) + 6;

using F = FieldFormat;
using P = Prerequisite;
using I = FieldId;
constexpr bool kSet = true, kGet = false;

// clang-format off
constexpr std::array<Field, kFieldCount> kFields{{
    //                                                           size shift width, fixed low bits
    {I::kInPort,      "in_port",      "in_port_oxm", AT(in_port),      4,  0,  32, 0, F::kPort, P::kNone, kGet},
    {I::kEthSrc,      "eth_src",      "dl_src",      AT(eth_src),      6,  0,  48, 0, F::kMac, P::kNone, kSet},
    {I::kEthDst,      "eth_dst",      "dl_dst",      AT(eth_dst),      6,  0,  48, 0, F::kMac, P::kNone, kSet},
    {I::kEthType,     "eth_type",     "dl_type",     AT(eth_type),     2,  0,  16, 0, F::kHex, P::kNone, kGet},
    {I::kVlanTci,     "vlan_tci",     "",            kOuterTci,        2,  0,  16, 0, F::kHex, P::kNone, kSet},
    {I::kDlVlan,      "dl_vlan",      "",            kOuterTci,        2,  0,  12, 0, F::kDecimal, P::kNone, kGet},
    {I::kVlanVid,     "vlan_vid",     "",            kOuterTci,        2,  0,  12, 0, F::kDecimal, P::kVlan, kSet},
    {I::kDlVlanPcp,   "dl_vlan_pcp",  "",            kOuterTci,        2, 13,   3, 0, F::kDecimal, P::kNone, kGet},
    {I::kVlanPcp,     "vlan_pcp",     "",            kOuterTci,        2, 13,   3, 0, F::kDecimal, P::kVlan, kSet},
    {I::kVlanTpid,    "vlan_tpid",    "",            AT(vlan),         2,  0,  16, 0, F::kHex, P::kNone, kGet},
    {I::kVlanTci1,    "vlan_tci1",    "",            kInnerTci,        2,  0,  16, 0, F::kHex, P::kNone, kGet},
    {I::kVlanTpid1,   "vlan_tpid1",   "",            kInnerTpid,       2,  0,  16, 0, F::kHex, P::kNone, kGet},
    {I::kIpSrc,       "ip_src",       "nw_src",      kIpv4Src,         4,  0,  32, 0, F::kIpv4, P::kIpv4, kSet},
    {I::kIpDst,       "ip_dst",       "nw_dst",      kIpv4Dst,         4,  0,  32, 0, F::kIpv4, P::kIpv4, kSet},
    {I::kIpv6Src,     "ipv6_src",     "",            AT(ip_src),       16,  0, 128, 0, F::kIpv6, P::kIpv6, kSet},
    {I::kIpv6Dst,     "ipv6_dst",     "",            AT(ip_dst),       16,  0, 128, 0, F::kIpv6, P::kIpv6, kSet},
    {I::kIpv6Label,   "ipv6_label",   "",            AT(ipv6_label),   4,  0,  20, 0, F::kHex, P::kIpv6, kSet},
    {I::kNwProto,     "nw_proto",     "ip_proto",    AT(nw_proto),     1,  0,   8, 0, F::kDecimal, P::kIp, kGet},
    {I::kNwTos,       "nw_tos",       "ip_tos",      AT(nw_tos),       1,  0,   8, 2, F::kDecimal, P::kIp, kSet},
    {I::kIpDscp,      "ip_dscp",      "",            AT(nw_tos),       1,  2,   6, 0, F::kDecimal, P::kIp, kSet},
    {I::kNwEcn,       "nw_ecn",       "ip_ecn",      AT(nw_tos),       1,  0,   2, 0, F::kDecimal, P::kIp, kSet},
    {I::kNwTtl,       "nw_ttl",       "ip_ttl",      AT(nw_ttl),       1,  0,   8, 0, F::kDecimal, P::kIp, kSet},
    {I::kIpFrag,      "ip_frag",      "nw_frag",     AT(nw_frag),      1,  0,   2, 0, F::kFrag, P::kIp, kGet},
    {I::kTpSrc,       "tp_src",       "",            AT(tp_src),       2,  0,  16, 0, F::kDecimal, P::kTransport, kSet},
    {I::kTpDst,       "tp_dst",       "",            AT(tp_dst),       2,  0,  16, 0, F::kDecimal, P::kTransport, kSet},
    {I::kTcpSrc,      "tcp_src",      "",            AT(tp_src),       2,  0,  16, 0, F::kDecimal, P::kTcp, kSet},
    {I::kTcpDst,      "tcp_dst",      "",            AT(tp_dst),       2,  0,  16, 0, F::kDecimal, P::kTcp, kSet},
    {I::kTcpFlags,    "tcp_flags",    "",            AT(tcp_flags),    2,  0,  12, 0, F::kTcpFlags, P::kTcp, kGet},
    {I::kUdpSrc,      "udp_src",      "",            AT(tp_src),       2,  0,  16, 0, F::kDecimal, P::kUdp, kSet},
    {I::kUdpDst,      "udp_dst",      "",            AT(tp_dst),       2,  0,  16, 0, F::kDecimal, P::kUdp, kSet},
    {I::kSctpSrc,     "sctp_src",     "",            AT(tp_src),       2,  0,  16, 0, F::kDecimal, P::kSctp, kSet},
    {I::kSctpDst,     "sctp_dst",     "",            AT(tp_dst),       2,  0,  16, 0, F::kDecimal, P::kSctp, kSet},
    {I::kIcmpType,    "icmp_type",    "",            kIcmpTypeByte,    1,  0,   8, 0, F::kDecimal, P::kAnyIcmp, kSet},
    {I::kIcmpCode,    "icmp_code",    "",            kIcmpCodeByte,    1,  0,   8, 0, F::kDecimal, P::kAnyIcmp, kSet},
    {I::kIcmpv6Type,  "icmpv6_type",  "",            kIcmpTypeByte,    1,  0,   8, 0, F::kDecimal, P::kIcmpv6, kSet},
    {I::kIcmpv6Code,  "icmpv6_code",  "",            kIcmpCodeByte,    1,  0,   8, 0, F::kDecimal, P::kIcmpv6, kSet},
    {I::kArpOp,       "arp_op",       "",            AT(nw_proto),     1,  0,   8, 0, F::kDecimal, P::kArp, kSet},
    {I::kArpSpa,      "arp_spa",      "",            kIpv4Src,         4,  0,  32, 0, F::kIpv4, P::kArp, kSet},
    {I::kArpTpa,      "arp_tpa",      "",            kIpv4Dst,         4,  0,  32, 0, F::kIpv4, P::kArp, kSet},
    {I::kArpSha,      "arp_sha",      "",            AT(arp_sha),      6,  0,  48, 0, F::kMac, P::kArp, kSet},
    {I::kArpTha,      "arp_tha",      "",            AT(arp_tha),      6,  0,  48, 0, F::kMac, P::kArp, kSet},
    {I::kNdTarget,    "nd_target",    "",            AT(nd_target),    16,  0, 128, 0, F::kIpv6, P::kNd, kSet},
    {I::kNdSll,       "nd_sll",       "",            AT(arp_sha),      6,  0,  48, 0, F::kMac, P::kNdSolicit, kSet},
    {I::kNdTll,       "nd_tll",       "",            AT(arp_tha),      6,  0,  48, 0, F::kMac, P::kNdAdvert, kSet},
    {I::kMplsLabel,   "mpls_label",   "",            AT(mpls_lse),     4, 12,  20, 0, F::kDecimal, P::kMpls, kSet},
    {I::kMplsTc,      "mpls_tc",      "",            AT(mpls_lse),     4,  9,   3, 0, F::kDecimal, P::kMpls, kSet},
    {I::kMplsBos,     "mpls_bos",     "",            AT(mpls_lse),     4,  8,   1, 0, F::kDecimal, P::kMpls, kGet},
    {I::kMplsTtl,     "mpls_ttl",     "",            AT(mpls_lse),     4,  0,   8, 0, F::kDecimal, P::kMpls, kSet},
    {I::kMplsLse1,    "mpls_lse1",    "",            AT(mpls_lse) + 4, 4,  0,  32, 0, F::kHex, P::kMpls2, kGet},
    {I::kMplsLse2,    "mpls_lse2",    "",            AT(mpls_lse) + 8, 4,  0,  32, 0, F::kHex, P::kMpls3, kGet},
}};
// clang-format on

// The names that load and move use besides. The first that a field has is the one that is shown.
struct OxmNames {
  FieldId id;
  std::string_view nxm, oxm;
};

// clang-format off
constexpr auto kOxmNames = std::to_array<OxmNames>({
    {I::kInPort,      "NXM_OF_IN_PORT",       "OXM_OF_IN_PORT"},
    {I::kEthSrc,      "NXM_OF_ETH_SRC",       "OXM_OF_ETH_SRC"},
    {I::kEthDst,      "NXM_OF_ETH_DST",       "OXM_OF_ETH_DST"},
    {I::kEthType,     "NXM_OF_ETH_TYPE",      "OXM_OF_ETH_TYPE"},
    {I::kVlanTci,     "NXM_OF_VLAN_TCI",      ""},
    {I::kVlanVid,     "",                     "OXM_OF_VLAN_VID"},
    {I::kVlanPcp,     "",                     "OXM_OF_VLAN_PCP"},
    {I::kIpSrc,       "NXM_OF_IP_SRC",        "OXM_OF_IPV4_SRC"},
    {I::kIpDst,       "NXM_OF_IP_DST",        "OXM_OF_IPV4_DST"},
    {I::kIpv6Src,     "NXM_NX_IPV6_SRC",      "OXM_OF_IPV6_SRC"},
    {I::kIpv6Dst,     "NXM_NX_IPV6_DST",      "OXM_OF_IPV6_DST"},
    {I::kIpv6Label,   "NXM_NX_IPV6_LABEL",    "OXM_OF_IPV6_FLABEL"},
    {I::kNwProto,     "NXM_OF_IP_PROTO",      "OXM_OF_IP_PROTO"},
    {I::kNwTos,       "NXM_OF_IP_TOS",        ""},
    {I::kIpDscp,      "",                     "OXM_OF_IP_DSCP"},
    {I::kNwEcn,       "NXM_NX_IP_ECN",        "OXM_OF_IP_ECN"},
    {I::kNwTtl,       "NXM_NX_IP_TTL",        ""},
    {I::kIpFrag,      "NXM_NX_IP_FRAG",       ""},
    {I::kTcpSrc,      "NXM_OF_TCP_SRC",       "OXM_OF_TCP_SRC"},
    {I::kTcpDst,      "NXM_OF_TCP_DST",       "OXM_OF_TCP_DST"},
    {I::kTcpFlags,    "NXM_NX_TCP_FLAGS",     "OXM_OF_TCP_FLAGS"},
    {I::kUdpSrc,      "NXM_OF_UDP_SRC",       "OXM_OF_UDP_SRC"},
    {I::kUdpDst,      "NXM_OF_UDP_DST",       "OXM_OF_UDP_DST"},
    {I::kSctpSrc,     "",                     "OXM_OF_SCTP_SRC"},
    {I::kSctpDst,     "",                     "OXM_OF_SCTP_DST"},
    {I::kIcmpType,    "NXM_OF_ICMP_TYPE",     "OXM_OF_ICMPV4_TYPE"},
    {I::kIcmpCode,    "NXM_OF_ICMP_CODE",     "OXM_OF_ICMPV4_CODE"},
    {I::kIcmpv6Type,  "NXM_NX_ICMPV6_TYPE",   "OXM_OF_ICMPV6_TYPE"},
    {I::kIcmpv6Code,  "NXM_NX_ICMPV6_CODE",   "OXM_OF_ICMPV6_CODE"},
    {I::kArpOp,       "NXM_OF_ARP_OP",        "OXM_OF_ARP_OP"},
    {I::kArpSpa,      "NXM_OF_ARP_SPA",       "OXM_OF_ARP_SPA"},
    {I::kArpTpa,      "NXM_OF_ARP_TPA",       "OXM_OF_ARP_TPA"},
    {I::kArpSha,      "NXM_NX_ARP_SHA",       "OXM_OF_ARP_SHA"},
    {I::kArpTha,      "NXM_NX_ARP_THA",       "OXM_OF_ARP_THA"},
    {I::kNdTarget,    "NXM_NX_ND_TARGET",     "OXM_OF_IPV6_ND_TARGET"},
    {I::kNdSll,       "NXM_NX_ND_SLL",        "OXM_OF_IPV6_ND_SLL"},
    {I::kNdTll,       "NXM_NX_ND_TLL",        "OXM_OF_IPV6_ND_TLL"},
    {I::kMplsLabel,   "",                     "OXM_OF_MPLS_LABEL"},
    {I::kMplsTc,      "",                     "OXM_OF_MPLS_TC"},
    {I::kMplsBos,     "",                     "OXM_OF_MPLS_BOS"},
    {I::kMplsTtl,     "NXM_NX_MPLS_TTL",      ""},
});
// clang-format on

consteval bool fields_are_in_order() {
  for (std::size_t i = 0; i < kFields.size(); ++i)
    if (static_cast<std::size_t>(kFields[i].id) != i || kFields[i].shift + kFields[i].width > kFields[i].size * 8)
      return false;
  return true;
}
static_assert(fields_are_in_order());

// A datapath field and the key bytes that it writes. The wire may have more bytes than the key (ARP's opcode): the key
// holds the last of them.
struct Piece {
  shunt_field field;
  std::uint8_t offset, size, wire_size;
  Prerequisite prerequisite;
};

constexpr auto kPieces = std::to_array<Piece>({
    {SHUNT_FIELD_ETH_DST, AT(eth_dst), 6, 6, P::kNone},
    {SHUNT_FIELD_ETH_SRC, AT(eth_src), 6, 6, P::kNone},
    {SHUNT_FIELD_VLAN_TCI, kOuterTci, 2, 2, P::kVlan},
    {SHUNT_FIELD_IP_SRC, kIpv4Src, 4, 4, P::kIpv4},
    {SHUNT_FIELD_IP_DST, kIpv4Dst, 4, 4, P::kIpv4},
    {SHUNT_FIELD_IPV6_SRC0, AT(ip_src), 4, 4, P::kIpv6},
    {SHUNT_FIELD_IPV6_SRC1, AT(ip_src) + 4, 4, 4, P::kIpv6},
    {SHUNT_FIELD_IPV6_SRC2, AT(ip_src) + 8, 4, 4, P::kIpv6},
    {SHUNT_FIELD_IPV6_SRC3, AT(ip_src) + 12, 4, 4, P::kIpv6},
    {SHUNT_FIELD_IPV6_DST0, AT(ip_dst), 4, 4, P::kIpv6},
    {SHUNT_FIELD_IPV6_DST1, AT(ip_dst) + 4, 4, 4, P::kIpv6},
    {SHUNT_FIELD_IPV6_DST2, AT(ip_dst) + 8, 4, 4, P::kIpv6},
    {SHUNT_FIELD_IPV6_DST3, AT(ip_dst) + 12, 4, 4, P::kIpv6},
    {SHUNT_FIELD_IPV6_LABEL, AT(ipv6_label), 4, 4, P::kIpv6},
    {SHUNT_FIELD_IP_TOS, AT(nw_tos), 1, 1, P::kIp},
    {SHUNT_FIELD_IP_TTL, AT(nw_ttl), 1, 1, P::kIp},
    {SHUNT_FIELD_TP_SRC, AT(tp_src), 2, 2, P::kTransport},
    {SHUNT_FIELD_TP_DST, AT(tp_dst), 2, 2, P::kTransport},
    {SHUNT_FIELD_ICMP_TYPE, kIcmpTypeByte, 1, 1, P::kAnyIcmp},
    {SHUNT_FIELD_ICMP_CODE, kIcmpCodeByte, 1, 1, P::kAnyIcmp},
    {SHUNT_FIELD_ARP_OP, AT(nw_proto), 1, 2, P::kArp},
    {SHUNT_FIELD_ARP_SPA, kIpv4Src, 4, 4, P::kArp},
    {SHUNT_FIELD_ARP_TPA, kIpv4Dst, 4, 4, P::kArp},
    {SHUNT_FIELD_ARP_SHA, AT(arp_sha), 6, 6, P::kArp},
    {SHUNT_FIELD_ARP_THA, AT(arp_tha), 6, 6, P::kArp},
    {SHUNT_FIELD_ND_TARGET0, AT(nd_target), 4, 4, P::kNd},
    {SHUNT_FIELD_ND_TARGET1, AT(nd_target) + 4, 4, 4, P::kNd},
    {SHUNT_FIELD_ND_TARGET2, AT(nd_target) + 8, 4, 4, P::kNd},
    {SHUNT_FIELD_ND_TARGET3, AT(nd_target) + 12, 4, 4, P::kNd},
    {SHUNT_FIELD_ND_SLL, AT(arp_sha), 6, 6, P::kNdSolicit},
    {SHUNT_FIELD_ND_TLL, AT(arp_tha), 6, 6, P::kNdAdvert},
    {SHUNT_FIELD_MPLS_LSE, AT(mpls_lse), 4, 4, P::kMpls},
});
#undef AT

using KeyBytes = std::array<std::uint8_t, sizeof(FlowKey)>;

// Names of every field with what they stand for, sorted once.
struct NameEntry {
  std::string_view name;
  const Field* field;
};

consteval auto sorted_names() {
  std::array<NameEntry, kFieldCount * 2 + kOxmNames.size() * 2> entries{};
  std::size_t count = 0;
  for (const Field& f : kFields)
    for (std::string_view name : {f.name, f.alias}) entries[count++] = {name, &f};
  for (const OxmNames& names : kOxmNames)
    for (std::string_view name : {names.nxm, names.oxm})
      entries[count++] = {name, &kFields[static_cast<std::size_t>(names.id)]};
  std::ranges::sort(entries, {}, &NameEntry::name);
  return entries;
}
constexpr auto kNames = sorted_names();

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

std::span<const Field, kFieldCount> fields() noexcept { return kFields; }

const Field& field(FieldId id) noexcept { return kFields[static_cast<std::size_t>(id)]; }

bool is_maskable(const Field& field) noexcept { return field.id != FieldId::kInPort && field.id != FieldId::kDlVlan; }

const Field* find_field(std::string_view name) noexcept {
  if (name.empty()) return nullptr;
  const auto at = std::ranges::lower_bound(kNames, name, {}, &NameEntry::name);
  return at != kNames.end() && at->name == name ? at->field : nullptr;
}

std::string_view oxm_name(const Field& field) noexcept {
  const auto at = std::ranges::find(kOxmNames, field.id, &OxmNames::id);
  if (at == kOxmNames.end()) return field.name;
  return at->nxm.empty() ? at->oxm : at->nxm;
}

FieldBits value_bits(const Field& field) noexcept {
  const FieldBits ones = field.width == 128 ? ~FieldBits{0} : (FieldBits{1} << field.width) - 1;
  return ones & ~((FieldBits{1} << field.fixed_low_bits) - 1);
}

FlowMask field_mask(const Field& field) noexcept {
  FlowMask mask{};
  write_field(field, mask, ~FieldBits{0});
  return mask;
}

FieldBits read_field(const Field& field, const FlowKey& key) noexcept {
  if (field.id == FieldId::kInPort) return key.in_port;
  FieldBits stored = 0;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&key) + field.offset;
  for (std::size_t i = 0; i < field.size; ++i) stored = stored << 8 | bytes[i];
  return stored >> field.shift & value_bits(field);
}

void write_field(const Field& field, FlowKey& key, FieldBits value) noexcept {
  if (field.id == FieldId::kInPort) {
    key.in_port = static_cast<std::uint32_t>(value);
    return;
  }
  FieldBits bits = value_bits(field);
  value = (value & bits) << field.shift;
  bits = bits << field.shift;
  auto* bytes = reinterpret_cast<std::uint8_t*>(&key) + field.offset;
  for (std::size_t i = field.size; i-- > 0; value >>= 8, bits >>= 8)
    bytes[i] = static_cast<std::uint8_t>((bytes[i] & ~static_cast<unsigned>(bits & 0xff)) |
                                         static_cast<unsigned>(value & 0xff));
}

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
  return is_subset(needed, match.mask) && holds(prerequisite, match.value);
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
  }
  return "";
}

void append_set_field(const FlowKey& packet, const Match& set, std::vector<shunt_action>& actions) {
  const auto value = std::bit_cast<KeyBytes>(set.value);
  auto mask = std::bit_cast<KeyBytes>(set.mask);
  mask[kOuterTci] &= static_cast<std::uint8_t>(~(SHUNT_VLAN_PRESENT >> 8));
  for (const Piece& piece : kPieces) {
    const auto* piece_mask = &mask[piece.offset];
    const bool written = std::any_of(piece_mask, piece_mask + piece.size, [](std::uint8_t b) { return b != 0; });
    if (!written || !holds(piece.prerequisite, packet)) continue;
    shunt_action action{};
    action.type = SHUNT_ACT_SET_FIELD;
    action.field = static_cast<std::uint8_t>(piece.field);
    const std::size_t skip = piece.wire_size - piece.size;
    std::memcpy(action.mask + skip, piece_mask, piece.size);
    for (std::size_t i = 0; i < piece.size; ++i)
      action.value[skip + i] = static_cast<std::uint8_t>(value[piece.offset + i] & piece_mask[i]);
    actions.push_back(action);
  }
}

Match set_field_match(const shunt_action& action) noexcept {
  KeyBytes value{};
  KeyBytes mask{};
  for (const Piece& piece : kPieces) {
    if (piece.field != action.field) continue;
    const std::size_t skip = piece.wire_size - piece.size;
    std::memcpy(&mask[piece.offset], action.mask + skip, piece.size);
    for (std::size_t i = 0; i < piece.size; ++i)
      value[piece.offset + i] = static_cast<std::uint8_t>(action.value[skip + i] & action.mask[skip + i]);
  }
  return {std::bit_cast<FlowKey>(value), std::bit_cast<FlowMask>(mask)};
}

}  // namespace shunt
