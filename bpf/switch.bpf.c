/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The fast path. A packet meets, in this order: its port, the exact-match cache, the parser, the megaflow level, and
 * the actions of the flow that answers; without one it goes up to userspace. Each step is a header of this folder.
 */
#include "bpf/capture.bpf.h"
#include "bpf/datapath/act.h"
#include "bpf/datapath/checksum.h"
#include "bpf/execute.bpf.h"
#include "bpf/lane.bpf.h"
#include "bpf/length.bpf.h"
#include "bpf/lookup.bpf.h"
#include "bpf/port.bpf.h"
#include "bpf/upcall.bpf.h"

/* Completes a checksum that a local stack left to the card. A function of its own: the verifier walks its loops once.
 */
__noinline int shunt_cure_checksum(struct xdp_md* ctx, struct shunt_headers* headers) {
  if (!headers || !(shunt_config.features & SHUNT_FEATURE_CHECKSUM)) return 0;
  return shunt_complete_checksum(ctx, headers);
}

/* The parser, the megaflow level, and what the flow says. */
static __always_inline int forward_by_key(struct shunt_packet* packet, const struct shunt_plain_record* record) {
  struct xdp_md* ctx = packet->ctx;
  struct shunt_headers* headers;
  struct shunt_flow* flow;
  __u32 zero = 0;
  int reason;

  packet->scratch = bpf_map_lookup_elem(&scratch, &zero);
  if (!packet->scratch) return XDP_DROP;
  keep_plain(packet->scratch, record);
  headers = &packet->scratch->headers;
  reason = shunt_parse_frame(ctx, packet->in_port, packet->len);
  SHUNT_OPAQUE(reason); /* the compiler knows what it may be, and the verifier does not */
  if (reason != SHUNT_DROP_NONE) return drop(packet->stats, (__u32)reason);
  if (SHUNT_UNLIKELY(headers->flags & SHUNT_HEADERS_CUT))
    return shunt_upcall(ctx, packet->in_port, SHUNT_UPCALL_DEEP_HEADER);
  hash_key(&packet->scratch->key);
  if ((shunt_config.features & SHUNT_FEATURE_CHECKSUM) && (packet->port->flags & SHUNT_PORT_LOCAL_STACK) &&
      headers->l4 && shunt_cure_checksum(ctx, headers) < 0)
    return shunt_upcall(ctx, packet->in_port, SHUNT_UPCALL_CHECKSUM);
  flow = lookup_megaflow(packet);
  count_lookup(packet, flow != 0);
  if (flow) {
    if (packet->scratch->plain.plain.valid) microflow_remember(packet, &packet->scratch->plain, flow);
    return execute(packet, flow);
  }
  return shunt_upcall(ctx, packet->in_port, SHUNT_UPCALL_MISS);
}

/* From a packet that came in on a port to its verdict. */
static __always_inline int forward(struct shunt_packet* packet) {
  struct shunt_plain_record record;
  __u32 slot = 0, tags = 0;
  int output = lookup_microflow(packet, &record, &slot, &tags), verdict;

  if (SHUNT_LIKELY((__u32)output < SHUNT_MICROFLOW_LIST))
    return execute_microflow(packet, slot, (__u32)output, tags);
  if (output == SHUNT_MICROFLOW_LIST) {
    verdict = execute_microflow_list(packet, &record.plain, slot);
    if (verdict >= 0) return verdict;
  }
  return forward_by_key(packet, &record);
}

/* The same, counted and tapped. */
static __always_inline int receive(struct shunt_packet* packet) {
  int verdict;

  packet->len = frame_length(packet->ctx);
  count_received(packet->stats, 1, packet->len);
  if (shunt_config.features & SHUNT_FEATURE_CAPTURE) shunt_tap_ingress(packet->ctx, packet->in_port);
  verdict = forward(packet);
  if (shunt_config.features & SHUNT_FEATURE_CAPTURE) shunt_tap_outcome(packet->ctx, packet->in_port);
  return verdict;
}

SEC("xdp.frags")
int shunt_switch(struct xdp_md* ctx) {
  struct shunt_packet packet = {.ctx = ctx};
  int verdict;

  if (!find_port(&packet, ctx->ingress_ifindex) && !leave_lane(&packet)) return drop_stray();
  verdict = receive(&packet);
  if (packet.port->flags & SHUNT_PORT_TC) finish_lane();
  return verdict;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
