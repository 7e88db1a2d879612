// SPDX-License-Identifier: Apache-2.0
#include "user/control/params.h"

#include <algorithm>

#include "user/control/text.h"

namespace shunt {
namespace {

// Of texts that a refusal quotes. A list of every second VLAN has some 10,000 bytes.
constexpr std::size_t kMaxNameBytes = 64;
constexpr std::size_t kMaxVlansBytes = 24 * 1024;

std::string known_names(std::span<const ParamSpec> specs) {
  if (specs.empty()) return "the method takes none";
  std::string names = "known are";
  for (const ParamSpec& spec : specs) names += fmt::format("{} '{}'", &spec == specs.data() ? "" : ",", spec.name);
  return names;
}

bool is_choice(std::string_view choices, std::string_view value) {
  while (!choices.empty()) {
    const std::size_t bar = choices.find('|');
    if (choices.substr(0, bar) == value) return true;
    if (bar == std::string_view::npos) break;
    choices.remove_prefix(bar + 1);
  }
  return false;
}

const std::string& string_of(const ParamSpec& spec, const Json& value) {
  if (!value.is_string())
    throw RpcError(RpcCode::kInvalidParams, "parameter '{}' must be a string, not {}", spec.name, value.type_name());
  return value.get_ref<const std::string&>();
}

void check_value(const ParamSpec& spec, const Json& value) {
  switch (spec.type) {
    case ParamType::kFlag:
      if (!value.is_boolean())
        throw RpcError(RpcCode::kInvalidParams, "parameter '{}' must be true or false, not {}", spec.name,
                       value.type_name());
      return;
    case ParamType::kInteger: {
      const bool whole = value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0);
      const bool fits = whole && value.get<std::uint64_t>() >= spec.min && value.get<std::uint64_t>() <= spec.max;
      if (!fits)
        throw RpcError(RpcCode::kInvalidParams, "parameter '{}' must be an integer from {} to {}", spec.name, spec.min,
                       spec.max);
      return;
    }
    case ParamType::kChoice:
      if (!is_choice(spec.choices, string_of(spec, value)))
        throw RpcError(RpcCode::kInvalidParams, "parameter '{}' must be one of {}", spec.name, spec.choices);
      return;
    case ParamType::kText:
      string_of(spec, value);
      return;
    case ParamType::kInterface:
    case ParamType::kMac:
    case ParamType::kVlans:
      break;
  }
  const std::string& text = string_of(spec, value);
  if (text.size() > (spec.type == ParamType::kVlans ? kMaxVlansBytes : kMaxNameBytes))
    throw RpcError(RpcCode::kInvalidParams, "parameter '{}' is too long: {} bytes", spec.name, text.size());
  try {
    if (spec.type == ParamType::kInterface) check_interface_name(text);
    if (spec.type == ParamType::kMac) parse_mac(text);
    if (spec.type == ParamType::kVlans) parse_vlans(text);
  } catch (const Error& error) {
    throw RpcError(RpcCode::kInvalidParams, "parameter '{}': {}", spec.name, error.what());
  }
}

}  // namespace

Arguments::Arguments(std::span<const ParamSpec> specs, const Json& params) : params_{params} {
  for (const auto& [name, value] : params.items()) {
    const auto spec = std::find_if(specs.begin(), specs.end(), [&n = name](const ParamSpec& s) { return s.name == n; });
    if (spec == specs.end())
      throw RpcError(RpcCode::kInvalidParams, "unknown parameter '{}': {}", name.substr(0, 64), known_names(specs));
    check_value(*spec, value);
  }
  for (const ParamSpec& spec : specs)
    if (spec.required && !params.contains(spec.name))
      throw RpcError(RpcCode::kInvalidParams, "parameter '{}' is missing", spec.name);
}

bool Arguments::flag(std::string_view name) const { return has(name) && params_.at(name).get<bool>(); }

const std::string& Arguments::text(std::string_view name) const {
  return params_.at(name).get_ref<const std::string&>();
}

std::optional<std::string> Arguments::optional_text(std::string_view name) const {
  if (!has(name)) return std::nullopt;
  return text(name);
}

std::optional<std::uint64_t> Arguments::integer(std::string_view name) const {
  if (!has(name)) return std::nullopt;
  return params_.at(name).get<std::uint64_t>();
}

MacAddr Arguments::mac(std::string_view name) const { return parse_mac(text(name)); }

std::optional<VlanSet> Arguments::vlans(std::string_view name) const {
  if (!has(name)) return std::nullopt;
  return parse_vlans(text(name));
}

}  // namespace shunt
