// SPDX-License-Identifier: Apache-2.0
// Flow monitors: requests, and what is told of rules. OpenFlow 1.4's; for 1.3 those that ONF added to it (EXT-187), for
// 1.0 Nicira's, of which those were made. Threads: any.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/message.h"
#include "user/openflow/codec/version.h"
#include "user/pipeline/rule.h"
#include "user/pipeline/switch.h"

namespace shunt::openflow {

enum MonitorFlags : std::uint16_t {  // ofp_flow_monitor_flags; Nicira's are the same but for the last
  kMonitorInitial = 1 << 0,
  kMonitorAdd = 1 << 1,
  kMonitorRemoved = 1 << 2,
  kMonitorModify = 1 << 3,
  kMonitorInstructions = 1 << 4,
  kMonitorNoAbbreviation = 1 << 5,
  kMonitorOnlyOwn = 1 << 6,
};
enum class MonitorCommand : std::uint8_t { kAdd, kModify, kDelete };  // ofp_flow_monitor_command

struct MonitorRequest {
  MonitorCommand command = MonitorCommand::kAdd;
  std::uint32_t id = 0;
  std::uint16_t flags = 0;
  FlowMod filter;  // as of flow statistics
};
// The body of a multipart request, which may hold several.
[[nodiscard]] std::vector<MonitorRequest> decode_flow_monitors(Bytes body, Version version);

// The format of what is told, also where nobody asks.
[[nodiscard]] const MultipartFormat& flow_monitor_format(Version version);

enum class MonitorEvent : std::uint8_t { kInitial, kAdded, kRemoved, kModified };
// An entry of the reply.
void encode_flow_update(Writer& out, MonitorEvent event, const Rule& rule, std::optional<RemovedReason> reason,
                        bool with_instructions, Version version);
void encode_flow_abbreviation(Writer& out, std::uint32_t xid, Version version);
// Messages of their own: from here on changes are not told, but gathered; they are told again.
void encode_monitors_paused(Writer& out, Version version);
void encode_monitors_resumed(Writer& out, Version version);

}  // namespace shunt::openflow
