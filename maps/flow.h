/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow cache. Userspace is its only writer; the kernel reads, and counts.
 *
 *   megaflows     HASH    masked key -> verdict: the flow table, complete; what bpftool shows and a restart adopts
 *   flows         ARRAY   slot -> the same flow, laid out for one or two cache lines a hit
 *   action_lists  ARRAY   the actions of flows that are more than one output; flows with equal lists share one
 *   flow_index    ARRAY   hash of a masked key -> slot, behind a 32-bit tag; derived from megaflows
 *   microflows    ARRAY   what a plain packet's headers say -> verdict: the exact-match cache, filled by the kernel
 *   flow_hints    ARRAY   hash of a full key -> slot, for packets that are not plain; filled by the kernel; a hint is verified
 *   flow_counters ARRAY   [cpu * flow_limit + slot]: what each CPU counted
 *   flow_deltas   ARRAY   [cpu * flow_limit + slot]: where what was sent is not what was counted
 *   masks         ARRAY   mask number -> the words it keeps
 *
 * A look-up by mask hashes the words that the mask keeps, reads one bucket of flow_index, and compares the slot's packed key
 * with the packet's. A bucket with no room left says so (overflow); then the hash map itself is asked. A flow
 * counts only while its generation equals its port's: raising that number invalidates all of the port's flows at once.
 *
 * Publishing: actions, slot, then megaflows, then the index entry (one 64-bit store). Retiring: the index entry and
 * megaflows first; the slot and its actions are reused only after an RCU grace period.
 */
#ifndef SHUNT_MAPS_FLOW_H
#define SHUNT_MAPS_FLOW_H

#include "maps/actions.h"
#include "maps/flow_key.h"
#include "maps/types.h"

enum {
	SHUNT_FLOW_SINGLE_OUTPUT = 1 << 0, /* one OUTPUT and nothing else: `output` says where, actions need no loop */
	SHUNT_FLOW_YOUNG = 1 << 1,         /* just published: forwards only when no earlier packet of it is in userspace */
	SHUNT_FLOW_EDITS = 1 << 2,         /* changes the frame */
	SHUNT_FLOW_TC = 1 << 3,            /* TC can run it (bpf/tc.bpf.c) */
	SHUNT_FLOW_BRIDGE = 1 << 4,        /* BRIDGE alone: `output` says by which FDB; answers what that knows */
	SHUNT_FLOW_LIST = 1 << 5,          /* a list that is run here, packet by packet alike: no dice, nothing for userspace */
	SHUNT_FLOW_REWRITE = 1 << 6,       /* behind the list stand its edits in one (maps/actions.h) */
};

/* What a hit reads first. 16 bytes. */
struct shunt_flow_head {
	__u32 generation; /* valid while equal to shunt_port.generation of the key's in_port; 0: never */
	__u32 slot;       /* of `flows` and `flow_counters` */
	__u16 mask;       /* number in `masks` */
	__u16 output;     /* SINGLE_OUTPUT: datapath port; BRIDGE: number of the FDB */
	__u8 action_count; /* SINGLE_OUTPUT: 0 */
	__u8 flags; /* SHUNT_FLOW_* */
	__u16 fields; /* SHUNT_PLAIN_*: what the mask looks at, and the FDB */
};
SHUNT_MAP_TYPE(struct shunt_flow_head, 16);

/* flows: an element. key[i] is the i-th word that the mask keeps, masked. */
struct shunt_flow {
	struct shunt_flow_head head;
	__u64 key[SHUNT_KEY_WORDS];
	__u32 actions; /* action_count elements of action_lists, from this one on */
	__u8 zero[44];
};
SHUNT_MAP_TYPE(struct shunt_flow, 192);

/* megaflows: key and value. */
struct shunt_megaflow_key {
	struct shunt_flow_key key; /* under the mask */
	__u32 mask;
	__u32 zero;
};
SHUNT_MAP_TYPE(struct shunt_megaflow_key, 136);

