// SPDX-License-Identifier: Apache-2.0
// Checksums of frames, recomputed in full and by other code than the datapath's, so that tests can compare.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace shunt::test {

// RFC 1071, over bytes in their order; the field counts as what it holds: 0 over bytes whose checksum is right.
std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes);
// RFC 9260 appendix A, over bytes whose checksum field is zero.
std::uint32_t crc32c(std::span<const std::uint8_t> bytes);
// Pseudo-header for an IPv4 or IPv6 header; `final_dst`: an IPv6 routing header's last address, or empty.
std::vector<std::uint8_t> pseudo_header_of(std::span<const std::uint8_t> ip, std::span<const std::uint8_t> final_dst,
                                           std::uint8_t proto, std::size_t size);

// Which of a frame's checksums are right; nothing where it has none, or where nobody can say (later fragments, cut
// headers).
struct Checksums {
  std::optional<bool> ip;  // IPv4's header
  std::optional<bool> l4;  // TCP, UDP, SCTP, ICMP, IGMP, ICMPv6; first fragments: over what is here
  [[nodiscard]] bool all_right() const { return ip.value_or(true) && l4.value_or(true); }
};
Checksums check_checksums(std::span<const std::byte> frame);

}  // namespace shunt::test
