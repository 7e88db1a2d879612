// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/rule_text_match.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "user/base/error.h"
#include "user/base/of_error.h"
#include "user/flow/field_text.h"
#include "user/flow/fields.h"
#include "user/pipeline/rule_text_settings.h"

namespace shunt {
namespace {

struct Keyword {
  std::string_view word;
  std::uint16_t eth_type;     // 0: any
  std::uint8_t nw_proto = 0;  // 0: any
};
constexpr auto kKeywords = std::to_array<Keyword>({
    {"eth", 0},           {"ip", 0x0800},         {"ipv4", 0x0800},      {"ip4", 0x0800},
    {"icmp", 0x0800, 1},  {"icmp4", 0x0800, 1},   {"tcp", 0x0800, 6},    {"tcp4", 0x0800, 6},
    {"udp", 0x0800, 17},  {"udp4", 0x0800, 17},   {"sctp", 0x0800, 132}, {"sctp4", 0x0800, 132},
    {"ipv6", 0x86dd},     {"ip6", 0x86dd},        {"icmp6", 0x86dd, 58}, {"tcp6", 0x86dd, 6},
    {"udp6", 0x86dd, 17}, {"sctp6", 0x86dd, 132}, {"arp", 0x0806},       {"rarp", 0x8035},
    {"mpls", 0x8847},     {"mplsm", 0x8848},      {"pbb", 0x88e7},
});

// Fields and settings of Open vSwitch that are not there. A name ending in '*' stands for all that begin so.
constexpr auto kLater =
    std::to_array<std::string_view>({"tun_*", "ct_*", "recirc_id", "dp_hash", "packet_type", "nsh_*", "nd_reserved",
                                     "nd_options_type", "allow_hidden_fields", "bundle"});

// OpenFlow's IN_PHY_PORT: no port here has another one below it, so it is in_port again.
constexpr std::string_view kInPhyPort = "in_phy_port";

// dl_vlan=0xffff: OpenFlow 1.0's way to say "no tag".
constexpr FieldBits kOfpVlanNone = 0xffff;
constexpr FieldBits kVidMask = 0x0fff;

const Keyword* find_keyword(std::string_view word) noexcept {
  const auto at = std::ranges::find(kKeywords, word, &Keyword::word);
  return at == kKeywords.end() ? nullptr : &*at;
}

bool comes_later(std::string_view name) noexcept {
  return std::ranges::any_of(kLater, [name](std::string_view later) {
    return later.ends_with('*') ? name.starts_with(later.substr(0, later.size() - 1)) : name == later;
  });
}

[[noreturn]] void refuse(std::size_t column, const std::string& message, OfErrorCode code) {
  throw TextError(column, message, code);
}

// Joins what one token says with what the others said.
class MatchBuilder {
 public:
  explicit MatchBuilder(const PortNames& names) : names_{names} {}

  void add_keyword(const MatchToken& token, const Keyword& keyword) {
    if (token.has_value)
      refuse(token.value_column - 1, fmt::format("'{}' stands alone, without a value", token.key),
             OfErrorCode::kBadMatchField);
    const Field& type = field(FieldId::kEthType);
    const Field& protocol = field(FieldId::kNwProto);
    if (keyword.eth_type != 0) add(token, type, {keyword.eth_type, value_bits(type)});
    if (keyword.nw_proto != 0) add(token, protocol, {keyword.nw_proto, value_bits(protocol)});
  }

  void add_field(const MatchToken& token, const Field& named) {
    const Field& f = for_arp(named);
    if (!token.has_value)
      refuse(token.key_column, fmt::format("{} wants a value: {}=...", token.key, token.key),
             OfErrorCode::kBadMatchValue);
    if (token.key == kInPhyPort) return add_in_phy_port(token);
    if (std::exchange(seen_[static_cast<std::size_t>(f.id)], true))
      refuse(token.key_column, fmt::format("{} was given already", token.key), OfErrorCode::kDuplicateField);
    switch (f.id) {
      case FieldId::kInPort:
        return add(token, f, {ingress_port(token).value, value_bits(f)});
      case FieldId::kActsetOutput:
        return add(token, f, {port(token).value, value_bits(f)});
      case FieldId::kDlVlan:
        return add_tci(token, dl_vlan(token));
      case FieldId::kVlanVid:
        return add_tci(token, vlan_vid(token));
      case FieldId::kDlVlanPcp:
      case FieldId::kVlanPcp:
        return add_tci(token, vlan_pcp(token, f));
      default:
        return add(token, f, parse_field(f, token.value, token.value_column));
    }
  }

