// SPDX-License-Identifier: Apache-2.0
// Values of fields as text: numbers, MAC and IP addresses, prefixes, fragment and TCP flag words, as ovs-fields(7) has
// them. Functions that parse throw TextError; `column` is where `text` begins in what the user gave (from 1). Threads:
// any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "user/flow/fields.h"

namespace shunt {

struct FieldText {
  FieldBits value;  // no bit outside mask
  FieldBits mask;
};

// VALUE or VALUE/MASK (for addresses also VALUE/PREFIX-LENGTH), in the field's own format. Bits of the value that the
// mask leaves out are cleared, as ovs-ofctl does. Not for FieldFormat::kPort: who parses ports knows their names. What
// is wrong with the mask has the code kBadMatchMask; else it is the caller who knows OpenFlow's name for the error.
enum class AllowedMask {
  kAsMatched,
  kAny
};  // of fields that a match takes only whole, set_field may still write a part
FieldText parse_field(const Field& field, std::string_view text, std::size_t column,
                      AllowedMask allowed = AllowedMask::kAsMatched);
// What parse_field() takes; without "/MASK" where the mask is the whole field.
void format_field(std::string& out, const Field& field, FieldBits value, FieldBits mask);

// A decimal or 0x-number of at most `max`; `what` names it in messages. Leading zeros are refused: they would be octal
// in Open vSwitch.
FieldBits parse_number(std::string_view text, FieldBits max, std::string_view what, std::size_t column);
std::optional<FieldBits> number_from(std::string_view text) noexcept;     // nothing: no number, or above 128 bits
void append_number(std::string& out, FieldBits value);                    // decimal up to 64 bits, else hex
void append_hex(std::string& out, FieldBits value, unsigned digits = 1);  // "0x1f"; 0x0800 with 4 digits
void append_plain_hex(std::string& out, FieldBits value);                 // "0x1f", "0": as C's %#x
void append_mac(std::string& out, FieldBits value);
void append_ipv4(std::string& out, FieldBits value);
void append_ipv6(std::string& out, FieldBits value);

// The candidate that is fewest edits away from `name`, for "did you mean"; empty where none is near.
std::string_view nearest(std::string_view name, std::span<const std::string_view> candidates);

}  // namespace shunt
