// SPDX-License-Identifier: Apache-2.0
#include "user/control/rule_features.h"

#include "maps/port.h"
#include "user/pipeline/action_walk.h"
#include "user/worker/encode.h"

namespace shunt {
namespace {

// An edit of a header needs its place, and that of the checksums above it.
constexpr std::uint32_t kHeaderEdit = SHUNT_FEATURE_EDITS | SHUNT_FEATURE_L3 | SHUNT_FEATURE_L4;
constexpr std::uint32_t kMplsEdit = kHeaderEdit | SHUNT_FEATURE_MPLS;
constexpr std::uint32_t kHash = SHUNT_FEATURE_L3 | SHUNT_FEATURE_L4;

std::uint32_t looked_at(const FlowMask& mask) { return features_of(mask, Encoded{}); }
std::uint32_t looked_at(const Field& f) { return is_pipeline_field(f) ? 0 : looked_at(flow_part(field_mask(f))); }
std::uint32_t written(const Field& f) { return is_pipeline_field(f) ? 0 : kHeaderEdit | looked_at(f); }

std::uint32_t of(const OutputAction& a) { return a.port == kPortNormal ? SHUNT_FEATURE_BRIDGE : 0; }
std::uint32_t of(const OutputFieldAction& a) { return looked_at(*a.source.field); }
std::uint32_t of(const MeterAction&) { return SHUNT_FEATURE_METER | SHUNT_FEATURE_L3; }  // a remark writes the DSCP
std::uint32_t of(const SetFieldAction& a) { return written(*a.field); }
std::uint32_t of(const SetTypeAction&) { return kHeaderEdit; }
std::uint32_t of(const MoveAction& a) { return looked_at(*a.src) | written(*a.dst); }
std::uint32_t of(const StackPushAction& a) { return looked_at(*a.source.field); }
std::uint32_t of(const StackPopAction& a) { return written(*a.target.field); }
std::uint32_t of(const PushVlanAction&) { return SHUNT_FEATURE_EDITS; }
std::uint32_t of(const PopVlanAction&) { return SHUNT_FEATURE_EDITS; }
std::uint32_t of(const SetVlanVidAction&) { return SHUNT_FEATURE_EDITS; }
std::uint32_t of(const SetVlanPcpAction&) { return SHUNT_FEATURE_EDITS; }
std::uint32_t of(const PushMplsAction&) { return kMplsEdit; }
std::uint32_t of(const PopMplsAction&) { return kMplsEdit; }
std::uint32_t of(const SetMplsTtlAction&) { return kMplsEdit; }
std::uint32_t of(const DecMplsTtlAction&) { return kMplsEdit; }
std::uint32_t of(const CopyTtlOutAction&) { return kMplsEdit; }
std::uint32_t of(const CopyTtlInAction&) { return kMplsEdit; }
std::uint32_t of(const PushPbbAction&) { return SHUNT_FEATURE_PBB; }
std::uint32_t of(const PopPbbAction&) { return SHUNT_FEATURE_PBB; }
std::uint32_t of(const DecTtlAction&) { return kHeaderEdit; }
std::uint32_t of(const MultipathAction&) { return kHash; }
std::uint32_t of(const BundleAction&) { return kHash; }
std::uint32_t of(const FinTimeoutAction&) { return kHash; }
std::uint32_t of(const SampleAction&) { return SHUNT_FEATURE_SAMPLE; }
std::uint32_t of(const LearnAction& a) {
  using Kind = LearnAction::Spec::Kind;
  std::uint32_t features = 0;
  for (const LearnAction::Spec& spec : a.specs) {
    if (spec.source.field != nullptr) features |= looked_at(*spec.source.field);
    if (spec.target.field == nullptr) continue;
    const bool load = spec.kind == Kind::kLoadField || spec.kind == Kind::kLoadValue;
    features |= load ? written(*spec.target.field) : looked_at(*spec.target.field);
  }
  return features;
}
// The rest decides nothing by headers and edits nothing that the kernel runs.
template <typename Other>
std::uint32_t of(const Other&) {
  return 0;
}

}  // namespace

std::uint32_t features_of(const ActionList& actions) {
  std::uint32_t features = 0;
  walk_actions(actions, [&](const Action& action) {
    features |= std::visit([](const auto& concrete) { return of(concrete); }, action);
    return true;
  });
  return features;
}

std::uint32_t features_of(const FlowMod& rule) {
  return looked_at(flow_part(rule.match.mask)) | features_of(rule.actions);
}

std::uint32_t features_of(const GroupMod& group) {
  std::uint32_t features = 0;
  for (const Bucket& bucket : group.buckets) features |= features_of(bucket.actions);
  if (group.type != GroupType::kSelect) return features;
  if (group.selection.method == Selection::Method::kDpHash) return features | SHUNT_FEATURE_HASH;
  const FlowMask& fields = flow_part(group.selection.fields);
  return features | (is_zero(group.selection.fields) ? kHash : looked_at(fields));
}

std::uint32_t features_of(std::span<const Modification> rules_and_groups) {
  std::uint32_t features = 0;
  for (const Modification& each : rules_and_groups)
    features |= std::visit([](const auto& mod) { return features_of(mod); }, each);
  return features;
}

std::uint32_t features_of(const VlanConfig& port) {
  return port.mode != VlanMode::kTrunk || port.priority_tags != PriorityTags::kNo ? SHUNT_FEATURE_EDITS : 0;
}

}  // namespace shunt
