// SPDX-License-Identifier: Apache-2.0
// Flows that wait for the revalidator, a queue for each port that their packets came in by. Ports take turns, and where
// there is no room the longest queue gives up its oldest: a port whose packets are all new flows costs no other port
// one of its own.
//
// Threads: its owner's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "maps/port.h"
#include "user/worker/upcall.h"

namespace shunt {

class FairQueue {
 public:
  explicit FairQueue(std::size_t capacity);

  // False: one had to go for it. A port's requests stay in order; one of no port is kept with those of port 0.
  bool push(FlowRequest&& request);
  // The next port's oldest.
  [[nodiscard]] bool pop(FlowRequest& request);

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size() - free_.size(); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }

 private:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  struct Entry {
    FlowRequest request;
    std::uint32_t next = kNone;
  };
  struct Line {
    std::uint32_t first = kNone, last = kNone, length = 0;
  };

  FlowRequest take(Line& line);
  void drop_from_longest();

  std::vector<Entry> entries_;
  std::vector<std::uint32_t> free_;
  std::array<Line, SHUNT_MAX_PORTS> lines_{};  // by port
  std::deque<std::uint16_t> turns_;            // ports that have requests, the next one first
};

}  // namespace shunt
