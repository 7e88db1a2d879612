// SPDX-License-Identifier: Apache-2.0
// Fields of the key as the datapath writes them: the part of fields.h between matches and SET_FIELD actions.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "user/flow/fields.h"

namespace shunt {
namespace {

using P = Prerequisite;

#define AT(member) static_cast<std::uint8_t>(offsetof(shunt_flow_key, member))
// The low four bytes of a 128-bit address: where an IPv4 address lies.
constexpr std::uint8_t kIpv4Src = AT(ip_src) + 12;
constexpr std::uint8_t kIpv4Dst = AT(ip_dst) + 12;
// The low byte of the L4 ports: where ICMP type and code lie.
constexpr std::uint8_t kIcmpTypeByte = AT(tp_src) + 1;
constexpr std::uint8_t kIcmpCodeByte = AT(tp_dst) + 1;
constexpr std::uint8_t kOuterTci = AT(vlan) + 2;

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
    {SHUNT_FIELD_PBB_ITAG, AT(pbb_itag), 4, 4, P::kPbb},
});
#undef AT

using KeyBytes = std::array<std::uint8_t, sizeof(PipelineKey)>;

}  // namespace

void append_set_field(const FlowKey& packet, const Match& set, DpActions& actions) {
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
  return {std::bit_cast<PipelineKey>(value), std::bit_cast<PipelineMask>(mask)};
}

}  // namespace shunt
