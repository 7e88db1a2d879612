/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The exact-match cache: what a plain packet's headers say leads to the port it goes out of, in one line of memory, and
 * without a whole flow key. Asked before the parser. It holds what the megaflow level has answered with; filled here.
 * Of a flow with more than one output it holds that the flow is the packet's, whose list is then run
 * (SHUNT_MICROFLOW_LIST).
 *
 * Of bridged packets it keeps where each pair of MACs goes, as long as userspace finds that these are few. When they
 * are many (SHUNT_PLAIN_BRIDGE), it keeps that the flow is the packet's, whatever the MACs are: the key is without
 * them, and the FDB is asked each time. One element answers for all MACs then, where one for each pair would be a line
 * of memory that no packet before has fetched; and an entry of the FDB that changes makes none void.
 *
 * An element is right as long as its flow is there: what the flow's mask looks at is part of the element's key. When a
 * flow goes, userspace changes its port's number (shunt_port.microflows), and no element of the port is valid any more.
 */
#ifndef SHUNT_BPF_MICROFLOW_H
#define SHUNT_BPF_MICROFLOW_H

#include "bpf/bridge.bpf.h"
#include "bpf/plain.bpf.h"
#include "bpf/stats.bpf.h"

/*
 * Elements where a packet's may be: a pair of lines, which processors fetch together; wide ones, in either of two
 * pairs.
 */
#define SHUNT_MICROFLOW_WAYS 2
/* Where a live element has to go for the packet's: one in so many. */
#define SHUNT_MICROFLOW_LUCK 16

/* `verdict`: the element's word of slot, output and in_port. */
static __always_inline __u64 microflow_check(__u64 hash, __u64 valid, __u64 verdict) {
  return (hash ^ verdict) * shunt_config.hash_multiplier ^ valid;
}

/* Line `part` (0, or 1 of a wide one) of where an element of this hash may be; region: shunt_port.microflow_mask. */
static __always_inline struct shunt_microflow* microflow_at(__u64 hash, __u32 region, __u32 way, __u32 wide,
                                                            __u32 part) {
  __u32 at = ((__u32)(hash >> 20) & region) ^ (wide ? way << 1 | part : way);

  return bpf_map_lookup_elem(&microflows, &at);
}

/*
 * What this element says (shunt_microflow.output); < 0: it is not the packet's, or something else of it `differs`. One
 * of another kind has another hash, and so another check.
 */
static __always_inline int microflow_answer(const struct shunt_microflow* m, const struct shunt_plain* plain,
                                            __u64 hash, __u64 differs, __u32* slot) {
  const volatile __u64* word = (const volatile __u64*)m;
  __u64 differ = differs | (word[0] ^ plain->key[0]) | (word[1] ^ plain->key[1]) | (word[4] ^ plain->valid);
  __u64 verdict = word[5];

  if (shunt_config.features & SHUNT_FEATURES_L3_KEY) differ |= (word[2] ^ plain->key[2]) | (word[3] ^ plain->key[3]);
  differ |= word[6] ^ microflow_check(hash, plain->valid, verdict);
  if (differ != 0) return -1;
  *slot = (__u32)verdict;
  return (int)(verdict >> 32 & 0xffff);
}

/*
 * 0: this second line has the packet's rest of the key. Of what age it is the first one says, whose check is made of
 * both.
 */
static __always_inline __u64 rest_differs(const struct shunt_microflow* m, const struct shunt_plain_record* p) {
  const volatile __u64* word = (const volatile __u64*)m;

  return (word[0] ^ p->more[0]) | (word[1] ^ p->more[1]) | (word[2] ^ p->more[2]) | (word[3] ^ p->more[3]) |
         (word[5] ^ p->rest);
}

/*
 * What the cache says under a wide key, and in the upper half the slot; < 0: nothing. A function of its own, as few
 * need it.
 */
__noinline __s64 shunt_find_wide(const struct shunt_plain_record* p, __u32 region) {
  __u32 way, slot = 0;
  __u64 hash;

  if (!p) return -1;
  hash = p->plain.hash + plain_rest_hash(p);
#pragma unroll
  for (way = 0; way < SHUNT_MICROFLOW_WAYS; way++) {
    const struct shunt_microflow* first = microflow_at(hash, region, way, 1, 0);
    const struct shunt_microflow* second = microflow_at(hash, region, way, 1, 1);
    int said = first && second ? microflow_answer(first, &p->plain, hash, rest_differs(second, p), &slot) : -1;

    if (said >= 0) return (__s64)((__u64)slot << 32 | (__u32)said);
  }
  return -1;
}

