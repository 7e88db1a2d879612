/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tap of packet captures: not there in a program without SHUNT_FEATURE_CAPTURE. A packet is looked at twice: as it
 * comes in, and at its end, where what became of it was noted on its way (note_outcome). What goes up to userspace has its
 * end there, and the workers' tap sees it. Everything a capture costs a packet is bounded: the bytes that are copied,
 * the instructions of its filter, the records a second. What finds the ring full or the rate used up is counted and lost.
 */
#ifndef SHUNT_BPF_CAPTURE_H
#define SHUNT_BPF_CAPTURE_H

#include "bpf/datapath/filter.h"
#include "bpf/port.bpf.h"
#include "bpf/upcall.bpf.h"

/* One record in the making, and the filter that runs over its bytes. Per CPU: XDP programs do not nest. */
struct shunt_capture_scratch {
  struct shunt_capture_record record;
  __u8 bytes[SHUNT_CAPTURE_BYTES + 16]; /* more than a packet has: the verifier does not see where it ends */
  struct shunt_filter_state filter;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct shunt_capture_scratch);
} capture_scratch SEC(".maps");

static __always_inline struct shunt_capture_scratch* my_capture_scratch(void) {
  __u32 zero = 0;

  return bpf_map_lookup_elem(&capture_scratch, &zero);
}

/* The captures, a bit each, that want packets of this port at this stage. */
static __always_inline __u32 captures_of(__u32 port, __u32 stage) {
  const __u64* bits = bpf_map_lookup_elem(&capture_ports, &port);

  if (!bits || stage >= SHUNT_STAGE_COUNT) return 0;
  return (__u32)(*(const volatile __u64*)bits >> (stage * SHUNT_MAX_CAPTURES)) & ((1u << SHUNT_MAX_CAPTURES) - 1);
}

/* The packet's bytes, as many as a record can hold, into the scratch. False: cannot. */
__noinline int shunt_copy_packet(struct xdp_md* ctx) {
  struct shunt_capture_scratch* mine = my_capture_scratch();
  __u32 len = (__u32)bpf_xdp_get_buff_len(ctx), size = len;

  if (!mine) return 0;
  if (size > SHUNT_CAPTURE_BYTES) size = SHUNT_CAPTURE_BYTES;
  SHUNT_OPAQUE(size);
  /* 1 to SHUNT_CAPTURE_BYTES, as it is already, so that Linux 6.1 sees it. */
  size = ((size - 1) & (SHUNT_CAPTURE_BYTES - 1)) + 1;
  if (bpf_xdp_load_bytes(ctx, 0, mine->bytes, size) < 0) return 0;
  mine->record.length = len;
  mine->record.captured = size;
  return 1;
}

struct shunt_filter_run {
  struct shunt_capture_scratch* mine;
  __u32 base; /* where the program begins in capture_filters */
};

static long filter_step(__u32 i, struct shunt_filter_run* run) {
  struct shunt_capture_scratch* mine = run->mine;
  struct shunt_filter_packet packet = {mine->bytes, mine->record.captured, mine->record.length};
  __u32 at = run->base + mine->filter.pc;
  const struct shunt_filter_insn* insn = bpf_map_lookup_elem(&capture_filters, &at);

  if (!insn) return 1;
  return !shunt_filter_step(&mine->filter, insn, &packet);
}

/* Whether a capture's filter wants the packet in the scratch. */
__noinline int shunt_filter_accepts(__u32 number, __u32 count) {
  struct shunt_filter_run run = {.mine = my_capture_scratch(), .base = number * SHUNT_FILTER_INSNS};

  if (!run.mine) return 0;
  __builtin_memset(&run.mine->filter, 0, sizeof run.mine->filter);
  bpf_loop(count < SHUNT_FILTER_INSNS ? count : SHUNT_FILTER_INSNS, filter_step, &run, 0);
  return run.mine->filter.verdict != 0;
}

/* A token of the capture's rate: as many at once as a second has. */
static __always_inline int take_record_token(__u32 number, const struct shunt_capture* capture) {
  struct shunt_budget* budget = bpf_map_lookup_elem(&capture_budgets, &number);

  return budget && take_token(budget, capture->rate, capture->rate);
}

