// SPDX-License-Identifier: Apache-2.0
// What is known of a packet between two actions of a rule: at first what the rule's match says, then what the actions
// have made of it. Behind pop_mpls:0x0800 it is IPv4 whose protocol nobody has seen. Who reads actions (text, OpenFlow)
// refuses by it those on fields that some packets have not got.
//
// Knowledge is a Match: the packet agrees with it. Threads: any.
#pragma once

#include <cstdint>

#include "user/flow/fields.h"
#include "user/flow/flow_key.h"

namespace shunt {

void after_set(Match& known, const Field& field, FieldBits value, FieldBits mask);
void after_set_eth_type(Match& known, std::uint16_t eth_type);
void after_set_protocol(Match& known, std::uint8_t protocol);
void after_tagging(Match& known);  // it has a tag now, if it had none: mod_vlan_vid, mod_vlan_pcp
void after_push_vlan(Match& known);
void after_pop_vlan(Match& known);
void after_push_mpls(Match& known, std::uint16_t eth_type);
void after_pop_mpls(Match& known, std::uint16_t eth_type);
void after_push_pbb(Match& known);
void after_pop_pbb(Match& known);

}  // namespace shunt
