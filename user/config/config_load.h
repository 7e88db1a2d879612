// SPDX-License-Identifier: Apache-2.0
// Loading a configuration, and taking that back.
// Threads: control.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "user/control/instance_api.h"

namespace shunt {

// What would be changed by load_config(), a line each. Throws LineError where the file is wrong.
[[nodiscard]] std::vector<std::string> diff_config(InstanceApi& instance, std::string_view toml);

// Makes the switch what the file says, by the fewest changes, all of them or none; remembers how to take it back.
// Returns what was changed. Throws LineError where the file is wrong, Error where a change is refused.
std::vector<std::string> load_config(InstanceApi& instance, std::string_view toml);

// Takes back what the last load changed, and nothing else; with `dry_run` only tells what that would change. Throws
// Error where there is none.
std::vector<std::string> undo_config(InstanceApi& instance, bool dry_run);

}  // namespace shunt
