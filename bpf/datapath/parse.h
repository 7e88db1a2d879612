/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frame -> flow key: the only parser, in the kernel and in the daemon.
 *
 * A header that is cut short or contradicts itself ends the parse at the last good layer, as Open vSwitch's flow
 * extraction does: the fields behind it stay zero. Only a frame without a whole Ethernet header is refused. `features`
 * says what anybody looks at; the rest is not parsed. Where the headers lie is in shunt_headers, for the edits of
 * act.h.
 *
 * Invariants: the key is written whole, no stray byte; an offset in shunt_headers is 0 (not there) or that of a header
 * whose bytes are all within the frame, and even.
 */
#ifndef SHUNT_DATAPATH_PARSE_H
#define SHUNT_DATAPATH_PARSE_H

#include "bpf/datapath/compiler.h"
#include "bpf/datapath/ext_headers.h"
#include "bpf/datapath/frame.h"
#include "bpf/datapath/headers.h"
#include "bpf/datapath/wire.h"
#include "maps/drop_reason.h"
#include "maps/flow_key.h"
#include "maps/port.h"

#define SHUNT_MAX_ND_OPTIONS 8 /* that are looked at */

/* Who looks at fields of L4, of L3. */
#define SHUNT_FEATURES_L4_KEY (SHUNT_FEATURE_L4 | SHUNT_FEATURE_ND | SHUNT_FEATURE_HASH)
#define SHUNT_FEATURES_L3_KEY (SHUNT_FEATURE_L3 | SHUNT_FEATURE_EXTHDR | SHUNT_FEATURES_L4_KEY)

/* Where the parse stands. `limit` is where the innermost layer ends, at most the frame's length. */
struct shunt_cursor {
  shunt_frame* frame;
  const __u8* data;
  const __u8* end;
  __u32 off;
  __u32 limit;
};

/* The next `size` bytes, or null: the first buffer ends before, and it says so in flags where the frame goes on. */
SHUNT_INLINE const __u8* shunt_peek(const struct shunt_cursor* c, __u32 size, struct shunt_headers* h) SHUNT_NOEXCEPT {
#ifdef __bpf__
  const __u8* p = c->data + c->off;
  SHUNT_OPAQUE(p);
  if (SHUNT_LIKELY(p + size <= c->end)) return p;
#else
  if (SHUNT_LIKELY((__u64)c->off + size <= (__u64)(c->end - c->data))) return c->data + c->off;
#endif
  if (c->off + size <= c->limit) h->flags |= SHUNT_HEADERS_CUT;
  return 0;
}

/* The same behind an IP header, whose length says where its payload ends. */
SHUNT_INLINE const __u8* shunt_peek_payload(const struct shunt_cursor* c, __u32 size,
                                            struct shunt_headers* h) SHUNT_NOEXCEPT {
  if (SHUNT_UNLIKELY(c->off + size > c->limit)) return 0;
  return shunt_peek(c, size, h);
}

SHUNT_INLINE void shunt_copy_mac(__u8* to, const __u8* from) SHUNT_NOEXCEPT {
  shunt_store32(to, shunt_load32(from));
  shunt_store16(to + 4, shunt_load16(from + 4));
}

SHUNT_INLINE int shunt_is_zero_mac(const __u8* mac) SHUNT_NOEXCEPT {
  return shunt_load32(mac) == 0 && shunt_load16(mac + 4) == 0;
}

SHUNT_INLINE void shunt_copy_ipv6(__u8* to, const __u8* from) SHUNT_NOEXCEPT {
  shunt_store64(to, shunt_load64(from));
  shunt_store64(to + 8, shunt_load64(from + 8));
}

/* An IPv4 address as ::ffff:a.b.c.d. */
SHUNT_INLINE void shunt_map_ipv4(__u8* to, __u32 raw) SHUNT_NOEXCEPT {
  shunt_store64(to, 0);
  shunt_store64(to + 8, (__u64)raw << 32 | 0xffff0000u);
}

SHUNT_INLINE int shunt_is_vlan(__u16 raw_type) SHUNT_NOEXCEPT {
  return raw_type == SHUNT_BE16(SHUNT_ETH_TYPE_CVLAN) || raw_type == SHUNT_BE16(SHUNT_ETH_TYPE_SVLAN);
}

/* The key's fragment bits. */
SHUNT_INLINE __u8 shunt_nw_frag(__u32 flags) SHUNT_NOEXCEPT {
  if (flags & SHUNT_HEADERS_LATER) return SHUNT_FRAG_ANY | SHUNT_FRAG_LATER;
  return flags & SHUNT_HEADERS_FRAG ? SHUNT_FRAG_ANY : 0;
}

