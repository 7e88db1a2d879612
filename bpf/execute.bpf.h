/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Running a flow's actions. One output and nothing else takes a path without a loop. The rest first makes sure that the
 * kernel side can run it all: what goes up instead goes up unchanged.
 */
#ifndef SHUNT_BPF_EXECUTE_H
#define SHUNT_BPF_EXECUTE_H

#include "bpf/datapath/act.h"
#include "bpf/redirect.bpf.h"
#include "bpf/stats.bpf.h"
#include "bpf/upcall.bpf.h"

/* "None" as a reason to go up. */
#define SHUNT_STAYS SHUNT_UPCALL_COUNT

static __always_inline int has_several_buffers(struct xdp_md* ctx, __u32 len) {
  return len > ctx->data_end - ctx->data;
}

/* TTL or hop limit; 255 where there is none, which no list of actions uses up. */
static __always_inline __u32 ttl_of(struct xdp_md* ctx, const struct shunt_headers* h) {
  const __u8* p;

  if (!(h->l3_kind & (SHUNT_L3_IPV4 | SHUNT_L3_IPV6))) return 255;
  p = shunt_frame_at(ctx, h->l3 + (h->l3_kind == SHUNT_L3_IPV4 ? 8u : 7u), 1);
  return p ? *p : 255;
}

/* Whether a set of this field would be refused half way: where act.h says SHUNT_VERDICT_CANNOT. */
static __always_inline int cannot_set(struct xdp_md* ctx, const struct shunt_headers* h, __u32 field) {
  if (field == SHUNT_FIELD_TP_SRC || field == SHUNT_FIELD_TP_DST)
    return h->l4 && h->proto == SHUNT_IP_PROTO_SCTP && (h->flags & SHUNT_HEADERS_FRAG);
  /* Of an ND option the parser has seen the type only: the address may lie in the next buffer. */
  if (field == SHUNT_FIELD_ND_SLL) return h->nd_sll && !shunt_frame_at(ctx, h->nd_sll, 6);
  if (field == SHUNT_FIELD_ND_TLL) return h->nd_tll && !shunt_frame_at(ctx, h->nd_tll, 6);
  return 0;
}

/* Why the kernel side cannot run these actions on this frame (enum shunt_upcall_reason), or SHUNT_STAYS. */
static __always_inline __u32 reason_to_go_up(struct xdp_md* ctx, const struct shunt_headers* h,
                                             const struct shunt_flow* flow, __u32 len) {
  __u32 ttl = ttl_of(ctx, h);
  int ip = h->l3_kind & (SHUNT_L3_IPV4 | SHUNT_L3_IPV6);
  __u32 i;

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_MAX_ACTIONS; i++) {
    const struct shunt_action* action = &flow->actions[i];

    if (i >= flow->head.action_count) break;
    if (action->type == SHUNT_ACT_USERSPACE) return action->field;
    if (action->type == SHUNT_ACT_OUTPUT_GROUP && has_several_buffers(ctx, len)) return SHUNT_UPCALL_JUMBO_FLOOD;
    if (action->type == SHUNT_ACT_DEC_TTL && ip) {
      if (ttl <= 1) return SHUNT_UPCALL_TTL;
      ttl--;
    }
    if (action->type == SHUNT_ACT_SET_FIELD && ip) {
      if (action->field == SHUNT_FIELD_ETH_TYPE) ip = 0; /* act.h writes no field above it from here on */
      if (action->field == SHUNT_FIELD_IP_TTL)
        ttl = (ttl & ~(__u32)action->mask[0]) | (action->value[0] & action->mask[0]);
      if (cannot_set(ctx, h, action->field)) return SHUNT_UPCALL_EDIT;
    }
  }
  return SHUNT_STAYS;
}

