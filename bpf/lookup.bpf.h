/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The levels that may know a packet's flow, one after the other: the same in XDP and in TC. Each has a shunt_execute()
 * for what the flow says (execute.bpf.h, tc.bpf.c).
 */
#ifndef SHUNT_BPF_LOOKUP_H
#define SHUNT_BPF_LOOKUP_H

#include "bpf/datapath/hash.h"
#include "bpf/datapath/parse.h"
#include "bpf/exact_match.bpf.h"
#include "bpf/megaflow.bpf.h"
#include "bpf/microflow.bpf.h"

/*
 * Where the FDB sends the packet that a kept flow says to ask it for, and in the upper half the flow's slot; 0: that is
 * left to the other levels, as all is that waits for an entry's youth to end. A function of its own: the verifier walks
 * what follows once, and not once for each way in which this finds nothing.
 */
__noinline __u64 shunt_find_bridged(struct shunt_plain_record* p, __u32 region, __u32 in_port, __u64 dst, __u64 src) {
  __u32 slot = 0, answer, form;
  int number;

  if (!p || !(shunt_config.features & SHUNT_FEATURE_BRIDGE)) return 0;
  leave_macs(&p->plain);
  number = find_microflow(&p->plain, p, region, &slot);
  if (number < 0) return 0;
  form = p->plain.tags ? SHUNT_FDB_TAGGED : SHUNT_FDB_UNTAGGED;
  answer = ask_fdb(SHUNT_FDB_KEY(src, number), SHUNT_FDB_KEY(dst, number), in_port, form);
  return answer & SHUNT_BRIDGED_YOUNG ? 0 : (__u64)slot << 32 | answer;
}

/*
 * The exact-match cache: the output port, the flow's slot and how many tags the frame has, or SHUNT_MICROFLOW_LIST;
 * -1: it does not know. Unless it is a port the key is left in `record`, for the other levels.
 */
static __always_inline int lookup_microflow(struct shunt_packet* packet, struct shunt_plain_record* record, __u32* slot,
                                            __u32* tags) {
  struct shunt_plain plain;
  __u32 region;
  int output;

  if (!plain_key(packet, &plain, record)) {
    record->plain.valid = 0;
    return -1;
  }
  *tags = plain.tags;
  region = packet->port->microflow_groups;
  if (plain.valid & SHUNT_PLAIN_BRIDGE) {
    __u64 answer, dst = 0, src = 0;

    record->plain = plain;
    take_macs(packet, &dst, &src);
    answer = shunt_find_bridged(record, region, packet->in_port, dst, src);
    if ((__u32)answer) {
      packet->bridged = (__u32)answer;
      *slot = (__u32)(answer >> 32);
      return (int)packet->bridged;
    }
  }
  output = find_microflow(&plain, record, region, slot);
  if (SHUNT_LIKELY((__u32)output < SHUNT_MICROFLOW_LIST)) return output;
  if (output > SHUNT_MICROFLOW_BRIDGE) {
    packet->bridged = (__u32)output & ~SHUNT_MICROFLOW_BRIDGE;
    return (int)packet->bridged;
  }
  record->plain = plain;
  return output;
}

/* A flow's actions, on a packet whose headers are in the scratch; < 0: not on this packet, and nothing was done. */
int shunt_execute(shunt_frame* frame, __u32 slot, __u32 in_port, __u32 len);

/* The list of the flow that the exact-match cache answered with; < 0: that is left to the other levels. */
static __always_inline int execute_microflow_list(struct shunt_packet* packet, const struct shunt_plain* plain,
                                                  __u32 slot) {
  __u32 zero = 0;
  int verdict;

  packet->scratch = bpf_map_lookup_elem(&scratch, &zero);
  if (!packet->scratch || !plain_headers(packet, plain, &packet->scratch->headers)) return -1;
  verdict = shunt_execute(packet->ctx, slot, packet->in_port, packet->len);
  if (verdict >= 0) packet->stats->exact_hits++;
  return verdict;
}

/*
 * Key and headers of a frame of `len` bytes, into the scratch: SHUNT_DROP_NONE, or why the packet is to be dropped. A
 * function of its own: the verifier walks what follows once, and not for each kind of packet.
 */
__noinline int shunt_parse_frame(shunt_frame* frame, __u32 in_port, __u32 len) {
  struct shunt_scratch* mine;
  __u32 zero = 0;

  mine = bpf_map_lookup_elem(&scratch, &zero);
  if (!mine) return SHUNT_DROP_BAD_ACTION;
  return (int)shunt_parse(frame, len, in_port, shunt_config.features, &mine->key, &mine->headers);
}

/* Asked anew each time: what is known of the answer would be a state of its own to the verifier. */
static __always_inline int has_hints(const struct shunt_packet* packet) {
  return (shunt_config.features & SHUNT_FEATURE_HINTS) && (SHUNT_FORGET(__u32, packet->port->flags) & SHUNT_PORT_HINTS);
}

/* The flow of the key in the scratch; 0: there is none. To be counted by count_lookup(). */
static __always_inline struct shunt_flow* lookup_megaflow(struct shunt_packet* packet) {
  struct shunt_flow* flow = 0;
  __u32 position = 0;
  __u64 hash = packet->len; /* any number, and none that the verifier knows */

  packet->scratch->bridged = 0;
  if (has_hints(packet)) flow = exact_match_lookup(packet, &hash);
  if (!flow) {
    flow = megaflow_lookup(packet, &position);
    if (flow && position >= SHUNT_HINT_POSITION && has_hints(packet)) exact_match_remember(hash, flow->head.slot);
  }
  take_bridged(packet);
  return flow;
}

/* Select groups look at it. */
static __always_inline void hash_key(struct shunt_flow_key* key) {
  if (shunt_config.features & SHUNT_FEATURE_HASH)
    key->dp_hash = shunt_dp_hash(key, shunt_config.hash_seed, shunt_config.hash_multiplier);
}

#endif
