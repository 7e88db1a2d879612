/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The exact-match cache: what a plain packet's headers say leads to the port it goes out of, in one line of memory, and
 * without a whole flow key. Asked before the parser. It holds what the megaflow level has answered with; filled here.
 * Of a flow with more than one output it holds that the flow is the packet's, whose list is then run
 * (SHUNT_MICROFLOW_LIST).
 *
 * Of bridged packets it keeps where each pair of MACs goes, as long as userspace finds that these are few. When they
 * are many (SHUNT_PLAIN_BRIDGE), it keeps that the flow is the packet's, whatever the MACs are: the key is without
 * them, and the FDB is asked each time. One key answers for all MACs then, where one for each pair would be a line of
 * memory that no packet before has fetched; and an entry of the FDB that changes makes none void.
 *
 * A verdict is right as long as its flow is there: what the flow's mask looks at is part of its key. When a flow goes,
 * userspace changes its port's number (shunt_port.microflows), and no key of the port is valid any more.
 */
#ifndef SHUNT_BPF_MICROFLOW_H
#define SHUNT_BPF_MICROFLOW_H

#include "bpf/bridge.bpf.h"
#include "bpf/plain.bpf.h"
#include "bpf/stats.bpf.h"

/* Where a live key has to go for the packet's: one in so many. */
#define SHUNT_MICROFLOW_LUCK 16

/*
 * The group where a key of this hash may be, and for a wide one, which takes a whole group, the other one, of `way` 1;
 * region: shunt_port.microflow_groups.
 */
static __always_inline struct shunt_microflow_group* microflow_group(__u64 hash, __u32 region, __u32 way) {
  __u32 at = (__u32)((hash >> 32) * region >> 32) ^ way;

  return bpf_map_lookup_elem(&microflows, &at);
}

/* The unit of the group with which a key begins that comes first there. */
static __always_inline __u32 first_place(__u64 hash, __u32 region, __u32 units) {
  return (__u32)((hash >> 32) * region >> 30) & (SHUNT_MICROFLOW_UNITS - units);
}

/*
 * 0: this unit begins the packet's key, and *verdict is its word of slot, output and in_port. One of another form has
 * another hash, and so another check.
 */
static __always_inline __u64 first_differs(const struct shunt_microflow_unit* unit, const struct shunt_plain* plain,
                                           __u64 hash, __u64* verdict) {
  const volatile __u64* word = (const volatile __u64*)unit;
  __u64 differ = (word[0] ^ plain->key[0]) | (word[1] ^ plain->key[1]);

  *verdict = word[2];
  return differ | (word[3] ^ shunt_microflow_check(hash, plain->valid, *verdict, shunt_config.hash_multiplier));
}

/* 0: this second unit has these words of the key. */
static __always_inline __u64 words_differ(const struct shunt_microflow_unit* unit, const __u64* key) {
  const volatile __u64* word = (const volatile __u64*)unit;

  return (word[0] ^ key[0]) | (word[1] ^ key[1]);
}

/* The verdict under a wide key; 0: none. A function of its own, as few need it. */
__noinline __u64 shunt_find_wide(const struct shunt_plain_record* p, __u32 region) {
  __u64 hash, verdict;
  __u32 way;

  if (!p) return 0;
  hash = wide_hash(p);
  SHUNT_NO_UNROLL
  for (way = 0; way < 2; way++) {
    const struct shunt_microflow_group* group = microflow_group(hash, region, way);
    const volatile __u64* tags;
    __u64 differs;

    if (!group) return 0;
    tags = (const volatile __u64*)&group->unit[1].slot;
    /* Summed up step by step: else all of it would be kept on the stack first. */
    differs = words_differ(&group->unit[1], &p->plain.key[2]) | (*tags ^ p->rest);
    SHUNT_OPAQUE(differs);
    differs |= words_differ(&group->unit[2], &p->more[0]);
    SHUNT_OPAQUE(differs);
    differs |= words_differ(&group->unit[3], &p->more[2]);
    SHUNT_OPAQUE(differs);
    if (!(differs | first_differs(&group->unit[0], &p->plain, hash, &verdict))) return verdict;
  }
  return 0;
}

/* The verdict under a key of one unit or two; 0: none. */
static __always_inline __u64 find_short(const struct shunt_plain* plain, __u32 region) {
  const struct shunt_microflow_group* group = microflow_group(plain->hash, region, 0);
  __u64 verdict;
  __u32 first, way;

  if (!group) return 0;
  if (plain->kind & SHUNT_MICROFLOW_LONG) {
    first = first_place(plain->hash, region, 2);
#pragma unroll
    for (way = 0; way < SHUNT_MICROFLOW_UNITS; way += 2)
      if (!(first_differs(&group->unit[first ^ way], plain, plain->hash, &verdict) |
            words_differ(&group->unit[first ^ (way | 1)], &plain->key[2])))
        return verdict;
    return 0;
  }
  first = first_place(plain->hash, region, 1);
#pragma unroll
  for (way = 0; way < SHUNT_MICROFLOW_UNITS; way++)
    if (!first_differs(&group->unit[first ^ way], plain, plain->hash, &verdict)) return verdict;
  return 0;
}

