/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a plain packet's headers say, read from the frame without the parser, and in the exact-match cache's form: of
 * the fields that flows of the packet's port look at. Which packets are plain maps/flow.h tells. What is said here of a
 * packet is what the parser (bpf/datapath/parse.h) would have said: where that stops, the packet is not plain.
 *
 * IPv6's addresses do not fit into an element, nor does a second tag: with them a key has a rest, which takes a line of
 * its own beside the element (a wide one). Where no flow of the port looks at these, such a packet's key is as short as
 * any.
 */
#ifndef SHUNT_BPF_PLAIN_H
#define SHUNT_BPF_PLAIN_H

#include "bpf/datapath/parse.h"
#include "bpf/datapath/sum.h"
#include "bpf/stats.bpf.h"

/*
 * Shorter frames are padded on output; in longer ones lies all that is looked at, but of IPv6: Ethernet, two tags,
 * IPv4, and TCP up to its checksum.
 */
#define SHUNT_PLAIN_BYTES SHUNT_MIN_FRAME

/* On the stack, of which a program and all that it calls have 512 bytes. */
struct shunt_plain {
  __u64 key[SHUNT_PLAIN_WORDS]; /* without MACs, up to add_macs() */
  __u64 valid;                  /* shunt_port.microflows; 0: the cache has no place for this packet */
  __u64 hash;
  __u64 dst, src; /* MACs, as they lie in the frame */
  __u16 kind;     /* as an element's in_port */
  __u16 fields;   /* SHUNT_PLAIN_*: all that the key tells of the packet, its MACs included */
  __u16 tags;     /* 0 to 2 */
  __u16 wide;     /* SHUNT_MICROFLOW_WIDE, or 0: then what follows means nothing */
  __u64 more[SHUNT_PLAIN_WORDS]; /* IPv6's addresses */
  __u64 rest;                    /* tags, and SHUNT_MICROFLOW_REST, as in the second line */
};

static __always_inline __u64 if_kept(__u32 fields, __u32 field, __u64 value) { return fields & field ? value : 0; }

/* Whether a checksum behind a header of IPv4 without options was left to the card, as shunt_complete_checksum() tells.
 */
static __always_inline int is_open_ipv4_checksum(const __u8* ip, __u32 total, __u32 proto) {
  __u32 header = sizeof(struct shunt_ipv4_header);

  return shunt_load16(ip + header + shunt_checksum_offset(proto)) == shunt_ipv4_pseudo_sum(ip, proto, total - header);
}

/* The same behind one of IPv6 without extensions. */
static __always_inline int is_open_ipv6_checksum(const __u8* ip, __u32 payload, __u32 proto) {
  return shunt_load16(ip + sizeof(struct shunt_ipv6_header) + shunt_checksum_offset(proto)) ==
         shunt_ipv6_pseudo_sum(ip, proto, payload);
}

/* Whether the IPv4 header has neither options nor fragments. */
static __always_inline int is_plain_ipv4(const __u8* ip) {
  return ip[0] == 0x45 && !(shunt_load16(ip + 6) & SHUNT_BE16(SHUNT_IPV4_MF | SHUNT_IPV4_OFFSET_MASK));
}

/* IPv4 and what follows it, at `ip`, of a frame with `len` bytes from there on. False: the packet is not plain. */
static __always_inline int plain_ipv4(const __u8* ip, __u32 len, __u32 fields, int local_stack, struct shunt_plain* p) {
  __u32 total = SHUNT_BE16(shunt_load16(ip + 2));
  const __u8* l4 = ip + sizeof(struct shunt_ipv4_header);
  __u32 proto = ip[9];
  __u64 word;

  if (!is_plain_ipv4(ip)) return 0;
  if (total < sizeof(struct shunt_ipv4_header) || total > len) return 0;
  if (proto == SHUNT_IP_PROTO_TCP) {
    if (total < sizeof(struct shunt_ipv4_header) + sizeof(struct shunt_tcp_header)) return 0;
    if (local_stack && is_open_ipv4_checksum(ip, total, SHUNT_IP_PROTO_TCP)) return 0;
  } else if (proto == SHUNT_IP_PROTO_UDP) {
    if (total < sizeof(struct shunt_ipv4_header) + sizeof(struct shunt_udp_header)) return 0;
    if (local_stack && is_open_ipv4_checksum(ip, total, SHUNT_IP_PROTO_UDP)) return 0;
  } else if (proto == SHUNT_IP_PROTO_SCTP || (fields & SHUNT_PLAIN_L4)) {
    return 0;
  }
  if (!(shunt_config.features & SHUNT_FEATURES_L3_KEY)) return 1;
  word = shunt_load64(ip + 12);
  p->key[2] = if_kept(fields, SHUNT_PLAIN_IP_SRC, word & 0xffffffff) |
              if_kept(fields, SHUNT_PLAIN_IP_DST, word & ~0xffffffffULL);
  p->key[3] = if_kept(fields, SHUNT_PLAIN_PORTS, shunt_load32(l4)) |
              if_kept(fields, SHUNT_PLAIN_PROTO, (__u64)proto << 32) |
              if_kept(fields, SHUNT_PLAIN_TOS, (__u64)ip[1] << 40);
  if ((fields & SHUNT_PLAIN_TCP_FLAGS) && proto == SHUNT_IP_PROTO_TCP)
    p->key[3] |= (__u64)(shunt_load16(l4 + 12) & SHUNT_BE16(SHUNT_TCP_FLAGS_MASK)) << 48;
  return 1;
}

