// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/action_set.h"

#include <algorithm>
#include <variant>

namespace shunt {

namespace {

// In the order that they run in. Of the last three the last one there is the only one that runs.
enum Kind : std::uint8_t {
  kCopyTtlIn,
  kPopVlan,
  kPopMpls,
  kPopPbb,
  kPushMpls,
  kPushPbb,
  kPushVlan,
  kCopyTtlOut,
  kDecTtl,
  kDecMplsTtl,
  kSet,  // any number of them
  kMeter,
  kQueue,
  kResubmit,
  kOutput,
  kGroup,
  kNone,  // may not stand in an action set
};

struct KindOf {
  Kind operator()(const CopyTtlInAction&) const { return kCopyTtlIn; }
  Kind operator()(const PopVlanAction&) const { return kPopVlan; }
  Kind operator()(const PopMplsAction&) const { return kPopMpls; }
  Kind operator()(const PopPbbAction&) const { return kPopPbb; }
  Kind operator()(const PushMplsAction&) const { return kPushMpls; }
  Kind operator()(const PushPbbAction&) const { return kPushPbb; }
  Kind operator()(const PushVlanAction&) const { return kPushVlan; }
  Kind operator()(const CopyTtlOutAction&) const { return kCopyTtlOut; }
  Kind operator()(const DecTtlAction&) const { return kDecTtl; }
  Kind operator()(const DecMplsTtlAction&) const { return kDecMplsTtl; }
  Kind operator()(const SetFieldAction&) const { return kSet; }
  Kind operator()(const SetTypeAction&) const { return kSet; }
  Kind operator()(const MoveAction&) const { return kSet; }
  Kind operator()(const SetVlanVidAction&) const { return kSet; }
  Kind operator()(const SetVlanPcpAction&) const { return kSet; }
  Kind operator()(const SetMplsTtlAction&) const { return kSet; }
  Kind operator()(const MeterAction&) const { return kMeter; }
  Kind operator()(const SetQueueAction&) const { return kQueue; }
  Kind operator()(const ResubmitAction&) const { return kResubmit; }
  Kind operator()(const OutputAction&) const { return kOutput; }
  Kind operator()(const ControllerAction&) const { return kOutput; }
  Kind operator()(const GroupAction&) const { return kGroup; }
  template <typename Other>
  Kind operator()(const Other&) const {
    return kNone;
  }
};

Kind kind_of(const Action& action) { return std::visit(KindOf{}, action); }

}  // namespace

bool ActionSet::holds(const Action& action) { return kind_of(action) != kNone; }

void ActionSet::write(std::span<const Action> actions) {
  for (const Action& action : actions) {
    const Kind kind = kind_of(action);
    if (kind == kNone) continue;
    if (kind != kSet) std::erase_if(actions_, [&](const Action* old) { return kind_of(*old) == kind; });
    actions_.push_back(&action);
  }
}

PortNo ActionSet::output() const {
  PortNo port = kPortUnset;
  for (const Action* action : actions_) {
    if (std::holds_alternative<GroupAction>(*action)) return kPortUnset;
    if (const auto* output = std::get_if<OutputAction>(action)) port = output->port;
    if (std::holds_alternative<ControllerAction>(*action)) port = kPortController;
  }
  return port;
}

std::vector<const Action*> ActionSet::in_order() const {
  std::vector<const Action*> ordered = actions_;
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const Action* a, const Action* b) { return kind_of(*a) < kind_of(*b); });
  if (ordered.empty() || kind_of(*ordered.back()) < kResubmit) return {};
  const auto last = ordered.end() - 1;
  ordered.erase(std::remove_if(ordered.begin(), last, [](const Action* a) { return kind_of(*a) >= kResubmit; }), last);
  return ordered;
}

}  // namespace shunt
