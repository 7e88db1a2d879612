// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/codec/match_codec.h"

#include <array>
#include <bitset>
#include <optional>
#include <vector>

#include "user/openflow/codec/port_number.h"

namespace shunt::openflow {
namespace {

using I = FieldId;

constexpr std::uint16_t kOxmMatch = 1;  // OFPMT_OXM
constexpr FieldBits kVidMask = 0xfff, kPresent = SHUNT_VLAN_PRESENT, kPcpMask = 0xe000;
constexpr FieldBits kPhysicalPort = 1;  // OXM_OF_IN_PHY_PORT

bool is_port(const OxmField& oxm) { return field(oxm.field).format == FieldFormat::kPort; }
bool is_physical_port(const OxmField& oxm) { return oxm.oxm_class == kOxmBasicClass && oxm.number == kPhysicalPort; }

// In a match 13 bits of vlan_vid and 3 of vlan_pcp are what vlan_tci says about the tag.
Match bits_of(const OxmField& oxm, FieldBits value, FieldBits mask) {
  Match bits;
  const Field& target = oxm.field == I::kVlanVid || oxm.field == I::kVlanPcp ? field(I::kVlanTci) : field(oxm.field);
  const unsigned shift = oxm.field == I::kVlanPcp ? 13 : 0;
  write_field(target, bits.mask, mask << shift);
  write_field(target, bits.value, (value & mask) << shift);
  return bits;
}

// ICMP's fields are those of IPv4 here; the pipeline's are of either version.
bool has_field(const Field& f, const Match& match) {
  const bool of_icmp4 = f.id == I::kIcmpType || f.id == I::kIcmpCode;
  return implied_by(f.prerequisite, match) && !(of_icmp4 && implied_by(Prerequisite::kIcmpv6, match));
}

void join(Match& match, const Match& more) {
  add_mask(match.value, more.value);
  add_mask(match.mask, more.mask);
}

class FieldsDecoder {
 public:
  Match decode(Bytes bytes) {
    Reader in{bytes, OfErrorCode::kMatchBadLength};
    while (!in.done()) one(in);
    return match_;
  }

 private:
  void one(Reader& in) {
    const OxmHeader header = read_oxm_header(in);
    if (header.field == nullptr)
      throw OfError(OfErrorCode::kBadMatchField, "no field has the header {:#010x}", header.bits);
    const OxmField& oxm = *header.field;
    if (header.size != oxm.size * (header.has_mask ? 2u : 1u))
      throw OfError(OfErrorCode::kMatchBadLength, "{} of {} bytes", oxm.name, header.size);
    FieldBits value = in.number(oxm.size);
    const FieldBits all = low_bits(width_of(oxm));
    FieldBits mask = all;
    if (header.has_mask) {
      mask = in.number(oxm.size);
      if ((value & ~mask) != 0)
        throw OfError(OfErrorCode::kBadWildcards, "the value of {} has bits that its mask leaves out", oxm.name);
      if ((mask & all) != all && mask != 0 && !may_be_masked(oxm))
        throw OfError(OfErrorCode::kBadMatchMask, "{} is matched whole", oxm.name);
      mask &= all;
    }
    if ((value & ~all) != 0)
      throw OfError(OfErrorCode::kBadMatchValue, "{} has {} bits: {:#x}", oxm.name, width_of(oxm),
                    static_cast<std::uint64_t>(value));
    if (seen_[static_cast<std::size_t>(&oxm - oxm_fields().data())])
      throw OfError(OfErrorCode::kDuplicateField, "{} twice", oxm.name);
    seen_.set(static_cast<std::size_t>(&oxm - oxm_fields().data()));
    if (is_physical_port(oxm)) return physical_port(value);
    check_prerequisite(oxm);
    add(oxm, checked(oxm, value, mask), mask);
  }

  // A tag's VID is matched with the bit that says that there is one.
  static bool may_be_masked(const OxmField& oxm) { return is_maskable(field(oxm.field)); }

