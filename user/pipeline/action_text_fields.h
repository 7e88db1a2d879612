// SPDX-License-Identifier: Apache-2.0
// What set_field, load and move name: "SOURCE->TARGET", fields and bits of fields ("NXM_OF_IP_SRC[0..15]").
// Functions throw TextError; `column` is where `text` begins in what the user gave.
// Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "user/flow/fields.h"

namespace shunt {

struct Arrow {
  std::string_view source, target;
  std::size_t source_column, target_column;
};

Arrow split_arrow(std::string_view text, std::size_t column);
const Field& parse_field_name(std::string_view text, std::size_t column);
// "FIELD", "FIELD[]": all of it; "FIELD[n]", "FIELD[a..b]". NXM_OF_IN_PORT and in_port are 16 bits wide, as
// OpenFlow 1.0's port numbers, OXM_OF_IN_PORT is 32.
Subfield parse_subfield(std::string_view text, std::size_t column);
void append_subfield(std::string& out, const Subfield& subfield);
// The VID or the PCP where bits of vlan_tci or dl_vlan lie in one of them.
Subfield part_of_tag(const Subfield& bits, std::size_t column);

void check_writable(const Field& field, std::size_t column);
// The two lowest bits of a ToS are ECN's.
void check_tos(std::string_view text, std::size_t column);

}  // namespace shunt
