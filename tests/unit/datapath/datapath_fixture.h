// SPDX-License-Identifier: Apache-2.0
// A frame in a buffer with room around it, parsed, for tests of bpf/datapath.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "bpf/datapath/act.h"
#include "bpf/datapath/mask.h"
#include "bpf/datapath/parse.h"
#include "tests/support/frame_checks.h"
#include "tests/support/packet_builder.h"

namespace shunt::test {

inline constexpr MacAddr kA = MacAddr::from_number(0x020000000001);
inline constexpr MacAddr kB = MacAddr::from_number(0x020000000002);
inline constexpr __u32 kInPort = 7;

class Frame {
 public:
  explicit Frame(const Bytes& bytes, __u32 features = SHUNT_FEATURE_ALL, __u32 headroom = 64, __u32 tailroom = 64)
      : buffer_(headroom + bytes.size() + tailroom, std::byte{0xee}) {
    std::copy(bytes.begin(), bytes.end(), buffer_.begin() + headroom);
    frame_ = {reinterpret_cast<__u8*>(buffer_.data()) + headroom, static_cast<__u32>(bytes.size()), headroom, tailroom};
    reason = shunt_parse(&frame_, frame_.len, kInPort, features, &key, &headers);
  }

  shunt_frame* frame() { return &frame_; }
  [[nodiscard]] Bytes bytes() const {
    const auto* begin = reinterpret_cast<const std::byte*>(frame_.data);
    return {begin, begin + frame_.len};
  }
  // The frame as it is now, parsed afresh.
  [[nodiscard]] Frame reparsed() const { return Frame{bytes()}; }
  shunt_verdict act(const shunt_action& action) { return shunt_act(&frame_, &headers, &action); }

  shunt_drop_reason reason;
  shunt_flow_key key;
  shunt_headers headers;

 private:
  Bytes buffer_;
  shunt_frame frame_;
};

// An action that sets a field's bytes; `mask` empty: all of them.
inline shunt_action set_field(shunt_field field, std::vector<__u8> value, std::vector<__u8> mask = {}) {
  shunt_action action{};
  action.type = SHUNT_ACT_SET_FIELD;
  action.field = static_cast<__u8>(field);
  if (mask.empty()) mask.assign(value.size(), 0xff);
  std::copy(value.begin(), value.end(), action.value);
  std::copy(mask.begin(), mask.end(), action.mask);
  return action;
}

inline shunt_action plain(shunt_action_type type, __u16 arg = 0) {
  shunt_action action{};
  action.type = static_cast<__u8>(type);
  action.arg = arg;
  return action;
}

inline shunt_action push_vlan(__u16 tpid, __u16 tci) {
  shunt_action action = plain(SHUNT_ACT_PUSH_VLAN);
  shunt_store16(action.value, SHUNT_BE16(tpid));
  shunt_store16(action.value + 2, SHUNT_BE16(tci));
  return action;
}

inline shunt_action push_mpls(__u16 eth_type, __u32 label, __u8 tc, bool bottom, __u8 ttl) {
  shunt_action action = plain(SHUNT_ACT_PUSH_MPLS);
  shunt_store16(action.value, SHUNT_BE16(eth_type));
  shunt_store32(action.value + 2, SHUNT_BE32(label << 12 | static_cast<__u32>(tc) << 9 | (bottom ? 0x100u : 0u) | ttl));
  return action;
}
inline shunt_action pop_mpls(__u16 eth_type) {
  shunt_action action = plain(SHUNT_ACT_POP_MPLS);
  shunt_store16(action.value, SHUNT_BE16(eth_type));
  return action;
}
inline shunt_action push_pbb(__u32 tag) {
  shunt_action action = plain(SHUNT_ACT_PUSH_PBB);
  shunt_store32(action.value, SHUNT_BE32(tag));
  return action;
}

// A customer's frame behind a backbone's header: addresses, the tags of `outer`, 0x88e7 and the service instance tag.
inline Bytes in_backbone(const PacketBuilder& outer, __u32 tag, const Bytes& customer) {
  PacketBuilder builder = outer;
  Bytes bytes = builder.eth_type(0x88e7).build();
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::byte>(tag >> shift));
  bytes.insert(bytes.end(), customer.begin(), customer.end());
  return bytes;
}

// An address field of the key, as text of its bytes: "0a000001" for IPv4 behind ::ffff:.
inline std::string hex(const __u8* bytes, std::size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}
template <std::size_t N>
std::string hex(const __u8 (&bytes)[N]) {
  return hex(bytes, N);
}

inline bool same(const shunt_flow_key& a, const shunt_flow_key& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

}  // namespace shunt::test
