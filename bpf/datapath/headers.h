/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where a frame's headers lie: what the parser found, for the edits of act.h, which keep it right.
 */
#ifndef SHUNT_DATAPATH_HEADERS_H
#define SHUNT_DATAPATH_HEADERS_H

#include "bpf/datapath/compiler.h"
#include "maps/types.h"

/* What a frame carries above Ethernet. Bits, so that an edit can name several. */
enum shunt_l3_kind {
  SHUNT_L3_NONE = 0, /* something else, or malformed */
  SHUNT_L3_IPV4 = 1 << 0,
  SHUNT_L3_IPV6 = 1 << 1,
  SHUNT_L3_ARP = 1 << 2, /* ARP or RARP for IPv4 over Ethernet */
  SHUNT_L3_MPLS = 1 << 3,
  SHUNT_L3_PBB = 1 << 4, /* a service instance tag and the customer's Ethernet header (802.1ah) */
};

enum {
  SHUNT_HEADERS_CUT = 1 << 0,    /* the parse stopped where the first buffer ends, but the frame goes on */
  SHUNT_HEADERS_FRAG = 1 << 1,   /* an IP fragment */
  SHUNT_HEADERS_LATER = 1 << 2,  /* one with an offset other than 0 */
  SHUNT_HEADERS_ROUTED = 1 << 3, /* IPv6 routing header with segments left: checksums use another destination */
  SHUNT_HEADERS_ND = 1 << 4,     /* neighbour solicitation or advertisement with its target (at l4 + 8) */
};

/* Offsets count from the frame's start; 0: not there. */
struct shunt_headers {
  __u32 l3_end;    /* where the IP datagram ends: Ethernet padding excluded */
  __u32 max_len;   /* TRUNCATE: bytes that the next output sends at most; 0: all */
  __u16 eth_type;  /* of the innermost EtherType field (that of SNAP too) */
  __u16 l3;        /* what follows Ethernet and its tags; always there */
  __u16 l4;        /* a whole TCP, UDP, SCTP, ICMP, IGMP or ICMPv6 header; never in a later fragment */
  __u16 nd_sll;    /* address in ND's source link-layer option */
  __u16 nd_tll;    /* address in ND's target link-layer option */
  __u16 walk;      /* the parser's own: SHUNT_EXTHDR_* and the rank of the last extension header; where ND's walk is */
  __u8 vlan_count; /* tags in front of eth_type: parsed ones, and those pushed since */
  __u8 l3_kind;    /* enum shunt_l3_kind */
  __u8 proto;      /* IP protocol, that of the last IPv6 header that was walked */
  __u8 flags;      /* SHUNT_HEADERS_* */
};

/* Headers moved by `delta` bytes. */
SHUNT_INLINE void shunt_move_headers(struct shunt_headers* h, int delta) SHUNT_NOEXCEPT {
  h->eth_type = (__u16)(h->eth_type + delta);
  h->l3 = (__u16)(h->l3 + delta);
  if (h->l3_end) h->l3_end += (__u32)delta;
  if (h->l4) h->l4 = (__u16)(h->l4 + delta);
  if (h->nd_sll) h->nd_sll = (__u16)(h->nd_sll + delta);
  if (h->nd_tll) h->nd_tll = (__u16)(h->nd_tll + delta);
}

#endif
