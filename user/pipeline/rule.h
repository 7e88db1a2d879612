// SPDX-License-Identifier: Apache-2.0
// A rule: what a user or controller installs in a table; and FlowMod, a request to change rules.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "user/base/clock.h"
#include "user/flow/flow_key.h"
#include "user/pipeline/action.h"

namespace shunt {

inline constexpr std::uint16_t kDefaultPriority = 32768;  // OFP_DEFAULT_PRIORITY
inline constexpr std::uint8_t kTableCount = 254;          // OpenFlow: OFPTT_MAX + 1 = 0xff - 1

// Immutable after it was installed, but for its counters. in_port of the match is the OpenFlow port number.
struct Rule : std::enable_shared_from_this<Rule> {
  std::uint8_t table = 0;
  std::uint16_t priority = kDefaultPriority;
  std::uint64_t cookie = 0;
  Match match;
  ActionList actions;  // empty: drop
  TimePoint created{};
  mutable std::atomic<std::uint64_t> packets{0};
  mutable std::atomic<std::uint64_t> bytes{0};
};
using RuleRef = std::shared_ptr<const Rule>;

struct FlowMod {
  enum class Command { kAdd, kModify, kModifyStrict, kDelete, kDeleteStrict };
  Command command = Command::kAdd;
  std::optional<std::uint8_t> table;  // kDelete: none means all tables; else 0
  std::uint16_t priority = kDefaultPriority;
  std::uint64_t cookie = 0;
  std::optional<std::uint64_t> cookie_mask;  // selects, on modify and delete
  Match match;
  ActionList actions;
  std::optional<PortNo> out_port;  // kDelete: only rules that output there
};

}  // namespace shunt
