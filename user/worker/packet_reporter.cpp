// SPDX-License-Identifier: Apache-2.0
#include "user/worker/packet_reporter.h"

#include <algorithm>
#include <new>
#include <utility>

namespace shunt {
namespace {

std::vector<std::uint8_t> first_bytes(std::span<const std::uint8_t> frame, std::size_t most) {
  const auto kept = frame.first(std::min(frame.size(), most));
  return {kept.begin(), kept.end()};
}

}  // namespace

void PacketReporter::packet_in(const Translation& translation, const Translation::Controller& controller,
                               PacketInReason reason, std::span<const std::uint8_t> frame) noexcept {
  if (events_ == nullptr || !translation.bridge) return;
  try {
    PacketInEvent event{*translation.bridge, controller, {}, static_cast<std::uint32_t>(frame.size())};
    event.what.action.reason = reason;
    event.frame.assign(frame.begin(), frame.end());
    events_->push(producer_, std::move(event));
  } catch (const std::bad_alloc&) {
    events_->lose();
  }
}

void PacketReporter::sample(const Translation& translation, const SampleAction& sample,
                            std::span<const std::uint8_t> frame) noexcept {
  if (events_ == nullptr || !translation.bridge) return;
  try {
    SampleEvent event{*translation.bridge, sample, {}, {}, static_cast<std::uint32_t>(frame.size())};
    const BridgeState* bridge = in_port_.value < SHUNT_MAX_PORTS ? state_->bridge_of[in_port_.value] : nullptr;
    const BridgePort* port = bridge != nullptr ? bridge->find(in_port_) : nullptr;
    if (port != nullptr) event.in_port = port->number;
    event.frame = first_bytes(frame, kSampledBytes);
    events_->push(producer_, std::move(event));
  } catch (const std::bad_alloc&) {
    events_->lose();
  }
}

void PacketReporter::learn(const DecisionRef& decision, TimePoint now, TimePoint& last) noexcept {
  if (events_ == nullptr || decision->translation.follow_ups->learned.empty() || now - last < kLearnInterval) return;
  if (events_->push(producer_, LearnEvent{translation_of(decision)})) last = now;
}

}  // namespace shunt
