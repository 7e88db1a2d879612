/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Datapath ports, their counters, and what goes up with a packet.
 */
#ifndef SHUNT_MAPS_PORT_H
#define SHUNT_MAPS_PORT_H

#include "maps/drop_reason.h"
#include "maps/types.h"

enum {
	SHUNT_PORT_LOCAL_STACK = 1 << 0, /* the other end is a local stack: complete partial checksums on receive */
	SHUNT_PORT_HINTS = 1 << 1,       /* the exact-match level pays here (enough masks) */
	SHUNT_PORT_EXACT = 1 << 2,       /* some flows are cached exactly: SHUNT_MASK_EXACT is asked last */
	SHUNT_PORT_NO_FRAGS = 1 << 3,    /* its driver sends no frame of several buffers */
	SHUNT_PORT_TC = 1 << 4,          /* its packets come in by TC; XDP has from the lane what TC leaves to it */
};

/*
 * ports: [datapath port]. Written by userspace, read by the kernel. Element 0 is no port but the lane: the interface that
 * TC sends to what it leaves to XDP, and its queues (ifindex 0: there is none).
 */
struct shunt_port {
	__u32 ifindex;    /* 0: no such port */
	__u32 generation; /* of its flows; never 0 for a port in use */
	__u32 flags;      /* SHUNT_PORT_* */
	__u16 queue_count; /* AF_XDP sockets */
	__u16 mask_count;
	__u32 upcall_rate;  /* token bucket of misses: packets a second; 0: none go up */
	__u32 upcall_burst; /* packets */
	__u16 masks[SHUNT_PORT_MASKS]; /* by decayed hits, newcomers last */
	__u32 mtu;          /* of the interface, bytes without the Ethernet header */
	__u32 microflow_groups; /* of `microflows`, that are in use: an even number, the same for all ports */
	__u64 microflows; /* SHUNT_MICROFLOWS(): what the exact-match cache has of this port is what has this number */
	__u64 zeros[7];
};
SHUNT_MAP_TYPE(struct shunt_port, 128);

/* The AF_XDP socket of a port's queue is xsks[port * SHUNT_MAX_QUEUES + queue]. */
#define SHUNT_XSK_INDEX(port, queue) ((port) * SHUNT_MAX_QUEUES + (queue))

/* port_by_ifindex: open addressing from ifindex % SHUNT_IFINDEX_SLOTS, at most SHUNT_IFINDEX_PROBES slots. */
struct shunt_ifindex_slot {
	__u32 ifindex; /* 0: empty */
	__u32 port;
};
SHUNT_MAP_TYPE(struct shunt_ifindex_slot, 8);

/*
 * upcall_budget: [datapath port]. The token bucket's state, kept by the kernel: a virtual scheduler, as a meter's band
 * (meter.h), but by the kernel's tick, which costs nothing to read. One word, so that no CPU meets it half refilled.
 */
struct shunt_budget {
	__u64 spent; /* ns since jiffies64 was 0, up to which packets have used what the rate gives */
};
SHUNT_MAP_TYPE(struct shunt_budget, 8);

/* port_stats: per CPU, [datapath port] of the ingress port. */
struct shunt_port_stats {
	__u64 rx_packets;
	__u64 rx_bytes;
	__u64 exact_hits;    /* answered by the exact-match cache, or by a hint */
	__u64 megaflow_hits; /* answered by a megaflow look-up */
	__u64 misses;
	__u64 lookups;  /* megaflow look-ups tried, found or not */
	__u64 bridged_packets; /* sent out of this port by bridged flows, as they left */
	__u64 bridged_bytes;
	__u64 upcalls[SHUNT_UPCALL_COUNTERS]; /* by enum shunt_upcall_reason; handed to the socket */
	__u64 drops[SHUNT_DROP_COUNTERS];     /* by enum shunt_drop_reason */
};
SHUNT_MAP_TYPE(struct shunt_port_stats, 448);

