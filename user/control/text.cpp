// SPDX-License-Identifier: Apache-2.0
#include "user/control/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "user/base/error.h"

namespace shunt {
namespace {

constexpr std::size_t kInterfaceNameBytes = 15;  // IFNAMSIZ - 1
constexpr std::size_t kInstanceNameBytes = 32;
constexpr unsigned kVlanCount = 4096;

unsigned parse_vid(std::string_view text) {
  unsigned vid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), vid);
  if (error != std::errc{} || end != text.data() + text.size() || vid >= kVlanCount)
    throw Error("'{}' is no VLAN: give numbers from 0 to 4095, as in 1,5,10-20", text.substr(0, 32));
  return vid;
}

bool is_alnum(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

MacAddr parse_mac(std::string_view text) {
  MacAddr mac;
  bool good = text.size() == 17;
  for (std::size_t i = 0; good && i < 6; ++i) {
    const char* at = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(at, at + 2, mac.bytes[i], 16);
    good = error == std::errc{} && end == at + 2 && (i == 5 || *end == ':');
  }
  if (!good) throw Error("'{}' is no MAC address: write it as 02:00:5e:10:00:01", text);
  return mac;
}

std::string format_mac(MacAddr mac) { return fmt::format("{:02x}", fmt::join(mac.bytes, ":")); }

VlanSet parse_vlans(std::string_view text) {
  VlanSet vlans;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const std::size_t dash = part.find('-');
    const unsigned first = parse_vid(part.substr(0, dash));
    const unsigned last = dash == std::string_view::npos ? first : parse_vid(part.substr(dash + 1));
    if (first > last) throw Error("VLANs '{}' run backwards: write {}-{}", part, last, first);
    for (unsigned vid = first; vid <= last; ++vid) vlans.set(vid);
    if (comma == std::string_view::npos) return vlans;
    text.remove_prefix(comma + 1);
  }
}

std::string format_vlans(const VlanSet& vlans) {
  std::string text;
  for (unsigned vid = 0; vid < kVlanCount; ++vid) {
    if (!vlans.test(vid)) continue;
    unsigned last = vid;
    while (last + 1 < kVlanCount && vlans.test(last + 1)) ++last;
    if (!text.empty()) text += ',';
    text += last == vid ? fmt::format("{}", vid) : fmt::format("{}-{}", vid, last);
    vid = last;
  }
  return text;
}

std::string format_hex(std::span<const std::uint8_t> bytes) { return fmt::format("{:02x}", fmt::join(bytes, "")); }

std::vector<std::uint8_t> parse_hex(std::string_view text) {
  if (text.size() % 2 != 0) throw Error("{} hex digits: bytes have two each", text.size());
  std::vector<std::uint8_t> bytes(text.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char* at = text.data() + 2 * i;
    const auto [end, error] = std::from_chars(at, at + 2, bytes[i], 16);
    if (error != std::errc{} || end != at + 2) throw Error("'{}' is no byte in hex", std::string_view{at, 2});
  }
  return bytes;
}

std::uint64_t parse_datapath_id(std::string_view text) {
  constexpr std::size_t kDigits = 16;
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (text.size() != kDigits || error != std::errc{} || end != text.data() + kDigits)
    throw Error("'{}': 16 hexadecimal digits, as 00000200c0a80001", text);
  return id;
}

std::string format_datapath_id(std::uint64_t id) { return fmt::format("{:016x}", id); }

void check_interface_name(std::string_view name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '/' && c != ',' && c != '"' && c != '\'' && c != ':';
  });
  if (name.empty() || name.size() > kInterfaceNameBytes || !plain || name == "." || name == "..")
    throw Error("'{}' cannot be an interface's name: 1 to {} printable characters, none of / , : \" ' or space", name,
                kInterfaceNameBytes);
}

void check_instance_name(std::string_view name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) { return is_alnum(c) || c == '-' || c == '_'; });
  if (name.empty() || name.size() > kInstanceNameBytes || !plain || name.front() == '-')
    throw Error("'{}' cannot be an instance's name: 1 to {} letters, digits, '-' and '_', not beginning with '-'", name,
                kInstanceNameBytes);
}

}  // namespace shunt
