/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where in a frame the fields lie that SHUNT_ACT_SET_FIELD writes, and which checksums cover them.
 *
 * A field that the frame does not have (its header is another one, was cut short, or is in another fragment) is not
 * written: translation asked for it only where the key has it.
 */
#ifndef SHUNT_DATAPATH_FIELD_PLACE_H
#define SHUNT_DATAPATH_FIELD_PLACE_H

#include "bpf/datapath/compiler.h"
#include "bpf/datapath/headers.h"
#include "bpf/datapath/wire.h"
#include "maps/actions.h"
#include "maps/flow_key.h"

/* What a field's place counts from. */
enum shunt_base {
  SHUNT_BASE_NONE,
  SHUNT_BASE_FRAME,
  SHUNT_BASE_ETH_TYPE,
  SHUNT_BASE_VLAN, /* the outer tag's TPID */
  SHUNT_BASE_L3,
  SHUNT_BASE_PORTS, /* L4 of TCP, UDP, SCTP */
  SHUNT_BASE_ICMP,  /* L4 of ICMP, ICMPv6 */
  SHUNT_BASE_ND,    /* ND's target */
  SHUNT_BASE_ND_SLL,
  SHUNT_BASE_ND_TLL,
};

/* Which checksums cover a field. */
enum {
  SHUNT_SUM_IPV4 = 1 << 0,   /* IPv4's header */
  SHUNT_SUM_PSEUDO = 1 << 1, /* the pseudo-header of TCP, UDP, ICMPv6 */
  SHUNT_SUM_L4 = 1 << 2,     /* the L4 packet */
  SHUNT_SUM_FINAL = 1 << 3,  /* not if a routing header names another final destination (RFC 8200 section 8.1) */
  SHUNT_SUM_SWAPPED = 1 << 4, /* in the pseudo-header it lies in the other half of its word */
};

struct shunt_place {
  __u8 base;  /* enum shunt_base */
  __u8 off;   /* bytes */
  __u8 size;  /* bytes: 1, 2, 4 or 6 */
  __u8 kinds; /* SHUNT_L3_*: one of them; 0: any */
  __u8 sums;  /* SHUNT_SUM_* */
};