/* What the cache says under the key as it is; < 0: nothing. */
static __always_inline int find_microflow(const struct shunt_plain* plain, struct shunt_plain_record* record,
                                          __u32 region, __u32* slot) {
  __u32 way;

  if (SHUNT_UNLIKELY(plain->wide)) {
    __s64 said;

    record->plain = *plain;
    said = shunt_find_wide(record, region);
    *slot = (__u32)((__u64)said >> 32);
    return (int)said;
  }
#pragma unroll
  for (way = 0; way < SHUNT_MICROFLOW_WAYS; way++) {
    const struct shunt_microflow* m = microflow_at(plain->hash, region, way, 0, 0);
    int said = m ? microflow_answer(m, plain, plain->hash, 0, slot) : -1;

    if (said >= 0) return said;
  }
  return -1;
}

/* Whether some port's packets still get an answer here. */
static __always_inline int is_in_use(const struct shunt_microflow* m) {
  __u32 in_port = m->in_port & SHUNT_MICROFLOW_PORT;
  const struct shunt_port* port = bpf_map_lookup_elem(&ports, &in_port);

  return m->valid != 0 && port && port->microflows == m->valid;
}

/* Whether the element's place is another's. */
static __always_inline int is_taken(__u64 hash, __u32 region, __u32 way, __u32 wide) {
  const struct shunt_microflow* m = microflow_at(hash, region, way, wide, 0);

  if (!m || is_in_use(m)) return 1;
  if (!wide) return 0;
  m = microflow_at(hash, region, way, wide, 1);
  return !m || is_in_use(m);
}

static __always_inline void write_line(struct shunt_microflow* m, const __u64* key, __u64 valid, __u64 verdict,
                                       __u64 check) {
  volatile __u64* word = (volatile __u64*)m;
  __u32 i;

#pragma unroll
  for (i = 0; i < SHUNT_PLAIN_WORDS; i++) word[i] = key[i];
  word[4] = valid;
  word[5] = verdict;
  word[6] = check;
}

/*
 * Keeps a verdict, where there is room. A flood of new packets does not push out what others use, but for one in so
 * many. A function of its own, which the verifier walks once.
 */
__noinline int shunt_keep_microflow(const struct shunt_plain_record* p, __u32 region, __u32 slot, __u32 output) {
  struct shunt_microflow *first, *second;
  const struct shunt_plain* plain;
  __u32 way = 0, luck, wide;
  __u64 hash, verdict;

  if (!p) return 0;
  plain = &p->plain;
  wide = plain->wide;
  hash = plain->hash + (wide ? plain_rest_hash(p) : 0);
  if (is_taken(hash, region, 0, wide)) {
    way = 1;
    if (is_taken(hash, region, 1, wide)) {
      luck = bpf_get_prandom_u32();
      if (luck % SHUNT_MICROFLOW_LUCK != 0) return 0;
      way = luck >> 31;
    }
  }
  first = microflow_at(hash, region, way, wide, 0);
  if (!first) return 0;
  if (wide) {
    second = microflow_at(hash, region, way, wide, 1);
    if (!second) return 0;
    write_line(second, p->more, plain->valid, p->rest, 0);
  }
  verdict = (__u64)plain->kind << 48 | (__u64)output << 32 | slot;
  write_line(first, plain->key, plain->valid, verdict, microflow_check(hash, plain->valid, verdict));
  return 1;
}

/* Keeps what answered, if it is such that the cache can answer it. */
static __always_inline void microflow_remember(const struct shunt_packet* packet, struct shunt_plain_record* record,
                                               const struct shunt_flow* flow) {
  __u32 output = output_of(packet, flow);
  __u32 told;

  if (!(flow->head.flags & (SHUNT_FLOW_SINGLE_OUTPUT | SHUNT_FLOW_BRIDGE | SHUNT_FLOW_LIST)) || is_young(packet, flow))
    return;
  told = fields_told(&record->plain, &packet->scratch->key);
  if ((flow->head.fields & ~(told | SHUNT_PLAIN_BRIDGE)) != 0) return;
  if (flow->head.flags & SHUNT_FLOW_LIST) {
    if (!has_plain_headers(&packet->scratch->headers)) return;
    output = SHUNT_MICROFLOW_LIST;
  }
  if ((shunt_config.features & SHUNT_FEATURE_BRIDGE) && packet->bridged) {
    if (told & SHUNT_PLAIN_BRIDGE) {
      leave_macs(&record->plain, packet->in_port);
      output = flow->head.output;
    } else {
      output |= SHUNT_MICROFLOW_BRIDGE;
    }
  }
  shunt_keep_microflow(record, packet->port->microflow_mask, flow->head.slot, output);
}

#endif
