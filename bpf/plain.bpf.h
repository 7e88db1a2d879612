/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a plain packet's headers say, read from the frame without the parser, and in the exact-match cache's form: of
 * the fields that flows of the packet's port look at. Which packets are plain maps/flow.h tells. What is said here of a
 * packet is what the parser (bpf/datapath/parse.h) would have said: where that stops, the packet is not plain.
 *
 * A key is as short as may be (the forms of maps/flow.h). IPv6's addresses do not fit into a line, nor does a second
 * tag: with them a key has a rest, in a line of its own (a wide one), but where no flow of the port looks at these.
 */
#ifndef SHUNT_BPF_PLAIN_H
#define SHUNT_BPF_PLAIN_H

#include "bpf/datapath/microflow_units.h"
#include "bpf/datapath/parse.h"
#include "bpf/datapath/sum.h"
#include "bpf/stats.bpf.h"

/*
 * Shorter frames are padded on output; in longer ones lies all that is looked at, but of IPv6: Ethernet, two tags,
 * IPv4, and TCP up to its checksum.
 */
#define SHUNT_PLAIN_BYTES SHUNT_MIN_FRAME

/* What keys keep of their words: of the first two by the L2 fields that flows look at, of the others by those of L3. */
#define SHUNT_BITS_IF(fields, field, bits) ((fields) & (field) ? (bits) : 0ULL)
#define SHUNT_L2_BITS(f)                                                                                         \
  {                                                                                                              \
    SHUNT_BITS_IF(f, SHUNT_PLAIN_DST, SHUNT_FDB_MAC) | SHUNT_BITS_IF(f, SHUNT_PLAIN_SRC, 0xffffULL << 48),       \
        SHUNT_BITS_IF(f, SHUNT_PLAIN_SRC, 0xffffffffULL) | SHUNT_BITS_IF(f, SHUNT_PLAIN_TYPE, 0xffffULL << 32) | \
            SHUNT_BITS_IF(f, SHUNT_PLAIN_VLAN, 0xffffULL << 48)                                                  \
  }
#define SHUNT_L3_BITS(f)                                                                                             \
  {                                                                                                                  \
    SHUNT_BITS_IF(f, SHUNT_PLAIN_IP_SRC, 0xffffffffULL) | SHUNT_BITS_IF(f, SHUNT_PLAIN_IP_DST, 0xffffffffULL << 32), \
        SHUNT_BITS_IF(f, SHUNT_PLAIN_PORTS, 0xffffffffULL) | SHUNT_BITS_IF(f, SHUNT_PLAIN_PROTO, 0xffULL << 32) |    \
            SHUNT_BITS_IF(f, SHUNT_PLAIN_TOS, 0xffULL << 40) |                                                       \
            SHUNT_BITS_IF(f, SHUNT_PLAIN_TCP_FLAGS, 0xffffULL << 48)                                                 \
  }
#define SHUNT_L3_SHIFT 4 /* of the first field of L3 */
#define SHUNT_4(of, f, step) of(f), of((f) + (step)), of((f) + 2 * (step)), of((f) + 3 * (step))
#define SHUNT_16(of, f, step)                                                                     \
  SHUNT_4(of, f, step), SHUNT_4(of, (f) + 4 * (step), step), SHUNT_4(of, (f) + 8 * (step), step), \
      SHUNT_4(of, (f) + 12 * (step), step)

static const __u64 l2_bits[16][2] = {SHUNT_16(SHUNT_L2_BITS, 0, 1)};
static const __u64 l3_bits[64][2] = {SHUNT_16(SHUNT_L3_BITS, 0, 16), SHUNT_16(SHUNT_L3_BITS, 256, 16),
                                     SHUNT_16(SHUNT_L3_BITS, 512, 16), SHUNT_16(SHUNT_L3_BITS, 768, 16)};

static __always_inline __u64 if_kept(__u32 fields, __u32 field, __u64 value) { return fields & field ? value : 0; }

