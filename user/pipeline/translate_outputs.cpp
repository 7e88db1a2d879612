// SPDX-License-Identifier: Apache-2.0
// Translation of what says where a packet goes: ports and reserved ports, queues, meters, drop.
#include <algorithm>

#include "user/pipeline/translator.h"

namespace shunt {

namespace {

constexpr std::uint32_t kPopQueue = 0xffffffff;

}  // namespace

PortNo port_of_bits(FieldBits bits) {
  const auto number = static_cast<std::uint32_t>(bits);
  return PortNo{number > 0xff00 && number <= 0xffff ? number | 0xffff0000 : number};
}

void Translator::run(const OutputAction& action) { output(action.port, action.max_len, true); }

void Translator::run(const OutputFieldAction& action) {
  const auto bits = read_from(action.source);
  if (bits && *bits <= 0xffffffff)
    output(port_of_bits(*bits), action.max_len, false);
  else
    fail(SHUNT_DROP_NO_OUTPUT_PORT);
}

void Translator::output(PortNo number, std::uint16_t max_len, bool may_packet_in) {
  if (number == kPortNormal) return normal(max_len);
  if (number == kPortFlood || number == kPortAll) return flood(number == kPortAll, max_len);
  if (number == kPortTable) return enter_table(0, working_.in_port, true, may_packet_in);
  if (number == kPortController) {
    ControllerAction controller;
    if (max_len != 0) controller.max_len = max_len;
    controller.reason = in_packet_out_   ? PacketInReason::kPacketOut
                        : in_group_      ? PacketInReason::kGroup
                        : in_action_set_ ? PacketInReason::kActionSet
                                         : PacketInReason::kAction;
    return send_to_controller(controller);
  }
  const bool back = number == kPortInPort;
  // OpenFlow: back out of the input port by IN_PORT only.
  if (!back && number.value == working_.in_port) {
    note([] { return "the packet came in there"; });
    return fail(SHUNT_DROP_SAME_PORT);
  }
  const BridgePort* port = find_port(back ? PortNo{working_.in_port} : number);
  if (port == nullptr) {
    note([] { return "there is no such port"; });
    return fail(SHUNT_DROP_NO_OUTPUT_PORT);
  }
  if (accepts(*port)) send(*port, max_len);
}

void Translator::flood(bool all, std::uint16_t max_len) {
  depend_on(DependencyKind::kPort, kPortAll.value);  // which ports there are
  for (const BridgePort& port : bridge_->ports) {
    if (port.number.value == working_.in_port) continue;
    depend_on(DependencyKind::kPort, port.number.value);
    if ((all || port.flood) && accepts(port)) send(port, max_len);
  }
  fail(SHUNT_DROP_SAME_PORT);
}

void Translator::run(const SetQueueAction& set) {
  Match priority;
  write_field(field(FieldId::kSkbPriority), priority.mask, ~FieldBits{0});
  write_field(field(FieldId::kSkbPriority), priority.value, set.queue == kPopQueue ? 0 : set.queue);
  write(priority);
}

void Translator::run(const EnqueueAction& enqueue) {
  const auto before = working_.skb_priority;
  write_field(field(FieldId::kSkbPriority), working_, enqueue.queue);
  output(enqueue.port, 0, false);
  working_.skb_priority = before;
}

void Translator::run(const DropAction&) { fail(SHUNT_DROP_RULE); }

void Translator::run(const MeterAction& action) {
  depend_on(DependencyKind::kMeter, action.meter);
  const auto meter = bridge_->meters->find(action.meter);
  if (meter == bridge_->meters->end()) return note([] { return "there is no such meter"; });
  shunt_action emitted{};
  emitted.type = SHUNT_ACT_METER;
  emitted.arg = meter->second->slot;
  emit(emitted);
  // What the DSCP is from here on only the datapath knows: an edit of it is made, whatever the packet came with.
  // Matches and moves still read what it came with.
  constexpr std::uint8_t kDscp = 0xfc;  // of the ToS
  const auto remarks = [](const MeterBand& band) { return band.type == SHUNT_BAND_DSCP_REMARK; };
  if (std::ranges::any_of(meter->second->config.bands, remarks)) {
    rewritten_.nw_tos |= kDscp;
    known_.nw_tos &= static_cast<std::uint8_t>(~kDscp);
  }
}

}  // namespace shunt
