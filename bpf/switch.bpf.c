/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The fast path. A packet meets, in this order: its port, the exact-match cache, the parser, the megaflow level, and
 * the actions of the flow that answers; without one it goes up to userspace. Each step is a header of this folder.
 */
#include "bpf/datapath/act.h"
#include "bpf/datapath/checksum.h"
#include "bpf/datapath/hash.h"
#include "bpf/datapath/parse.h"
#include "bpf/capture.bpf.h"
#include "bpf/exact_match.bpf.h"
#include "bpf/execute.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/megaflow.bpf.h"
#include "bpf/microflow.bpf.h"
#include "bpf/stats.bpf.h"
#include "bpf/upcall.bpf.h"

/* Where the packet came in. False: on no port. */
static __always_inline int find_port(struct shunt_packet* packet) {
  __u32 ifindex = packet->ctx->ingress_ifindex;
  __u32 i;

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_IFINDEX_PROBES; i++) {
    __u32 at = (ifindex + i) & (SHUNT_IFINDEX_SLOTS - 1);
    const struct shunt_ifindex_slot* slot = bpf_map_lookup_elem(&port_by_ifindex, &at);

    if (slot && slot->ifindex == ifindex) {
      packet->in_port = slot->port;
      packet->port = bpf_map_lookup_elem(&ports, &packet->in_port);
      packet->stats = stats_of(packet->in_port);
      return packet->port && packet->stats;
    }
  }
  return 0;
}

/* Completes a checksum that a local stack left to the card. A function of its own: the verifier walks its loops once.
 */
__noinline int shunt_cure_checksum(struct xdp_md* ctx, struct shunt_headers* headers) {
  if (!headers || !(shunt_config.features & SHUNT_FEATURE_CHECKSUM)) return 0;
  return shunt_complete_checksum(ctx, headers);
}

static __always_inline struct shunt_flow* lookup(struct shunt_packet* packet) {
  int hints = (shunt_config.features & SHUNT_FEATURE_HINTS) && (packet->port->flags & SHUNT_PORT_HINTS);
  struct shunt_flow* flow;
  __u32 position = 0;
  __u64 hash = 0;

  if (hints) {
    flow = exact_match_lookup(packet, &hash);
    if (flow) return flow;
  }
  flow = megaflow_lookup(packet, &position);
  if (flow && hints && position >= SHUNT_HINT_POSITION) exact_match_remember(hash, flow->head.slot);
  return flow;
}

/* The parser, the megaflow level, and what the flow says. */
static __always_inline int forward_by_key(struct shunt_packet* packet, const struct shunt_plain* plain) {
  struct xdp_md* ctx = packet->ctx;
  enum shunt_drop_reason reason;
  struct shunt_headers* headers;
  struct shunt_flow* flow;
  __u32 zero = 0;

  packet->scratch = bpf_map_lookup_elem(&scratch, &zero);
  if (!packet->scratch) return XDP_DROP;
  headers = &packet->scratch->headers;
  reason = shunt_parse(ctx, packet->len, packet->in_port, shunt_config.features, &packet->scratch->key, headers);
  if (reason != SHUNT_DROP_NONE) return drop(packet->stats, reason);
  if (SHUNT_UNLIKELY(headers->flags & SHUNT_HEADERS_CUT))
    return shunt_upcall(ctx, packet->in_port, SHUNT_UPCALL_DEEP_HEADER);
  if (shunt_config.features & SHUNT_FEATURE_HASH)
    packet->scratch->key.dp_hash =
        shunt_dp_hash(&packet->scratch->key, shunt_config.hash_seed, shunt_config.hash_multiplier);
  if ((shunt_config.features & SHUNT_FEATURE_CHECKSUM) && (packet->port->flags & SHUNT_PORT_LOCAL_STACK) &&
      headers->l4 && shunt_cure_checksum(ctx, headers) < 0)
    return shunt_upcall(ctx, packet->in_port, SHUNT_UPCALL_CHECKSUM);
  flow = lookup(packet);
  if (flow) {
    if (plain->valid) microflow_remember(plain, flow, packet->in_port);
    return execute(packet, flow);
  }
  packet->stats->misses++;
  return shunt_upcall(ctx, packet->in_port, SHUNT_UPCALL_MISS);
}

/* From a packet that came in on a port to its verdict. */
static __always_inline int forward(struct shunt_packet* packet) {
  struct shunt_plain plain;
  int output = -1;
  __u32 slot, way;

  plain_key(packet, &plain);
  if (plain.valid) {
#pragma unroll
    for (way = 0; way < SHUNT_MICROFLOW_WAYS; way++) {
      const struct shunt_microflow* m = microflow_at(plain.hash, way);

      if (m) output = microflow_answer(m, &plain, packet->in_port, &slot);
      if (output >= 0) return execute_microflow(packet, slot, (__u32)output, plain.tags);
    }
  }
  return forward_by_key(packet, &plain);
}

SEC("xdp.frags")
int shunt_switch(struct xdp_md* ctx) {
  struct shunt_packet packet = {.ctx = ctx};
  int verdict;

  if (!find_port(&packet)) {
    struct shunt_port_stats* nobody = stats_of(0);

    return nobody ? drop(nobody, SHUNT_DROP_NO_PORT) : XDP_DROP;
  }
  packet.len = (__u32)bpf_xdp_get_buff_len(ctx);
  count_received(&packet);
  if (shunt_config.features & SHUNT_FEATURE_CAPTURE) shunt_tap_ingress(ctx, packet.in_port);
  verdict = forward(&packet);
  if (shunt_config.features & SHUNT_FEATURE_CAPTURE) shunt_tap_outcome(ctx, packet.in_port);
  return verdict;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
