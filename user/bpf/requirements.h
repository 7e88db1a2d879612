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

// CONFIG_HZ, from the resolution of the coarse clock, which is one tick.
[[nodiscard]] std::uint64_t jiffies_per_second();

}  // namespace shunt
