// SPDX-License-Identifier: Apache-2.0
// The clock of what is stored: milliseconds that go on over restarts and reboots, near the time of day.
//
// Within a boot it follows the machine's monotonic clock, so that setting the time of day moves no timeout. Over a
// reboot only the time of day can tell how long it took; where that has gone back, no time has passed. Threads: any;
// immutable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "user/base/clock.h"

namespace shunt {

class StateClock {
 public:
  // What the last daemon left behind.
  struct Past {
    std::string boot;         // boot id of its machine
    std::int64_t offset = 0;  // its clock less the monotonic one
    std::int64_t last = 0;    // its clock, when it was last known to run
  };
  struct Now {
    std::string boot;
    TimePoint monotonic;
    std::int64_t time_of_day = 0;  // ms
  };

  StateClock(const std::optional<Past>& past, const Now& now);

  [[nodiscard]] std::int64_t of(TimePoint when) const { return milliseconds(when) + offset_; }
  [[nodiscard]] TimePoint when(std::int64_t state) const {
    return TimePoint{} + std::chrono::milliseconds{state - offset_};
  }
  [[nodiscard]] std::int64_t offset() const { return offset_; }
  // When the last daemon was last known to run; none: there was none.
  [[nodiscard]] std::optional<TimePoint> last_alive() const { return last_alive_; }
  // The same boot: interfaces, namespaces and what was changed of them are what they were.
  [[nodiscard]] bool same_boot() const { return same_boot_; }
  [[nodiscard]] bool went_back() const { return went_back_; }  // the time of day, over the reboot

  // Of this machine.
  [[nodiscard]] static Now read();

 private:
  static std::int64_t milliseconds(TimePoint when) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
  }

  std::int64_t offset_ = 0;
  std::optional<TimePoint> last_alive_;
  bool same_boot_ = false, went_back_ = false;
};

}  // namespace shunt
