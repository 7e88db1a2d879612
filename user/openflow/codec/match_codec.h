// SPDX-License-Identifier: Apache-2.0
// Matches on the wire: ofp_match of OXM fields (OpenFlow 1.2 and later), Nicira's bare list of NXM fields, and the
// fixed struct of OpenFlow 1.0.
//
// What a decoder refuses throws OfError of OFPET_BAD_MATCH. Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "user/flow/flow_key.h"
#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/oxm_table.h"
#include "user/openflow/codec/version.h"

namespace shunt::openflow {

inline constexpr std::size_t kMatch10Size = 40;

// An ofp_match with its padding: each field once, its prerequisites before it.
[[nodiscard]] Match decode_match(Reader& in);
void encode_match(Writer& out, const Match& match, Version version);

// OXM or NXM fields and nothing else.
[[nodiscard]] Match decode_fields(Bytes fields);
// The same, where a cookie to select by may stand among them (NXM_NX_COOKIE of Nicira's messages).
struct CookieMatch {
  std::uint64_t value, mask;
};
[[nodiscard]] Match decode_fields(Bytes fields, std::optional<CookieMatch>& cookie);
void encode_fields(Writer& out, const Match& match, Version version);

// OpenFlow 1.0's. A field whose prerequisite the match does not say is left out, as that version wants it; so is, where
// it is written, what that version has no place for.
[[nodiscard]] Match decode_match10(Reader& in);
void encode_match10(Writer& out, const Match& match);

// One field with its value, as of set_field. `mask` is all ones where the TLV has none. Errors are those of actions.
struct FieldValue {
  const OxmField* field;
  FieldBits value, mask;
  bool has_mask;
};
[[nodiscard]] FieldValue decode_set_field(Reader& in);
void encode_value(Writer& out, const OxmField& field, FieldBits value);
void encode_field(Writer& out, const OxmField& field, FieldBits value, FieldBits mask);

}  // namespace shunt::openflow
