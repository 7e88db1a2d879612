// SPDX-License-Identifier: Apache-2.0
// Datapath actions as text: the half of action_text.h that shows cached flows, in the manner of ovs-dpctl.
#include <array>
#include <iterator>
#include <utility>

#include "user/base/reasons.h"
#include "user/flow/field_text.h"
#include "user/flow/fields.h"
#include "user/pipeline/action_text.h"

namespace shunt {
namespace {

// How SET_FIELD actions are shown: those of one header that follow each other are one set(header(...)).
struct ShownSet {
  shunt_field first, last;  // a range of enum shunt_field
  std::string_view header;
  FieldId field;
  std::string_view name;
};
constexpr auto kShownSets = std::to_array<ShownSet>({
    {SHUNT_FIELD_ETH_SRC, SHUNT_FIELD_ETH_SRC, "eth", FieldId::kEthSrc, "src"},
    {SHUNT_FIELD_ETH_DST, SHUNT_FIELD_ETH_DST, "eth", FieldId::kEthDst, "dst"},
    {SHUNT_FIELD_VLAN_TCI, SHUNT_FIELD_VLAN_TCI, "vlan", FieldId::kVlanVid, "vid"},
    {SHUNT_FIELD_VLAN_TCI, SHUNT_FIELD_VLAN_TCI, "vlan", FieldId::kVlanPcp, "pcp"},
    {SHUNT_FIELD_IP_SRC, SHUNT_FIELD_IP_SRC, "ipv4", FieldId::kIpSrc, "src"},
    {SHUNT_FIELD_IP_DST, SHUNT_FIELD_IP_DST, "ipv4", FieldId::kIpDst, "dst"},
    {SHUNT_FIELD_IPV6_SRC0, SHUNT_FIELD_IPV6_SRC3, "ipv6", FieldId::kIpv6Src, "src"},
    {SHUNT_FIELD_IPV6_DST0, SHUNT_FIELD_IPV6_DST3, "ipv6", FieldId::kIpv6Dst, "dst"},
    {SHUNT_FIELD_IPV6_LABEL, SHUNT_FIELD_IPV6_LABEL, "ipv6", FieldId::kIpv6Label, "label"},
    {SHUNT_FIELD_IP_TOS, SHUNT_FIELD_IP_TOS, "ip", FieldId::kIpDscp, "dscp"},
    {SHUNT_FIELD_IP_TOS, SHUNT_FIELD_IP_TOS, "ip", FieldId::kNwEcn, "ecn"},
    {SHUNT_FIELD_IP_TTL, SHUNT_FIELD_IP_TTL, "ip", FieldId::kNwTtl, "ttl"},
    {SHUNT_FIELD_TP_SRC, SHUNT_FIELD_TP_SRC, "tp", FieldId::kTpSrc, "src"},
    {SHUNT_FIELD_TP_DST, SHUNT_FIELD_TP_DST, "tp", FieldId::kTpDst, "dst"},
    {SHUNT_FIELD_ICMP_TYPE, SHUNT_FIELD_ICMP_TYPE, "icmp", FieldId::kIcmpType, "type"},
    {SHUNT_FIELD_ICMP_CODE, SHUNT_FIELD_ICMP_CODE, "icmp", FieldId::kIcmpCode, "code"},
    {SHUNT_FIELD_ARP_OP, SHUNT_FIELD_ARP_OP, "arp", FieldId::kArpOp, "op"},
    {SHUNT_FIELD_ARP_SPA, SHUNT_FIELD_ARP_SPA, "arp", FieldId::kArpSpa, "sip"},
    {SHUNT_FIELD_ARP_TPA, SHUNT_FIELD_ARP_TPA, "arp", FieldId::kArpTpa, "tip"},
    {SHUNT_FIELD_ARP_SHA, SHUNT_FIELD_ARP_SHA, "arp", FieldId::kArpSha, "sha"},
    {SHUNT_FIELD_ARP_THA, SHUNT_FIELD_ARP_THA, "arp", FieldId::kArpTha, "tha"},
    {SHUNT_FIELD_ND_TARGET0, SHUNT_FIELD_ND_TARGET3, "nd", FieldId::kNdTarget, "target"},
    {SHUNT_FIELD_ND_SLL, SHUNT_FIELD_ND_SLL, "nd", FieldId::kNdSll, "sll"},
    {SHUNT_FIELD_ND_TLL, SHUNT_FIELD_ND_TLL, "nd", FieldId::kNdTll, "tll"},
    {SHUNT_FIELD_MPLS_LSE, SHUNT_FIELD_MPLS_LSE, "mpls", FieldId::kMplsLabel, "label"},
    {SHUNT_FIELD_MPLS_LSE, SHUNT_FIELD_MPLS_LSE, "mpls", FieldId::kMplsTc, "tc"},
    {SHUNT_FIELD_MPLS_LSE, SHUNT_FIELD_MPLS_LSE, "mpls", FieldId::kMplsBos, "bos"},
    {SHUNT_FIELD_MPLS_LSE, SHUNT_FIELD_MPLS_LSE, "mpls", FieldId::kMplsTtl, "ttl"},
    {SHUNT_FIELD_PBB_ITAG, SHUNT_FIELD_PBB_ITAG, "pbb", FieldId::kPbbIsid, "isid"},
    {SHUNT_FIELD_PBB_ITAG, SHUNT_FIELD_PBB_ITAG, "pbb", FieldId::kPbbUca, "uca"},
});

std::string_view header_of(std::uint8_t field) {
  for (const ShownSet& shown : kShownSets)
    if (field >= shown.first && field <= shown.last) return shown.header;
  return {};
}

// SET_FIELD actions that follow each other, of one header, no bit written twice.
class SetRun {
 public:
  // False where the action does not belong to the run (which is then shown first).
  bool take(const shunt_action& action) {
    const std::string_view header = header_of(action.field);
    if (header.empty()) return false;
    const Match more = set_field_match(action);
    if (count_ > 0 && (!joins(header) || !is_disjoint(more.mask))) return false;
    // The version-neutral name gives way to that of the addresses: ttl and dscp are shown with them.
    if (count_ == 0 || header_ == "ip") header_ = header;
    fields_[count_++] = action.field;
    PipelineWords value = to_words(set_.value);
    const PipelineWords more_value = to_words(more.value);
    for (std::size_t i = 0; i < value.size(); ++i) value[i] |= more_value[i];
    set_.value = from_words(value);
    add_mask(set_.mask, more.mask);
    return true;
  }

