// SPDX-License-Identifier: Apache-2.0
// Small values as commands write them: MAC addresses, sets of VLANs, bytes, names. Parsing throws Error without a
// position: the texts are short; the caller says which parameter it was. Threads: any.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/strong_types.h"
#include "user/l2/vlan.h"

namespace shunt {

MacAddr parse_mac(std::string_view text);  // six pairs of hex digits, colons between
std::string format_mac(MacAddr mac);

std::uint64_t parse_datapath_id(std::string_view text);  // 16 hex digits
std::string format_datapath_id(std::uint64_t id);

VlanSet parse_vlans(std::string_view text);  // "1,5,10-20": VIDs 0 to 4095, at least one
std::string format_vlans(const VlanSet& vlans);

std::string format_hex(std::span<const std::uint8_t> bytes);  // "02005e10"
std::vector<std::uint8_t> parse_hex(std::string_view text);   // pairs of hex digits

// Interfaces and bridges: what the kernel takes as an interface's name (1 to 15 bytes, no '/', no space, not "." or
// ".."), and no comma, quote or control character, which rule text could not hold.
void check_interface_name(std::string_view name);
// Instances: part of socket, lock and bpffs paths; bpffs takes no dot.
void check_instance_name(std::string_view name);

}  // namespace shunt
