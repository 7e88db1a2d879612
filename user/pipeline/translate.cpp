// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/translate.h"

#include <algorithm>
#include <cstring>
#include <variant>

#include "user/flow/fields.h"
#include "user/pipeline/translator.h"

namespace shunt {

namespace {

constexpr std::uint16_t kTpid8021q = 0x8100;
constexpr std::uint16_t kVidBits = 0x0fff;
constexpr std::uint16_t kPcpBits = 0xe000;

Match tci_bits(std::uint16_t value, std::uint16_t bits) {
  Match match;
  match.mask = vlan_mask(bits);
  match.value.vlan[0].tci = be16{value};
  return match;
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

}  // namespace

Translation translate(const SwitchState& state, const FlowKey& key) { return Translator{state, key}.run(); }

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

Translator::Translator(const SwitchState& state, const FlowKey& key) : state_{state}, packet_{key}, working_{key} {
  result_.version = state.version;
  result_.mask.in_port = ~std::uint32_t{0};
}

Translation Translator::run() {
  if (packet_.in_port < state_.bridge_of.size()) bridge_ = state_.bridge_of[packet_.in_port];
  if (bridge_ == nullptr) {
    fail(SHUNT_DROP_NO_PORT);
    return finish();
  }
  result_.bridge = bridge_->id;
  result_.fdb_version = bridge_->fdb->version();
  working_.in_port = bridge_->find(DpPort{packet_.in_port})->number.value;
  known_.in_port = ~std::uint32_t{0};

  FlowMask examined{};
  const Classifier* table = bridge_->tables[0].get();
  const Rule* rule = table != nullptr ? table->lookup(working_, state_.version, examined) : nullptr;
  examine(examined);
  if (rule == nullptr) {
    fail(SHUNT_DROP_TABLE_MISS);
    return finish();
  }
  result_.rules.push_back(rule->shared_from_this());
  run_rule(*rule);
  return finish();
}

void Translator::run_rule(const Rule& rule) {
  std::size_t outputs_left = 0;
  for (const Action& action : rule.actions) outputs_left += std::holds_alternative<OutputAction>(action);
  for (const Action& action : rule.actions) {
    if (std::holds_alternative<OutputAction>(action)) --outputs_left;
    std::visit([&](const auto& concrete) { run(concrete, outputs_left == 0); }, action);
    if (result_.actions.size() > kMaxActions) break;
  }
}

void Translator::run(const OutputAction& output, bool last) {
  if (output.port == kPortNormal) return normal(output.max_len, last);
  if (output.port == kPortFlood || output.port == kPortAll) return flood(output.max_len);
  if (output.port == kPortInPort) {
    const BridgePort* ingress = bridge_->find(PortNo{working_.in_port});
    return ingress != nullptr && ingress->up ? send(*ingress, output.max_len) : fail(SHUNT_DROP_NO_OUTPUT_PORT);
  }
  // OpenFlow: back out of the input port by IN_PORT only.
  if (output.port.value == working_.in_port) return fail(SHUNT_DROP_SAME_PORT);
  const BridgePort* port = bridge_->find(output.port);
  return port != nullptr && port->up ? send(*port, output.max_len) : fail(SHUNT_DROP_NO_OUTPUT_PORT);
}

void Translator::flood(std::uint16_t max_len) {
  shunt_drop_reason why_none = SHUNT_DROP_SAME_PORT;
  for (const BridgePort& port : bridge_->ports) {
    if (port.number.value == working_.in_port) continue;
    if (port.up)
      send(port, max_len);
    else
      why_none = SHUNT_DROP_NO_OUTPUT_PORT;
  }
  fail(why_none);
}

void Translator::run(const SetFieldAction& set, bool) {
  if (has(set.field->prerequisite)) write(set.set);
}

void Translator::run(const MoveAction& move, bool) {
  if (!has(move.src->prerequisite) || !has(move.dst->prerequisite)) return;
  const auto bits_at = [&](unsigned shift) { return ((FieldBits{1} << (move.bit_count - 1) << 1) - 1) << shift; };
  FlowMask source{};
  write_field(*move.src, source, bits_at(move.src_bit));
  examine(source);

  const FieldBits value = read_field(*move.src, working_) >> move.src_bit << move.dst_bit;
  Match set;
  write_field(*move.dst, set.mask, bits_at(move.dst_bit));
  write_field(*move.dst, set.value, value & bits_at(move.dst_bit));
  write(set);
}

void Translator::run(const PushVlanAction& push, bool) { push_tag(push.tpid, 0); }

void Translator::run(const PopVlanAction&, bool) {
  if (has(Prerequisite::kVlan)) pop_tag();
}

void Translator::run(const SetVlanVidAction& set, bool) {
  if (has(Prerequisite::kVlan))
    write(tci_bits(set.vid, kVidBits));
  else
    push_tag(kTpid8021q, set.vid);
}

void Translator::run(const SetVlanPcpAction& set, bool) {
  const auto pcp = static_cast<std::uint16_t>(set.pcp << 13);
  if (has(Prerequisite::kVlan))
    write(tci_bits(pcp, kPcpBits));
  else
    push_tag(kTpid8021q, pcp);
}

// Whatever the TTL is: whoever runs the action finds out whether it expires, so that the flow serves every TTL.
void Translator::run(const DecTtlAction&, bool) {
  if (!has(Prerequisite::kIp)) return;
  shunt_action action{};
  action.type = SHUNT_ACT_DEC_TTL;
  emit(action);
  if (working_.nw_ttl != 0) --working_.nw_ttl;
  if (known_.nw_ttl == 0xff) return;
  ttl_decremented_ = true;
  if (known_.nw_ttl == 0) return;
  // Known and unknown bits were mixed by the subtraction.
  FlowMask ttl{};
  ttl.nw_ttl = 0xff;
  examine(ttl);
  known_.nw_ttl = 0xff;
}

void Translator::run(const DropAction&, bool) { fail(SHUNT_DROP_RULE); }

void Translator::examine(const FlowMask& bits) {
  KeyWords unknown = to_words(bits);
  const KeyWords known = to_words(known_);
  for (std::size_t i = 0; i < kKeyWords; ++i) unknown[i] &= ~known[i];
  FlowMask of_packet = from_words(unknown);

  const std::array<shunt_vlan, 2> tags{of_packet.vlan[0], of_packet.vlan[1]};
  of_packet.vlan[0] = of_packet.vlan[1] = shunt_vlan{};
  add_mask(result_.mask, of_packet);
  for (std::size_t i = 0; i < tags.size(); ++i) {
    FlowMask tag{};
    tag.vlan[tag_source_[i]] = tags[i];
    add_mask(result_.mask, tag);
  }
  if (ttl_decremented_ && of_packet.nw_ttl != 0) result_.mask.nw_ttl = 0xff;
}

bool Translator::has(Prerequisite prerequisite) {
  examine(prerequisite_mask(prerequisite));
  return holds(prerequisite, working_);
}

void Translator::write(const Match& set) {
  Match edit = set;
  const std::uint16_t tci_mask = edit.mask.vlan[0].tci.host();
  // A tag that was just pushed is pushed as it shall be.
  if (tci_mask != 0 && !result_.actions.empty() && result_.actions.back().type == SHUNT_ACT_PUSH_VLAN &&
      result_.actions.size() > after_last_output_) {
    __u8* tci = result_.actions.back().value + 2;
    store16(tci, static_cast<std::uint16_t>((load16(tci) & ~tci_mask) | (edit.value.vlan[0].tci.host() & tci_mask)));
    edit.mask.vlan[0].tci = be16{0};
    edit.value.vlan[0].tci = be16{0};
  }
  append_set_field(working_, edit, result_.actions);

  KeyWords words = to_words(working_);
  const KeyWords value = to_words(set.value);
  const KeyWords mask = to_words(set.mask);
  for (std::size_t i = 0; i < kKeyWords; ++i) words[i] = (words[i] & ~mask[i]) | (value[i] & mask[i]);
  working_ = from_words(words);
  add_mask(known_, set.mask);
}

void Translator::push_tag(std::uint16_t tpid, std::uint16_t tci) {
  shunt_action action{};
  action.type = SHUNT_ACT_PUSH_VLAN;
  store16(action.value, tpid);
  store16(action.value + 2, tci);
  emit(action);
  working_.vlan[1] = working_.vlan[0];
  known_.vlan[1] = known_.vlan[0];
  tag_source_[1] = tag_source_[0];
  working_.vlan[0] = {be16{tpid}, be16{static_cast<std::uint16_t>(tci | SHUNT_VLAN_PRESENT)}};
  known_.vlan[0] = {be16{0xffff}, be16{0xffff}};
}

void Translator::pop_tag() {
  shunt_action action{};
  action.type = SHUNT_ACT_POP_VLAN;
  // Push and pop at once are nothing at all.
  if (!result_.actions.empty() && result_.actions.back().type == SHUNT_ACT_PUSH_VLAN &&
      result_.actions.size() > after_last_output_)
    result_.actions.pop_back();
  else
    emit(action);
  working_.vlan[0] = working_.vlan[1];
  known_.vlan[0] = known_.vlan[1];
  tag_source_[0] = tag_source_[1];
  // What lies behind the second tag is in no key.
  working_.vlan[1] = shunt_vlan{};
  known_.vlan[1] = {be16{0xffff}, be16{0xffff}};
}

bool Translator::is_tagged() const { return (working_.vlan[0].tci.host() & SHUNT_VLAN_PRESENT) != 0; }

void Translator::send(const BridgePort& port, std::uint16_t max_len) {
  if (max_len != 0) {
    shunt_action truncate{};
    truncate.type = SHUNT_ACT_TRUNCATE;
    truncate.arg = std::max<std::uint16_t>(max_len, 14);
    emit(truncate);
  }
  shunt_action output{};
  output.type = SHUNT_ACT_OUTPUT;
  output.field = port.dp.value == packet_.in_port ? 1 : 0;
  output.arg = static_cast<__u16>(port.dp.value);
  emit(output);
  after_last_output_ = result_.actions.size();
}

void Translator::emit(const shunt_action& action) { result_.actions.push_back(action); }

void Translator::fail(shunt_drop_reason reason) {
  if (result_.drop == SHUNT_DROP_NONE) result_.drop = reason;
}

Translation Translator::finish() {
  if (result_.actions.size() > kMaxActions) {
    result_.actions.clear();
    result_.drop = SHUNT_DROP_TRANSLATION;
  } else if (after_last_output_ == 0) {
    result_.actions.clear();
    if (result_.drop == SHUNT_DROP_NONE) result_.drop = SHUNT_DROP_RULE;
  } else {
    result_.actions.resize(after_last_output_);
    result_.drop = SHUNT_DROP_NONE;
  }
  return std::move(result_);
}

}  // namespace shunt