  static FieldBits checked(const OxmField& oxm, FieldBits value, FieldBits mask) {
    if (oxm.field == I::kVlanVid && (mask & kPresent) != 0 && (value & kPresent) == 0 && value != 0)
      throw OfError(OfErrorCode::kBadMatchValue, "{}: VID {} without OFPVID_PRESENT", oxm.name,
                    static_cast<std::uint64_t>(value));
    if (oxm.field != I::kVlanVid && (value & ~value_bits(field(oxm.field))) != 0)
      throw OfError(OfErrorCode::kBadMatchValue, "{}: {:#x} has bits that are not its own", oxm.name,
                    static_cast<std::uint64_t>(value));
    if (!is_port(oxm)) return value;
    const PortNo port =
        oxm.size == 2 ? port_from_16(static_cast<std::uint16_t>(value)) : PortNo{static_cast<std::uint32_t>(value)};
    const bool ingress = oxm.field == I::kInPort;
    if (ingress && port.value >= kPortUnset.value && port != kPortLocal && port != kPortController)
      throw OfError(OfErrorCode::kBadMatchValue, "no packet comes in on port {:#x}", port.value);
    return port.value;
  }

  void check_prerequisite(const OxmField& oxm) const {
    const Field& f = field(oxm.field);
    if (oxm.field == I::kVlanVid || has_field(f, match_)) return;
    throw OfError(OfErrorCode::kBadPrerequisite, "{} needs {} in the match before it", oxm.name,
                  describe(f.prerequisite));
  }

  void add(const OxmField& oxm, FieldBits value, FieldBits mask) {
    if (is_port(oxm) && oxm.size == 2) mask = low_bits(32);
    const Match more = bits_of(oxm, value, mask);
    if (!is_zero(more.mask & match_.mask))
      throw OfError(OfErrorCode::kDuplicateField, "{} says again what another field says", oxm.name);
    join(match_, more);
  }

  // No port here has another one below it.
  void physical_port(FieldBits value) {
    if (match_.mask.in_port == 0)
      throw OfError(OfErrorCode::kBadPrerequisite, "OXM_OF_IN_PHY_PORT needs OXM_OF_IN_PORT in the match before it");
    if (match_.value.in_port != value)
      throw OfError(OfErrorCode::kBadMatchValue, "port {} is not below port {}", static_cast<std::uint64_t>(value),
                    match_.value.in_port);
  }

