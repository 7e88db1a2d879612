// SPDX-License-Identifier: Apache-2.0
// What the main() of each bench does once it has read its options.
#pragma once

#include <functional>
#include <string_view>

namespace shunt::bench {

// Runs a bench that makes network namespaces, and takes them down also when a signal ends it. Returns the exit code: the
// bench's own; 1 where it was ended or failed, and why on stderr; 77 where it was skipped, for it needs root.
int run_as_root(std::string_view name, const std::function<int()>& bench);

}  // namespace shunt::bench
