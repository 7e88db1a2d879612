// SPDX-License-Identifier: Apache-2.0
// Which worker serves which queue: by the time that each queue has cost lately, those that the user has placed apart.
//
// Pure: decides, moves nothing. Threads: any.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/strong_types.h"

namespace shunt {

// By queue of a port: the worker that the user wants to serve it. Queues that are not named go where there is room.
using QueueWorkers = std::map<unsigned, unsigned>;

// "0:1,2:0": queue 0 by worker 1, queue 2 by worker 0; "auto": none is placed. Throws Error.
[[nodiscard]] QueueWorkers parse_queue_workers(std::string_view text);
[[nodiscard]] std::string format_queue_workers(const QueueWorkers& places);

struct QueueLoad {
  unsigned worker = 0;             // that serves it now
  std::optional<unsigned> wanted;  // where the user wants it; of a worker that there is not, no wish
  std::uint64_t load = 0;          // nanoseconds a second

  // Where it is whatever the loads are.
  [[nodiscard]] std::optional<unsigned> fixed(unsigned workers) const {
    return wanted && *wanted < workers ? wanted : std::nullopt;
  }
};

// A worker for each queue. The heaviest first, each where the least is to do by then; all stay where they are unless
// the busiest worker has something to do, and gets a quarter less of it: nothing wanders for little.
[[nodiscard]] std::vector<unsigned> place_queues(std::span<const QueueLoad> queues, unsigned workers);

}  // namespace shunt
