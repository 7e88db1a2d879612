// SPDX-License-Identifier: Apache-2.0
// Whether a bridge can take a rule: what OpenFlow refuses whoever asks, text or protocol. The text layer refuses part
// of this earlier, with a column; here nothing depends on that.
//
// Fields without their prerequisite are not refused here: a set of one does nothing to packets that have not got it,
// which is what mod_nw_src and its like mean. Those whose syntax promises more (set_field) check that themselves.
// Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "user/pipeline/action.h"
#include "user/pipeline/group.h"
#include "user/pipeline/meter.h"
#include "user/pipeline/rule.h"
#include "user/pipeline/switch.h"

namespace shunt {

inline constexpr std::size_t kMaxRuleActions = 4096;     // of a rule or bucket, those inside others too
inline constexpr std::size_t kMaxActionDepth = 16;       // lists in lists
inline constexpr std::uint32_t kMaxPortNo = 0xff00 - 1;  // as in OpenFlow 1.0, whose tools still talk to us

// What actions may name.
struct CheckContext {
  const std::map<std::uint32_t, GroupRef>& groups;
  const std::map<std::uint32_t, MeterRef>& meters;
};

// Each throws OfError, without a line; its path leads to the action.
void check_rule(const CheckContext& context, const FlowMod& mod, std::uint8_t table);
void check_bucket_actions(const CheckContext& context, const ActionList& actions);
void check_packet_out(const CheckContext& context, const ActionList& actions);
// True for the numbers that a port can have (LOCAL too), whether it is there or not.
[[nodiscard]] bool is_port_number(PortNo port);

}  // namespace shunt
