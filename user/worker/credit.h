// SPDX-License-Identifier: Apache-2.0
// What packets of a translation are credited to: rules, tables, groups, buckets; and the timeouts that a FIN lowers.
//
// Who runs a packet credits it: a worker what comes up to it, the revalidator what the kernel ran: each packet once.
// Threads: any.
#pragma once

#include <atomic>
#include <cstdint>

#include "user/base/clock.h"
#include "user/pipeline/translate.h"

namespace shunt {

// Makes `timeout` (s; 0: for ever) at most `most`, where that is one, as Open vSwitch does. It never grows.
inline void lower_timeout(std::atomic<std::uint16_t>& timeout, std::uint16_t most) noexcept {
  if (most == 0) return;
  std::uint16_t now = timeout.load(std::memory_order_relaxed);
  while ((now == 0 || now > most) && !timeout.compare_exchange_weak(now, most, std::memory_order_relaxed)) {
  }
}

inline void credit(const Translation& translation, std::uint64_t packets, std::uint64_t bytes, TimePoint now) noexcept {
  for (const RuleRef& rule : translation.rules) rule->counters.add(packets, bytes, now);
  for (const auto& counters : translation.credits) counters->add(packets, bytes, now);
  for (const Translation::FinTimeout& fin : translation.follow_ups->fin_timeouts) {
    lower_timeout(fin.rule->idle_timeout, fin.idle_timeout);
    lower_timeout(fin.rule->hard_timeout, fin.hard_timeout);
  }
}

}  // namespace shunt
