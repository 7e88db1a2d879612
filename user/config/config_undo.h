// SPDX-License-Identifier: Apache-2.0
// What `config undo` needs to know of a load, and what it makes of it: what the load changed is as it was before,
// whatever else has come or changed since then stays.
//
// Threads: control.
#pragma once

#include <string>
#include <string_view>

#include "user/config/config.h"

namespace shunt {

// The switch before and after a load, without what is the same in both: bridges that it left alone, and of the others
// the entries of lists. A list that is missing is one that it left alone.
struct LoadedChange {
  SwitchConfig before, after;
};

[[nodiscard]] LoadedChange change_between(SwitchConfig before, SwitchConfig after);

// What `running` becomes where the change is taken back. Lists that it did not touch are missing: they are left alone.
[[nodiscard]] SwitchConfig taken_back(SwitchConfig running, const LoadedChange& change);

// As text, to be stored. parse_change() throws Error.
[[nodiscard]] std::string format_change(const LoadedChange& change);
[[nodiscard]] LoadedChange parse_change(std::string_view text);

}  // namespace shunt
