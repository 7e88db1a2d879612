// SPDX-License-Identifier: Apache-2.0
// Actions as text: the half of action_text.h that shows them.
#include <array>
#include <iterator>
#include <utility>
#include <variant>

#include "maps/drop_reason.h"
#include "user/base/error.h"
#include "user/flow/field_text.h"
#include "user/flow/fields.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/action_text_fields.h"

namespace shunt {
namespace {

// Whole fields that have an action of their own: it may stand in any rule, where set_field wants the match to imply the
// field.
std::string_view mod_action(FieldId id) {
  switch (id) {
    case FieldId::kEthSrc:
      return "mod_dl_src";
    case FieldId::kEthDst:
      return "mod_dl_dst";
    case FieldId::kIpSrc:
      return "mod_nw_src";
    case FieldId::kIpDst:
      return "mod_nw_dst";
    case FieldId::kNwTos:
      return "mod_nw_tos";
    case FieldId::kNwEcn:
      return "mod_nw_ecn";
    case FieldId::kNwTtl:
      return "mod_nw_ttl";
    case FieldId::kTpSrc:
      return "mod_tp_src";
    case FieldId::kTpDst:
      return "mod_tp_dst";
    default:
      return {};
  }
}

// Appends one rule action.
struct ActionFormatter {
  std::string& out;
  const PortNames& names;

  void operator()(const OutputAction& action) const {
    if (action.max_len != 0) {
      out += "output(port=";
      append_port(out, action.port, names);
      fmt::format_to(std::back_inserter(out), ",max_len={})", action.max_len);
      return;
    }
    if (action.port.value < kPortInPort.value) out += "output:";
    append_port(out, action.port, names);
  }
  void operator()(const SetFieldAction& action) const {
    const Field& f = *action.field;
    FieldBits value = read_field(f, action.set.value);
    const FieldBits mask = read_field(f, action.set.mask);
    const bool whole = mask == value_bits(f);
    if (whole && !mod_action(f.id).empty()) {
      out += mod_action(f.id);
      out += ':';
      return format_field(out, f, value, mask);
    }
    if (whole && f.id == FieldId::kVlanVid) value |= SHUNT_VLAN_PRESENT;  // as OpenFlow 1.3 has it
    out += "set_field:";
    format_field(out, f, value, mask);
    out += "->";
    out += f.name;
  }
  void operator()(const MoveAction& action) const {
    out += "move:";
    append_subfield(out, {action.src, action.src_bit, action.bit_count});
    out += "->";
    append_subfield(out, {action.dst, action.dst_bit, action.bit_count});
  }
  void operator()(const PushVlanAction& action) const {
    fmt::format_to(std::back_inserter(out), "push_vlan:{:#06x}", action.tpid);
  }
  void operator()(const PopVlanAction&) const { out += "pop_vlan"; }
  void operator()(const SetVlanVidAction& action) const {
    fmt::format_to(std::back_inserter(out), "mod_vlan_vid:{}", action.vid);
  }
  void operator()(const SetVlanPcpAction& action) const {
    fmt::format_to(std::back_inserter(out), "mod_vlan_pcp:{}", action.pcp);
  }
  void operator()(const DecTtlAction&) const { out += "dec_ttl"; }
  void operator()(const DropAction&) const { out += "drop"; }
};

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
    KeyWords value = to_words(set_.value);
    const KeyWords more_value = to_words(more.value);
    for (std::size_t i = 0; i < kKeyWords; ++i) value[i] |= more_value[i];
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
    if (!out.empty()) out += ',';
  }

 private:
  [[nodiscard]] bool joins(std::string_view header) const {
    const auto is_ip = [](std::string_view h) { return h == "ipv4" || h == "ipv6"; };
    return count_ < fields_.size() &&
           (header == header_ || (header == "ip" && is_ip(header_)) || (header_ == "ip" && is_ip(header)));
  }
  [[nodiscard]] bool is_disjoint(const FlowMask& mask) const {
    const KeyWords a = to_words(mask), b = to_words(set_.mask);
    for (std::size_t i = 0; i < kKeyWords; ++i)
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

#define SHUNT_REASON_NAME(name, text, help) text,
constexpr std::array<std::string_view, SHUNT_DROP_COUNT> kDropNames{SHUNT_DROP_REASONS(SHUNT_REASON_NAME)};
constexpr std::array<std::string_view, SHUNT_UPCALL_COUNT> kUpcallNames{SHUNT_UPCALL_REASONS(SHUNT_REASON_NAME)};
#undef SHUNT_REASON_NAME

template <std::size_t kSize>
std::string_view reason_name(const std::array<std::string_view, kSize>& names, std::uint8_t reason) {
  return reason < names.size() ? names[reason] : "unknown";
}

void append_push_vlan(std::string& out, const shunt_action& action) {
  const unsigned tpid = static_cast<unsigned>(action.value[0] << 8 | action.value[1]);
  const unsigned tci = static_cast<unsigned>(action.value[2] << 8 | action.value[3]);
  out += "push_vlan(";
  if (tpid != 0x8100) fmt::format_to(std::back_inserter(out), "tpid={:#06x},", tpid);
  fmt::format_to(std::back_inserter(out), "vid={},pcp={})", tci & 0xfff, tci >> 13);
}

// Anything but SET_FIELD.
void append_dp_action(std::string& out, const shunt_action& action, const std::function<std::string(DpPort)>& name_of) {
  const auto port = [&] { return name_of ? name_of(DpPort{action.arg}) : fmt::format("{}", action.arg); };
  switch (action.type) {
    case SHUNT_ACT_OUTPUT:
      out += action.field == 1 ? fmt::format("in_port({})", port()) : port();
      break;
    case SHUNT_ACT_OUTPUT_GROUP:
      fmt::format_to(std::back_inserter(out), "group({})", action.arg);
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
      fmt::format_to(std::back_inserter(out), "userspace({})", reason_name(kUpcallNames, action.field));
      break;
    case SHUNT_ACT_DROP:
      fmt::format_to(std::back_inserter(out), "drop({})", reason_name(kDropNames, action.field));
      break;
    default:
      fmt::format_to(std::back_inserter(out), "unknown({},{},{})", action.type, action.field, action.arg);
  }
}

}  // namespace

std::string format_actions(std::span<const Action> actions, const PortNames& names) {
  if (actions.empty()) return "drop";
  std::string out;
  for (const Action& action : actions) {
    if (!out.empty()) out += ',';
    std::visit(ActionFormatter{out, names}, action);
  }
  return out;
}

std::string format_dp_actions(std::span<const shunt_action> actions,
                              const std::function<std::string(DpPort)>& name_of) {
  std::string out;
  SetRun run;
  for (const shunt_action& action : actions) {
    if (action.type == SHUNT_ACT_NONE) continue;
    if (action.type == SHUNT_ACT_SET_FIELD && run.take(action)) continue;
    run.flush(out);
    if (action.type == SHUNT_ACT_SET_FIELD && run.take(action)) continue;
    SetRun::begin_action(out);
    append_dp_action(out, action, name_of);
  }
  run.flush(out);
  return out.empty() ? "drop" : out;
}

}  // namespace shunt
