// SPDX-License-Identifier: Apache-2.0
#include "user/flow/key_text.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "user/flow/field_text.h"
#include "user/flow/fields.h"

namespace shunt {
namespace {

struct ShownField {
  FieldId id;
  std::string_view group;  // "" stands for one shown by itself: eth_type(0x0800)
  std::string_view name;
};

// In the order of ovs-dpctl. A field is shown where the packet has it: of the fields that share bytes of the key it is
// one.
constexpr auto kShown = std::to_array<ShownField>({
    {FieldId::kEthSrc, "eth", "src"},      {FieldId::kEthDst, "eth", "dst"},
    {FieldId::kEthType, "", "eth_type"},   {FieldId::kIpSrc, "ipv4", "src"},
    {FieldId::kIpDst, "ipv4", "dst"},      {FieldId::kIpv6Src, "ipv6", "src"},
    {FieldId::kIpv6Dst, "ipv6", "dst"},    {FieldId::kIpv6Label, "ipv6", "label"},
    {FieldId::kNwProto, "ip", "proto"},    {FieldId::kIpDscp, "ip", "dscp"},
    {FieldId::kNwEcn, "ip", "ecn"},        {FieldId::kNwTtl, "ip", "ttl"},
    {FieldId::kIpFrag, "ip", "frag"},      {FieldId::kIpv6Exthdr, "ipv6", "exthdr"},
    {FieldId::kTcpSrc, "tcp", "src"},      {FieldId::kTcpDst, "tcp", "dst"},
    {FieldId::kTcpFlags, "", "tcp_flags"}, {FieldId::kUdpSrc, "udp", "src"},
    {FieldId::kUdpDst, "udp", "dst"},      {FieldId::kSctpSrc, "sctp", "src"},
    {FieldId::kSctpDst, "sctp", "dst"},    {FieldId::kIcmpType, "icmp", "type"},
    {FieldId::kIcmpCode, "icmp", "code"},  {FieldId::kArpSpa, "arp", "sip"},
    {FieldId::kArpTpa, "arp", "tip"},      {FieldId::kArpOp, "arp", "op"},
    {FieldId::kArpSha, "arp", "sha"},      {FieldId::kArpTha, "arp", "tha"},
    {FieldId::kNdTarget, "nd", "target"},  {FieldId::kNdSll, "nd", "sll"},
    {FieldId::kNdTll, "nd", "tll"},        {FieldId::kMplsLabel, "mpls", "label"},
    {FieldId::kMplsTc, "mpls", "tc"},      {FieldId::kMplsTtl, "mpls", "ttl"},
    {FieldId::kMplsBos, "mpls", "bos"},    {FieldId::kMplsLse1, "", "mpls_lse1"},
    {FieldId::kMplsLse2, "", "mpls_lse2"}, {FieldId::kPbbIsid, "pbb", "isid"},
    {FieldId::kPbbUca, "pbb", "uca"},
});

// A mask alone does not say which protocol's field its bits are: those that share bytes are named together.
struct MaskPart {
  FieldId id;
  std::string_view name;
  bool in_tag = false;  // of a VLAN tag
};
constexpr auto kMaskParts = std::to_array<MaskPart>({
    {FieldId::kInPort, "in_port"},
    {FieldId::kEthSrc, "eth_src"},
    {FieldId::kEthDst, "eth_dst"},
    {FieldId::kVlanTpid, "vlan_tpid", true},
    {FieldId::kVlanTci, "vlan_tci", true},
    {FieldId::kVlanTpid1, "vlan_tpid1", true},
    {FieldId::kVlanTci1, "vlan_tci1", true},
    {FieldId::kEthType, "eth_type"},
    {FieldId::kIpv6Src, "ip_src"},
    {FieldId::kIpv6Dst, "ip_dst"},
    {FieldId::kIpv6Label, "ipv6_label"},
    {FieldId::kNwProto, "nw_proto"},
    {FieldId::kIpDscp, "ip_dscp"},
    {FieldId::kNwEcn, "nw_ecn"},
    {FieldId::kNwTtl, "nw_ttl"},
    {FieldId::kIpFrag, "nw_frag"},
    {FieldId::kTpSrc, "tp_src"},
    {FieldId::kTpDst, "tp_dst"},
    {FieldId::kTcpFlags, "tcp_flags"},
    {FieldId::kArpSha, "arp_sha|nd_sll"},
    {FieldId::kArpTha, "arp_tha|nd_tll"},
    {FieldId::kNdTarget, "nd_target"},
    {FieldId::kMplsLabel, "mpls_label"},
    {FieldId::kMplsTc, "mpls_tc"},
    {FieldId::kMplsBos, "mpls_bos"},
    {FieldId::kMplsTtl, "mpls_ttl"},
    {FieldId::kMplsLse1, "mpls_lse1"},
    {FieldId::kMplsLse2, "mpls_lse2"},
    {FieldId::kIpv6Exthdr, "ipv6_exthdr"},
    {FieldId::kPbbIsid, "pbb_isid"},
    {FieldId::kPbbUca, "pbb_uca"},
});

// Bits of a field, without knowing whose they are: an address under a mask of 32 bits looks like IPv4.
void append_bits(std::string& out, const Field& f, FieldBits bits, FieldBits mask) {
  constexpr FieldBits kIpv4Bits = 0xffffffff;
  if (f.format == FieldFormat::kIpv6 && (mask & ~kIpv4Bits) == 0) return append_ipv4(out, bits);
  if (f.format == FieldFormat::kIpv6) return append_ipv6(out, bits);
  if (f.format == FieldFormat::kMac) return append_mac(out, bits);
  append_hex(out, bits);
}

constexpr std::uint16_t kIpv6Type = 0x86dd;

class KeyFormatter {
 public:
  KeyFormatter(const FlowKey& key, const FlowMask& mask)
      : key_{to_pipeline(key)}, mask_{to_pipeline(mask)}, left_{mask_} {}

