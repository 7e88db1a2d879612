/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The levels that may know a packet's flow, one after the other: the same in XDP and in TC.
 */
#ifndef SHUNT_BPF_LOOKUP_H
#define SHUNT_BPF_LOOKUP_H

#include "bpf/datapath/hash.h"
#include "bpf/exact_match.bpf.h"
#include "bpf/megaflow.bpf.h"
#include "bpf/microflow.bpf.h"

/* The exact-match cache: the output port, and the flow's slot; < 0: it does not know. */
static __always_inline int lookup_microflow(struct shunt_packet* packet, struct shunt_plain* plain, __u32* slot) {
  int output = -1;
  __u32 way;

  plain_key(packet, plain);
  if (!plain->valid) return -1;
#pragma unroll
  for (way = 0; way < SHUNT_MICROFLOW_WAYS; way++) {
    const struct shunt_microflow* m = microflow_at(plain->hash, way);

    if (m) output = microflow_answer(m, plain, packet->in_port, slot);
    if (output >= 0) break;
  }
  if (!(shunt_config.features & SHUNT_FEATURE_BRIDGE) || output < 0) return output;
  if (output & SHUNT_MICROFLOW_BRIDGED) packet->bridged = (__u32)output & ~SHUNT_MICROFLOW_BRIDGED;
  return output & ~SHUNT_MICROFLOW_BRIDGED;
}

/* The flow of the key in the scratch; 0: there is none. To be counted by count_lookup(). */
static __always_inline struct shunt_flow* lookup_megaflow(struct shunt_packet* packet) {
  int hints = (shunt_config.features & SHUNT_FEATURE_HINTS) && (packet->port->flags & SHUNT_PORT_HINTS);
  struct shunt_flow* flow;
  __u32 position = 0;
  __u64 hash = 0;

  packet->scratch->bridged = 0;
  flow = hints ? exact_match_lookup(packet, &hash) : 0;
  if (!flow) {
    flow = megaflow_lookup(packet, &position);
    if (flow && hints && position >= SHUNT_HINT_POSITION) exact_match_remember(hash, flow->head.slot);
  }
  take_bridged(packet);
  return flow;
}

/* Select groups look at it. */
static __always_inline void hash_key(struct shunt_flow_key* key) {
  if (shunt_config.features & SHUNT_FEATURE_HASH)
    key->dp_hash = shunt_dp_hash(key, shunt_config.hash_seed, shunt_config.hash_multiplier);
}

#endif
