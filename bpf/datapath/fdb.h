/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keys of the kernel's FDB (maps/fdb.h), and where they are looked for.
 */
#ifndef SHUNT_DATAPATH_FDB_H
#define SHUNT_DATAPATH_FDB_H

#include "bpf/datapath/mask.h"
#include "maps/fdb.h"

#define SHUNT_FDB_MAC 0xffffffffffffULL

SHUNT_INLINE __u64 shunt_fdb_dst(const struct shunt_flow_key* key, __u32 number) SHUNT_NOEXCEPT {
  return SHUNT_FDB_KEY(shunt_load64(key->eth_dst) & SHUNT_FDB_MAC, number);
}

SHUNT_INLINE __u64 shunt_fdb_src(const struct shunt_flow_key* key, __u32 number) SHUNT_NOEXCEPT {
  return SHUNT_FDB_KEY(shunt_load64(key->eth_src) & SHUNT_FDB_MAC, number);
}

/* The first bucket of a key; the others follow it. */
SHUNT_INLINE __u32 shunt_fdb_first(__u64 key, __u64 seed, __u64 multiplier) SHUNT_NOEXCEPT {
  return (__u32)(shunt_hash_step(seed, key, multiplier) >> 16) & (SHUNT_FDB_BUCKETS - 1);
}

/* The form in which a frame came, as the flags of an entry say that its port takes it. */
SHUNT_INLINE __u16 shunt_fdb_form(const struct shunt_flow_key* key) SHUNT_NOEXCEPT {
  return SHUNT_RAW(key->vlan[0].tci) & SHUNT_BE16(SHUNT_VLAN_PRESENT) ? SHUNT_FDB_TAGGED : SHUNT_FDB_UNTAGGED;
}

#endif
