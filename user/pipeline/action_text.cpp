// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/action_text.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "user/base/error.h"
#include "user/flow/field_text.h"
#include "user/flow/fields.h"
#include "user/pipeline/action_text_fields.h"

namespace shunt {
namespace {

constexpr std::string_view kSeparators = ", \t\r\n";
constexpr std::size_t kMaxActions = 1024;  // of one rule: a bound on the memory and the time that it can ask for
constexpr std::uint16_t kMinMaxLen = 14;   // an Ethernet header

// One action of the text: "name", "name:argument" or "name(argument)".
struct ActionToken {
  std::string_view name;
  std::string_view argument;
  std::size_t name_column = 0;
  std::size_t argument_column = 0;
  bool has_argument = false;
  bool in_parentheses = false;
  bool quoted = false;  // the name was: a port, and nothing else
};

class ActionParser;
using Handler = void (ActionParser::*)(const ActionToken&);

struct KnownAction {
  std::string_view name;
  Handler handler;
  bool wants_argument;
};

// Actions of ovs-actions(7) whose parts of the switch come later.
constexpr auto kLater = std::to_array<std::string_view>({"apply_actions",
                                                         "bundle",
                                                         "bundle_load",
                                                         "check_pkt_larger",
                                                         "clear_actions",
                                                         "clone",
                                                         "conjunction",
                                                         "controller",
                                                         "ct",
                                                         "ct_clear",
                                                         "debug_recirc",
                                                         "debug_slow",
                                                         "dec_mpls_ttl",
                                                         "dec_nsh_ttl",
                                                         "decap",
                                                         "delete_field",
                                                         "encap",
                                                         "enqueue",
                                                         "exit",
                                                         "fin_timeout",
                                                         "goto_table",
                                                         "group",
                                                         "learn",
                                                         "meter",
                                                         "multipath",
                                                         "note",
                                                         "pop",
                                                         "pop_mpls",
                                                         "pop_queue",
                                                         "push",
                                                         "push_mpls",
                                                         "resubmit",
                                                         "sample",
                                                         "set_mpls_label",
                                                         "set_mpls_tc",
                                                         "set_mpls_ttl",
                                                         "set_queue",
                                                         "set_tunnel",
                                                         "set_tunnel64",
                                                         "table",
                                                         "write_actions",
                                                         "write_metadata"});

class ActionParser {
 public:
  ActionParser(std::string_view text, const Match& match, const PortNames& names, std::size_t column)
      : text_{text}, state_{match}, names_{names}, column_{column} {}

  ActionList parse() {
    while (skip_separators()) {
      const ActionToken token = next();
      if (actions_.size() >= kMaxActions)
        throw TextError(token.name_column, fmt::format("more than {} actions", kMaxActions));
      if (drop_column_ != 0 || (token.name == "drop" && !token.quoted && !actions_.empty()))
        throw TextError(drop_column_ != 0 ? drop_column_ : token.name_column,
                        "drop stands alone, without other actions");
      take(token);
    }
    if (actions_.empty()) actions_.emplace_back(DropAction{});
    return std::move(actions_);
  }

  void drop(const ActionToken& token) {
    drop_column_ = token.name_column;
    actions_.emplace_back(DropAction{});
  }
  void strip_vlan(const ActionToken&) {
    actions_.emplace_back(PopVlanAction{});
    pop_tag();
  }
  void push_vlan(const ActionToken& token) {
    const auto tpid = parse_number(token.argument, 0xffff, "the TPID", token.argument_column);
    if (tpid != 0x8100 && tpid != 0x88a8)
      throw TextError(token.argument_column, fmt::format("{} is no VLAN TPID (0x8100 or 0x88a8)", token.argument));
    if (implied_by(Prerequisite::kInnerVlan, state_))
      throw TextError(token.name_column, "the packet has two tags here already: a third cannot be pushed");
    actions_.emplace_back(PushVlanAction{static_cast<std::uint16_t>(tpid)});
    state_.value.vlan[1] = state_.value.vlan[0];
    state_.mask.vlan[1] = state_.mask.vlan[0];
    know_tag();
  }
  void mod_vlan_vid(const ActionToken& token) {
    add_vid(parse_number(token.argument, 0xfff, "the VLAN ID", token.argument_column));
  }
  void mod_vlan_pcp(const ActionToken& token) {
    add_pcp(parse_number(token.argument, 7, "the VLAN priority", token.argument_column));
  }
  void dec_ttl(const ActionToken& token) {
    if (token.has_argument)
      throw TextError(token.argument_column, "dec_ttl(ids) names controllers, which are not supported yet");
    actions_.emplace_back(DecTtlAction{});
  }
  void output(const ActionToken& token) {
    if (token.argument.find('[') != std::string_view::npos)
      throw TextError(token.argument_column, "output to the port that a field names is not supported yet");
    if (!token.in_parentheses) return add_output(parse_port(token.argument, names_, token.argument_column), token);
    output_truncated(token);
  }