/* One tag, if the type before it says so: moves on to the type behind it. False: there is none, or not all of it. */
SHUNT_INLINE int shunt_parse_vlan(struct shunt_cursor* c, __u16* raw_type, struct shunt_vlan* vlan,
                                  struct shunt_headers* h) SHUNT_NOEXCEPT {
  const __u8* p;

  if (!shunt_is_vlan(*raw_type)) return 0;
  p = shunt_peek(c, sizeof(struct shunt_vlan_header), h);
  if (!p) return 0;
  vlan->tpid = SHUNT_BE16_FROM_RAW(*raw_type);
  vlan->tci = SHUNT_BE16_FROM_RAW((__u16)(shunt_load16(p) | SHUNT_BE16(SHUNT_VLAN_PRESENT)));
  *raw_type = shunt_load16(p + 2);
  c->off += 4;
  h->vlan_count++;
  return 1;
}

/* The outermost tags, two at most, of which the carrier may keep the first beside the frame. */
SHUNT_INLINE void shunt_parse_vlans(struct shunt_cursor* c, __u16* raw_type, struct shunt_flow_key* key,
                                    struct shunt_headers* h) SHUNT_NOEXCEPT {
  __u16 tpid, tci;

  if (shunt_frame_tag(c->frame, &tpid, &tci)) {
    key->vlan[0].tpid = SHUNT_BE16_FROM_RAW(SHUNT_BE16(tpid));
    key->vlan[0].tci = SHUNT_BE16_FROM_RAW((__u16)(SHUNT_BE16(tci) | SHUNT_BE16(SHUNT_VLAN_PRESENT)));
    h->vlan_count = 1;
  } else if (!shunt_parse_vlan(c, raw_type, &key->vlan[0], h)) {
    return;
  }
  shunt_parse_vlan(c, raw_type, &key->vlan[1], h);
}

/* An 802.3 length: the type is in a SNAP header, or there is none. */
SHUNT_INLINE __u16 shunt_parse_llc(struct shunt_cursor* c, struct shunt_headers* h) SHUNT_NOEXCEPT {
  const __u8* p = shunt_peek(c, sizeof(struct shunt_llc_snap_header), h);
  __u16 raw_type;

  /* aa-aa-03, organisation 00-00-00 (RFC 1042) */
  if (!p || shunt_load32(p) != 0x0003aaaau || shunt_load16(p + 4) != 0) return SHUNT_BE16(SHUNT_ETH_TYPE_NONE);
  raw_type = shunt_load16(p + 6);
  c->off += 8;
  h->eth_type = (__u16)(c->off - 2);
  if (SHUNT_BE16(raw_type) < SHUNT_ETH_TYPE_MIN) return SHUNT_BE16(SHUNT_ETH_TYPE_NONE);
  return raw_type;
}

SHUNT_INLINE void shunt_parse_mpls(struct shunt_cursor* c, struct shunt_flow_key* key,
                                   struct shunt_headers* h) SHUNT_NOEXCEPT {
  __u32 i;

  for (i = 0; i < 3; i++) {
    const __u8* p = shunt_peek(c, 4, h);
    __u32 raw;

    if (!p) return;
    raw = shunt_load32(p);
    h->l3_kind = SHUNT_L3_MPLS;
    key->mpls_lse[i] = SHUNT_BE32_FROM_RAW(raw);
    if (raw & SHUNT_BE32(SHUNT_MPLS_BOS)) return;
    c->off += 4;
  }
}

/* Believed only where the customer's Ethernet header is there as well. */
SHUNT_INLINE void shunt_parse_pbb(struct shunt_cursor* c, struct shunt_flow_key* key,
                                  struct shunt_headers* h) SHUNT_NOEXCEPT {
  const __u8* p = shunt_peek(c, SHUNT_PBB_TAG_SIZE + sizeof(struct shunt_eth_header), h);

  if (!p) return;
  h->l3_kind = SHUNT_L3_PBB;
  key->pbb_itag = SHUNT_BE32_FROM_RAW(shunt_load32(p));
}

SHUNT_INLINE void shunt_parse_arp(struct shunt_cursor* c, struct shunt_flow_key* key,
                                  struct shunt_headers* h) SHUNT_NOEXCEPT {
  const __u8* p = shunt_peek(c, sizeof(struct shunt_arp_header), h);
  __u16 op;

  /* hardware 1 (Ethernet), protocol 0x0800, lengths 6 and 4 */
  if (!p || shunt_load32(p) != SHUNT_BE32(0x00010800) || shunt_load16(p + 4) != SHUNT_BE16(0x0604)) return;
  h->l3_kind = SHUNT_L3_ARP;
  op = SHUNT_BE16(shunt_load16(p + 6));
  if (op <= 0xff) key->nw_proto = (__u8)op;
  shunt_copy_mac(key->arp_sha, p + 8);
  shunt_map_ipv4(key->ip_src, shunt_load32(p + 14));
  shunt_copy_mac(key->arp_tha, p + 18);
  shunt_map_ipv4(key->ip_dst, shunt_load32(p + 24));
}

