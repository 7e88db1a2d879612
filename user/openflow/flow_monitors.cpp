// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/flow_monitors.h"

#include <utility>

#include "user/base/of_error.h"
#include "user/pipeline/rule_edit.h"

namespace shunt::openflow {

std::vector<MonitorRequest> FlowMonitors::apply(std::vector<MonitorRequest>&& requests) {
  std::map<std::uint32_t, MonitorRequest> monitors = monitors_;
  std::vector<MonitorRequest> initial;
  for (MonitorRequest& request : requests) {
    const auto found = monitors.find(request.id);
    if (request.command == MonitorCommand::kAdd) {
      if (found != monitors.end()) throw OfError(OfErrorCode::kMonitorExists, "monitor {} is there", request.id);
      if (monitors.size() == kMaxMonitors)
        throw OfError(OfErrorCode::kNotPermitted, "more than {} flow monitors", kMaxMonitors);
    } else if (found == monitors.end()) {
      throw OfError(OfErrorCode::kUnknownMonitor, "no monitor {}", request.id);
    }
    if (request.command == MonitorCommand::kDelete) {
      monitors.erase(found);
      continue;
    }
    if ((request.flags & kMonitorInitial) != 0) initial.push_back(request);
    const std::uint32_t id = request.id;
    monitors[id] = std::move(request);
  }
  monitors_ = std::move(monitors);
  return initial;
}

void FlowMonitors::cancel(std::uint32_t id) {
  if (monitors_.erase(id) == 0) throw OfError(OfErrorCode::kUnknownMonitor, "no monitor {}", id);
}

std::uint16_t FlowMonitors::wanted(const RuleChange& change, bool own) const {
  const std::uint16_t subject = change.event == MonitorEvent::kRemoved    ? kMonitorRemoved
                                : change.event == MonitorEvent::kModified ? kMonitorModify
                                                                          : kMonitorAdd;
  unsigned flags = 0;
  for (const auto& [id, monitor] : monitors_) {
    if ((monitor.flags & subject) == 0 || ((monitor.flags & kMonitorOnlyOwn) != 0 && !own)) continue;
    if (selects(monitor.filter, *change.rule) || (change.old != nullptr && selects(monitor.filter, *change.old)))
      flags |= monitor.flags;
  }
  return static_cast<std::uint16_t>(flags);
}

void FlowMonitors::hold(const RuleChange& change) {
  if (change.event == MonitorEvent::kAdded) {
    changed_[change.rule] = MonitorEvent::kAdded;
    return;
  }
  const RuleRef& before = change.event == MonitorEvent::kModified ? change.old : change.rule;
  const auto held = changed_.find(before);
  const bool is_new = held != changed_.end() && held->second == MonitorEvent::kAdded;  // nobody has heard of it
  if (held != changed_.end()) changed_.erase(held);
  if (change.event == MonitorEvent::kModified)
    changed_[change.rule] = is_new ? MonitorEvent::kAdded : MonitorEvent::kModified;
  else if (!is_new)
    removed_[change.rule] = change.reason;
}

RuleChange FlowMonitors::take_held() {
  RuleChange change;
  if (!removed_.empty()) {
    const auto first = removed_.extract(removed_.begin());
    change.event = MonitorEvent::kRemoved;
    change.rule = first.key();
    change.reason = first.mapped();
  } else {
    const auto first = changed_.extract(changed_.begin());
    change.event = first.mapped();
    change.rule = first.key();
  }
  return change;
}

}  // namespace shunt::openflow
