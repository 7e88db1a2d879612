// SPDX-License-Identifier: Apache-2.0
// Rules as text: the other half of rule_text.h. The order of the fields is that of ovs-ofctl dump-flows.
#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>

#include "user/flow/field_text.h"
#include "user/flow/fields.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/rule_text.h"
#include "user/pipeline/rule_text_settings.h"

namespace shunt {
namespace {

struct ShownField {
  FieldId id;
  std::string_view name;  // ovs-ofctl's dumps use OpenFlow 1.0's names
  unsigned digits = 0;    // hexadecimal, with so many
};

constexpr auto kMetadata = std::to_array<ShownField>(
    {{FieldId::kPktMark, "pkt_mark"}, {FieldId::kConjId, "conj_id"}, {FieldId::kSkbPriority, "skb_priority"}});
constexpr auto kL2 = std::to_array<ShownField>({{FieldId::kVlanTpid, "vlan_tpid", 4},
                                                {FieldId::kVlanTci1, "vlan_tci1", 4},
                                                {FieldId::kVlanTpid1, "vlan_tpid1", 4},
                                                {FieldId::kEthSrc, "dl_src"},
                                                {FieldId::kEthDst, "dl_dst"}});
constexpr auto kAddresses = std::to_array<ShownField>({{FieldId::kIpSrc, "nw_src"},
                                                       {FieldId::kIpDst, "nw_dst"},
                                                       {FieldId::kIpv6Src, "ipv6_src"},
                                                       {FieldId::kIpv6Dst, "ipv6_dst"},
                                                       {FieldId::kIpv6Label, "ipv6_label", 5},
                                                       {FieldId::kIpv6Exthdr, "ipv6_exthdr"},
                                                       {FieldId::kArpSpa, "arp_spa"},
                                                       {FieldId::kArpTpa, "arp_tpa"}});
constexpr auto kUpper = std::to_array<ShownField>(
    {{FieldId::kArpOp, "arp_op"},         {FieldId::kArpSha, "arp_sha"},     {FieldId::kArpTha, "arp_tha"},
     {FieldId::kNwTos, "nw_tos"},         {FieldId::kNwEcn, "nw_ecn"},       {FieldId::kNwTtl, "nw_ttl"},
     {FieldId::kMplsLabel, "mpls_label"}, {FieldId::kMplsTc, "mpls_tc"},     {FieldId::kMplsTtl, "mpls_ttl"},
     {FieldId::kMplsBos, "mpls_bos"},     {FieldId::kMplsLse1, "mpls_lse1"}, {FieldId::kMplsLse2, "mpls_lse2"},
     {FieldId::kPbbIsid, "pbb_isid"},     {FieldId::kPbbUca, "pbb_uca"},     {FieldId::kIpFrag, "nw_frag"},
     {FieldId::kIcmpType, "icmp_type"},   {FieldId::kIcmpCode, "icmp_code"}, {FieldId::kNdTarget, "nd_target"},
     {FieldId::kNdSll, "nd_sll"},         {FieldId::kNdTll, "nd_tll"},       {FieldId::kTpSrc, "tp_src"},
     {FieldId::kTpDst, "tp_dst"},         {FieldId::kTcpFlags, "tcp_flags"}});

struct ShownKeyword {
  std::string_view word;
  std::uint16_t eth_type;
  std::uint8_t nw_proto;  // 0: not said
};
// With a protocol before without: the first that fits is shown.
constexpr auto kKeywords = std::to_array<ShownKeyword>({{"icmp", 0x0800, 1},
                                                        {"tcp", 0x0800, 6},
                                                        {"udp", 0x0800, 17},
                                                        {"sctp", 0x0800, 132},
                                                        {"ip", 0x0800, 0},
                                                        {"icmp6", 0x86dd, 58},
                                                        {"tcp6", 0x86dd, 6},
                                                        {"udp6", 0x86dd, 17},
                                                        {"sctp6", 0x86dd, 132},
                                                        {"ipv6", 0x86dd, 0},
                                                        {"arp", 0x0806, 0},
                                                        {"rarp", 0x8035, 0},
                                                        {"mpls", 0x8847, 0},
                                                        {"mplsm", 0x8848, 0}});

class MatchFormatter {
 public:
  MatchFormatter(const Match& match, const PortNames& names) : match_{match}, names_{names} {}

