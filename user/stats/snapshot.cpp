// SPDX-License-Identifier: Apache-2.0
#include "user/stats/snapshot.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace shunt {

StatsSource::StatsSource(InstanceApi& instance, DaemonInfo daemon) : instance_{instance}, daemon_{std::move(daemon)} {}

StatsSnapshot StatsSource::take() {
  instance_.collect_counters();
  StatsSnapshot snapshot;
  static_cast<InstanceStats&>(snapshot) = instance_.stats();
  snapshot.daemon = daemon_;
  snapshot.uptime = Clock::now() - daemon_.started;
  snapshot.fills = watch_.fills(snapshot);
  return snapshot;
}

void StatsSource::watch() {
  watch_.watch(instance_.stats(), Clock::now(), [](const Fill& fill) {
    if (fill.nearly_full)
      spdlog::warn("nearly full: {}", fill.describe());
    else
      spdlog::info("no longer nearly full: {}: {} of {}", fill.whose(), fill.used, fill.capacity);
  });
}

std::uint64_t total_drops(const shunt_port_stats& stats) {
  std::uint64_t total = 0;
  for (int reason = SHUNT_DROP_NONE + 1; reason < SHUNT_DROP_COUNT; ++reason) total += stats.drops[reason];
  return total;
}

}  // namespace shunt