  Match match_;
  std::bitset<256> seen_;
};

// In this order, prerequisites first. Of the fields that lie in the same bytes the one that the match's packets have is
// sent. The wider views of the registers, and of the tag, are sent as these.
constexpr auto kOrder = std::to_array<I>(
    {I::kInPort,   I::kActsetOutput, I::kPktMark,    I::kConjId,    I::kTunId,     I::kMetadata,   I::kEthDst,
     I::kEthSrc,   I::kEthType,      I::kVlanTci,    I::kMplsLabel, I::kMplsTc,    I::kMplsBos,    I::kMplsTtl,
     I::kPbbIsid,  I::kPbbUca,       I::kIpFrag,     I::kNwTos,     I::kNwEcn,     I::kNwTtl,      I::kNwProto,
     I::kIpSrc,    I::kIpDst,        I::kIpv6Src,    I::kIpv6Dst,   I::kIpv6Label, I::kIpv6Exthdr, I::kTcpSrc,
     I::kTcpDst,   I::kTcpFlags,     I::kUdpSrc,     I::kUdpDst,    I::kSctpSrc,   I::kSctpDst,    I::kIcmpType,
     I::kIcmpCode, I::kIcmpv6Type,   I::kIcmpv6Code, I::kNdTarget,  I::kNdSll,     I::kNdTll,      I::kArpOp,
     I::kArpSpa,   I::kArpTpa,       I::kArpSha,     I::kArpTha});

void put_tag(Writer& out, const Match& match, Version version) {
  const FieldBits mask = match.mask.vlan[0].tci.host(), value = match.value.vlan[0].tci.host();
  if (mask == 0) return;
  const FieldBits pcp_mask = mask & kPcpMask;
  const bool says_tagged = (mask & value & kPresent) != 0;
  const bool oxm_can = pcp_mask == 0 || (pcp_mask == kPcpMask && says_tagged);
  if (version == Version::k10 || !oxm_can) return encode_field(out, *wire_form(I::kVlanTci, Version::k10), value, mask);
  constexpr FieldBits kTag = kVidMask | kPresent;
  encode_field(out, *wire_form(I::kVlanVid, version), value & kTag, mask & kTag);
  if (pcp_mask != 0) encode_field(out, *wire_form(I::kVlanPcp, version), value >> 13, 7);
}

// nw_icmp's bytes hold type and code alone, ports are 16 bits there: read by the field that the packets have.
void put_field(Writer& out, const Match& match, I id, Version version) {
  const Field& f = field(id == I::kNwTos && version != Version::k10 ? I::kIpDscp : id);
  const FieldBits mask = read_field(f, match.mask);
  if (mask == 0 || !has_field(f, match)) return;
  if (const OxmField* oxm = wire_form(f.id, version)) encode_field(out, *oxm, read_field(f, match.value), mask);
}

}  // namespace

void encode_value(Writer& out, const OxmField& oxm, FieldBits value) {
  if (is_port(oxm) && oxm.size == 2) value = port_to_16(PortNo{static_cast<std::uint32_t>(value)});
  out.number(value, oxm.size);
}

void encode_field(Writer& out, const OxmField& oxm, FieldBits value, FieldBits mask) {
  const FieldBits all = oxm.field == I::kVlanVid ? low_bits(width_of(oxm)) : value_bits(field(oxm.field));
  const bool whole = (mask & all) == all || (is_port(oxm) && oxm.size == 2);
  write_oxm_header(out, oxm, !whole);
  encode_value(out, oxm, value);
  if (!whole) out.number(mask, oxm.size);
}

Match decode_fields(Bytes fields) { return FieldsDecoder{}.decode(fields); }

// It has the number of NXM_NX_MPLS_TTL, and another length.
Match decode_fields(Bytes fields, std::optional<CookieMatch>& cookie) {
  constexpr std::uint32_t kCookie = 0x00013c08, kCookieMasked = 0x00013d10;
  std::vector<std::uint8_t> others;
  Reader in{fields, OfErrorCode::kMatchBadLength};
  while (!in.done()) {
    const std::size_t at = fields.size() - in.left();
    const std::uint32_t header = in.u32();
    const Bytes body = in.take(header & 0xff);
    if (header != kCookie && header != kCookieMasked) {
      others.insert(others.end(), fields.begin() + static_cast<std::ptrdiff_t>(at),
                    fields.begin() + static_cast<std::ptrdiff_t>(fields.size() - in.left()));
      continue;
    }
    if (cookie) throw OfError(OfErrorCode::kDuplicateField, "NXM_NX_COOKIE twice");
    Reader value{body};
    cookie = CookieMatch{value.u64(), ~std::uint64_t{0}};
    if (header == kCookieMasked) cookie->mask = value.u64();
  }
  return decode_fields(others);
}

Match decode_match(Reader& in) {
  const std::uint16_t type = in.u16();
  const std::uint16_t length = in.u16();
  if (type != kOxmMatch) throw OfError(OfErrorCode::kBadMatchType, "match type {}: only OXM", type);
  constexpr std::size_t kMatchHeader = 4;
  const std::size_t padding = (8 - length % 8) % 8;
  if (length < kMatchHeader || length - kMatchHeader + padding > in.left())
    throw OfError(OfErrorCode::kMatchBadLength, "a match of {} bytes", length);
  const Match match = decode_fields(in.take(length - kMatchHeader));
  in.skip(padding);
  return match;
}

void encode_fields(Writer& out, const Match& match, Version version) {
  for (const I id : kOrder) {
    if (id == I::kVlanTci)
      put_tag(out, match, version);
    else
      put_field(out, match, id, version);
    if (id == I::kConjId)
      for (std::size_t n = 0; n < match.mask.reg.size(); ++n)
        put_field(out, match, static_cast<I>(static_cast<std::size_t>(I::kReg0) + n), version);
  }
}

void encode_match(Writer& out, const Match& match, Version version) {
  const std::size_t start = out.size();
  {
    const Tlv tlv{out, kOxmMatch};
    encode_fields(out, match, version);
  }
  out.align(start, 8);
}

FieldValue decode_set_field(Reader& in) {
  const OxmHeader header = read_oxm_header(in);
  if (header.field == nullptr) throw OfError(OfErrorCode::kBadSetType, "no field has the header {:#010x}", header.bits);
  const OxmField& oxm = *header.field;
  if (header.size != oxm.size * (header.has_mask ? 2u : 1u))
    throw OfError(OfErrorCode::kBadSetLength, "{} of {} bytes", oxm.name, header.size);
  const FieldBits all = low_bits(width_of(oxm));
  FieldValue set{&oxm, in.number(oxm.size), all, header.has_mask};
  if (header.has_mask) set.mask = in.number(oxm.size);
  if ((set.value & ~all) != 0 || (set.value & ~set.mask) != 0)
    throw OfError(OfErrorCode::kBadSetArgument, "{}: value {:#x} is not one of its own", oxm.name,
                  static_cast<std::uint64_t>(set.value));
  set.mask &= all;
  if (is_port(oxm) && oxm.size == 2) {
    set.value = port_from_16(static_cast<std::uint16_t>(set.value)).value;
    set.mask = low_bits(32);
  }
  return set;
}

namespace {

// ofp_flow_wildcards of OpenFlow 1.0.
constexpr std::uint32_t kAnyInPort = 1 << 0, kAnyVlan = 1 << 1, kAnyEthSrc = 1 << 2, kAnyEthDst = 1 << 3,
                        kAnyEthType = 1 << 4, kAnyProto = 1 << 5, kAnyTpSrc = 1 << 6, kAnyTpDst = 1 << 7,
                        kAnyPcp = 1 << 20, kAnyTos = 1 << 21;
constexpr unsigned kNwSrcShift = 8, kNwDstShift = 14;
constexpr std::uint16_t kNoVlan = 0xffff;  // OFP_VLAN_NONE

void add(Match& match, I id, FieldBits value, FieldBits mask = ~FieldBits{0}) {
  const Field& f = field(id);
  write_field(f, match.mask, mask);
  write_field(f, match.value, value & mask);
}

void add_if_there(Match& match, I id, FieldBits value, FieldBits mask = ~FieldBits{0}) {
  if (implied_by(field(id).prerequisite, match)) add(match, id, value, mask);
}

// The address bits that a count of ignored low bits leaves.
FieldBits address_mask(std::uint32_t wildcards, unsigned shift) {
  const unsigned ignored = wildcards >> shift & 0x3f;
  return ignored >= 32 ? 0 : low_bits(32) & ~low_bits(ignored);
}

void add_address(Match& match, I of_ip, I of_arp, std::uint32_t address, FieldBits mask) {
  if (mask == 0) return;
  add_if_there(match, of_ip, address, mask);
  add_if_there(match, of_arp, address, mask);
}

void add_l4(Match& match, bool src, std::uint16_t value) {
  add_if_there(match, src ? I::kTcpSrc : I::kTcpDst, value);
  add_if_there(match, src ? I::kUdpSrc : I::kUdpDst, value);
  add_if_there(match, src ? I::kSctpSrc : I::kSctpDst, value);
  if (match.value.eth_type.host() == 0x0800) add_if_there(match, src ? I::kIcmpType : I::kIcmpCode, value);
}

void add_vlan(Match& match, std::uint32_t wildcards, std::uint16_t vlan, std::uint8_t pcp) {
  const bool vid_given = (wildcards & kAnyVlan) == 0, pcp_given = (wildcards & kAnyPcp) == 0;
  if (vid_given && vlan == kNoVlan) return add(match, I::kVlanTci, 0, 0xffff);
  FieldBits value = 0, mask = 0;
  if (vid_given) {
    value |= kPresent | (vlan & kVidMask);
    mask |= kPresent | kVidMask;
  }
  if (pcp_given) {
    value |= kPresent | static_cast<FieldBits>(pcp & 7) << 13;
    mask |= kPresent | kPcpMask;
  }
  if (mask != 0) add(match, I::kVlanTci, value, mask);
}

}  // namespace

Match decode_match10(Reader& in) {
  const std::uint32_t wildcards = in.u32();
  const PortNo in_port = port_from_16(in.u16());
  const FieldBits eth_src = in.number(6), eth_dst = in.number(6);
  const std::uint16_t vlan = in.u16();
  const std::uint8_t pcp = in.u8();
  in.skip(1);
  const std::uint16_t eth_type = in.u16();
  const std::uint8_t tos = in.u8(), proto = in.u8();
  in.skip(2);
  const std::uint32_t nw_src = in.u32(), nw_dst = in.u32();
  const std::uint16_t tp_src = in.u16(), tp_dst = in.u16();

  Match match;
  const auto given = [wildcards](std::uint32_t bit) { return (wildcards & bit) == 0; };
  if (given(kAnyInPort)) add(match, I::kInPort, in_port.value);
  if (given(kAnyEthSrc)) add(match, I::kEthSrc, eth_src);
  if (given(kAnyEthDst)) add(match, I::kEthDst, eth_dst);
  add_vlan(match, wildcards, vlan, pcp);
  if (given(kAnyEthType)) add(match, I::kEthType, eth_type);
  if (given(kAnyTos)) add_if_there(match, I::kNwTos, tos & 0xfc);
  if (given(kAnyProto)) {
    add_if_there(match, I::kNwProto, proto);
    add_if_there(match, I::kArpOp, proto);
  }
  add_address(match, I::kIpSrc, I::kArpSpa, nw_src, address_mask(wildcards, kNwSrcShift));
  add_address(match, I::kIpDst, I::kArpTpa, nw_dst, address_mask(wildcards, kNwDstShift));
  if (given(kAnyTpSrc)) add_l4(match, true, tp_src);
  if (given(kAnyTpDst)) add_l4(match, false, tp_dst);
  return match;
}

namespace {

// What OpenFlow 1.0 can say of a field: its value where the match has it whole.
class Match10 {
 public:
  explicit Match10(const Match& match) : match_{match} {}

