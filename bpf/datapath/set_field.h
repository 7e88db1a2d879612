/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writing a field of a frame's headers (SHUNT_ACT_SET_FIELD), with the checksums that cover it.
 */
#ifndef SHUNT_DATAPATH_SET_FIELD_H
#define SHUNT_DATAPATH_SET_FIELD_H

#include "bpf/datapath/checksum.h"
#include "bpf/datapath/compiler.h"
#include "bpf/datapath/field_place.h"
#include "bpf/datapath/frame.h"
#include "bpf/datapath/parse.h"
#include "bpf/datapath/wire.h"

/* How an action ends. Any verdict but NEXT means that it changed nothing. */
enum shunt_verdict {
  SHUNT_VERDICT_NEXT,     /* done, or nothing to do: on to the next action */
  SHUNT_VERDICT_TTL,      /* TTL or hop limit expires here: SHUNT_UPCALL_TTL */
  SHUNT_VERDICT_HEADROOM, /* no room to push a header: SHUNT_DROP_HEADROOM in userspace */
  SHUNT_VERDICT_CANNOT,   /* the edit cannot be made: SHUNT_UPCALL_EDIT, and in userspace SHUNT_DROP_BAD_ACTION */
};

/* Writes one word under its mask at p, and returns what that adds to a sum over it. */
SHUNT_INLINE __u32 shunt_write_word(__u8* p, __u16 value, __u16 mask) SHUNT_NOEXCEPT {
  __u16 before = shunt_load16(p);
  __u16 after = (__u16)((before & ~mask) | (value & mask));

  shunt_store16(p, after);
  return shunt_sum_difference(before, after);
}

/* SCTP ports. A fragment's CRC covers bytes that are not here: nothing that is written would be right. */
SHUNT_INLINE enum shunt_verdict shunt_write_sctp(shunt_frame* frame, const struct shunt_headers* h,
                                                 const struct shunt_write* w) SHUNT_NOEXCEPT {
  __u8* p = shunt_frame_at(frame, h->l4, sizeof(struct shunt_sctp_header));
  __u32 before;

  if (!p || h->flags & SHUNT_HEADERS_FRAG) return SHUNT_VERDICT_CANNOT;
  before = shunt_load32(p);
  shunt_write_word(w->off == h->l4 ? p : p + 2, w->value[0], w->mask[0]);
  shunt_store32(p + 8, shunt_load32(p + 8) ^ shunt_crc32c_difference(before ^ shunt_load32(p), h->l3_end - h->l4));
  return SHUNT_VERDICT_NEXT;
}

SHUNT_INLINE enum shunt_verdict shunt_write_field(shunt_frame* frame, const struct shunt_headers* h,
                                                  const struct shunt_write* w) SHUNT_NOEXCEPT {
  __u32 difference;
  __u8* p;

  if ((w->sums & SHUNT_SUM_L4) && h->proto == SHUNT_IP_PROTO_SCTP) return shunt_write_sctp(frame, h, w);
  if (w->words == 1) {
    p = shunt_frame_at(frame, w->off, 2);
    if (!p) return SHUNT_VERDICT_CANNOT;
    difference = shunt_write_word(p, w->value[0], w->mask[0]);
  } else if (w->words == 2) {
    p = shunt_frame_at(frame, w->off, 4);
    if (!p) return SHUNT_VERDICT_CANNOT;
    difference = shunt_write_word(p, w->value[0], w->mask[0]);
    difference += shunt_write_word(p + 2, w->value[1], w->mask[1]);
  } else {
    p = shunt_frame_at(frame, w->off, 6);
    if (!p) return SHUNT_VERDICT_CANNOT;
    difference = shunt_write_word(p, w->value[0], w->mask[0]);
    difference += shunt_write_word(p + 2, w->value[1], w->mask[1]);
    difference += shunt_write_word(p + 4, w->value[2], w->mask[2]);
  }
  if ((w->sums & SHUNT_SUM_IPV4) && h->l3_kind == SHUNT_L3_IPV4) {
    p = shunt_frame_at(frame, h->l3 + 10u, 2);
    if (p) shunt_store16(p, shunt_checksum_update(shunt_load16(p), difference));
  }
  if (w->sums & SHUNT_SUM_SWAPPED) {
    difference = (difference & 0xffff) + (difference >> 16);
    difference = (difference & 0xffff) + (difference >> 16);
    difference = (difference & 0xff) << 8 | difference >> 8;
  }
  if ((w->sums & SHUNT_SUM_L4) ||
      ((w->sums & SHUNT_SUM_PSEUDO) && h->proto != SHUNT_IP_PROTO_ICMP && h->proto != SHUNT_IP_PROTO_IGMP))
    shunt_adjust_l4(frame, h, difference);
  return SHUNT_VERDICT_NEXT;
}

/* Takes back what a write of these fields makes untrue of the headers. */
SHUNT_INLINE void shunt_forget_headers(shunt_frame* frame, struct shunt_headers* h, __u32 field) SHUNT_NOEXCEPT {
  if (field == SHUNT_FIELD_ETH_TYPE) {
    h->l3_kind = SHUNT_L3_NONE;
    h->l4 = h->nd_sll = h->nd_tll = 0;
    h->flags &= (__u8)~SHUNT_HEADERS_ND;
  } else if (field == SHUNT_FIELD_IP_PROTO) {
    h->l4 = h->nd_sll = h->nd_tll = 0;
    h->flags &= (__u8)~SHUNT_HEADERS_ND;
  } else if ((field == SHUNT_FIELD_ICMP_TYPE || field == SHUNT_FIELD_ICMP_CODE) && (h->flags & SHUNT_HEADERS_ND)) {
    const __u8* p = shunt_frame_at(frame, h->l4, 2);

    if (p && (p[0] == SHUNT_ND_SOLICIT || p[0] == SHUNT_ND_ADVERT) && p[1] == 0) return;
    h->nd_sll = h->nd_tll = 0;
    h->flags &= (__u8)~SHUNT_HEADERS_ND;
  }
}

/* What routers set: always there, and no checksum covers it. */
SHUNT_INLINE enum shunt_verdict shunt_set_mac(shunt_frame* frame, const struct shunt_action* action) SHUNT_NOEXCEPT {
  __u8* p = shunt_frame_at(frame, action->field == SHUNT_FIELD_ETH_SRC ? 6 : 0, 6);
  __u32 mask = shunt_load32(action->mask);
  __u16 mask_end = shunt_load16(action->mask + 4);

  if (!p) return SHUNT_VERDICT_CANNOT;
  shunt_store32(p, (shunt_load32(p) & ~mask) | (shunt_load32(action->value) & mask));
  shunt_store16(p + 4, (__u16)((shunt_load16(p + 4) & ~mask_end) | (shunt_load16(action->value + 4) & mask_end)));
  return SHUNT_VERDICT_NEXT;
}

SHUNT_INLINE enum shunt_verdict shunt_set_field(shunt_frame* frame, struct shunt_headers* h,
                                                const struct shunt_action* action) SHUNT_NOEXCEPT {
  enum shunt_verdict verdict;
  struct shunt_write w;

  if (action->field == SHUNT_FIELD_ETH_DST || action->field == SHUNT_FIELD_ETH_SRC) return shunt_set_mac(frame, action);
  if (!shunt_find_field(h, action, &w)) return SHUNT_VERDICT_NEXT;
  verdict = shunt_write_field(frame, h, &w);
  if (verdict == SHUNT_VERDICT_NEXT) shunt_forget_headers(frame, h, action->field);
  return verdict;
}

#endif