  template <FieldId kId>
  void mod_field(const ActionToken& token) {
    const Field& f = field(kId);
    if (token.argument.find('/') != std::string_view::npos)
      throw TextError(token.argument_column, fmt::format("{} takes no mask: use set_field", token.name));
    if constexpr (kId == FieldId::kNwTos) check_tos(token.argument, token.argument_column);
    add_set(f, parse_field(f, token.argument, token.argument_column));
  }
  void set_vlan_vid(const ActionToken& token) {
    add_checked_set(field(FieldId::kVlanVid),
                    {parse_number(token.argument, 0xfff, "the VLAN ID", token.argument_column), 0xfff}, token);
  }
  void set_vlan_pcp(const ActionToken& token) {
    add_checked_set(field(FieldId::kVlanPcp),
                    {parse_number(token.argument, 7, "the VLAN priority", token.argument_column), 7}, token);
  }

  // set_field:VALUE[/MASK]->FIELD
  void set_field(const ActionToken& token) {
    const Arrow arrow = split_arrow(token.argument, token.argument_column);
    if (arrow.target.find('[') != std::string_view::npos)
      throw TextError(arrow.target_column, "set_field takes a whole field or a mask: use load for bits of a field");
    const Field& f = parse_field_name(arrow.target, arrow.target_column);
    if (f.id == FieldId::kVlanVid) return add_checked_set(f, parse_vlan_vid(arrow), token);
    if (f.id == FieldId::kNwTos) check_tos(arrow.source.substr(0, arrow.source.find('/')), arrow.source_column);
    check_writable(f, arrow.target_column);
    write(f, parse_field(f, arrow.source, arrow.source_column), token);
  }

  // load:VALUE->FIELD[a..b]
  void load(const ActionToken& token) {
    const Arrow arrow = split_arrow(token.argument, token.argument_column);
    const Subfield to = parse_subfield(arrow.target, arrow.target_column);
    check_writable(*to.field, arrow.target_column);
    const FieldBits max = low_bits(to.bit_count);
    FieldBits value = 0;
    if (to.bit_count == to.field->width && !number_from(arrow.source) &&
        arrow.source.find('/') == std::string_view::npos)
      value = parse_field(*to.field, arrow.source, arrow.source_column).value;  // an address, as it is written
    else
      value = parse_number(arrow.source, max, "the value", arrow.source_column);
    if (to.field->id == FieldId::kNwTos && (value << to.first_bit & 3) != 0)
      check_tos(arrow.source, arrow.source_column);
    const FieldBits mask = max << to.first_bit & value_bits(*to.field);
    write(*to.field, {value << to.first_bit & mask, mask}, token);
  }

  // move:SRC[a..b]->DST[c..d]
  void move(const ActionToken& token) {
    const Arrow arrow = split_arrow(token.argument, token.argument_column);
    const Subfield from = parse_subfield(arrow.source, arrow.source_column);
    Subfield to = parse_subfield(arrow.target, arrow.target_column);
    if (from.bit_count != to.bit_count)
      throw TextError(token.argument_column,
                      fmt::format("the source is {} bits wide, the destination {}", from.bit_count, to.bit_count));
    if (from.field->id == FieldId::kInPort)
      throw TextError(arrow.source_column, "a port number cannot be moved to a header field");
    check_writable(*to.field, arrow.target_column);
    if (to.field->id == FieldId::kVlanTci || to.field->id == FieldId::kDlVlan || to.field->id == FieldId::kDlVlanPcp)
      to = part_of_tag(to, arrow.target_column);
    check_prerequisite(*from.field, arrow.source_column);
    check_prerequisite(*to.field, arrow.target_column);
    actions_.emplace_back(MoveAction{from.field, to.field, from.first_bit, to.first_bit, from.bit_count});
  }

