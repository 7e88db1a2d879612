// SPDX-License-Identifier: Apache-2.0
// What the kernel half needs of the machine besides its version and capabilities (user/base/capabilities.h).
//
// Threads: control.
#pragma once

#include <cstdint>

#include "maps/map_names.h"

namespace shunt {

[[nodiscard]] bool has_bpffs(const char* at = SHUNT_BPFFS) noexcept;
// Mounts a bpffs at SHUNT_BPFFS where there is none; a single one, whoever else calls at the same time.
void mount_bpffs();

// The kernel's tick, from the resolution of the coarse clock, in ns.
[[nodiscard]] std::uint64_t jiffy_ns();

}  // namespace shunt
