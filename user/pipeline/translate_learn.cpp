// SPDX-License-Identifier: Apache-2.0
// Translation of learn (ovs-actions(7)): the rule that a packet asks for, with the packet's bits in it.
#include "user/pipeline/translator.h"

namespace shunt {

namespace {

// A match on a part of the outer tag says that there is one.
bool implies_tag(const Field& field) {
  return field.id == FieldId::kDlVlan || field.id == FieldId::kVlanVid || field.id == FieldId::kDlVlanPcp ||
         field.id == FieldId::kVlanPcp;
}

// OpenFlow 1.0's port numbers have 16 bits: NXM_OF_IN_PORT[0..15] is the whole field.
bool is_port_of_16_bits(const Subfield& target) {
  return target.field->id == FieldId::kInPort && target.first_bit == 0 && target.bit_count == 16;
}

void add_match(Match& match, Subfield target, FieldBits value) {
  if (is_port_of_16_bits(target)) {
    value = port_of_bits(value).value;
    target.bit_count = target.field->width;
  }
  write_subfield(target, match.value, value);
  write_subfield(target, match.mask, ~FieldBits{0});
  if (!implies_tag(*target.field)) return;
  for (PipelineKey* part : {&match.value, &match.mask})
    part->vlan[0].tci = be16{static_cast<std::uint16_t>(part->vlan[0].tci.host() | SHUNT_VLAN_PRESENT)};
}

// Where Open vSwitch's learned rules send packets: a port's number, and these reserved ones. Of others, such as the
// controller's of a packet-out, the rule gets no action.
bool is_learned_output(PortNo port) {
  constexpr std::uint32_t kMaxOf16Bits = 0xff00;
  return port.value < kMaxOf16Bits || port == kPortInPort || port == kPortFlood || port == kPortLocal ||
         port == kPortAll;
}

// What a load of the whole tag means, as Open vSwitch has it: a tag with that VID and PCP, or none.
void load_tag(ActionList& actions, FieldBits tci) {
  if ((tci & SHUNT_VLAN_PRESENT) == 0) return static_cast<void>(actions.emplace_back(PopVlanAction{}));
  actions.emplace_back(SetVlanVidAction{static_cast<std::uint16_t>(tci & 0xfff)});
  actions.emplace_back(SetVlanPcpAction{static_cast<std::uint8_t>(tci >> 13)});
}

SetFieldAction load(Subfield target, FieldBits value) {
  if (is_port_of_16_bits(target)) {
    value = port_of_bits(value).value;
    target.bit_count = target.field->width;
  }
  return set_field(*target.field, value << target.first_bit, low_bits(target.bit_count) << target.first_bit);
}

}  // namespace

void Translator::run(const LearnAction& learn) {
  FlowMod mod;
  mod.command = FlowMod::Command::kAdd;
  mod.table = learn.table;
  mod.priority = learn.priority;
  mod.cookie = learn.cookie;
  mod.idle_timeout = learn.idle_timeout;
  mod.hard_timeout = learn.hard_timeout;
  if (learn.send_flow_removed) mod.flags = kSendFlowRemoved;
  if (learn.fin_idle_timeout != 0 || learn.fin_hard_timeout != 0)
    mod.actions.emplace_back(FinTimeoutAction{learn.fin_idle_timeout, learn.fin_hard_timeout});

  for (const LearnAction::Spec& spec : learn.specs) {
    using Kind = LearnAction::Spec::Kind;
    FieldBits value = spec.value;
    if (spec.kind != Kind::kMatchValue && spec.kind != Kind::kLoadValue) {
      // Without it the rule would take more packets than was asked for, or send them elsewhere.
      const auto bits = read_from(spec.source);
      if (!bits) return note([] { return "nothing is learned"; });
      value = *bits;
    }
    switch (spec.kind) {
      case Kind::kMatchField:
      case Kind::kMatchValue:
        add_match(mod.match, spec.target, value);
        break;
      case Kind::kLoadField:
      case Kind::kLoadValue:
        if (spec.target.field->id == FieldId::kVlanTci)
          load_tag(mod.actions, value);
        else
          mod.actions.emplace_back(load(spec.target, value));
        break;
      case Kind::kOutputField:
        if (const PortNo port = port_of_bits(value); is_learned_output(port)) mod.actions.emplace_back(OutputAction{port});
        break;
    }
  }
  if (stop_) return;
  if (learn.result && !learn_result(learn, mod)) return;
  result_.follow_ups.make().learned.push_back(
      {std::move(mod), learn.limit, rule_ != nullptr ? rule_->shared_from_this() : nullptr, learn.delete_learned});
}

// Whether there is room now: another packet of the flow may find none, so each is asked for itself.
bool Translator::learn_result(const LearnAction& learn, const FlowMod& mod) {
  if (learn.limit != 0 && need_packet() == nullptr) return false;
  const Classifier* table = bridge_->tables[learn.table].get();
  const bool has_room = learn.limit == 0 || table == nullptr || table->count(learn.cookie) < learn.limit ||
                        table->contains(mod.match, mod.priority, state_.version);
  write_to(*learn.result, has_room ? 1 : 0);
  return has_room;
}

}  // namespace shunt