 private:
  bool skip_separators() {
    pos_ = std::min(text_.find_first_not_of(kSeparators, pos_), text_.size());
    return pos_ < text_.size();
  }

  ActionToken next() {
    ActionToken token;
    token.name_column = column_ + pos_;
    if (text_[pos_] == '"') {
      const std::size_t end = text_.find('"', pos_ + 1);
      if (end == std::string_view::npos) throw TextError(token.name_column, "the closing quote is missing");
      token.quoted = true;
      token.name = text_.substr(pos_, end + 1 - pos_);
      pos_ = end + 1;
      return token;
    }
    const std::size_t end = std::min(text_.find_first_of(":=(, \t\r\n", pos_), text_.size());
    token.name = text_.substr(pos_, end - pos_);
    pos_ = end;
    if (pos_ == text_.size() || kSeparators.find(text_[pos_]) != std::string_view::npos) return token;
    token.has_argument = true;
    token.in_parentheses = text_[pos_] == '(';
    ++pos_;
    token.argument_column = column_ + pos_;
    const std::size_t argument_end = token.in_parentheses ? closing_parenthesis(token) : argument_end_at();
    token.argument = text_.substr(pos_, argument_end - pos_);
    pos_ = argument_end + (token.in_parentheses ? 1 : 0);
    return token;
  }

  [[nodiscard]] std::size_t closing_parenthesis(const ActionToken& token) const {
    int depth = 1;
    bool quoted = false;
    for (std::size_t at = pos_; at < text_.size(); ++at) {
      if (text_[at] == '"') quoted = !quoted;
      if (quoted) continue;
      if (text_[at] == '(') ++depth;
      if (text_[at] == ')' && --depth == 0) return at;
    }
    throw TextError(token.argument_column - 1, "the closing parenthesis is missing");
  }

  // Up to the next separator outside parentheses and quotes.
  [[nodiscard]] std::size_t argument_end_at() const {
    int depth = 0;
    bool quoted = false;
    std::size_t at = pos_;
    for (; at < text_.size(); ++at) {
      const char c = text_[at];
      if (c == '"') quoted = !quoted;
      if (quoted) continue;
      if (c == '(') ++depth;
      if (c == ')') --depth;
      if (depth <= 0 && kSeparators.find(c) != std::string_view::npos) break;
    }
    return at;
  }

  void take(const ActionToken& token);

  void output_truncated(const ActionToken& token) {
    std::string_view port;
    std::size_t port_column = 0;
    std::uint16_t max_len = 0;
    for (std::size_t at = 0; (at = token.argument.find_first_not_of(kSeparators, at)) != std::string_view::npos;) {
      const std::size_t end = std::min(token.argument.find_first_of(kSeparators, at), token.argument.size());
      const std::string_view item = token.argument.substr(at, end - at);
      const std::size_t column = token.argument_column + at;
      if (item.starts_with("port=") && port.empty()) {
        port = item.substr(5);
        port_column = column + 5;
      } else if (item.starts_with("max_len=") && max_len == 0) {
        max_len = static_cast<std::uint16_t>(parse_number(item.substr(8), 0xffff, "max_len", column + 8));
        if (max_len < kMinMaxLen)
          throw TextError(column + 8, fmt::format("max_len is at least {}, an Ethernet header", kMinMaxLen));
      } else {
        throw TextError(column, fmt::format("'{}' is not port=PORT or max_len=BYTES, once each", item));
      }
      at = end;
    }
    if (port.empty() || max_len == 0)
      throw TextError(token.argument_column, "output(port=PORT,max_len=BYTES) wants both");
    add_output(parse_port(port, names_, port_column), token, max_len);
  }

  void add_output(PortNo port, const ActionToken& token, std::uint16_t max_len = 0) {
    const std::size_t column = token.has_argument ? token.argument_column : token.name_column;
    if (port == kPortController)
      throw TextError(column, "controller is not supported yet: packet-in comes with OpenFlow");
    if (port == kPortTable || port == kPortNone) throw TextError(column, "this port takes no output");
    if (max_len != 0 && (port == kPortNormal || port == kPortFlood || port == kPortAll))
      throw TextError(column, "max_len is for one port");
    actions_.emplace_back(OutputAction{port, max_len});
  }

