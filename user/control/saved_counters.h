// SPDX-License-Identifier: Apache-2.0
// Counters that live in the daemon, saved to a file of the run directory once a second, so that they go on when a
// daemon dies and another takes its place: of rules, tables, groups, buckets, meters and ports; and of each cached
// flow, how much of what the kernel counted is in them. The kernel goes on counting meanwhile: the difference is
// credited when the flows are taken over, so nothing that cached flows forward is lost or counted twice. What is lost
// in a crash is what userspace itself handled, and what flows counted that were retired, since the last save.
//
// A reboot clears the run directory, and the counters with it. Threads: control.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "user/pipeline/counters.h"
#include "user/pipeline/switch.h"
#include "user/worker/revalidator.h"
#include "user/worker/worker.h"

namespace shunt {

// What is counted, by what makes it the same thing in another daemon: a hash of its bridge and its identity there.
struct CounterName {
  std::uint64_t first = 0, second = 0;
  friend auto operator<=>(const CounterName&, const CounterName&) = default;
};

struct SavedCounters {
  struct Value {
    CounterName name;
    std::uint64_t packets = 0, bytes = 0;
    TimePoint::rep used = 0;
  };
  struct Port {
    std::uint64_t dp = 0;
    PortTraffic transmitted;  // by cached flows
    PortCounters workers;
  };
  std::vector<FlowCredit> flows;
  std::vector<Value> values;
  std::vector<Port> ports;
};

// Everything of a bridge that has a FlowCounters, with its name.
void for_each_counter(const Switch& sw, const BridgeState& bridge,
                      const std::function<void(const CounterName&, const FlowCounters&)>& visit);

// Differs where they do, but for once in 2^64.
[[nodiscard]] std::uint64_t checksum(const SavedCounters& counters);

// Replaces the file as a whole. `sum`: their checksum(), which who asks whether they changed has. Throws
// std::system_error.
void write_saved_counters(const std::string& path, const SavedCounters& counters, std::uint64_t sum);
// Nothing where there is no such file, or it is not whole, or another build's.
[[nodiscard]] std::optional<SavedCounters> read_saved_counters(const std::string& path);

}  // namespace shunt