/* One edit. A function of its own: the verifier walks it once, not once an action. */
__noinline int shunt_edit(struct xdp_md* ctx, struct shunt_headers* headers, const struct shunt_action* action) {
  if (!headers || !action) return SHUNT_VERDICT_CANNOT;
  if (!(shunt_config.features & SHUNT_FEATURE_EDITS)) {
    if (action->type != SHUNT_ACT_TRUNCATE) return SHUNT_VERDICT_CANNOT;
    headers->max_len = action->arg;
    return SHUNT_VERDICT_NEXT;
  }
  return shunt_act(ctx, headers, action);
}

/* Cut, pad, and out. */
static __always_inline int output(struct xdp_md* ctx, struct shunt_port_stats* stats, struct shunt_headers* h,
                                  const struct shunt_action* action, __u32 in_port) {
  if (action->type == SHUNT_ACT_OUTPUT && action->arg == in_port && action->field != 1)
    return drop(stats, SHUNT_DROP_SAME_PORT);
  if (shunt_finish(ctx, h) != SHUNT_VERDICT_NEXT) return drop(stats, SHUNT_DROP_BAD_ACTION);
  if (action->type == SHUNT_ACT_OUTPUT_GROUP) return output_to_group(stats, action->arg);
  return output_to_port(stats, action->arg, (__u32)bpf_xdp_get_buff_len(ctx), h->vlan_count);
}

/*
 * Runs the actions of the flow in `slot`. An edit that fails as the first one leaves the frame as it came, so that it
 * can go up. A later one is a drop: that a push finds no room behind pushes that found it needs a headroom under 60
 * bytes, and XDP's is 192 or more.
 */
__noinline int shunt_execute(struct xdp_md* ctx, __u32 slot, __u32 in_port, __u32 len) {
  struct shunt_port_stats* stats = stats_of(in_port);
  struct shunt_flow* flow = bpf_map_lookup_elem(&flows, &slot);
  struct shunt_scratch* mine;
  __u32 zero = 0, edits = 0, i, reason;

  mine = bpf_map_lookup_elem(&scratch, &zero);
  if (!stats || !flow || !mine) return XDP_DROP;
  reason = reason_to_go_up(ctx, &mine->headers, flow, len);
  if (reason != SHUNT_STAYS) return shunt_upcall(ctx, in_port, reason);
  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_MAX_ACTIONS; i++) {
    const struct shunt_action* action = &flow->actions[i];
    int verdict;

    if (i >= flow->head.action_count) break;
    if (action->type == SHUNT_ACT_DROP) return drop(stats, action->field);
    if (action->type == SHUNT_ACT_OUTPUT || action->type == SHUNT_ACT_OUTPUT_GROUP)
      return output(ctx, stats, &mine->headers, action, in_port);
    verdict = shunt_edit(ctx, &mine->headers, action);
    if (verdict == SHUNT_VERDICT_NEXT) {
      edits++;
      continue;
    }
    if (edits == 0) return shunt_upcall(ctx, in_port, SHUNT_UPCALL_EDIT);
    return drop(stats, verdict == SHUNT_VERDICT_HEADROOM ? SHUNT_DROP_HEADROOM : SHUNT_DROP_BAD_ACTION);
  }
  return drop(stats, SHUNT_DROP_RULE);
}

static __always_inline int execute(struct shunt_packet* packet, const struct shunt_flow* flow) {
  if (SHUNT_UNLIKELY(flow->head.flags & SHUNT_FLOW_YOUNG) && in_userspace(&packet->scratch->key))
    return shunt_upcall(packet->ctx, packet->in_port, SHUNT_UPCALL_ORDER);
  count_flow(flow->head.slot, packet->len);
  if (!(flow->head.flags & SHUNT_FLOW_SINGLE_OUTPUT))
    return shunt_execute(packet->ctx, flow->head.slot, packet->in_port, packet->len);
  if (!pad(packet->ctx, packet->len)) return drop(packet->stats, SHUNT_DROP_BAD_ACTION);
  return output_to_port(packet->stats, flow->head.output, packet->len, packet->scratch->headers.vlan_count);
}

#endif
