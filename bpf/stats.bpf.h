/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet on its way, and the counters that it leaves behind. Every way out is counted once, on its ingress port.
 */
#ifndef SHUNT_BPF_STATS_H
#define SHUNT_BPF_STATS_H

#include "bpf/maps.bpf.h"

struct shunt_packet {
  shunt_frame* ctx;
  struct shunt_scratch* scratch; /* its key and headers */
  const struct shunt_port* port; /* where it came in */
  struct shunt_port_stats* stats;
  __u32 in_port;
  __u32 len;     /* bytes in all buffers, as received */
  __u32 lookups; /* megaflow look-ups tried, found or not */
  __u32 hinted;  /* a hint led to the flow */
  __u32 bridged; /* the port that the FDB named; 0: the flow itself says where to */
  __u32 young;   /* ... by an entry that is young */
};

/* Leaves word for the tap at the packet's end; nothing where no capture runs. */
static __always_inline void note_outcome(__u32 outcome, __u32 arg) {
  struct shunt_scratch* mine;
  __u32 zero = 0;

  if (!(shunt_config.features & SHUNT_FEATURE_CAPTURE)) return;
  mine = bpf_map_lookup_elem(&scratch, &zero);
  if (!mine) return;
  mine->outcome = outcome;
  mine->outcome_arg = arg;
}

/* Ends one packet, or all the segments of a socket buffer: the one place where drops are counted. */
static __always_inline int drop_packets(struct shunt_port_stats* stats, __u32 reason, __u32 packets) {
  note_outcome(SHUNT_OUTCOME_DROP, reason);
  stats->drops[reason & (SHUNT_DROP_COUNTERS - 1)] += packets;
  return SHUNT_FRAME_DROP;
}
static __always_inline int drop(struct shunt_port_stats* stats, __u32 reason) { return drop_packets(stats, reason, 1); }

/* For a function of its own that knows only the port's number. */
static __always_inline struct shunt_port_stats* stats_of(__u32 in_port) {
  return bpf_map_lookup_elem(&port_stats, &in_port);
}

static __always_inline void count_received(struct shunt_port_stats* stats, __u32 packets, __u64 bytes) {
  stats->rx_packets += packets;
  stats->rx_bytes += bytes;
}

/* How the levels answered, once it is clear that this program's answer is the packet's. */
static __always_inline void count_lookup(struct shunt_packet* packet, int found) {
  packet->stats->lookups += packet->lookups;
  if (!found)
    packet->stats->misses++;
  else if (packet->hinted)
    packet->stats->exact_hits++;
  else
    packet->stats->megaflow_hits++;
}

/* A flow's share, on this CPU: no other writes here. */
static __always_inline void count_flow(__u32 slot, __u32 packets, __u64 bytes) {
  __u32 at = bpf_get_smp_processor_id() * shunt_config.flow_limit + slot;
  struct shunt_flow_counters* counters = bpf_map_lookup_elem(&flow_counters, &at);

  if (!counters) return;
  counters->packets += packets;
  counters->bytes += bytes;
}

/* What of a flow's packets, as they were counted, left otherwise: bytes more or less, packets not at all. */
static __always_inline void count_change(__u32 slot, __s64 bytes, __u32 lost) {
  __u32 at = bpf_get_smp_processor_id() * shunt_config.flow_limit + slot;
  struct shunt_flow_delta* delta = bpf_map_lookup_elem(&flow_deltas, &at);

  if (!delta) return;
  delta->bytes += (__u64)bytes;
  delta->lost += lost;
}

/* A packet that was counted with `len` left with `sent` bytes; 0: it did not leave. */
static __always_inline void count_delta(__u32 slot, __u32 len, __u32 sent) {
  count_change(slot, (__s64)sent - len, sent == 0);
}

#endif
