// SPDX-License-Identifier: Apache-2.0
// Lists of CPUs as users write them: "0,2-3".
// Threads: any.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shunt {

// In the order written, each CPU once. Throws Error naming the part that is no CPU or range, that comes twice, or that
// is not among `available` (ascending).
[[nodiscard]] std::vector<unsigned> parse_cpu_list(std::string_view text, std::span<const unsigned> available);

// CPUs that the calling thread may run on, ascending.
[[nodiscard]] std::vector<unsigned> available_cpus();

// {0, 1, 2, 5} -> "0-2,5".
[[nodiscard]] std::string to_cpu_list(std::span<const unsigned> cpus);

}  // namespace shunt
