// SPDX-License-Identifier: Apache-2.0
// A worker's counters by port: written by the worker alone, so without read-modify-write; read by anyone, and summed
// there.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "maps/drop_reason.h"
#include "maps/types.h"
#include "user/base/latency.h"
#include "user/base/strong_types.h"

namespace shunt {

class Counter {
 public:
  void add(std::uint64_t n) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void clear() noexcept { value_.store(0, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

struct PortCounterSet {
  Counter tx_packets, tx_bytes;
  Counter drops[SHUNT_DROP_COUNTERS];
};

class Counters {
 public:
  void sent(DpPort port, std::uint64_t bytes) noexcept {
    ports_[port.value].tx_packets.add(1);
    ports_[port.value].tx_bytes.add(bytes);
  }
  void dropped(DpPort in_port, shunt_drop_reason reason, std::uint64_t packets = 1) noexcept {
    if (in_port.value < SHUNT_MAX_PORTS && reason < SHUNT_DROP_COUNTERS) ports_[in_port.value].drops[reason].add(packets);
  }
  [[nodiscard]] PortCounterSet& operator[](DpPort port) noexcept { return ports_[port.value]; }
  [[nodiscard]] const PortCounterSet& operator[](DpPort port) const noexcept { return ports_[port.value]; }

  Counter upcalls, nanoseconds, translations, requests, requests_refused;
  Counter busy_nanoseconds;  // awake: all but the waiting for something to do
  LatencyHistogram wait, translate, send;

 private:
  std::unique_ptr<PortCounterSet[]> ports_ = std::make_unique<PortCounterSet[]>(SHUNT_MAX_PORTS);
};

}  // namespace shunt
