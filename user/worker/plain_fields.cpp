// SPDX-License-Identifier: Apache-2.0
#include "user/worker/plain_fields.h"

#include <algorithm>
#include <cstddef>
#include <span>

#include "maps/flow.h"

namespace shunt {
namespace {

struct Range {
  std::size_t begin, size;  // bytes of the key
  unsigned fields;
};

#define SHUNT_RANGE(member, fields) \
  { offsetof(shunt_flow_key, member), sizeof(shunt_flow_key::member), (fields) }

// Each byte but those of in_port, which every element of the cache holds. What a plain packet has not is zero in its
// key, as its type says: labels of MPLS, IPv4's flow label. Of IPv6's headers and ND the protocol says the rest.
constexpr unsigned kNotIp = SHUNT_PLAIN_NOT_IP | SHUNT_PLAIN_TYPE;
constexpr unsigned kIp = SHUNT_PLAIN_TYPE;
constexpr Range kRanges[] = {
    SHUNT_RANGE(dp_hash, SHUNT_PLAIN_OTHER),
    SHUNT_RANGE(eth_dst, SHUNT_PLAIN_DST),
    SHUNT_RANGE(eth_src, SHUNT_PLAIN_SRC),
    SHUNT_RANGE(eth_type, SHUNT_PLAIN_TYPE),
    SHUNT_RANGE(zero2, SHUNT_PLAIN_OTHER),
    SHUNT_RANGE(vlan, SHUNT_PLAIN_VLAN),
    SHUNT_RANGE(nw_proto, SHUNT_PLAIN_PROTO | kIp),
    SHUNT_RANGE(nw_tos, SHUNT_PLAIN_TOS | kIp),
    SHUNT_RANGE(nw_ttl, SHUNT_PLAIN_OTHER),
    SHUNT_RANGE(nw_frag, SHUNT_PLAIN_PROTO | kIp),
    SHUNT_RANGE(ipv6_label, SHUNT_PLAIN_LABEL | kIp),
    SHUNT_RANGE(tp_src, SHUNT_PLAIN_PORTS | SHUNT_PLAIN_PROTO | kIp),
    SHUNT_RANGE(tp_dst, SHUNT_PLAIN_PORTS | SHUNT_PLAIN_PROTO | kIp),
    SHUNT_RANGE(tcp_flags, SHUNT_PLAIN_TCP_FLAGS | SHUNT_PLAIN_PROTO | kIp),
    SHUNT_RANGE(ipv6_exthdr, kNotIp | SHUNT_PLAIN_PROTO),
    SHUNT_RANGE(ip_src, SHUNT_PLAIN_IP_SRC | kIp),
    SHUNT_RANGE(ip_dst, SHUNT_PLAIN_IP_DST | kIp),
    SHUNT_RANGE(arp_sha, kNotIp | SHUNT_PLAIN_PROTO),
    SHUNT_RANGE(arp_tha, kNotIp | SHUNT_PLAIN_PROTO),
    SHUNT_RANGE(zero11, SHUNT_PLAIN_OTHER),
    SHUNT_RANGE(nd_target, kNotIp | SHUNT_PLAIN_PROTO),
    SHUNT_RANGE(mpls_lse, kNotIp),
    SHUNT_RANGE(pbb_itag, kNotIp),
};
#undef SHUNT_RANGE

constexpr bool covers_the_key() {
  std::size_t at = sizeof(shunt_flow_key::in_port);
  for (const Range& range : kRanges) {
    if (range.begin != at) return false;
    at += range.size;
  }
  return at == sizeof(shunt_flow_key);
}
static_assert(covers_the_key());

}  // namespace

std::uint16_t plain_fields(const FlowMask& mask) noexcept {
  const std::span bytes{reinterpret_cast<const std::byte*>(&mask), sizeof mask};
  unsigned fields = 0;
  for (const Range& range : kRanges)
    if (std::ranges::any_of(bytes.subspan(range.begin, range.size), [](std::byte b) { return b != std::byte{}; }))
      fields |= range.fields;
  return static_cast<std::uint16_t>(fields);
}

}  // namespace shunt
