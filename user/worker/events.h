// SPDX-License-Identifier: Apache-2.0
// What packets ask of the control thread: packet-ins, rules to learn, timeouts to lower, samples. One bounded ring a
// producer (each worker, and the revalidator), so that no packet waits: what finds its ring full is counted and lost.
//
// Threads: push() by the producer; drain() and fd() by control.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "user/base/unique_fd.h"
#include "user/pipeline/translate.h"
#include "user/worker/spsc_ring.h"
#include "user/worker/upcall.h"

namespace shunt {

struct PacketInEvent {
  BridgeId bridge;
  Translation::Controller what;
  std::vector<std::uint8_t> frame;  // whole: who gets less of it may ask for the rest (buffer ids)
  std::uint32_t length = 0;
};
// The translation's `learned`, for a packet (worker) or for hits since the last sweep (revalidator).
struct LearnEvent {
  TranslationRef translation;
};
struct SampleEvent {
  BridgeId bridge;
  SampleAction action;
  PortNo in_port;
  std::vector<std::uint8_t> frame;  // its first 128 bytes
  std::uint32_t length = 0;
};
using Event = std::variant<PacketInEvent, LearnEvent, SampleEvent>;

class EventQueue {
 public:
  static constexpr std::size_t kCapacity = 1024;  // a producer's

  explicit EventQueue(unsigned producers);

  // False: full, and counted as lost. The doorbell rings only where control has taken everything before.
  bool push(unsigned producer, Event&& event) noexcept;

  void lose() noexcept { lost_.fetch_add(1, std::memory_order_relaxed); }  // an event that there was no memory for

  [[nodiscard]] int fd() const noexcept { return doorbell_.get(); }  // readable: drain()
  std::vector<Event> drain();
  // Control: the most that a ring held when it was taken, in this second and the one before.
  [[nodiscard]] std::uint32_t waiting() const noexcept { return std::max(waiting_, waited_); }
  void next_second() noexcept { waited_ = std::exchange(waiting_, 0); }
  [[nodiscard]] std::uint64_t lost() const noexcept { return lost_.load(std::memory_order_relaxed); }

 private:
  UniqueFd doorbell_;
  std::vector<std::unique_ptr<SpscRing<Event>>> rings_;
  std::atomic<bool> rung_{false};
  std::atomic<std::uint64_t> lost_{0};
  std::uint32_t waiting_ = 0, waited_ = 0;
};

}  // namespace shunt
