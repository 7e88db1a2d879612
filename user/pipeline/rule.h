// SPDX-License-Identifier: Apache-2.0
// A rule: what a user or controller installs in a table; and FlowMod, a request to change rules.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "user/base/clock.h"
#include "user/flow/flow_key.h"
#include "user/pipeline/action.h"
#include "user/pipeline/counters.h"

namespace shunt {

inline constexpr std::uint16_t kDefaultPriority = 32768;  // OFP_DEFAULT_PRIORITY
inline constexpr std::uint8_t kTableCount = 254;          // OpenFlow: OFPTT_MAX + 1 = 0xff - 1

enum FlowFlags : std::uint16_t {  // ofp_flow_mod_flags
  kSendFlowRemoved = 1 << 0,
  kCheckOverlap = 1 << 1,
  kResetCounts = 1 << 2,
  kNoPacketCounts = 1 << 3,
  kNoByteCounts = 1 << 4,
};

// Immutable after it was installed, but for its counters and the timeouts that fin_timeout lowers. in_port of the match
// is the OpenFlow port number.
struct Rule : std::enable_shared_from_this<Rule> {
  std::uint8_t table = 0;
  std::uint16_t priority = kDefaultPriority;
  std::uint16_t flags = 0;       // FlowFlags
  std::uint16_t importance = 0;  // eviction takes the least important first
  std::uint64_t cookie = 0;
  Match match;
  ActionList actions;  // empty: drop
  TimePoint created{};
  FlowCounters counters;
  mutable std::atomic<std::uint16_t> idle_timeout{0}, hard_timeout{0};  // s; 0: none
  mutable std::uint32_t node = 0;                                       // what the classifier's writer finds it by
  mutable std::atomic<TimePoint::rep> modified{0};                      // hard_timeout counts from here
  mutable std::int64_t row = 0;  // its id where the state is kept (RuleObserver); 0: none. Control alone
};
using RuleRef = std::shared_ptr<const Rule>;

// kAdd takes the place of the rule of the same match and priority, whose counters go with it (ovs-ofctl add-flow) unless
// `keep_counts` (OpenFlow 1.3 and later). kModify gives rules new actions and leaves timeouts, flags, importance and
// counters as they are; their hard timeouts start again. Where none matches, nothing happens (OpenFlow 1.1 and later),
// unless `modify_adds` (OpenFlow 1.0).
struct FlowMod {
  enum class Command { kAdd, kModify, kModifyStrict, kDelete, kDeleteStrict };
  Command command = Command::kAdd;
  std::optional<std::uint8_t> table;  // none: all tables; to add: 0
  std::uint16_t priority = kDefaultPriority;
  std::uint64_t cookie = 0;
  std::optional<std::uint64_t> cookie_mask;  // selects, on modify and delete
  std::optional<std::uint64_t> new_cookie;   // kModify: what the rules get (ovs-ofctl's "cookie=V" beside cookie=V/M)
  bool modify_adds = false;                  // kModify: adds the rule where there is none
  bool keep_counts = false;                  // kAdd: counters go on, those of the rule whose place it takes
  Match match;
  ActionList actions;
  std::uint16_t idle_timeout = 0, hard_timeout = 0;  // s
  std::uint16_t importance = 0;
  std::uint16_t flags = 0;         // FlowFlags
  std::optional<PortNo> out_port;  // kDelete: only rules that output there
  std::optional<std::uint32_t> out_group;
  std::size_t line = 0;  // of the text it came from, for messages; 0: none
};

// The request that would add the rule as it is.
[[nodiscard]] FlowMod flow_mod_of(const Rule& rule);

// A rule as it was before a restart.
struct RestoredRule {
  FlowMod mod;
  TimePoint created{}, modified{}, used{};  // used at the epoch: never
  std::int64_t row = 0;
};

}  // namespace shunt
