// SPDX-License-Identifier: Apache-2.0
// Giving up what the daemon does not need, before it does anything else.
//
// Threads: the first, before any other is started: capabilities are a thread's own, and inherited.
#pragma once

#include <optional>
#include <string>

namespace shunt {

// Keeps, of the capabilities that the process has, those of capabilities.h, and gains none by exec. `group`: what the
// process makes from now on (socket, state) belongs to that group. Others may read nothing of it. Throws Error naming a
// group that is not there or cannot be taken.
void drop_privileges(const std::optional<std::string>& group);

}  // namespace shunt
