// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/rule_check.h"

#include <algorithm>
#include <type_traits>
#include <variant>

#include "user/base/of_error.h"
#include "user/flow/fields.h"

namespace shunt {

namespace {

constexpr std::uint16_t kKnownFlags = kSendFlowRemoved | kCheckOverlap | kResetCounts | kNoPacketCounts | kNoByteCounts;
constexpr std::size_t kMaxBundleMembers = 2048;  // as Open vSwitch
constexpr std::uint8_t kMinClauses = 2, kMaxClauses = 64;

template <typename A, typename... List>
constexpr bool kIsOneOf = (std::is_same_v<A, List> || ...);

// Where a list of actions stands.
enum class Place { kRule, kClone, kActionSet, kBucket };

// Instructions in the order that a rule must have them in. Meter is no part of it: since OpenFlow 1.5 it is an action.
enum class Instruction : std::uint8_t { kApply, kClear, kWriteActions, kWriteMetadata, kGoto };

template <typename A>
constexpr Instruction kInstructionOf = std::is_same_v<A, ClearActionsAction>    ? Instruction::kClear
                                       : std::is_same_v<A, WriteActionsAction>  ? Instruction::kWriteActions
                                       : std::is_same_v<A, WriteMetadataAction> ? Instruction::kWriteMetadata
                                       : std::is_same_v<A, GotoTableAction>     ? Instruction::kGoto
                                                                                : Instruction::kApply;

// Never in an action set (OpenFlow 1.3.5 section 5.10 and what Open vSwitch adds to that). `drop` is the empty set.
template <typename A>
constexpr bool kInActionSet =
    kIsOneOf<A, OutputAction, GroupAction, DropAction, MeterAction, SetQueueAction, SetFieldAction, SetTypeAction, MoveAction,
             PushVlanAction, PopVlanAction, SetVlanVidAction, SetVlanPcpAction, PushMplsAction, PopMplsAction,
             PushPbbAction, PopPbbAction, DecTtlAction, SetMplsTtlAction, DecMplsTtlAction, CopyTtlOutAction,
             CopyTtlInAction, ControllerAction>;

class ActionCheck {
 public:
  ActionCheck(const CheckContext& context, std::uint8_t table) : context_{context}, table_{table} {}

  void list(const ActionList& actions, Place place, std::size_t depth) {
    if (depth > kMaxActionDepth)
      throw OfError(OfErrorCode::kTooManyActions, "actions nest deeper than {}", kMaxActionDepth);
    count_ += actions.size();
    if (count_ > kMaxRuleActions) throw OfError(OfErrorCode::kTooManyActions, "more than {} actions", kMaxRuleActions);
    Instruction reached = Instruction::kApply;
    for (std::size_t i = 0; i < actions.size(); ++i) {
      try {
        one(actions[i], place, reached, actions.size(), depth);
      } catch (OfError& error) {
        error.inside(i);
        throw;
      }
    }
  }

 private:
  void one(const Action& action, Place place, Instruction& reached, std::size_t list_size, std::size_t depth) {
    std::visit(
        [&](const auto& concrete) {
          using A = std::decay_t<decltype(concrete)>;
          may_stand<A>(place, reached, list_size);
          if constexpr (std::is_same_v<A, WriteActionsAction>)
            list(concrete.actions, Place::kActionSet, depth + 1);
          else if constexpr (std::is_same_v<A, CloneAction>)
            list(concrete.actions, Place::kClone, depth + 1);
          else if constexpr (std::is_same_v<A, OutputAction>)
            output(concrete, place);
          else
            check(concrete);
        },
        action);
  }

  template <typename A>
  void may_stand(Place place, Instruction& reached, std::size_t list_size) const {
    constexpr Instruction kind = kInstructionOf<A>;
    if constexpr (std::is_same_v<A, NoteAction>) {
      if (place != Place::kActionSet) return;
    }
    if constexpr (std::is_same_v<A, DropAction>) {
      if (list_size != 1) throw OfError(OfErrorCode::kBadArgument, "drop stands alone or not at all");
    }
    if constexpr (!kInActionSet<A>) {
      if (place == Place::kActionSet) throw OfError(OfErrorCode::kBadType, "an action set cannot hold this action");
    }
    if constexpr (std::is_same_v<A, ConjunctionAction>) {
      if (place != Place::kRule) throw OfError(OfErrorCode::kBadArgument, "conjunction stands in a rule only");
    }
    if constexpr (kind != Instruction::kApply) {
      if (place != Place::kRule)
        throw OfError(OfErrorCode::kBadInstruction, "an instruction stands in a rule only, not inside another action");
      if (kind == reached) throw OfError(OfErrorCode::kDuplicateInstruction, "an instruction stands twice");
    }
    if constexpr (!std::is_same_v<A, MeterAction>) {
      if (kind < reached)
        throw OfError(OfErrorCode::kUnsupportedOrder,
                      "actions come first, then clear_actions, write_actions, write_metadata, goto_table");
      reached = kind;
    }
  }