/* False: no good header. Leaves the cursor behind it, and its limit at the datagram's end. */
SHUNT_INLINE int shunt_parse_ipv4(struct shunt_cursor* c, __u32 features, struct shunt_flow_key* key,
                                  struct shunt_headers* h) SHUNT_NOEXCEPT {
  const __u8* p = shunt_peek(c, sizeof(struct shunt_ipv4_header), h);
  __u32 header_size, total;
  __u16 fragment;

  if (!p) return 0;
  header_size = (p[0] & 0xfu) * 4;
  total = SHUNT_BE16(shunt_load16(p + 2));
  if (SHUNT_UNLIKELY(header_size < 20 || total < header_size || c->off + total > c->limit)) return 0;
  h->l3_kind = SHUNT_L3_IPV4;
  h->proto = p[9];
  c->limit = c->off + total;
  h->l3_end = c->limit;
  fragment = shunt_load16(p + 6);
  if (SHUNT_UNLIKELY(fragment & SHUNT_BE16(SHUNT_IPV4_MF | SHUNT_IPV4_OFFSET_MASK))) {
    h->flags |= SHUNT_HEADERS_FRAG;
    if (fragment & SHUNT_BE16(SHUNT_IPV4_OFFSET_MASK)) h->flags |= SHUNT_HEADERS_LATER;
  }
  if (features & SHUNT_FEATURES_L3_KEY) {
    key->nw_proto = p[9];
    key->nw_tos = p[1];
    key->nw_ttl = p[8];
    key->nw_frag = shunt_nw_frag(h->flags);
    shunt_map_ipv4(key->ip_src, shunt_load32(p + 12));
    shunt_map_ipv4(key->ip_dst, shunt_load32(p + 16));
  }
  c->off += header_size;
  return 1;
}

SHUNT_INLINE int shunt_parse_ipv6(struct shunt_cursor* c, __u32 features, struct shunt_flow_key* key,
                                  struct shunt_headers* h) SHUNT_NOEXCEPT {
  const __u8* p = shunt_peek(c, sizeof(struct shunt_ipv6_header), h);
  __u32 payload, class_label;
  __u8 hop_limit;

  if (!p) return 0;
  payload = SHUNT_BE16(shunt_load16(p + 4));
  if (SHUNT_UNLIKELY(c->off + 40 + payload > c->limit)) return 0;
  h->l3_kind = SHUNT_L3_IPV6;
  c->limit = c->off + 40 + payload;
  h->l3_end = c->limit;
  class_label = SHUNT_BE32(shunt_load32(p));
  h->proto = p[6];
  hop_limit = p[7];
  if (features & SHUNT_FEATURES_L3_KEY) {
    shunt_copy_ipv6(key->ip_src, p + 8);
    shunt_copy_ipv6(key->ip_dst, p + 24);
  }
  c->off += 40;
  if (SHUNT_UNLIKELY(shunt_is_ext_header(h->proto))) {
    h->l4 = (__u16)c->off;
    if (!shunt_walk_ipv6(c->frame, h)) {
      h->l4 = 0;
      h->proto = SHUNT_IP_PROTO_NONE;
      return 0;
    }
    c->off = SHUNT_FORGET(__u16, h->l4) & SHUNT_MAX_OFFSET;
    h->l4 = 0;
    if (features & SHUNT_FEATURE_EXTHDR)
      key->ipv6_exthdr = SHUNT_BE16_FROM_RAW(SHUNT_BE16(h->walk & SHUNT_EXTHDR_BITS));
  } else if (features & SHUNT_FEATURE_EXTHDR) {
    key->ipv6_exthdr = SHUNT_BE16_FROM_RAW(SHUNT_BE16(shunt_note_ext_header(0, h->proto) & SHUNT_EXTHDR_BITS));
  }
  if (features & SHUNT_FEATURES_L3_KEY) {
    key->ipv6_label = SHUNT_BE32_FROM_RAW(SHUNT_BE32(class_label & SHUNT_IPV6_LABEL_MASK));
    key->nw_proto = h->proto;
    key->nw_tos = (__u8)(class_label >> 20);
    key->nw_ttl = hop_limit;
    key->nw_frag = shunt_nw_frag(h->flags);
  }
  return 1;
}

