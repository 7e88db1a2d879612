// SPDX-License-Identifier: Apache-2.0
// The checks of `shunt doctor`: each looks at the facts and says what is wrong, what that costs, and which command
// mends it. A new check is a function and a line in the table. Pure.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "user/doctor/facts.h"

namespace shunt::doctor {

enum class Severity : std::uint8_t { kNote, kWarning, kError };  // good to know; works less well; does not work

struct Finding {
  Severity severity = Severity::kNote;
  std::string_view check;  // its name in the table
  std::string subject;     // the port, or empty: the machine or the switch
  std::string what;        // is wrong
  std::string cost;        // of it
  std::string remedy;      // a command where there is one
};

struct Check {
  std::string_view name;
  void (*look)(const Facts& facts, std::vector<Finding>& findings);  // leaves Finding::check to the caller
};

[[nodiscard]] std::span<const Check> all_checks();
// The findings of all checks, the worst first.
[[nodiscard]] std::vector<Finding> examine(const Facts& facts);

}  // namespace shunt::doctor
