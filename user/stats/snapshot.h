// SPDX-License-Identifier: Apache-2.0
// All figures of an instance at one moment. What Prometheus scrapes, what the web page shows, what `shunt top`,
// `shunt stats` and `shunt drops` print are renderings of this one thing, so that they agree.
//
// Threads: control makes them; the finished value is anybody's.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "user/base/clock.h"
#include "user/control/instance_api.h"
#include "user/stats/fills.h"

namespace shunt {

struct DaemonInfo {
  std::string instance;
  std::string version;
  int pid = 0;
  TimePoint started{};
};

struct StatsSnapshot : InstanceStats {
  DaemonInfo daemon;
  std::chrono::duration<double> uptime{};
  std::vector<Fill> fills;
};

class StatsSource {
 public:
  StatsSource(InstanceApi& instance, DaemonInfo daemon);  // borrows the instance

  [[nodiscard]] StatsSnapshot take();  // counters are brought up to date first
  void watch();                        // once a second: logs what becomes nearly full

 private:
  InstanceApi& instance_;
  DaemonInfo daemon_;
  FillWatch watch_;
};

// What a port dropped, for whichever reason.
[[nodiscard]] std::uint64_t total_drops(const shunt_port_stats& stats);

}  // namespace shunt