/* By enum shunt_field. IPv6's own places of ToS, TTL and protocol are in shunt_find_field. */
static const struct shunt_place shunt_places[64] = {
    /* NONE */ {SHUNT_BASE_NONE, 0, 0, 0, 0},
    /* ETH_DST */ {SHUNT_BASE_FRAME, 0, 6, 0, 0},
    /* ETH_SRC */ {SHUNT_BASE_FRAME, 6, 6, 0, 0},
    /* ETH_TYPE */ {SHUNT_BASE_ETH_TYPE, 0, 2, 0, 0},
    /* VLAN_TCI */ {SHUNT_BASE_VLAN, 2, 2, 0, 0},
    /* VLAN_TPID */ {SHUNT_BASE_VLAN, 0, 2, 0, 0},
    /* IP_SRC */ {SHUNT_BASE_L3, 12, 4, SHUNT_L3_IPV4, SHUNT_SUM_IPV4 | SHUNT_SUM_PSEUDO},
    /* IP_DST */ {SHUNT_BASE_L3, 16, 4, SHUNT_L3_IPV4, SHUNT_SUM_IPV4 | SHUNT_SUM_PSEUDO},
    /* IPV6_SRC0 */ {SHUNT_BASE_L3, 8, 4, SHUNT_L3_IPV6, SHUNT_SUM_PSEUDO},
    /* IPV6_SRC1 */ {SHUNT_BASE_L3, 12, 4, SHUNT_L3_IPV6, SHUNT_SUM_PSEUDO},
    /* IPV6_SRC2 */ {SHUNT_BASE_L3, 16, 4, SHUNT_L3_IPV6, SHUNT_SUM_PSEUDO},
    /* IPV6_SRC3 */ {SHUNT_BASE_L3, 20, 4, SHUNT_L3_IPV6, SHUNT_SUM_PSEUDO},
    /* IPV6_DST0 */ {SHUNT_BASE_L3, 24, 4, SHUNT_L3_IPV6, SHUNT_SUM_PSEUDO | SHUNT_SUM_FINAL},
    /* IPV6_DST1 */ {SHUNT_BASE_L3, 28, 4, SHUNT_L3_IPV6, SHUNT_SUM_PSEUDO | SHUNT_SUM_FINAL},
    /* IPV6_DST2 */ {SHUNT_BASE_L3, 32, 4, SHUNT_L3_IPV6, SHUNT_SUM_PSEUDO | SHUNT_SUM_FINAL},
    /* IPV6_DST3 */ {SHUNT_BASE_L3, 36, 4, SHUNT_L3_IPV6, SHUNT_SUM_PSEUDO | SHUNT_SUM_FINAL},
    /* IPV6_LABEL */ {SHUNT_BASE_L3, 0, 4, SHUNT_L3_IPV6, 0},
    /* IP_TOS */ {SHUNT_BASE_L3, 1, 1, SHUNT_L3_IPV4 | SHUNT_L3_IPV6, SHUNT_SUM_IPV4},
    /* IP_TTL */ {SHUNT_BASE_L3, 8, 1, SHUNT_L3_IPV4 | SHUNT_L3_IPV6, SHUNT_SUM_IPV4},
    /* TP_SRC */ {SHUNT_BASE_PORTS, 0, 2, 0, SHUNT_SUM_L4},
    /* TP_DST */ {SHUNT_BASE_PORTS, 2, 2, 0, SHUNT_SUM_L4},
    /* ICMP_TYPE */ {SHUNT_BASE_ICMP, 0, 1, 0, SHUNT_SUM_L4},
    /* ICMP_CODE */ {SHUNT_BASE_ICMP, 1, 1, 0, SHUNT_SUM_L4},
    /* ARP_OP */ {SHUNT_BASE_L3, 6, 2, SHUNT_L3_ARP, 0},
    /* ARP_SPA */ {SHUNT_BASE_L3, 14, 4, SHUNT_L3_ARP, 0},
    /* ARP_TPA */ {SHUNT_BASE_L3, 24, 4, SHUNT_L3_ARP, 0},
    /* ARP_SHA */ {SHUNT_BASE_L3, 8, 6, SHUNT_L3_ARP, 0},
    /* ARP_THA */ {SHUNT_BASE_L3, 18, 6, SHUNT_L3_ARP, 0},
    /* ND_TARGET0 */ {SHUNT_BASE_ND, 0, 4, 0, SHUNT_SUM_L4},
    /* ND_TARGET1 */ {SHUNT_BASE_ND, 4, 4, 0, SHUNT_SUM_L4},
    /* ND_TARGET2 */ {SHUNT_BASE_ND, 8, 4, 0, SHUNT_SUM_L4},
    /* ND_TARGET3 */ {SHUNT_BASE_ND, 12, 4, 0, SHUNT_SUM_L4},
    /* ND_SLL */ {SHUNT_BASE_ND_SLL, 0, 6, 0, SHUNT_SUM_L4},
    /* ND_TLL */ {SHUNT_BASE_ND_TLL, 0, 6, 0, SHUNT_SUM_L4},
    /* MPLS_LSE */ {SHUNT_BASE_L3, 0, 4, SHUNT_L3_MPLS, 0},
    /* PBB_ITAG */ {SHUNT_BASE_L3, 0, 4, SHUNT_L3_PBB, 0},
    /* IP_PROTO */ {SHUNT_BASE_L3, 9, 1, SHUNT_L3_IPV4 | SHUNT_L3_IPV6, SHUNT_SUM_IPV4 | SHUNT_SUM_PSEUDO},
};

/* A write of up to three 16-bit words, raw, under a mask, at an even offset of the frame. */
struct shunt_write {
  __u32 off;
  __u32 words;
  __u32 sums; /* SHUNT_SUM_* */
  __u16 value[3];
  __u16 mask[3];
};

