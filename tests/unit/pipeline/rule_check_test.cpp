// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/rule_check.h"

#include <doctest/doctest.h>

#include <optional>

#include "user/base/of_error.h"
#include "user/flow/fields.h"

using namespace shunt;

namespace {

constexpr PortNo kOne{1};

struct Known {
  std::map<std::uint32_t, GroupRef> groups{{5, std::make_shared<const Group>()}};
  std::map<std::uint32_t, MeterRef> meters{{6, std::make_shared<const Meter>()}};
};

FlowMod rule(ActionList actions) {
  FlowMod mod;
  mod.actions = std::move(actions);
  return mod;
}
std::optional<OfErrorCode> refusal(const FlowMod& mod, std::uint8_t table = 3) {
  const Known known;
  try {
    check_rule({known.groups, known.meters}, mod, table);
  } catch (const OfError& error) {
    return error.code();
  }
  return std::nullopt;
}
std::optional<OfErrorCode> refusal(ActionList actions, std::uint8_t table = 3) {
  return refusal(rule(std::move(actions)), table);
}

Subfield bits(FieldId id, std::uint16_t first, std::uint16_t count) { return {&field(id), first, count}; }
SetFieldAction set(FieldId id) { return set_field(field(id), 0, ~FieldBits{0}); }
const OutputAction kOutput{kOne};

}  // namespace

