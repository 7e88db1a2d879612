// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/action_text_learn.h"

#include <array>
#include <iterator>
#include <limits>
#include <string_view>
#include <utility>

#include "user/pipeline/action_text_parser.h"
#include "user/pipeline/rule.h"

namespace shunt::action_text {
namespace {

using Spec = LearnAction::Spec;
using Kind = Spec::Kind;

bool is_field(std::string_view text) { return find_field(text.substr(0, text.find('['))) != nullptr; }

// As the field's name alone stands for it.
bool is_whole(const Subfield& bits) {
  const unsigned width = bits.field->id == FieldId::kInPort && bits.bit_count == 16 ? 16u : bits.field->width;
  return bits.first_bit == 0 && bits.bit_count == width;
}

std::string_view name_of(const Subfield& whole) {
  if (whole.field->id == FieldId::kInPort && whole.bit_count != 16) return "in_port_oxm";
  return whole.field->name;
}

class LearnParser {
 public:
  LearnParser(Scope& scope, const ActionToken& token) : scope_{scope}, items_{token.argument, token.argument_column} {}

  LearnAction parse() {
    while (const auto item = items_.next())
      if (!take_setting(*item)) take_spec(*item);
    return std::move(action_);
  }

 private:
  struct Setting {
    std::string_view key;
    void (LearnParser::*set)(const Item&);
    bool has_value;
  };

  bool take_setting(const Item& item) {
    static constexpr std::array<Setting, 11> kSettings{
        {{"table", &LearnParser::set_table, true},
         {"idle_timeout", &LearnParser::set_number<&LearnAction::idle_timeout>, true},
         {"hard_timeout", &LearnParser::set_number<&LearnAction::hard_timeout>, true},
         {"fin_idle_timeout", &LearnParser::set_number<&LearnAction::fin_idle_timeout>, true},
         {"fin_hard_timeout", &LearnParser::set_number<&LearnAction::fin_hard_timeout>, true},
         {"priority", &LearnParser::set_number<&LearnAction::priority>, true},
         {"cookie", &LearnParser::set_cookie, true},
         {"limit", &LearnParser::set_limit, true},
         {"result_dst", &LearnParser::set_result, true},
         {"send_flow_rem", &LearnParser::set_flag<&LearnAction::send_flow_removed>, false},
         {"delete_learned", &LearnParser::set_flag<&LearnAction::delete_learned>, false}}};
    for (std::size_t i = 0; i < kSettings.size(); ++i) {
      if (item.key != kSettings[i].key) continue;
      if (item.has_value != kSettings[i].has_value)
        throw TextError(item.column,
                        fmt::format("{} {}", item.key, item.has_value ? "takes no value" : "wants a value"));
      if (std::exchange(given_[i], true)) throw TextError(item.column, fmt::format("{} was given already", item.key));
      (this->*kSettings[i].set)(item);
      return true;
    }
    return false;
  }

  void set_table(const Item& item) { action_.table = parse_table(item.value, item.value_column); }
  void set_cookie(const Item& item) {
    action_.cookie = static_cast<std::uint64_t>(
        parse_number(item.value, std::numeric_limits<std::uint64_t>::max(), "cookie", item.value_column));
  }
  void set_limit(const Item& item) { action_.limit = parse_u32(item.value, "limit", item.value_column); }
  void set_result(const Item& item) {
    action_.result = scope_.parse_target(item.value, item.value_column);
    if (action_.result->bit_count != 1) throw TextError(item.value_column, "the result is one bit: reg0[0]");
  }
  template <std::uint16_t LearnAction::*kMember>
  void set_number(const Item& item) {
    action_.*kMember = parse_u16(item.value, item.key, item.value_column);
  }
  template <bool LearnAction::*kMember>
  void set_flag(const Item&) {
    action_.*kMember = true;
  }

  void take_spec(const Item& item) {
    if (item.key == "load" && item.has_value) return add_load(item);
    if (item.key == "output" && item.has_value) return add_output_of(item);
    add_match(item);
  }

  // FIELD=VALUE, FIELD=FIELD, FIELD
  void add_match(const Item& item) {
    if (!is_field(item.key))
      throw TextError(item.column, fmt::format("'{}' is no field, and nothing else that learn knows", item.key));
    const Subfield to = parse_subfield(item.key, item.column);
    if (!is_maskable(*to.field) && !is_whole(to))
      throw TextError(item.column, fmt::format("{} is matched whole", to.field->name));
    if (!implied_by(to.field->prerequisite, learned_))
      throw TextError(
          item.column,
          fmt::format("{} needs {} among the matches before", to.field->name, describe(to.field->prerequisite)),
          OfErrorCode::kMatchInconsistent);
    if (!item.has_value || is_field(item.value)) {
      const Subfield from = item.has_value ? scope_.parse_source(item.value, item.value_column)
                                           : scope_.parse_source(item.key, item.column);
      check_widths(from, to, item.column);
      return action_.specs.push_back({.kind = Kind::kMatchField, .source = from, .target = to});
    }
    const FieldBits value = parse_value(to, item.value, item.value_column);
    action_.specs.push_back({.kind = Kind::kMatchValue, .source = {}, .value = value, .target = to});
    write_subfield(to, learned_.value, value);
    write_subfield(to, learned_.mask, ~FieldBits{0});
  }