  std::string text() {
    const ShownKeyword* keyword = find_keyword();
    append_fields(kMetadata);
    append_ingress(field(FieldId::kActsetOutput));
    if (keyword != nullptr) begin_item(keyword->word);
    append_registers();
    append_field({FieldId::kTunId, "tun_id"});
    append_field({FieldId::kMetadata, "metadata"});
    append_ingress(field(FieldId::kInPort));
    append_tag();
    append_fields(kL2);
    if (keyword == nullptr) append_field({FieldId::kEthType, "dl_type", 4});
    append_fields(kAddresses);
    if (keyword == nullptr || keyword->nw_proto == 0) append_field({FieldId::kNwProto, "nw_proto"});
    append_fields(kUpper);
    return std::move(out_);
  }

 private:
  [[nodiscard]] const ShownKeyword* find_keyword() const {
    if (match_.mask.eth_type.host() != 0xffff) return nullptr;
    const auto at = std::ranges::find_if(kKeywords, [this](const ShownKeyword& k) {
      return k.eth_type == match_.value.eth_type.host() &&
             (k.nw_proto == 0 || (match_.mask.nw_proto == 0xff && match_.value.nw_proto == k.nw_proto));
    });
    return at == kKeywords.end() ? nullptr : &*at;
  }

  void begin_item(std::string_view item) {
    if (!out_.empty()) out_ += ',';
    out_ += item;
  }
  std::string& begin_value(std::string_view name) {
    begin_item(name);
    out_ += '=';
    return out_;
  }

  void append_ingress(const Field& f) {
    if (read_field(f, match_.mask) == 0) return;
    append_port(begin_value(f.name), PortNo{static_cast<std::uint32_t>(read_field(f, match_.value))}, names_);
  }

  // The wider views of them are shown as these, too.
  void append_registers() {
    for (std::size_t i = 0; i < match_.mask.reg.size(); ++i) {
      const auto id = static_cast<FieldId>(static_cast<std::size_t>(FieldId::kReg0) + i);
      append_field({id, field(id).name});
    }
  }

  // dl_vlan and dl_vlan_pcp where they say it all, vlan_tci under its mask else.
  void append_tag() {
    const unsigned mask = match_.mask.vlan[0].tci.host();
    const unsigned tci = match_.value.vlan[0].tci.host();
    if (mask == 0) return;
    const unsigned vid_mask = mask & 0x0fff, pcp_mask = mask & 0xe000;
    const bool tagged = (mask & tci & SHUNT_VLAN_PRESENT) != 0 && (vid_mask | pcp_mask) != 0;
    if (!tagged || (vid_mask != 0 && vid_mask != 0x0fff) || (pcp_mask != 0 && pcp_mask != 0xe000))
      return append_field({FieldId::kVlanTci, "vlan_tci", 4});
    if (vid_mask != 0) append_number(begin_value("dl_vlan"), tci & 0x0fff);
    if (pcp_mask != 0) append_number(begin_value("dl_vlan_pcp"), tci >> 13);
  }

  template <std::size_t kSize>
  void append_fields(const std::array<ShownField, kSize>& shown) {
    for (const ShownField& f : shown) append_field(f);
  }

  // Bytes of the key belong to several fields: the one shown is that which the match's packets have.
  void append_field(const ShownField& shown) {
    const Field& f = field(shown.id);
    const FieldBits mask = read_field(f, match_.mask);
    if (mask == 0 || !implied_by(f.prerequisite, match_)) return;
    begin_value(shown.name);
    if (shown.digits == 0) return format_field(out_, f, read_field(f, match_.value), mask);
    append_hex(out_, read_field(f, match_.value), shown.digits);
    if (mask == value_bits(f)) return;
    out_ += '/';
    append_hex(out_, mask, shown.digits);
  }

