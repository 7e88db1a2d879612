/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel knows of the FDBs: with it one flow (SHUNT_ACT_BRIDGE) answers all packets of a port and VLAN, however
 * many pairs of MACs talk. Userspace is its only writer, but for SHUNT_FDB_USED.
 *
 *   fdb   ARRAY   buckets of entries: MAC and the number of its bridge and VLAN -> port
 *
 * A packet asks for two entries, each a line of memory that hardly ever lies in a cache near by: so an entry is one word.
 * A permutation of the key's 64 bits (shunt_fdb_spread()) says in its lower 16 which bucket is the key's first, and the
 * upper 48 are in the entry, with how far behind that bucket it lies: from an entry's place and these its key can be
 * told again. The rest of the word is what is known of the key. Entries are read and written whole.
 */
#ifndef SHUNT_MAPS_FDB_H
#define SHUNT_MAPS_FDB_H

#include "maps/types.h"

#define SHUNT_FDB_BUCKETS 65536 /* by the lower 16 bits of a key that is spread */
#define SHUNT_FDB_ENTRIES 4     /* of a bucket, which is half a cache line */
#define SHUNT_FDB_PROBES 4      /* buckets tried for a key, one behind the other */

/*
 * An entry's lower bits: the datapath port (SHUNT_MAX_PORTS), flags, and from SHUNT_FDB_NAME_SHIFT on which of the
 * key's buckets this is. 0: the entry is free.
 */
#define SHUNT_FDB_PORT(entry) ((__u32)(entry) & (SHUNT_MAX_PORTS - 1))
#define SHUNT_FDB_NAME_SHIFT 14
enum {
	SHUNT_FDB_UNTAGGED = 1 << 10, /* the port sends frames of this VLAN that came untagged as they came */
	SHUNT_FDB_TAGGED = 1 << 11,   /* ... that came with the VLAN's tag */
	SHUNT_FDB_YOUNG = 1 << 12,    /* new: forwards only when no earlier packet of its flow is in userspace */
	SHUNT_FDB_USED = 1 << 13,     /* a packet came from it since userspace looked last; set by the kernel */
};

struct shunt_fdb_bucket {
	__u64 entry[SHUNT_FDB_ENTRIES];
};
SHUNT_MAP_TYPE(struct shunt_fdb_bucket, 32);

/* A key: the MAC as it lies in the frame, in the lower 48 bits, and the number, which a BRIDGE action's arg is. */
#define SHUNT_FDB_KEY(mac, number) ((__u64)(number) << 48 | (mac))

#endif