  // load:VALUE->FIELD, load:FIELD->FIELD
  void add_load(const Item& item) {
    const Arrow arrow = split_arrow(item.value, item.value_column);
    Subfield to = parse_subfield(arrow.target, arrow.target_column);
    check_writable(*to.field, arrow.target_column);
    const bool whole_tag = to.field->id == FieldId::kVlanTci && is_whole(to);  // pushed, changed or taken off
    if (!whole_tag &&
        (to.field->id == FieldId::kVlanTci || to.field->id == FieldId::kDlVlan || to.field->id == FieldId::kDlVlanPcp))
      to = part_of_tag(to, arrow.target_column);
    if (!implied_by(to.field->prerequisite, learned_))
      throw TextError(
          arrow.target_column,
          fmt::format("{} needs {} among the matches before", to.field->name, describe(to.field->prerequisite)),
          OfErrorCode::kMatchInconsistent);
    if (is_field(arrow.source)) {
      const Subfield from = scope_.parse_source(arrow.source, arrow.source_column);
      check_widths(from, to, arrow.source_column);
      return action_.specs.push_back({.kind = Kind::kLoadField, .source = from, .target = to});
    }
    action_.specs.push_back({.kind = Kind::kLoadValue,
                             .source = {},
                             .value = parse_value(to, arrow.source, arrow.source_column),
                             .target = to});
  }

  void add_output_of(const Item& item) {
    action_.specs.push_back(
        {.kind = Kind::kOutputField, .source = scope_.parse_source(item.value, item.value_column), .target = {}});
  }

  FieldBits parse_value(const Subfield& to, std::string_view text, std::size_t column) {
    if (!is_whole(to) || number_from(text)) return parse_number(text, low_bits(to.bit_count), "the value", column);
    if (to.field->format == FieldFormat::kPort)
      return parse_port(text, scope_.names, column).value & low_bits(to.bit_count);
    const FieldText parsed = parse_field(*to.field, text, column);
    if (parsed.mask != value_bits(*to.field)) throw TextError(column, "learn takes values without a mask");
    return parsed.value;
  }

  static void check_widths(const Subfield& from, const Subfield& to, std::size_t column) {
    if (from.bit_count != to.bit_count)
      throw TextError(column,
                      fmt::format("the source is {} bits wide, the destination {}", from.bit_count, to.bit_count));
  }

  Scope& scope_;
  Items items_;
  LearnAction action_;
  Match learned_;  // what the matches so far fix
  std::array<bool, 11> given_{};
};

void learn(Scope& scope, const ActionToken& token) { scope.add(LearnParser{scope, token}.parse()); }

constexpr auto kActions = std::to_array<KnownAction>({{"learn", learn, Argument::kMayBeEmpty}});

void append_value(std::string& out, const Spec& spec, const PortNames& names) {
  const Field& f = *spec.target.field;
  if (!is_whole(spec.target)) {
    append_subfield(out, spec.target);
    out += '=';
    return append_plain_hex(out, spec.value);
  }
  out += name_of(spec.target);
  out += '=';
  if (f.format != FieldFormat::kPort) return format_field(out, f, spec.value, value_bits(f));
  const PortNo port = spec.target.bit_count == 16 ? port_from_16(static_cast<std::uint16_t>(spec.value))
                                                  : PortNo{static_cast<std::uint32_t>(spec.value)};
  append_port(out, port, names);
}

void append_spec(std::string& out, const Spec& spec, const PortNames& names) {
  switch (spec.kind) {
    case Kind::kMatchValue:
      return append_value(out, spec, names);
    case Kind::kMatchField:
      append_subfield(out, spec.target);
      if (spec.source == spec.target) return;
      out += '=';
      return append_subfield(out, spec.source);
    case Kind::kLoadField:
    case Kind::kLoadValue:
      out += "load:";
      if (spec.kind == Kind::kLoadField)
        append_subfield(out, spec.source);
      else
        append_plain_hex(out, spec.value);
      out += "->";
      return append_subfield(out, spec.target);
    case Kind::kOutputField:
      out += "output:";
      return append_subfield(out, spec.source);
  }
}

}  // namespace

std::span<const KnownAction> learn_actions() { return kActions; }

void append_learn(std::string& out, const LearnAction& action, const PortNames& names) {
  const auto number = [&out](std::string_view name, std::uint64_t value, std::uint64_t unsaid) {
    if (value != unsaid) fmt::format_to(std::back_inserter(out), ",{}={}", name, value);
  };
  fmt::format_to(std::back_inserter(out), "learn(table={}", action.table);
  number("idle_timeout", action.idle_timeout, 0);
  number("hard_timeout", action.hard_timeout, 0);
  number("fin_idle_timeout", action.fin_idle_timeout, 0);
  number("fin_hard_timeout", action.fin_hard_timeout, 0);
  number("priority", action.priority, kDefaultPriority);
  if (action.send_flow_removed) out += ",send_flow_rem";
  if (action.delete_learned) out += ",delete_learned";
  if (action.cookie != 0) fmt::format_to(std::back_inserter(out), ",cookie={:#x}", action.cookie);
  number("limit", action.limit, 0);
  if (action.result) {
    out += ",result_dst=";
    append_subfield(out, *action.result);
  }
  for (const Spec& spec : action.specs) {
    out += ',';
    append_spec(out, spec, names);
  }
  out += ')';
}

}  // namespace shunt::action_text