  std::string text(const std::function<std::string(DpPort)>& name_of) {
    if (mask_.dp_hash != 0) {
      append_part("dp_hash", "", key_.dp_hash & mask_.dp_hash, mask_.dp_hash, ~0u, true);
      out_ += ')';
    }
    if (mask_.in_port != 0) {
      begin_item("", "in_port");
      if (name_of)
        out_ += name_of(DpPort{key_.in_port});
      else
        append_number(out_, key_.in_port);
      out_ += ')';
    }
    for (const ShownField& shown : kShown) {
      if (shown.id == FieldId::kEthType) append_tags();
      append_field(shown);
    }
    append_itag_rest();
    append_left();
    end_group();
    return std::move(out_);
  }

 private:
  void append_field(const ShownField& shown) {
    const Field& f = field(shown.id);
    const FieldBits mask = read_field(f, mask_);
    if (mask == 0 || !holds(f.prerequisite, key_)) return;
    write_field(f, left_, 0);
    begin_item(group_of(shown), shown.name);
    if (shown.id == FieldId::kEthType && mask == value_bits(f))
      append_hex(out_, read_field(f, key_), 4);
    else
      format_field(out_, f, read_field(f, key_) & mask, mask);
    if (shown.group.empty()) out_ += ')';
  }

  // Priority, drop eligibility and reserved bits of a PBB tag: no field of a rule, but they are copied.
  void append_itag_rest() {
    constexpr std::uint32_t kRest = ~static_cast<std::uint32_t>(SHUNT_PBB_ISID | SHUNT_PBB_UCA);
    const std::uint32_t mask = mask_.pbb_itag.host() & kRest;
    if (mask == 0 || !holds(Prerequisite::kPbb, key_)) return;
    append_part("pbb", "tag", key_.pbb_itag.host() & mask, mask, ~0u, true);
  }

