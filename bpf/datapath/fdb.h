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

/*
 * A permutation of keys, since the multiplier is odd; what of it is where maps/fdb.h says. Two steps: by one, MACs that
 * are numbered in a row are spread by multiples of one number, and with one of ten multipliers that leaves most buckets
 * empty and others too full.
 */
SHUNT_INLINE __u64 shunt_fdb_spread(__u64 key, __u64 seed, __u64 multiplier) SHUNT_NOEXCEPT {
  __u64 hash = shunt_hash_step(shunt_hash_step(seed, key, multiplier), 0, multiplier);

  return hash >> 16 | hash << 48;
}

/* The bucket that is tried as number `probe`. */
SHUNT_INLINE __u32 shunt_fdb_bucket_of(__u64 spread, __u32 probe) SHUNT_NOEXCEPT {
  return ((__u32)spread + probe) & (SHUNT_FDB_BUCKETS - 1);
}

/* An entry in that bucket, but for the bits that say something of its key. */
SHUNT_INLINE __u64 shunt_fdb_name(__u64 spread, __u32 probe) SHUNT_NOEXCEPT {
  return (spread & ~0xffffULL) | (__u64)probe << SHUNT_FDB_NAME_SHIFT;
}

/* Whether the entry has that name; one that is free has none. */
SHUNT_INLINE int shunt_fdb_has_name(__u64 entry, __u64 name) SHUNT_NOEXCEPT {
  return entry != 0 && (entry ^ name) >> SHUNT_FDB_NAME_SHIFT == 0;
}

/* The form in which a frame came, as the flags of an entry say that its port takes it. */
SHUNT_INLINE __u16 shunt_fdb_form(const struct shunt_flow_key* key) SHUNT_NOEXCEPT {
  return SHUNT_RAW(key->vlan[0].tci) & SHUNT_BE16(SHUNT_VLAN_PRESENT) ? SHUNT_FDB_TAGGED : SHUNT_FDB_UNTAGGED;
}

#endif
