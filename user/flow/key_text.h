// SPDX-License-Identifier: Apache-2.0
// Flow keys as text, in the manner of `ovs-dpctl dump-flows`: what the datapath sees, however it came to see it.
// Threads: any.
#pragma once

#include <functional>
#include <string>

#include "user/base/strong_types.h"
#include "user/flow/flow_key.h"

namespace shunt {

// The fields of `key` that `mask` looks at, where a packet with this key has them:
// "in_port(1),eth(dst=00:00:00:00:00:02),vlan(none),eth_type(0x0800),ipv4(src=10.0.0.0/8,frag=no)". `name_of` says what
// to show for a datapath port (its number where it is empty).
std::string format_key(const FlowKey& key, const FlowMask& mask,
                       const std::function<std::string(DpPort)>& name_of = {});
// What a mask looks at, by field: "in_port,eth_dst,eth_type,ip_src/255.0.0.0". IPv4's addresses and ARP's are the low
// 32 bits of ip_src and ip_dst, ICMP's type and code lie in tp_src and tp_dst.
std::string format_mask(const FlowMask& mask);

}  // namespace shunt
