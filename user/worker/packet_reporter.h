// SPDX-License-Identifier: Apache-2.0
// What the packets of a worker report, as events for control. A report costs an allocation; it never waits: what finds
// the queue full, or no memory, is lost, and counted by the queue.
//
// Threads: a worker's own.
#pragma once

#include <cstdint>
#include <span>

#include "user/base/clock.h"
#include "user/pipeline/switch.h"
#include "user/worker/events.h"
#include "user/worker/executor.h"

namespace shunt {

class PacketReporter final : public PacketReports {
 public:
  // Bytes of a sampled packet that are kept.
  static constexpr std::size_t kSampledBytes = 128;
  // A translation asks for its learned rules at most so often.
  static constexpr std::chrono::milliseconds kLearnInterval{100};

  // Without a queue nothing is reported. `producer`: this worker's ring.
  PacketReporter(EventQueue* events, unsigned producer) : events_{events}, producer_{producer} {}

  // Where the packets that follow came in.
  void begin(const SwitchState& state, DpPort in_port) noexcept {
    state_ = &state;
    in_port_ = in_port;
  }
  void packet_in(const Translation& translation, const Translation::Controller& controller, PacketInReason reason,
                 std::span<const std::uint8_t> frame) noexcept override;
  void sample(const Translation& translation, const SampleAction& sample,
              std::span<const std::uint8_t> frame) noexcept override;
  // A packet of this translation went by: `last` is when it asked for its rules before, and is brought up to date.
  void learn(const TranslationRef& translation, TimePoint now, TimePoint& last) noexcept;

 private:
  EventQueue* const events_;
  const unsigned producer_;
  const SwitchState* state_ = nullptr;
  DpPort in_port_;
};

}  // namespace shunt