  // Bits that the decision looked at to know that a rule could not match, without needing to know the protocol.
  void append_left() {
    if (mask_.eth_type.host() == 0xffff && mask_.nw_proto == 0xff) return;  // known: what is left is of other protocols
    for (const MaskPart& part : kMaskParts) {
      const Field& f = field(part.id);
      const FieldBits bits = read_field(f, left_);
      if (bits == 0 || part.id == FieldId::kInPort || part.in_tag) continue;
      write_field(f, left_, 0);
      begin_item("", part.name);
      append_bits(out_, f, read_field(f, key_) & bits, bits);
      out_ += '/';
      append_bits(out_, f, bits, bits);
      out_ += ')';
    }
  }

  // The fields that both IP versions have are shown with the addresses.
  [[nodiscard]] std::string_view group_of(const ShownField& shown) const {
    if (shown.group != "ip") return shown.group;
    return key_.eth_type.host() == kIpv6Type ? "ipv6" : "ipv4";
  }

  // What the mask asks of the two tags, the outer one first. "no tag" is vlan(none).
  void append_tags() {
    for (int tag = 0; tag < 2; ++tag) {
      const std::string_view group = tag == 0 ? "vlan" : "inner_vlan";
      const unsigned mask = mask_.vlan[tag].tci.host();
      const unsigned tci = key_.vlan[tag].tci.host() & mask;
      const unsigned tpid_mask = mask_.vlan[tag].tpid.host();
      if ((mask | tpid_mask) == 0) continue;
      if ((mask & SHUNT_VLAN_PRESENT) != 0 && (tci & SHUNT_VLAN_PRESENT) == 0) {
        begin_item("", group);
        out_ += "none)";
        continue;
      }
      if (tpid_mask != 0) append_part(group, "tpid", key_.vlan[tag].tpid.host() & tpid_mask, tpid_mask, 0xffff, true);
      if ((mask & 0xfff) != 0) append_part(group, "vid", tci & 0xfff, mask & 0xfff, 0xfff, false);
      if (mask >> 13 != 0) append_part(group, "pcp", tci >> 13, mask >> 13, 7, false);
      if ((mask & 0xefff) == 0 && tpid_mask == 0) {
        begin_item("", group);
        out_ += "any)";
      }
    }
  }

  // An empty `name`: the group stands for itself, and the caller closes it.
  void append_part(std::string_view group, std::string_view name, unsigned value, unsigned mask, unsigned whole,
                   bool hex) {
    if (name.empty())
      begin_item("", group);
    else
      begin_item(group, name);
    if (hex || mask != whole)
      append_hex(out_, value);
    else
      append_number(out_, value);
    if (mask == whole) return;
    out_ += '/';
    append_hex(out_, mask);
  }

  // Leaves `out_` where the item's value goes: "name(" for one by itself, "group(name=" or ",name=" in a group.
  void begin_item(std::string_view group, std::string_view name) {
    if (group.empty() || group != group_) end_group();
    if (!out_.empty()) out_ += ',';
    if (group.empty()) {
      out_ += name;
      out_ += '(';
      return;
    }
    if (group_.empty()) {
      group_ = group;
      out_ += group;
      out_ += '(';
    }
    out_ += name;
    out_ += '=';
  }
  void end_group() {
    if (!group_.empty()) out_ += ')';
    group_ = {};
  }

  const PipelineKey key_;
  const PipelineMask mask_;
  PipelineMask left_;  // bits not shown yet
  std::string out_;
  std::string_view group_;  // open in out_
};

}  // namespace

std::string format_key(const FlowKey& key, const FlowMask& mask, const std::function<std::string(DpPort)>& name_of) {
  return KeyFormatter{key, mask}.text(name_of);
}

std::string format_mask(const FlowMask& mask) {
  std::string out;
  if (mask.dp_hash != 0) out += mask.dp_hash == ~0u ? "dp_hash" : fmt::format("dp_hash/{:#x}", mask.dp_hash);
  for (const MaskPart& part : kMaskParts) {
    const Field& f = field(part.id);
    const FieldBits bits = read_field(f, to_pipeline(mask));
    if (bits == 0) continue;
    if (!out.empty()) out += ',';
    out += part.name;
    if (bits == value_bits(f)) continue;
    out += '/';
    append_bits(out, f, bits, bits);
  }
  return out;
}

}  // namespace shunt
