// SPDX-License-Identifier: Apache-2.0
#include "user/openflow/flow_monitors.h"

#include <algorithm>
#include <utility>

#include "user/base/of_error.h"
#include "user/pipeline/rule_edit.h"

namespace shunt::openflow {
namespace {

// Whatever kind of change it is.
bool concerns(const MonitorRequest& monitor, const RuleChange& change, bool own) {
  if ((monitor.flags & kMonitorOnlyOwn) != 0 && !own) return false;
  return selects(monitor.filter, *change.rule) || (change.old != nullptr && selects(monitor.filter, *change.old));
}

}  // namespace

std::vector<MonitorRequest> FlowMonitors::apply(std::vector<MonitorRequest>&& requests) {
  std::map<std::uint32_t, MonitorRequest> monitors = monitors_;
  std::map<std::uint32_t, MonitorRequest> initial;
  for (MonitorRequest& request : requests) {
    const auto found = monitors.find(request.id);
    if (request.command == MonitorCommand::kAdd) {
      if (found != monitors.end()) throw OfError(OfErrorCode::kMonitorExists, "monitor {} is there", request.id);
      if (monitors.size() == kMaxMonitors)
        throw OfError(OfErrorCode::kNotPermitted, "more than {} flow monitors", kMaxMonitors);
    } else if (found == monitors.end()) {
      throw OfError(OfErrorCode::kUnknownMonitor, "no monitor {}", request.id);
    }
    initial.erase(request.id);
    if (request.command == MonitorCommand::kDelete) {
      monitors.erase(found);
      continue;
    }
    if ((request.flags & kMonitorInitial) != 0) initial[request.id] = request;
    const std::uint32_t id = request.id;
    monitors[id] = std::move(request);
  }
  monitors_ = std::move(monitors);
  std::vector<MonitorRequest> asking;
  for (auto& [id, request] : initial) asking.push_back(std::move(request));
  return asking;
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
    if ((monitor.flags & subject) != 0 && concerns(monitor, change, own)) flags |= monitor.flags;
  }
  return static_cast<std::uint16_t>(flags);
}

bool FlowMonitors::selects_any(const RuleChange& change, bool own) const {
  return std::ranges::any_of(monitors_, [&](const auto& each) { return concerns(each.second, change, own); });
}

void FlowMonitors::hold(const RuleChange& change, bool own) {
  if (change.event == MonitorEvent::kAdded) {
    if (selects_any(change, own)) changed_[change.rule] = {nullptr, own};
    return;
  }
  const RuleRef& before = change.event == MonitorEvent::kModified ? change.old : change.rule;
  const auto held = changed_.find(before);
  if (held == changed_.end() && !selects_any(change, own)) return;
  Changed what{before, own};
  if (held != changed_.end()) {
    what = {held->second.known, held->second.own || own};
    changed_.erase(held);
  }
  if (change.event == MonitorEvent::kModified)
    changed_[change.rule] = what;
  else if (what.known != nullptr)
    removed_[what.known] = {change.reason, what.own};
}

void FlowMonitors::renew(const RuleRef& old, const RuleRef& rule) {
  auto held = changed_.extract(old);
  if (held.empty()) return;
  held.key() = rule;
  changed_.insert(std::move(held));
}

FlowMonitors::Held FlowMonitors::take_held() {
  Held held{};
  if (!removed_.empty()) {
    const auto first = removed_.extract(removed_.begin());
    held.change.event = MonitorEvent::kRemoved;
    held.change.rule = first.key();
    held.change.reason = first.mapped().reason;
    held.own = first.mapped().own;
  } else {
    const auto first = changed_.extract(changed_.begin());
    held.change.rule = first.key();
    held.change.old = first.mapped().known;
    if (held.change.old != nullptr) held.change.event = MonitorEvent::kModified;
    held.own = first.mapped().own;
  }
  return held;
}

}  // namespace shunt::openflow