  FieldBits whole(I id, std::uint32_t wildcard) {
    const Field& f = field(id);
    if (!implied_by(f.prerequisite, match_) || read_field(f, match_.mask) != value_bits(f)) return 0;
    wildcards &= ~wildcard;
    return read_field(f, match_.value);
  }
  std::uint32_t address(I of_ip, I of_arp, unsigned shift) {
    const I id = implied_by(Prerequisite::kArp, match_) ? of_arp : of_ip;
    const Field& f = field(id);
    if (!implied_by(f.prerequisite, match_)) return 0;
    const auto mask = static_cast<std::uint32_t>(read_field(f, match_.mask));
    unsigned ignored = mask == 0 ? 32 : static_cast<unsigned>(__builtin_ctz(mask));
    if (ignored < 32 && mask != static_cast<std::uint32_t>(low_bits(32) & ~low_bits(ignored)))
      ignored = 32;  // no prefix
    wildcards &= ~(0x3fu << shift);
    wildcards |= ignored << shift;
    return ignored == 32 ? 0 : static_cast<std::uint32_t>(read_field(f, match_.value));
  }
  FieldBits port(I tcp, I udp, I sctp, I icmp, std::uint32_t wildcard) {
    for (const I id : {tcp, udp, sctp, icmp}) {
      if (id == icmp && implied_by(Prerequisite::kIcmpv6, match_)) continue;
      if (const Field& f = field(id); implied_by(f.prerequisite, match_)) return whole(f.id, wildcard);
    }
    return 0;
  }

