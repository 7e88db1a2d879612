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

static __always_inline struct shunt_fdb_bucket* fdb_bucket(__u32 number) {
  __u32 at = number & (SHUNT_FDB_BUCKETS - 1);

  return bpf_map_lookup_elem(&fdb, &at);
}

/* 1: they differ; 0. Without a branch, which the compiler makes of a comparison. */
static __always_inline __u64 differ(__u64 a, __u64 b) {
  __u64 bits = a ^ b, negative = -bits;

  asm volatile("" : "+r"(negative));
  return (bits | negative) >> 63;
}

/* Where in the bucket the key is; SHUNT_FDB_ENTRIES: nowhere. Which of the four it is no processor can guess, and a
 * wrong guess costs more than all four comparisons. */
static __always_inline __u64 position_in(const struct shunt_fdb_bucket* bucket, __u64 key) {
  __u64 position = 0, so_far = 1;
  __u32 e;

#pragma unroll
  for (e = 0; e < SHUNT_FDB_ENTRIES; e++) {
    so_far &= differ(*(const volatile shunt_word*)&bucket->entry[e], key);
    position += so_far;
  }
  return position;
}

static __always_inline struct shunt_fdb_entry* fdb_entry(__u64 key, __u32 first) {
  __u32 i;

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_FDB_PROBES; i++) {
    struct shunt_fdb_bucket* bucket = fdb_bucket(first + i);
    __u64 position;

    if (!bucket) return 0;
    position = position_in(bucket, key);
    if (position < SHUNT_FDB_ENTRIES) return &bucket->entry[position];
  }
  return 0;
}

/*
 * Where a packet goes from one MAC to another (SHUNT_FDB_KEY()); 0: the FDB does not say. `form`: shunt_fdb_form().
 * Notes that the source is in use.
 */
static __always_inline __u32 ask_fdb(__u64 src_key, __u64 dst_key, __u32 in_port, __u32 form, __u32 round) {
  __u32 src_first = shunt_fdb_first(src_key, shunt_config.hash_seed, shunt_config.hash_multiplier);
  __u32 dst_first = shunt_fdb_first(dst_key, shunt_config.hash_seed, shunt_config.hash_multiplier);
  struct shunt_fdb_entry *src, *dst;
  struct shunt_fdb_bucket* bucket;
  __u32 output, flags;

  /* The destination's line is on its way while the source's is waited for. */
  bucket = fdb_bucket(dst_first);
  if (bucket) (void)*(const volatile shunt_word*)bucket;
  src = fdb_entry(src_key, src_first);
  if (!src || src->port != in_port) return 0;
  dst = fdb_entry(dst_key, dst_first);
  if (!dst) return 0;
  output = *(const volatile __u32*)&dst->port; /* port and flags, which belong together */
  flags = output >> 16;
  output &= 0xffff;
  if (output == 0 || output == in_port || !(flags & form)) return 0;
  if (src->used != round) src->used = round;
  return output | ((flags | src->flags) & SHUNT_FDB_YOUNG ? SHUNT_BRIDGED_YOUNG : 0);
}

/* A function of its own: the verifier walks it once, not once a mask. */
__noinline __u32 shunt_bridge(__u64 src_key, __u64 dst_key, __u32 in_port, __u32 form, __u32 round) {
  return shunt_config.features & SHUNT_FEATURE_BRIDGE ? ask_fdb(src_key, dst_key, in_port, form, round) : 0;
}

/* Whether a flow that matches the packet answers it. What the FDB says is left in the scratch, where the verifier does
 * not follow it from look-up to look-up. */
static __always_inline int flow_takes(struct shunt_packet* packet, const struct shunt_flow* flow) {
  const struct shunt_flow_key* key = &packet->scratch->key;
  __u32 number = flow->head.output;

  if (!(shunt_config.features & SHUNT_FEATURE_BRIDGE) || !(flow->head.flags & SHUNT_FLOW_BRIDGE)) return 1;
  packet->scratch->bridged = shunt_bridge(shunt_fdb_src(key, number), shunt_fdb_dst(key, number), packet->in_port,
                                          shunt_fdb_form(key), packet->port->round);
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
