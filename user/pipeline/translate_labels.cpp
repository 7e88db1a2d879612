// SPDX-License-Identifier: Apache-2.0
// Translation of MPLS label stack entries, and of TTLs: those of labels and of IP.
#include <algorithm>
#include <bit>

#include "user/pipeline/translator.h"

namespace shunt {

namespace {

constexpr std::uint32_t kLabelSize = 4;
constexpr std::uint32_t kIpv4HeaderSize = 20, kIpv6HeaderSize = 40;

std::uint32_t with_ttl(be32 label, std::uint8_t ttl) { return (label.host() & ~kLabelTtl) | ttl; }

// As few bits as tell whether a TTL can be decremented, which takes 2 or more.
std::uint8_t ttl_proof(std::uint8_t ttl) { return ttl <= 1 ? 0xfe : std::bit_floor(ttl); }

FlowMask ttl_mask() {
  FlowMask mask{};
  mask.nw_ttl = 0xff;
  return mask;
}

bool is_ip(const FlowKey& key) { return holds(Prerequisite::kIp, key); }

}  // namespace

// Label, TC and TTL are copied from the label that is there; the first label gets the TTL of IP, and 0 in all else
// (OpenFlow 1.3.5 section 5.12.1). Open vSwitch differs: label 2 over IPv6, TC from the DSCP, TTL 64 over others than
// IP.
void Translator::run(const PushMplsAction& push) {
  std::uint32_t entry = 0;
  if (has(Prerequisite::kMpls)) {
    const FlowMask top = label_mask(0, ~std::uint32_t{0});
    examine(top);
    add_mask(flow_part(known_), top);
    entry = working_.mpls_lse[0].host() & ~kLabelBottom;
    layers_.labels.push_back(
        {working_.mpls_lse[2], known_.mpls_lse[2], hidden_.mpls_lse[2], label_source_[2], working_.eth_type.host()});
    for (const unsigned i : {2u, 1u}) {
      working_.mpls_lse[i] = working_.mpls_lse[i - 1];
      known_.mpls_lse[i] = known_.mpls_lse[i - 1];
      hidden_.mpls_lse[i] = hidden_.mpls_lse[i - 1];
      label_source_[i] = label_source_[i - 1];
    }
  } else {
    entry = kLabelBottom;
    if (has(Prerequisite::kIp)) {
      examine(ttl_mask());
      known_.nw_ttl = 0xff;
      entry |= working_.nw_ttl;
    }
    cover();
  }
  shunt_action action = action_of(SHUNT_ACT_PUSH_MPLS);
  store16(action.value, push.eth_type);
  store32(action.value + 2, entry);
  emit(action);
  layers_.length_change += int{kLabelSize};
  label_ttl_decremented_ = false;
  set_eth_type(push.eth_type);
  working_.mpls_lse[0] = be32{entry};
  know(label_mask(0, ~std::uint32_t{0}));
  for (unsigned i = 0; i < 3; ++i) add_mask(rewritten_, label_mask(i, ~std::uint32_t{0}));
}

void Translator::run(const PopMplsAction& pop) {
  if (!has(Prerequisite::kMpls)) return note([] { return "the packet has no label"; });
  const bool to_label = is_mpls_type(pop.eth_type);
  if (to_label) examine(label_mask(0, kLabelBottom));
  const bool bottom = (working_.mpls_lse[0].host() & kLabelBottom) != 0;

  const std::uint16_t below = !layers_.labels.empty()      ? layers_.labels.back().eth_type
                              : layers_.covered != nullptr ? layers_.covered->working_.eth_type.host()
                                                           : std::uint16_t{0};
  if (below != 0 && below == pop.eth_type && result_.actions.size() > merge_from_ &&
      result_.actions.back().type == SHUNT_ACT_PUSH_MPLS) {
    result_.actions.pop_back();
  } else {
    shunt_action action = action_of(SHUNT_ACT_POP_MPLS);
    store16(action.value, pop.eth_type);
    emit(action);
  }
  layers_.length_change -= int{kLabelSize};
  if (to_label && !bottom)
    pop_to_label(pop.eth_type);
  else
    pop_to_payload(pop.eth_type, bottom);
}

void Translator::pop_to_label(std::uint16_t eth_type) {
  const bool own = layers_.labels.empty() && layers_.covered == nullptr;
  const bool deeper =
      (working_.mpls_lse[1].host() & kLabelBottom) == 0 && (working_.mpls_lse[2].host() & kLabelBottom) == 0;
  for (const unsigned i : {0u, 1u}) {
    working_.mpls_lse[i] = working_.mpls_lse[i + 1];
    known_.mpls_lse[i] = known_.mpls_lse[i + 1];
    hidden_.mpls_lse[i] = hidden_.mpls_lse[i + 1];
    label_source_[i] = label_source_[i + 1];
  }
  for (unsigned i = 0; i < 3; ++i) add_mask(rewritten_, label_mask(i, ~std::uint32_t{0}));
  label_ttl_decremented_ = false;
  set_eth_type(eth_type);
  if (!layers_.labels.empty()) {
    const Layers::Label& label = layers_.labels.back();
    working_.mpls_lse[2] = label.value;
    known_.mpls_lse[2] = label.known;
    hidden_.mpls_lse[2] = label.hidden;
    label_source_[2] = label.source;
    layers_.labels.pop_back();
    return;
  }
  working_.mpls_lse[2] = be32{0};
  known_.mpls_lse[2] = be32{own ? 0 : ~std::uint32_t{0}};
  label_source_[2] = kBehindLabels;
  if (!own) return;
  if (view_ != nullptr) layers_.payload_at = payload_at() + kLabelSize;
  if (!deeper) return;
  // The entry behind those of the key.
  hide(label_mask(2, ~std::uint32_t{0}));
  if (view_ != nullptr) working_.mpls_lse[2] = label_at(payload_at() + 2 * kLabelSize);
}

// Also to a type that the bottom-of-stack bit speaks against: the type decides what the bytes are.
void Translator::pop_to_payload(std::uint16_t eth_type, bool bottom) {
  const std::size_t pushed = layers_.labels.size();
  layers_.labels.clear();
  // A tag below the label joins those in front of it, as far as a key holds them.
  const unsigned tags = !is_vlan_type(eth_type)         ? 0
                        : has(Prerequisite::kInnerVlan) ? 2
                        : has(Prerequisite::kVlan)      ? 1
                                                        : 0;
  if (const auto covered = layers_.covered) {
    if (!bottom || covered->working_.eth_type.host() != eth_type) {
      layers_.covered = covered->layers_.covered;
      return lose_payload(eth_type);
    }
    uncover();
    if (is_vlan_type(eth_type) && tags < 2) reveal_payload(eth_type, tags);
    return;
  }
  if (pushed > 1) return lose_payload(eth_type);
  if (view_ != nullptr && pushed == 0) layers_.payload_at = payload_at() + kLabelSize;
  reveal_payload(eth_type, tags);
}

// Whatever the TTL is: whoever runs the action finds out whether it expires, so that the flow serves every TTL. But
// that ends the packet, so that where other lists go on behind this one, the TTL is looked at here: it ends its own
// list only (as Open vSwitch has it). So it is where something is sent, but nothing behind the decrement, which the
// kernel would not come to; where nothing at all is sent, the decrement stays for its controllers.
void Translator::run(const DecTtlAction& dec) {
  if (!has(Prerequisite::kIp)) return note([] { return "the packet is not IP"; });
  if (looks_at_ttl_ || !list_is_last()) {
    FlowMask proof{};
    proof.nw_ttl = ttl_proof(working_.nw_ttl);
    examine(proof);
    if (working_.nw_ttl <= 1) return expire(dec.ids);
  }
  emit_decrement(SHUNT_ACT_DEC_TTL, dec.ids);
  if (working_.nw_ttl != 0) --working_.nw_ttl;
  rewritten_.nw_ttl = 0xff;
  if (known_.nw_ttl == 0xff) return;
  ttl_decremented_ = true;
  if (known_.nw_ttl == 0) return;
  // Known and unknown bits were mixed by the subtraction.
  examine(ttl_mask());
  known_.nw_ttl = 0xff;
}

void Translator::run(const DecMplsTtlAction&) {
  if (!has(Prerequisite::kMpls)) return note([] { return "the packet has no label"; });
  if (looks_at_ttl_ || !list_is_last()) {
    const auto top = static_cast<std::uint8_t>(working_.mpls_lse[0].host());
    examine(label_mask(0, ttl_proof(top)));
    if (top <= 1) return expire({});
  }
  emit_decrement(SHUNT_ACT_DEC_MPLS_TTL, {});
  const FlowMask ttl = label_mask(0, kLabelTtl);
  const std::uint32_t known = known_.mpls_lse[0].host() & kLabelTtl;
  if (const std::uint32_t entry = working_.mpls_lse[0].host(); (entry & kLabelTtl) != 0)
    working_.mpls_lse[0] = be32{entry - 1};
  add_mask(rewritten_, ttl);
  if (known == kLabelTtl) return;
  label_ttl_decremented_ = true;
  if (known == 0) return;
  examine(ttl);
  know(ttl);
}

void Translator::run(const SetMplsTtlAction& set) {
  if (!has(Prerequisite::kMpls)) return note([] { return "the packet has no label"; });
  Match ttl;
  flow_part(ttl.mask) = label_mask(0, kLabelTtl);
  ttl.value.mpls_lse[0] = be32{set.ttl};
  write(ttl);
}

// The datapath finds the other TTL by itself. What is known of it after that: nothing, but where both are constants.
void Translator::run(const CopyTtlOutAction&) {
  if (!has(Prerequisite::kMpls)) return note([] { return "the packet has no label"; });
  if (!has_inner_ttl()) return note([] { return "no TTL is below the label"; });
  emit(action_of(SHUNT_ACT_COPY_TTL_OUT));
  bool known = (known_.mpls_lse[0].host() & kLabelBottom) != 0;
  std::uint8_t ttl = 0;
  if ((working_.mpls_lse[0].host() & kLabelBottom) == 0) {
    ttl = static_cast<std::uint8_t>(working_.mpls_lse[1].host());
    known = known && (known_.mpls_lse[1].host() & kLabelTtl) == kLabelTtl;
  } else if (const WorkingPacket* below = layers_.covered.get()) {
    ttl = below->working_.nw_ttl;
    known = known && below->known_.nw_ttl == 0xff;
  } else {
    const std::uint8_t* of_packet = packet_inner_ttl();
    if (of_packet == nullptr)
      ttl = static_cast<std::uint8_t>(working_.mpls_lse[0].host());  // nothing is copied
    else
      ttl = layers_.inner_ttl.value_or(*of_packet);
    known = false;
  }
  working_.mpls_lse[0] = be32{with_ttl(working_.mpls_lse[0], ttl)};
  label_ttl_decremented_ = false;
  known ? know(label_mask(0, kLabelTtl)) : hide(label_mask(0, kLabelTtl));
}

void Translator::run(const CopyTtlInAction&) {
  if (!has(Prerequisite::kMpls)) return note([] { return "the packet has no label"; });
  if (!has_inner_ttl()) return note([] { return "no TTL is below the label"; });
  emit(action_of(SHUNT_ACT_COPY_TTL_IN));
  constexpr std::uint32_t kDecisive = kLabelTtl | kLabelBottom;
  const bool known = (known_.mpls_lse[0].host() & kDecisive) == kDecisive;
  const auto ttl = static_cast<std::uint8_t>(working_.mpls_lse[0].host());
  if ((working_.mpls_lse[0].host() & kLabelBottom) == 0) {
    working_.mpls_lse[1] = be32{with_ttl(working_.mpls_lse[1], ttl)};
    known ? know(label_mask(1, kLabelTtl)) : hide(label_mask(1, kLabelTtl));
    // Where that is a label because the bottom-of-stack bit was cleared, pops may find something else there.
    if (layers_.remade != nullptr && layers_.labels.empty()) (void)remake_packet();
  } else if (layers_.covered == nullptr) {
    if (packet_inner_ttl() != nullptr) layers_.inner_ttl = ttl;
  } else {
    auto below = std::make_shared<WorkingPacket>(*layers_.covered);
    below->working_.nw_ttl = ttl;
    below->rewritten_.nw_ttl = 0xff;
    below->known_.nw_ttl = known ? 0xff : 0;
    if (!known) below->hidden_.nw_ttl = 0xff;
    layers_.covered = std::move(below);
  }
}

// The datapath guesses by the first bits below the last label; where it is known what lies there, it need not.
bool Translator::has_inner_ttl() const {
  const bool bottom = (working_.mpls_lse[0].host() & kLabelBottom) != 0;
  return !bottom || layers_.covered == nullptr || is_ip(layers_.covered->working_);
}

const std::uint8_t* Translator::packet_inner_ttl() {
  if (view_ == nullptr) return nullptr;
  const std::uint32_t at = payload_at() + kLabelSize;
  const auto frame = packet_at_hand().frame;
  // By the version, for a label does not say what lies below it.
  const unsigned version = at < frame.size() ? frame[at] >> 4 : 0;
  if (version == 4 && at + kIpv4HeaderSize <= frame.size()) return &frame[at + 8];
  if (version == 6 && at + kIpv6HeaderSize <= frame.size()) return &frame[at + 7];
  return nullptr;
}

be32 Translator::label_at(std::uint32_t offset) const {
  const auto frame = packet_at_hand().frame;
  return offset + kLabelSize <= frame.size() ? be32{load32(frame.data() + offset)} : be32{0};
}

namespace {

// For whom an expired TTL is: the controller without an id where the action names none.
std::span<const std::uint16_t> ttl_receivers(std::span<const std::uint16_t> ids) {
  static constexpr std::uint16_t kFirst[] = {0};
  return ids.empty() ? std::span<const std::uint16_t>{kFirst} : ids;
}

ControllerAction invalid_ttl(std::uint16_t id) {
  ControllerAction action;
  action.reason = PacketInReason::kInvalidTtl;
  action.controller_id = id;
  return action;
}

}  // namespace

void Translator::expire(std::span<const std::uint16_t> ids) {
  note([] { return "the TTL has run out: this list of actions ends"; });
  for (const std::uint16_t id : ttl_receivers(ids)) send_to_controller(invalid_ttl(id));
  fail(SHUNT_DROP_TTL_EXPIRED);
  leave_list_ = true;
}

// Which of several decrements finds the TTL used up, its packet says: each names those who hear of it.
void Translator::emit_decrement(shunt_action_type type, std::span<const std::uint16_t> ids) {
  shunt_action decrement = action_of(type);
  decrement.arg = static_cast<__u16>(result_.follow_ups->ttl_controllers.size());
  auto& controllers = result_.follow_ups.make().ttl_controllers.emplace_back();
  for (const std::uint16_t id : ttl_receivers(ids)) controllers.push_back(controller_of(invalid_ttl(id)));
  emit(decrement);
}

}  // namespace shunt
