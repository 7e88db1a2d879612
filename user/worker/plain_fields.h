// SPDX-License-Identifier: Apache-2.0
// Which fields a mask looks at, as the exact-match cache knows them (maps/flow.h).
#pragma once

#include <cstdint>

#include "user/flow/flow_key.h"

namespace shunt {

// SHUNT_PLAIN_*. A field of which the mask has one bit counts whole. SHUNT_PLAIN_OTHER: no packet's key of the cache
// says all that the mask looks at.
[[nodiscard]] std::uint16_t plain_fields(const FlowMask& mask) noexcept;

}  // namespace shunt