  const Match& match_;
  const PortNames& names_;
  std::string out_;
};

// "priority=N,match actions=...", with the blank before actions only where something stands before it.
void append_rule(std::string& out, std::uint16_t priority, const Match& match, std::span<const Action> actions,
                 const PortNames& names) {
  const std::string match_text = format_match(match, names);
  if (priority != kDefaultPriority) fmt::format_to(std::back_inserter(out), "priority={}", priority);
  if (priority != kDefaultPriority && !match_text.empty()) out += ',';
  out += match_text;
  if (!out.empty() && out.back() != ' ') out += ' ';
  out += "actions=";
  out += format_actions(actions, names);
}

// "idle_timeout=10, hard_timeout=20, send_flow_rem importance=3, "
void append_lifetime(std::string& out, std::uint16_t idle_timeout, std::uint16_t hard_timeout, std::uint16_t flags,
                     std::uint16_t importance) {
  if (idle_timeout != 0) fmt::format_to(std::back_inserter(out), "idle_timeout={}, ", idle_timeout);
  if (hard_timeout != 0) fmt::format_to(std::back_inserter(out), "hard_timeout={}, ", hard_timeout);
  append_flow_flags(out, flags);
  if (importance != 0) fmt::format_to(std::back_inserter(out), "importance={}, ", importance);
}

}  // namespace

std::string format_duration(TimePoint::duration age) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(age).count();
  if (milliseconds % 1000 == 0) return fmt::format("{}s", milliseconds / 1000);
  return fmt::format("{}.{:03}s", milliseconds / 1000, milliseconds % 1000);
}

std::string format_match(const Match& match, const PortNames& names) { return MatchFormatter{match, names}.text(); }

std::string format_flow_spec(const FlowMod& mod, const PortNames& names) {
  std::string out;
  if (mod.table) fmt::format_to(std::back_inserter(out), "table={}, ", *mod.table);
  if (mod.cookie_mask)
    fmt::format_to(std::back_inserter(out), "cookie={:#x}/{:#x}, ", mod.cookie, *mod.cookie_mask);
  else if (mod.cookie != 0)
    fmt::format_to(std::back_inserter(out), "cookie={:#x}, ", mod.cookie);
  if (mod.new_cookie) fmt::format_to(std::back_inserter(out), "cookie={:#x}, ", *mod.new_cookie);
  if (mod.out_port) {
    out += "out_port=";
    append_port(out, *mod.out_port, names);
    out += ", ";
  }
  if (mod.out_group) fmt::format_to(std::back_inserter(out), "out_group={}, ", *mod.out_group);
  append_lifetime(out, mod.idle_timeout, mod.hard_timeout, mod.flags, mod.importance);
  if (mod.command == FlowMod::Command::kDelete || mod.command == FlowMod::Command::kDeleteStrict) {
    if (mod.priority != kDefaultPriority) fmt::format_to(std::back_inserter(out), "priority={},", mod.priority);
    out += format_match(mod.match, names);
  } else {
    append_rule(out, mod.priority, mod.match, mod.actions, names);
  }
  return out;
}

std::string format_flow(const Rule& rule, TimePoint now, const PortNames& names) {
  std::string out =
      fmt::format("cookie={:#x}, duration={}, table={}, n_packets={}, n_bytes={}, ", rule.cookie,
                  format_duration(now - rule.created), rule.table, rule.counters.packets(), rule.counters.bytes());
  append_lifetime(out, rule.idle_timeout.load(std::memory_order_relaxed),
                  rule.hard_timeout.load(std::memory_order_relaxed), rule.flags, rule.importance);
  const auto seconds_since = [now](TimePoint then) {
    return std::chrono::duration_cast<std::chrono::seconds>(now - then).count();
  };
  const TimePoint modified{TimePoint::duration{rule.modified.load(std::memory_order_relaxed)}};
  fmt::format_to(std::back_inserter(out), "idle_age={}, ", seconds_since(std::max(rule.created, rule.counters.used())));
  if (modified > rule.created && seconds_since(modified) != seconds_since(rule.created))
    fmt::format_to(std::back_inserter(out), "hard_age={}, ", seconds_since(modified));
  append_rule(out, rule.priority, rule.match, rule.actions, names);
  return out;
}

}  // namespace shunt
