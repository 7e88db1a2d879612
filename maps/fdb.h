/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel knows of the FDBs: with it one flow (SHUNT_ACT_BRIDGE) answers all packets of a port and VLAN, however
 * many pairs of MACs talk. Userspace is its only writer, but for `used`.
 *
 *   fdb   ARRAY   buckets of entries: MAC and the number of its bridge and VLAN -> port
 *
 * An entry is in one of SHUNT_FDB_PROBES buckets from its hash on. A key is written last, and stays in its place until a
 * grace period after its port has become 0: who finds a key reads what is, or was, that key's own.
 */
#ifndef SHUNT_MAPS_FDB_H
#define SHUNT_MAPS_FDB_H

#include "maps/types.h"

#define SHUNT_FDB_BUCKETS 65536 /* a power of two */
#define SHUNT_FDB_ENTRIES 4     /* of a bucket, which is one cache line */
#define SHUNT_FDB_PROBES 4      /* buckets tried for a key */

enum {
	SHUNT_FDB_UNTAGGED = 1 << 0, /* the port sends frames of this VLAN that came untagged as they came */
	SHUNT_FDB_TAGGED = 1 << 1,   /* ... that came with the VLAN's tag */
	SHUNT_FDB_YOUNG = 1 << 2,    /* new: forwards only when no earlier packet of its flow is in userspace */
};

struct shunt_fdb_entry {
	__u8 mac[6];
	__u16 number; /* of bridge and VLAN: a BRIDGE action's arg; 0: free */
	__u16 port;   /* datapath port; 0: the MAC is not known (any more) */
	__u16 flags;  /* SHUNT_FDB_* */
	__u32 used;   /* shunt_port.round when a packet came from it last; written by the kernel */
};
SHUNT_MAP_TYPE(struct shunt_fdb_entry, 16);

struct shunt_fdb_bucket {
	struct shunt_fdb_entry entry[SHUNT_FDB_ENTRIES];
};
SHUNT_MAP_TYPE(struct shunt_fdb_bucket, 64);

/* The first word of an entry: `mac` as it lies in the frame, in the lower 48 bits. */
#define SHUNT_FDB_KEY(mac, number) ((__u64)(number) << 48 | (mac))

#endif