/* What the cache says under the key as it is (shunt_microflow_unit.output); < 0: nothing. */
static __always_inline int find_microflow(const struct shunt_plain* plain, struct shunt_plain_record* record,
                                          __u32 region, __u32* slot) {
  __u64 verdict;

  if (SHUNT_UNLIKELY(plain->kind & SHUNT_MICROFLOW_WIDE)) {
    record->plain = *plain;
    verdict = shunt_find_wide(record, region);
  } else {
    verdict = find_short(plain, region);
  }
  SHUNT_OPAQUE(verdict); /* what follows is there once, for the verifier */
  *slot = (__u32)verdict;
  return verdict ? (int)(verdict >> 32 & 0xffff) : -1;
}

/* The units of keys by which some port's packets still get an answer: one bit each. */
static __always_inline __u32 units_in_use(const struct shunt_microflow_group* group) {
  __u32 used = 0, first;

  SHUNT_NO_UNROLL
  for (first = 0; first < SHUNT_MICROFLOW_UNITS; first++) {
    const struct shunt_microflow_unit* unit = &group->unit[first];
    __u32 in_port = unit->in_port & SHUNT_MICROFLOW_PORT;
    const struct shunt_port* port = bpf_map_lookup_elem(&ports, &in_port);
    __u64 valid = shunt_microflow_valid(group, first, shunt_config.hash_seed, shunt_config.hash_multiplier);

    if (valid != 0 && port && port->microflows == valid)
      used |= ((1u << shunt_microflow_units(unit->in_port)) - 1) << first;
  }
  return used;
}

static __always_inline void write_unit(struct shunt_microflow_unit* unit, const __u64* key, __u64 verdict,
                                       __u64 check) {
  volatile __u64* word = (volatile __u64*)unit;

  word[0] = key[0];
  word[1] = key[1];
  word[2] = verdict;
  word[3] = check;
}

/*
 * With which unit of a group a key of so many units is to begin, from `first` on: where there is room, or luck; < 0:
 * nowhere.
 */
static __always_inline int free_place(__u32 used, __u32 first, __u32 units) {
  __u32 mask = (1u << units) - 1, way, luck;

  SHUNT_NO_UNROLL
  for (way = 0; way < SHUNT_MICROFLOW_UNITS; way += units)
    if (!(used >> (first ^ way) & mask)) return (int)(first ^ way);
  luck = bpf_get_prandom_u32();
  if (luck % SHUNT_MICROFLOW_LUCK != 0) return -1;
  return (int)(luck >> 16 & (SHUNT_MICROFLOW_UNITS - units));
}

/*
 * Keeps a verdict, where there is room. A flood of new packets does not push out what others use, but for one in so
 * many. A function of its own, which the verifier walks once.
 */
__noinline int shunt_keep_microflow(const struct shunt_plain_record* p, __u32 region, __u32 slot, __u32 output) {
  struct shunt_microflow_group* group;
  const struct shunt_plain* plain;
  __u64 hash, verdict;
  __u32 units, used;
  int first;

  if (!p) return 0;
  plain = &p->plain;
  units = shunt_microflow_units(plain->kind);
  hash = units > 2 ? wide_hash(p) : plain->hash;
  group = microflow_group(hash, region, 0);
  if (!group) return 0;
  used = units_in_use(group);
  if (units > 2 && used) {
    group = microflow_group(hash, region, 1);
    if (!group) return 0;
    used = units_in_use(group);
  }
  first = free_place(used, first_place(hash, region, units), units);
  if (first < 0) return 0;
  verdict = (__u64)plain->kind << 48 | (__u64)output << 32 | slot;
  if (units > 2) {
    write_unit(&group->unit[3], p->more + 2, 0, 0);
    write_unit(&group->unit[2], p->more, 0, 0);
  }
  if (units > 1)
    write_unit(&group->unit[(first | 1) & (SHUNT_MICROFLOW_UNITS - 1)], plain->key + 2, units > 2 ? p->rest : 0, 0);
  write_unit(&group->unit[first & (SHUNT_MICROFLOW_UNITS - 1)], plain->key, verdict,
             shunt_microflow_check(hash, plain->valid, verdict, shunt_config.hash_multiplier));
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
      leave_macs(&record->plain);
      output = flow->head.output;
    } else {
      output |= SHUNT_MICROFLOW_BRIDGE;
    }
  }
  shunt_keep_microflow(record, packet->port->microflow_groups, flow->head.slot, output);
}

#endif
