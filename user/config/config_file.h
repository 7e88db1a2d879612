// SPDX-License-Identifier: Apache-2.0
// Configurations as TOML, both ways; docs/config.md is the user's guide. parse(format(x)) is x.
// Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "user/config/config.h"

namespace shunt {

// `running` tells which numbers ports have whose number the file does not say: those keep it, others get the lowest
// that is free. Throws LineError with the place and the key's path.
[[nodiscard]] SwitchConfig parse_config(std::string_view toml, const SwitchConfig& running);

[[nodiscard]] std::string format_config(const SwitchConfig& config);

}  // namespace shunt