/* Puts the scratch's packet into a capture's ring, where its filter and its rate let it. */
__noinline int shunt_record(__u32 number, __u32 port, __u32 stage, __u32 reason) {
  struct shunt_capture_scratch* mine = my_capture_scratch();
  const struct shunt_capture* capture = bpf_map_lookup_elem(&captures, &number);
  struct shunt_capture_counts* counts = bpf_map_lookup_elem(&capture_counts, &number);
  __u32 whole, size;
  void* ring;

  if (!mine || !capture || !counts) return 0;
  if (capture->filter_count != 0 && !shunt_filter_accepts(number, capture->filter_count)) return 0;
  ring = bpf_map_lookup_elem(&capture_rings, &number);
  if (!ring) return 0;
  if (!take_record_token(number, capture)) {
    counts->lost_rate++;
    return 0;
  }
  whole = mine->record.captured;
  size = whole < capture->snaplen ? whole : capture->snaplen;
  SHUNT_OPAQUE(size);
  if (size > SHUNT_CAPTURE_BYTES) return 0;
  mine->record.time = bpf_ktime_get_ns();
  mine->record.captured = size;
  mine->record.lost = (__u32)(counts->lost_ring + counts->lost_rate - counts->told);
  mine->record.port = (__u16)port;
  mine->record.stage = (__u8)stage;
  mine->record.reason = (__u8)reason;
  if (bpf_ringbuf_output(ring, &mine->record, sizeof mine->record + size, BPF_RB_NO_WAKEUP) == 0) {
    counts->captured++;
    counts->told += mine->record.lost;
  } else {
    counts->lost_ring++;
  }
  mine->record.captured = whole; /* for the next capture */
  return 0;
}

/* One look at a packet, for every capture that wants it. */
__noinline int shunt_tap(struct xdp_md* ctx, __u32 port, __u32 stage, __u32 reason) {
  __u32 wanting = captures_of(port, stage), i;

  if (!wanting || !shunt_copy_packet(ctx)) return 0;
  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_MAX_CAPTURES; i++)
    if (wanting >> i & 1) shunt_record(i, port, stage, reason);
  return 0;
}

/* A function of its own: the verifier walks its loop once. */
__noinline __u32 shunt_port_of(__u32 ifindex) { return port_of(ifindex); }

struct shunt_group_walk {
  struct xdp_md* ctx;
  __u32 group, in_port;
};

static long tap_member(__u32 i, struct shunt_group_walk* walk) {
  __u32 ifindex = group_member(walk->group, i);
  __u32 port;

  if (ifindex == 0) return 1;
  port = shunt_port_of(ifindex);
  if (port != 0 && port != walk->in_port) shunt_tap(walk->ctx, port, SHUNT_STAGE_AFTER, 0);
  return 0;
}

/* A flood: once for each of the group's ports but the one that the packet came in on. */
__noinline int shunt_tap_group(struct xdp_md* ctx, __u32 group, __u32 in_port) {
  struct shunt_group_walk walk = {.ctx = ctx, .group = group, .in_port = in_port};

  bpf_loop(SHUNT_GROUP_PORTS, tap_member, &walk, 0);
  return 0;
}

/* At the packet's end. */
__noinline int shunt_tap_outcome(struct xdp_md* ctx, __u32 in_port) {
  struct shunt_scratch* mine;
  __u32 zero = 0;

  if (!(shunt_config.features & SHUNT_FEATURE_CAPTURE)) return 0;
  mine = bpf_map_lookup_elem(&scratch, &zero);
  if (!mine) return 0;
  if (mine->outcome == SHUNT_OUTCOME_DROP)
    shunt_tap(ctx, in_port, SHUNT_STAGE_DROP, mine->outcome_arg);
  else if (mine->outcome == SHUNT_OUTCOME_PORT && captures_of(mine->outcome_arg, SHUNT_STAGE_AFTER))
    shunt_tap(ctx, mine->outcome_arg, SHUNT_STAGE_AFTER, 0);
  else if (mine->outcome == SHUNT_OUTCOME_GROUP)
    shunt_tap_group(ctx, mine->outcome_arg, in_port);
  return 0;
}

/* As it came in. */
__noinline int shunt_tap_ingress(struct xdp_md* ctx, __u32 in_port) {
  if (!(shunt_config.features & SHUNT_FEATURE_CAPTURE) || !captures_of(in_port, SHUNT_STAGE_BEFORE)) return 0;
  return shunt_tap(ctx, in_port, SHUNT_STAGE_BEFORE, 0);
}

#endif
