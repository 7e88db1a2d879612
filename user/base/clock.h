// SPDX-License-Identifier: Apache-2.0
// Time: monotonic, and handed in as an argument wherever a decision depends on it, so that tests own the clock.
#pragma once

#include <chrono>

namespace shunt {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

}  // namespace shunt
