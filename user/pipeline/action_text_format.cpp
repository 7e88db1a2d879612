// SPDX-License-Identifier: Apache-2.0
// Actions as text: the half of action_text.h that shows them.
#include <array>
#include <iterator>
#include <utility>
#include <variant>

#include "user/base/error.h"
#include "user/flow/field_text.h"
#include "user/flow/fields.h"
#include "user/pipeline/action_text.h"
#include "user/pipeline/action_text_fields.h"
#include "user/pipeline/action_text_learn.h"
#include "user/pipeline/action_text_names.h"

namespace shunt {
namespace {

// Whole fields that have an action of their own: it may stand in any rule, where set_field wants the match to imply the
// field.
std::string_view mod_action(FieldId id) {
  switch (id) {
    case FieldId::kEthSrc:
      return "mod_dl_src";
    case FieldId::kEthDst:
      return "mod_dl_dst";
    case FieldId::kIpSrc:
      return "mod_nw_src";
    case FieldId::kIpDst:
      return "mod_nw_dst";
    case FieldId::kNwTos:
      return "mod_nw_tos";
    case FieldId::kNwEcn:
      return "mod_nw_ecn";
    case FieldId::kNwTtl:
      return "mod_nw_ttl";
    case FieldId::kTpSrc:
      return "mod_tp_src";
    case FieldId::kTpDst:
      return "mod_tp_dst";
    case FieldId::kMplsLabel:
      return "set_mpls_label";
    case FieldId::kMplsTc:
      return "set_mpls_tc";
    default:
      return {};
  }
}

// "CONTROLLER:128" where there is nothing else to say.
void append_controller(std::string& out, const ControllerAction& action) {
  if (action == action_text::plain_controller(action.max_len)) {
    fmt::format_to(std::back_inserter(out), "CONTROLLER:{}", action.max_len);
    return;
  }
  out += "controller(";
  if (action.reason != PacketInReason::kAction)
    fmt::format_to(std::back_inserter(out), "reason={},",
                   action_text::name_in(action_text::kReasonNames, action.reason));
  if (action.max_len != action_text::kWholePacket)
    fmt::format_to(std::back_inserter(out), "max_len={},", action.max_len);
  if (action.controller_id != 0) fmt::format_to(std::back_inserter(out), "id={},", action.controller_id);
  if (!action.userdata.empty()) {
    out += "userdata=";
    action_text::append_hex_bytes(out, action.userdata);
    out += ',';
  }
  if (action.pause) out += "pause,";
  if (action.meter_id) fmt::format_to(std::back_inserter(out), "meter_id={},", *action.meter_id);
  out.back() = ')';
}

// Appends one rule action.
struct ActionFormatter {
  std::string& out;
  const PortNames& names;

  template <typename... Args>
  void append(fmt::format_string<Args...> format, Args&&... args) const {
    fmt::format_to(std::back_inserter(out), format, std::forward<Args>(args)...);
  }

  void operator()(const OutputAction& action) const {
    if (action.port == kPortController) {
      append("CONTROLLER:{}", action.max_len == 0 ? action_text::kWholePacket : action.max_len);
      return;
    }
    if (action.max_len != 0) {
      out += "output(port=";
      append_port(out, action.port, names);
      append(",max_len={})", action.max_len);
      return;
    }
    if (action.port.value < kPortUnset.value) out += "output:";
    append_port(out, action.port, names);
  }
  void operator()(const OutputFieldAction& action) const {
    out += "output:";
    append_subfield(out, action.source);
  }
  void operator()(const ControllerAction& action) const { append_controller(out, action); }
  void operator()(const GroupAction& action) const { append("group:{}", action.group); }
  void operator()(const DropAction&) const { out += "drop"; }
  void operator()(const MeterAction& action) const { append("meter:{}", action.meter); }
  void operator()(const SetQueueAction& action) const {
    if (action.queue == action_text::kNoQueue)
      out += "pop_queue";
    else
      append("set_queue:{}", action.queue);
  }
  void operator()(const EnqueueAction& action) const {
    out += "enqueue:";
    append_port(out, action.port, names);
    append(":{}", action.queue);
  }
  void operator()(const SetFieldAction& action) const {
    const Field& f = *action.field;
    FieldBits value = action.value;
    const FieldBits mask = action.mask;
    const bool whole = mask == value_bits(f);
    if (whole && !mod_action(f.id).empty()) {
      out += mod_action(f.id);
      const bool of_label = f.prerequisite == Prerequisite::kMpls;  // Open vSwitch shows these in parentheses
      out += of_label ? '(' : ':';
      format_field(out, f, value, mask);
      if (of_label) out += ')';
      return;
    }
    if (whole && f.id == FieldId::kVlanVid) value |= SHUNT_VLAN_PRESENT;  // as OpenFlow 1.3 has it
    out += "set_field:";
    if (f.id == FieldId::kInPort && whole)
      append_port(out, PortNo{static_cast<std::uint32_t>(value)}, names);
    else
      format_field(out, f, value, mask);
    out += "->";
    out += f.name;
  }
  void operator()(const MoveAction& action) const {
    out += "move:";
    append_subfield(out, {action.src, action.src_bit, action.bit_count});
    out += "->";
    append_subfield(out, {action.dst, action.dst_bit, action.bit_count});
  }
  void operator()(const StackPushAction& action) const {
    out += "push:";
    append_subfield(out, action.source);
  }
  void operator()(const StackPopAction& action) const {
    out += "pop:";
    append_subfield(out, action.target);
  }
  void operator()(const PushVlanAction& action) const { append("push_vlan:{:#06x}", action.tpid); }
  void operator()(const PopVlanAction&) const { out += "pop_vlan"; }
  void operator()(const SetVlanVidAction& action) const { append("mod_vlan_vid:{}", action.vid); }
  void operator()(const SetVlanPcpAction& action) const { append("mod_vlan_pcp:{}", action.pcp); }
  void operator()(const PushMplsAction& action) const { append("push_mpls:{:#06x}", action.eth_type); }
  void operator()(const PopMplsAction& action) const { append("pop_mpls:{:#06x}", action.eth_type); }
  void operator()(const PushPbbAction&) const { out += "push_pbb:0x88e7"; }
  void operator()(const PopPbbAction&) const { out += "pop_pbb"; }
  void operator()(const DecTtlAction& action) const {
    out += "dec_ttl";
    if (!action.ids.empty()) append("({})", fmt::join(action.ids, ","));
  }
  void operator()(const SetTypeAction& action) const {
    if (action.what == SetTypeAction::What::kEthType)
      append("set_field:{:#06x}->eth_type", action.value);
    else
      append("set_field:{}->nw_proto", action.value);
  }
  void operator()(const SetMplsTtlAction& action) const { append("set_mpls_ttl({})", action.ttl); }
  void operator()(const DecMplsTtlAction&) const { out += "dec_mpls_ttl"; }
  void operator()(const CopyTtlOutAction&) const { out += "copy_ttl_out"; }
  void operator()(const CopyTtlInAction&) const { out += "copy_ttl_in"; }

