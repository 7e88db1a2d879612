// SPDX-License-Identifier: Apache-2.0
// The programs, and the ways in which a port's packets come to one.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace shunt {

// By what they are attached to: ports and the lane's exit by XDP, ports by TC.
enum class Program { kSwitch, kTc };

// How a port's packets come in: by XDP, of the driver or generic; by TC (TCX, Linux 6.6), as socket buffers.
enum class PortMode { kNative, kGeneric, kTcx };
inline constexpr std::array<std::string_view, 3> kPortModes{"native", "generic", "tcx"};

[[nodiscard]] constexpr std::string_view name_of(PortMode mode) { return kPortModes[static_cast<std::size_t>(mode)]; }
// None: it is no mode's name; that of none, "auto", among them.
[[nodiscard]] constexpr std::optional<PortMode> port_mode_from(std::string_view name) {
  for (std::size_t i = 0; i < kPortModes.size(); ++i)
    if (kPortModes[i] == name) return static_cast<PortMode>(i);
  return std::nullopt;
}

}  // namespace shunt