  static void port(PortNo number) {
    if (is_port_number(number)) return;
    throw OfError(OfErrorCode::kBadOutPort, "port {}: ports are 1 to {}", number.value, kMaxPortNo);
  }
  static void output(const OutputAction& output, Place place) {
    switch (output.port.value) {
      case kPortInPort.value:
      case kPortTable.value:
      case kPortNormal.value:
      case kPortFlood.value:
      case kPortAll.value:
        return;
      case kPortController.value:
        if (place == Place::kActionSet || place == Place::kBucket) return;
        throw OfError(OfErrorCode::kBadOutPort, "output to the controller is an action of its own");
      default:
        port(output.port);
    }
  }
  void meter(std::uint32_t id) const {
    if (!context_.meters.contains(id)) throw OfError(OfErrorCode::kUnknownMeter, "no meter {}", id);
  }
  static void readable(const Subfield& subfield) {
    if (subfield.field == nullptr || subfield.bit_count == 0 ||
        subfield.first_bit + subfield.bit_count > subfield.field->width)
      throw OfError(OfErrorCode::kBadArgument, "bits {} to {} of {}: it has {}", subfield.first_bit,
                    subfield.first_bit + subfield.bit_count - 1, subfield.field ? subfield.field->name : "no field",
                    subfield.field ? subfield.field->width : 0);
  }
  static void writable(const Subfield& subfield, unsigned bits = 0) {
    readable(subfield);
    if (!subfield.field->writable)
      throw OfError(OfErrorCode::kBadSetType, "{} cannot be written", subfield.field->name);
    if (subfield.bit_count < bits)
      throw OfError(OfErrorCode::kBadSetArgument, "{} bits of {} do not hold what is written there: {} bits",
                    subfield.bit_count, subfield.field->name, bits);
  }

  void check(const OutputFieldAction& output) const { readable(output.source); }
  void check(const ControllerAction& controller) const {
    if (controller.meter_id) meter(*controller.meter_id);
  }
  void check(const GroupAction& group) const {
    if (!context_.groups.contains(group.group)) throw OfError(OfErrorCode::kBadOutGroup, "no group {}", group.group);
  }
  void check(const MeterAction& action) const { meter(action.meter); }
  void check(const EnqueueAction& enqueue) const {
    if (enqueue.port != kPortInPort) port(enqueue.port);
  }
  void check(const SetFieldAction& set) const {
    if (set.field == nullptr || !set.field->writable)
      throw OfError(OfErrorCode::kBadSetType, "{} cannot be written", set.field ? set.field->name : "no field");
    if ((set.value & ~set.mask) != 0 || (set.mask & ~value_bits(*set.field)) != 0)
      throw OfError(OfErrorCode::kBadSetArgument, "a value for {} that is not one of its own", set.field->name);
  }
  void check(const SetTypeAction& set) const {
    if (set.what == SetTypeAction::What::kIpProtocol && set.value > 0xff)
      throw OfError(OfErrorCode::kBadSetArgument, "IP protocol {}: they have 8 bits", set.value);
  }
  void check(const MoveAction& move) const {
    readable({move.src, move.src_bit, move.bit_count});
    writable({move.dst, move.dst_bit, move.bit_count});
  }
  void check(const StackPushAction& push) const { readable(push.source); }
  void check(const StackPopAction& pop) const { writable(pop.target); }
  void check(const PushVlanAction& push) const {
    if (push.tpid != 0x8100 && push.tpid != 0x88a8)
      throw OfError(OfErrorCode::kBadArgument, "push_vlan: EtherType {:#06x} is not a VLAN's", push.tpid);
  }
  void check(const SetVlanVidAction& set) const {
    if (set.vid > 4095) throw OfError(OfErrorCode::kBadArgument, "VLAN {}: VLANs are 0 to 4095", set.vid);
  }
  void check(const SetVlanPcpAction& set) const {
    if (set.pcp > 7) throw OfError(OfErrorCode::kBadArgument, "VLAN priority {}: they are 0 to 7", set.pcp);
  }
  void check(const PushMplsAction& push) const {
    if (push.eth_type != 0x8847 && push.eth_type != 0x8848)
      throw OfError(OfErrorCode::kBadArgument, "push_mpls: EtherType {:#06x} is not MPLS", push.eth_type);
  }
  void check(const GotoTableAction& go) const {
    if (go.table >= kTableCount || go.table <= table_)
      throw OfError(OfErrorCode::kBadTableId, "goto_table:{} in table {}: only a later table, up to {}", go.table,
                    table_, kTableCount - 1);
  }
  void check(const ResubmitAction& resubmit) const {
    if (resubmit.table && *resubmit.table >= kTableCount)
      throw OfError(OfErrorCode::kBadTableId, "resubmit to table {}: tables are 0 to {}", *resubmit.table,
                    kTableCount - 1);
  }
  void check(const WriteMetadataAction& write) const {
    if ((write.value & ~write.mask) != 0)
      throw OfError(OfErrorCode::kBadArgument, "write_metadata: value {:#x} outside mask {:#x}", write.value,
                    write.mask);
  }
  void check(const ConjunctionAction& conjunction) const {
    if (conjunction.clause_count < kMinClauses || conjunction.clause_count > kMaxClauses ||
        conjunction.clause >= conjunction.clause_count)
      throw OfError(OfErrorCode::kBadArgument, "conjunction: clause {} of {}: they are 1 to N, N from {} to {}",
                    conjunction.clause + 1, conjunction.clause_count, kMinClauses, kMaxClauses);
  }
  void check(const MultipathAction& multipath) const {
    if (multipath.link_count == 0 || multipath.link_count > 65536)
      throw OfError(OfErrorCode::kBadArgument, "multipath: {} links: 1 to 65536", multipath.link_count);
    unsigned bits = 0;
    while (bits < 17 && (multipath.link_count - 1) >> bits != 0) ++bits;
    writable(multipath.target, bits);
  }
  void check(const BundleAction& bundle) const {
    if (bundle.members.size() > kMaxBundleMembers)
      throw OfError(OfErrorCode::kBadArgument, "bundle: {} members: at most {}", bundle.members.size(),
                    kMaxBundleMembers);
    for (const PortNo member : bundle.members) port(member);
    if (bundle.target) writable(*bundle.target, 16);
  }
  void check(const LearnAction& learn) const {
    if (learn.table >= kTableCount)
      throw OfError(OfErrorCode::kBadTableId, "learn into table {}: tables are 0 to {}", learn.table, kTableCount - 1);
    if (learn.result) writable(*learn.result, 1);
    using Kind = LearnAction::Spec::Kind;
    for (const LearnAction::Spec& spec : learn.specs) {
      const bool from_field = spec.kind != Kind::kMatchValue && spec.kind != Kind::kLoadValue;
      if (from_field) readable(spec.source);
      if (spec.kind == Kind::kOutputField) continue;
      if (spec.kind == Kind::kLoadField || spec.kind == Kind::kLoadValue)
        writable(spec.target);
      else
        readable(spec.target);
      if (from_field && spec.source.bit_count != spec.target.bit_count)
        throw OfError(OfErrorCode::kBadArgument, "learn: {} bits of {} for {} of {}", spec.source.bit_count,
                      spec.source.field->name, spec.target.bit_count, spec.target.field->name);
    }
  }
  void check(const CheckPktLargerAction& larger) const { writable(larger.target, 1); }
  void check(const SampleAction& sample) const {
    if (sample.probability == 0) throw OfError(OfErrorCode::kBadArgument, "sample: a probability of 0 samples nothing");
  }
  template <typename Other>
  void check(const Other&) const {}

