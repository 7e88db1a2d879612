/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dp_hash: the number by which select groups spread packets, over L2 to L4 of the packet as received.
 *
 * Packets of one connection and direction have the same, fragments of one datagram too: ports, and the protocol that
 * IPv6 names in a first fragment only, are left out of fragments. Seed and multiplier are those of the flow tables
 * (shunt_config): nobody outside can compute which bucket a packet meets. Kernel and daemon get the same number.
 */
#ifndef SHUNT_DATAPATH_HASH_H
#define SHUNT_DATAPATH_HASH_H

#include "bpf/datapath/compiler.h"
#include "bpf/datapath/mask.h"
#include "maps/flow_key.h"

/*
 * Of a key that was parsed with SHUNT_FEATURE_HASH: addresses, protocol and ports are in it, where the packet has them.
 * Three chains that do not wait for each other, then one: source, destination (words of maps/flow_key.h), L2 and L4.
 */
SHUNT_INLINE __u32 shunt_dp_hash(const struct shunt_flow_key* key, __u64 seed, __u64 multiplier) SHUNT_NOEXCEPT {
  __u64 src = shunt_hash_begin(seed, 0);
  __u64 dst = shunt_hash_begin(seed, 1);
  __u64 rest = shunt_hash_begin(seed, 2);
  __u64 l4 = 0;

  if (!key->nw_frag) l4 = (__u64)key->nw_proto << 32 | (__u32)SHUNT_RAW(key->tp_src) << 16 | SHUNT_RAW(key->tp_dst);
  src = shunt_hash_step(src, shunt_key_word(key, 6), multiplier);
  dst = shunt_hash_step(dst, shunt_key_word(key, 8), multiplier);
  rest = shunt_hash_step(rest, shunt_key_word(key, 1), multiplier);
  src = shunt_hash_step(src, shunt_key_word(key, 7), multiplier);
  dst = shunt_hash_step(dst, shunt_key_word(key, 9), multiplier);
  rest = shunt_hash_step(rest, shunt_key_word(key, 2), multiplier);
  rest = shunt_hash_step(rest, l4, multiplier);
  rest = shunt_hash_step(rest ^ src, dst, multiplier);
  return (__u32)shunt_hash_end(rest, multiplier);
}

#endif
