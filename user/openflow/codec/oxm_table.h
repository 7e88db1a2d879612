// SPDX-License-Identifier: Apache-2.0
// How fields are named and sized on the wire: OXM, and Nicira's NXM.
//
// One table: matching, set_field, Nicira's actions on bits of fields, packet-ins and docs/openflow.md read it.
// Threads: any.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "user/flow/fields.h"
#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/version.h"

namespace shunt::openflow {

inline constexpr std::uint16_t kNxmOfClass = 0x0000, kNxmNxClass = 0x0001, kOxmBasicClass = 0x8000,
                               kOxmRegisterClass = 0x8001, kOxmExperimenterClass = 0xffff;

struct OxmField {
  FieldId field;
  std::string_view name;
  std::uint16_t oxm_class;
  std::uint8_t number;
  std::uint8_t size;  // bytes of the value
  Version since;      // k10 for Nicira's: they go with every version
  std::uint32_t experimenter = 0;
  [[nodiscard]] bool is_nicira() const { return oxm_class <= kNxmNxClass; }
};
[[nodiscard]] std::span<const OxmField> oxm_fields();

// A TLV's header, as it was read. `size`: of value and mask, without the experimenter's id.
struct OxmHeader {
  const OxmField* field;  // null: unknown
  bool has_mask;
  std::size_t size;
  std::uint32_t bits;  // as on the wire
};
[[nodiscard]] OxmHeader read_oxm_header(Reader& in);
// A field's name alone, which has no mask and the length of its value. What is none is refused: where nobody knows the
// field by `unknown`.
[[nodiscard]] const OxmField& read_field_name(Reader& in, OfErrorCode unknown = OfErrorCode::kBadSetType,
                                              OfErrorCode malformed = OfErrorCode::kBadSetLength);
void write_oxm_header(Writer& out, const OxmField& field, bool has_mask);

// How a field goes out: Nicira's name with OpenFlow 1.0, OpenFlow's own from 1.2 on; the other one where it has only
// that. Null: no name at all. `bits16`: of in_port the 16 bits of OpenFlow 1.0.
[[nodiscard]] const OxmField* wire_form(FieldId field, Version version, bool bits16 = false);

// The bits of the value that mean something: what is above them must be 0.
[[nodiscard]] unsigned width_of(const OxmField& field);

}  // namespace shunt::openflow