/* In front of each frame on an AF_XDP socket (XDP metadata): lies in the UMEM right before the frame. */
struct shunt_upcall_meta {
	__u32 magic;   /* SHUNT_UPCALL_MAGIC; userspace clears it when it has read the frame */
	__u32 in_port; /* datapath port */
	__u32 order;   /* index in upcall_order that was counted */
	__u8 reason;   /* enum shunt_upcall_reason */
	__u8 zero[3];
	__u64 handed_up; /* CLOCK_MONOTONIC, ns */
};
SHUNT_MAP_TYPE(struct shunt_upcall_meta, 24);
#define SHUNT_UPCALL_MAGIC 0x53485550u

/*
 * In front of each frame on the lane, before its Ethernet header. A tag that rode beside the frame lies between the two,
 * where the kernel puts it: behind 12 bytes.
 */
struct shunt_lane_header {
	__u32 magic;   /* SHUNT_LANE_MAGIC */
	__u16 in_port; /* datapath port */
	__u8 tagged;
	__u8 padding; /* bytes at the frame's end that are none of it: XDP has no room to pad it otherwise */
	__u32 order; /* index in upcall_order that was counted; SHUNT_ORDER_BUCKETS: none was */
};
SHUNT_MAP_TYPE(struct shunt_lane_header, 12);
#define SHUNT_LANE_MAGIC 0x5348554cu
/* Datapath port 0, which is none, in `ports`. */
#define SHUNT_LANE 0

/* What the programs are specialised to: `const volatile` .rodata, set before load. */
enum {
	SHUNT_FEATURE_L3 = 1 << 0,       /* rules or actions look at IP or ARP */
	SHUNT_FEATURE_L4 = 1 << 1,       /* at ports, flags, ICMP, ND, SCTP */
	SHUNT_FEATURE_ND = 1 << 2,       /* at ND target, SLL, TLL */
	SHUNT_FEATURE_MPLS = 1 << 3,     /* at label stack entries */
	SHUNT_FEATURE_EDITS = 1 << 4,    /* some flow changes frames */
	SHUNT_FEATURE_CHECKSUM = 1 << 5, /* some port has a local stack behind it */
	SHUNT_FEATURE_HINTS = 1 << 6,    /* the exact-match level is in use */
	SHUNT_FEATURE_EXTHDR = 1 << 7,   /* rules look at IPv6 extension headers */
	SHUNT_FEATURE_PBB = 1 << 8,      /* at service instance tags */
	SHUNT_FEATURE_HASH = 1 << 9,     /* select groups look at dp_hash */
	SHUNT_FEATURE_METER = 1 << 10,   /* some flow is metered */
	SHUNT_FEATURE_SAMPLE = 1 << 11,  /* some flow is sampled */
	SHUNT_FEATURE_BRIDGE = 1 << 12,  /* some flow asks the FDB */
	SHUNT_FEATURE_ALL = (1 << 13) - 1, /* what forwarding may need */
	SHUNT_FEATURE_CAPTURE = 1 << 30,   /* some capture runs: loaded with the first, given back with the last */
};

struct shunt_config {
	__u32 features;
	__u32 flow_limit;        /* slots of `flows`; a CPU's stride in flow_counters */
	__u32 index_mask;        /* buckets of flow_index - 1 */
	__u32 microflow_groups;  /* elements of microflows, an even number */
	__u32 cpu_count;         /* possible CPUs */
	__u32 zero;
	__u64 hash_seed;         /* random */
	__u64 hash_multiplier;   /* random, odd */
	__u64 jiffy_ns;          /* the kernel's tick */
};
SHUNT_MAP_TYPE(struct shunt_config, 48);

/*
 * layout: one element. A daemon that finds pinned maps takes them over where version and sizes are its own, with the
 * configuration that they were made for; else it makes new ones.
 */
struct shunt_layout {
	__u32 version; /* SHUNT_LAYOUT_VERSION */
	__u32 program_id; /* the kernel's, of the pinned program, which was made for `config` */
	__u64 build; /* what that program was compiled from: a hash of its object file */
	struct shunt_config config; /* features: what flows may rely on */
};
SHUNT_MAP_TYPE(struct shunt_layout, 64);

#endif
