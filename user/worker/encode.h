// SPDX-License-Identifier: Apache-2.0
// Encoding: a translation's actions -> what the kernel side can run, or the reason why only userspace can.
//
// The kernel runs at most SHUNT_MAX_ACTIONS actions with one output, which is the last: a port, or a group of ports
// that all get the same bytes. (A program at the devmap's exit could take the tag off for access ports, but the kernel
// keeps one program a device and batch, that of the batch's first frame: bq_enqueue() in kernel/bpf/devmap.c.) A meter
// that stands before all outputs stays in the kernel, and so does the dice of one sample. Everything else goes up: to
// be translated with the packet at hand as PACKET, to the controller as CONTROLLER, the rest as UNSUPPORTED.
//
// Pure: no map is touched. Threads: any.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "maps/actions.h"
#include "maps/drop_reason.h"
#include "maps/flow.h"
#include "maps/types.h"
#include "user/base/strong_types.h"
#include "user/pipeline/translate.h"

namespace shunt {

// How the kernel reaches a datapath port; set by control.
struct PortOutput {
  Ifindex ifindex;           // 0: the interface is gone
  bool xdp_transmit = true;  // false: it cannot take XDP redirects; output goes through AF_XDP
};
using PortOutputs = std::array<PortOutput, SHUNT_MAX_PORTS>;

using GroupPorts = std::vector<DpPort>;  // of an output group: ascending, each once

struct Encoded {
  DpActions actions;                  // 1..SHUNT_MAX_ACTIONS; the arg of OUTPUT_GROUP and BRIDGE is the table's
  std::uint8_t flags = 0;             // SHUNT_FLOW_*, but for YOUNG
  DpPort output;                      // SINGLE_OUTPUT; BRIDGE: the FDB's number
  GroupPorts group;                   // members where actions end in OUTPUT_GROUP
  bool in_kernel = true;              // false: one USERSPACE action, for `reason`
  shunt_upcall_reason reason = SHUNT_UPCALL_MISS;
};

[[nodiscard]] Encoded encode(const Translation& translation, DpPort in_port, const PortOutputs& ports);
// Where a flow that the kernel runs sends its packets: all get the same bytes. Outputs that lead nowhere are left out.
[[nodiscard]] std::vector<DpPort> sent_to(const Translation& translation, DpPort in_port, const PortOutputs& ports);
// One USERSPACE action with that reason.
[[nodiscard]] Encoded encode_userspace(shunt_upcall_reason reason);

// Features (SHUNT_FEATURE_*) that a program must have for a flow under `mask` with these actions to be right in the
// kernel.
[[nodiscard]] std::uint32_t features_of(const FlowMask& mask, const Encoded& encoded);

// True for actions that change the frame, or may.
[[nodiscard]] bool is_edit(const shunt_action& action);

}  // namespace shunt
