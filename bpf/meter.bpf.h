/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Meters on the way of a packet: over the rate it is dropped, or its drop precedence rises. The clock is read for
 * metered packets only.
 */
#ifndef SHUNT_BPF_METER_H
#define SHUNT_BPF_METER_H

#include "bpf/datapath/meter.h"
#include "bpf/maps.bpf.h"

/* A function of its own, which the verifier walks once. `len`: as received. SHUNT_METERED_*. */
__noinline int shunt_meter_in_slot(__u32 slot, __u32 len) {
  struct shunt_meter* meter = bpf_map_lookup_elem(&meters, &slot);

  if (!meter || !(shunt_config.features & SHUNT_FEATURE_METER)) return SHUNT_METERED_PASS;
  return (int)shunt_meter_packet(meter, len, bpf_ktime_get_ns());
}

#endif
