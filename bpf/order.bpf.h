/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's half of upcall_order (maps/flow.h): which flows have packets on a slower way, that later ones must not
 * overtake.
 */
#ifndef SHUNT_BPF_ORDER_H
#define SHUNT_BPF_ORDER_H

#include "bpf/datapath/hash.h"
#include "bpf/datapath/mask.h"
#include "bpf/maps.bpf.h"

/*
 * The bucket of upcall_order: over what all packets of a flow share. TCP flags, TTL and ToS change from packet to
 * packet of one connection, and ports are missing in later fragments: they are left out.
 */
static __always_inline __u32 order_bucket(const struct shunt_flow_key* key) {
  __u64 multiplier = shunt_config.hash_multiplier;
  __u64 hash = shunt_hash_begin(shunt_config.hash_seed, SHUNT_MASK_EXACT);
  __u64 ports = key->nw_frag ? 0 : (__u64)key->tp_src << 16 | key->tp_dst;
  __u32 i;

#pragma unroll
  for (i = 0; i < 4; i++) hash = shunt_hash_step(hash, shunt_key_word(key, i), multiplier);
  hash = shunt_hash_step(hash, (__u64)key->nw_proto << 32 | ports, multiplier);
#pragma unroll
  for (i = 6; i < 10; i++) hash = shunt_hash_step(hash, shunt_key_word(key, i), multiplier);
  return shunt_hash_bucket(shunt_hash_end(hash, multiplier), SHUNT_ORDER_BUCKETS - 1);
}

/* Whether an earlier packet of these flows is still on its way through userspace. */
static __always_inline int in_userspace(const struct shunt_flow_key* key) {
  __u32 at = order_bucket(key);
  const volatile struct shunt_order* order = bpf_map_lookup_elem(&upcall_order, &at);

  return order && order->handed_up != order->finished;
}

#endif
