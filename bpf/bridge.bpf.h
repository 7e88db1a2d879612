/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Bridged packets: a flow whose action is BRIDGE answers those whose two MACs the FDB knows, the source where the packet
 * came in, the destination at another port that sends the frame as it is. All others are not the flow's.
 */
#ifndef SHUNT_BPF_BRIDGE_H
#define SHUNT_BPF_BRIDGE_H

#include "bpf/datapath/fdb.h"
#include "bpf/stats.bpf.h"

/* Beside the port in shunt_bridge()'s answer: one of the two entries is young. */
#define SHUNT_BRIDGED_YOUNG (1u << 16)

static __always_inline struct shunt_fdb_entry* fdb_entry(__u64 key) {
  __u32 first = shunt_fdb_first(key, shunt_config.hash_seed, shunt_config.hash_multiplier);
  __u32 i, e;

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_FDB_PROBES; i++) {
    __u32 at = (first + i) & (SHUNT_FDB_BUCKETS - 1);
    struct shunt_fdb_bucket* bucket = bpf_map_lookup_elem(&fdb, &at);

    if (!bucket) return 0;
#pragma unroll
    for (e = 0; e < SHUNT_FDB_ENTRIES; e++)
      if (*(const volatile shunt_word*)&bucket->entry[e] == key) return &bucket->entry[e];
  }
  return 0;
}

/*
 * Where a packet of this key goes, by the FDB of that number; 0: the FDB does not say. Notes that the source is in use.
 * A function of its own: the verifier walks it once, not once a mask.
 */
__noinline __u32 shunt_bridge(const struct shunt_flow_key* key, __u32 number, __u32 round) {
  struct shunt_fdb_entry *src, *dst;
  __u32 output, flags;

  if (!key || !(shunt_config.features & SHUNT_FEATURE_BRIDGE)) return 0;
  src = fdb_entry(shunt_fdb_src(key, number));
  if (!src || src->port != key->in_port) return 0;
  dst = fdb_entry(shunt_fdb_dst(key, number));
  if (!dst) return 0;
  output = *(const volatile __u32*)&dst->port; /* port and flags, which belong together */
  flags = output >> 16;
  output &= 0xffff;
  if (output == 0 || output == key->in_port || !(flags & shunt_fdb_form(key))) return 0;
  if (src->used != round) src->used = round;
  return output | ((flags | src->flags) & SHUNT_FDB_YOUNG ? SHUNT_BRIDGED_YOUNG : 0);
}

/* Whether a flow that matches the packet answers it. What the FDB says is left in the scratch, where the verifier does
 * not follow it from look-up to look-up. */
static __always_inline int flow_takes(struct shunt_packet* packet, const struct shunt_flow* flow) {
  if (!(shunt_config.features & SHUNT_FEATURE_BRIDGE) || !(flow->head.flags & SHUNT_FLOW_BRIDGE)) return 1;
  packet->scratch->bridged = shunt_bridge(&packet->scratch->key, flow->head.output, packet->port->round);
  return packet->scratch->bridged != 0;
}

static __always_inline void take_bridged(struct shunt_packet* packet) {
  __u32 answer;

  if (!(shunt_config.features & SHUNT_FEATURE_BRIDGE)) return;
  answer = *(const volatile __u32*)&packet->scratch->bridged;
  packet->bridged = answer & 0xffff;
  packet->young = answer >> 16;
}

/* The port that a flow with one output sends the packet to. */
static __always_inline __u32 output_of(const struct shunt_packet* packet, const struct shunt_flow* flow) {
  return (shunt_config.features & SHUNT_FEATURE_BRIDGE) && packet->bridged ? packet->bridged : flow->head.output;
}

/* Whether the packet must not overtake others that are in userspace. */
static __always_inline int is_young(const struct shunt_packet* packet, const struct shunt_flow* flow) {
  return (flow->head.flags & SHUNT_FLOW_YOUNG) ||
         ((shunt_config.features & SHUNT_FEATURE_BRIDGE) && packet->bridged && packet->young);
}

/* What the flow's other packets sent is counted by its output; a bridged one's, here. */
static __always_inline void count_bridged(const struct shunt_packet* packet, __u32 output, __u32 packets, __u64 bytes) {
  struct shunt_port_stats* stats;

  if (!(shunt_config.features & SHUNT_FEATURE_BRIDGE) || !packet->bridged) return;
  stats = stats_of(output);
  if (!stats) return;
  stats->bridged_packets += packets;
  stats->bridged_bytes += bytes;
}

#endif