/*
 * IPv6 likewise, in a frame whose first buffer goes up to `end`. Extension headers are left to the parser, but for
 * those that it does not walk over either, encryption and "no next header": there the protocol says all.
 */
static __always_inline int plain_ipv6(const __u8* ip, const __u8* end, __u32 len, __u32 fields, int local_stack,
                                      struct shunt_plain* p) {
  const __u8* l4 = ip + sizeof(struct shunt_ipv6_header);
  __u32 payload = SHUNT_BE16(shunt_load16(ip + 4));
  __u32 class_label = shunt_load32(ip);
  __u32 proto = ip[6];
  __u64 word;

  if (l4 > end || sizeof(struct shunt_ipv6_header) + payload > len) return 0;
  word = if_kept(fields, SHUNT_PLAIN_PROTO, (__u64)proto << 32) |
         if_kept(fields, SHUNT_PLAIN_TOS, (__u64)(SHUNT_BE32(class_label) >> 20 & 0xff) << 40);
  if (proto == SHUNT_IP_PROTO_TCP) {
    if (payload < sizeof(struct shunt_tcp_header) || l4 + sizeof(struct shunt_tcp_header) > end) return 0;
    if (local_stack && is_open_ipv6_checksum(ip, payload, SHUNT_IP_PROTO_TCP)) return 0;
    word |= if_kept(fields, SHUNT_PLAIN_PORTS, shunt_load32(l4)) |
            if_kept(fields, SHUNT_PLAIN_TCP_FLAGS,
                    (__u64)(shunt_load16(l4 + 12) & SHUNT_BE16(SHUNT_TCP_FLAGS_MASK)) << 48);
  } else if (proto == SHUNT_IP_PROTO_UDP) {
    if (payload < sizeof(struct shunt_udp_header) || l4 + sizeof(struct shunt_udp_header) > end) return 0;
    if (local_stack && is_open_ipv6_checksum(ip, payload, SHUNT_IP_PROTO_UDP)) return 0;
    word |= if_kept(fields, SHUNT_PLAIN_PORTS, shunt_load32(l4));
  } else if (proto == SHUNT_IP_PROTO_SCTP || shunt_is_ext_header(proto) || (fields & SHUNT_PLAIN_L4)) {
    return 0;
  }
  if (!(shunt_config.features & SHUNT_FEATURES_L3_KEY) || !(fields & SHUNT_PLAIN_L3)) return 1;
  /* A neighbour's solicitation has what other packets have not. */
  if (proto != SHUNT_IP_PROTO_ICMPV6) p->fields |= SHUNT_PLAIN_NOT_IP;
  p->key[2] = if_kept(fields, SHUNT_PLAIN_LABEL, class_label & SHUNT_BE32(SHUNT_IPV6_LABEL_MASK));
  p->key[3] = word;
  if (!(fields & (SHUNT_PLAIN_IP_SRC | SHUNT_PLAIN_IP_DST))) return 1;
  p->more[0] = if_kept(fields, SHUNT_PLAIN_IP_SRC, shunt_load64(ip + 8));
  p->more[1] = if_kept(fields, SHUNT_PLAIN_IP_SRC, shunt_load64(ip + 16));
  p->more[2] = if_kept(fields, SHUNT_PLAIN_IP_DST, shunt_load64(ip + 24));
  p->more[3] = if_kept(fields, SHUNT_PLAIN_IP_DST, shunt_load64(ip + 32));
  p->wide = SHUNT_MICROFLOW_WIDE;
  return 1;
}

/* Two chains that do not wait for each other, each from a place of its own: what both have may be swapped. */
static __always_inline __u64 plain_rest_hash(const struct shunt_plain* p) {
  __u64 multiplier = shunt_config.hash_multiplier;
  __u64 src = shunt_hash_step(shunt_config.hash_seed, p->more[0], multiplier);
  __u64 dst = shunt_hash_step(~shunt_config.hash_seed, p->more[2], multiplier);

  src = shunt_hash_step(src, p->more[1], multiplier);
  dst = shunt_hash_step(dst, p->more[3], multiplier);
  return shunt_hash_step(src + p->rest, dst, multiplier);
}

