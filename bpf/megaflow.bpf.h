/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The megaflow level: the masks of the packet's port, one after the other. For each, hash the words that it keeps, read
 * one bucket of flow_index, compare one slot's packed key. At most SHUNT_PORT_MASKS look-ups and an exact one, whatever
 * the rules are.
 */
#ifndef SHUNT_BPF_MEGAFLOW_H
#define SHUNT_BPF_MEGAFLOW_H

#include "bpf/bridge.bpf.h"
#include "bpf/datapath/mask.h"
#include "bpf/stats.bpf.h"

/* Where SHUNT_MASK_EXACT stands: behind the list. */
#define SHUNT_EXACT_POSITION SHUNT_PORT_MASKS

/* The lower half of a bucket's entry, whose tag matched; SHUNT_NO_SLOT: none did. */
#define SHUNT_NO_SLOT (~0u)

static __always_inline __u32 slot_of_tag(const __u64* entry, __u32 count, __u32 tag) {
  __u32 i;

#pragma unroll
  for (i = 0; i < count; i++) {
    __u64 e = *(const volatile __u64*)&entry[i];

    if (SHUNT_INDEX_TAG(e) == tag) return SHUNT_INDEX_SLOT(e);
  }
  return SHUNT_NO_SLOT;
}

/* Whether the slot answers this packet: alive, of this mask, with the packet's key. */
static __always_inline int flow_answers(const struct shunt_flow* flow, const struct shunt_mask* mask, __u32 mask_number,
                                        struct shunt_packet* packet) {
  return flow->head.generation == packet->port->generation && flow->head.mask == mask_number &&
         shunt_packed_equal(&packet->scratch->key, mask, flow->key) && flow_takes(packet, flow);
}

/* The i-th of a flow's list; 0 where it has no list that long. */
static __always_inline const struct shunt_action* action_of(const struct shunt_flow* flow, __u32 i) {
  __u32 at = flow->actions + i;

  return i < flow->head.action_count ? bpf_map_lookup_elem(&action_lists, &at) : 0;
}

/* Asks the table itself: the bucket had no room for the flow, or two flows share bucket and tag. */
static __noinline __u32 slot_in_table(struct shunt_scratch* scratch, __u32 mask_number) {
  const struct shunt_mask* mask = bpf_map_lookup_elem(&masks, &mask_number);
  const struct shunt_megaflow* flow;

  if (!mask) return SHUNT_NO_SLOT;
  shunt_mask_key(&scratch->key, mask, &scratch->masked.key);
  scratch->masked.mask = mask_number;
  scratch->masked.zero = 0;
  flow = bpf_map_lookup_elem(&megaflows, &scratch->masked);
  return flow ? flow->head.slot : SHUNT_NO_SLOT;
}

static __always_inline struct shunt_flow* flow_under_mask(struct shunt_packet* packet, __u32 mask_number) {
  struct shunt_scratch* scratch = packet->scratch;
  const struct shunt_mask* mask = bpf_map_lookup_elem(&masks, &mask_number);
  const struct shunt_index_bucket* bucket;
  struct shunt_flow* flow;
  __u32 at, slot;
  __u64 hash;

  if (!mask) return 0;
  hash = shunt_hash_masked(&scratch->key, mask, mask_number, shunt_config.hash_seed, shunt_config.hash_multiplier);
  at = shunt_hash_bucket(hash, shunt_config.index_mask);
  bucket = bpf_map_lookup_elem(&flow_index, &at);
  if (!bucket) return 0;
  slot = slot_of_tag(bucket->entry, SHUNT_BUCKET_ENTRIES, shunt_hash_tag(hash));
  if (slot != SHUNT_NO_SLOT) {
    flow = bpf_map_lookup_elem(&flows, &slot);
    if (flow && flow_answers(flow, mask, mask_number, packet)) return flow;
  } else if (!bucket->overflow) {
    return 0;
  }
  slot = slot_in_table(scratch, mask_number);
  flow = bpf_map_lookup_elem(&flows, &slot);
  if (flow && flow_answers(flow, mask, mask_number, packet)) return flow;
  return 0;
}

/* The flow that answers, and at which position of the port's list of masks; 0: none does. */
static __always_inline struct shunt_flow* megaflow_lookup(struct shunt_packet* packet, __u32* position) {
  const struct shunt_port* port = packet->port;
  __u32 count = port->mask_count;
  struct shunt_flow* flow;
  __u32 i;

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_PORT_MASKS; i++) {
    if (i >= count) break;
    flow = flow_under_mask(packet, port->masks[i]);
    if (flow) {
      *position = i;
      packet->lookups = i + 1;
      return flow;
    }
  }
  packet->lookups = i;
  if (!(port->flags & SHUNT_PORT_EXACT)) return 0;
  packet->lookups++;
  flow = flow_under_mask(packet, SHUNT_MASK_EXACT);
  if (flow) *position = SHUNT_EXACT_POSITION;
  return flow;
}

#endif
