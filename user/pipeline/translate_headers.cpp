// SPDX-License-Identifier: Apache-2.0
// Translation of what pushes and pops VLAN tags (802.1Q, 802.1ad) and service tags (802.1ah, PBB).
#include "user/pipeline/translator.h"

namespace shunt {

namespace {

constexpr std::uint16_t kTpid8021q = 0x8100;
constexpr std::uint16_t kTypePbb = 0x88e7;
constexpr std::uint16_t kVidBits = 0x0fff;
constexpr std::uint16_t kPcpBits = 0xe000;
constexpr shunt_vlan kWholeTag{be16{0xffff}, be16{0xffff}};
constexpr int kTagSize = 4, kPbbSize = 18;

Match tci_bits(std::uint16_t value, std::uint16_t bits) {
  Match match;
  flow_part(match.mask) = vlan_mask(bits);
  match.value.vlan[0].tci = be16{value};
  return match;
}

bool is_present(const shunt_vlan& tag) { return (tag.tci.host() & SHUNT_VLAN_PRESENT) != 0; }

}  // namespace

// VID and PCP of the tag that is there go into the new one (OpenFlow 1.3.5 section 5.12.1). Open vSwitch leaves them 0.
void Translator::run(const PushVlanAction& push) {
  if (!has(Prerequisite::kVlan)) return push_tag(push.tpid, 0);
  examine(vlan_mask(kVidBits & ~SHUNT_VLAN_PRESENT));
  examine(vlan_mask(kPcpBits));
  push_tag(push.tpid, static_cast<std::uint16_t>(working_.vlan[0].tci.host() & ~SHUNT_VLAN_PRESENT));
}

void Translator::run(const PopVlanAction&) {
  if (has(Prerequisite::kVlan))
    pop_tag();
  else
    note([] { return "the packet has no tag"; });
}

void Translator::run(const SetVlanVidAction& set) {
  if (has(Prerequisite::kVlan))
    write(tci_bits(set.vid, kVidBits));
  else
    push_tag(kTpid8021q, set.vid);
}

void Translator::run(const SetVlanPcpAction& set) {
  const auto pcp = static_cast<std::uint16_t>(set.pcp << 13);
  if (has(Prerequisite::kVlan))
    write(tci_bits(pcp, kPcpBits));
  else
    push_tag(kTpid8021q, pcp);
}

// I-PCP from the outer VLAN tag, I-SID from the service tag that is there; else 0 (OpenFlow 1.3.5 section 5.12.1).
void Translator::run(const PushPbbAction&) {
  std::uint32_t tag = 0;
  if (has(Prerequisite::kVlan)) {
    examine(vlan_mask(kPcpBits));
    tag = static_cast<std::uint32_t>(working_.vlan[0].tci.host() & kPcpBits) << 16;
  }
  if (has(Prerequisite::kPbb)) {
    FlowMask isid{};
    isid.pbb_itag = be32{SHUNT_PBB_ISID};
    examine(isid);
    tag |= working_.pbb_itag.host() & SHUNT_PBB_ISID;
  }
  shunt_action action = action_of(SHUNT_ACT_PUSH_PBB);
  store32(action.value, tag);
  emit(action);

  cover();
  layers_.tags.clear();
  layers_.length_change += kPbbSize;
  set_eth_type(kTypePbb);
  FlowMask tags{};
  tags.vlan[0] = tags.vlan[1] = kWholeTag;
  know(tags);
  working_.vlan[0] = working_.vlan[1] = shunt_vlan{};
  working_.pbb_itag = be32{tag};
}

void Translator::run(const PopPbbAction&) {
  if (!has(Prerequisite::kPbb)) return note([] { return "the packet has no service tag"; });
  if (has(Prerequisite::kVlan)) return note([] { return "a VLAN tag is in front of the service tag"; });
  if (result_.actions.size() > merge_from_ && result_.actions.back().type == SHUNT_ACT_PUSH_PBB)
    result_.actions.pop_back();
  else
    emit(action_of(SHUNT_ACT_POP_PBB));
  if (layers_.covered == nullptr) return reveal_frame();

  const std::shared_ptr<const WorkingPacket> covered = layers_.covered;
  const int length_change = layers_.length_change - kPbbSize;
  const PipelineFields fields = working_;
  const std::uint32_t in_port = working_.in_port;
  static_cast<WorkingPacket&>(*this) = *covered;
  static_cast<PipelineFields&>(working_) = fields;
  working_.in_port = in_port;
  layers_.length_change = length_change;
}

void Translator::push_tag(std::uint16_t tpid, std::uint16_t tci) {
  shunt_action action = action_of(SHUNT_ACT_PUSH_VLAN);
  store16(action.value, tpid);
  store16(action.value + 2, tci);
  emit(action);
  layers_.length_change += kTagSize;
  layers_.tags.push_back({working_.vlan[1], known_.vlan[1], hidden_.vlan[1], tag_source_[1]});
  working_.vlan[1] = working_.vlan[0];
  known_.vlan[1] = known_.vlan[0];
  hidden_.vlan[1] = hidden_.vlan[0];
  tag_source_[1] = tag_source_[0];
  working_.vlan[0] = {be16{tpid}, be16{static_cast<std::uint16_t>(tci | SHUNT_VLAN_PRESENT)}};
  known_.vlan[0] = kWholeTag;
  rewritten_.vlan[0] = rewritten_.vlan[1] = kWholeTag;
}

void Translator::pop_tag() {
  // Push and pop at once are nothing at all.
  if (result_.actions.size() > merge_from_ && result_.actions.back().type == SHUNT_ACT_PUSH_VLAN)
    result_.actions.pop_back();
  else
    emit(action_of(SHUNT_ACT_POP_VLAN));
  layers_.length_change -= kTagSize;
  working_.vlan[0] = working_.vlan[1];
  known_.vlan[0] = known_.vlan[1];
  hidden_.vlan[0] = hidden_.vlan[1];
  tag_source_[0] = tag_source_[1];
  rewritten_.vlan[0] = rewritten_.vlan[1] = kWholeTag;
  if (!layers_.tags.empty()) {
    const Layers::Tag& tag = layers_.tags.back();
    working_.vlan[1] = tag.value;
    known_.vlan[1] = tag.known;
    hidden_.vlan[1] = tag.hidden;
    tag_source_[1] = tag.source;
    layers_.tags.pop_back();
    return;
  }
  // A third tag's TPID is the key's eth_type: what is behind it is in no key.
  if (is_vlan_type(working_.eth_type.host()))
    return reveal_payload(working_.eth_type.host(), is_present(working_.vlan[0]) ? 1 : 0);
  FlowMask second{};
  second.vlan[1] = kWholeTag;
  working_.vlan[1] = known_.vlan[1] = shunt_vlan{};
  tag_source_[1] = kBehindTags;
  const bool type_is_hidden = hidden_.eth_type.host() != 0 && known_.eth_type.host() == 0;
  if (type_is_hidden) hide(second);
}

bool Translator::is_tagged() const { return is_present(working_.vlan[0]); }

}  // namespace shunt
