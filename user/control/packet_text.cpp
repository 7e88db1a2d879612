// SPDX-License-Identifier: Apache-2.0
#include "user/control/packet_text.h"

#include <cstring>

#include "user/base/error.h"
#include "user/base/of_error.h"
#include "user/pipeline/rule_text.h"
#include "user/pipeline/trace_frame.h"

namespace shunt {

GivenPacket parse_packet(std::string_view text, const PortNames& names) {
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos)
    throw TextError(slash + 1, "a packet's field has one value: leave out the mask", OfErrorCode::kBadMatchMask);
  const FlowMod given = parse_flow(text, FlowMod::Command::kDelete, names);
  if (given.table || given.cookie_mask || given.out_port || given.out_group)
    throw Error("a packet has no table, cookie or output: give the fields of its headers, and in_port");
  if (!is_zero(without(given.match.mask, to_pipeline(flow_part(given.match.mask)))))
    throw Error("a packet that comes in has no metadata and registers: they begin as 0");
  if (given.match.mask.in_port == 0)
    throw Error("in_port is missing: say at which port the packet comes in, as in_port=NAME");
  GivenPacket packet;
  packet.in_port = PortNo{given.match.value.in_port};
  packet.key = complete_key(flow_part(given.match.value), flow_part(given.match.mask));
  packet.key.in_port = 0;
  return packet;
}

std::string format_packet(const FlowKey& key, PortNo in_port, const PortNames& names) {
  Match all;
  std::memset(&flow_part(all.mask), 0xff, sizeof(FlowKey));
  all.mask.dp_hash = 0;
  // Of a tag that is not there nothing is said, but that there is none.
  for (std::size_t i = 0; i < 2; ++i) {
    if ((key.vlan[i].tci.host() & SHUNT_VLAN_PRESENT) != 0) continue;
    all.mask.vlan[i].tpid = be16{0};
    if (i == 1) all.mask.vlan[i].tci = be16{0};
  }
  flow_part(all.value) = key;
  all.value.in_port = in_port.value;
  all.value = all.value & all.mask;
  return format_match(all, names);
}

}  // namespace shunt
