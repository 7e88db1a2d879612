// SPDX-License-Identifier: Apache-2.0
#include "tests/support/frame_checks.h"

#include <algorithm>

namespace shunt::test {
namespace {

using Octets = std::vector<std::uint8_t>;
using Span = std::span<const std::uint8_t>;

std::uint16_t get16(Span bytes, std::size_t at) { return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]); }

// Ethernet, any tags, SNAP: the EtherType, and what lies behind it.
std::optional<std::uint16_t> strip_ethernet(Span& bytes) {
  if (bytes.size() < 14) return std::nullopt;
  std::uint16_t type = get16(bytes, 12);
  bytes = bytes.subspan(14);
  while ((type == 0x8100 || type == 0x88a8) && bytes.size() >= 4) {
    type = get16(bytes, 2);
    bytes = bytes.subspan(4);
  }
  if (type < 0x600) {
    static constexpr std::uint8_t kSnap[] = {0xaa, 0xaa, 3, 0, 0, 0};
    if (bytes.size() < 8 || !std::equal(std::begin(kSnap), std::end(kSnap), bytes.begin())) return std::nullopt;
    type = get16(bytes, 6);
    bytes = bytes.subspan(8);
  }
  return type;
}

std::optional<bool> check_sctp(Span l4) {
  if (l4.size() < 12) return std::nullopt;
  Octets all(l4.begin(), l4.end());
  std::uint32_t field = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    field |= static_cast<std::uint32_t>(all[8 + i]) << 8 * i;
    all[8 + i] = 0;
  }
  return crc32c(all) == field;
}

std::optional<bool> check_l4(Span ip, Span final_dst, std::uint8_t proto, Span l4) {
  const bool v6 = ip[0] >> 4 == 6;
  if (proto == 132) return check_sctp(l4);
  Octets covered;
  if (proto == 6 || proto == 17 || (v6 && proto == 58)) {
    covered = pseudo_header_of(ip, final_dst, proto, l4.size());
    if (l4.size() < (proto == 6 ? 20u : 8u)) return std::nullopt;
    if (proto == 17 && get16(l4, 6) == 0) return v6 ? std::nullopt : std::optional{true};
  } else if (v6 || (proto != 1 && proto != 2) || l4.size() < 8) {
    return std::nullopt;
  }
  covered.insert(covered.end(), l4.begin(), l4.end());
  return internet_checksum(covered) == 0;
}

Checksums check_ipv4(Span ip) {
  Checksums result;
  if (ip.size() < 20) return result;
  const std::size_t header = (ip[0] & 0xfu) * 4u;
  const std::size_t total = get16(ip, 2);
  if (header < 20 || total < header || total > ip.size()) return result;
  result.ip = internet_checksum(ip.first(header)) == 0;
  if ((get16(ip, 6) & 0x1fff) == 0) {
    Octets as_v4(ip.begin(), ip.begin() + 20);
    as_v4[0] = 0x45;
    result.l4 = check_l4(as_v4, {}, ip[9], ip.subspan(header, total - header));
  }
  return result;
}

Checksums check_ipv6(Span ip) {
  Checksums result;
  if (ip.size() < 40 || get16(ip, 4) + 40u > ip.size()) return result;
  std::uint8_t proto = ip[6];
  Span rest = ip.subspan(40, get16(ip, 4));
  Span final_dst;
  for (int i = 0; i < 8 && (proto == 0 || proto == 43 || proto == 44 || proto == 51 || proto == 60); ++i) {
    if (rest.size() < 8) return result;
    std::size_t size = (rest[1] + 1u) * 8u;
    if (proto == 44) {
      size = 8;
      if ((get16(rest, 2) & 0xfff8) != 0) return result;
    }
    if (proto == 51) size = (rest[1] + 2u) * 4u;
    if (size > rest.size()) return result;
    if (proto == 43 && rest[3] != 0) {
      if (size < 24) return result;
      final_dst = rest.subspan(size - 16, 16);
    }
    proto = rest[0];
    rest = rest.subspan(size);
  }
  Octets as_v6(ip.begin(), ip.begin() + 40);
  as_v6[0] = 0x60;
  result.l4 = check_l4(as_v6, final_dst, proto, rest);
  return result;
}

}  // namespace

std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? static_cast<std::uint32_t>(bytes[i]) << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(~sum);
}

std::uint32_t crc32c(std::span<const std::uint8_t> bytes) {
  std::uint32_t crc = ~0u;
  for (std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
  }
  return ~crc;
}

std::vector<std::uint8_t> pseudo_header_of(std::span<const std::uint8_t> ip, std::span<const std::uint8_t> final_dst,
                                           std::uint8_t proto, std::size_t size) {
  const bool v6 = ip[0] >> 4 == 6;
  Octets bytes(ip.begin() + (v6 ? 8 : 12), ip.begin() + (v6 ? 40 : 20));
  if (v6 && !final_dst.empty()) std::copy(final_dst.begin(), final_dst.end(), bytes.begin() + 16);
  const Octets tail{0, 0, static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size), 0, 0, 0, proto};
  bytes.insert(bytes.end(), tail.begin(), tail.end());
  return bytes;
}

Checksums check_checksums(std::span<const std::byte> frame) {
  Span bytes{reinterpret_cast<const std::uint8_t*>(frame.data()), frame.size()};
  const std::optional<std::uint16_t> type = strip_ethernet(bytes);
  if (type == 0x0800) return check_ipv4(bytes);
  if (type == 0x86dd) return check_ipv6(bytes);
  return {};
}

}  // namespace shunt::test
