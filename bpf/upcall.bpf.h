/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way to userspace: a token of the port's budget, then the AF_XDP socket of the port and queue, with metadata in
 * front of the frame that says why. Counted in upcall_order, so that the flow's next packets do not overtake it.
 */
#ifndef SHUNT_BPF_UPCALL_H
#define SHUNT_BPF_UPCALL_H

#include "bpf/order.bpf.h"
#include "bpf/stats.bpf.h"

#define SHUNT_NS_PER_SECOND 1000000000u

/* A packet of a budget of `rate` packets a second, `burst` of them at once. False: there is none left. */
static __always_inline int take_token(struct shunt_budget* budget, __u32 rate, __u32 burst) {
  __u64 now = bpf_jiffies64() * shunt_config.jiffy_ns, spent = budget->spent, cost, most;

  if (rate == 0) return 0;
  cost = SHUNT_NS_PER_SECOND / rate;
  most = burst * cost;
  /* What was not used is kept up to a burst. Whose exchange fails finds that another one has done it. */
  if (now > most && spent < now - most) __sync_val_compare_and_swap(&budget->spent, spent, now - most);
  if (__sync_fetch_and_add(&budget->spent, cost) + cost <= now) return 1;
  __sync_fetch_and_add(&budget->spent, -cost);
  return 0;
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
  struct shunt_budget* budget = bpf_map_lookup_elem(&upcall_budget, &in_port);
  struct shunt_port_stats* stats = stats_of(in_port);
  struct shunt_scratch* mine;
  __u32 zero = 0, queue;

  mine = bpf_map_lookup_elem(&scratch, &zero);
  if (!port || !budget || !stats || !mine) return XDP_DROP;
  queue = ctx->rx_queue_index;
  if (!take_token(budget, port->upcall_rate, port->upcall_burst)) return drop(stats, SHUNT_DROP_UPCALL_BUDGET);
  if (queue >= SHUNT_MAX_QUEUES || bpf_redirect_map(&xsks, SHUNT_XSK_INDEX(in_port, queue), XDP_DROP) != XDP_REDIRECT)
    return drop(stats, SHUNT_DROP_UPCALL_NO_SOCKET);
  note_outcome(SHUNT_OUTCOME_UP, reason);
  describe(ctx, in_port, reason, order_bucket(&mine->key));
  stats->upcalls[reason & (SHUNT_UPCALL_COUNTERS - 1)]++;
  return XDP_REDIRECT;
}

#endif