/* Keeps the key while other levels are asked, where the verifier does not follow it. */
static __always_inline void keep_plain(struct shunt_scratch* mine, const struct shunt_plain_record* record) {
  __u32 i;

  mine->plain.plain.valid = record->plain.valid;
  if (!record->plain.valid) return;
  mine->plain.plain = record->plain;
  if (!(record->plain.kind & SHUNT_MICROFLOW_WIDE)) return;
#pragma unroll
  for (i = 0; i < SHUNT_PLAIN_WORDS; i++) mine->plain.more[i] = record->more[i];
  mine->plain.rest = record->rest;
}

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
  const __u64* bits = l3_bits[fields >> SHUNT_L3_SHIFT & 63];
  __u32 proto = ip[9];
  __u64 flags = 0, addresses, others;

  if (!is_plain_ipv4(ip)) return 0;
  if (total < sizeof(struct shunt_ipv4_header) || total > len) return 0;
  if (proto == SHUNT_IP_PROTO_TCP) {
    if (total < sizeof(struct shunt_ipv4_header) + sizeof(struct shunt_tcp_header)) return 0;
    if (local_stack && is_open_ipv4_checksum(ip, total, SHUNT_IP_PROTO_TCP)) return 0;
    flags = shunt_load16(l4 + 12) & SHUNT_BE16(SHUNT_TCP_FLAGS_MASK);
  } else if (proto == SHUNT_IP_PROTO_UDP) {
    if (total < sizeof(struct shunt_ipv4_header) + sizeof(struct shunt_udp_header)) return 0;
    if (local_stack && is_open_ipv4_checksum(ip, total, SHUNT_IP_PROTO_UDP)) return 0;
  } else if (proto == SHUNT_IP_PROTO_SCTP || (fields & SHUNT_PLAIN_L4)) {
    return 0;
  }
  if (!(shunt_config.features & SHUNT_FEATURES_L3_KEY) || !(fields & SHUNT_PLAIN_L3)) return 1;
  addresses = shunt_load64(ip + 12) & bits[0];
  others = (shunt_load32(l4) | (__u64)proto << 32 | (__u64)ip[1] << 40 | flags << 48) & bits[1];
  if (!p->tags && !(fields & (SHUNT_PLAIN_DST | SHUNT_PLAIN_SRC))) { /* the same first words as other such packets */
    p->kind = SHUNT_MICROFLOW_NETWORK;
    p->key[0] = addresses;
    p->key[1] = others;
    return 1;
  }
  p->kind |= SHUNT_MICROFLOW_LONG;
  p->key[2] = addresses;
  p->key[3] = others;
  return 1;
}

/* From here on the key is a wide one. */
static __always_inline void widen(struct shunt_plain* plain, struct shunt_plain_record* record, __u64 rest) {
  record->rest = rest;
  record->more[0] = record->more[1] = record->more[2] = record->more[3] = 0;
  plain->kind = SHUNT_MICROFLOW_WIDE;
}

/*
 * IPv6 likewise, of which the first buffer may hold a part only. Extension headers are left to the parser, but for
 * those that it does not walk over either, encryption and "no next header": there the protocol says all.
 */
static __always_inline int plain_ipv6(const struct shunt_packet* packet, const __u8* ip, __u32 len, __u32 fields,
                                      int local_stack, struct shunt_plain* p, struct shunt_plain_record* record) {
  const __u8* end = (const __u8*)(long)packet->ctx->data_end;
  const __u8* l4 = ip + sizeof(struct shunt_ipv6_header);
  __u32 payload = SHUNT_BE16(shunt_load16(ip + 4));
  __u32 class_label = shunt_load32(ip);
  __u32 proto = ip[6];
  __u64 word = (__u64)proto << 32 | (__u64)(SHUNT_BE32(class_label) >> 20 & 0xff) << 40;

  if (l4 > end || sizeof(struct shunt_ipv6_header) + payload > len) return 0;
  if (proto == SHUNT_IP_PROTO_TCP) {
    if (payload < sizeof(struct shunt_tcp_header) || l4 + sizeof(struct shunt_tcp_header) > end) return 0;
    if (local_stack && is_open_ipv6_checksum(ip, payload, SHUNT_IP_PROTO_TCP)) return 0;
    word |= shunt_load32(l4) | (__u64)(shunt_load16(l4 + 12) & SHUNT_BE16(SHUNT_TCP_FLAGS_MASK)) << 48;
  } else if (proto == SHUNT_IP_PROTO_UDP) {
    if (payload < sizeof(struct shunt_udp_header) || l4 + sizeof(struct shunt_udp_header) > end) return 0;
    if (local_stack && is_open_ipv6_checksum(ip, payload, SHUNT_IP_PROTO_UDP)) return 0;
    word |= shunt_load32(l4);
  } else if (proto == SHUNT_IP_PROTO_SCTP || shunt_is_ext_header(proto) || (fields & SHUNT_PLAIN_L4)) {
    return 0;
  }
  if (!(shunt_config.features & SHUNT_FEATURES_L3_KEY) || !(fields & SHUNT_PLAIN_L3)) return 1;
  p->kind |= SHUNT_MICROFLOW_LONG;
  p->key[2] = if_kept(fields, SHUNT_PLAIN_LABEL, class_label & SHUNT_BE32(SHUNT_IPV6_LABEL_MASK));
  p->key[3] = word & l3_bits[fields >> SHUNT_L3_SHIFT & 63][1];
  if (!(fields & (SHUNT_PLAIN_IP_SRC | SHUNT_PLAIN_IP_DST))) return 1;
  if (!(p->kind & SHUNT_MICROFLOW_WIDE)) widen(p, record, 0);
  record->more[0] = if_kept(fields, SHUNT_PLAIN_IP_SRC, shunt_load64(ip + 8));
  record->more[1] = if_kept(fields, SHUNT_PLAIN_IP_SRC, shunt_load64(ip + 16));
  record->more[2] = if_kept(fields, SHUNT_PLAIN_IP_DST, shunt_load64(ip + 24));
  record->more[3] = if_kept(fields, SHUNT_PLAIN_IP_DST, shunt_load64(ip + 32));
  return 1;
}

