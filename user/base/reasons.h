// SPDX-License-Identifier: Apache-2.0
// Names and meanings of the reasons in maps/drop_reason.h: why a packet was dropped, why one went to userspace.
// Threads: any.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "maps/drop_reason.h"

namespace shunt {

struct Reason {
  std::string_view name;  // "table-miss"
  std::string_view help;  // what it means, for an operator
};

#define SHUNT_REASON_ROW(name, text, help) Reason{text, help},
inline constexpr std::array<Reason, SHUNT_DROP_COUNT> kDropReasons{{SHUNT_DROP_REASONS(SHUNT_REASON_ROW)}};
inline constexpr std::array<Reason, SHUNT_UPCALL_COUNT> kUpcallReasons{{SHUNT_UPCALL_REASONS(SHUNT_REASON_ROW)}};
#undef SHUNT_REASON_ROW

// "unknown" for numbers that are none: they may come out of a map.
[[nodiscard]] constexpr std::string_view name_of(shunt_drop_reason reason) noexcept {
  const auto number = static_cast<std::size_t>(reason);
  return number < kDropReasons.size() ? kDropReasons[number].name : std::string_view{"unknown"};
}
[[nodiscard]] constexpr std::string_view name_of(shunt_upcall_reason reason) noexcept {
  const auto number = static_cast<std::size_t>(reason);
  return number < kUpcallReasons.size() ? kUpcallReasons[number].name : std::string_view{"unknown"};
}
[[nodiscard]] constexpr std::string_view help_of(shunt_drop_reason reason) noexcept {
  const auto number = static_cast<std::size_t>(reason);
  return number < kDropReasons.size() ? kDropReasons[number].help : std::string_view{};
}

}  // namespace shunt
