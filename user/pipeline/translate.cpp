// SPDX-License-Identifier: Apache-2.0
// A translation's beginning and end, and what all actions share: the working packet, its known bits, scopes, outputs.
#include "user/pipeline/translate.h"

#include <algorithm>
#include <cstring>

#include "user/pipeline/translator.h"

namespace shunt {

namespace {

constexpr std::size_t kNoPlace = ~std::size_t{0};

// Something leaves the switch, or is counted: not to be left out.
bool is_effect(const shunt_action& action) {
  switch (action.type) {
    case SHUNT_ACT_OUTPUT:
    case SHUNT_ACT_BRIDGE:
    case SHUNT_ACT_USERSPACE:
    case SHUNT_ACT_METER:
    case SHUNT_ACT_SAMPLE:
    case SHUNT_ACT_CONTROLLER:
      return true;
    default:
      return false;
  }
}

// A TTL that is used up there is for controllers to hear of.
bool is_decrement(const shunt_action& action) {
  return action.type == SHUNT_ACT_DEC_TTL || action.type == SHUNT_ACT_DEC_MPLS_TTL;
}

bool is_output(const shunt_action& action) {
  return action.type == SHUNT_ACT_OUTPUT || action.type == SHUNT_ACT_BRIDGE;
}

// A decrement from `start` on, behind all that is sent: the kernel side would have run its list when it came to it.
bool ends_in_decrement(const DpActions& actions, std::size_t start) {
  for (std::size_t i = actions.size(); i-- > start;) {
    if (is_decrement(actions[i])) return true;
    if (is_output(actions[i]) || actions[i].type == SHUNT_ACT_CONTROLLER) return false;
  }
  return false;
}

// What an output after the scope must not see. A meter's verdict holds for the scope, like an edit.
bool is_edit(const shunt_action& action) {
  switch (action.type) {
    case SHUNT_ACT_OUTPUT:
    case SHUNT_ACT_USERSPACE:
    case SHUNT_ACT_SAMPLE:
    case SHUNT_ACT_CONTROLLER:
    case SHUNT_ACT_TRUNCATE:   // of the next output only
    case SHUNT_ACT_SET_QUEUE:  // send() says it anew
    case SHUNT_ACT_SAVE:
    case SHUNT_ACT_RESTORE:
      return false;
    default:
      return true;
  }
}

shunt_action of_type(shunt_action_type type) {
  shunt_action action{};
  action.type = static_cast<__u8>(type);
  return action;
}

// The first edit from `start` on that is not put back; kNoPlace: none.
std::size_t first_edit(const DpActions& actions, std::size_t start) {
  unsigned saved = 0;
  for (std::size_t i = start; i < actions.size(); ++i) {
    if (actions[i].type == SHUNT_ACT_SAVE) ++saved;
    if (actions[i].type == SHUNT_ACT_RESTORE) --saved;
    if (saved == 0 && is_edit(actions[i])) return i;
  }
  return kNoPlace;
}

// An edit of the same field before this one, with nothing between them that could see it.
shunt_action* same_field_before(DpActions& actions, std::size_t from, std::size_t end, std::uint8_t field) {
  for (std::size_t i = end; i-- > from && actions[i].type == SHUNT_ACT_SET_FIELD;) {
    if (actions[i].field == field) return &actions[i];
    // Whether a frame has neighbour discovery's fields hangs on these.
    if (actions[i].field == SHUNT_FIELD_ICMP_TYPE || actions[i].field == SHUNT_FIELD_ICMP_CODE) return nullptr;
    // Nor does it have anything of what lay below before these.
    if (actions[i].field == SHUNT_FIELD_ETH_TYPE || actions[i].field == SHUNT_FIELD_IP_PROTO) return nullptr;
  }
  return nullptr;
}

// What `first` looked at, `second` hangs on too.
void add_examined(const Translation& first, Translation& second) {
  second.needs_packet = second.needs_packet || first.needs_packet;
  add_mask(second.mask, first.mask);
  second.dependencies.tables |= first.dependencies.tables;
  if (first.dependencies.rewritten.exists())
    add_mask(second.dependencies.rewritten.make(), *first.dependencies.rewritten);
  second.dependencies.tags |= first.dependencies.tags;
  second.fdb_dependencies.insert(second.fdb_dependencies.end(), first.fdb_dependencies.begin(),
                                 first.fdb_dependencies.end());
}

// `run` takes a Translator. Only behind a translation is it known whether each decrement of a TTL has something sent
// behind it; where one has not, another is made that looks at the TTLs. The observer sees one translation.
template <typename Run>
void translate_with(const SwitchState& state, const FlowKey& key, const PacketView* packet,
                    TranslationObserver* observer, Translation& result, Run run) {
  Translator first{state, key, packet, nullptr, false, result};
  run(first);
  if (observer == nullptr && !first.hides_ttl()) return;
  const Translation unseen = std::exchange(result, Translation{});
  Translator second{state, key, packet, observer, first.hides_ttl(), result};
  run(second);
  if (first.hides_ttl()) add_examined(unseen, result);
}

}  // namespace

void translate(const SwitchState& state, const FlowKey& key, const PacketView* packet, Translation& result) {
  translate_with(state, key, packet, nullptr, result, [](Translator& translator) { translator.run(); });
}

Translation translate(const SwitchState& state, const FlowKey& key, const PacketView* packet,
                      TranslationObserver* observer) {
  Translation result;
  translate_with(state, key, packet, observer, result, [](Translator& translator) { translator.run(); });
  return result;
}

Translation translate_bridged(const SwitchState& state, const FlowKey& key) {
  Translation result;
  Translator{state, key, nullptr, nullptr, false, result}.run_bridged();
  return result;
}

Translation translate_actions(const SwitchState& state, BridgeId bridge, const FlowKey& key, PortNo in_port,
                              std::span<const Action> actions, const PacketView* packet, TranslationObserver* observer,
                              const PipelineFields& fields) {
  Translation result;
  translate_with(state, key, packet, observer, result,
                 [&](Translator& translator) { translator.run(bridge, in_port, actions, fields); });
  return result;
}

Translation resume(const SwitchState& state, BridgeId bridge, const FlowKey& key, PortNo in_port,
                   const PipelineFields& fields, const Continuation& from, const PacketView* packet) {
  Translation result;
  translate_with(state, key, packet, nullptr, result,
                 [&](Translator& translator) { translator.run(bridge, in_port, fields, from); });
  return result;
}

FlowMask eth_dst_mask() {
  FlowMask mask{};
  std::memset(mask.eth_dst, 0xff, sizeof mask.eth_dst);
  return mask;
}

FlowMask eth_src_mask() {
  FlowMask mask{};
  std::memset(mask.eth_src, 0xff, sizeof mask.eth_src);
  return mask;
}

FlowMask vlan_mask(std::uint16_t tci_bits) {
  FlowMask mask{};
  mask.vlan[0].tci = be16{tci_bits};
  return mask;
}

void store16(__u8* at, std::uint16_t value) {
  const be16 wire{value};
  std::memcpy(at, &wire, sizeof wire);
}

std::uint16_t load16(const __u8* at) {
  be16 wire;
  std::memcpy(&wire, at, sizeof wire);
  return wire.host();
}

Translator::Translator(const SwitchState& state, const FlowKey& key, const PacketView* packet,
                       TranslationObserver* observer, bool looks_at_ttl, Translation& result)
    : state_{state}, packet_{key}, view_{packet}, observer_{observer}, looks_at_ttl_{looks_at_ttl}, result_{result} {
  working_ = to_pipeline(key);
  result_.version = state.version;
  result_.mask.in_port = ~std::uint32_t{0};
}

void Translator::run() {
  const BridgeState* bridge = packet_.in_port < state_.bridge_of.size() ? state_.bridge_of[packet_.in_port] : nullptr;
  if (bridge == nullptr) {
    fail(SHUNT_DROP_NO_PORT);
    return finish();
  }
  const BridgePort& ingress = *bridge->find(DpPort{packet_.in_port});
  begin(*bridge, ingress.number);
  depend_on(DependencyKind::kPort, ingress.number.value);
  if (!ingress.receive) {
    note([] { return "the port is configured not to receive"; });
    fail(SHUNT_DROP_NO_FORWARD);
    return finish();
  }
  enter_table(0, working_.in_port, true, true);
  run_action_set();
  return finish();
}

// What follows from a packet beside its output, a flow that no packet's MACs made cannot say.
void Translator::run_bridged() {
  bridging_ = true;
  run();
  const bool alone =
      result_.actions.size() == 1 && !result_.needs_packet && !result_.follow_ups.exists() && !hides_ttl_;
  FlowMask macs = eth_dst_mask();
  add_mask(macs, eth_src_mask());
  if (!alone || !is_zero(without(macs, without(macs, result_.mask)))) result_.bridged.reset();
}

void Translator::run(BridgeId id, PortNo in_port, std::span<const Action> actions,
                            const PipelineFields& fields) {
  if (!begin(id, in_port)) return finish();
  working_.metadata = fields.metadata;
  working_.reg = fields.reg;
  working_.tun_id = fields.tun_id;
  working_.pkt_mark = fields.pkt_mark;
  in_packet_out_ = true;
  run_list(actions);
  run_action_set();
  return finish();
}

void Translator::run(BridgeId id, PortNo in_port, const PipelineFields& fields, const Continuation& from) {
  if (!begin(id, in_port)) return finish();
  static_cast<PipelineFields&>(working_) = fields;
  stack_ = from.stack;
  for (const StackEntry& entry : stack_) stack_bytes_ += entry.size;
  action_set_.write(from.action_set);
  write_field(field(FieldId::kActsetOutput), working_, action_set_.output().value);
  for (const Continuation::Part& part : from.parts) {
    rule_ = part.rule.get();
    table_ = part.table;
    in_packet_out_ = rule_ == nullptr;
    // Paused again: what is behind is kept again.
    if (exit_)
      keep_rest(part.actions);
    else
      run_list(part.actions);
  }
  run_action_set();
  return finish();
}

bool Translator::begin(BridgeId id, PortNo in_port) {
  const BridgeState* bridge = state_.find(id);
  if (bridge == nullptr) {
    fail(SHUNT_DROP_NO_PORT);
    return false;
  }
  begin(*bridge, in_port);
  return true;
}

void Translator::begin(const BridgeState& bridge, PortNo in_port) {
  bridge_ = &bridge;
  result_.bridge = bridge.id;
  result_.fdb_version = bridge.fdb->version();
  original_in_port_ = working_.in_port = in_port.value;
  write_field(field(FieldId::kActsetOutput), working_, kPortUnset.value);
  known_.in_port = ~std::uint32_t{0};
  static_cast<PipelineFields&>(known_) = from_words([] {
    PipelineWords ones;
    ones.fill(~std::uint64_t{0});
    return ones;
  }());
}

void Translator::examine(const FlowMask& bits) {
  if (result_.needs_packet) return;
  KeyWords unknown = to_words(bits);
  const KeyWords known = to_words(flow_part(known_));
  const KeyWords hidden = to_words(hidden_);
  std::uint64_t unseen = 0;
  for (std::size_t i = 0; i < kKeyWords; ++i) {
    unknown[i] &= ~known[i];
    unseen |= unknown[i] & hidden[i];
  }
  if (unseen != 0) {
    (void)need_packet();
    return;
  }
  FlowMask of_packet = from_words(unknown);
  if (tag_source_ != kOwnTags || label_source_ != kOwnLabels || ttl_decremented_ || label_ttl_decremented_)
    of_packet = at_source(of_packet);
  add_mask(result_.mask, of_packet);
}

FlowMask Translator::at_source(const FlowMask& bits) const {
  FlowMask made = bits;
  made.vlan[0] = made.vlan[1] = shunt_vlan{};
  for (be32& label : made.mpls_lse) label = be32{0};
  if (ttl_decremented_ && bits.nw_ttl != 0) made.nw_ttl = 0xff;
  FlowMask moved{};
  for (std::size_t i = 0; i < tag_source_.size(); ++i) {
    const shunt_vlan& tag = bits.vlan[i];
    if (tag_source_[i] == kBehindTags) {
      if (tag.tpid.host() != 0 || tag.tci.host() != 0) add_mask(made, no_third_tag_mask());
      continue;
    }
    moved.vlan[tag_source_[i]] = tag;
    add_mask(made, moved);
    moved.vlan[tag_source_[i]] = shunt_vlan{};
  }
  for (std::size_t i = 0; i < label_source_.size(); ++i) {
    const be32 label = bits.mpls_lse[i];
    if (label_source_[i] == kBehindLabels) {
      if (label.host() != 0) add_mask(made, no_fourth_label_mask());
      continue;
    }
    const bool mixed = i == 0 && label_ttl_decremented_ && (label.host() & kLabelTtl) != 0;
    moved.mpls_lse[label_source_[i]] = mixed ? be32{label.host() | kLabelTtl} : label;
    add_mask(made, moved);
    moved.mpls_lse[label_source_[i]] = be32{0};
  }
  return made;
}

bool Translator::has(Prerequisite prerequisite) {
  examine(prerequisite_mask(prerequisite));
  return holds(prerequisite, working_);
}

void Translator::write(const Match& set) {
  const bool was_bottom = (working_.mpls_lse[0].host() & kLabelBottom) != 0;
  if ((set.mask.mpls_lse[0].host() & kLabelBottom) != 0) examine(label_mask(0, kLabelBottom));
  Match edit = set;
  DpActions& actions = result_.actions;
  merge_into_push(edit);

  PipelineWords words = to_words(working_);
  const PipelineWords value = to_words(set.value);
  const PipelineWords mask = to_words(set.mask);
  const PipelineWords known = to_words(known_);
  const PipelineWords emitted = to_words(edit.mask);
  // What every packet of the flow has already is not written again.
  const KeyWords examined = to_words(result_.mask);
  const KeyWords rewritten = to_words(rewritten_);
  std::uint64_t changed = 0;
  for (std::size_t i = 0; i < kKeyWords; ++i) {
    const std::uint64_t constant = known[i] | (examined[i] & ~rewritten[i]);
    changed |= emitted[i] & ~(constant & ~(words[i] ^ value[i]));
  }
  const std::size_t before = actions.size();
  if (changed != 0) append_set_field(working_, edit, actions);
  for (std::size_t i = before; i < actions.size();) {
    shunt_action* earlier = same_field_before(actions, merge_from_, before, actions[i].field);
    if (earlier == nullptr) {
      ++i;
      continue;
    }
    for (std::size_t b = 0; b < sizeof earlier->value; ++b) {
      earlier->value[b] = static_cast<__u8>((earlier->value[b] & ~actions[i].mask[b]) | actions[i].value[b]);
      earlier->mask[b] |= actions[i].mask[b];
    }
    actions.erase(actions.begin() + static_cast<std::ptrdiff_t>(i));
  }

  for (std::size_t i = 0; i < kPipelineWords; ++i) words[i] = (words[i] & ~mask[i]) | (value[i] & mask[i]);
  working_ = from_words(words);
  add_mask(known_, set.mask);
  add_mask(rewritten_, flow_part(set.mask));
  if (((working_.mpls_lse[0].host() & kLabelBottom) != 0) != was_bottom) bottom_changed();
}

const PacketView* Translator::need_packet() {
  result_.needs_packet = true;
  if (view_ == nullptr) stop_ = true;
  return view_;
}

void Translator::open_scope() {
  scopes_.push_back({*this, result_.actions.size(), merge_from_, pending_, more_, queue_});
  merge_from_ = std::max(merge_from_, result_.actions.size());
  pending_ = 0;
  more_ = false;
}

void Translator::close_scope() {
  const Scope& scope = scopes_.back();
  DpActions& actions = result_.actions;
  if (ends_in_decrement(actions, scope.start)) hides_ttl_ = true;
  trim(scope.start, false);
  const std::size_t edit = first_edit(actions, scope.start);
  if (edit != kNoPlace) {
    actions.insert(actions.begin() + static_cast<std::ptrdiff_t>(edit), of_type(SHUNT_ACT_SAVE));
    actions.push_back(of_type(SHUNT_ACT_RESTORE));
    if (queue_ != scope.queue) queue_.reset();  // a meter may have ended the scope before it was set
  }
  merge_from_ = actions.size() > scope.start ? actions.size() : scope.merge_from;
  pending_ = scope.pending;
  more_ = scope.more;
  static_cast<WorkingPacket&>(*this) = scope.packet;
  scopes_.pop_back();
}

void Translator::trim(std::size_t start, bool decrements_count) {
  DpActions& actions = result_.actions;
  std::size_t end = actions.size();
  const auto counts = [&](const shunt_action& action) {
    return is_effect(action) || (decrements_count && is_decrement(action));
  };
  while (end > start && !counts(actions[end - 1])) --end;
  // What would have been put back behind `end` need not be saved.
  unsigned restored = 0;
  for (std::size_t i = end; i-- > start;) {
    if (actions[i].type == SHUNT_ACT_RESTORE) ++restored;
    if (actions[i].type != SHUNT_ACT_SAVE) continue;
    if (restored > 0)
      --restored;
    else
      actions[i].type = SHUNT_ACT_NONE;
  }
  actions.resize(end);
  actions.erase(std::remove_if(actions.begin() + static_cast<std::ptrdiff_t>(start), actions.end(),
                               [](const shunt_action& action) { return action.type == SHUNT_ACT_NONE; }),
                actions.end());
}

const BridgePort* Translator::find_port(PortNo number) {
  depend_on(DependencyKind::kPort, number.value);
  return bridge_->find(number);
}

bool Translator::accepts(const BridgePort& port) {
  depend_on(DependencyKind::kPort, port.number.value);
  if (!port.up || !port.forward) {
    fail(port.up ? SHUNT_DROP_NO_FORWARD : SHUNT_DROP_NO_OUTPUT_PORT);
    return false;
  }
  // As Open vSwitch has it: whichever action sends it, and be it back to the port it came from.
  const BridgePort* ingress = port.protected_port ? find_port(PortNo{working_.in_port}) : nullptr;
  if (ingress == nullptr || !ingress->protected_port) return true;
  note([] { return "nothing goes from a protected port to another"; });
  fail(SHUNT_DROP_PROTECTED_PORT);
  return false;
}

void Translator::send(const BridgePort& port, std::uint16_t max_len) {
  be32 wanted;
  std::memcpy(&wanted, working_.skb_priority.data(), sizeof wanted);
  if (const std::uint32_t queue = wanted.host(); queue_ != queue) {
    shunt_action set = of_type(SHUNT_ACT_SET_QUEUE);
    set.arg = static_cast<__u16>(queue);
    emit(set);
    queue_ = queue;
  }
  if (max_len != 0) {
    shunt_action truncate = of_type(SHUNT_ACT_TRUNCATE);
    truncate.arg = std::max<std::uint16_t>(max_len, 14);
    emit(truncate);
  }
  shunt_action output = of_type(SHUNT_ACT_OUTPUT);
  output.field = port.dp.value == packet_.in_port ? 1 : 0;
  output.arg = static_cast<__u16>(port.dp.value);
  emit(output);
}

void Translator::emit(const shunt_action& action) {
  result_.actions.push_back(action);
  if (is_effect(action)) merge_from_ = result_.actions.size();
}

void Translator::fail(shunt_drop_reason reason) {
  if (result_.drop == SHUNT_DROP_NONE) result_.drop = reason;
}

void Translator::give_up(shunt_drop_reason reason) {
  result_.drop = reason;
  stop_ = true;
}

void Translator::finish() {
  DpActions& actions = result_.actions;
  if (stop_) {
    hides_ttl_ = false;
    actions.clear();
    result_.follow_ups.clear();  // nothing follows from half a translation
  } else {
    const bool goes_out = std::any_of(actions.begin(), actions.end(), is_output);
    if (goes_out && ends_in_decrement(actions, 0)) hides_ttl_ = true;
    trim(0, !goes_out && !looks_at_ttl_);
    if (goes_out)
      result_.drop = SHUNT_DROP_NONE;
    else if (!result_.follow_ups->controllers.empty())
      result_.drop = SHUNT_DROP_CONTROLLER;
    else
      fail(SHUNT_DROP_RULE);
  }
}

}  // namespace shunt
