// SPDX-License-Identifier: Apache-2.0
// What `shunt top` shows: two readings of the daemon's figures, made into lines. Pure, so that a terminal, `--once` and
// the tests get the same.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "cli/client.h"

namespace shunt::cli {

enum class TopOrder { kPackets, kBytes, kDrops };  // drops: of ports; flows are then by packets

struct TopLine {
  enum class Kind { kPlain, kTitle, kHeader, kWarning } kind = Kind::kPlain;
  std::string text;
};

// Lines of at most `width` bytes, and at most `height` of them (0: no limit): warnings, ports and flows share what the
// head leaves.
[[nodiscard]] std::vector<TopLine> top_lines(const Json& before, const Json& after, TopOrder order, std::size_t width,
                                             std::size_t height);

}  // namespace shunt::cli