  void flush(std::string& out) {
    if (count_ == 0) return;
    begin_action(out);
    fmt::format_to(std::back_inserter(out), "set({}(", header_);
    bool first = true;
    for (const ShownSet& shown : kShownSets) {
      const Field& f = field(shown.field);
      const FieldBits mask = read_field(f, set_.mask);
      if (mask == 0 || !has(shown)) continue;
      if (!std::exchange(first, false)) out += ',';
      out += shown.name;
      out += '=';
      format_field(out, f, read_field(f, set_.value), mask);
    }
    out += "))";
    *this = {};
  }

  static void begin_action(std::string& out) {
    if (!out.empty() && out.back() != '(') out += ',';
  }

 private:
  [[nodiscard]] bool joins(std::string_view header) const {
    const auto is_ip = [](std::string_view h) { return h == "ipv4" || h == "ipv6"; };
    return count_ < fields_.size() &&
           (header == header_ || (header == "ip" && is_ip(header_)) || (header_ == "ip" && is_ip(header)));
  }
  [[nodiscard]] bool is_disjoint(const PipelineMask& mask) const {
    const PipelineWords a = to_words(mask), b = to_words(set_.mask);
    for (std::size_t i = 0; i < a.size(); ++i)
      if ((a[i] & b[i]) != 0) return false;
    return true;
  }
  [[nodiscard]] bool has(const ShownSet& shown) const {
    for (std::size_t i = 0; i < count_; ++i)
      if (fields_[i] >= shown.first && fields_[i] <= shown.last) return true;
    return false;
  }