/* What lies behind the type of Ethernet, in a port's packets some flow looks at or whose checksums may be open. */
static __always_inline int plain_l3(const struct shunt_packet* packet, const __u8* p, __u16 type, __u32 fields,
                                    struct shunt_plain* plain, struct shunt_plain_record* record) {
  __u32 len = packet->len - sizeof(struct shunt_eth_header) - 4 * plain->tags;
  int local_stack = packet->port->flags & SHUNT_PORT_LOCAL_STACK;

  if (type == SHUNT_BE16(SHUNT_ETH_TYPE_IPV4)) return plain_ipv4(p, len, fields, local_stack, plain);
  return type != SHUNT_BE16(SHUNT_ETH_TYPE_IPV6) || plain_ipv6(packet, p, len, fields, local_stack, plain, record);
}

/* Once the key is there. `in_port`: or SHUNT_MICROFLOW_BRIDGE. */
static __always_inline void hash_plain(struct shunt_plain* p, __u32 in_port) {
  __u64 multiplier = shunt_config.hash_multiplier, second = 0;

  if (p->kind & (SHUNT_MICROFLOW_LONG | SHUNT_MICROFLOW_WIDE))
    second = shunt_microflow_second_hash(p->key[2], p->key[3], multiplier);
  p->kind |= (__u16)(in_port & ~SHUNT_MICROFLOW_FORM); /* so that the verifier knows the form */
  p->hash = shunt_microflow_hash(p->key[0], p->key[1], p->kind, second, shunt_config.hash_seed, multiplier);
}

/* The hash of a wide key. */
static __always_inline __u64 wide_hash(const struct shunt_plain_record* p) {
  return p->plain.hash +
         shunt_microflow_rest_hash(p->more, p->more + 2, p->rest, shunt_config.hash_seed, shunt_config.hash_multiplier);
}

/* Both MACs, whatever flows look at: for the FDB. */
static __always_inline void take_macs(const struct shunt_packet* packet, __u64* dst, __u64* src) {
  const __u8* at = shunt_frame_at(packet->ctx, 0, 12);

  if (!at) return; /* plain frames are longer */
  *dst = shunt_load64(at) & SHUNT_FDB_MAC;
  *src = shunt_load16(at + 6) | (__u64)shunt_load32(at + 8) << 16;
}

/* The key by which the FDB is asked. */
static __always_inline void leave_macs(struct shunt_plain* p) {
  if (!(p->kind & SHUNT_MICROFLOW_NETWORK)) {
    p->key[0] = 0;
    p->key[1] &= ~0xffffffffULL;
  }
  hash_plain(p, SHUNT_MICROFLOW_BRIDGE);
}

/*
 * Goes over the tags, two at most, of which plain->tags lie beside the frame, with tpid and tci: leaves *at 12 bytes
 * before the type behind them, and that type in *type. Returns the outer one's TCI as keys have it. What they are
 * beyond a tag of 802.1Q's makes the key a wide one, where it is kept.
 */
