// SPDX-License-Identifier: Apache-2.0
// Messages about rules: flow-mod, flow statistics, flow-removed. Of each version, and Nicira's of OpenFlow 1.0 (NXM).
//
// What belongs to a flow-mod message and not to the rule stands beside the pipeline's FlowMod. Threads: any.
#pragma once

#include <cstdint>
#include <optional>

#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/message.h"
#include "user/openflow/codec/version.h"
#include "user/pipeline/rule.h"
#include "user/pipeline/switch.h"

namespace shunt::openflow {

struct FlowModMessage {
  FlowMod mod;
  std::uint32_t buffer_id = kNoBuffer;  // a packet that is to meet the rules then
};
// `body` is behind the header. `table_ids`: OpenFlow 1.0's command has the table in its upper byte
// (NXT_FLOW_MOD_TABLE_ID).
[[nodiscard]] FlowModMessage decode_flow_mod(Bytes body, Version version, bool table_ids);
[[nodiscard]] FlowModMessage decode_nx_flow_mod(Bytes body, bool table_ids);
void encode_flow_mod(Writer& out, const FlowModMessage& message, Version version, std::uint32_t xid);

// The rules that a request for flow statistics is about.
[[nodiscard]] FlowMod decode_flow_filter(Bytes body, Version version);
[[nodiscard]] FlowMod decode_nx_flow_filter(Bytes body);

// An entry of the reply to kFlow, kFlowStats or kNxFlow. `flow_age`: NXT_FLOW_AGE asked for ages.
void encode_flow_entry(Writer& out, const Rule& rule, TimePoint now, MultipartKind kind, Version version,
                       bool flow_age);

struct FlowTotals {
  std::uint64_t packets = 0, bytes = 0;
  std::uint32_t flows = 0;
};
void encode_aggregate(Writer& out, const FlowTotals& totals, Version version);

// A reason's number. Those that came with a later version are the deletions that they are.
[[nodiscard]] std::uint8_t reason_in(RemovedReason reason, Version version);
// `nicira`: NXT_FLOW_REMOVED, for OpenFlow 1.0 where the match may be more than it has.
void encode_flow_removed(Writer& out, const RemovedRule& removed, TimePoint now, Version version, bool nicira);

}  // namespace shunt::openflow
