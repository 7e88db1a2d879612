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

static __always_inline struct shunt_fdb_bucket* fdb_bucket(__u64 spread, __u32 probe) {
  __u32 at = shunt_fdb_bucket_of(spread, probe);

  return bpf_map_lookup_elem(&fdb, &at);
}

/*
 * The bucket's entry of this name; 0: it has none. Which of the four it is no processor can guess, and a wrong guess
 * costs more than all four comparisons; the compiler would make branches of them.
 */
static __always_inline __u64 entry_in(const struct shunt_fdb_bucket* bucket, __u64 name) {
  __u64 found = 0;
  __u32 e;

#pragma unroll
  for (e = 0; e < SHUNT_FDB_ENTRIES; e++) {
    __u64 entry = *(const volatile __u64*)&bucket->entry[e];
    __s64 sign = (__s64)((entry ^ name) >> SHUNT_FDB_NAME_SHIFT) - 1; /* negative only where they are the same */

    asm volatile("" : "+r"(sign));
    found |= entry & (__u64)(sign >> 63);
  }
  return found;
}

static __always_inline __u64 fdb_entry(__u64 spread) {
  __u32 i;

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_FDB_PROBES; i++) {
    const struct shunt_fdb_bucket* bucket = fdb_bucket(spread, i);
    __u64 entry = bucket ? entry_in(bucket, shunt_fdb_name(spread, i)) : 0;

    if (entry) return entry;
  }
  return 0;
}

/*
 * Notes that a packet came from a MAC: once, until userspace has looked. If that has just changed the entry, the next
 * packet notes it. A function of its own, as it is hardly ever called.
 */
__noinline int shunt_note_used(__u64 spread) {
  __u32 i, e;

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_FDB_PROBES; i++) {
    struct shunt_fdb_bucket* bucket = fdb_bucket(spread, i);
    __u64 name = shunt_fdb_name(spread, i);

    if (!bucket) return 0;
#pragma unroll
    for (e = 0; e < SHUNT_FDB_ENTRIES; e++) {
      __u64 entry = *(volatile __u64*)&bucket->entry[e];

      if (!shunt_fdb_has_name(entry, name)) continue;
      return __sync_val_compare_and_swap(&bucket->entry[e], entry, entry | SHUNT_FDB_USED) == entry;
    }
  }
  return 0;
}

/*
 * Where a packet goes from one MAC to another (SHUNT_FDB_KEY()); 0: the FDB does not say. `form`: shunt_fdb_form().
 * Notes that the source is in use.
 */
static __always_inline __u32 ask_fdb(__u64 src_key, __u64 dst_key, __u32 in_port, __u32 form) {
  __u64 src_spread = shunt_fdb_spread(src_key, shunt_config.hash_seed, shunt_config.hash_multiplier);
  __u64 dst_spread = shunt_fdb_spread(dst_key, shunt_config.hash_seed, shunt_config.hash_multiplier);
  const struct shunt_fdb_bucket* bucket;
  __u64 src, dst;
  __u32 output;

  /* The destination's line is on its way while the source's is waited for. */
  bucket = fdb_bucket(dst_spread, 0);
  if (bucket) (void)*(const volatile __u64*)bucket;
  src = fdb_entry(src_spread);
  if (src == 0 || SHUNT_FDB_PORT(src) != in_port) return 0;
  dst = fdb_entry(dst_spread);
  output = SHUNT_FDB_PORT(dst);
  if (output == 0 || output == in_port || !(dst & form)) return 0;
  if (SHUNT_UNLIKELY(!(src & SHUNT_FDB_USED))) shunt_note_used(src_spread);
  return output | ((src | dst) & SHUNT_FDB_YOUNG ? SHUNT_BRIDGED_YOUNG : 0);
}

/* A function of its own: the verifier walks it once, not once a mask. */
__noinline __u32 shunt_bridge(__u64 src_key, __u64 dst_key, __u32 in_port, __u32 form) {
  return shunt_config.features & SHUNT_FEATURE_BRIDGE ? ask_fdb(src_key, dst_key, in_port, form) : 0;
}

/* Whether a flow that matches the packet answers it. What the FDB says is left in the scratch, where the verifier does
 * not follow it from look-up to look-up. */
static __always_inline int flow_takes(struct shunt_packet* packet, const struct shunt_flow* flow) {
  const struct shunt_flow_key* key = &packet->scratch->key;
  __u32 number = flow->head.output;

  if (!(shunt_config.features & SHUNT_FEATURE_BRIDGE) || !(flow->head.flags & SHUNT_FLOW_BRIDGE)) return 1;
  packet->scratch->bridged =
      shunt_bridge(shunt_fdb_src(key, number), shunt_fdb_dst(key, number), packet->in_port, shunt_fdb_form(key));
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

  if (!packet->bridged) return;
  stats = stats_of(output);
  if (!stats) return;
  stats->bridged_packets += packets;
  stats->bridged_bytes += bytes;
}

#endif
