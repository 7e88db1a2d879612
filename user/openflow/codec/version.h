// SPDX-License-Identifier: Apache-2.0
// Versions of the protocol, by their number on the wire.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace shunt::openflow {

enum class Version : std::uint8_t { k10 = 1, k13 = 4, k14 = 5, k15 = 6 };

inline constexpr std::array<Version, 4> kVersions{Version::k10, Version::k13, Version::k14, Version::k15};

[[nodiscard]] constexpr std::uint8_t number_of(Version version) { return static_cast<std::uint8_t>(version); }
[[nodiscard]] constexpr std::string_view name_of(Version version) {
  switch (version) {
    case Version::k10:
      return "1.0";
    case Version::k13:
      return "1.3";
    case Version::k14:
      return "1.4";
    case Version::k15:
      return "1.5";
  }
  return "unknown";
}

inline constexpr std::uint32_t kNiciraId = 0x00002320;  // experimenter id of Nicira: Open vSwitch's extensions
inline constexpr std::uint32_t kOnfId = 0x4f4e4600;     // of the Open Networking Foundation
inline constexpr std::uint32_t kNoBuffer = 0xffffffff;  // OFP_NO_BUFFER
inline constexpr std::uint16_t kWholePacket = 0xffff;   // OFPCML_NO_BUFFER

}  // namespace shunt::openflow
