/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The exact-match cache: what a plain packet's headers say leads to the port it goes out of, in one line of memory, and
 * without a whole flow key. Asked before the parser. It holds flows with one output and nothing else that the megaflow
 * level has answered with; filled here.
 *
 * Of bridged packets it keeps where each pair of MACs goes, as long as userspace finds that these are few. When they
 * are many (SHUNT_PLAIN_BRIDGE), it keeps that the flow is the packet's, whatever the MACs are: the key is without
 * them, and the FDB is asked each time. One element answers for all MACs then, where one for each pair would be a line of memory
 * that no packet before has fetched; and an entry of the FDB that changes makes none void.
 *
 * An element is right as long as its flow is there: what the flow's mask looks at is part of the element's key. When a
 * flow goes, userspace changes its port's number (shunt_port.microflows), and no element of the port is valid any more.
 */
#ifndef SHUNT_BPF_MICROFLOW_H
#define SHUNT_BPF_MICROFLOW_H

#include "bpf/bridge.bpf.h"
#include "bpf/datapath/parse.h"
#include "bpf/datapath/sum.h"
#include "bpf/stats.bpf.h"

/* Shorter frames are padded on output; in longer ones lies all that is looked at: Ethernet, a tag, IPv4, TCP's flags.
 */
#define SHUNT_PLAIN_BYTES SHUNT_MIN_FRAME
/* Elements where a packet's may be: a pair of lines, which processors fetch together. */
#define SHUNT_MICROFLOW_WAYS 2
/* Where a live element has to go for the packet's: one in so many. */
#define SHUNT_MICROFLOW_LUCK 16

struct shunt_plain {
  __u64 key[SHUNT_PLAIN_WORDS]; /* without MACs, up to add_macs() */
  __u64 valid;                  /* shunt_port.microflows; 0: the cache has no place for this packet */
  __u64 hash;
  __u64 dst, src; /* MACs, as they lie in the frame */
  __u32 kind;     /* as an element's in_port */
  __u32 fields;   /* SHUNT_PLAIN_*: all that the key tells of the packet, its MACs included */
  __u32 tags;     /* 0 or 1 */
};

static __always_inline __u64 if_kept(__u32 fields, __u32 field, __u64 value) { return fields & field ? value : 0; }

/* Whether a checksum behind a header of IPv4 without options was left to the card, as shunt_complete_checksum() tells.
 */
static __always_inline int is_open_checksum(const __u8* ip, __u32 total, __u32 proto) {
  __u32 header = sizeof(struct shunt_ipv4_header);

  return shunt_load16(ip + header + shunt_checksum_offset(proto)) == shunt_ipv4_pseudo_sum(ip, proto, total - header);
}

