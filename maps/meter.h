/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Meters (OpenFlow 1.3.5 section 5.7): rates that packets of many flows share, kept exact over all CPUs.
 *
 * Each band is a virtual scheduler (GCRA, ITU-T I.371): `next` is when the bucket would be full again at the band's rate. A
 * packet that finds it more than `burst` ahead of now is over the band; another moves it on by its cost with one
 * compare-and-swap. No lock, no refill, no clock tick that limits the accuracy. Userspace writes the configuration, and a
 * new one into a fresh slot; both sides meter.
 */
#ifndef SHUNT_MAPS_METER_H
#define SHUNT_MAPS_METER_H

#include "maps/types.h"

enum shunt_band_type {
	SHUNT_BAND_NONE,
	SHUNT_BAND_DROP,
	SHUNT_BAND_DSCP_REMARK, /* raises the drop precedence of an AF class (RFC 2597) by `precedence`, to at most 3 */
};

enum {
	SHUNT_METER_IN_USE = 1 << 0,
	SHUNT_METER_PACKETS = 1 << 1, /* the rate counts packets; else bytes */
};

/* The schedule's unit is 1/16 ns, so that rounding a small frame's cost shows nowhere; a cost has 16 bits more. */
#define SHUNT_METER_TIME_SHIFT 4
#define SHUNT_METER_COST_SHIFT 16

struct shunt_meter_band {
	__u64 cost;  /* that a packet, or a byte, takes at this rate: units * 2^16; 0: at a rate of 0, everything is over */
	__u64 burst; /* units that `next` may be ahead of now */
	__u64 next;  /* CLOCK_MONOTONIC in units; both sides write it */
	__u64 packets; /* that this band was applied to */
	__u64 bytes;
	__u32 type; /* enum shunt_band_type */
	__u32 precedence;
};
SHUNT_MAP_TYPE(struct shunt_meter_band, 48);

/* meters: an element. Bands by ascending rate: of those that a packet is over, the last is applied. */
struct shunt_meter {
	__u32 flags; /* SHUNT_METER_* */
	__u32 band_count;
	__u64 packets; /* that came by */
	__u64 bytes;
	__u64 zero;
	struct shunt_meter_band bands[SHUNT_METER_BANDS];
};
SHUNT_MAP_TYPE(struct shunt_meter, 416);

#endif