  // Turns a write of vlan_tci or dl_vlan into the actions on tags that it means; the rest is a set_field.
  void write(const Field& f, FieldText text, const ActionToken& token) {
    const bool whole = text.mask == value_bits(f);
    switch (f.id) {
      case FieldId::kDlVlan:
        return whole ? add_vid(text.value) : add_checked_set(field(FieldId::kVlanVid), text, token);
      case FieldId::kDlVlanPcp:
        return whole ? add_pcp(text.value) : add_checked_set(field(FieldId::kVlanPcp), text, token);
      case FieldId::kVlanTci:
        return write_tci(text, token);
      default:
        return add_checked_set(f, text, token);
    }
  }

  void write_tci(FieldText text, const ActionToken& token) {
    const bool tag_bit = (text.mask & SHUNT_VLAN_PRESENT) != 0;
    const bool whole = text.mask == 0xffff;
    if (whole && text.value == 0) return strip_vlan(token);
    if (whole && (text.value & SHUNT_VLAN_PRESENT) != 0) {
      add_vid(text.value & 0xfff);
      return add_pcp(text.value >> 13);
    }
    if (tag_bit)
      throw TextError(
          token.argument_column,
          "of vlan_tci write the whole (0x1000 set: the packet has a tag; 0: it has none), or leave bit 12 alone");
    if ((text.mask & 0xfff) != 0)
      add_checked_set(field(FieldId::kVlanVid), {text.value & 0xfff, text.mask & 0xfff}, token);
    if (text.mask >> 13 != 0) add_checked_set(field(FieldId::kVlanPcp), {text.value >> 13, text.mask >> 13}, token);
  }

  // The VID or the PCP where the bits lie in one of them.
  static Subfield part_of_tag(Subfield to, std::size_t column) {
    const int shift = to.field->shift;
    const int first = to.first_bit + shift, end = first + to.bit_count;
    if (end <= 12) return {&field(FieldId::kVlanVid), static_cast<std::uint16_t>(first), to.bit_count};
    if (first >= 13 && end <= 16)
      return {&field(FieldId::kVlanPcp), static_cast<std::uint16_t>(first - 13), to.bit_count};
    throw TextError(column, "of vlan_tci move to the VID (bits 0 to 11) or to the PCP (13 to 15)");
  }

  static FieldText parse_vlan_vid(const Arrow& arrow) {
    const std::size_t slash = arrow.source.find('/');
    const FieldBits value =
        parse_number(arrow.source.substr(0, slash), SHUNT_VLAN_PRESENT | 0xfff, "vlan_vid", arrow.source_column);
    if (slash == std::string_view::npos) return {value & 0xfff, 0xfff};
    const FieldBits mask = parse_number(arrow.source.substr(slash + 1), SHUNT_VLAN_PRESENT | 0xfff, "the mask",
                                        arrow.source_column + slash + 1);
    return {value & mask & 0xfff, mask & 0xfff};
  }

  void add_vid(FieldBits vid) {
    actions_.emplace_back(SetVlanVidAction{static_cast<std::uint16_t>(vid)});
    if (!implied_by(Prerequisite::kVlan, state_)) know_tag();
  }
  void add_pcp(FieldBits pcp) {
    actions_.emplace_back(SetVlanPcpAction{static_cast<std::uint8_t>(pcp)});
    if (!implied_by(Prerequisite::kVlan, state_)) know_tag();
  }

  void add_set(const Field& f, FieldText text) {
    SetFieldAction action{.field = &f, .set = {}};
    write_field(f, action.set.value, text.value);
    write_field(f, action.set.mask, text.mask);
    actions_.emplace_back(action);
  }
  void add_checked_set(const Field& f, FieldText text, const ActionToken& token) {
    check_prerequisite(f, token.argument_column);
    add_set(f, text);
  }

  void check_prerequisite(const Field& f, std::size_t column) const {
    if (implied_by(f.prerequisite, state_)) return;
    throw TextError(
        column, fmt::format("{} needs {} in the match, or from the actions before", f.name, describe(f.prerequisite)));
  }

  // What is known of the tags after push_vlan and pop_vlan.
  void know_tag() {
    state_.value.vlan[0] = {.tpid = shunt_be16{0}, .tci = shunt_be16{SHUNT_VLAN_PRESENT}};
    state_.mask.vlan[0] = {.tpid = shunt_be16{0}, .tci = shunt_be16{SHUNT_VLAN_PRESENT}};
  }
  void pop_tag() {
    state_.value.vlan[0] = std::exchange(state_.value.vlan[1], {});
    state_.mask.vlan[0] = std::exchange(state_.mask.vlan[1], {});
  }