/* Two independent sums, so that the multiplications do not wait for each other. */
static __always_inline __u64 plain_hash(const struct shunt_plain* p) {
  __u64 multiplier = shunt_config.hash_multiplier;
  __u64 hash = (p->key[0] ^ shunt_config.hash_seed) * multiplier;

  hash ^= hash >> 32;
  if (shunt_config.features & SHUNT_FEATURES_L3_KEY) {
    __u64 other = (p->key[2] + p->key[3] * (multiplier ^ 0x9e3779b97f4a7c14ULL)) * multiplier;

    hash += other ^ other >> 32;
  }
  return shunt_hash_step(hash + p->kind, p->key[1], multiplier);
}

/* The key of elements by which the FDB is asked. */
static __always_inline void leave_macs(struct shunt_plain* plain, __u32 in_port) {
  plain->key[0] = 0;
  plain->key[1] &= ~0xffffffffULL;
  plain->kind = (__u16)(in_port | plain->wide | SHUNT_MICROFLOW_BRIDGE);
  plain->hash = plain_hash(plain);
}

/* The key of all others: MACs where some flow of the port looks at them. */
static __always_inline void add_macs(struct shunt_plain* plain, __u32 in_port) {
  __u32 fields = plain->fields;

  plain->key[0] = if_kept(fields, SHUNT_PLAIN_DST, plain->dst) | if_kept(fields, SHUNT_PLAIN_SRC, plain->src << 48);
  plain->key[1] |= if_kept(fields, SHUNT_PLAIN_SRC, plain->src >> 16);
  plain->kind = (__u16)(in_port | plain->wide);
  plain->hash = plain_hash(plain);
}

/*
 * Goes over the tags, two at most, of which plain->tags lie beside the frame, with tpid and tci: leaves *at 12 bytes
 * before the type behind them, and that type in *type. Returns the outer one's TCI as keys have it, and in *rest what a
 * key has of them beyond a tag of 802.1Q's.
 */
static __always_inline __u16 plain_tags(struct shunt_plain* plain, __u16 tpid, __u16 tci, const __u8** at, __u16* type,
                                        __u64* rest) {
  const __u8* p = *at;

  *rest = 0;
  *type = shunt_load16(p + 12);
  if (plain->tags) {
    tpid = SHUNT_BE16(tpid);
    tci = SHUNT_BE16(tci);
  } else if (shunt_is_vlan(*type)) {
    tpid = *type;
    tci = shunt_load16(p + 14);
    *type = shunt_load16(p + 16);
    p += 4;
    plain->tags = 1;
  } else {
    return 0;
  }
  if (tpid != SHUNT_BE16(SHUNT_ETH_TYPE_CVLAN)) *rest = tpid;
  if (shunt_is_vlan(*type)) {
    *rest = tpid | (__u64)*type << 16 | (__u64)(shunt_load16(p + 14) | SHUNT_BE16(SHUNT_VLAN_PRESENT)) << 32;
    *type = shunt_load16(p + 16);
    p += 4;
    plain->tags = 2;
  }
  *at = p;
  return tci | SHUNT_BE16(SHUNT_VLAN_PRESENT);
}