/* IPv4 and what follows it, at `ip`, of a frame with `len` bytes from there on. False: the packet is not plain. */
static __always_inline int plain_ipv4(const __u8* ip, __u32 len, __u32 fields, int local_stack, struct shunt_plain* p) {
  __u32 total = SHUNT_BE16(shunt_load16(ip + 2));
  const __u8* l4 = ip + sizeof(struct shunt_ipv4_header);
  __u32 proto = ip[9];
  __u64 word;

  if (ip[0] != 0x45 || (shunt_load16(ip + 6) & SHUNT_BE16(SHUNT_IPV4_MF | SHUNT_IPV4_OFFSET_MASK))) return 0;
  if (total < sizeof(struct shunt_ipv4_header) || total > len) return 0;
  if (proto == SHUNT_IP_PROTO_TCP) {
    if (total < sizeof(struct shunt_ipv4_header) + sizeof(struct shunt_tcp_header)) return 0;
    if (local_stack && is_open_checksum(ip, total, SHUNT_IP_PROTO_TCP)) return 0;
  } else if (proto == SHUNT_IP_PROTO_UDP) {
    if (total < sizeof(struct shunt_ipv4_header) + sizeof(struct shunt_udp_header)) return 0;
    if (local_stack && is_open_checksum(ip, total, SHUNT_IP_PROTO_UDP)) return 0;
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

static __always_inline __u64 microflow_check(__u64 hash, __u64 valid, __u32 slot, __u32 output) {
  return (hash ^ ((__u64)output << 32 | slot)) * shunt_config.hash_multiplier ^ valid;
}

/* The key of elements by which the FDB is asked. */
static __always_inline void leave_macs(struct shunt_plain* plain, __u32 in_port) {
  plain->key[0] = 0;
  plain->key[1] &= ~0xffffffffULL;
  plain->kind = in_port | SHUNT_MICROFLOW_BRIDGE;
  plain->hash = plain_hash(plain);
}

/* The key of all others: MACs where some flow of the port looks at them. */
static __always_inline void add_macs(struct shunt_plain* plain, __u32 in_port) {
  __u32 fields = plain->fields;

  plain->key[0] = if_kept(fields, SHUNT_PLAIN_DST, plain->dst) | if_kept(fields, SHUNT_PLAIN_SRC, plain->src << 48);
  plain->key[1] |= if_kept(fields, SHUNT_PLAIN_SRC, plain->src >> 16);
  plain->kind = in_port;
  plain->hash = plain_hash(plain);
}

/* The packet's key, but for MACs. Leaves plain->valid at 0 where the packet is not plain. */
static __always_inline void plain_key(const struct shunt_packet* packet, struct shunt_plain* plain) {
  int local_stack = (shunt_config.features & SHUNT_FEATURE_CHECKSUM) && (packet->port->flags & SHUNT_PORT_LOCAL_STACK);
  const __u8* p = (const __u8*)(long)packet->ctx->data;
  const __u8* end = (const __u8*)(long)packet->ctx->data_end;
  __u64 valid = *(const volatile __u64*)&packet->port->microflows;
  __u32 fields = (__u32)SHUNT_MICROFLOWS_FIELDS(valid), len = packet->len;
  __u16 type, tpid, tci = 0;

  plain->valid = plain->tags = 0;
  if (!(fields & SHUNT_PLAIN_ON) || shunt_frame_is_split(packet->ctx, len)) return;
  plain->tags = (__u32)shunt_frame_tag(packet->ctx, &tpid, &tci);
  if (plain->tags ? p + SHUNT_PLAIN_BYTES - 4 > end : p + SHUNT_PLAIN_BYTES > end) return;
  if (!(shunt_config.features & SHUNT_FEATURES_L3_KEY)) fields &= ~SHUNT_PLAIN_L3;
  plain->dst = shunt_load64(p) & SHUNT_FDB_MAC;
  plain->src = shunt_load64(p + 4) >> 16;
  type = shunt_load16(p + 12);
  if (plain->tags) {
    if (tpid != SHUNT_ETH_TYPE_CVLAN) return;
    tci = SHUNT_BE16(tci | SHUNT_VLAN_PRESENT);
    len -= 4;
  } else if (type == SHUNT_BE16(SHUNT_ETH_TYPE_CVLAN)) {
    tci = (__u16)(shunt_load16(p + 14) | SHUNT_BE16(SHUNT_VLAN_PRESENT));
    type = shunt_load16(p + 16);
    p += 4;
    len -= 4;
    plain->tags = 1;
  }
  if (SHUNT_BE16(type) < SHUNT_ETH_TYPE_MIN || shunt_is_vlan(type)) return;
  plain->key[1] =
      if_kept(fields, SHUNT_PLAIN_TYPE, (__u64)type << 32) | if_kept(fields, SHUNT_PLAIN_VLAN, (__u64)tci << 48);
  plain->key[0] = plain->key[2] = plain->key[3] = 0;
  plain->fields = fields & (SHUNT_PLAIN_L2 | SHUNT_PLAIN_BRIDGE);
  if (type == SHUNT_BE16(SHUNT_ETH_TYPE_IPV4)) {
    plain->fields = fields & (SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3 | SHUNT_PLAIN_BRIDGE);
    if (fields & SHUNT_PLAIN_TYPE) plain->fields |= SHUNT_PLAIN_NOT_IPV4;
    if ((local_stack || (fields & SHUNT_PLAIN_L3)) &&
        !plain_ipv4(p + sizeof(struct shunt_eth_header), len - sizeof(struct shunt_eth_header), fields, local_stack,
                    plain))
      return;
  } else if (local_stack && type == SHUNT_BE16(SHUNT_ETH_TYPE_IPV6)) {
    return;
  }
  plain->valid = valid;
}

static __always_inline struct shunt_microflow* microflow_at(__u64 hash, __u32 way) {
  __u32 at = ((__u32)(hash >> 20) & shunt_config.microflow_mask) ^ way;

  return bpf_map_lookup_elem(&microflows, &at);
}

/* What this element says (shunt_microflow.output); < 0: it is not the packet's. */
static __always_inline int microflow_answer(const struct shunt_microflow* m, const struct shunt_plain* plain,
                                            __u32* slot) {
  const volatile __u64* word = (const volatile __u64*)m;
  __u64 differ = (word[0] ^ plain->key[0]) | (word[1] ^ plain->key[1]) | (word[4] ^ plain->valid);
  __u64 verdict = word[5];

  if (shunt_config.features & SHUNT_FEATURES_L3_KEY) differ |= (word[2] ^ plain->key[2]) | (word[3] ^ plain->key[3]);
  if (differ != 0 || verdict >> 48 != plain->kind) return -1;
  *slot = (__u32)verdict;
  if (word[6] != microflow_check(plain->hash, plain->valid, *slot, (__u32)(verdict >> 32) & 0xffff)) return -1;
  return (int)(verdict >> 32 & 0xffff);
}

/* Whether some port's packets still get an answer here. */
static __always_inline int is_in_use(const struct shunt_microflow* m) {
  __u32 in_port = m->in_port & ~SHUNT_MICROFLOW_BRIDGE;
  const struct shunt_port* port = bpf_map_lookup_elem(&ports, &in_port);

  return m->valid != 0 && port && port->microflows == m->valid;
}

/* Keeps what answered. A flood of new packets does not push out what others use, but for one in so many. */
static __always_inline void microflow_remember(const struct shunt_packet* packet, struct shunt_plain* plain,
                                               const struct shunt_flow* flow) {
  __u32 output = output_of(packet, flow), i, luck;
  struct shunt_microflow* m;
  volatile __u64* word;

  if (!(flow->head.flags & (SHUNT_FLOW_SINGLE_OUTPUT | SHUNT_FLOW_BRIDGE)) || is_young(packet, flow) ||
      (flow->head.fields & ~(plain->fields | SHUNT_PLAIN_BRIDGE)) != 0)
    return;
  if ((shunt_config.features & SHUNT_FEATURE_BRIDGE) && packet->bridged) {
    if (plain->fields & SHUNT_PLAIN_BRIDGE) {
      leave_macs(plain, packet->in_port);
      output = flow->head.output;
    } else {
      output |= SHUNT_MICROFLOW_BRIDGE;
    }
  }
  m = microflow_at(plain->hash, 0);
  if (!m) return;
  if (is_in_use(m)) {
    m = microflow_at(plain->hash, 1);
    if (!m) return;
    if (is_in_use(m)) {
      luck = bpf_get_prandom_u32();
      if (luck % SHUNT_MICROFLOW_LUCK != 0) return;
      m = microflow_at(plain->hash, luck >> 31);
      if (!m) return;
    }
  }
  word = (volatile __u64*)m;
#pragma unroll
  for (i = 0; i < SHUNT_PLAIN_WORDS; i++) word[i] = plain->key[i];
  word[4] = plain->valid;
  word[5] = (__u64)plain->kind << 48 | (__u64)output << 32 | flow->head.slot;
  word[6] = microflow_check(plain->hash, plain->valid, flow->head.slot, output);
}

#endif
