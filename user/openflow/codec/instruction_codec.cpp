// SPDX-License-Identifier: Apache-2.0
// Instructions: in the pipeline they stand in the list of actions, meter first, goto_table last.
#include <algorithm>
#include <array>
#include <iterator>
#include <optional>

#include "user/openflow/codec/action_codec.h"

namespace shunt::openflow {
namespace {

enum InstructionType : std::uint16_t {
  kGotoTable = 1,
  kWriteMetadata = 2,
  kWriteActions = 3,
  kApplyActions = 4,
  kClearActions = 5,
  kMeter = 6,
  kExperimenterInstruction = 0xffff,
};
constexpr std::size_t kTypeCount = 7;

constexpr auto kInstructions = std::to_array<InstructionFormat>({
    {"OFPIT_GOTO_TABLE", kGotoTable, Version::k13, Version::k15},
    {"OFPIT_WRITE_METADATA", kWriteMetadata, Version::k13, Version::k15},
    {"OFPIT_WRITE_ACTIONS", kWriteActions, Version::k13, Version::k15},
    {"OFPIT_APPLY_ACTIONS", kApplyActions, Version::k13, Version::k15},
    {"OFPIT_CLEAR_ACTIONS", kClearActions, Version::k13, Version::k15},
    {"OFPIT_METER", kMeter, Version::k13, Version::k14},
});

bool is_known(std::uint16_t type, Version version) {
  return std::ranges::any_of(kInstructions, [&](const InstructionFormat& format) {
    return format.number == type && format.since <= version && version <= format.until;
  });
}

// The bodies, by type.
using Bodies = std::array<std::optional<Bytes>, kTypeCount>;

Bodies split(Bytes instructions, Version version) {
  Bodies bodies;
  Reader in{instructions, OfErrorCode::kInstructionBadLength};
  while (!in.done()) {
    const std::uint16_t type = in.u16();
    const std::uint16_t size = in.u16();
    if (size < 8 || size % 8 != 0 || size - 4u > in.left())
      throw OfError(OfErrorCode::kInstructionBadLength, "instruction {} of {} bytes", type, size);
    const Bytes body = in.take(size - 4u);
    if (type == kExperimenterInstruction)
      throw OfError(OfErrorCode::kInstructionBadExperimenter, "no experimenter's instruction is known");
    if (!is_known(type, version))
      throw OfError(OfErrorCode::kBadInstruction, "OpenFlow {} has no instruction {}", name_of(version), type);
    if (bodies[type]) throw OfError(OfErrorCode::kDuplicateInstruction, "instruction {} twice", type);
    bodies[type] = body;
  }
  return bodies;
}

Reader body_of(Bytes body, std::size_t size) {
  if (body.size() != size)
    throw OfError(OfErrorCode::kInstructionBadLength, "an instruction of {} bytes", body.size() + 4);
  return Reader{body, OfErrorCode::kInstructionBadLength};
}

Bytes actions_of(Bytes body) { return body.subspan(4); }  // behind the padding

}  // namespace

std::span<const InstructionFormat> instruction_formats() { return kInstructions; }

ActionList decode_instructions(Bytes instructions, Version version, const Match& match) {
  const Bodies bodies = split(instructions, version);
  ActionList list;
  if (bodies[kMeter]) list.emplace_back(MeterAction{body_of(*bodies[kMeter], 4).u32()});
  if (bodies[kApplyActions]) {
    ActionList applied = decode_actions(actions_of(*bodies[kApplyActions]), version, ActionPlace::kList, match);
    list.insert(list.end(), std::make_move_iterator(applied.begin()), std::make_move_iterator(applied.end()));
  }
  if (bodies[kClearActions]) {
    body_of(*bodies[kClearActions], 4);
    list.emplace_back(ClearActionsAction{});
  }
  if (bodies[kWriteActions]) {
    ActionList written = decode_actions(actions_of(*bodies[kWriteActions]), version, ActionPlace::kActionSet, match);
    if (!written.empty()) list.emplace_back(WriteActionsAction{std::move(written)});
  }
  if (bodies[kWriteMetadata]) {
    Reader in = body_of(*bodies[kWriteMetadata], 20);
    in.skip(4);
    const std::uint64_t value = in.u64(), mask = in.u64();
    list.emplace_back(WriteMetadataAction{value & mask, mask});
  }
  if (bodies[kGotoTable]) list.emplace_back(GotoTableAction{body_of(*bodies[kGotoTable], 4).u8()});
  if (list.empty()) list.emplace_back(DropAction{});
  return list;
}

void encode_instructions(Writer& out, const ActionList& actions, Version version, const Match& match) {
  const auto is_instruction = [](const Action& action) {
    return std::holds_alternative<ClearActionsAction>(action) || std::holds_alternative<WriteActionsAction>(action) ||
           std::holds_alternative<WriteMetadataAction>(action) || std::holds_alternative<GotoTableAction>(action);
  };
  const auto end_of_list = std::ranges::find_if(actions, is_instruction);
  std::span<const Action> applied{actions.data(), static_cast<std::size_t>(end_of_list - actions.begin())};
  if (!applied.empty() && version < Version::k15) {
    if (const auto* meter = std::get_if<MeterAction>(&applied.front())) {
      const Tlv tlv{out, kMeter};
      out.u32(meter->meter);
      applied = applied.subspan(1);
    }
  }
  const bool only_drop = applied.size() == 1 && std::holds_alternative<DropAction>(applied.front());
  if (!applied.empty() && !only_drop) {
    const Tlv tlv{out, kApplyActions};
    out.zeros(4);
    encode_actions(out, applied, version, match);
  }
  for (auto action = end_of_list; action != actions.end(); ++action) {
    if (std::holds_alternative<ClearActionsAction>(*action)) {
      const Tlv tlv{out, kClearActions};
      out.zeros(4);
    } else if (const auto* write = std::get_if<WriteActionsAction>(&*action)) {
      const Tlv tlv{out, kWriteActions};
      out.zeros(4);
      encode_actions(out, write->actions, version, match);
    } else if (const auto* metadata = std::get_if<WriteMetadataAction>(&*action)) {
      const Tlv tlv{out, kWriteMetadata};
      out.zeros(4);
      out.u64(metadata->value);
      out.u64(metadata->mask);
    } else if (const auto* go = std::get_if<GotoTableAction>(&*action)) {
      const Tlv tlv{out, kGotoTable};
      out.u8(go->table);
      out.zeros(3);
    }
  }
}

}  // namespace shunt::openflow