/*
 * Target and link-layer options of the neighbour solicitation or advertisement at h->l4. The same option twice makes
 * the whole invalid: then target and options count as not there.
 */
SHUNT_SUBPROGRAM(int)
shunt_parse_nd(shunt_frame* frame, struct shunt_flow_key* key, struct shunt_headers* h) SHUNT_NOEXCEPT {
  const __u8* p;
  __u32 i, off;

  if (SHUNT_NULL_ARGUMENT(key) || SHUNT_NULL_ARGUMENT(h)) return 0;
  off = h->l4 + 8u;
  if (off + 16 > h->l3_end) return 0;
  p = shunt_frame_at(frame, off, 16);
  if (!p) goto cut;
  shunt_copy_ipv6(key->nd_target, p);
  h->flags |= SHUNT_HEADERS_ND;
  h->walk = (__u16)(off + 16);

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_MAX_ND_OPTIONS; i++) {
    __u32 size;
    __u8 type;

    off = SHUNT_FORGET(__u16, h->walk);
    if (off + 8 > h->l3_end) break;
    p = shunt_frame_at(frame, off, 8);
    if (!p) goto cut;
    type = p[0];
    size = p[1] * 8u;
    if (size == 0 || off + size > h->l3_end) break;
    h->walk = (__u16)(off + size);
    if (size != 8) continue;
    /* An address of zeros does not count as seen, in Open vSwitch either. */
    if (type == SHUNT_ND_OPT_SLL) {
      if (!shunt_is_zero_mac(key->arp_sha)) goto invalid;
      shunt_copy_mac(key->arp_sha, p + 2);
      h->nd_sll = (__u16)(off + 2);
    } else if (type == SHUNT_ND_OPT_TLL) {
      if (!shunt_is_zero_mac(key->arp_tha)) goto invalid;
      shunt_copy_mac(key->arp_tha, p + 2);
      h->nd_tll = (__u16)(off + 2);
    }
  }
  return 1;

cut:
  h->flags |= SHUNT_HEADERS_CUT;
  return 0;

invalid:
  __builtin_memset(key->nd_target, 0, sizeof key->nd_target);
  __builtin_memset(key->arp_sha, 0, sizeof key->arp_sha);
  __builtin_memset(key->arp_tha, 0, sizeof key->arp_tha);
  h->flags &= (__u8)~SHUNT_HEADERS_ND;
  h->nd_sll = h->nd_tll = 0;
  return 0;
}

/* ICMP, ICMPv6 and IGMP keep type and code where others have ports. */
SHUNT_INLINE void shunt_parse_icmp(struct shunt_cursor* c, __u32 features, struct shunt_flow_key* key,
                                   struct shunt_headers* h) SHUNT_NOEXCEPT {
  const __u8* p = shunt_peek_payload(c, sizeof(struct shunt_icmp_header), h);

  if (!p) return;
  h->l4 = (__u16)c->off;
  if (features & SHUNT_FEATURES_L4_KEY) {
    key->tp_src = SHUNT_BE16_FROM_RAW((__u16)(p[0] << 8));
    key->tp_dst = SHUNT_BE16_FROM_RAW((__u16)(p[1] << 8));
  }
  if ((features & SHUNT_FEATURE_ND) && h->l3_kind == SHUNT_L3_IPV6 &&
      (p[0] == SHUNT_ND_SOLICIT || p[0] == SHUNT_ND_ADVERT) && p[1] == 0)
    shunt_parse_nd(c->frame, key, h);
}

SHUNT_INLINE void shunt_parse_ports(struct shunt_cursor* c, __u32 features, const __u8* p, struct shunt_flow_key* key,
                                    struct shunt_headers* h) SHUNT_NOEXCEPT {
  h->l4 = (__u16)c->off;
  if (!(features & SHUNT_FEATURES_L4_KEY)) return;
  key->tp_src = SHUNT_BE16_FROM_RAW(shunt_load16(p));
  key->tp_dst = SHUNT_BE16_FROM_RAW(shunt_load16(p + 2));
}