  std::uint32_t wildcards = (1u << 22) - 1;

 private:
  const Match& match_;
};

}  // namespace

void encode_match10(Writer& out, const Match& match) {
  Match10 m{match};
  const FieldBits tci = match.value.vlan[0].tci.host(), tci_mask = match.mask.vlan[0].tci.host();
  std::uint16_t vlan = 0;
  std::uint8_t pcp = 0;
  if ((tci_mask & kPresent) != 0 && (tci & kPresent) == 0) {
    vlan = kNoVlan;
    m.wildcards &= ~(kAnyVlan);
  } else if ((tci_mask & kPresent) != 0) {
    if ((tci_mask & kVidMask) == kVidMask) {
      vlan = static_cast<std::uint16_t>(tci & kVidMask);
      m.wildcards &= ~kAnyVlan;
    }
    if ((tci_mask & kPcpMask) == kPcpMask) {
      pcp = static_cast<std::uint8_t>(tci >> 13);
      m.wildcards &= ~kAnyPcp;
    }
  }
  const auto in_port = PortNo{static_cast<std::uint32_t>(m.whole(I::kInPort, kAnyInPort))};
  const FieldBits eth_src = m.whole(I::kEthSrc, kAnyEthSrc), eth_dst = m.whole(I::kEthDst, kAnyEthDst);
  const FieldBits eth_type = m.whole(I::kEthType, kAnyEthType);
  const bool arp = implied_by(Prerequisite::kArp, match);
  const bool ipv6 = implied_by(Prerequisite::kIpv6, match);
  const FieldBits tos = ipv6 ? 0 : m.whole(I::kNwTos, kAnyTos);
  const FieldBits proto = ipv6 ? 0 : m.whole(arp ? I::kArpOp : I::kNwProto, kAnyProto);
  const std::uint32_t nw_src = ipv6 ? 0 : m.address(I::kIpSrc, I::kArpSpa, kNwSrcShift);
  const std::uint32_t nw_dst = ipv6 ? 0 : m.address(I::kIpDst, I::kArpTpa, kNwDstShift);
  const FieldBits tp_src = ipv6 ? 0 : m.port(I::kTcpSrc, I::kUdpSrc, I::kSctpSrc, I::kIcmpType, kAnyTpSrc);
  const FieldBits tp_dst = ipv6 ? 0 : m.port(I::kTcpDst, I::kUdpDst, I::kSctpDst, I::kIcmpCode, kAnyTpDst);
  constexpr std::uint32_t kAllOfNwSrc = 0x3fu << kNwSrcShift, kAllOfNwDst = 0x3fu << kNwDstShift;
  if ((m.wildcards & kAllOfNwSrc) == kAllOfNwSrc) m.wildcards = (m.wildcards & ~kAllOfNwSrc) | 32u << kNwSrcShift;
  if ((m.wildcards & kAllOfNwDst) == kAllOfNwDst) m.wildcards = (m.wildcards & ~kAllOfNwDst) | 32u << kNwDstShift;

  out.u32(m.wildcards);
  out.u16(port_to_16(in_port));
  out.number(eth_src, 6);
  out.number(eth_dst, 6);
  out.u16(vlan);
  out.u8(pcp);
  out.zeros(1);
  out.u16(static_cast<std::uint16_t>(eth_type));
  out.u8(static_cast<std::uint8_t>(tos));
  out.u8(static_cast<std::uint8_t>(proto));
  out.zeros(2);
  out.u32(nw_src);
  out.u32(nw_dst);
  out.u16(static_cast<std::uint16_t>(tp_src));
  out.u16(static_cast<std::uint16_t>(tp_dst));
}

}  // namespace shunt::openflow
