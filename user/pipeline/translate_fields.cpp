// SPDX-License-Identifier: Apache-2.0
// Translation of what reads and writes fields of the packet and of the pipeline: set_field, load, move, the stack.
#include <cstring>

#include "user/pipeline/translator.h"

namespace shunt {

namespace {

constexpr std::uint16_t kIpv6Type = 0x86dd;

FlowMask mask_of(const Subfield& part) {
  PipelineMask mask{};
  write_field(*part.field, mask, low_bits(part.bit_count) << part.first_bit);
  return mask;
}

}  // namespace

void Translator::run(const SetFieldAction& set) {
  if (has(set.field->prerequisite))
    write(written_by(set));
  else
    note([&] { return std::string{"the packet has no "} + std::string{set.field->name}; });
}

// The headers below are not looked at any more: as in the datapath, the packet has none.
void Translator::run(const SetTypeAction& set) {
  const bool is_type = set.what == SetTypeAction::What::kEthType;
  if (!is_type) {
    FlowMask extensions{};
    extensions.ipv6_exthdr = be16{0xffff};
    if (!has(Prerequisite::kIp)) return note([] { return "the packet has no IP header"; });
    if (working_.eth_type.host() == kIpv6Type) examine(extensions);
    if (working_.ipv6_exthdr.host() != 0) return note([] { return "extension headers stand between"; });
  }
  shunt_action action{};
  action.type = SHUNT_ACT_SET_FIELD;
  action.field = is_type ? SHUNT_FIELD_ETH_TYPE : SHUNT_FIELD_IP_PROTO;
  if (is_type) {
    store16(action.value, set.value);
    store16(action.mask, 0xffff);
  } else {
    action.value[0] = static_cast<__u8>(set.value);
    action.mask[0] = 0xff;
  }
  emit(action);

  FlowMask gone{};
  gone.tp_src = gone.tp_dst = gone.tcp_flags = be16{0xffff};
  for (auto* mac : {&gone.arp_sha, &gone.arp_tha}) std::memset(*mac, 0xff, sizeof *mac);
  std::memset(gone.nd_target, 0xff, sizeof gone.nd_target);
  gone.nw_proto = 0xff;
  if (is_type) {
    gone.eth_type = be16{0xffff};
    gone.nw_tos = gone.nw_ttl = gone.nw_frag = 0xff;
    gone.ipv6_label = be32{0xffffffff};
    gone.ipv6_exthdr = be16{0xffff};
    std::memset(gone.ip_src, 0xff, sizeof gone.ip_src);
    std::memset(gone.ip_dst, 0xff, sizeof gone.ip_dst);
    for (be32& label : gone.mpls_lse) label = be32{0xffffffff};
    gone.pbb_itag = be32{0xffffffff};
  }
  forget(gone);
  if (is_type)
    working_.eth_type = be16{set.value};
  else
    working_.nw_proto = static_cast<__u8>(set.value);
}

void Translator::forget(const FlowMask& fields) {
  flow_part(working_) = without(flow_part(working_), fields);
  add_mask(flow_part(known_), fields);
  add_mask(rewritten_, fields);
}

void Translator::run(const MoveAction& move) {
  const auto bits = read_from({move.src, move.src_bit, move.bit_count});
  if (bits) write_to({move.dst, move.dst_bit, move.bit_count}, *bits);
}

void Translator::run(const StackPushAction& push) {
  const auto bits = read_from(push.source);
  const auto size = static_cast<std::uint8_t>((push.source.bit_count + 7) / 8);
  if (stack_bytes_ + size > kMaxStackBytes) {
    note([] { return "the stack is full"; });
    return give_up(SHUNT_DROP_STACK);
  }
  // What the packet has not got reads as 0, so that pushes and pops stay in pairs.
  stack_.push_back({bits.value_or(0), size});
  stack_bytes_ += size;
}

void Translator::run(const StackPopAction& pop) {
  if (stack_.empty()) {
    note([] { return "pop from an empty stack"; });
    return fail(SHUNT_DROP_STACK);
  }
  const StackEntry top = stack_.back();
  stack_.pop_back();
  stack_bytes_ -= top.size;
  write_to(pop.target, top.value);
}

void Translator::run(const WriteMetadataAction& write_metadata) {
  Match set;
  write_field(field(FieldId::kMetadata), set.value, write_metadata.value & write_metadata.mask);
  write_field(field(FieldId::kMetadata), set.mask, write_metadata.mask);
  write(set);
}

std::optional<FieldBits> Translator::read_from(const Subfield& source) {
  if (!has(source.field->prerequisite)) {
    note([&] { return std::string{"the packet has no "} + std::string{source.field->name}; });
    return std::nullopt;
  }
  examine(mask_of(source));
  return read_subfield(source, working_);
}

void Translator::write_to(const Subfield& target, FieldBits value) {
  if (!has(target.field->prerequisite))
    return note([&] { return std::string{"the packet has no "} + std::string{target.field->name}; });
  Match set;
  const FieldBits bits = low_bits(target.bit_count);
  write_field(*target.field, set.mask, bits << target.first_bit);
  write_field(*target.field, set.value, (value & bits) << target.first_bit);
  write(set);
}

}  // namespace shunt