SHUNT_INLINE void shunt_parse_l4(struct shunt_cursor* c, __u32 features, struct shunt_flow_key* key,
                                 struct shunt_headers* h) SHUNT_NOEXCEPT {
  __u8 proto = h->proto;
  const __u8* p;

  if (proto == SHUNT_IP_PROTO_TCP) {
    p = shunt_peek_payload(c, sizeof(struct shunt_tcp_header), h);
    if (!p) return;
    shunt_parse_ports(c, features, p, key, h);
    if (features & SHUNT_FEATURES_L4_KEY)
      key->tcp_flags = SHUNT_BE16_FROM_RAW((__u16)(shunt_load16(p + 12) & SHUNT_BE16(SHUNT_TCP_FLAGS_MASK)));
  } else if (proto == SHUNT_IP_PROTO_UDP) {
    p = shunt_peek_payload(c, sizeof(struct shunt_udp_header), h);
    if (p) shunt_parse_ports(c, features, p, key, h);
  } else if (proto == SHUNT_IP_PROTO_SCTP) {
    p = shunt_peek_payload(c, sizeof(struct shunt_sctp_header), h);
    if (p) shunt_parse_ports(c, features, p, key, h);
  } else if (h->l3_kind == SHUNT_L3_IPV4 ? proto == SHUNT_IP_PROTO_ICMP || proto == SHUNT_IP_PROTO_IGMP
                                         : proto == SHUNT_IP_PROTO_ICMPV6) {
    shunt_parse_icmp(c, features, key, h);
  }
}

/*
 * Parses a frame of `frame_len` bytes: more than its first buffer holds where there are several. Returns
 * SHUNT_DROP_NONE, or SHUNT_DROP_TRUNCATED_ETH: then only key->in_port means something. In BPF `key` and `h` lie in a
 * map value (the stack has no room), and `features` (SHUNT_FEATURE_*) is a constant to the verifier.
 */
SHUNT_INLINE enum shunt_drop_reason shunt_parse(shunt_frame* frame, __u32 frame_len, __u32 in_port, __u32 features,
                                                struct shunt_flow_key* key, struct shunt_headers* h) SHUNT_NOEXCEPT {
  struct shunt_cursor c;
  __u16 raw_type;
  const __u8* p;

  __builtin_memset(key, 0, sizeof *key);
  __builtin_memset(h, 0, sizeof *h);
  key->in_port = in_port;
  c.frame = frame;
  c.data = shunt_frame_data(frame);
  c.end = shunt_frame_end(frame);
  c.off = 0;
  c.limit = frame_len;

  p = shunt_peek(&c, sizeof(struct shunt_eth_header), h);
  if (!p) return SHUNT_DROP_TRUNCATED_ETH;
  shunt_copy_mac(key->eth_dst, p);
  shunt_copy_mac(key->eth_src, p + 6);
  raw_type = shunt_load16(p + 12);
  c.off = sizeof(struct shunt_eth_header);
  shunt_parse_vlans(&c, &raw_type, key, h);
  h->eth_type = (__u16)(c.off - 2);
  if (SHUNT_UNLIKELY(SHUNT_BE16(raw_type) < SHUNT_ETH_TYPE_MIN)) raw_type = shunt_parse_llc(&c, h);
  key->eth_type = SHUNT_BE16_FROM_RAW(raw_type);
  h->l3 = (__u16)c.off;

  if ((features & SHUNT_FEATURE_MPLS) &&
      (raw_type == SHUNT_BE16(SHUNT_ETH_TYPE_MPLS) || raw_type == SHUNT_BE16(SHUNT_ETH_TYPE_MPLS_MC))) {
    shunt_parse_mpls(&c, key, h);
    return SHUNT_DROP_NONE;
  }
  if ((features & SHUNT_FEATURE_PBB) && raw_type == SHUNT_BE16(SHUNT_ETH_TYPE_PBB)) {
    shunt_parse_pbb(&c, key, h);
    return SHUNT_DROP_NONE;
  }
  if (!(features & (SHUNT_FEATURES_L3_KEY | SHUNT_FEATURE_CHECKSUM))) return SHUNT_DROP_NONE;
  if (raw_type == SHUNT_BE16(SHUNT_ETH_TYPE_IPV4)) {
    if (!shunt_parse_ipv4(&c, features, key, h)) return SHUNT_DROP_NONE;
  } else if (raw_type == SHUNT_BE16(SHUNT_ETH_TYPE_IPV6)) {
    if (!shunt_parse_ipv6(&c, features, key, h)) return SHUNT_DROP_NONE;
  } else {
    if ((features & SHUNT_FEATURES_L3_KEY) &&
        (raw_type == SHUNT_BE16(SHUNT_ETH_TYPE_ARP) || raw_type == SHUNT_BE16(SHUNT_ETH_TYPE_RARP)))
      shunt_parse_arp(&c, key, h);
    return SHUNT_DROP_NONE;
  }
  if (SHUNT_LIKELY(!(h->flags & SHUNT_HEADERS_LATER))) shunt_parse_l4(&c, features, key, h);
  return SHUNT_DROP_NONE;
}

#endif