  // Whether the packets that match have the field at all is known only when all tokens were read.
  void check_prerequisite(const MatchToken& token, const Field& named) const {
    const Field& f = for_arp(named);
    if (token.key == kInPhyPort && !seen_[static_cast<std::size_t>(FieldId::kInPort)])
      refuse(token.key_column, "in_phy_port needs in_port in the match", OfErrorCode::kBadPrerequisite);
    if (f.prerequisite == Prerequisite::kVlan || implied_by(f.prerequisite, match_)) return;
    refuse(token.key_column, fmt::format("{} needs {} in the match", token.key, describe(f.prerequisite)),
           OfErrorCode::kBadPrerequisite);
  }

  [[nodiscard]] const Match& match() const { return match_; }

 private:
  // nw_src, nw_dst and nw_proto of ARP are its own fields.
  [[nodiscard]] const Field& for_arp(const Field& named) const {
    if (!implied_by(Prerequisite::kArp, match_)) return named;
    switch (named.id) {
      case FieldId::kIpSrc:
        return field(FieldId::kArpSpa);
      case FieldId::kIpDst:
        return field(FieldId::kArpTpa);
      case FieldId::kNwProto:
        return field(FieldId::kArpOp);
      default:
        return named;
    }
  }

  void add(const MatchToken& token, const Field& f, FieldText text) {
    Match more;
    write_field(f, more.value, text.value);
    write_field(f, more.mask, text.mask);
    if (!more.overlaps(match_))
      refuse(token.key_column, fmt::format("{} contradicts what the match says already", token.key),
             OfErrorCode::kDuplicateField);
    join(more);
  }

  void add_tci(const MatchToken& token, FieldText text) { add(token, field(FieldId::kVlanTci), text); }

  void join(const Match& more) {
    PipelineWords value = to_words(match_.value);
    const PipelineWords more_value = to_words(more.value);
    for (std::size_t i = 0; i < value.size(); ++i) value[i] |= more_value[i];
    match_.value = from_words(value);
    add_mask(match_.mask, more.mask);
  }

  void add_in_phy_port(const MatchToken& token) {
    const Field& f = field(FieldId::kInPort);
    add(token, f, {ingress_port(token).value, value_bits(f)});
  }

  [[nodiscard]] PortNo port(const MatchToken& token) const {
    const std::size_t slash = token.value.find('/');
    if (slash != std::string_view::npos && !token.value.starts_with('"'))
      refuse(token.value_column + slash, fmt::format("{} takes no mask", token.key), OfErrorCode::kBadMatchMask);
    return parse_port(token.value, names_, token.value_column, OfErrorCode::kBadMatchValue);
  }

  // CONTROLLER: what a controller sends out of no port of ours (packet-out) may say that it came from there.
  [[nodiscard]] PortNo ingress_port(const MatchToken& token) const {
    const PortNo number = port(token);
    if (number.value >= kPortUnset.value && number != kPortLocal && number != kPortController)
      refuse(token.value_column, fmt::format("no packet comes in on {}", token.value), OfErrorCode::kBadMatchValue);
    return number;
  }

  static FieldText dl_vlan(const MatchToken& token) {
    const Field& f = field(FieldId::kDlVlan);
    if (const auto number = number_from(token.value); number == kOfpVlanNone) return {0, 0xffff};
    const FieldText vid = parse_field(f, token.value, token.value_column);
    return {vid.value | SHUNT_VLAN_PRESENT, vid.mask | SHUNT_VLAN_PRESENT};
  }

