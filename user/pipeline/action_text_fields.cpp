// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/action_text_fields.h"

#include <string>
#include <vector>

#include "user/base/error.h"
#include "user/base/of_error.h"
#include "user/flow/field_text.h"

namespace shunt {
namespace {

constexpr std::string_view kNxmInPort = "NXM_OF_IN_PORT";
constexpr std::uint16_t kNxmInPortWidth = 16;

std::vector<std::string_view> field_names() {
  std::vector<std::string_view> names;
  for (const Field& f : fields()) {
    names.push_back(f.name);
    if (!f.alias.empty()) names.push_back(f.alias);
    if (oxm_name(f) != f.name) names.push_back(oxm_name(f));
  }
  return names;
}

}  // namespace

Arrow split_arrow(std::string_view text, std::size_t column) {
  const std::size_t at = text.rfind("->");
  if (at == std::string_view::npos) throw TextError(column, fmt::format("'{}' lacks \"->FIELD\"", text));
  return {text.substr(0, at), text.substr(at + 2), column, column + at + 2};
}

const Field& parse_field_name(std::string_view text, std::size_t column) {
  if (const Field* f = find_field(text)) return *f;
  const std::vector<std::string_view> names = field_names();
  const std::string_view near = nearest(text, names);
  if (near.empty()) throw TextError(column, fmt::format("unknown field '{}'", text), OfErrorCode::kBadSetType);
  throw TextError(column, fmt::format("unknown field '{}' (did you mean '{}'?)", text, near), OfErrorCode::kBadSetType);
}

Subfield parse_subfield(std::string_view text, std::size_t column) {
  const std::size_t bracket = text.find('[');
  const std::string_view name = text.substr(0, bracket);
  const Field& f = parse_field_name(name, column);
  const std::uint16_t width = name == "in_port" || name == kNxmInPort ? kNxmInPortWidth : f.width;
  if (bracket == std::string_view::npos) return {&f, 0, width};
  const std::size_t bits_column = column + bracket + 1;
  if (!text.ends_with(']')) throw TextError(column + text.size(), "the closing ']' is missing");
  const std::string_view bits = text.substr(bracket + 1, text.size() - bracket - 2);
  if (bits.empty()) return {&f, 0, width};
  const std::size_t dots = bits.find("..");
  const FieldBits first = parse_number(bits.substr(0, dots), width - 1u, "the bit", bits_column);
  FieldBits last = first;
  if (dots != std::string_view::npos)
    last = parse_number(bits.substr(dots + 2), width - 1u, "the bit", bits_column + dots + 2);
  if (last < first) throw TextError(bits_column, "the lower bit comes first");
  return {&f, static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last - first + 1)};
}

void append_subfield(std::string& out, const Subfield& subfield) {
  std::string_view name = oxm_name(*subfield.field);
  unsigned width = subfield.field->width;
  if (name == kNxmInPort && subfield.first_bit + subfield.bit_count <= kNxmInPortWidth)
    width = kNxmInPortWidth;
  else if (name == kNxmInPort)
    name = "OXM_OF_IN_PORT";
  out += name;
  out += '[';
  if (subfield.bit_count != width) {
    append_number(out, subfield.first_bit);
    if (subfield.bit_count > 1) {
      out += "..";
      append_number(out, static_cast<unsigned>(subfield.first_bit + subfield.bit_count - 1));
    }
  }
  out += ']';
}

Subfield part_of_tag(const Subfield& bits, std::size_t column) {
  const int shift = bits.field->shift;
  const int first = bits.first_bit + shift, end = first + bits.bit_count;
  if (end <= 12) return {&field(FieldId::kVlanVid), static_cast<std::uint16_t>(first), bits.bit_count};
  if (first >= 13 && end <= 16)
    return {&field(FieldId::kVlanPcp), static_cast<std::uint16_t>(first - 13), bits.bit_count};
  throw TextError(column, "of vlan_tci write the VID (bits 0 to 11) or the PCP (13 to 15)");
}

void check_writable(const Field& field, std::size_t column) {
  const bool of_tag = field.id == FieldId::kDlVlan || field.id == FieldId::kDlVlanPcp;  // mod_vlan_* in other words
  if (!field.writable && !of_tag)
    throw TextError(column, fmt::format("{} cannot be written", field.name), OfErrorCode::kBadSetType);
}

void check_tos(std::string_view text, std::size_t column) {
  const auto tos = number_from(text);
  if (tos && (*tos & 3) != 0)
    throw TextError(column, fmt::format("{} is no ToS: its two lowest bits are nw_ecn's, and are 0 here", text));
}

}  // namespace shunt