TEST_SUITE("rule check") {
  TEST_CASE("a refusal says which action it is about, through the lists around it") {
    const Known known;
    const auto path = [&](ActionList actions) {
      try {
        check_rule({known.groups, known.meters}, rule(std::move(actions)), 3);
      } catch (const OfError& error) {
        return std::vector<std::size_t>{error.path().begin(), error.path().end()};
      }
      return std::vector<std::size_t>{99};
    };
    using Path = std::vector<std::size_t>;
    CHECK(path({kOutput, GroupAction{4}}) == Path{1});
    CHECK(path({kOutput, CloneAction{{kOutput, kOutput, CloneAction{{GroupAction{4}}}}}}) == Path{1, 2, 0});
    CHECK(path({kOutput, WriteActionsAction{{kOutput, GroupAction{4}}}}) == Path{1, 1});
    CHECK(path({GotoTableAction{4}, kOutput}) == Path{1});
    CHECK(path({ConjunctionAction{1, 0, 2}, kOutput}) == Path{1});
  }

  TEST_CASE("what a rule names must be there") {
    CHECK(refusal({GroupAction{5}, MeterAction{6}}) == std::nullopt);
    CHECK(refusal({GroupAction{4}}) == OfErrorCode::kBadOutGroup);
    CHECK(refusal({GroupAction{kGroupAny}}) == OfErrorCode::kBadOutGroup);
    CHECK(refusal({MeterAction{5}}) == OfErrorCode::kUnknownMeter);
    ControllerAction metered;
    metered.meter_id = 7;
    CHECK(refusal({metered}) == OfErrorCode::kUnknownMeter);
    CHECK(refusal({WriteActionsAction{{GroupAction{4}}}}) == OfErrorCode::kBadOutGroup);
    CHECK(refusal({CloneAction{{CloneAction{{GroupAction{4}}}}}}) == OfErrorCode::kBadOutGroup);
  }

  TEST_CASE("an output port is a number that a port can have, or one that OpenFlow reserves for output") {
    for (const PortNo port : {kOne, PortNo{0xfeff}, kPortLocal, kPortInPort, kPortNormal, kPortFlood, kPortAll})
      CHECK(refusal({OutputAction{port}}) == std::nullopt);
    for (const PortNo port : {PortNo{0}, PortNo{0xff00}, PortNo{0x10000}, kPortNone, kPortUnset, kPortController})
      CHECK(refusal({OutputAction{port}}) == OfErrorCode::kBadOutPort);
    CHECK(refusal({WriteActionsAction{{OutputAction{kPortController}}}}) == std::nullopt);
    CHECK(refusal({EnqueueAction{PortNo{0}, 1}}) == OfErrorCode::kBadOutPort);
    CHECK(refusal({EnqueueAction{kOne, 1}}) == std::nullopt);
    CHECK(refusal({BundleAction{{}, 0, {}, {PortNo{0}}, {}}}) == OfErrorCode::kBadOutPort);
  }

  TEST_CASE("goto_table goes forward, to a table that there is") {
    CHECK(refusal({GotoTableAction{4}}) == std::nullopt);
    CHECK(refusal({GotoTableAction{253}}) == std::nullopt);
    CHECK(refusal({GotoTableAction{3}}) == OfErrorCode::kBadTableId);
    CHECK(refusal({GotoTableAction{2}}) == OfErrorCode::kBadTableId);
    CHECK(refusal({GotoTableAction{254}}) == OfErrorCode::kBadTableId);
    CHECK(refusal({ResubmitAction{kOne, std::uint8_t{254}}}) == OfErrorCode::kBadTableId);
    CHECK(refusal({ResubmitAction{kOne, std::uint8_t{0}}}) == std::nullopt);
  }

  TEST_CASE("instructions stand in order, each once, and in a rule only") {
    CHECK(refusal({kOutput, ClearActionsAction{}, WriteActionsAction{{kOutput}}, WriteMetadataAction{1, 1},
                   GotoTableAction{9}}) == std::nullopt);
    CHECK(refusal({GotoTableAction{9}, kOutput}) == OfErrorCode::kUnsupportedOrder);
    CHECK(refusal({WriteActionsAction{{kOutput}}, ClearActionsAction{}}) == OfErrorCode::kUnsupportedOrder);
    CHECK(refusal({WriteMetadataAction{1, 1}, set(FieldId::kReg0)}) == OfErrorCode::kUnsupportedOrder);
    CHECK(refusal({GotoTableAction{9}, GotoTableAction{10}}) == OfErrorCode::kDuplicateInstruction);
    CHECK(refusal({ClearActionsAction{}, ClearActionsAction{}}) == OfErrorCode::kDuplicateInstruction);
    CHECK(refusal({CloneAction{{GotoTableAction{9}}}}) == OfErrorCode::kBadInstruction);
    CHECK(refusal({CloneAction{{WriteActionsAction{{kOutput}}}}}) == OfErrorCode::kBadInstruction);
    CHECK(refusal({WriteMetadataAction{3, 1}}) == OfErrorCode::kBadArgument);
    CHECK(refusal({kOutput, NoteAction{}, GotoTableAction{9}, NoteAction{}}) == std::nullopt);
  }

  TEST_CASE("an action set holds what OpenFlow lets it hold") {
    CHECK(refusal({WriteActionsAction{
              {set(FieldId::kEthDst), PushVlanAction{0x8100}, DecTtlAction{}, GroupAction{5}}}}) == std::nullopt);
    const LearnAction learn;
    for (const Action& action : {Action{ResubmitAction{}}, Action{CloneAction{}}, Action{ExitAction{}}, Action{learn},
                                 Action{NoteAction{}}, Action{OutputFieldAction{bits(FieldId::kReg0, 0, 32), 0}},
                                 Action{StackPushAction{bits(FieldId::kReg0, 0, 32)}}})
      CHECK(refusal({WriteActionsAction{{action}}}) == OfErrorCode::kBadType);
  }

  TEST_CASE("drop stands alone, conjunction beside conjunction and note") {
    CHECK(refusal({DropAction{}}) == std::nullopt);
    CHECK(refusal({DropAction{}, kOutput}) == OfErrorCode::kBadArgument);
    CHECK(refusal({ConjunctionAction{1, 0, 2}, ConjunctionAction{2, 1, 3}, NoteAction{}}) == std::nullopt);
    CHECK(refusal({ConjunctionAction{1, 0, 2}, kOutput}) == OfErrorCode::kBadArgument);
    CHECK(refusal({ConjunctionAction{1, 2, 2}}) == OfErrorCode::kBadArgument);
    CHECK(refusal({ConjunctionAction{1, 0, 1}}) == OfErrorCode::kBadArgument);
    CHECK(refusal({ConjunctionAction{1, 0, 65}}) == OfErrorCode::kBadArgument);
    CHECK(refusal({CloneAction{{ConjunctionAction{1, 0, 2}}}}) == OfErrorCode::kBadArgument);
    FlowMod mod = rule({ConjunctionAction{1, 0, 2}});
    mod.match.mask = field_mask(field(FieldId::kConjId));
    CHECK(refusal(mod) == OfErrorCode::kBadMatchField);
  }

  TEST_CASE("what is written has room, and may be written") {
    CHECK(refusal({set(FieldId::kIpSrc)}) == std::nullopt);
    CHECK(refusal({set(FieldId::kEthType)}) == OfErrorCode::kBadSetType);
    SetFieldAction foreign = set(FieldId::kIpSrc);
    foreign.mask |= FieldBits{1} << 32;
    CHECK(refusal({foreign}) == OfErrorCode::kBadSetArgument);
    foreign = set(FieldId::kIpSrc);
    foreign.mask = 2;
    foreign.value = 1;
    CHECK(refusal({foreign}) == OfErrorCode::kBadSetArgument);
    const Field& src = field(FieldId::kEthSrc);
    const Field& reg = field(FieldId::kReg0);
    CHECK(refusal({MoveAction{&src, &reg, 0, 0, 32}}) == std::nullopt);
    CHECK(refusal({MoveAction{&src, &reg, 17, 0, 32}}) == OfErrorCode::kBadArgument);
    CHECK(refusal({MoveAction{&src, &reg, 0, 1, 32}}) == OfErrorCode::kBadArgument);
    CHECK(refusal({MoveAction{&src, &field(FieldId::kEthType), 0, 0, 16}}) == OfErrorCode::kBadSetType);
    CHECK(refusal({StackPopAction{bits(FieldId::kNwProto, 0, 8)}}) == OfErrorCode::kBadSetType);
    CHECK(refusal({StackPushAction{bits(FieldId::kNwProto, 0, 9)}}) == OfErrorCode::kBadArgument);
    CHECK(refusal({MultipathAction{{}, 0, {}, 256, 0, bits(FieldId::kReg0, 0, 8)}}) == std::nullopt);
    CHECK(refusal({MultipathAction{{}, 0, {}, 257, 0, bits(FieldId::kReg0, 0, 8)}}) == OfErrorCode::kBadSetArgument);
    CHECK(refusal({MultipathAction{{}, 0, {}, 0, 0, bits(FieldId::kReg0, 0, 8)}}) == OfErrorCode::kBadArgument);
    CHECK(refusal({CheckPktLargerAction{100, bits(FieldId::kReg0, 3, 1)}}) == std::nullopt);
    CHECK(refusal({SampleAction{}}) == OfErrorCode::kBadArgument);
    CHECK(refusal({PushVlanAction{0x9100}}) == OfErrorCode::kBadArgument);
    CHECK(refusal({PushMplsAction{0x0800}}) == OfErrorCode::kBadArgument);
    CHECK(refusal({SetVlanVidAction{4096}}) == OfErrorCode::kBadArgument);
    CHECK(refusal({SetVlanPcpAction{8}}) == OfErrorCode::kBadArgument);
  }

  TEST_CASE("learn names a table, fields that fit and bits that may be written") {
    using Spec = LearnAction::Spec;
    const auto learn = [](std::uint8_t table, Spec spec) {
      LearnAction action;
      action.table = table;
      action.specs = {std::move(spec)};
      return action;
    };
    const Subfield mac = bits(FieldId::kEthSrc, 0, 48);
    CHECK(refusal({learn(9, {Spec::Kind::kMatchField, mac, 0, bits(FieldId::kEthDst, 0, 48)})}) == std::nullopt);
    CHECK(refusal({learn(254, {Spec::Kind::kMatchField, mac, 0, mac})}) == OfErrorCode::kBadTableId);
    CHECK(refusal({learn(9, {Spec::Kind::kMatchField, mac, 0, bits(FieldId::kReg0, 0, 32)})}) ==
          OfErrorCode::kBadArgument);
    CHECK(refusal({learn(9, {Spec::Kind::kLoadField, bits(FieldId::kNwTtl, 0, 8), 0,
                             bits(FieldId::kNwProto, 0, 8)})}) == OfErrorCode::kBadSetType);
    CHECK(refusal({learn(9, {Spec::Kind::kOutputField, bits(FieldId::kInPort, 0, 33), 0, {}})}) ==
          OfErrorCode::kBadArgument);
  }

  TEST_CASE("a rule has an end") {
    CHECK(refusal(ActionList(kMaxRuleActions, kOutput)) == std::nullopt);
    CHECK(refusal(ActionList(kMaxRuleActions + 1, kOutput)) == OfErrorCode::kTooManyActions);
    CHECK(refusal({CloneAction{ActionList(kMaxRuleActions, kOutput)}}) == OfErrorCode::kTooManyActions);
    const auto nested = [](std::size_t depth) {
      ActionList actions{kOutput};
      for (std::size_t i = 1; i < depth; ++i) actions = {CloneAction{std::move(actions)}};
      return actions;
    };
    CHECK(refusal(nested(kMaxActionDepth)) == std::nullopt);
    CHECK(refusal(nested(kMaxActionDepth + 1)) == OfErrorCode::kTooManyActions);
  }

  TEST_CASE("flags and matches are what they may be") {
    FlowMod mod = rule({});
    mod.flags = 1 << 9;
    CHECK(refusal(mod) == OfErrorCode::kBadFlags);
    mod.flags = kSendFlowRemoved | kNoByteCounts;
    CHECK(refusal(mod) == std::nullopt);
    mod.match.value.nw_ttl = 4;
    CHECK(refusal(mod) == OfErrorCode::kBadMatchValue);
  }
}
