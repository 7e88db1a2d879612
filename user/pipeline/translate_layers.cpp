// SPDX-License-Identifier: Apache-2.0
// Headers that the working key has no place for: what lies below a pushed label or service tag, and what pops bring to
// light of the packet. The latter are read from the packet where it is at hand, and are hidden either way: an answer
// that depends on them is for this packet alone.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "user/pipeline/packet_reparse.h"
#include "user/pipeline/translator.h"

namespace shunt {

namespace {

constexpr std::size_t kPayloadWord = offsetof(shunt_flow_key, nw_proto) / 8;  // the first of a key
constexpr std::uint32_t kServiceTagSize = 4;
constexpr int kPbbSize = 18;  // an Ethernet header, too

// Bits of `to` under the mask become those of `from`.
void copy_bits(FlowKey& to, const FlowKey& from, const FlowMask& mask) {
  KeyWords words = to_words(to);
  const KeyWords source = to_words(from);
  const KeyWords bits = to_words(mask);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = (words[i] & ~bits[i]) | (source[i] & bits[i]);
  to = from_words(words);
}

FlowMask eth_type_mask() {
  FlowMask mask{};
  mask.eth_type = be16{0xffff};
  return mask;
}

constexpr shunt_vlan kWholeTag{be16{0xffff}, be16{0xffff}};

}  // namespace

FlowMask payload_mask() {
  KeyWords words{};
  for (std::size_t i = kPayloadWord; i < words.size(); ++i) words[i] = ~std::uint64_t{0};
  return from_words(words);
}

FlowMask label_mask(unsigned entry, std::uint32_t bits) {
  FlowMask mask{};
  mask.mpls_lse[entry] = be32{bits};
  return mask;
}

FlowMask no_third_tag_mask() {
  FlowMask mask = eth_type_mask();
  mask.vlan[1].tci = be16{SHUNT_VLAN_PRESENT};
  return mask;
}

FlowMask no_fourth_label_mask() {
  FlowMask mask{};
  for (be32& label : mask.mpls_lse) label = be32{kLabelBottom};
  return mask;
}

void store32(__u8* at, std::uint32_t value) {
  const be32 wire{value};
  std::memcpy(at, &wire, sizeof wire);
}

std::uint32_t load32(const __u8* at) {
  be32 wire;
  std::memcpy(&wire, at, sizeof wire);
  return wire.host();
}

shunt_action action_of(shunt_action_type type) {
  shunt_action action{};
  action.type = static_cast<__u8>(type);
  return action;
}

void Translator::know(const FlowMask& bits) {
  add_mask(flow_part(known_), bits);
  add_mask(rewritten_, bits);
}

void Translator::hide(const FlowMask& bits) {
  flow_part(known_) = without(flow_part(known_), bits);
  add_mask(hidden_, bits);
  add_mask(rewritten_, bits);
}

void Translator::set_eth_type(std::uint16_t type) {
  working_.eth_type = be16{type};
  know(eth_type_mask());
}

void Translator::set_payload(const FlowKey& key) {
  copy_bits(working_, key, payload_mask());
  ttl_decremented_ = label_ttl_decremented_ = false;
}

std::uint32_t Translator::payload_at() {
  if (!layers_.payload_at) layers_.payload_at = reparse_frame(packet_at_hand(), 0).payload;
  return *layers_.payload_at;
}

PacketView Translator::packet_at_hand() const {
  if (layers_.remade == nullptr) return *view_;
  const std::vector<std::uint8_t>& frame = *layers_.remade;
  const std::size_t left_out = std::max<std::size_t>(view_->length, view_->frame.size()) - view_->frame.size();
  return {frame, static_cast<std::uint32_t>(frame.size() + left_out)};
}

// Of what was pushed and edited so far only the bytes count now, as a parser would read them.
void Translator::bottom_changed() {
  const bool bottom = (working_.mpls_lse[0].host() & kLabelBottom) != 0;
  layers_.labels.clear();
  layers_.covered.reset();
  layers_.inner_ttl.reset();
  layers_.payload_at.reset();
  FlowKey found{};
  if (view_ != nullptr) found = remake_packet();
  for (const unsigned entry : {1u, 2u}) {
    working_.mpls_lse[entry] = bottom ? be32{0} : found.mpls_lse[entry];
    bottom ? know(label_mask(entry, ~std::uint32_t{0})) : hide(label_mask(entry, ~std::uint32_t{0}));
  }
}

FlowKey Translator::remake_packet() {
  layers_.remade = std::make_shared<const std::vector<std::uint8_t>>(edited_frame(*view_, as_span(result_.actions)));
  const Reparsed found = reparse_frame(packet_at_hand(), 0);
  layers_.payload_at = found.payload;
  return found.key;
}

void Translator::reveal_payload(std::uint16_t eth_type, unsigned tags_in_front) {
  Reparsed found;
  if (view_ != nullptr) found = reparse_payload(packet_at_hand(), payload_at(), eth_type, tags_in_front);
  if (found.is_ip && layers_.inner_ttl) found.key.nw_ttl = *layers_.inner_ttl;
  layers_.inner_ttl.reset();
  layers_.payload_at = found.payload;
  set_payload(found.key);
  set_eth_type(eth_type);
  hide(payload_mask());
  if (!is_vlan_type(eth_type)) return;
  // A tag came to light.
  FlowMask tags{};
  for (unsigned i = tags_in_front; i < 2; ++i) {
    tags.vlan[i] = kWholeTag;
    working_.vlan[i] = found.key.vlan[i];
  }
  working_.eth_type = found.key.eth_type;
  hide(tags);
  hide(eth_type_mask());
}

void Translator::reveal_frame() {
  Reparsed found;
  if (view_ != nullptr) found = reparse_frame(packet_at_hand(), payload_at() + kServiceTagSize);
  FlowMask frame{};
  std::memset(&frame, 0xff, sizeof frame);
  frame.in_port = frame.dp_hash = 0;
  copy_bits(working_, found.key, frame);
  hide(frame);
  ttl_decremented_ = label_ttl_decremented_ = false;
  layers_ = {{}, {}, nullptr, found.payload, std::nullopt, layers_.remade, layers_.length_change - kPbbSize};
}

void Translator::cover() {
  auto covered = std::make_shared<const WorkingPacket>(static_cast<const WorkingPacket&>(*this));
  layers_.labels.clear();
  layers_.inner_ttl.reset();
  layers_.covered = std::move(covered);
  set_payload({});
  know(payload_mask());
}

void Translator::uncover() {
  const std::shared_ptr<const WorkingPacket> below = layers_.covered;
  FlowMask mask = payload_mask();
  add_mask(mask, eth_type_mask());
  copy_bits(working_, below->working_, mask);
  copy_bits(known_, below->known_, mask);
  copy_bits(hidden_, below->hidden_, mask);
  copy_bits(rewritten_, below->rewritten_, mask);
  label_source_ = below->label_source_;
  ttl_decremented_ = below->ttl_decremented_;
  label_ttl_decremented_ = below->label_ttl_decremented_;
  layers_.labels = below->layers_.labels;
  layers_.payload_at = below->layers_.payload_at;
  layers_.inner_ttl = below->layers_.inner_ttl;
  layers_.remade = below->layers_.remade;
  layers_.covered = below->layers_.covered;
}

// Labels that were pushed, read as something else: no header of any use.
void Translator::lose_payload(std::uint16_t eth_type) {
  set_payload({});
  know(payload_mask());
  set_eth_type(eth_type);
}

// Only where no output lies between: what is emitted behind merge_from_ nobody has seen.
void Translator::merge_into_push(Match& edit) {
  if (result_.actions.size() <= merge_from_) return;
  shunt_action& push = result_.actions.back();
  const auto merge16 = [&](__u8* at, be16& value, be16& mask) {
    store16(at, static_cast<std::uint16_t>((load16(at) & ~mask.host()) | (value.host() & mask.host())));
    value = mask = be16{0};
  };
  const auto merge32 = [&](__u8* at, be32& value, be32& mask) {
    store32(at, (load32(at) & ~mask.host()) | (value.host() & mask.host()));
    value = mask = be32{0};
  };
  if (push.type == SHUNT_ACT_PUSH_VLAN)
    merge16(push.value + 2, edit.value.vlan[0].tci, edit.mask.vlan[0].tci);
  else if (push.type == SHUNT_ACT_PUSH_MPLS)
    merge32(push.value + 2, edit.value.mpls_lse[0], edit.mask.mpls_lse[0]);
  else if (push.type == SHUNT_ACT_PUSH_PBB)
    merge32(push.value, edit.value.pbb_itag, edit.mask.pbb_itag);
}

}  // namespace shunt
