// SPDX-License-Identifier: Apache-2.0
#include "user/flow/fields.h"

#include <algorithm>
#include <array>

namespace shunt {
namespace {

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

#define BEHIND(member) static_cast<std::uint16_t>(sizeof(FlowKey) + offsetof(PipelineFields, member))

using F = FieldFormat;
using P = Prerequisite;
using I = FieldId;
constexpr bool kSet = true, kGet = false;

// clang-format off
constexpr std::array<Field, kFieldCount> kFields{{
    //                                                           size shift width, fixed low bits
    {I::kInPort,      "in_port",      "in_port_oxm", AT(in_port),      4,  0,  32, 0, F::kPort, P::kNone, kSet},
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
    {I::kArpOp,       "arp_op",       "",            AT(nw_proto),     1,  0,  16, 0, F::kDecimal, P::kArp, kSet},
    {I::kArpSpa,      "arp_spa",      "",            kIpv4Src,         4,  0,  32, 0, F::kIpv4, P::kArp, kSet},
    {I::kArpTpa,      "arp_tpa",      "",            kIpv4Dst,         4,  0,  32, 0, F::kIpv4, P::kArp, kSet},
    {I::kArpSha,      "arp_sha",      "",            AT(arp_sha),      6,  0,  48, 0, F::kMac, P::kArp, kSet},
    {I::kArpTha,      "arp_tha",      "",            AT(arp_tha),      6,  0,  48, 0, F::kMac, P::kArp, kSet},
    {I::kNdTarget,    "nd_target",    "",            AT(nd_target),    16,  0, 128, 0, F::kIpv6, P::kNd, kSet},
    {I::kNdSll,       "nd_sll",       "",            AT(arp_sha),      6,  0,  48, 0, F::kMac, P::kNdSolicit, kSet},
    {I::kNdTll,       "nd_tll",       "",            AT(arp_tha),      6,  0,  48, 0, F::kMac, P::kNdAdvert, kSet},
    {I::kMplsLabel,   "mpls_label",   "",            AT(mpls_lse),     4, 12,  20, 0, F::kDecimal, P::kMpls, kSet},
    {I::kMplsTc,      "mpls_tc",      "",            AT(mpls_lse),     4,  9,   3, 0, F::kDecimal, P::kMpls, kSet},
    {I::kMplsBos,     "mpls_bos",     "",            AT(mpls_lse),     4,  8,   1, 0, F::kDecimal, P::kMpls, kSet},
    {I::kMplsTtl,     "mpls_ttl",     "",            AT(mpls_lse),     4,  0,   8, 0, F::kDecimal, P::kMpls, kSet},
    {I::kMplsLse1,    "mpls_lse1",    "",            AT(mpls_lse) + 4, 4,  0,  32, 0, F::kHex, P::kMpls2, kGet},
    {I::kMplsLse2,    "mpls_lse2",    "",            AT(mpls_lse) + 8, 4,  0,  32, 0, F::kHex, P::kMpls3, kGet},
    {I::kIpv6Exthdr,  "ipv6_exthdr",  "",            AT(ipv6_exthdr),  2,  0,   9, 0, F::kExthdr, P::kIpv6, kGet},
    {I::kPbbIsid,     "pbb_isid",     "",            AT(pbb_itag),     4,  0,  24, 0, F::kDecimal, P::kPbb, kSet},
    {I::kPbbUca,      "pbb_uca",      "",            AT(pbb_itag),     4, 27,   1, 0, F::kDecimal, P::kPbb, kSet},
    {I::kMetadata,    "metadata",     "",            BEHIND(metadata), 8,  0,  64, 0, F::kHex, P::kNone, kSet},
    {I::kTunId,       "tun_id",       "tunnel_id",   BEHIND(tun_id),   8,  0,  64, 0, F::kHex, P::kNone, kSet},
    {I::kActsetOutput, "actset_output", "",     BEHIND(actset_output), 4,  0,  32, 0, F::kPort, P::kNone, kGet},
    {I::kConjId,      "conj_id",      "",            BEHIND(conj_id),  4,  0,  32, 0, F::kDecimal, P::kNone, kGet},
    {I::kPktMark,     "pkt_mark",     "",            BEHIND(pkt_mark), 4,  0,  32, 0, F::kHex, P::kNone, kSet},
    {I::kSkbPriority, "skb_priority", "",        BEHIND(skb_priority), 4,  0,  32, 0, F::kHex, P::kNone, kGet},
#define REG(n) {static_cast<I>(std::size_t(I::kReg0) + n), "reg" #n, "", BEHIND(reg) + 4 * n, 4, 0, 32, 0, F::kHex, P::kNone, kSet}
    REG(0), REG(1), REG(2), REG(3), REG(4), REG(5), REG(6), REG(7),
    REG(8), REG(9), REG(10), REG(11), REG(12), REG(13), REG(14), REG(15),
#undef REG
#define XREG(n) {static_cast<I>(std::size_t(I::kXreg0) + n), "xreg" #n, "", BEHIND(reg) + 8 * n, 8, 0, 64, 0, F::kHex, P::kNone, kSet}
    XREG(0), XREG(1), XREG(2), XREG(3), XREG(4), XREG(5), XREG(6), XREG(7),
#undef XREG
#define XXREG(n) {static_cast<I>(std::size_t(I::kXxreg0) + n), "xxreg" #n, "", BEHIND(reg) + 16 * n, 16, 0, 128, 0, F::kHex, P::kNone, kSet}
    XXREG(0), XXREG(1), XXREG(2), XXREG(3),
#undef XXREG
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
    {I::kIpv6Exthdr,  "",                     "OXM_OF_IPV6_EXTHDR"},
    {I::kPbbIsid,     "",                     "OXM_OF_PBB_ISID"},
    {I::kPbbUca,      "",                     "OXM_OF_PBB_UCA"},
    {I::kMetadata,    "",                     "OXM_OF_METADATA"},
    {I::kTunId,       "NXM_NX_TUN_ID",        "OXM_OF_TUNNEL_ID"},
    {I::kActsetOutput, "",                    "OXM_OF_ACTSET_OUTPUT"},
    {I::kConjId,      "NXM_NX_CONJ_ID",       ""},
    {I::kPktMark,     "NXM_NX_PKT_MARK",      ""},
#define REG(n) {static_cast<I>(std::size_t(I::kReg0) + n), "NXM_NX_REG" #n, ""}
    REG(0), REG(1), REG(2), REG(3), REG(4), REG(5), REG(6), REG(7),
    REG(8), REG(9), REG(10), REG(11), REG(12), REG(13), REG(14), REG(15),
#undef REG
#define XREG(n) {static_cast<I>(std::size_t(I::kXreg0) + n), "", "OXM_OF_PKT_REG" #n}
    XREG(0), XREG(1), XREG(2), XREG(3), XREG(4), XREG(5), XREG(6), XREG(7),
#undef XREG
#define XXREG(n) {static_cast<I>(std::size_t(I::kXxreg0) + n), "NXM_NX_XXREG" #n, ""}
    XXREG(0), XXREG(1), XXREG(2), XXREG(3),
#undef XXREG
});
// clang-format on

// A physical port of its own below the port is what no port of ours has: the two numbers are the same.
constexpr std::string_view kInPhyPort = "in_phy_port", kOxmInPhyPort = "OXM_OF_IN_PHY_PORT";

consteval bool fields_are_in_order() {
  for (std::size_t i = 0; i < kFields.size(); ++i)
    if (static_cast<std::size_t>(kFields[i].id) != i ||
        (kFields[i].shift + kFields[i].width > kFields[i].size * 8 && kFields[i].id != I::kArpOp))
      return false;
  return true;
}
static_assert(fields_are_in_order());

#undef AT

// Names of every field with what they stand for, sorted once.
struct NameEntry {
  std::string_view name;
  const Field* field;
};

consteval auto sorted_names() {
  std::array<NameEntry, kFieldCount * 2 + kOxmNames.size() * 2 + 2> entries{};
  std::size_t count = 0;
  for (const Field& f : kFields)
    for (std::string_view name : {f.name, f.alias}) entries[count++] = {name, &f};
  for (const OxmNames& names : kOxmNames)
    for (std::string_view name : {names.nxm, names.oxm})
      entries[count++] = {name, &kFields[static_cast<std::size_t>(names.id)]};
  for (std::string_view name : {kInPhyPort, kOxmInPhyPort})
    entries[count++] = {name, &kFields[static_cast<std::size_t>(I::kInPort)]};
  std::ranges::sort(entries, {}, &NameEntry::name);
  return entries;
}
constexpr auto kNames = sorted_names();

}  // namespace

std::span<const Field, kFieldCount> fields() noexcept { return kFields; }

const Field& field(FieldId id) noexcept { return kFields[static_cast<std::size_t>(id)]; }

// OpenFlow 1.3.5 table 12 and 1.5.1 table 15, with what Open vSwitch allows beyond them: L4 ports, ND, TCP flags,
// registers.
bool is_maskable(const Field& field) noexcept {
  switch (field.id) {
    case FieldId::kInPort:
    case FieldId::kEthType:
    case FieldId::kDlVlan:
    case FieldId::kDlVlanPcp:
    case FieldId::kVlanPcp:
    case FieldId::kNwProto:
    case FieldId::kNwTos:
    case FieldId::kIpDscp:
    case FieldId::kNwEcn:
    case FieldId::kNwTtl:
    case FieldId::kIcmpType:
    case FieldId::kIcmpCode:
    case FieldId::kIcmpv6Type:
    case FieldId::kIcmpv6Code:
    case FieldId::kArpOp:
    case FieldId::kMplsLabel:
    case FieldId::kMplsTc:
    case FieldId::kMplsBos:
    case FieldId::kMplsTtl:
    case FieldId::kPbbUca:
    case FieldId::kActsetOutput:
    case FieldId::kConjId:
    case FieldId::kSkbPriority:
      return false;
    default:
      return true;
  }
}

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

FieldBits low_bits(std::size_t count) noexcept { return count >= 128 ? ~FieldBits{0} : (FieldBits{1} << count) - 1; }

FieldBits value_bits(const Field& field) noexcept {
  const std::size_t width = std::min<std::size_t>(field.width, field.size * 8u - field.shift);
  return low_bits(width) & ~low_bits(field.fixed_low_bits);
}

PipelineMask field_mask(const Field& field) noexcept {
  PipelineMask mask{};
  write_field(field, mask, ~FieldBits{0});
  return mask;
}

FieldBits read_field(const Field& field, const PipelineKey& key) noexcept {
  if (field.id == FieldId::kInPort) return key.in_port;
  FieldBits stored = 0;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&key) + field.offset;
  for (std::size_t i = 0; i < field.size; ++i) stored = stored << 8 | bytes[i];
  return stored >> field.shift & value_bits(field);
}

void write_field(const Field& field, PipelineKey& key, FieldBits value) noexcept {
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

FieldBits read_subfield(const Subfield& subfield, const PipelineKey& key) noexcept {
  return read_field(*subfield.field, key) >> subfield.first_bit & low_bits(subfield.bit_count);
}

void write_subfield(const Subfield& subfield, PipelineKey& key, FieldBits value) noexcept {
  if (subfield.field->id == FieldId::kInPort && subfield.first_bit == 0 && subfield.bit_count == 16) {
    key.in_port = port_from_16(static_cast<std::uint16_t>(value)).value;
    return;
  }
  const FieldBits bits = low_bits(subfield.bit_count) << subfield.first_bit;
  const FieldBits others = read_field(*subfield.field, key) & ~bits;
  write_field(*subfield.field, key, others | (value << subfield.first_bit & bits));
}

PortNo port_from_16(std::uint16_t number) noexcept {
  constexpr std::uint16_t kFirstReserved = 0xfff7;
  return PortNo{number < kFirstReserved ? number : 0xffff0000u + number};
}

bool is_pipeline_field(const Field& field) noexcept {
  return field.offset >= sizeof(FlowKey) || field.id == FieldId::kInPort;
}

}  // namespace shunt
