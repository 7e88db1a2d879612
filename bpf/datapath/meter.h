/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Metering a packet (maps/meter.h): what of a rate it takes, whether it is over it, and the DSCP that it leaves with.
 *
 * Any number of CPUs and threads meter over one band at the same time, kernel and daemon alike. Each moves the band's
 * schedule on by its packet's cost with one compare-and-swap; where others are faster a few times in a row, it adds its
 * cost to what they have written: nothing is lost either way. What counts is the frame's length as received, without
 * FCS, whatever was pushed or popped before the meter.
 */
#ifndef SHUNT_DATAPATH_METER_H
#define SHUNT_DATAPATH_METER_H

#include "bpf/datapath/compiler.h"
#include "bpf/datapath/frame.h"
#include "bpf/datapath/set_field.h"
#include "maps/meter.h"

/* Compare-and-swaps that are tried before a cost is added blindly. */
#define SHUNT_METER_TRIES 4

/* What becomes of a metered packet. Above SHUNT_METERED_REMARK: the levels by which its drop precedence rises. */
enum {
  SHUNT_METERED_PASS,
  SHUNT_METERED_DROP,
  SHUNT_METERED_REMARK, /* + precedence */
};

#ifdef __bpf__ /* whose compiler has no atomic load */
SHUNT_INLINE __u64 shunt_read_once(const __u64* p) { return *(const volatile __u64*)p; }
#else
SHUNT_INLINE __u64 shunt_read_once(const __u64* p) SHUNT_NOEXCEPT { return __atomic_load_n(p, __ATOMIC_RELAXED); }
#endif

/* Whether the band has no room for `units` (packets or bytes) at `now`. Where it has, they are taken. */
SHUNT_SUBPROGRAM(int) shunt_over_band(struct shunt_meter_band* band, __u64 units, __u64 now) SHUNT_NOEXCEPT {
  __u64 cost;
  __u32 i;

  if (SHUNT_NULL_ARGUMENT(band) || band->cost == 0) return 1;
  cost = (band->cost * units + (1u << (SHUNT_METER_COST_SHIFT - 1))) >> SHUNT_METER_COST_SHIFT;
  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_METER_TRIES; i++) {
    __u64 next = shunt_read_once(&band->next);
    __s64 ahead = (__s64)(next - now);

    if (ahead > (__s64)band->burst) return 1;
    if (__sync_val_compare_and_swap(&band->next, next, (ahead < 0 ? now : next) + cost) == next) return 0;
  }
  __sync_fetch_and_add(&band->next, cost);
  return 0;
}

/*
 * Meters a packet of `len` bytes at `ns` of CLOCK_MONOTONIC, and counts it: SHUNT_METERED_*. Of the bands that it is
 * over, the last, that of the highest rate, is applied. A slot that holds no meter lets everything pass.
 */
SHUNT_INLINE __u32 shunt_meter_packet(struct shunt_meter* meter, __u32 len, __u64 ns) SHUNT_NOEXCEPT {
  __u64 units = meter->flags & SHUNT_METER_PACKETS ? 1 : len;
  __u64 now = ns << SHUNT_METER_TIME_SHIFT;
  __u32 count = meter->band_count;
  struct shunt_meter_band* band;
  __u32 over = 0, i;

  if (!(meter->flags & SHUNT_METER_IN_USE)) return SHUNT_METERED_PASS;
  __sync_fetch_and_add(&meter->packets, 1);
  __sync_fetch_and_add(&meter->bytes, len);
  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_METER_BANDS; i++) {
    if (i >= count) break;
    if (shunt_over_band(&meter->bands[i], units, now)) over = i + 1;
  }
  if (over == 0) return SHUNT_METERED_PASS;
  band = &meter->bands[(over - 1) & (SHUNT_METER_BANDS - 1)];
  __sync_fetch_and_add(&band->packets, 1);
  __sync_fetch_and_add(&band->bytes, len);
  if (band->type == SHUNT_BAND_DROP) return SHUNT_METERED_DROP;
  return SHUNT_METERED_REMARK + band->precedence;
}

/* The ToS byte with the drop precedence of its assured forwarding class raised by `levels`, to 3; others stay. */
SHUNT_INLINE __u8 shunt_remarked(__u8 tos, __u32 levels) SHUNT_NOEXCEPT {
  __u32 dscp = tos >> 2;
  __u32 precedence = dscp >> 1 & 3;

  if (dscp < 8 || dscp >= 40 || (dscp & 1) || precedence == 0) return tos;
  if (levels > 3 - precedence) levels = 3 - precedence;
  return (__u8)(tos + (levels << 3));
}

/* The SET_FIELD that remarks the frame. False: it carries no IP, or nothing changes. */
SHUNT_INLINE int shunt_find_remark(shunt_frame* frame, const struct shunt_headers* h, __u32 levels,
                                   struct shunt_action* set) SHUNT_NOEXCEPT {
  const __u8* p;
  __u8 tos;

  if (!(h->l3_kind & (SHUNT_L3_IPV4 | SHUNT_L3_IPV6))) return 0;
  p = shunt_frame_at(frame, h->l3, 2);
  if (!p) return 0;
  tos = h->l3_kind == SHUNT_L3_IPV4 ? p[1] : (__u8)(p[0] << 4 | p[1] >> 4);
  __builtin_memset(set, 0, sizeof *set);
  set->type = SHUNT_ACT_SET_FIELD;
  set->field = SHUNT_FIELD_IP_TOS;
  set->value[0] = shunt_remarked(tos, levels);
  set->mask[0] = 0xfc;
  return set->value[0] != tos;
}

#endif
