/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow key: what a flow is, field by field.
 *
 * Header fields are in network order, metadata in host order. A field that the packet does not have is zero; which
 * fields mean something follows from eth_type, nw_proto and nw_frag (the prerequisites of ovs-fields(7)). The same
 * struct is a mask: a bit that is set is a bit that matters. Masked look-ups work on the key's 64-bit words, so fields that
 * rules use together share words. New groups (tunnel, conntrack) are appended as whole words.
 */
#ifndef SHUNT_MAPS_FLOW_KEY_H
#define SHUNT_MAPS_FLOW_KEY_H

#include "maps/types.h"

#define SHUNT_KEY_WORDS 16

/* vlan[].tci: set where a tag is there (the bit that 802.1Q calls CFI/DEI, as in Open vSwitch's vlan_tci). */
#define SHUNT_VLAN_PRESENT 0x1000

/* eth_type of a frame that has none: an 802.3 length with an LLC header other than SNAP (OFPL: OFP_DL_TYPE_NOT_ETH_TYPE). */
#define SHUNT_ETH_TYPE_NONE 0x05ff

/* nw_frag bits, as in Open vSwitch: any fragment; one with an offset other than 0 (no L4 header follows). */
#define SHUNT_FRAG_ANY 0x1
#define SHUNT_FRAG_LATER 0x2

/* ipv6_exthdr bits (OpenFlow 1.3.5 section A.2.3.7, OFPIEH_*). */
#define SHUNT_EXTHDR_NONEXT 0x001 /* "no next header" met */
#define SHUNT_EXTHDR_ESP 0x002
#define SHUNT_EXTHDR_AUTH 0x004
#define SHUNT_EXTHDR_DEST 0x008 /* one or two destination options headers */
#define SHUNT_EXTHDR_FRAG 0x010
#define SHUNT_EXTHDR_ROUTER 0x020
#define SHUNT_EXTHDR_HOP 0x040
#define SHUNT_EXTHDR_UNREP 0x080 /* an unexpected repetition */
#define SHUNT_EXTHDR_UNSEQ 0x100 /* not in the order that RFC 8200 section 4.1 prefers */

#define SHUNT_PBB_UCA 0x08000000 /* of pbb_itag: use customer addresses */
#define SHUNT_PBB_ISID 0x00ffffff

struct shunt_vlan {
	shunt_be16 tpid; /* 0x8100 or 0x88a8; 0: no tag */
	shunt_be16 tci;  /* PCP, VID and SHUNT_VLAN_PRESENT */
};

struct shunt_flow_key {
	/* word 0: metadata, host order */
	__u32 in_port; /* datapath port */
	__u32 dp_hash; /* shunt_dp_hash() of the packet as received, where SHUNT_FEATURE_HASH asks for it; else 0 */
	/* words 1, 2: Ethernet */
	__u8 eth_dst[6];
	__u8 eth_src[6];
	shunt_be16 eth_type; /* innermost, behind the VLAN tags that were parsed */
	shunt_be16 zero2;
	/* word 3: VLAN tags, the outer one first */
	struct shunt_vlan vlan[2];
	/* word 4: IP; ARP keeps its opcode (low byte) in nw_proto, as Open vSwitch does */
	__u8 nw_proto; /* IPv6: of the first header that is no extension */
	__u8 nw_tos;   /* DSCP and ECN */
	__u8 nw_ttl;
	__u8 nw_frag; /* SHUNT_FRAG_* */
	shunt_be32 ipv6_label; /* low 20 bits */
	/* word 5: L4; ICMP and ICMPv6 keep type in tp_src and code in tp_dst */
	shunt_be16 tp_src;
	shunt_be16 tp_dst;
	shunt_be16 tcp_flags; /* low 12 bits */
	shunt_be16 ipv6_exthdr; /* SHUNT_EXTHDR_*: IPv6 extension headers seen on the way to nw_proto */
	/* words 6 to 9: addresses; IPv4 and ARP's spa/tpa as ::ffff:a.b.c.d */
	__u8 ip_src[16];
	__u8 ip_dst[16];
	/* words 10, 11: ARP sha/tha, or the link-layer address of ND's source (1) and target (2) option */
	__u8 arp_sha[6];
	__u8 arp_tha[6];
	__u8 zero11[4];
	/* words 12, 13 */
	__u8 nd_target[16];
	/* words 14, 15: MPLS label stack entries, the top one first; the service instance tag of a PBB frame (802.1ah) */
	shunt_be32 mpls_lse[3];
	shunt_be32 pbb_itag; /* the tag's four bytes: PCP, DEI, UCA (SHUNT_PBB_UCA), reserved, I-SID (low 24 bits) */
};

SHUNT_MAP_TYPE(struct shunt_flow_key, SHUNT_KEY_WORDS * 8);

#endif
