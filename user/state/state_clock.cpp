// SPDX-License-Identifier: Apache-2.0
#include "user/state/state_clock.h"

#include <algorithm>
#include <chrono>
#include <fstream>

namespace shunt {

StateClock::StateClock(const std::optional<Past>& past, const Now& now) {
  same_boot_ = past && !now.boot.empty() && past->boot == now.boot;
  went_back_ = past && !same_boot_ && now.time_of_day < past->last;
  if (same_boot_)
    offset_ = past->offset;
  else
    offset_ = std::max(now.time_of_day, past ? past->last : 0) - milliseconds(now.monotonic);
  if (past) last_alive_ = std::min(when(past->last), now.monotonic);
}

StateClock::Now StateClock::read() {
  Now now;
  std::ifstream file{"/proc/sys/kernel/random/boot_id"};
  std::getline(file, now.boot);
  now.monotonic = Clock::now();
  now.time_of_day =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  return now;
}

}  // namespace shunt
