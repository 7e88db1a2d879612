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
#include "user/worker/capture_tap.h"
#include "user/worker/events.h"
#include "user/worker/executor.h"

namespace shunt {

class PacketReporter final : public PacketReports {
 public:
  // Bytes of a sampled packet that are kept.
  static constexpr std::size_t kSampledBytes = 128;
  // A translation asks for its learned rules at most so often.
  static constexpr std::chrono::milliseconds kLearnInterval{100};

  // Without a queue no event is reported. `producer`: this worker's ring. `tap`, where there is one, hears of drops.
  PacketReporter(EventQueue* events, unsigned producer, CaptureTap* tap = nullptr)
      : events_{events}, producer_{producer}, tap_{tap} {}

  // Where the packets that follow came in.
  void begin(const SwitchState& state, DpPort in_port) noexcept {
    state_ = &state;
    in_port_ = in_port;
  }
  void packet_in(const Translation& translation, const Translation::Controller& controller, PacketInReason reason,
                 std::span<const std::uint8_t> frame) noexcept override;
  void sample(const Translation& translation, const SampleAction& sample,
              std::span<const std::uint8_t> frame) noexcept override;
  void dropped(shunt_drop_reason reason, std::span<const std::uint8_t> frame) noexcept override {
    if (tap_ != nullptr && tap_->active())
      tap_->dropped(in_port_, reason, frame, static_cast<std::uint32_t>(frame.size()));
  }
  // A packet so decided went by: `last` is when it asked for its rules before, and is brought up to date.
  void learn(const DecisionRef& decision, TimePoint now, TimePoint& last) noexcept;

 private:
  EventQueue* const events_;
  const unsigned producer_;
  CaptureTap* const tap_;
  const SwitchState* state_ = nullptr;
  DpPort in_port_;
};

}  // namespace shunt
