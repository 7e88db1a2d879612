// SPDX-License-Identifier: Apache-2.0
// The headers that come to light where an action takes off those in front of them: no flow key holds them, so they are
// read from the packet, by the datapath's parser (bpf/datapath/parse.h) over a frame that is built anew in front of
// them.
//
// Where edits decide what the bytes below a header mean, the packet is edited first, by the datapath's code, too.
//
// Threads: any; nothing is kept between calls.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "user/flow/flow_key.h"
#include "user/pipeline/translate.h"

namespace shunt {

struct Reparsed {
  FlowKey key{};  // metadata is zero
  std::uint32_t payload =
      0;               // where, in the packet, what that Ethernet frame carries begins: behind its tags, LLC and SNAP
  bool is_ip = false;  // a good IP header is there
};

// The Ethernet frame that begins at `offset`; all zero where there is no whole Ethernet header.
[[nodiscard]] Reparsed reparse_frame(const PacketView& packet, std::uint32_t offset);

// The packet as it is where the bytes at `offset` are what an Ethernet header with `eth_type` carries, behind
// `tags_in_front` (0 to 2) VLAN tags. MAC addresses and these tags are not the packet's. A packet that ends before
// `offset` carries nothing.
[[nodiscard]] Reparsed reparse_payload(const PacketView& packet, std::uint32_t offset, std::uint16_t eth_type,
                                       unsigned tags_in_front = 0);

// The first bytes of the packet behind these actions' edits. Not those between SAVE and RESTORE, nor a meter's.
[[nodiscard]] std::vector<std::uint8_t> edited_frame(const PacketView& packet, std::span<const shunt_action> actions);

}  // namespace shunt
