// SPDX-License-Identifier: Apache-2.0
// Port numbers on the wire: 16 bits in OpenFlow 1.0 and in Nicira's extensions, 32 since OpenFlow 1.1.
#pragma once

#include <cstdint>

#include "user/flow/fields.h"
#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/version.h"

namespace shunt::openflow {

// OpenFlow 1.0's number; ports above its range are none (no port has one: rule_check.h).
[[nodiscard]] constexpr std::uint16_t port_to_16(PortNo port) { return static_cast<std::uint16_t>(port.value); }

[[nodiscard]] inline PortNo read_port(Reader& in, Version version) {
  return version == Version::k10 ? port_from_16(in.u16()) : PortNo{in.u32()};
}
inline void write_port(Writer& out, PortNo port, Version version) {
  if (version == Version::k10)
    out.u16(port_to_16(port));
  else
    out.u32(port.value);
}

}  // namespace shunt::openflow
