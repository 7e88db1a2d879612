/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All edits of a list at once (maps/actions.h: shunt_rewrite_outer, shunt_rewrite_inner): each byte is written once,
 * and each checksum adjusted once. The bytes are those that the edits would leave one by one: differences add up
 * (RFC 1624).
 */
#ifndef SHUNT_BPF_REWRITE_H
#define SHUNT_BPF_REWRITE_H

#include "bpf/datapath/act_vlan.h"
#include "bpf/datapath/checksum.h"
#include "bpf/datapath/set_field.h"
#include "bpf/foresight.bpf.h"
#include "bpf/maps.bpf.h"

/* Writes 4 bytes, and returns what that adds to a sum over them. */
static __always_inline __u32 replace_address(__u8* p, __u32 value) {
  __u32 before = shunt_load32(p);

  shunt_store32(p, value);
  return shunt_sum_difference((__u16)before, (__u16)value) +
         shunt_sum_difference((__u16)(before >> 16), (__u16)(value >> 16));
}

static __always_inline void rewrite_macs(__u8* p, const struct shunt_rewrite_outer* outer) {
  if (outer->what & SHUNT_REWRITE_ETH_DST) {
    shunt_store32(p, shunt_load32(outer->eth));
    shunt_store16(p + 4, shunt_load16(outer->eth + 4));
  }
  if (outer->what & SHUNT_REWRITE_ETH_SRC) {
    shunt_store32(p + 6, shunt_load32(outer->eth + 6));
    shunt_store16(p + 10, shunt_load16(outer->eth + 10));
  }
}

/* The TTL at p; what that adds to a sum over the word that starts with it. */
static __always_inline __u32 rewrite_ttl(__u8* p, const struct shunt_rewrite_outer* outer) {
  __u8 before = *p;

  *p = outer->ttl ? outer->ttl : (__u8)(before - outer->spent);
  return shunt_sum_difference(before, *p);
}

/* The header at p; what addresses add to the pseudo-header's sum. */
static __always_inline __u32 rewrite_ipv4(__u8* p, const struct shunt_rewrite_outer* outer,
                                          const struct shunt_rewrite_inner* inner) {
  __u32 header = 0, addresses = 0;

  if (outer->what & SHUNT_REWRITE_IP_SRC) addresses = replace_address(p + 12, shunt_load32(inner->ip));
  if (outer->what & SHUNT_REWRITE_IP_DST) addresses += replace_address(p + 16, shunt_load32(inner->ip + 4));
  if (outer->what & SHUNT_REWRITE_TTL) header = rewrite_ttl(p + 8, outer);
  if (outer->what & SHUNT_REWRITE_TOS)
    header += shunt_write_word(p, (__u16)(inner->tos << 8), (__u16)(inner->tos_mask << 8));
  if (outer->what & ~(SHUNT_REWRITE_ETH_DST | SHUNT_REWRITE_ETH_SRC | SHUNT_REWRITE_TP_SRC | SHUNT_REWRITE_TP_DST))
    shunt_store16(p + 10, shunt_checksum_update(shunt_load16(p + 10), header + addresses));
  return addresses;
}

static __always_inline void rewrite_ipv6(__u8* p, const struct shunt_rewrite_outer* outer,
                                         const struct shunt_rewrite_inner* inner) {
  if (outer->what & SHUNT_REWRITE_TTL) (void)rewrite_ttl(p + 7, outer);
  if (outer->what & SHUNT_REWRITE_TOS)
    (void)shunt_write_word(p, SHUNT_BE16(inner->tos << 4), SHUNT_BE16(inner->tos_mask << 4));
}

/* Moves what follows the MACs at most once: a tag that takes another one's place is written over it. */
static __always_inline enum shunt_verdict rewrite_tags(shunt_frame* frame, struct shunt_headers* h,
                                                       const struct shunt_rewrite_outer* outer,
                                                       const struct shunt_rewrite_inner* inner) {
  __u16 tpid = outer->tags & SHUNT_REWRITE_SERVICE ? SHUNT_BE16(SHUNT_ETH_TYPE_SVLAN) : SHUNT_BE16(SHUNT_ETH_TYPE_CVLAN);
  __u16 tci = shunt_load16(inner->tci);
  __u8* p;

  if (!(outer->tags & SHUNT_REWRITE_PUSH)) return shunt_pop_vlan(frame, h);
  if (!(outer->tags & SHUNT_REWRITE_POP) || h->vlan_count == 0) return shunt_push_vlan(frame, h, tpid, tci);
  p = shunt_frame_at(frame, 12, 4);
  if (!p) return SHUNT_VERDICT_CANNOT;
  shunt_store32(p, (__u32)tci << 16 | tpid);
  return SHUNT_VERDICT_NEXT;
}

/*
 * Rewrites the frame. SHUNT_VERDICT_TTL: its TTL is used up; SHUNT_VERDICT_CANNOT: the list's edits have to be run one
 * by one (SCTP's ports, under a CRC; no room for a tag). Either leaves the frame as it came. A function of its own: the
 * verifier walks it once.
 */
__noinline int shunt_rewrite_frame(shunt_frame* frame, struct shunt_headers* h, const struct shunt_rewrite_outer* outer,
                                   const struct shunt_rewrite_inner* inner) {
  __u32 ports = outer->what & (SHUNT_REWRITE_TP_SRC | SHUNT_REWRITE_TP_DST), difference = 0;
  __u8 *p, *ip = 0, *l4 = 0;

  if (!h || !outer || !inner || !(shunt_config.features & SHUNT_FEATURE_EDITS)) return SHUNT_VERDICT_CANNOT;
  if (outer->spent && ttl_of(frame, h) <= outer->spent) return SHUNT_VERDICT_TTL;
  if (ports && h->l4 && h->proto == SHUNT_IP_PROTO_SCTP) return SHUNT_VERDICT_CANNOT;
  if (outer->tags && rewrite_tags(frame, h, outer, inner) != SHUNT_VERDICT_NEXT) return SHUNT_VERDICT_CANNOT;
  p = shunt_frame_at(frame, 0, 12);
  if (!p) return SHUNT_VERDICT_CANNOT;
  rewrite_macs(p, outer);
  if (h->l3_kind & (SHUNT_L3_IPV4 | SHUNT_L3_IPV6)) ip = shunt_frame_at(frame, h->l3, sizeof(struct shunt_ipv4_header));
  if (ip && h->l3_kind == SHUNT_L3_IPV4)
    difference = rewrite_ipv4(ip, outer, inner);
  else if (ip)
    rewrite_ipv6(ip, outer, inner);
  if (h->proto == SHUNT_IP_PROTO_ICMP || h->proto == SHUNT_IP_PROTO_IGMP) return SHUNT_VERDICT_NEXT;
  if (ports && h->l4 && (h->proto == SHUNT_IP_PROTO_TCP || h->proto == SHUNT_IP_PROTO_UDP))
    l4 = shunt_frame_at(frame, h->l4, 4);
  if (l4) {
    if (ports & SHUNT_REWRITE_TP_SRC) difference += shunt_write_word(l4, shunt_load16(inner->ports), 0xffff);
    if (ports & SHUNT_REWRITE_TP_DST) difference += shunt_write_word(l4 + 2, shunt_load16(inner->ports + 2), 0xffff);
  }
  if (difference != 0) shunt_adjust_l4(frame, h, difference);
  return SHUNT_VERDICT_NEXT;
}

#endif
