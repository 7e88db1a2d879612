/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Edits of a socket buffer, by the kernel's helpers: they know whether the sender still holds its bytes, and whether a
 * checksum is open (CHECKSUM_PARTIAL: its field holds the pseudo-header's sum alone, and the card, or whoever cuts the
 * packet into segments, completes it). The outer tag the kernel keeps beside the frame. Where fields lie, and which
 * checksums cover them, datapath/field_place.h says, as to XDP.
 */
#ifndef SHUNT_BPF_EDIT_SKB_H
#define SHUNT_BPF_EDIT_SKB_H

#include "bpf/datapath/field_place.h"
#include "bpf/datapath/frame.h"
#include "bpf/datapath/sum.h"
#include "bpf/maps.bpf.h"

/* One edit of the tags. 0, or < 0. */
static __always_inline int edit_tag(struct __sk_buff* skb, struct shunt_headers* headers,
                                    const struct shunt_action* action) {
  __u16 tpid, tci = SHUNT_BE16(shunt_load16(action->value + 2)), mask;
  __u32 len = skb->len;
  int result = 0;

  if (action->type == SHUNT_ACT_PUSH_VLAN) {
    result = (int)bpf_skb_vlan_push(skb, shunt_load16(action->value), tci & (__u16)~SHUNT_VLAN_PRESENT);
  } else if (skb->vlan_present && action->type == SHUNT_ACT_POP_VLAN) {
    result = (int)bpf_skb_vlan_pop(skb);
  } else if (skb->vlan_present) {
    mask = SHUNT_BE16(shunt_load16(action->mask)) & (__u16)~SHUNT_VLAN_PRESENT;
    tpid = (__u16)skb->vlan_proto;
    tci = (__u16)((skb->vlan_tci & ~mask) | (SHUNT_BE16(shunt_load16(action->value)) & mask));
    result = bpf_skb_vlan_pop(skb) < 0 ? -1 : (int)bpf_skb_vlan_push(skb, tpid, tci);
  }
  shunt_move_headers(headers, (int)(skb->len - len)); /* by a second tag, in the frame or out of it */
  return result;
}

/*
 * Whether UDP's checksum is complete. Of a tunnel's packet that the stack made it may be, while one further inside is
 * open: what the helper knows to be open is that one.
 */
static __always_inline int is_complete_udp(struct __sk_buff* skb, const struct shunt_headers* h) {
  const __u8* ip;
  const __u8* udp;
  __u32 len = h->l3_end - h->l4;

  if (h->proto != SHUNT_IP_PROTO_UDP || skb->gso_size != 0) return 0;
  udp = shunt_frame_at(skb, h->l4, sizeof(struct shunt_udp_header));
  ip = shunt_frame_at(skb, h->l3, h->l3_kind == SHUNT_L3_IPV6 ? 40 : 20);
  if (!udp || !ip) return 0;
  if (h->l3_kind == SHUNT_L3_IPV4) return shunt_load16(udp + 6) != shunt_ipv4_pseudo_sum(ip, h->proto, len);
  ip = shunt_frame_at(skb, h->l3, 40);
  return ip && shunt_load16(udp + 6) != shunt_ipv6_pseudo_sum(ip, h->proto, len);
}

/* A complete checksum of UDP, as shunt_adjust_l4() adjusts it. */
static __always_inline void adjust_udp(struct __sk_buff* skb, const struct shunt_headers* h, __u32 difference) {
  __u32 at = h->l4 + shunt_checksum_offset(SHUNT_IP_PROTO_UDP);
  const __u8* p = shunt_frame_at(skb, at, 2);
  __u16 checksum;

  if (!p || shunt_load16(p) == 0) return;
  checksum = shunt_checksum_update(shunt_load16(p), difference);
  if (checksum == 0) checksum = 0xffff;
  bpf_skb_store_bytes(skb, at, &checksum, sizeof checksum, 0);
}