static __always_inline __u16 plain_tags(const struct shunt_packet* packet, struct shunt_plain* plain,
                                        struct shunt_plain_record* record, __u16 tpid, __u16 tci, int kept,
                                        const __u8** at, __u16* type) {
  const __u8* p = *at;
  __u64 rest = 0;

  *type = shunt_load16(p + 12);
  if (plain->tags) {
    tpid = SHUNT_BE16(tpid);
    tci = SHUNT_BE16(tci);
  } else if (SHUNT_UNLIKELY(shunt_is_vlan(*type))) {
    tpid = *type;
    tci = shunt_load16(p + 14);
    *type = shunt_load16(p + 16);
    p += 4;
    plain->tags = 1;
  } else {
    return 0;
  }
  if (tpid != SHUNT_BE16(SHUNT_ETH_TYPE_CVLAN)) rest = tpid;
  if (shunt_is_vlan(*type)) {
    rest = tpid | (__u64)*type << 16 | (__u64)(shunt_load16(p + 14) | SHUNT_BE16(SHUNT_VLAN_PRESENT)) << 32;
    *type = shunt_load16(p + 16);
    p += 4;
    plain->tags = 2;
  }
  if (rest != 0 && kept) widen(plain, record, rest);
  *at = p;
  return tci | SHUNT_BE16(SHUNT_VLAN_PRESENT);
}

/* The packet's key. False: the packet is not plain, or the cache has no place for it. */
static __always_inline int plain_key(const struct shunt_packet* packet, struct shunt_plain* plain,
                                     struct shunt_plain_record* record) {
  const __u8* p = (const __u8*)(long)packet->ctx->data;
  const __u8* end = (const __u8*)(long)packet->ctx->data_end;
  __u64 valid = *(const volatile __u64*)&packet->port->microflows, macs;
  __u32 fields = (__u32)SHUNT_MICROFLOWS_FIELDS(valid);
  const __u64* bits = l2_bits[fields & SHUNT_PLAIN_L2];
  __u16 type, tpid = 0, tci = 0;

  if (!(fields & SHUNT_PLAIN_ON) || shunt_frame_is_split(packet->ctx, packet->len)) return 0;
  plain->tags = (__u16)shunt_frame_tag(packet->ctx, &tpid, &tci);
  if (plain->tags ? p + SHUNT_PLAIN_BYTES - 4 > end : p + SHUNT_PLAIN_BYTES > end) return 0;
  macs = shunt_load64(p);
  plain->key[0] = macs & bits[0];
  SHUNT_OPAQUE(plain->key[0]);
  macs = shunt_load32(p + 8);
  plain->kind = SHUNT_MICROFLOW_LINK;
  tci = plain_tags(packet, plain, record, tpid, tci, fields & SHUNT_PLAIN_VLAN, &p, &type);
  plain->key[1] = (macs | (__u64)type << 32 | (__u64)tci << 48) & bits[1];
  SHUNT_OPAQUE(plain->key[1]);
  plain->key[2] = plain->key[3] = 0;
  if (SHUNT_BE16(type) < SHUNT_ETH_TYPE_MIN) return 0;
  if (((fields & SHUNT_PLAIN_L3) || (packet->port->flags & SHUNT_PORT_LOCAL_STACK)) &&
      !plain_l3(packet, p + sizeof(struct shunt_eth_header), type, fields, plain, record))
    return 0;
  plain->valid = valid;
  hash_plain(plain, packet->in_port);
  return 1;
}

/*
 * SHUNT_PLAIN_*: all that a plain packet's key tells of it, its MACs included. The parser has been over the packet.
 */
static __always_inline __u32 fields_told(const struct shunt_plain* plain, const struct shunt_flow_key* key) {
  __u32 fields = (__u32)SHUNT_MICROFLOWS_FIELDS(plain->valid);
  __u32 told = fields & (SHUNT_PLAIN_L2 | SHUNT_PLAIN_BRIDGE);
  __u32 l3 = shunt_config.features & SHUNT_FEATURES_L3_KEY ? fields & SHUNT_PLAIN_L3 : 0;

  if (key->eth_type == SHUNT_BE16(SHUNT_ETH_TYPE_IPV4)) {
    told |= l3;
    if (fields & SHUNT_PLAIN_TYPE) told |= SHUNT_PLAIN_NOT_IP;
  } else if (key->eth_type == SHUNT_BE16(SHUNT_ETH_TYPE_IPV6) && l3) {
    told |= l3;
    /* A neighbour's solicitation has what other packets have not. */
    if (key->nw_proto != SHUNT_IP_PROTO_ICMPV6) told |= SHUNT_PLAIN_NOT_IP;
  }
  return told;
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
