// SPDX-License-Identifier: Apache-2.0
// Flow monitors: what a controller hears of changes to rules. One that reads too slowly is told that it misses some
// (paused), and gets those when it has read what waits.
#include <utility>

#include "user/openflow/session.h"

namespace shunt::openflow {

void Session::monitor_flows(const MultipartRequest& request, std::uint32_t xid) {
  const std::vector<MonitorRequest> initial = monitors_.apply(decode_flow_monitors(request.body, *version_));
  // What waited for the monitors that there were is told by those that there are now.
  std::vector<std::pair<RuleRef, bool>> rules;
  for (const MonitorRequest& monitor : initial)
    for (const RuleRef& rule : agent_.instance().flow_list(agent_.name(), monitor.filter))
      rules.emplace_back(rule, (monitor.flags & kMonitorInstructions) != 0);
  const auto shared = std::make_shared<const std::vector<std::pair<RuleRef, bool>>>(std::move(rules));
  dump(request, xid, shared->size(), [shared, version = *version_](Writer& out, std::size_t i) {
    const auto& [rule, with_instructions] = (*shared)[i];
    encode_flow_update(out, MonitorEvent::kInitial, *rule, std::nullopt, with_instructions, version);
  });
}

void Session::rule_changed(const RuleChange& change) {
  if (monitors_.empty() || closing_) return;
  const bool own = change.by == this;
  const std::uint16_t flags = monitors_.wanted(change, own);
  if (flags == 0) return;
  // An answer that is on its way is of an older time: changes come behind it.
  if (monitors_paused_ || !dumps_.empty() || monitors_.holds_any()) return monitors_.hold(change);
  if (is_full()) {
    monitors_paused_ = true;
    encode_monitors_paused(out_, *version_);
    return monitors_.hold(change);
  }
  if (own && (flags & kMonitorNoAbbreviation) == 0) {
    if (std::exchange(abbreviated_, change.xid) == change.xid) return;
    const MultipartScope message{out_, *version_, flow_monitor_format(*version_), 0};
    return encode_flow_abbreviation(out_, change.xid, *version_);
  }
  tell(change, flags);
}

void Session::tell(const RuleChange& change, std::uint16_t flags) {
  abbreviated_.reset();
  const MultipartScope message{out_, *version_, flow_monitor_format(*version_), 0};
  encode_flow_update(out_, change.event, *change.rule, change.reason, (flags & kMonitorInstructions) != 0, *version_);
}

void Session::tell_held_changes() {
  while (dumps_.empty() && !is_full() && monitors_.holds_any()) {
    const RuleChange change = monitors_.take_held();
    if (const std::uint16_t flags = monitors_.wanted(change, false); flags != 0) tell(change, flags);
  }
  if (!monitors_paused_ || is_full() || monitors_.holds_any()) return;
  monitors_paused_ = false;
  encode_monitors_resumed(out_, *version_);
}

}  // namespace shunt::openflow
