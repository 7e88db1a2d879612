// SPDX-License-Identifier: Apache-2.0
// For commands that read again and again: waiting that a signal ends, and rates as people read them.
#pragma once

#include <string>

namespace shunt::cli {

void end_on_signals();  // SIGINT and SIGTERM end pause_for() from here on
[[nodiscard]] bool is_interrupted();
void pause_for(double seconds);

[[nodiscard]] std::string rate_text(double per_second);  // "640", "64.0k", "3.65M"

}  // namespace shunt::cli
