// SPDX-License-Identifier: Apache-2.0
// Any frame, any list of edits: afterwards the frame parses to the key with the edits applied, checksums that were
// right are right, and an action that could not be done changed nothing.
#include <cstring>
#include <iterator>

#include "bpf/datapath/act.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_frame.h"
#include "tests/support/frame_checks.h"

using namespace shunt::test;

namespace {

void write_bytes(void* to, const __u8* value, const __u8* mask, std::size_t size) {
  auto* bytes = static_cast<unsigned char*>(to);
  for (std::size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<unsigned char>((bytes[i] & ~mask[i]) | (value[i] & mask[i]));
}

// The key as rules know it: what an edit makes of it. Written from the meaning of the fields, not from where they lie.
class KeyModel {
 public:
  KeyModel(const shunt_flow_key& key, const shunt_headers& headers) : key_{key}, h_{headers} {}

  [[nodiscard]] const shunt_flow_key& key() const { return key_; }

  // Edits whose effect on a second parse is another's matter: they make other headers of the same bytes.
  [[nodiscard]] bool skips(const shunt_action& action) const {
    const bool third_tag = h_.vlan_count >= 2 && shunt_is_vlan(SHUNT_RAW(key_.eth_type));
    if (action.type == SHUNT_ACT_PUSH_VLAN) return tags_ >= 2 || third_tag;
    if (action.type == SHUNT_ACT_POP_VLAN) return third_tag;
    if (action.type != SHUNT_ACT_SET_FIELD) return false;
    if (action.field == SHUNT_FIELD_ETH_TYPE || action.field == SHUNT_FIELD_VLAN_TPID ||
        action.field == SHUNT_FIELD_IP_PROTO)
      return true;
    if (action.field == SHUNT_FIELD_ND_SLL) return shunt_is_zero_mac(key_.arp_sha) || made_zero(key_.arp_sha, action);
    if (action.field == SHUNT_FIELD_ND_TLL) return shunt_is_zero_mac(key_.arp_tha) || made_zero(key_.arp_tha, action);
    if (action.field == SHUNT_FIELD_MPLS_LSE) return (action.mask[2] & 1) != 0;
    if (action.field == SHUNT_FIELD_ARP_OP) return wide_op();
    // Another type may make a solicitation of what was none.
    if (action.field == SHUNT_FIELD_ICMP_TYPE) return v6() && ((action.value[0] | ~action.mask[0]) & 0x80) != 0;
    return action.field == SHUNT_FIELD_ICMP_CODE && v6() && !nd() && key_.tp_src.host() >= 128;
  }

  void apply(const shunt_action& action) {
    switch (action.type) {
      case SHUNT_ACT_PUSH_VLAN:
        key_.vlan[1] = key_.vlan[0];
        std::memcpy(&key_.vlan[0], action.value, 4);
        key_.vlan[0].tci = shunt_be16{static_cast<__u16>(key_.vlan[0].tci.host() | SHUNT_VLAN_PRESENT)};
        ++tags_;
        break;
      case SHUNT_ACT_POP_VLAN:
        if (tags_ == 0) break;
        key_.vlan[0] = key_.vlan[1];
        key_.vlan[1] = {};
        --tags_;
        break;
      case SHUNT_ACT_DEC_TTL:
        if (has_nw()) --key_.nw_ttl;
        break;
      case SHUNT_ACT_DEC_MPLS_TTL:
        if (h_.l3_kind == SHUNT_L3_MPLS) key_.mpls_lse[0] = shunt_be32{key_.mpls_lse[0].host() - 1};
        break;
      case SHUNT_ACT_SET_FIELD:
        set(action);
        break;
      default:
        break;
    }
  }

 private:
  [[nodiscard]] bool v4() const { return h_.l3_kind == SHUNT_L3_IPV4; }
  [[nodiscard]] bool v6() const { return h_.l3_kind == SHUNT_L3_IPV6; }
  [[nodiscard]] bool arp() const { return h_.l3_kind == SHUNT_L3_ARP; }
  [[nodiscard]] bool l4() const { return h_.l4 != 0; }
  [[nodiscard]] bool nd() const { return (h_.flags & SHUNT_HEADERS_ND) != 0 && !nd_gone_; }
  // Extension headers that were cut short leave an IPv6 key without the rest.
  [[nodiscard]] bool has_nw() const { return v4() || (v6() && (h_.proto != 59 || key_.nw_proto == 59)); }
  // An opcode above 255 does not show in the key, so a masked write's outcome does not either.
  [[nodiscard]] bool wide_op() const { return arp() && key_.nw_proto == 0; }
  static bool made_zero(const __u8* mac, const shunt_action& action) {
    __u8 bytes[6];
    std::memcpy(bytes, mac, 6);
    write_bytes(bytes, action.value, action.mask, 6);
    return shunt_is_zero_mac(bytes);
  }

  void set(const shunt_action& a) {
    const auto write = [&](void* field, std::size_t size) { write_bytes(field, a.value, a.mask, size); };
    const unsigned f = a.field;
    if (f == SHUNT_FIELD_ETH_DST) write(key_.eth_dst, 6);
    if (f == SHUNT_FIELD_ETH_SRC) write(key_.eth_src, 6);
    if (f == SHUNT_FIELD_VLAN_TCI && tags_ > 0) {
      write(&key_.vlan[0].tci, 2);
      key_.vlan[0].tci = shunt_be16{static_cast<__u16>(key_.vlan[0].tci.host() | SHUNT_VLAN_PRESENT)};
    }
    if (f == SHUNT_FIELD_IP_SRC && v4()) write(key_.ip_src + 12, 4);
    if (f == SHUNT_FIELD_IP_DST && v4()) write(key_.ip_dst + 12, 4);
    if (f >= SHUNT_FIELD_IPV6_SRC0 && f <= SHUNT_FIELD_IPV6_SRC3 && v6())
      write(key_.ip_src + 4 * (f - SHUNT_FIELD_IPV6_SRC0), 4);
    if (f >= SHUNT_FIELD_IPV6_DST0 && f <= SHUNT_FIELD_IPV6_DST3 && v6())
      write(key_.ip_dst + 4 * (f - SHUNT_FIELD_IPV6_DST0), 4);
    if (f == SHUNT_FIELD_IPV6_LABEL && v6() && has_nw()) {
      write(&key_.ipv6_label, 4);
      key_.ipv6_label = shunt_be32{key_.ipv6_label.host() & SHUNT_IPV6_LABEL_MASK};
    }
    if (f == SHUNT_FIELD_IP_TOS && has_nw()) write(&key_.nw_tos, 1);
    if (f == SHUNT_FIELD_IP_TTL && has_nw()) write(&key_.nw_ttl, 1);
    set_l4(a);
    if (f == SHUNT_FIELD_ARP_OP && arp()) {
      __u8 op[2] = {0, key_.nw_proto};
      write(op, 2);
      key_.nw_proto = op[0] != 0 ? 0 : op[1];
    }
    if (f == SHUNT_FIELD_ARP_SPA && arp()) write(key_.ip_src + 12, 4);
    if (f == SHUNT_FIELD_ARP_TPA && arp()) write(key_.ip_dst + 12, 4);
    if (f == SHUNT_FIELD_ARP_SHA && arp()) write(key_.arp_sha, 6);
    if (f == SHUNT_FIELD_ARP_THA && arp()) write(key_.arp_tha, 6);
    if (f == SHUNT_FIELD_MPLS_LSE && h_.l3_kind == SHUNT_L3_MPLS) write(&key_.mpls_lse[0], 4);
    if (f == SHUNT_FIELD_PBB_ITAG && h_.l3_kind == SHUNT_L3_PBB) write(&key_.pbb_itag, 4);
  }

  void set_l4(const shunt_action& a) {
    const auto write = [&](void* field, std::size_t size) { write_bytes(field, a.value, a.mask, size); };
    const unsigned f = a.field;
    const bool ports = l4() && (h_.proto == 6 || h_.proto == 17 || h_.proto == 132);
    const bool icmp = l4() && (h_.proto == 1 || h_.proto == 58);
    if (f == SHUNT_FIELD_TP_SRC && ports) write(&key_.tp_src, 2);
    if (f == SHUNT_FIELD_TP_DST && ports) write(&key_.tp_dst, 2);
    if (f >= SHUNT_FIELD_ND_TARGET0 && f <= SHUNT_FIELD_ND_TARGET3 && nd())
      write(key_.nd_target + 4 * (f - SHUNT_FIELD_ND_TARGET0), 4);
    if (f == SHUNT_FIELD_ND_SLL && nd() && h_.nd_sll != 0) write(key_.arp_sha, 6);
    if (f == SHUNT_FIELD_ND_TLL && nd() && h_.nd_tll != 0) write(key_.arp_tha, 6);
    if (!icmp || (f != SHUNT_FIELD_ICMP_TYPE && f != SHUNT_FIELD_ICMP_CODE)) return;
    shunt_be16& number = f == SHUNT_FIELD_ICMP_TYPE ? key_.tp_src : key_.tp_dst;
    auto byte = static_cast<__u8>(number.host());
    write(&byte, 1);
    number = shunt_be16{byte};
    const __u16 type = key_.tp_src.host();
    if (v6() && ((type != 135 && type != 136) || key_.tp_dst.host() != 0)) {
      std::memset(key_.nd_target, 0, sizeof key_.nd_target);
      std::memset(key_.arp_sha, 0, sizeof key_.arp_sha);
      std::memset(key_.arp_tha, 0, sizeof key_.arp_tha);
      nd_gone_ = true;
    }
  }

  shunt_flow_key key_;
  shunt_headers h_;  // as parsed
  unsigned tags_ = h_.vlan_count;
  bool nd_gone_ = false;
};

shunt_action fuzz_action(FuzzInput& input) {
  static constexpr __u8 kTypes[] = {SHUNT_ACT_SET_FIELD, SHUNT_ACT_SET_FIELD, SHUNT_ACT_SET_FIELD,
                                    SHUNT_ACT_PUSH_VLAN, SHUNT_ACT_POP_VLAN,  SHUNT_ACT_DEC_TTL,
                                    SHUNT_ACT_OUTPUT,    SHUNT_ACT_DROP,      SHUNT_ACT_DEC_MPLS_TTL};
  shunt_action action{};
  action.type = kTypes[input.byte() % std::size(kTypes)];
  if (action.type == SHUNT_ACT_SET_FIELD) {
    action.field = static_cast<__u8>(input.byte() % SHUNT_FIELD_COUNT);
    const bool whole = (input.byte() & 1) != 0;
    for (__u8& byte : action.value) byte = input.byte();
    for (__u8& byte : action.mask) byte = whole ? 0xff : input.byte();
  } else if (action.type == SHUNT_ACT_PUSH_VLAN) {
    shunt_store16(action.value, SHUNT_BE16((input.byte() & 1) != 0 ? 0x8100 : 0x88a8));
    shunt_store16(action.value + 2, SHUNT_BE16(input.word()));
  }
  return action;
}

Bytes bytes_of(const shunt_user_frame& frame) {
  const auto* begin = reinterpret_cast<const std::byte*>(frame.data);
  return {begin, begin + frame.len};
}

}  // namespace

// All but the hash: that is the packet's as it came in, and edits leave it.
constexpr __u32 kFeatures = SHUNT_FEATURE_ALL & ~SHUNT_FEATURE_HASH;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input{data, size};
  std::vector<shunt_action> actions(input.byte() % 8);
  for (shunt_action& action : actions) action = fuzz_action(input);
  const Bytes before = fuzz_frame(input);