/* Where in this frame `base` is; 0 is the frame's start, < 0: this frame has none. */
SHUNT_INLINE int shunt_find_base(__u32 base, const struct shunt_headers* h) SHUNT_NOEXCEPT {
  int ports = h->proto == SHUNT_IP_PROTO_TCP || h->proto == SHUNT_IP_PROTO_UDP || h->proto == SHUNT_IP_PROTO_SCTP;
  int icmp = h->proto == SHUNT_IP_PROTO_ICMP || h->proto == SHUNT_IP_PROTO_ICMPV6;

  if (base == SHUNT_BASE_FRAME) return 0;
  if (base == SHUNT_BASE_ETH_TYPE) return h->eth_type;
  if (base == SHUNT_BASE_VLAN) return h->vlan_count ? 12 : -1;
  if (base == SHUNT_BASE_L3) return h->l3;
  if (base == SHUNT_BASE_PORTS) return h->l4 && ports ? h->l4 : -1;
  if (base == SHUNT_BASE_ICMP) return h->l4 && icmp ? h->l4 : -1;
  if (base == SHUNT_BASE_ND) return h->flags & SHUNT_HEADERS_ND ? h->l4 + 8 : -1;
  if (base == SHUNT_BASE_ND_SLL) return h->nd_sll ? h->nd_sll : -1;
  if (base == SHUNT_BASE_ND_TLL) return h->nd_tll ? h->nd_tll : -1;
  return -1;
}

/* Prepares the write of a field. False: the frame does not have it. */
SHUNT_INLINE int shunt_find_field(const struct shunt_headers* h, const struct shunt_action* action,
                                  struct shunt_write* w) SHUNT_NOEXCEPT {
  const struct shunt_place* place = &shunt_places[action->field & 63];
  int base = shunt_find_base(place->base, h);
  __u32 shift;

  if (base < 0 || (place->kinds && !(place->kinds & h->l3_kind))) return 0;
  w->off = (__u32)base + place->off;
  w->sums = place->sums;
  w->words = (place->size + 1u) / 2;
  w->value[0] = shunt_load16(action->value);
  w->value[1] = shunt_load16(action->value + 2);
  w->value[2] = shunt_load16(action->value + 4);
  w->mask[0] = shunt_load16(action->mask);
  w->mask[1] = shunt_load16(action->mask + 2);
  w->mask[2] = shunt_load16(action->mask + 4);
  if (action->field == SHUNT_FIELD_VLAN_TCI) w->mask[0] &= (__u16)~SHUNT_BE16(SHUNT_VLAN_PRESENT);
  if (action->field == SHUNT_FIELD_IPV6_LABEL) w->mask[0] &= SHUNT_BE16(SHUNT_IPV6_LABEL_MASK >> 16);
  if ((w->sums & SHUNT_SUM_FINAL) && (h->flags & SHUNT_HEADERS_ROUTED)) w->sums &= ~(__u32)SHUNT_SUM_PSEUDO;
  if (place->size != 1) return 1;

  /* One byte: in which half of its word it lies depends on where it is. The first byte of a word is its low one here.
   */
  if (h->l3_kind == SHUNT_L3_IPV6 && action->field == SHUNT_FIELD_IP_TOS) {
    w->off = h->l3;
    w->value[0] = SHUNT_BE16(action->value[0] << 4);
    w->mask[0] = SHUNT_BE16(action->mask[0] << 4);
    return 1;
  }
  if (h->l3_kind == SHUNT_L3_IPV6 && action->field == SHUNT_FIELD_IP_TTL) w->off = h->l3 + 7u;
  if (h->l3_kind == SHUNT_L3_IPV6 && action->field == SHUNT_FIELD_IP_PROTO) {
    if (h->l4 != h->l3 + sizeof(struct shunt_ipv6_header)) return 0;
    w->off = h->l3 + 6u;
    w->sums |= SHUNT_SUM_SWAPPED;
  }
  shift = (w->off & 1) * 8;
  w->off &= ~1u;
  w->value[0] = (__u16)(action->value[0] << shift);
  w->mask[0] = (__u16)(action->mask[0] << shift);
  return 1;
}

#endif