  Match set_;
  std::string_view header_;
  std::array<std::uint8_t, SHUNT_FIELD_COUNT> fields_{};
  std::size_t count_ = 0;
};

void append_push_vlan(std::string& out, const shunt_action& action) {
  const unsigned tpid = static_cast<unsigned>(action.value[0] << 8 | action.value[1]);
  const unsigned tci = static_cast<unsigned>(action.value[2] << 8 | action.value[3]);
  out += "push_vlan(";
  if (tpid != 0x8100) fmt::format_to(std::back_inserter(out), "tpid={:#06x},", tpid);
  fmt::format_to(std::back_inserter(out), "vid={},pcp={})", tci & 0xfff, tci >> 13);
}

unsigned read16(const shunt_action& action, std::size_t at) {
  return static_cast<unsigned>(action.value[at] << 8 | action.value[at + 1]);
}
unsigned read32(const shunt_action& action, std::size_t at) {
  return read16(action, at) << 16 | read16(action, at + 2);
}

void append_push_mpls(std::string& out, const shunt_action& action) {
  const unsigned lse = read32(action, 2);
  fmt::format_to(std::back_inserter(out), "push_mpls(label={},tc={},ttl={},bos={},eth_type={:#06x})", lse >> 12,
                 lse >> 9 & 7, lse & 0xff, lse >> 8 & 1, read16(action, 0));
}

void append_push_pbb(std::string& out, const shunt_action& action) {
  const unsigned tag = read32(action, 0);
  fmt::format_to(std::back_inserter(out), "push_pbb(isid={},uca={},pcp={})", tag & SHUNT_PBB_ISID,
                 (tag & SHUNT_PBB_UCA) != 0 ? 1 : 0, tag >> 29);
}

// Of 65536, where 0 is all.
double percent_of(std::uint16_t probability) {
  return probability == 0 ? 100.0 : static_cast<double>(probability) * 100 / 65536;
}

// Anything but SET_FIELD, SAVE and RESTORE.
void append_dp_action(std::string& out, const shunt_action& action, const std::function<std::string(DpPort)>& name_of) {
  const auto port = [&] { return name_of ? name_of(DpPort{action.arg}) : fmt::format("{}", action.arg); };
  switch (action.type) {
    case SHUNT_ACT_OUTPUT:
      out += action.field == 1 ? fmt::format("in_port({})", port()) : port();
      break;
    case SHUNT_ACT_OUTPUT_GROUP:
      fmt::format_to(std::back_inserter(out), "group({})", action.arg);
      break;
    case SHUNT_ACT_BRIDGE:
      out += "bridge";
      break;
    case SHUNT_ACT_PUSH_VLAN:
      append_push_vlan(out, action);
      break;
    case SHUNT_ACT_POP_VLAN:
      out += "pop_vlan";
      break;
    case SHUNT_ACT_DEC_TTL:
      out += "dec_ttl";
      break;
    case SHUNT_ACT_TRUNCATE:
      fmt::format_to(std::back_inserter(out), "trunc({})", action.arg);
      break;
    case SHUNT_ACT_USERSPACE:
      fmt::format_to(std::back_inserter(out), "userspace({})",
                     shunt::name_of(static_cast<shunt_upcall_reason>(action.field)));
      break;
    case SHUNT_ACT_DROP:
      fmt::format_to(std::back_inserter(out), "drop({})", shunt::name_of(static_cast<shunt_drop_reason>(action.field)));
      break;
    case SHUNT_ACT_METER:
      fmt::format_to(std::back_inserter(out), "meter({})", action.arg);
      break;
    case SHUNT_ACT_SET_QUEUE:
      fmt::format_to(std::back_inserter(out), "set_queue({})", action.arg);
      break;
    case SHUNT_ACT_PUSH_MPLS:
      append_push_mpls(out, action);
      break;
    case SHUNT_ACT_POP_MPLS:
      fmt::format_to(std::back_inserter(out), "pop_mpls(eth_type={:#06x})", read16(action, 0));
      break;
    case SHUNT_ACT_PUSH_PBB:
      append_push_pbb(out, action);
      break;
    case SHUNT_ACT_POP_PBB:
      out += "pop_pbb";
      break;
    case SHUNT_ACT_DEC_MPLS_TTL:
      out += "dec_mpls_ttl";
      break;
    case SHUNT_ACT_COPY_TTL_OUT:
      out += "copy_ttl_out";
      break;
    case SHUNT_ACT_COPY_TTL_IN:
      out += "copy_ttl_in";
      break;
    case SHUNT_ACT_SAMPLE:
      fmt::format_to(std::back_inserter(out), "sample({:.1f}%,{})", percent_of(action.arg), read16(action, 0));
      break;
    case SHUNT_ACT_CONTROLLER:
      fmt::format_to(std::back_inserter(out), "controller({})", action.arg);
      break;
    default:
      fmt::format_to(std::back_inserter(out), "unknown({},{},{})", action.type, action.field, action.arg);
  }
}

}  // namespace

std::string format_dp_actions(std::span<const shunt_action> actions,
                              const std::function<std::string(DpPort)>& name_of) {
  std::string out;
  SetRun run;
  unsigned open = 0;  // clone( without its parenthesis yet
  for (const shunt_action& action : actions) {
    if (action.type == SHUNT_ACT_NONE) continue;
    if (action.type == SHUNT_ACT_RESTORE && open > 0) {
      run.flush(out);
      out += ')';
      --open;
      continue;
    }
    if (action.type == SHUNT_ACT_SET_FIELD && run.take(action)) continue;
    run.flush(out);
    if (action.type == SHUNT_ACT_SET_FIELD && run.take(action)) continue;
    SetRun::begin_action(out);
    if (action.type == SHUNT_ACT_SAVE) {
      out += "clone(";
      ++open;
    } else {
      append_dp_action(out, action, name_of);
    }
  }
  run.flush(out);
  out.append(open, ')');
  return out.empty() ? "drop" : out;
}

}  // namespace shunt