/* The L4 checksum behind an edit that has changed the sum of what it covers by `difference`. */
static __always_inline void adjust_l4(struct __sk_buff* skb, const struct shunt_headers* h, __u32 sums,
                                      __u32 difference, int complete_udp) {
  __u32 offset = shunt_checksum_offset(h->proto);
  __u64 flags = sums & SHUNT_SUM_PSEUDO ? BPF_F_PSEUDO_HDR : 0;

  if (!(sums & SHUNT_SUM_L4) &&
      (!(sums & SHUNT_SUM_PSEUDO) || h->proto == SHUNT_IP_PROTO_ICMP || h->proto == SHUNT_IP_PROTO_IGMP))
    return;
  if (h->l4 == 0 || offset == 0) return;
  if (complete_udp) {
    adjust_udp(skb, h, difference);
    return;
  }
  if (h->proto == SHUNT_IP_PROTO_UDP) flags |= BPF_F_MARK_MANGLED_0;
  bpf_l4_csum_replace(skb, h->l4 + offset, 0, difference, flags);
}

/* Writes up to three words, and adjusts the checksums that cover them. 0, or < 0: nothing was changed. */
static __always_inline int write_field(struct __sk_buff* skb, const struct shunt_headers* h,
                                       const struct shunt_write* w) {
  int complete_udp = is_complete_udp(skb, h);
  __u32 difference = 0, size = w->words * 2, i;
  __u16 words[3] = {0, 0, 0};

  for (i = 0; i < 3; i++) {
    const __u8* p;
    __u16 before;

    if (i >= w->words) break;
    p = shunt_frame_at(skb, w->off + 2 * i, 2);
    if (!p) return -1;
    before = shunt_load16(p);
    words[i] = (__u16)((before & ~w->mask[i]) | (w->value[i] & w->mask[i]));
    difference += shunt_sum_difference(before, words[i]);
  }
  /* One bound at a time, or the compiler tests both at once on a copy, of which the verifier learns nothing. */
  if (size < 2) return -1;
  SHUNT_OPAQUE(size);
  if (size > sizeof words) return -1;
  if (bpf_skb_store_bytes(skb, w->off, words, size, w->sums ? BPF_F_INVALIDATE_HASH : 0) < 0) return -1;
  if ((w->sums & SHUNT_SUM_IPV4) && h->l3_kind == SHUNT_L3_IPV4)
    bpf_l3_csum_replace(skb, h->l3 + 10u, 0, difference, 0);
  adjust_l4(skb, h, w->sums, difference, complete_udp);
  return 0;
}

/* Makes of DEC_TTL the write that it is; what runs out was foreseen. False: there is no TTL. */
static __always_inline int find_ttl(struct __sk_buff* skb, const struct shunt_headers* h, struct shunt_write* w) {
  struct shunt_action set = {.type = SHUNT_ACT_SET_FIELD, .field = SHUNT_FIELD_IP_TTL, .mask = {0xff}};
  const __u8* p;

  if (!(h->l3_kind & (SHUNT_L3_IPV4 | SHUNT_L3_IPV6))) return 0;
  p = shunt_frame_at(skb, h->l3 + (h->l3_kind == SHUNT_L3_IPV4 ? 8u : 7u), 1);
  if (!p) return 0;
  set.value[0] = (__u8)(*p - 1);
  return shunt_find_field(h, &set, w);
}

/* One edit, of those that a flow for TC may have (user/worker/encode.cpp: edits_in_tc). 0, or < 0. */
__noinline int shunt_edit_skb(struct __sk_buff* skb, struct shunt_headers* headers, const struct shunt_action* action) {
  struct shunt_write w;

  if (!headers || !action) return -1;
  if (action->type == SHUNT_ACT_DEC_TTL) return find_ttl(skb, headers, &w) ? write_field(skb, headers, &w) : 0;
  if (action->type != SHUNT_ACT_SET_FIELD || action->field == SHUNT_FIELD_VLAN_TCI)
    return edit_tag(skb, headers, action);
  return shunt_find_field(headers, action, &w) ? write_field(skb, headers, &w) : 0;
}

#endif
