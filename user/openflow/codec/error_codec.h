// SPDX-License-Identifier: Apache-2.0
// Error messages: the numbers that each version has for a refusal, and the message.
#pragma once

#include <cstdint>
#include <string_view>

#include "user/openflow/codec/bytes.h"
#include "user/openflow/codec/message.h"
#include "user/openflow/codec/version.h"

namespace shunt::openflow {

// `experimenter` 0: OpenFlow's own type and code. Else `code` alone counts from OpenFlow 1.2 on, both before.
struct ErrorNumbers {
  std::uint32_t experimenter = 0;
  std::uint16_t type = 0, code = 0;
};
[[nodiscard]] ErrorNumbers error_numbers(OfErrorCode error, Version version);

// An error about the message `failed`, whose first bytes it carries.
void encode_error(Writer& out, Version version, OfErrorCode error, std::uint32_t xid, Bytes failed);
// OFPT_ERROR of a failed hello, kIncompatible or kHelloNotPermitted: the text says what was expected.
void encode_hello_failed(Writer& out, OfErrorCode error, std::uint8_t version, std::uint32_t xid,
                         std::string_view text);

}  // namespace shunt::openflow
