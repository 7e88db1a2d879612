// SPDX-License-Identifier: Apache-2.0
// Which flows make room for others: by decayed hits in powers of two, so that flows that work stay and what was made
// and never hit goes first. Of those that are alike in that, the ports that have most of them lose the oldest: a flood
// of new flows pushes out itself, and not the new flows of other ports.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "user/base/clock.h"

namespace shunt {

struct EvictionCandidate {
  std::uint32_t slot;
  std::uint16_t port;
  std::uint8_t hits;  // bits that the decayed number takes
  TimePoint used;     // last
};

// The slots of `count` of them, or of all, in any order.
[[nodiscard]] std::vector<std::uint32_t> choose_victims(std::vector<EvictionCandidate> candidates, std::size_t count);

}  // namespace shunt
