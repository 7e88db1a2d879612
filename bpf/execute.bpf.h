/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Running a flow's actions. One output and nothing else takes a path without a loop, and so does a list whose edits are
 * one rewrite. The rest first makes sure that the kernel side can run it all: what goes up instead goes up unchanged.
 */
#ifndef SHUNT_BPF_EXECUTE_H
#define SHUNT_BPF_EXECUTE_H

#include "bpf/bridge.bpf.h"
#include "bpf/datapath/act.h"
#include "bpf/foresight.bpf.h"
#include "bpf/megaflow.bpf.h"
#include "bpf/meter.bpf.h"
#include "bpf/plain.bpf.h"
#include "bpf/redirect.bpf.h"
#include "bpf/rewrite.bpf.h"
#include "bpf/stats.bpf.h"
#include "bpf/upcall.bpf.h"

/* An edit of the label stack, in a function of its own: it has loops. No other action is one that this side can run. */
__noinline int shunt_edit_mpls(struct xdp_md* ctx, struct shunt_headers* headers, const struct shunt_action* action) {
  if (!headers || !action || !(shunt_config.features & SHUNT_FEATURE_MPLS) || !shunt_is_mpls_edit(action->type))
    return SHUNT_VERDICT_CANNOT;
  return shunt_act_mpls(ctx, headers, action);
}

/* One edit. A function of its own: the verifier walks it once, not once an action. */
__noinline int shunt_edit(struct xdp_md* ctx, struct shunt_headers* headers, const struct shunt_action* action) {
  if (!headers || !action) return SHUNT_VERDICT_CANNOT;
  if (!(shunt_config.features & SHUNT_FEATURE_EDITS)) {
    if (action->type != SHUNT_ACT_TRUNCATE) return SHUNT_VERDICT_CANNOT;
    headers->max_len = action->arg;
    return SHUNT_VERDICT_NEXT;
  }
  if (action->type >= SHUNT_ACT_METER && action->type != SHUNT_ACT_SET_QUEUE)
    return shunt_edit_mpls(ctx, headers, action);
  return shunt_act_plain(ctx, headers, action);
}

/* Meters the packet. False: it ends here. */
static __always_inline int meter(struct xdp_md* ctx, struct shunt_headers* headers, const struct shunt_action* action,
                                 __u32 len) {
  int metered = shunt_meter_in_slot(action->arg, len);
  struct shunt_action set;

  if (metered == SHUNT_METERED_DROP) return 0;
  if (metered > SHUNT_METERED_REMARK && shunt_find_remark(ctx, headers, (__u32)(metered - SHUNT_METERED_REMARK), &set))
    shunt_edit(ctx, headers, &set);
  return 1;
}

/* Cut, pad, and out. `sent`: how many bytes; 0: none. */
static __always_inline int output(struct xdp_md* ctx, struct shunt_port_stats* stats, struct shunt_headers* h,
                                  const struct shunt_action* action, __u32 in_port, __u32* sent) {
  int verdict;

  *sent = 0;
  if (action->type == SHUNT_ACT_OUTPUT && action->arg == in_port && action->field != 1)
    return drop(stats, SHUNT_DROP_SAME_PORT);
  if (shunt_finish(ctx, h) != SHUNT_VERDICT_NEXT) return drop(stats, SHUNT_DROP_BAD_ACTION);
  *sent = (__u32)bpf_xdp_get_buff_len(ctx);
  verdict = action->type == SHUNT_ACT_OUTPUT_GROUP ? output_to_group(stats, action->arg)
                                                   : output_to_port(stats, action->arg, *sent, h->vlan_count);
  if (verdict != XDP_REDIRECT) *sent = 0;
  return verdict;
}

/* Instead of a verdict: nothing was done, the packet is to go up with this reason. */
#define SHUNT_TO_GO_UP(reason) (-1 - (int)(reason))

/*
 * Runs a flow's actions, once nothing speaks against it. An edit that fails as the first one leaves the frame as it
 * came, so that it can go up. A later one is a drop: that a push finds no room behind pushes that found it needs a
 * headroom under 60 bytes, and XDP's is 192 or more. So is one behind a meter, which is not to count the packet twice.
 */
static __always_inline int run_actions(struct xdp_md* ctx, struct shunt_port_stats* stats, struct shunt_scratch* mine,
                                       const struct shunt_flow* flow, __u32 in_port, __u32 len, __u32* sent) {
  __u32 edits = 0, i;

  *sent = 0;
  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_MAX_ACTIONS; i++) {
    const struct shunt_action* action = action_of(flow, i);
    int verdict;

    if (!action) break;
    if (action->type == SHUNT_ACT_DROP) {
      *sent = len; /* none was to be sent */
      return drop(stats, action->field);
    }
    if (action->type == SHUNT_ACT_OUTPUT || action->type == SHUNT_ACT_OUTPUT_GROUP)
      return output(ctx, stats, &mine->headers, action, in_port, sent);
    if ((shunt_config.features & SHUNT_FEATURE_SAMPLE) && action->type == SHUNT_ACT_SAMPLE) continue;
    if ((shunt_config.features & SHUNT_FEATURE_METER) && action->type == SHUNT_ACT_METER) {
      if (!meter(ctx, &mine->headers, action, len)) return drop(stats, SHUNT_DROP_METER);
      edits++;
      continue;
    }
    verdict = shunt_edit(ctx, &mine->headers, action);
    if (verdict == SHUNT_VERDICT_NEXT) {
      edits++;
      continue;
    }
    if (edits == 0) return SHUNT_TO_GO_UP(SHUNT_UPCALL_EDIT);
    return drop(stats, verdict == SHUNT_VERDICT_HEADROOM ? SHUNT_DROP_HEADROOM : SHUNT_DROP_BAD_ACTION);
  }
  return drop(stats, SHUNT_DROP_RULE);
}

