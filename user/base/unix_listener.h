// SPDX-License-Identifier: Apache-2.0
// A Unix stream socket that listens at a path.
#pragma once

#include <string>

#include "user/base/unique_fd.h"

namespace shunt {

// Replaces what a dead daemon left at `path`: the caller holds the instance's lock. Mode 0660 from the first moment;
// does not block. `what` names it in messages.
[[nodiscard]] UniqueFd listen_unix(const std::string& path, const std::string& what);

}  // namespace shunt