  void operator()(const GotoTableAction& action) const { append("goto_table:{}", action.table); }
  void operator()(const ResubmitAction& action) const {
    if (!action.table) {
      out += "resubmit:";
      return append_port(out, action.in_port.value_or(kPortInPort), names);
    }
    out += "resubmit(";
    if (action.in_port) append_port(out, *action.in_port, names);
    append(",{})", *action.table);
  }
  void operator()(const WriteActionsAction& action) const {
    append("write_actions({})", format_actions(action.actions, names));
  }
  void operator()(const ClearActionsAction&) const { out += "clear_actions"; }
  void operator()(const WriteMetadataAction& action) const {
    out += "write_metadata:";
    append_plain_hex(out, action.value);
    if (~action.mask != 0) append("/{:#x}", action.mask);
  }
  void operator()(const CloneAction& action) const { append("clone({})", format_actions(action.actions, names)); }
  void operator()(const ExitAction&) const { out += "exit"; }
  void operator()(const NoteAction& action) const {
    out += "note:";
    action_text::append_hex_bytes(out, action.bytes);
  }
  void operator()(const ConjunctionAction& action) const {
    append("conjunction({},{}/{})", action.id, action.clause + 1, action.clause_count);
  }

  void operator()(const MultipathAction& action) const {
    append("multipath({},{},{},{},{},", action_text::name_in(action_text::kHashNames, action.fields), action.basis,
           action_text::name_in(action_text::kMultipathNames, action.algorithm), action.link_count, action.arg);
    append_subfield(out, action.target);
    out += ')';
  }
  void operator()(const BundleAction& action) const {
    append("{}({},{},{},ofport,", action.target ? "bundle_load" : "bundle",
           action_text::name_in(action_text::kHashNames, action.fields), action.basis,
           action_text::name_in(action_text::kBundleNames, action.algorithm));
    if (action.target) {
      append_subfield(out, *action.target);
      out += ',';
    }
    out += "members:";
    for (std::size_t i = 0; i < action.members.size(); ++i) {
      if (i > 0) out += ',';
      append_port(out, action.members[i], names);
    }
    out += ')';
  }
  void operator()(const LearnAction& action) const { action_text::append_learn(out, action, names); }
  void operator()(const FinTimeoutAction& action) const {
    out += "fin_timeout(";
    if (action.idle_timeout != 0) append("idle_timeout={}", action.idle_timeout);
    if (action.idle_timeout != 0 && action.hard_timeout != 0) out += ',';
    if (action.hard_timeout != 0) append("hard_timeout={}", action.hard_timeout);
    out += ')';
  }
  void operator()(const CheckPktLargerAction& action) const {
    append("check_pkt_larger({})->", action.length);
    append_subfield(out, action.target);
  }
  void operator()(const SampleAction& action) const {
    append("sample(probability={},collector_set_id={},obs_domain_id={},obs_point_id={}", action.probability,
           action.collector_set_id, action.obs_domain_id, action.obs_point_id);
    if (action.sampling_port) {
      out += ",sampling_port=";
      append_port(out, *action.sampling_port, names);
    }
    if (action.direction != 0) out += action.direction == 1 ? ",ingress" : ",egress";
    out += ')';
  }
};

}  // namespace

std::string format_actions(std::span<const Action> actions, const PortNames& names) {
  if (actions.empty()) return "drop";
  std::string out;
  for (const Action& action : actions) {
    if (!out.empty()) out += ',';
    std::visit(ActionFormatter{out, names}, action);
  }
  return out;
}

}  // namespace shunt