/* All edits of the flow's list in one, if it has such. SHUNT_VERDICT_NEXT: what is left of the list is its end. */
static __always_inline enum shunt_verdict rewrite(struct xdp_md* ctx, struct shunt_headers* headers,
                                                  const struct shunt_flow* flow, __u32 len) {
  __u32 at = flow->actions + flow->head.action_count;
  const struct shunt_action *outer, *inner;

  if (!(flow->head.flags & SHUNT_FLOW_REWRITE) || shunt_frame_is_split(ctx, len)) return SHUNT_VERDICT_CANNOT;
  outer = bpf_map_lookup_elem(&action_lists, &at);
  at++;
  inner = bpf_map_lookup_elem(&action_lists, &at);
  if (!outer || !inner) return SHUNT_VERDICT_CANNOT;
  return (enum shunt_verdict)shunt_rewrite_frame(ctx, headers, (const struct shunt_rewrite_outer*)outer,
                                                 (const struct shunt_rewrite_inner*)inner);
}

/* What the flow says; < 0: SHUNT_TO_GO_UP(), and nothing is counted. The headers are in the scratch. */
__noinline int shunt_execute(struct xdp_md* ctx, __u32 slot, __u32 in_port, __u32 len) {
  struct shunt_port_stats* stats = stats_of(in_port);
  struct shunt_flow* flow = bpf_map_lookup_elem(&flows, &slot);
  const struct shunt_action* last;
  enum shunt_verdict rewritten;
  struct shunt_scratch* mine;
  __u32 zero = 0, sent, reason;
  int verdict;

  mine = bpf_map_lookup_elem(&scratch, &zero);
  if (!stats || !flow || !mine) return XDP_DROP;
  rewritten = rewrite(ctx, &mine->headers, flow, len);
  if (rewritten == SHUNT_VERDICT_TTL) return SHUNT_TO_GO_UP(SHUNT_UPCALL_TTL);
  last = rewritten == SHUNT_VERDICT_NEXT ? action_of(flow, flow->head.action_count - 1u) : 0;
  if (last) {
    verdict = output(ctx, stats, &mine->headers, last, in_port, &sent);
  } else {
    reason = reason_to_go_up(ctx, &mine->headers, flow, len);
    if (reason != SHUNT_STAYS) return SHUNT_TO_GO_UP(reason);
    verdict = run_actions(ctx, stats, mine, flow, in_port, len, &sent);
    if (verdict < 0) return verdict;
  }
  count_flow(slot, 1, len);
  if (sent != len) count_delta(slot, len, sent);
  return verdict;
}

/* A packet that goes up is counted where it is run; but a flow that userspace answers counts it too, so as not to age.
 */
static __always_inline int execute_list(struct shunt_packet* packet, const struct shunt_flow* flow) {
  int verdict = shunt_execute(packet->ctx, flow->head.slot, packet->in_port, packet->len);
  const struct shunt_action* first;

  if (verdict >= 0) return verdict;
  first = action_of(flow, 0);
  if (first && first->type == SHUNT_ACT_USERSPACE) count_flow(flow->head.slot, 1, packet->len);
  return shunt_upcall(packet->ctx, packet->in_port, (__u32)(-1 - verdict));
}

/* Out of the only port, once the flow has counted the packet. */
static __always_inline int send_out(struct shunt_packet* packet, __u32 slot, __u32 output, __u32 tags) {
  int verdict = output_to_port(packet->stats, output, packet->len, tags);

  if (SHUNT_UNLIKELY(verdict != XDP_REDIRECT))
    count_delta(slot, packet->len, 0);
  else
    count_bridged(packet, output, 1, packet->len);
  return verdict;
}

/* One output and nothing else. */
static __always_inline int execute_output(struct shunt_packet* packet, const struct shunt_flow* flow) {
  if (SHUNT_UNLIKELY(packet->len < SHUNT_MIN_FRAME)) {
    if (!pad(packet->ctx, packet->len)) {
      count_delta(flow->head.slot, packet->len, 0);
      return drop(packet->stats, SHUNT_DROP_BAD_ACTION);
    }
    count_delta(flow->head.slot, packet->len, SHUNT_MIN_FRAME);
    packet->len = SHUNT_MIN_FRAME;
  }
  return send_out(packet, flow->head.slot, output_of(packet, flow), packet->scratch->headers.vlan_count);
}

/* What the exact-match cache answered. */
static __always_inline int execute_microflow(struct shunt_packet* packet, __u32 slot, __u32 output, __u32 tags) {
  packet->stats->exact_hits++;
  count_flow(slot, 1, packet->len);
  return send_out(packet, slot, output, tags);
}

static __always_inline int execute(struct shunt_packet* packet, const struct shunt_flow* flow) {
  /* Where no daemon listens nothing is on its way, whatever one that died has left uncounted. */
  if (SHUNT_UNLIKELY(is_young(packet, flow)) && in_userspace(&packet->scratch->key) &&
      has_socket(packet->ctx, packet->in_port))
    return shunt_upcall(packet->ctx, packet->in_port, SHUNT_UPCALL_ORDER);
  if (!(flow->head.flags & (SHUNT_FLOW_SINGLE_OUTPUT | SHUNT_FLOW_BRIDGE))) return execute_list(packet, flow);
  if (SHUNT_UNLIKELY(shunt_frame_is_split(packet->ctx, packet->len)) && !takes_frags(output_of(packet, flow)))
    return shunt_upcall(packet->ctx, packet->in_port, SHUNT_UPCALL_JUMBO_FLOOD);
  count_flow(flow->head.slot, 1, packet->len);
  return execute_output(packet, flow);
}

#endif