  const CheckContext& context_;
  const std::uint8_t table_;
  std::size_t count_ = 0;
};

// A rule with conjunction() says only that: what happens is said by the rule for conj_id.
void check_conjunctions(const FlowMod& mod) {
  const auto is = [](const Action& action) { return std::holds_alternative<ConjunctionAction>(action); };
  if (std::none_of(mod.actions.begin(), mod.actions.end(), is)) return;
  for (std::size_t i = 0; i < mod.actions.size(); ++i) {
    if (is(mod.actions[i]) || std::holds_alternative<NoteAction>(mod.actions[i])) continue;
    OfError error{OfErrorCode::kBadArgument, "conjunction stands beside conjunction and note only"};
    error.inside(i);
    throw error;
  }
  if (is_subset(field_mask(field(FieldId::kConjId)), mod.match.mask))
    throw OfError(OfErrorCode::kBadMatchField, "a rule with conjunction cannot match conj_id");
}

}  // namespace

void check_rule(const CheckContext& context, const FlowMod& mod, std::uint8_t table) {
  if ((mod.flags & ~kKnownFlags) != 0)
    throw OfError(OfErrorCode::kBadFlags, "unknown flags {:#x}", mod.flags & ~kKnownFlags);
  if (!is_subset(mod.match.value, mod.match.mask))
    throw OfError(OfErrorCode::kBadMatchValue, "the match has bits outside its mask");
  ActionCheck{context, table}.list(mod.actions, Place::kRule, 1);
  check_conjunctions(mod);
}

void check_bucket_actions(const CheckContext& context, const ActionList& actions) {
  ActionCheck{context, 0}.list(actions, Place::kBucket, 1);
}

// A list that no rule holds: as that of a clone.
void check_packet_out(const CheckContext& context, const ActionList& actions) {
  ActionCheck{context, 0}.list(actions, Place::kClone, 1);
}

bool is_port_number(PortNo port) { return port == kPortLocal || (port.value >= 1 && port.value <= kMaxPortNo); }

}  // namespace shunt
