// SPDX-License-Identifier: Apache-2.0
// Meters in the datapath's `meters` map (maps/meter.h): putting one in its slot, and what it has measured since.
//
// Threads: control. Programs and workers meter over the same memory meanwhile.
#pragma once

#include <span>

#include "maps/meter.h"
#include "user/pipeline/meter.h"

namespace shunt {

// Into the meter's slot, with nothing counted. Nothing may use the slot at the time.
void write_meter(std::span<shunt_meter> meters, const Meter& meter);

// Whether its slot holds that configuration already.
[[nodiscard]] bool is_as_configured(std::span<const shunt_meter> meters, const Meter& meter);

// Its counters; bands in the order of the configuration. How many rules name it, the caller knows.
[[nodiscard]] MeterStats read_meter(std::span<const shunt_meter> meters, const Meter& meter);

}  // namespace shunt
