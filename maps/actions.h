/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Datapath actions: small typed operations, run in order over a frame. The kernel runs at most SHUNT_MAX_ACTIONS of them,
 * with one OUTPUT or OUTPUT_GROUP, which is the last, or a BRIDGE alone; userspace runs any list (a frame is copied for each
 * output but the last). Between SAVE and RESTORE a METER that says drop ends only what is between them.
 */
#ifndef SHUNT_MAPS_ACTIONS_H
#define SHUNT_MAPS_ACTIONS_H

#include "maps/types.h"

enum shunt_action_type {
	SHUNT_ACT_NONE,
	SHUNT_ACT_OUTPUT,       /* arg: datapath port; userspace honours field == 1: also back out of the input port */
	SHUNT_ACT_OUTPUT_GROUP, /* arg: output group (flood_groups), which the input port is no member of */
	SHUNT_ACT_SET_FIELD,    /* field: enum shunt_field; value under mask */
	SHUNT_ACT_PUSH_VLAN,    /* value[0..1]: TPID, value[2..3]: TCI (network order, the PRESENT bit ignored) */
	SHUNT_ACT_POP_VLAN,     /* the outer tag; no tag: the frame stays as it is */
	SHUNT_ACT_DEC_TTL,      /* IPv4 TTL, IPv6 hop limit; 1 or 0: up, with SHUNT_UPCALL_TTL, frame unchanged. arg, in
	                           userspace: index in Translation::ttl_controllers */
	SHUNT_ACT_TRUNCATE,     /* arg: bytes that the next output sends at most (>= 14) */
	SHUNT_ACT_USERSPACE,    /* field: enum shunt_upcall_reason; arg: max bytes */
	SHUNT_ACT_DROP,         /* field: enum shunt_drop_reason */
	SHUNT_ACT_METER,        /* arg: meter slot (maps/meter.h); over the rate: the frame ends here, or its DSCP changes */
	SHUNT_ACT_SET_QUEUE,    /* arg: queue of the outputs that follow; 0: the port's default. No port has others yet */
	SHUNT_ACT_PUSH_MPLS,    /* value[0..1]: EtherType (0x8847, 0x8848), value[2..5]: the label stack entry */
	SHUNT_ACT_POP_MPLS,     /* value[0..1]: EtherType of what lies below; takes the top entry off */
	SHUNT_ACT_PUSH_PBB,     /* value[0..3]: service instance tag; a new Ethernet header (a copy) and 0x88e7 in front */
	SHUNT_ACT_POP_PBB,      /* the outer Ethernet header and the tag, off; B-TAGs must be gone */
	SHUNT_ACT_DEC_MPLS_TTL, /* top entry; 1 or 0: as DEC_TTL */
	SHUNT_ACT_COPY_TTL_OUT, /* to the top label stack entry, from the next one, or from IP below the last one */
	SHUNT_ACT_COPY_TTL_IN,  /* from the top label stack entry, to the next one, or to IP below the last one */
	SHUNT_ACT_SAMPLE,       /* arg: probability of 65536 (0 is all), value[0..1]: index in Translation::samples. The kernel
	                           hands up what it picks (SHUNT_UPCALL_SAMPLE) and goes on with the rest */
	SHUNT_ACT_CONTROLLER,   /* arg: index in Translation::controllers. Userspace only */
	SHUNT_ACT_SAVE,         /* the frame as it is now comes back at the matching RESTORE. They nest. Userspace only */
	SHUNT_ACT_RESTORE,
	SHUNT_ACT_BRIDGE, /* arg: number of an FDB (maps/fdb.h), which says where to. Kernel only */
	SHUNT_ACT_COUNT,
};