  std::string_view text_;
  Match state_;  // what is known of the packet: the rule's match, and the tags that the actions push and pop
  const PortNames& names_;
  std::size_t column_;
  std::size_t pos_ = 0;
  std::size_t drop_column_ = 0;
  ActionList actions_;
};

constexpr auto kActions = std::to_array<KnownAction>({
    {"output", &ActionParser::output, true},
    {"drop", &ActionParser::drop, false},
    {"set_field", &ActionParser::set_field, true},
    {"load", &ActionParser::load, true},
    {"move", &ActionParser::move, true},
    {"mod_dl_src", &ActionParser::mod_field<FieldId::kEthSrc>, true},
    {"mod_dl_dst", &ActionParser::mod_field<FieldId::kEthDst>, true},
    {"mod_nw_src", &ActionParser::mod_field<FieldId::kIpSrc>, true},
    {"mod_nw_dst", &ActionParser::mod_field<FieldId::kIpDst>, true},
    {"mod_nw_tos", &ActionParser::mod_field<FieldId::kNwTos>, true},
    {"mod_nw_ecn", &ActionParser::mod_field<FieldId::kNwEcn>, true},
    {"mod_nw_ttl", &ActionParser::mod_field<FieldId::kNwTtl>, true},
    {"mod_tp_src", &ActionParser::mod_field<FieldId::kTpSrc>, true},
    {"mod_tp_dst", &ActionParser::mod_field<FieldId::kTpDst>, true},
    {"mod_vlan_vid", &ActionParser::mod_vlan_vid, true},
    {"mod_vlan_pcp", &ActionParser::mod_vlan_pcp, true},
    {"set_vlan_vid", &ActionParser::set_vlan_vid, true},
    {"set_vlan_pcp", &ActionParser::set_vlan_pcp, true},
    {"push_vlan", &ActionParser::push_vlan, true},
    {"pop_vlan", &ActionParser::strip_vlan, false},
    {"strip_vlan", &ActionParser::strip_vlan, false},
    {"dec_ttl", &ActionParser::dec_ttl, false},
});

[[noreturn]] void refuse(const ActionToken& token, const PortNames& names) {
  if (std::ranges::find(kLater, token.name) != kLater.end())
    throw TextError(token.name_column, fmt::format("action {} is not supported yet", token.name));
  std::vector<std::string_view> known = names.names();
  for (const KnownAction& action : kActions) known.push_back(action.name);
  for (std::string_view word : {"normal", "flood", "all", "local", "in_port"}) known.push_back(word);
  const std::string_view near = nearest(token.name, known);
  if (near.empty()) throw TextError(token.name_column, fmt::format("no action and no port is called '{}'", token.name));
  throw TextError(token.name_column,
                  fmt::format("no action and no port is called '{}' (did you mean '{}'?)", token.name, near));
}

void ActionParser::take(const ActionToken& token) {
  const auto known = std::ranges::find(kActions, token.name, &KnownAction::name);
  if (known != kActions.end() && !token.quoted) {
    if (known->wants_argument && (!token.has_argument || token.argument.empty()))
      throw TextError(token.name_column, fmt::format("{} wants a value: {}:...", token.name, token.name));
    if (!known->wants_argument && token.has_argument && known->handler != &ActionParser::dec_ttl)
      throw TextError(token.argument_column - 1, fmt::format("{} takes no value", token.name));
    return (this->*known->handler)(token);
  }
  const bool is_port = token.quoted || number_from(token.name) || reserved_port(token.name) || names_.find(token.name);
  if (!is_port || std::ranges::find(kLater, token.name) != kLater.end()) refuse(token, names_);
  const PortNo port = parse_port(token.name, names_, token.name_column);
  if (token.has_argument && port != kPortController)
    throw TextError(token.argument_column - 1, fmt::format("{} takes no value", token.name));
  add_output(port, token);
}

}  // namespace

ActionList parse_actions(std::string_view text, const Match& match, const PortNames& names, std::size_t column) {
  return ActionParser{text, match, names, column}.parse();
}

}  // namespace shunt
