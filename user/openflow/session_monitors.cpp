// SPDX-License-Identifier: Apache-2.0
// Flow monitors: what a controller hears of changes to rules. One that reads too slowly is told that it misses some
// (paused), and gets those when it has read what waits.
#include <utility>
#include <vector>

#include "user/openflow/session.h"
#include "user/pipeline/rule_edit.h"

namespace shunt::openflow {

// Each rule is told once, with what any of the new monitors wants to know of it.
void Session::monitor_flows(const MultipartRequest& request, std::uint32_t xid) {
  std::vector<MonitorRequest> initial = monitors_.apply(decode_flow_monitors(request.body, *version_));
  // What waited for the monitors that there were is told by those that there are now.
  if (initial.empty()) return dump(request, xid, 0, {});
  const FlowMod filter = initial.size() == 1 ? initial.front().filter : FlowMod{};
  dump_rules(request, xid, filter, [monitors = std::move(initial), version = *version_](Writer& out, const Rule& rule) {
    unsigned flags = 0;
    for (const MonitorRequest& monitor : monitors)
      if (selects(monitor.filter, rule)) flags |= monitor.flags;
    if (flags != 0)
      encode_flow_update(out, MonitorEvent::kInitial, rule, std::nullopt, (flags & kMonitorInstructions) != 0, version);
  });
}

void Session::rule_changed(const RuleChange& change) {
  if (monitors_.empty() || closing_) return;
  const bool own = change.by == this;
  // An answer that is on its way is of an older time: changes come behind it.
  if (monitors_paused_ || !dumps_.empty() || monitors_.holds_any()) return monitors_.hold(change, own);
  const std::uint16_t flags = monitors_.wanted(change, own);
  if (flags == 0) return;
  if (is_full()) {
    monitors_paused_ = true;
    encode_monitors_paused(out_, *version_);
    return monitors_.hold(change, own);
  }
  if (own && (flags & kMonitorNoAbbreviation) == 0) {
    if (std::exchange(abbreviated_, change.xid) == change.xid) return;
    const MultipartScope message{out_, *version_, flow_monitor_format(*version_), 0};
    return encode_flow_abbreviation(out_, change.xid, *version_);
  }
  tell(change, flags);
}

// A rule whose actions are longer in the reader's version than where they came from may be too large for a message.
void Session::tell(const RuleChange& change, std::uint16_t flags) {
  abbreviated_.reset();
  MultipartScope message{out_, *version_, flow_monitor_format(*version_), 0};
  const std::size_t begin = out_.size();
  encode_flow_update(out_, change.event, *change.rule, change.reason, (flags & kMonitorInstructions) != 0, *version_);
  if (message.size() <= kMaxMessage) return;
  out_.shrink(begin);
  ++lost_;
}

void Session::tell_held_changes() {
  while (dumps_.empty() && !is_full() && monitors_.holds_any()) {
    const auto [change, own] = monitors_.take_held();
    if (const std::uint16_t flags = monitors_.wanted(change, own); flags != 0) tell(change, flags);
  }
  if (!monitors_paused_ || is_full() || monitors_.holds_any()) return;
  monitors_paused_ = false;
  encode_monitors_resumed(out_, *version_);
}

}  // namespace shunt::openflow
