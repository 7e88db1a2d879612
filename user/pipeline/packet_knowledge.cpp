// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/packet_knowledge.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

namespace shunt {
namespace {

constexpr std::uint16_t kPbbType = 0x88e7;
constexpr std::uint32_t kBottomOfStack = 0x100;

void know_tag(Match& known) {
  known.value.vlan[0] = {.tpid = shunt_be16{0}, .tci = shunt_be16{SHUNT_VLAN_PRESENT}};
  known.mask.vlan[0] = {.tpid = shunt_be16{0}, .tci = shunt_be16{SHUNT_VLAN_PRESENT}};
}

// Of the packet stays known what no header below Ethernet has a part in: ports, addresses, metadata; and its type where
// that is given.
void forget_payload(Match& known, std::optional<std::uint16_t> type) {
  const auto forget = [](PipelineKey& key) {
    PipelineKey kept{};
    static_cast<PipelineFields&>(kept) = key;
    kept.in_port = key.in_port;
    std::copy(std::begin(key.eth_src), std::end(key.eth_src), std::begin(kept.eth_src));
    std::copy(std::begin(key.eth_dst), std::end(key.eth_dst), std::begin(kept.eth_dst));
    std::copy(std::begin(key.vlan), std::end(key.vlan), std::begin(kept.vlan));
    key = kept;
  };
  forget(known.value);
  forget(known.mask);
  if (!type) return;
  known.value.eth_type = shunt_be16{*type};
  known.mask.eth_type = shunt_be16{0xffff};
}

void forget_tags(Match& known) {
  for (PipelineKey* key : {&known.value, &known.mask}) key->vlan[0] = key->vlan[1] = {};
}

}  // namespace

// Only whether there is a label below matters: fields of the next one hang on it.
void after_set(Match& known, const Field& field, FieldBits value, FieldBits mask) {
  if (field.id != FieldId::kMplsBos) return;
  write_field(field, known.value, value);
  write_field(field, known.mask, mask);
}

void after_set_eth_type(Match& known, std::uint16_t eth_type) { forget_payload(known, eth_type); }

void after_set_protocol(Match& known, std::uint8_t protocol) {
  for (PipelineKey* key : {&known.value, &known.mask}) {
    key->tp_src = key->tp_dst = key->tcp_flags = shunt_be16{0};
    std::fill(std::begin(key->nd_target), std::end(key->nd_target), std::uint8_t{0});
    std::fill(std::begin(key->arp_sha), std::end(key->arp_sha), std::uint8_t{0});
    std::fill(std::begin(key->arp_tha), std::end(key->arp_tha), std::uint8_t{0});
  }
  known.value.nw_proto = protocol;
  known.mask.nw_proto = 0xff;
}

void after_tagging(Match& known) {
  if (!implied_by(Prerequisite::kVlan, known)) know_tag(known);
}

void after_push_vlan(Match& known) {
  known.value.vlan[1] = known.value.vlan[0];
  known.mask.vlan[1] = known.mask.vlan[0];
  know_tag(known);
}

void after_pop_vlan(Match& known) {
  for (PipelineKey* key : {&known.value, &known.mask}) key->vlan[0] = std::exchange(key->vlan[1], {});
}

// A new entry is the bottom of the stack where there was none before it.
void after_push_mpls(Match& known, std::uint16_t eth_type) {
  const Match before = known;
  const bool type_known = before.mask.eth_type.host() == 0xffff;
  const bool was_mpls = implied_by(Prerequisite::kMpls, before);
  forget_payload(known, eth_type);
  if (!type_known) return;
  known.mask.mpls_lse[0] = shunt_be32{kBottomOfStack};
  known.value.mpls_lse[0] = shunt_be32{was_mpls ? 0 : kBottomOfStack};
  if (!was_mpls) return;
  for (int entry = 1; entry < 3; ++entry) {
    known.mask.mpls_lse[entry] = before.mask.mpls_lse[entry - 1];
    known.value.mpls_lse[entry] = before.value.mpls_lse[entry - 1];
  }
}

// A packet without a label stays as it is: its type is known after this only if it was known to have one.
void after_pop_mpls(Match& known, std::uint16_t eth_type) {
  constexpr std::uint16_t kMplsType = 0x8847, kMplsMulticastType = 0x8848;
  const Match before = known;
  const bool was_mpls = implied_by(Prerequisite::kMpls, before);
  forget_payload(known, was_mpls ? std::optional{eth_type} : std::nullopt);
  if (!was_mpls || (eth_type != kMplsType && eth_type != kMplsMulticastType)) return;
  for (int entry = 0; entry < 2; ++entry) {
    known.mask.mpls_lse[entry] = before.mask.mpls_lse[entry + 1];
    known.value.mpls_lse[entry] = before.value.mpls_lse[entry + 1];
  }
}

void after_push_pbb(Match& known) {
  forget_payload(known, kPbbType);
  forget_tags(known);
}

void after_pop_pbb(Match& known) {
  forget_payload(known, {});
  for (PipelineKey* key : {&known.value, &known.mask}) {
    std::fill(std::begin(key->eth_src), std::end(key->eth_src), std::uint8_t{0});
    std::fill(std::begin(key->eth_dst), std::end(key->eth_dst), std::uint8_t{0});
  }
  forget_tags(known);
}

}  // namespace shunt
