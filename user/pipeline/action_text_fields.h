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

struct Subfield {
  const Field* field;
  std::uint16_t first_bit, bit_count;  // from the least significant bit of the field's value
};

Arrow split_arrow(std::string_view text, std::size_t column);
const Field& parse_field_name(std::string_view text, std::size_t column);
// "FIELD", "FIELD[]": all of it; "FIELD[n]", "FIELD[a..b]".
Subfield parse_subfield(std::string_view text, std::size_t column);
void append_subfield(std::string& out, const Subfield& subfield);

void check_writable(const Field& field, std::size_t column);
// The two lowest bits of a ToS are ECN's.
void check_tos(std::string_view text, std::size_t column);

// `count` ones.
[[nodiscard]] FieldBits low_bits(unsigned count) noexcept;

}  // namespace shunt
