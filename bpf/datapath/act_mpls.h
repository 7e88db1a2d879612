/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * MPLS: label stack entries in front of what the frame carries, behind its VLAN tags; and TTLs between them.
 *
 * An entry is as RFC 3032 has it: label 20 bits, traffic class 3, bottom of stack 1, TTL 8.
 */
#ifndef SHUNT_DATAPATH_ACT_MPLS_H
#define SHUNT_DATAPATH_ACT_MPLS_H

#include "bpf/datapath/act_vlan.h"
#include "bpf/datapath/set_field.h"

/* Words in front of the innermost EtherType that can be moved: both addresses, tags, SNAP. */
#define SHUNT_MAX_FRONT_WORDS 16

SHUNT_INLINE int shunt_is_mpls(__u16 raw_type) SHUNT_NOEXCEPT {
  return raw_type == SHUNT_BE16(SHUNT_ETH_TYPE_MPLS) || raw_type == SHUNT_BE16(SHUNT_ETH_TYPE_MPLS_MC);
}

/* What was known of the headers behind the innermost EtherType is so no more. */
SHUNT_INLINE void shunt_forget_payload(struct shunt_headers* h, __u8 l3_kind) SHUNT_NOEXCEPT {
  h->l3_kind = l3_kind;
  h->proto = 0;
  h->l3_end = 0;
  h->l4 = h->nd_sll = h->nd_tll = 0;
  h->flags &= SHUNT_HEADERS_CUT;
}

SHUNT_INLINE enum shunt_verdict shunt_push_mpls(shunt_frame* frame, struct shunt_headers* h, __u16 raw_type,
                                                __u32 raw_entry) SHUNT_NOEXCEPT {
  __u32 words = (h->eth_type & SHUNT_MAX_OFFSET) / 4u;
  __u32 i;
  __u8* p;

  if (words > SHUNT_MAX_FRONT_WORDS || !shunt_frame_at(frame, h->eth_type, 2)) return SHUNT_VERDICT_CANNOT;
  if (shunt_frame_adjust_head(frame, -SHUNT_MPLS_SIZE) < 0) return SHUNT_VERDICT_HEADROOM;
  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_MAX_FRONT_WORDS; i++) {
    if (i >= words) break;
    p = shunt_frame_at(frame, 4 * i, 8);
    if (!p) return SHUNT_VERDICT_CANNOT;
    shunt_store32(p, shunt_load32(p + 4));
  }
  p = shunt_frame_at(frame, h->eth_type, 6);
  if (!p) return SHUNT_VERDICT_CANNOT;
  shunt_store16(p, raw_type);
  shunt_store32(p + 2, raw_entry);
  shunt_forget_payload(h, SHUNT_L3_MPLS);
  return SHUNT_VERDICT_NEXT;
}

/* Takes the top entry off. Whether another one lies below, the type says and not the entry's bottom bit. */
SHUNT_INLINE enum shunt_verdict shunt_pop_mpls(shunt_frame* frame, struct shunt_headers* h,
                                               __u16 raw_type) SHUNT_NOEXCEPT {
  __u32 words = (h->eth_type & SHUNT_MAX_OFFSET) / 4u;
  __u32 i;
  __u8* p;

  if (h->l3_kind != SHUNT_L3_MPLS) return SHUNT_VERDICT_NEXT;
  p = shunt_frame_at(frame, h->eth_type, 2 + SHUNT_MPLS_SIZE);
  if (words > SHUNT_MAX_FRONT_WORDS || !p) return SHUNT_VERDICT_CANNOT;
  shunt_store16(p + SHUNT_MPLS_SIZE, raw_type);
  SHUNT_NO_UNROLL
  for (i = SHUNT_MAX_FRONT_WORDS; i > 0; i--) {
    if (i > words) continue;
    p = shunt_frame_at(frame, 4 * (i - 1), 8);
    if (!p) return SHUNT_VERDICT_CANNOT;
    shunt_store32(p + 4, shunt_load32(p));
  }
  if (shunt_frame_adjust_head(frame, SHUNT_MPLS_SIZE) < 0) return SHUNT_VERDICT_CANNOT;
  shunt_forget_payload(h, SHUNT_L3_NONE);
  if (shunt_is_mpls(raw_type) && shunt_frame_at(frame, h->l3, SHUNT_MPLS_SIZE)) h->l3_kind = SHUNT_L3_MPLS;
  return SHUNT_VERDICT_NEXT;
}