  constexpr __u32 kHeadroom = 8, kTailroom = SHUNT_MIN_FRAME;
  ExactBuffer buffer{before, kHeadroom, kTailroom};
  shunt_user_frame frame{buffer.get() + kHeadroom, static_cast<__u32>(before.size()), kHeadroom, kTailroom};
  shunt_flow_key key;
  shunt_headers headers;
  if (shunt_parse(&frame, frame.len, 3, kFeatures, &key, &headers) != SHUNT_DROP_NONE) return 0;
  const Checksums sums_before = check_checksums(before);

  KeyModel model{key, headers};
  for (const shunt_action& action : actions) {
    if (model.skips(action)) continue;
    const Bytes unchanged = bytes_of(frame);
    if (shunt_act(&frame, &headers, &action) == SHUNT_VERDICT_NEXT)
      model.apply(action);
    else
      FUZZ_CHECK(bytes_of(frame) == unchanged);
  }

  const Bytes after = bytes_of(frame);
  const Checksums sums_after = check_checksums(after);
  if (sums_before.ip == true) FUZZ_CHECK(sums_after.ip == true);
  if (sums_before.l4 == true) FUZZ_CHECK(sums_after.l4 == true);
  if (sums_before.l4 == false) FUZZ_CHECK(sums_after.l4 == false);

  ExactBuffer copy{after};
  shunt_user_frame again{copy.get(), frame.len, 0, 0};
  shunt_flow_key key_after;
  shunt_headers headers_after;
  FUZZ_CHECK(shunt_parse(&again, again.len, 3, kFeatures, &key_after, &headers_after) == SHUNT_DROP_NONE);
  FUZZ_CHECK(std::memcmp(&key_after, &model.key(), sizeof key_after) == 0);
  FUZZ_CHECK(headers_after.l3 == headers.l3 && headers_after.l4 == headers.l4 &&
             headers_after.l3_end == headers.l3_end);

  FUZZ_CHECK(shunt_finish(&frame, &headers) == SHUNT_VERDICT_NEXT);
  FUZZ_CHECK(frame.len >= SHUNT_MIN_FRAME);
  return 0;
}
