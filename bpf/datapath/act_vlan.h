/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * VLAN tags: a new one outermost, the outer one off.
 */
#ifndef SHUNT_DATAPATH_ACT_VLAN_H
#define SHUNT_DATAPATH_ACT_VLAN_H

#include "bpf/datapath/set_field.h"

SHUNT_INLINE enum shunt_verdict shunt_push_vlan(shunt_frame* frame, struct shunt_headers* h, __u16 raw_tpid,
                                                __u16 raw_tci) SHUNT_NOEXCEPT {
  __u8* p = shunt_frame_at(frame, 0, 12);
  __u32 macs_end;
  __u64 macs;

  if (!p) return SHUNT_VERDICT_CANNOT;
  macs = shunt_load64(p);
  macs_end = shunt_load32(p + 8);
  if (shunt_frame_adjust_head(frame, -4) < 0) return SHUNT_VERDICT_HEADROOM;
  p = shunt_frame_at(frame, 0, 16);
  if (!p) return SHUNT_VERDICT_CANNOT;
  shunt_store64(p, macs);
  shunt_store32(p + 8, macs_end);
  shunt_store16(p + 12, raw_tpid);
  shunt_store16(p + 14, raw_tci & (__u16)~SHUNT_BE16(SHUNT_VLAN_PRESENT));
  h->vlan_count++;
  shunt_move_headers(h, 4);
  return SHUNT_VERDICT_NEXT;
}

SHUNT_INLINE enum shunt_verdict shunt_pop_vlan(shunt_frame* frame, struct shunt_headers* h) SHUNT_NOEXCEPT {
  __u32 macs_end;
  __u64 macs;
  __u8* p;

  if (h->vlan_count == 0) return SHUNT_VERDICT_NEXT;
  p = shunt_frame_at(frame, 0, 12);
  if (!p) return SHUNT_VERDICT_CANNOT;
  macs = shunt_load64(p);
  macs_end = shunt_load32(p + 8);
  if (shunt_frame_adjust_head(frame, 4) < 0) return SHUNT_VERDICT_CANNOT;
  p = shunt_frame_at(frame, 0, 12);
  if (!p) return SHUNT_VERDICT_CANNOT;
  shunt_store64(p, macs);
  shunt_store32(p + 8, macs_end);
  h->vlan_count--;
  shunt_move_headers(h, -4);
  return SHUNT_VERDICT_NEXT;
}

#endif
