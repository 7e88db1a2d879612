// SPDX-License-Identifier: Apache-2.0
// The page at /: page.html, which the build puts into the daemon. Threads: any.
#pragma once

#include "user/web/http_server.h"

namespace shunt {

// With a nonce of its own, so that no script but the page's runs.
[[nodiscard]] HttpAnswer page();

}  // namespace shunt
