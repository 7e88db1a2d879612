/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The exact-match level, for ports with several masks: the hash of all bits that any mask looks at leads to the slot
 * that answered such a packet last. A hint proves nothing: the slot's key is compared under the slot's mask as in any
 * look-up, so that hints may be stale, and need no invalidation. Filled here, by plain 64-bit stores.
 */
#ifndef SHUNT_BPF_EXACT_MATCH_H
#define SHUNT_BPF_EXACT_MATCH_H

#include "bpf/megaflow.bpf.h"

/* From this position in the port's list of masks on, a hint costs less than the look-ups it saves. */
#define SHUNT_HINT_POSITION 2

static __always_inline struct shunt_flow* exact_match_lookup(struct shunt_packet* packet, __u64* hash) {
  const struct shunt_flow_key* key = &packet->scratch->key;
  __u32 mask_number = SHUNT_MASK_UNION;
  const struct shunt_mask* mask = bpf_map_lookup_elem(&masks, &mask_number);
  const struct shunt_hint_bucket* bucket;
  struct shunt_flow* flow;
  __u32 at, slot;

  if (!mask) return 0;
  *hash = shunt_hash_masked(key, mask, mask_number, shunt_config.hash_seed, shunt_config.hash_multiplier);
  at = shunt_hash_bucket(*hash, SHUNT_HINT_BUCKETS - 1);
  bucket = bpf_map_lookup_elem(&flow_hints, &at);
  if (!bucket) return 0;
  slot = slot_of_tag(bucket->entry, SHUNT_HINTS, shunt_hash_tag(*hash));
  if (slot == SHUNT_NO_SLOT) return 0;
  flow = bpf_map_lookup_elem(&flows, &slot);
  if (!flow) return 0;
  mask_number = flow->head.mask;
  mask = bpf_map_lookup_elem(&masks, &mask_number);
  if (!mask || !flow_answers(flow, mask, mask_number, packet)) return 0;
  packet->hinted = 1;
  return flow;
}

/* Remembers what answered. The hint of the same tag is replaced, then an empty one, then any. */
static __always_inline void exact_match_remember(__u64 hash, __u32 slot) {
  __u32 at = shunt_hash_bucket(hash, SHUNT_HINT_BUCKETS - 1);
  struct shunt_hint_bucket* bucket = bpf_map_lookup_elem(&flow_hints, &at);
  __u32 tag = shunt_hash_tag(hash);
  __u32 victim, i;

  if (!bucket) return;
  victim = (__u32)(hash >> 29) & (SHUNT_HINTS - 1);
  for (i = 0; i < SHUNT_HINTS; i++) {
    __u64 e = bucket->entry[i];

    if (e == 0) victim = i;
    if (SHUNT_INDEX_TAG(e) == tag) {
      victim = i;
      break;
    }
  }
  *(volatile __u64*)&bucket->entry[victim & (SHUNT_HINTS - 1)] = SHUNT_INDEX_ENTRY(tag, slot);
}

#endif