struct shunt_megaflow {
	struct shunt_flow_head head;
	__u32 actions; /* as in `flows` */
	__u32 zero;
};
SHUNT_MAP_TYPE(struct shunt_megaflow, 24);

/* masks: an element. Word i of a packed key is key.words[word[i]] & bits[i]. word_count 0: unused number. */
struct shunt_mask {
	__u8 word_count;
	__u8 zero[7];
	__u8 word[SHUNT_KEY_WORDS]; /* ascending */
	__u64 bits[SHUNT_KEY_WORDS];
};
SHUNT_MAP_TYPE(struct shunt_mask, 152);

/* Mask 0 keeps every bit: flows of a port whose list of masks is full are cached exactly. */
#define SHUNT_MASK_EXACT 0
/* Mask 1 is not a megaflow's: the union of all masks in use, over which the exact-match level hashes. */
#define SHUNT_MASK_UNION 1
#define SHUNT_MASK_FIRST 2

/* flow_index and flow_hints: an entry, tag << 32 | slot; 0 is empty (a tag is never 0). */
#define SHUNT_INDEX_ENTRY(tag, slot) ((__u64)(tag) << 32 | (slot))
#define SHUNT_INDEX_TAG(entry) ((__u32)((entry) >> 32))
#define SHUNT_INDEX_SLOT(entry) ((__u32)(entry))

struct shunt_index_bucket {
	__u64 entry[SHUNT_BUCKET_ENTRIES];
	__u64 overflow; /* flows of this bucket that are in `megaflows` only */
};
SHUNT_MAP_TYPE(struct shunt_index_bucket, 64);

struct shunt_hint_bucket {
	__u64 entry[SHUNT_HINTS];
};
SHUNT_MAP_TYPE(struct shunt_hint_bucket, 64);

/*
 * The exact-match cache. A packet is plain where an IPv4 header has neither options nor fragments, and one of IPv6 no
 * extension headers, and at most two tags are before the type that says so; of other types only Ethernet and tags are
 * looked at. A plain packet's key is what it has of the fields that flows of its port look at (shunt_port.microflows), whole:
 * no masks.
 */
enum {
	SHUNT_PLAIN_DST = 1 << 0,
	SHUNT_PLAIN_SRC = 1 << 1,
	SHUNT_PLAIN_TYPE = 1 << 2,
	SHUNT_PLAIN_VLAN = 1 << 3,
	SHUNT_PLAIN_IP_SRC = 1 << 4,
	SHUNT_PLAIN_IP_DST = 1 << 5,
	SHUNT_PLAIN_PROTO = 1 << 6,
	SHUNT_PLAIN_TOS = 1 << 7,
	SHUNT_PLAIN_PORTS = 1 << 8,
	SHUNT_PLAIN_TCP_FLAGS = 1 << 9,
	SHUNT_PLAIN_NOT_IP = 1 << 10,   /* what plain packets of IP have alike, but for ICMPv6: ARP's, ND's and MPLS' fields */
	SHUNT_PLAIN_OTHER = 1 << 11,    /* what no key of this cache holds: TTL, the hash of select groups */
	SHUNT_PLAIN_LABEL = 1 << 12,    /* IPv6's flow label, which IPv4 packets have alike */
	SHUNT_PLAIN_BRIDGE = 1 << 14,   /* some flow asks the FDB; in shunt_port.microflows: and is kept so */
	SHUNT_PLAIN_ON = 1 << 15,       /* in shunt_port.microflows: the cache may be asked */
};
#define SHUNT_PLAIN_L2 (SHUNT_PLAIN_DST | SHUNT_PLAIN_SRC | SHUNT_PLAIN_TYPE | SHUNT_PLAIN_VLAN)
#define SHUNT_PLAIN_L4 (SHUNT_PLAIN_PORTS | SHUNT_PLAIN_TCP_FLAGS)
#define SHUNT_PLAIN_L3 \
	(SHUNT_PLAIN_IP_SRC | SHUNT_PLAIN_IP_DST | SHUNT_PLAIN_PROTO | SHUNT_PLAIN_TOS | SHUNT_PLAIN_LABEL | SHUNT_PLAIN_L4)

