/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether this side can run all of a flow's list on a frame. Known before anything of it is done: what goes up, or from
 * TC to XDP, goes there as it came.
 */
#ifndef SHUNT_BPF_FORESIGHT_H
#define SHUNT_BPF_FORESIGHT_H

#include "bpf/datapath/frame.h"
#include "bpf/datapath/headers.h"
#include "bpf/datapath/wire.h"
#include "bpf/maps.bpf.h"
#include "bpf/megaflow.bpf.h"

/* "None" as a reason to go up. */
#define SHUNT_STAYS SHUNT_UPCALL_COUNT

static __always_inline int takes_frags(__u32 output) {
  const struct shunt_port* port = bpf_map_lookup_elem(&ports, &output);

  return port && !(port->flags & SHUNT_PORT_NO_FRAGS);
}

/* TTL or hop limit; 255 where there is none, which no list of actions uses up. */
static __always_inline __u32 ttl_of(shunt_frame* frame, const struct shunt_headers* h) {
  const __u8* p;

  if (!(h->l3_kind & (SHUNT_L3_IPV4 | SHUNT_L3_IPV6))) return 255;
  p = shunt_frame_at(frame, h->l3 + (h->l3_kind == SHUNT_L3_IPV4 ? 8u : 7u), 1);
  return p ? *p : 255;
}

/* The dice of a SAMPLE. */
static __always_inline int is_sampled(const struct shunt_action* action) {
  return action->arg == 0 || (bpf_get_prandom_u32() & 0xffff) < action->arg;
}

/* Whether a set of this field would be refused half way: where set_field.h says SHUNT_VERDICT_CANNOT. SCTP's CRC is
 * left to XDP. */
static __always_inline int cannot_set(shunt_frame* frame, const struct shunt_headers* h, __u32 field) {
  if (field == SHUNT_FIELD_TP_SRC || field == SHUNT_FIELD_TP_DST)
    return h->l4 && h->proto == SHUNT_IP_PROTO_SCTP && (SHUNT_FRAME_IS_SKB || (h->flags & SHUNT_HEADERS_FRAG));
  /* Of an ND option the parser has seen the type only: the address may lie in the next buffer. */
  if (field == SHUNT_FIELD_ND_SLL) return h->nd_sll && !shunt_frame_at(frame, h->nd_sll, 6);
  if (field == SHUNT_FIELD_ND_TLL) return h->nd_tll && !shunt_frame_at(frame, h->nd_tll, 6);
  return 0;
}

/* TTL of the top label; 255 where there is none. */
static __always_inline __u32 mpls_ttl_of(shunt_frame* frame, const struct shunt_headers* h) {
  const __u8* p;

  if (!(shunt_config.features & SHUNT_FEATURE_MPLS) || h->l3_kind != SHUNT_L3_MPLS) return 255;
  p = shunt_frame_at(frame, h->l3, SHUNT_MPLS_SIZE);
  return p ? p[3] : 255;
}

/* What the list will have made of the headers when it comes to an action. */
struct shunt_foresight {
  int ip;         /* the TTL below is what DEC_TTL will find */
  __u32 ttl;      /* of IP; 255 where there is none */
  __u32 mpls_ttl; /* of the top label */
  int mpls;       /* there is one */
};

/* Edits of label stacks. Encoding sends lists up in which a TTL is decremented that only a pop or a copy brings there.
 */
static __always_inline __u32 foresee_mpls(struct shunt_foresight* f, const struct shunt_action* action) {
  if (action->type == SHUNT_ACT_PUSH_MPLS) {
    f->ip = 0;
    f->mpls = 1;
    f->mpls_ttl = action->value[5];
  } else if (action->type == SHUNT_ACT_DEC_MPLS_TTL && f->mpls) {
    if (f->mpls_ttl <= 1) return SHUNT_UPCALL_TTL;
    f->mpls_ttl--;
  } else if (action->type == SHUNT_ACT_SET_FIELD && action->field == SHUNT_FIELD_MPLS_LSE) {
    f->mpls_ttl = (f->mpls_ttl & ~(__u32)action->mask[3]) | (action->value[3] & action->mask[3]);
  } else if (action->type == SHUNT_ACT_SET_FIELD && action->field == SHUNT_FIELD_ETH_TYPE) {
    f->mpls = 0;
  }
  return SHUNT_STAYS;
}

/* Why the kernel side cannot run these actions on this frame (enum shunt_upcall_reason), or SHUNT_STAYS. */
static __always_inline __u32 reason_to_go_up(shunt_frame* frame, const struct shunt_headers* h,
                                             const struct shunt_flow* flow, __u32 len) {
  struct shunt_foresight f = {
      .ip = h->l3_kind & (SHUNT_L3_IPV4 | SHUNT_L3_IPV6),
      .ttl = ttl_of(frame, h),
      .mpls_ttl = mpls_ttl_of(frame, h),
      .mpls = h->l3_kind == SHUNT_L3_MPLS,
  };
  int split = shunt_frame_is_split(frame, len);
  __u32 i;

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_MAX_ACTIONS; i++) {
    const struct shunt_action* action = action_of(flow, i);

    if (!action) break;
    if (action->type == SHUNT_ACT_SET_FIELD && action->field <= SHUNT_FIELD_ETH_SRC) continue; /* always can be done */
    if (action->type == SHUNT_ACT_USERSPACE) return action->field;
    if (split &&
        (action->type == SHUNT_ACT_OUTPUT_GROUP || (action->type == SHUNT_ACT_OUTPUT && !takes_frags(action->arg))))
      return SHUNT_UPCALL_JUMBO_FLOOD;
    if ((shunt_config.features & SHUNT_FEATURE_SAMPLE) && action->type == SHUNT_ACT_SAMPLE && is_sampled(action))
      return SHUNT_UPCALL_SAMPLE;
    if ((shunt_config.features & SHUNT_FEATURE_MPLS) && foresee_mpls(&f, action) != SHUNT_STAYS)
      return SHUNT_UPCALL_TTL;
    if (action->type == SHUNT_ACT_DEC_TTL && f.ip) {
      if (f.ttl <= 1) return SHUNT_UPCALL_TTL;
      f.ttl--;
    }
    if (action->type == SHUNT_ACT_SET_FIELD && f.ip) {
      if (action->field == SHUNT_FIELD_ETH_TYPE) f.ip = 0; /* set_field.h writes no field above it from here on */
      if (action->field == SHUNT_FIELD_IP_TTL)
        f.ttl = (f.ttl & ~(__u32)action->mask[0]) | (action->value[0] & action->mask[0]);
      if (cannot_set(frame, h, action->field)) return SHUNT_UPCALL_EDIT;
    }
  }
  return SHUNT_STAYS;
}

#endif