  // OXM's vlan_vid: 13 bits, of which the uppermost says that there is a tag; 0 is "no tag".
  static FieldText vlan_vid(const MatchToken& token) {
    constexpr FieldBits kBits = kVidMask | SHUNT_VLAN_PRESENT;
    const std::size_t slash = token.value.find('/');
    FieldText vid{parse_number(token.value.substr(0, slash), kBits, "vlan_vid", token.value_column), kBits};
    if (slash != std::string_view::npos)
      vid.mask =
          parse_number(token.value.substr(slash + 1), 0xffff, "the mask", token.value_column + slash + 1) & kBits;
    vid.value &= vid.mask;
    if ((vid.mask & SHUNT_VLAN_PRESENT) != 0 && (vid.value & SHUNT_VLAN_PRESENT) == 0 && vid.value != 0)
      refuse(token.value_column,
             fmt::format("no packet has a VID without a tag: write dl_vlan={0} or vlan_vid={1:#x}",
                         static_cast<unsigned>(vid.value), static_cast<unsigned>(vid.value) | SHUNT_VLAN_PRESENT),
             OfErrorCode::kBadMatchValue);
    return vid;
  }

  static FieldText vlan_pcp(const MatchToken& token, const Field& f) {
    const FieldText pcp = parse_field(f, token.value, token.value_column);
    return {pcp.value << f.shift | SHUNT_VLAN_PRESENT, pcp.mask << f.shift | SHUNT_VLAN_PRESENT};
  }

  const PortNames& names_;
  Match match_;
  std::array<bool, kFieldCount> seen_{};
};

[[noreturn]] void refuse_key(const MatchToken& token) {
  constexpr OfErrorCode kCode = OfErrorCode::kBadMatchField;
  if (comes_later(token.key)) refuse(token.key_column, fmt::format("{} is not supported yet", token.key), kCode);
  const std::string_view near = nearest(token.key, known_keys());
  if (near.empty()) refuse(token.key_column, fmt::format("unknown field or keyword '{}'", token.key), kCode);
  refuse(token.key_column, fmt::format("unknown field or keyword '{}' (did you mean '{}'?)", token.key, near), kCode);
}

// What decides how the rest is read comes first: keywords and eth_type, then nw_proto.
int stage_of(const Field* f) {
  if (f == nullptr || f->id == FieldId::kEthType) return 0;
  return f->id == FieldId::kNwProto ? 1 : 2;
}

Match build_match(std::span<const MatchToken> tokens, const PortNames& names, bool checks_prerequisites) {
  MatchBuilder builder{names};
  std::array<bool, 3> stage_used{};
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const MatchToken& token = tokens[i];
    if (!is_match_key(token.key)) refuse_key(token);
    for (std::size_t j = 0; j < i; ++j)
      if (tokens[j].key == token.key)
        refuse(token.key_column, fmt::format("{} was given already", token.key), OfErrorCode::kDuplicateField);
    stage_used[static_cast<std::size_t>(stage_of(find_field(token.key)))] = true;
  }
  for (int stage = 0; stage < 3; ++stage) {
    if (!stage_used[static_cast<std::size_t>(stage)]) continue;
    for (const MatchToken& token : tokens) {
      const Field* f = find_field(token.key);
      if (stage_of(f) != stage) continue;
      if (f == nullptr)
        builder.add_keyword(token, *find_keyword(token.key));
      else
        builder.add_field(token, *f);
    }
  }
  for (const MatchToken& token : tokens)
    if (const Field* f = find_field(token.key); f != nullptr && checks_prerequisites)
      builder.check_prerequisite(token, *f);
  return builder.match();
}

}  // namespace

Match parse_match(std::span<const MatchToken> tokens, const PortNames& names, bool checks_prerequisites) {
  try {
    return build_match(tokens, names, checks_prerequisites);
  } catch (const TextError& error) {
    throw TextError(error.column(), error.reason(), error.code().value_or(OfErrorCode::kBadMatchValue));
  }
}

bool is_match_key(std::string_view key) noexcept {
  const Field* f = find_field(key);
  return f != nullptr ? key == f->name || key == f->alias || key == kInPhyPort : find_keyword(key) != nullptr;
}

std::span<const std::string_view> known_keys() {
  static const std::vector<std::string_view> keys = [] {
    std::vector<std::string_view> all{"actions", kInPhyPort};
    for (const RuleSettings::Setting& setting : RuleSettings::all()) all.push_back(setting.key);
    for (const Keyword& keyword : kKeywords) all.push_back(keyword.word);
    for (const Field& f : fields()) {
      all.push_back(f.name);
      if (!f.alias.empty()) all.push_back(f.alias);
    }
    return all;
  }();
  return keys;
}

}  // namespace shunt
