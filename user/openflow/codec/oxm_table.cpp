// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/oxm_table.h"

#include <algorithm>
#include <array>

namespace shunt::openflow {
namespace {

using I = FieldId;
constexpr Version k10 = Version::k10, k13 = Version::k13, k15 = Version::k15;
constexpr std::uint16_t kOf = kNxmOfClass, kNx = kNxmNxClass, kBasic = kOxmBasicClass, kReg = kOxmRegisterClass,
                        kExp = kOxmExperimenterClass;

constexpr I reg(std::size_t n) { return static_cast<I>(static_cast<std::size_t>(I::kReg0) + n); }
constexpr I xreg(std::size_t n) { return static_cast<I>(static_cast<std::size_t>(I::kXreg0) + n); }
constexpr I xxreg(std::size_t n) { return static_cast<I>(static_cast<std::size_t>(I::kXxreg0) + n); }

// clang-format off
constexpr auto kOxmFields = std::to_array<OxmField>({
    {I::kInPort, "OXM_OF_IN_PORT", kBasic, 0, 4, k13},
    {I::kInPort, "OXM_OF_IN_PHY_PORT", kBasic, 1, 4, k13},
    {I::kMetadata, "OXM_OF_METADATA", kBasic, 2, 8, k13},
    {I::kEthDst, "OXM_OF_ETH_DST", kBasic, 3, 6, k13},
    {I::kEthSrc, "OXM_OF_ETH_SRC", kBasic, 4, 6, k13},
    {I::kEthType, "OXM_OF_ETH_TYPE", kBasic, 5, 2, k13},
    {I::kVlanVid, "OXM_OF_VLAN_VID", kBasic, 6, 2, k13},
    {I::kVlanPcp, "OXM_OF_VLAN_PCP", kBasic, 7, 1, k13},
    {I::kIpDscp, "OXM_OF_IP_DSCP", kBasic, 8, 1, k13},
    {I::kNwEcn, "OXM_OF_IP_ECN", kBasic, 9, 1, k13},
    {I::kNwProto, "OXM_OF_IP_PROTO", kBasic, 10, 1, k13},
    {I::kIpSrc, "OXM_OF_IPV4_SRC", kBasic, 11, 4, k13},
    {I::kIpDst, "OXM_OF_IPV4_DST", kBasic, 12, 4, k13},
    {I::kTcpSrc, "OXM_OF_TCP_SRC", kBasic, 13, 2, k13},
    {I::kTcpDst, "OXM_OF_TCP_DST", kBasic, 14, 2, k13},
    {I::kUdpSrc, "OXM_OF_UDP_SRC", kBasic, 15, 2, k13},
    {I::kUdpDst, "OXM_OF_UDP_DST", kBasic, 16, 2, k13},
    {I::kSctpSrc, "OXM_OF_SCTP_SRC", kBasic, 17, 2, k13},
    {I::kSctpDst, "OXM_OF_SCTP_DST", kBasic, 18, 2, k13},
    {I::kIcmpType, "OXM_OF_ICMPV4_TYPE", kBasic, 19, 1, k13},
    {I::kIcmpCode, "OXM_OF_ICMPV4_CODE", kBasic, 20, 1, k13},
    {I::kArpOp, "OXM_OF_ARP_OP", kBasic, 21, 2, k13},
    {I::kArpSpa, "OXM_OF_ARP_SPA", kBasic, 22, 4, k13},
    {I::kArpTpa, "OXM_OF_ARP_TPA", kBasic, 23, 4, k13},
    {I::kArpSha, "OXM_OF_ARP_SHA", kBasic, 24, 6, k13},
    {I::kArpTha, "OXM_OF_ARP_THA", kBasic, 25, 6, k13},
    {I::kIpv6Src, "OXM_OF_IPV6_SRC", kBasic, 26, 16, k13},
    {I::kIpv6Dst, "OXM_OF_IPV6_DST", kBasic, 27, 16, k13},
    {I::kIpv6Label, "OXM_OF_IPV6_FLABEL", kBasic, 28, 4, k13},
    {I::kIcmpv6Type, "OXM_OF_ICMPV6_TYPE", kBasic, 29, 1, k13},
    {I::kIcmpv6Code, "OXM_OF_ICMPV6_CODE", kBasic, 30, 1, k13},
    {I::kNdTarget, "OXM_OF_IPV6_ND_TARGET", kBasic, 31, 16, k13},
    {I::kNdSll, "OXM_OF_IPV6_ND_SLL", kBasic, 32, 6, k13},
    {I::kNdTll, "OXM_OF_IPV6_ND_TLL", kBasic, 33, 6, k13},
    {I::kMplsLabel, "OXM_OF_MPLS_LABEL", kBasic, 34, 4, k13},
    {I::kMplsTc, "OXM_OF_MPLS_TC", kBasic, 35, 1, k13},
    {I::kMplsBos, "OXM_OF_MPLS_BOS", kBasic, 36, 1, k13},
    {I::kPbbIsid, "OXM_OF_PBB_ISID", kBasic, 37, 3, k13},
    {I::kTunId, "OXM_OF_TUNNEL_ID", kBasic, 38, 8, k13},
    {I::kIpv6Exthdr, "OXM_OF_IPV6_EXTHDR", kBasic, 39, 2, k13},
    {I::kPbbUca, "OXM_OF_PBB_UCA", kBasic, 41, 1, k13},
    {I::kTcpFlags, "OXM_OF_TCP_FLAGS", kBasic, 42, 2, k15},
    {I::kActsetOutput, "OXM_OF_ACTSET_OUTPUT", kBasic, 43, 4, k15},
    {I::kActsetOutput, "ONFOXM_ET_ACTSET_OUTPUT", kExp, 43, 4, k13, kOnfId},
    {I::kTcpFlags, "ONFOXM_ET_TCP_FLAGS", kExp, 42, 2, k13, kOnfId},
#define XREG(n) {xreg(n), "OXM_OF_PKT_REG" #n, kReg, n, 8, k15}
    XREG(0), XREG(1), XREG(2), XREG(3), XREG(4), XREG(5), XREG(6), XREG(7),
#undef XREG
    {I::kInPort, "NXM_OF_IN_PORT", kOf, 0, 2, k10},
    {I::kEthDst, "NXM_OF_ETH_DST", kOf, 1, 6, k10},
    {I::kEthSrc, "NXM_OF_ETH_SRC", kOf, 2, 6, k10},
    {I::kEthType, "NXM_OF_ETH_TYPE", kOf, 3, 2, k10},
    {I::kVlanTci, "NXM_OF_VLAN_TCI", kOf, 4, 2, k10},
    {I::kNwTos, "NXM_OF_IP_TOS", kOf, 5, 1, k10},
    {I::kNwProto, "NXM_OF_IP_PROTO", kOf, 6, 1, k10},
    {I::kIpSrc, "NXM_OF_IP_SRC", kOf, 7, 4, k10},
    {I::kIpDst, "NXM_OF_IP_DST", kOf, 8, 4, k10},
    {I::kTcpSrc, "NXM_OF_TCP_SRC", kOf, 9, 2, k10},
    {I::kTcpDst, "NXM_OF_TCP_DST", kOf, 10, 2, k10},
    {I::kUdpSrc, "NXM_OF_UDP_SRC", kOf, 11, 2, k10},
    {I::kUdpDst, "NXM_OF_UDP_DST", kOf, 12, 2, k10},
    {I::kIcmpType, "NXM_OF_ICMP_TYPE", kOf, 13, 1, k10},
    {I::kIcmpCode, "NXM_OF_ICMP_CODE", kOf, 14, 1, k10},
    {I::kArpOp, "NXM_OF_ARP_OP", kOf, 15, 2, k10},
    {I::kArpSpa, "NXM_OF_ARP_SPA", kOf, 16, 4, k10},
    {I::kArpTpa, "NXM_OF_ARP_TPA", kOf, 17, 4, k10},
#define REG(n) {reg(n), "NXM_NX_REG" #n, kNx, n, 4, k10}
    REG(0), REG(1), REG(2), REG(3), REG(4), REG(5), REG(6), REG(7),
    REG(8), REG(9), REG(10), REG(11), REG(12), REG(13), REG(14), REG(15),
#undef REG
    {I::kTunId, "NXM_NX_TUN_ID", kNx, 16, 8, k10},
    {I::kArpSha, "NXM_NX_ARP_SHA", kNx, 17, 6, k10},
    {I::kArpTha, "NXM_NX_ARP_THA", kNx, 18, 6, k10},
    {I::kIpv6Src, "NXM_NX_IPV6_SRC", kNx, 19, 16, k10},
    {I::kIpv6Dst, "NXM_NX_IPV6_DST", kNx, 20, 16, k10},
    {I::kIcmpv6Type, "NXM_NX_ICMPV6_TYPE", kNx, 21, 1, k10},
    {I::kIcmpv6Code, "NXM_NX_ICMPV6_CODE", kNx, 22, 1, k10},
    {I::kNdTarget, "NXM_NX_ND_TARGET", kNx, 23, 16, k10},
    {I::kNdSll, "NXM_NX_ND_SLL", kNx, 24, 6, k10},
    {I::kNdTll, "NXM_NX_ND_TLL", kNx, 25, 6, k10},
    {I::kIpFrag, "NXM_NX_IP_FRAG", kNx, 26, 1, k10},
    {I::kIpv6Label, "NXM_NX_IPV6_LABEL", kNx, 27, 4, k10},
    {I::kNwEcn, "NXM_NX_IP_ECN", kNx, 28, 1, k10},
    {I::kNwTtl, "NXM_NX_IP_TTL", kNx, 29, 1, k10},
    {I::kMplsTtl, "NXM_NX_MPLS_TTL", kNx, 30, 1, k10},
    {I::kPktMark, "NXM_NX_PKT_MARK", kNx, 33, 4, k10},
    {I::kTcpFlags, "NXM_NX_TCP_FLAGS", kNx, 34, 2, k10},
    {I::kConjId, "NXM_NX_CONJ_ID", kNx, 37, 4, k10},
#define XXREG(n) {xxreg(n), "NXM_NX_XXREG" #n, kNx, 111 + n, 16, k10}
    XXREG(0), XXREG(1), XXREG(2), XXREG(3),
#undef XXREG
});
// clang-format on

constexpr std::uint32_t kHasMask = 1 << 8;

}  // namespace

std::span<const OxmField> oxm_fields() { return kOxmFields; }

OxmHeader read_oxm_header(Reader& in) {
  const std::uint32_t bits = in.u32();
  const auto oxm_class = static_cast<std::uint16_t>(bits >> 16);
  const auto number = static_cast<std::uint8_t>(bits >> 9 & 0x7f);
  OxmHeader header{nullptr, (bits & kHasMask) != 0, bits & 0xff, bits};
  std::uint32_t experimenter = 0;
  if (oxm_class == kOxmExperimenterClass) {
    experimenter = in.u32();
    header.size = header.size < 4 ? 0 : header.size - 4;
  }
  for (const OxmField& field : kOxmFields)
    if (field.oxm_class == oxm_class && field.number == number && field.experimenter == experimenter)
      header.field = &field;
  return header;
}

const OxmField& read_field_name(Reader& in, OfErrorCode unknown, OfErrorCode malformed) {
  const OxmHeader header = read_oxm_header(in);
  if (header.field == nullptr) throw OfError(unknown, "no field has the header {:#010x}", header.bits);
  if (header.has_mask || header.size != header.field->size)
    throw OfError(malformed, "the header of {} says {} bytes", header.field->name, header.size);
  return *header.field;
}

void write_oxm_header(Writer& out, const OxmField& field, bool has_mask) {
  const std::uint32_t id_size = field.experimenter != 0 ? 4 : 0;
  const std::uint32_t size = (has_mask ? 2u : 1u) * field.size + id_size;
  out.u32(std::uint32_t{field.oxm_class} << 16 | std::uint32_t{field.number} << 9 | (has_mask ? kHasMask : 0) | size);
  if (field.experimenter != 0) out.u32(field.experimenter);
}

const OxmField* wire_form(FieldId id, Version version, bool bits16) {
  const OxmField* best = nullptr;
  const auto rank = [&](const OxmField& field) {
    if (id == I::kInPort) return field.is_nicira() == (bits16 || version == Version::k10) ? 2 : 1;
    if (version == Version::k10) return field.is_nicira() ? 3 : 1;
    if (field.is_nicira()) return 1;
    // Open vSwitch's own name is understood wider than the ONF's.
    if (field.since > version) return 0;
    return field.experimenter != 0 && id == I::kTcpFlags ? 0 : 2;
  };
  for (const OxmField& field : kOxmFields)
    if (field.field == id && (best == nullptr || rank(field) > rank(*best))) best = &field;
  return best;
}

unsigned width_of(const OxmField& oxm) {
  constexpr unsigned kVidAndPresent = 13;
  if (oxm.field == I::kVlanVid) return kVidAndPresent;
  return std::min<unsigned>(field(oxm.field).width, 8u * oxm.size);
}

}  // namespace shunt::openflow
