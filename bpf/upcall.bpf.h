/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way to userspace: a token of the port's budget, then the AF_XDP socket of the port and queue, with metadata in
 * front of the frame that says why. Counted in upcall_order, so that the flow's next packets do not overtake it.
 */
#ifndef SHUNT_BPF_UPCALL_H
#define SHUNT_BPF_UPCALL_H

#include "bpf/order.bpf.h"
#include "bpf/stats.bpf.h"

/* Tokens are counted in thousandths of a packet, so that a refill by the jiffy is no coarser than that. */
#define SHUNT_TOKEN 1000
/* Jiffies that a refill counts at most: keeps rate * elapsed within 64 bits. */
#define SHUNT_LONGEST_REFILL (1 << 20)

/* Adds what the time since the last refill is worth. One CPU a jiffy does it: the one whose exchange wins. */
static __always_inline void refill(struct shunt_budget* budget, __u32 rate, __u32 burst) {
  __s64 most = (__s64)burst * SHUNT_TOKEN;
  __u64 now = bpf_jiffies64(), before = budget->refilled, elapsed;
  __s64 tokens, added;

  if (now == before || __sync_val_compare_and_swap(&budget->refilled, before, now) != before) return;
  elapsed = now - before;
  if (elapsed > SHUNT_LONGEST_REFILL) elapsed = SHUNT_LONGEST_REFILL;
  added = (__s64)(elapsed * rate * SHUNT_TOKEN / shunt_config.jiffies_per_second);
  tokens = budget->tokens;
  if (added > most - tokens) added = most - tokens;
  __sync_fetch_and_add(&budget->tokens, added);
}

static __always_inline int take(struct shunt_budget* budget) {
  if (__sync_fetch_and_add(&budget->tokens, -SHUNT_TOKEN) >= SHUNT_TOKEN) return 1;
  __sync_fetch_and_add(&budget->tokens, SHUNT_TOKEN);
  return 0;
}

static __always_inline int take_token(__u32 in_port, const struct shunt_port* port) {
  struct shunt_budget* budget = bpf_map_lookup_elem(&upcall_budget, &in_port);

  if (!budget || port->upcall_rate == 0) return 0;
  refill(budget, port->upcall_rate, port->upcall_burst);
  return take(budget);
}

/* Whether somebody listens to this queue of the port. */
static __always_inline int has_socket(const struct xdp_md* ctx, __u32 in_port) {
  __u32 at = SHUNT_XSK_INDEX(in_port, ctx->rx_queue_index);

  return ctx->rx_queue_index < SHUNT_MAX_QUEUES && bpf_map_lookup_elem(&xsks, &at);
}

/*
 * Metadata in front of the frame. A driver may have no room for it: the frame then goes up without, and uncounted;
 * userspace knows the port by the socket.
 */
static __always_inline void describe(struct xdp_md* ctx, __u32 in_port, __u32 reason, __u32 order_at) {
  struct shunt_upcall_meta* meta;
  struct shunt_order* order;

  if (bpf_xdp_adjust_meta(ctx, -(int)sizeof *meta) != 0) return;
  meta = (void*)(long)ctx->data_meta;
  if ((void*)(meta + 1) > (void*)(long)ctx->data) return;
  __builtin_memset(meta, 0, sizeof *meta);
  meta->magic = SHUNT_UPCALL_MAGIC;
  meta->in_port = in_port;
  meta->order = order_at;
  meta->reason = (__u8)reason;
  meta->handed_up = bpf_ktime_get_ns();
  order = bpf_map_lookup_elem(&upcall_order, &order_at);
  if (order) __sync_fetch_and_add(&order->handed_up, 1);
}

/*
 * Hands the frame up as it is. A function of its own, which the verifier walks once. A ring that is full drops the
 * frame after this has returned: only the socket's statistics tell.
 */
__noinline int shunt_upcall(struct xdp_md* ctx, __u32 in_port, __u32 reason) {
  struct shunt_port* port = bpf_map_lookup_elem(&ports, &in_port);
  struct shunt_port_stats* stats = stats_of(in_port);
  struct shunt_scratch* mine;
  __u32 zero = 0, queue;

  mine = bpf_map_lookup_elem(&scratch, &zero);
  if (!port || !stats || !mine) return XDP_DROP;
  queue = ctx->rx_queue_index;
  if (!take_token(in_port, port)) return drop(stats, SHUNT_DROP_UPCALL_BUDGET);
  if (queue >= SHUNT_MAX_QUEUES || bpf_redirect_map(&xsks, SHUNT_XSK_INDEX(in_port, queue), XDP_DROP) != XDP_REDIRECT)
    return drop(stats, SHUNT_DROP_UPCALL_NO_SOCKET);
  note_outcome(SHUNT_OUTCOME_UP, reason);
  describe(ctx, in_port, reason, order_bucket(&mine->key));
  stats->upcalls[reason & (SHUNT_UPCALL_COUNTERS - 1)]++;
  return XDP_REDIRECT;
}

#endif
