// SPDX-License-Identifier: Apache-2.0
// The flow monitors of one session: which changes to rules its controller wants to hear of, and those that it could not
// be told of yet, because it reads too slowly, or an older answer is still on its way.
//
// What waits is bounded by the rules that there are, and were when it began to wait: of a rule that came, changed and
// went nothing is left, and what is told in the end is how it is then. Thread: control.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "user/openflow/codec/monitor_codec.h"
#include "user/pipeline/rule.h"

namespace shunt::openflow {

class Session;

struct RuleChange {
  MonitorEvent event = MonitorEvent::kAdded;
  RuleRef rule;
  RuleRef old{};  // kModified: as it was
  std::optional<RemovedReason> reason{};
  const Session* by = nullptr;  // whose request it was; null: none of a controller's
  std::uint32_t xid = 0;
};

class FlowMonitors {
 public:
  static constexpr std::size_t kMaxMonitors = 256;

  // All of them, or none: throws OfError. Returns those that want to know what is there, each once.
  std::vector<MonitorRequest> apply(std::vector<MonitorRequest>&& requests);
  void cancel(std::uint32_t id);
  [[nodiscard]] bool empty() const { return monitors_.empty(); }

  // MonitorFlags of all that want to hear of the change; 0: nobody does.
  [[nodiscard]] std::uint16_t wanted(const RuleChange& change, bool own) const;

  // Of every change, whatever kinds the monitors want: only so is it known of each rule how it is in the end.
  void hold(const RuleChange& change, bool own);
  void renew(const RuleRef& old, const RuleRef& rule);  // the same in its place, which is no change
  [[nodiscard]] bool holds_any() const { return !removed_.empty() || !changed_.empty(); }
  // There is one; what was removed comes first. `own`: the session itself had a part in it.
  struct Held {
    RuleChange change;
    bool own;
  };
  [[nodiscard]] Held take_held();

 private:
  struct Removed {
    std::optional<RemovedReason> reason;
    bool own;
  };
  struct Changed {
    RuleRef known;  // as it was when it was last told of; null: it has come since
    bool own;
  };
  std::map<std::uint32_t, MonitorRequest> monitors_;
  std::map<RuleRef, Removed> removed_;
  std::map<RuleRef, Changed> changed_;  // by how they are now

  [[nodiscard]] bool selects_any(const RuleChange& change, bool own) const;
};

}  // namespace shunt::openflow
