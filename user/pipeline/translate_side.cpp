// SPDX-License-Identifier: Apache-2.0
// Translation of what happens beside a packet's way: packet-ins, samples, lowered timeouts, what hangs on the length.
#include <fmt/format.h>

#include <utility>

#include "user/pipeline/translator.h"

namespace shunt {

namespace {

constexpr std::uint16_t kTcpFin = 0x001, kTcpRst = 0x004;
constexpr std::uint16_t kEachPacket = 65535;  // a sample's probability

FlowMask fin_or_rst() {
  FlowMask mask{};
  mask.tcp_flags = be16{kTcpFin | kTcpRst};
  return mask;
}

}  // namespace

void Translator::run(const ControllerAction& controller) { send_to_controller(controller); }

Translation::Controller Translator::controller_of(const ControllerAction& action) const {
  return {action, rule_ != nullptr ? rule_->shared_from_this() : nullptr, table_, working_, PortNo{working_.in_port}};
}

// A meter holds back packet-ins and nothing else: the action's own, or OpenFlow's OFPM_CONTROLLER where it is
// configured.
void Translator::send_to_controller(const ControllerAction& action) {
  const std::uint32_t meter = action.meter_id.value_or(kMeterController);
  depend_on(DependencyKind::kMeter, meter);
  const bool metered = bridge_->meters->contains(meter);
  if (metered) {
    open_scope();
    run(MeterAction{meter});
  }
  shunt_action up = action_of(SHUNT_ACT_CONTROLLER);
  auto& controllers = result_.follow_ups.make().controllers;
  up.arg = static_cast<__u16>(controllers.size());
  controllers.push_back(controller_of(action));
  if (action.pause) controllers.back().paused = pause();
  emit(up);
  if (metered) close_scope();
}

// The rest of the pipeline is the controller's to ask for. Lists are gone through outwards, and each leaves its rest.
ContinuationRef Translator::pause() {
  note([] { return "paused: the packet waits for its controller"; });
  pausing_ = std::make_shared<Continuation>();
  // A bucket's packet has none.
  if (!in_group_)
    for (const Action* action : action_set_.as_written()) pausing_->action_set.push_back(*action);
  pausing_->stack = stack_;
  action_set_.clear();
  exit_ = true;
  return pausing_;
}

void Translator::run(const SampleAction& sample) {
  shunt_action take = action_of(SHUNT_ACT_SAMPLE);
  if (sample.probability != kEachPacket) take.arg = sample.probability;
  auto& samples = result_.follow_ups.make().samples;
  store16(take.value, static_cast<std::uint16_t>(samples.size()));
  samples.push_back(sample);
  emit(take);
}

void Translator::run(const FinTimeoutAction& fin) {
  if (rule_ == nullptr || !has(Prerequisite::kTcp)) return;
  examine(fin_or_rst());
  if ((working_.tcp_flags.host() & (kTcpFin | kTcpRst)) == 0) return;
  result_.follow_ups.make().fin_timeouts.push_back({rule_->shared_from_this(), fin.idle_timeout, fin.hard_timeout});
}

void Translator::run(const CheckPktLargerAction& check) {
  const PacketView* packet = need_packet();
  if (packet == nullptr) return;
  const std::int64_t length = std::int64_t{packet->length} + layers_.length_change;
  note([&] { return fmt::format("the packet has {} bytes", length); });
  write_to(check.target, length > check.length ? 1 : 0);
}

void Translator::run(const NoteAction&) {}  // for whoever reads the rule

}  // namespace shunt
