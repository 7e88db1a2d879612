// SPDX-License-Identifier: Apache-2.0
// A configuration tried out on a switch of its own, without ports in the kernel: whatever the switch would refuse of it
// is refused here, before anything is changed.
// Threads: any.
#pragma once

#include "user/config/config.h"

namespace shunt {

// Lists that `wanted` leaves alone are taken from `running`. Throws LineError with the place of what is refused.
void rehearse(const SwitchConfig& running, const SwitchConfig& wanted);

}  // namespace shunt