SHUNT_INLINE enum shunt_verdict shunt_dec_mpls_ttl(shunt_frame* frame, const struct shunt_headers* h) SHUNT_NOEXCEPT {
  __u8* p;

  if (h->l3_kind != SHUNT_L3_MPLS) return SHUNT_VERDICT_NEXT;
  p = shunt_frame_at(frame, h->l3, SHUNT_MPLS_SIZE);
  if (!p) return SHUNT_VERDICT_CANNOT;
  if (p[3] <= 1) return SHUNT_VERDICT_TTL;
  p[3]--;
  return SHUNT_VERDICT_NEXT;
}

/* A TTL below the top entry: where it is, and whether an IPv4 checksum covers it (then it lies 2 bytes behind it). */
struct shunt_inner_ttl {
  __u32 off; /* 0: there is none */
  __u32 ipv4;
};

SHUNT_INLINE struct shunt_inner_ttl shunt_find_inner_ttl(shunt_frame* frame,
                                                         const struct shunt_headers* h) SHUNT_NOEXCEPT {
  struct shunt_inner_ttl inner = {0, 0};
  const __u8* p = shunt_frame_at(frame, h->l3, 2 * SHUNT_MPLS_SIZE);

  if (!p) return inner;
  if (!(shunt_load32(p) & SHUNT_BE32(SHUNT_MPLS_BOS))) {
    inner.off = h->l3 + SHUNT_MPLS_SIZE + 3u;
  } else if (p[4] >> 4 == 4 && shunt_frame_at(frame, h->l3 + SHUNT_MPLS_SIZE, sizeof(struct shunt_ipv4_header))) {
    inner.off = h->l3 + SHUNT_MPLS_SIZE + 8u;
    inner.ipv4 = 1;
  } else if (p[4] >> 4 == 6 && shunt_frame_at(frame, h->l3 + SHUNT_MPLS_SIZE, sizeof(struct shunt_ipv6_header))) {
    inner.off = h->l3 + SHUNT_MPLS_SIZE + 7u;
  }
  return inner;
}

/* From the next TTL to the top entry's (`out`), or the other way. Without a next one nothing is done. */
SHUNT_INLINE enum shunt_verdict shunt_copy_ttl(shunt_frame* frame, const struct shunt_headers* h,
                                               int out) SHUNT_NOEXCEPT {
  struct shunt_inner_ttl inner;
  __u8 *top, *p;

  if (h->l3_kind != SHUNT_L3_MPLS) return SHUNT_VERDICT_NEXT;
  inner = shunt_find_inner_ttl(frame, h);
  if (inner.off == 0) return SHUNT_VERDICT_NEXT;
  top = shunt_frame_at(frame, h->l3, SHUNT_MPLS_SIZE);
  p = shunt_frame_at(frame, inner.off, 1);
  if (!top || !p) return SHUNT_VERDICT_CANNOT;
  if (out) {
    top[3] = *p;
    return SHUNT_VERDICT_NEXT;
  }
  if (inner.ipv4) {
    __u32 difference = shunt_sum_difference(*p, top[3]);
    __u8* checksum = shunt_frame_at(frame, inner.off + 2, 2);

    if (!checksum) return SHUNT_VERDICT_CANNOT;
    shunt_store16(checksum, shunt_checksum_update(shunt_load16(checksum), difference));
  }
  *p = top[3];
  return SHUNT_VERDICT_NEXT;
}

SHUNT_INLINE int shunt_is_mpls_edit(__u32 type) SHUNT_NOEXCEPT {
  return type == SHUNT_ACT_PUSH_MPLS || type == SHUNT_ACT_POP_MPLS || type == SHUNT_ACT_DEC_MPLS_TTL ||
         type == SHUNT_ACT_COPY_TTL_OUT || type == SHUNT_ACT_COPY_TTL_IN;
}

/* Runs an action for which shunt_is_mpls_edit() is true. */
SHUNT_INLINE enum shunt_verdict shunt_act_mpls(shunt_frame* frame, struct shunt_headers* h,
                                               const struct shunt_action* action) SHUNT_NOEXCEPT {
  __u8 type = action->type;

  if (type == SHUNT_ACT_PUSH_MPLS)
    return shunt_push_mpls(frame, h, shunt_load16(action->value), shunt_load32(action->value + 2));
  if (type == SHUNT_ACT_POP_MPLS) return shunt_pop_mpls(frame, h, shunt_load16(action->value));
  if (type == SHUNT_ACT_DEC_MPLS_TTL) return shunt_dec_mpls_ttl(frame, h);
  if (type == SHUNT_ACT_COPY_TTL_OUT) return shunt_copy_ttl(frame, h, 1);
  if (type == SHUNT_ACT_COPY_TTL_IN) return shunt_copy_ttl(frame, h, 0);
  return SHUNT_VERDICT_NEXT;
}

#endif