/* The packet's key, but for MACs. Leaves plain->valid at 0 where the packet is not plain. */
static __always_inline void plain_key(const struct shunt_packet* packet, struct shunt_plain* plain) {
  int local_stack = (shunt_config.features & SHUNT_FEATURE_CHECKSUM) && (packet->port->flags & SHUNT_PORT_LOCAL_STACK);
  const __u8* p = (const __u8*)(long)packet->ctx->data;
  const __u8* end = (const __u8*)(long)packet->ctx->data_end;
  __u64 valid = *(const volatile __u64*)&packet->port->microflows, rest;
  __u32 fields = (__u32)SHUNT_MICROFLOWS_FIELDS(valid), len;
  __u16 type, tpid = 0, tci = 0;

  plain->valid = plain->tags = 0;
  if (!(fields & SHUNT_PLAIN_ON) || shunt_frame_is_split(packet->ctx, packet->len)) return;
  plain->tags = (__u16)shunt_frame_tag(packet->ctx, &tpid, &tci);
  if (plain->tags ? p + SHUNT_PLAIN_BYTES - 4 > end : p + SHUNT_PLAIN_BYTES > end) return;
  if (!(shunt_config.features & SHUNT_FEATURES_L3_KEY)) fields &= ~SHUNT_PLAIN_L3;
  plain->dst = shunt_load64(p) & SHUNT_FDB_MAC;
  plain->src = shunt_load64(p + 4) >> 16;
  tci = plain_tags(plain, tpid, tci, &p, &type, &rest);
  if (SHUNT_BE16(type) < SHUNT_ETH_TYPE_MIN) return;
  p += sizeof(struct shunt_eth_header);
  len = packet->len - sizeof(struct shunt_eth_header) - 4 * plain->tags;
  plain->key[1] =
      if_kept(fields, SHUNT_PLAIN_TYPE, (__u64)type << 32) | if_kept(fields, SHUNT_PLAIN_VLAN, (__u64)tci << 48);
  plain->key[0] = plain->key[2] = plain->key[3] = 0;
  plain->wide = 0;
  rest = if_kept(fields, SHUNT_PLAIN_VLAN, rest);
  if (SHUNT_UNLIKELY(rest != 0)) {
    plain->wide = SHUNT_MICROFLOW_WIDE;
    plain->more[0] = plain->more[1] = plain->more[2] = plain->more[3] = 0;
  }
  plain->fields = fields & (SHUNT_PLAIN_L2 | SHUNT_PLAIN_BRIDGE);
  if (type == SHUNT_BE16(SHUNT_ETH_TYPE_IPV4)) {
    plain->fields = fields & (SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3 | SHUNT_PLAIN_BRIDGE);
    if (fields & SHUNT_PLAIN_TYPE) plain->fields |= SHUNT_PLAIN_NOT_IP;
    if ((local_stack || (fields & SHUNT_PLAIN_L3)) && !plain_ipv4(p, len, fields, local_stack, plain)) return;
  } else if (type == SHUNT_BE16(SHUNT_ETH_TYPE_IPV6) && (local_stack || (fields & SHUNT_PLAIN_L3))) {
    plain->fields = fields & (SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3 | SHUNT_PLAIN_BRIDGE);
    if (!plain_ipv6(p, end, len, fields, local_stack, plain)) return;
  }
  if (SHUNT_UNLIKELY(plain->wide)) plain->rest = rest | (__u64)(packet->in_port | SHUNT_MICROFLOW_REST) << 48;
  plain->valid = valid;
}

/*
 * Where a plain packet's headers lie, as the parser would have said. False: it has to; this knows TCP and UDP right
 * behind IP, whole, and nothing else.
 */
static __always_inline int plain_headers(const struct shunt_packet* packet, const struct shunt_plain* plain,
                                         struct shunt_headers* h) {
  __u32 size, header, datagram, len = packet->len - sizeof(struct shunt_eth_header) - 4 * plain->tags;
  __u16 tpid, tci, type;
  __u32 l3 = sizeof(struct shunt_eth_header) + 4 * (plain->tags - (__u32)shunt_frame_tag(packet->ctx, &tpid, &tci));
  const __u8* ip = shunt_frame_at(packet->ctx, l3 - 2, 2 + sizeof(struct shunt_ipv4_header));

  if (!ip) return 0;
  type = shunt_load16(ip);
  ip += 2;
  __builtin_memset(h, 0, sizeof *h);
  if (type == SHUNT_BE16(SHUNT_ETH_TYPE_IPV4)) {
    if (!is_plain_ipv4(ip)) return 0;
    h->l3_kind = SHUNT_L3_IPV4;
    h->proto = ip[9];
    header = sizeof(struct shunt_ipv4_header);
    datagram = SHUNT_BE16(shunt_load16(ip + 2));
  } else if (type == SHUNT_BE16(SHUNT_ETH_TYPE_IPV6)) {
    h->l3_kind = SHUNT_L3_IPV6;
    h->proto = ip[6];
    header = sizeof(struct shunt_ipv6_header);
    datagram = header + SHUNT_BE16(shunt_load16(ip + 4));
  } else {
    return 0;
  }
  size = h->proto == SHUNT_IP_PROTO_TCP ? sizeof(struct shunt_tcp_header) : sizeof(struct shunt_udp_header);
  if (h->proto != SHUNT_IP_PROTO_TCP && h->proto != SHUNT_IP_PROTO_UDP) return 0;
  if (datagram < header + size || datagram > len || !shunt_frame_at(packet->ctx, l3 + header, size)) return 0;
  h->eth_type = (__u16)(l3 - 2);
  h->l3 = (__u16)l3;
  h->l4 = (__u16)(l3 + header);
  h->l3_end = l3 + datagram;
  h->vlan_count = (__u8)plain->tags;
  return 1;
}

/* Whether the parser found headers of the kind that plain_headers() finds. */
static __always_inline int has_plain_headers(const struct shunt_headers* h) {
  __u32 size = h->l3_kind == SHUNT_L3_IPV4 ? sizeof(struct shunt_ipv4_header) : sizeof(struct shunt_ipv6_header);

  return (h->proto == SHUNT_IP_PROTO_TCP || h->proto == SHUNT_IP_PROTO_UDP) && !(h->flags & SHUNT_HEADERS_FRAG) &&
         h->l4 == h->l3 + size;
}

#endif
