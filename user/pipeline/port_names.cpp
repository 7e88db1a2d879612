// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/port_names.h"

#include <algorithm>
#include <array>

#include "user/base/error.h"
#include "user/base/of_error.h"
#include "user/flow/field_text.h"

namespace shunt {
namespace {

struct ReservedPort {
  std::string_view word;  // capitals
  PortNo port;
};
constexpr std::array<ReservedPort, 10> kReserved{{{"IN_PORT", kPortInPort},
                                                  {"NORMAL", kPortNormal},
                                                  {"FLOOD", kPortFlood},
                                                  {"ALL", kPortAll},
                                                  {"CONTROLLER", kPortController},
                                                  {"LOCAL", kPortLocal},
                                                  {"TABLE", kPortTable},
                                                  {"NONE", kPortNone},
                                                  {"ANY", kPortNone},
                                                  {"UNSET", kPortUnset}}};

constexpr std::uint32_t kLastOrdinary = 0xff00;        // OpenFlow 1.0's OFPP_MAX, which Open vSwitch keeps to
constexpr std::uint32_t kFirstReserved16 = 0xfff8;     // OpenFlow 1.0's numbers of the reserved ports
constexpr std::uint32_t kReservedOffset = 0xffff0000;  // from those to the 32-bit ones

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

bool equal_ignoring_case(std::string_view word, std::string_view capitals) {
  return std::ranges::equal(word, capitals, {}, upper);
}

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

// True where parse_port() and the parser of actions take the bare word for this name.
bool may_stand_bare(std::string_view name) {
  return !name.empty() && !(name.front() >= '0' && name.front() <= '9') && std::ranges::all_of(name, is_plain) &&
         !reserved_port(name);
}

PortNo port_from_number(FieldBits number, std::string_view text, std::size_t column, std::optional<OfErrorCode> code) {
  if (number >= 1 && number <= kLastOrdinary) return PortNo{static_cast<std::uint32_t>(number)};
  if (number >= kFirstReserved16 && number <= 0xffff)
    return PortNo{static_cast<std::uint32_t>(number) + kReservedOffset};
  if (number >= kPortUnset.value && number <= kPortNone.value) return PortNo{static_cast<std::uint32_t>(number)};
  throw TextError(column, fmt::format("{} is no port number (1 to {}, or a reserved one)", text, kLastOrdinary), code);
}

}  // namespace

PortNames::PortNames(const std::map<std::string, PortNo>& ports) : by_name_(ports.begin(), ports.end()) {
  by_number_.reserve(ports.size());
  for (const auto& [name, port] : ports) by_number_.emplace_back(port, name);
  std::ranges::sort(by_number_);
}

std::optional<PortNo> PortNames::find(std::string_view name) const {
  const auto at = std::ranges::lower_bound(by_name_, name, {}, [](const auto& e) { return std::string_view{e.first}; });
  if (at == by_name_.end() || at->first != name) return {};
  return at->second;
}

std::string_view PortNames::name_of(PortNo port) const {
  const auto at = std::ranges::lower_bound(by_number_, port, {}, &std::pair<PortNo, std::string>::first);
  if (at == by_number_.end() || at->first != port) return {};
  return at->second;
}

std::vector<std::string_view> PortNames::names() const {
  std::vector<std::string_view> names;
  for (const auto& [name, port] : by_name_) names.push_back(name);
  return names;
}

std::optional<PortNo> reserved_port(std::string_view word) noexcept {
  for (const ReservedPort& reserved : kReserved)
    if (equal_ignoring_case(word, reserved.word)) return reserved.port;
  return {};
}

PortNo parse_port(std::string_view text, const PortNames& names, std::size_t column, std::optional<OfErrorCode> code) {
  std::string_view name = text;
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    name = text.substr(1, text.size() - 2);
  } else {
    if (const auto number = number_from(text)) return port_from_number(*number, text, column, code);
    if (const auto reserved = reserved_port(text)) return *reserved;
  }
  if (const auto port = names.find(name)) return *port;
  const std::string_view near = nearest(name, names.names());
  if (near.empty()) throw TextError(column, fmt::format("the bridge has no port '{}'", name), code);
  throw TextError(column, fmt::format("the bridge has no port '{}' (did you mean '{}'?)", name, near), code);
}

void append_port(std::string& out, PortNo port, const PortNames& names) {
  for (const ReservedPort& reserved : kReserved) {
    if (reserved.port != port) continue;
    out += reserved.word;
    return;
  }
  const std::string_view name = names.name_of(port);
  if (name.empty()) return append_number(out, port.value);
  const bool bare = may_stand_bare(name);
  if (!bare) out += '"';
  out += name;
  if (!bare) out += '"';
}

}  // namespace shunt