#define SHUNT_PLAIN_WORDS 4

/* shunt_port.microflows: a number that changes whenever a flow of the port goes, and the fields that its flows look at. */
#define SHUNT_MICROFLOWS_SHIFT 16
#define SHUNT_MICROFLOWS(number, fields) ((__u64)(number) << SHUNT_MICROFLOWS_SHIFT | (fields))
#define SHUNT_MICROFLOWS_FIELDS(microflows) ((microflows) & ((1u << SHUNT_MICROFLOWS_SHIFT) - 1))

/*
 * microflows: a map element is a group of four units, two cache lines, which processors fetch together. A key has one,
 * two or four units of one group (shunt_microflow_unit.in_port says), whose place in it is a multiple of how many they are:
 *
 *   LINK     1  first two words of the key; the others are 0
 *   NETWORK  1  the other two; the first say no more than "IPv4, no tag"
 *   LONG     2  all four
 *   WIDE     4  (or WIDE and LONG) and what has no room in these: IPv6's addresses, a second tag, a tag's type other than 802.1Q's
 *
 * Several CPUs may write units at once: the first one's `check` is made of all the rest (bpf/datapath/microflow_units.h), so
 * that what two of them wrote together answers nothing. A flow that goes need not be looked for here: its port's number
 * changes, of which `check` is made, too.
 */
struct shunt_microflow_unit {
	__u64 key[2];  /* first unit: as above; second: the key's other two words; third, fourth: IPv6's source, destination address */
	__u32 slot;    /* WIDE, second unit: the tags' types */
	__u16 output;  /* datapath port, and SHUNT_MICROFLOW_BRIDGE: the FDB said so; of an FDB that is to be asked, the number;
	                  SHUNT_MICROFLOW_LIST: the flow's list is to be run; WIDE, second unit: the inner tag's TCI */
	__u16 in_port; /* and its form, and SHUNT_MICROFLOW_BRIDGE: the FDB is to be asked, and the key is without MACs;
	                  0: not a first unit */
	__u64 check;   /* not a first unit: 0 */
};
SHUNT_MAP_TYPE(struct shunt_microflow_unit, 32);

#define SHUNT_MICROFLOW_UNITS 4
struct shunt_microflow_group {
	struct shunt_microflow_unit unit[SHUNT_MICROFLOW_UNITS];
};
SHUNT_MAP_TYPE(struct shunt_microflow_group, 128);

#define SHUNT_MICROFLOW_BRIDGE 0x8000
#define SHUNT_MICROFLOW_LINK 0x0000
#define SHUNT_MICROFLOW_NETWORK 0x1000
#define SHUNT_MICROFLOW_LONG 0x2000
#define SHUNT_MICROFLOW_WIDE 0x4000
#define SHUNT_MICROFLOW_FORM 0x7000
#define SHUNT_MICROFLOW_PORT 0x0fff
#define SHUNT_MICROFLOW_LIST 0x4000 /* in `output`, and nothing else */

struct shunt_flow_counters {
	__u64 packets; /* run here, or handed up for good: what goes up from within a list of actions is userspace's to count */
	__u64 bytes;   /* as received */
};
SHUNT_MAP_TYPE(struct shunt_flow_counters, 16);

/* Touched only by packets that leave with another length, or not at all though the flow has an output. */
struct shunt_flow_delta {
	__u64 bytes; /* sent less received, of all that were counted; two's complement */
	__u64 lost;  /* packets: over a meter's rate, too long for the port, no room for an edit */
};
SHUNT_MAP_TYPE(struct shunt_flow_delta, 16);

/*
 * upcall_order: [hash of the full key % SHUNT_ORDER_BUCKETS]. The kernel counts what it hands up, userspace what it has
 * finished with (sent or dropped). Equal: no packet of these flows is on its way through userspace, and a young flow may
 * forward in the kernel without overtaking.
 */
struct shunt_order {
	__u32 handed_up;
	__u32 finished;
};
SHUNT_MAP_TYPE(struct shunt_order, 8);

#endif