/* Fields that SET_FIELD writes. Sizes are those of the header field; an IPv6 address is four pieces of 32 bits. */
enum shunt_field {
	SHUNT_FIELD_NONE,
	SHUNT_FIELD_ETH_DST,   /* 6 */
	SHUNT_FIELD_ETH_SRC,   /* 6 */
	SHUNT_FIELD_ETH_TYPE,  /* 2, behind the VLAN tags */
	SHUNT_FIELD_VLAN_TCI,  /* 2, outer tag; no tag: not applied */
	SHUNT_FIELD_VLAN_TPID, /* 2, outer tag */
	SHUNT_FIELD_IP_SRC,    /* 4, IPv4 */
	SHUNT_FIELD_IP_DST,
	SHUNT_FIELD_IPV6_SRC0, /* 4, bytes 0..3 of the address; SRC1..3 follow */
	SHUNT_FIELD_IPV6_SRC1,
	SHUNT_FIELD_IPV6_SRC2,
	SHUNT_FIELD_IPV6_SRC3,
	SHUNT_FIELD_IPV6_DST0,
	SHUNT_FIELD_IPV6_DST1,
	SHUNT_FIELD_IPV6_DST2,
	SHUNT_FIELD_IPV6_DST3,
	SHUNT_FIELD_IPV6_LABEL, /* 4, low 20 bits */
	SHUNT_FIELD_IP_TOS,     /* 1, IPv4 ToS or IPv6 traffic class */
	SHUNT_FIELD_IP_TTL,     /* 1, IPv4 TTL or IPv6 hop limit */
	SHUNT_FIELD_TP_SRC,     /* 2, TCP, UDP, SCTP */
	SHUNT_FIELD_TP_DST,
	SHUNT_FIELD_ICMP_TYPE, /* 1, ICMP or ICMPv6 */
	SHUNT_FIELD_ICMP_CODE,
	SHUNT_FIELD_ARP_OP,  /* 2 */
	SHUNT_FIELD_ARP_SPA, /* 4 */
	SHUNT_FIELD_ARP_TPA,
	SHUNT_FIELD_ARP_SHA, /* 6 */
	SHUNT_FIELD_ARP_THA,
	SHUNT_FIELD_ND_TARGET0, /* 4; TARGET1..3 follow */
	SHUNT_FIELD_ND_TARGET1,
	SHUNT_FIELD_ND_TARGET2,
	SHUNT_FIELD_ND_TARGET3,
	SHUNT_FIELD_ND_SLL,   /* 6; no such option: not applied */
	SHUNT_FIELD_ND_TLL,   /* 6 */
	SHUNT_FIELD_MPLS_LSE, /* 4, top entry */
	SHUNT_FIELD_PBB_ITAG, /* 4 */
	SHUNT_FIELD_IP_PROTO, /* 1; behind IPv6 extension headers: not applied */
	SHUNT_FIELD_COUNT,
};

/* One action. What a type does not use is zero. */
struct shunt_action {
	__u8 type;     /* enum shunt_action_type */
	__u8 field;    /* by type */
	__u16 arg;     /* by type, host order */
	__u8 value[6]; /* network order, from byte 0 */
	__u8 mask[6];  /* SET_FIELD: bits of value that are written */
};

SHUNT_MAP_TYPE(struct shunt_action, 16);

/*
 * What all the edits of a list make of a frame, where they are those of bridges with VLANs, of routers, and of address translation: two
 * elements behind the list (SHUNT_FLOW_REWRITE), which XDP runs instead of its edits. Network order. A field that the
 * frame does not have is not written.
 */
struct shunt_rewrite_outer {
	__u8 eth[12];  /* destination, source */
	__u8 what;     /* SHUNT_REWRITE_* */
	__u8 ttl;      /* TTL or hop limit, as it is in the end; 0: less by `spent` */
	__u8 spent;    /* at least one more than this it has to be before, or the packet goes up (SHUNT_UPCALL_TTL) */
	__u8 tags;     /* SHUNT_REWRITE_POP, then SHUNT_REWRITE_PUSH */
};
SHUNT_MAP_TYPE(struct shunt_rewrite_outer, 16);

struct shunt_rewrite_inner {
	__u8 ip[8];    /* IPv4: source, destination */
	__u8 ports[4]; /* TCP, UDP: source, destination */
	__u8 tos;      /* ToS or traffic class, */
	__u8 tos_mask; /* of which these bits are written */
	__u8 tci[2];   /* of the tag that is pushed */
};
SHUNT_MAP_TYPE(struct shunt_rewrite_inner, 16);

#define SHUNT_REWRITE_ELEMENTS 2

enum {
	SHUNT_REWRITE_ETH_DST = 1 << 0,
	SHUNT_REWRITE_ETH_SRC = 1 << 1,
	SHUNT_REWRITE_IP_SRC = 1 << 2,
	SHUNT_REWRITE_IP_DST = 1 << 3,
	SHUNT_REWRITE_TP_SRC = 1 << 4,
	SHUNT_REWRITE_TP_DST = 1 << 5,
	SHUNT_REWRITE_TTL = 1 << 6,
	SHUNT_REWRITE_TOS = 1 << 7,
};

/* shunt_rewrite_outer.tags */
enum {
	SHUNT_REWRITE_POP = 1 << 0,     /* the outer tag, if there is one */
	SHUNT_REWRITE_PUSH = 1 << 1,    /* one of 802.1Q */
	SHUNT_REWRITE_SERVICE = 1 << 2, /* ... of 802.1ad */
};

#endif
