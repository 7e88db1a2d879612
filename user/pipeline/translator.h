// SPDX-License-Identifier: Apache-2.0
// One translation at work: the packet's key as the actions have left it so far, and the result being built. Internal to
// translate().
//
// A bit of the working key is either the packet's, and examining it un-wildcards it, or it is `known`: an action wrote
// it from a constant or from bits that were un-wildcarded then, so that it says nothing new about the packet.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "user/flow/fields.h"
#include "user/pipeline/translate.h"

namespace shunt {

class Translator {
 public:
  Translator(const SwitchState& state, const FlowKey& key);
  Translation run();

 private:
  // A list longer than this is a configuration error, and no packet may cost what running it would.
  static constexpr std::size_t kMaxActions = 8192;

  const SwitchState& state_;
  const FlowKey& packet_;
  const BridgeState* bridge_ = nullptr;
  FlowKey working_;  // in_port: the OpenFlow number
  FlowMask known_{};
  std::array<std::uint8_t, 2> tag_source_{0, 1};  // which tag of the packet a tag of working_ is, where it is not known
  bool ttl_decremented_ = false;                  // each bit of working_'s TTL depends on all bits of the packet's
  std::size_t after_last_output_ = 0;             // of result_.actions: what follows changes nothing that is sent
  Translation result_;

  // translate.cpp: rules.
  void run_rule(const Rule& rule);
  void run(const OutputAction& output, bool last);
  void run(const SetFieldAction& set, bool last);
  void run(const MoveAction& move, bool last);
  void run(const PushVlanAction& push, bool last);
  void run(const PopVlanAction& pop, bool last);
  void run(const SetVlanVidAction& set, bool last);
  void run(const SetVlanPcpAction& set, bool last);
  void run(const DecTtlAction& dec, bool last);
  void run(const DropAction& drop, bool last);
  void flood(std::uint16_t max_len);

  // normal.cpp: the learning switch. `last`: no output follows, so the frame may be left as edited.
  void normal(std::uint16_t max_len, bool last);
  bool admit_vlan(const BridgePort& ingress, VlanId& vlan);
  void learn(const BridgePort& ingress, VlanId vlan);
  std::vector<const BridgePort*> choose_outputs(const BridgePort& ingress, VlanId vlan);
  void send_in_vlan(std::span<const BridgePort* const> ports, VlanId vlan, std::uint16_t max_len, bool last);

  // Both: the frame and what is known of it.
  void examine(const FlowMask& bits);                 // the answer depends on these bits of working_
  [[nodiscard]] bool has(Prerequisite prerequisite);  // examines it
  void write(const Match& set);                       // emits the edit and makes it in working_
  void push_tag(std::uint16_t tpid, std::uint16_t tci);
  void pop_tag();                        // there is one
  [[nodiscard]] bool is_tagged() const;  // outer tag present; examine before
  void send(const BridgePort& port, std::uint16_t max_len);
  void emit(const shunt_action& action);
  void fail(shunt_drop_reason reason);  // why there is no output; the first reason counts
  Translation finish();
};

// Masks of the parts that are examined most.
FlowMask eth_dst_mask();
FlowMask eth_src_mask();
FlowMask vlan_mask(std::uint16_t tci_bits);  // of the outer tag

}  // namespace shunt
