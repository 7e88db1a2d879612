/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The fast path of ports in mode tcx: what their local stacks send stays a socket buffer, of 64 KiB where the stack made
 * one (GSO), with its checksum still open. The same port, caches and flow table as in XDP. What a flow with one output,
 * or with one flood, says is done here; everything else is XDP's: misses, edits, meters, captures, headers that do not lie
 * in the first buffer. It goes there by the lane (lane.bpf.h).
 */
#define SHUNT_TC
#include "bpf/datapath/parse.h"
#include "bpf/lookup.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/order.bpf.h"
#include "bpf/port.bpf.h"
#include "bpf/stats.bpf.h"

/* Longer ones (BIG TCP) say nothing, or something else, in their IP header's length. */
#define SHUNT_LONGEST_SKB 65535
/* A flood group's devmap has holes where interfaces vanished; behind so many its end is near enough. */
#define SHUNT_GROUP_HOLES 64

/* A packet as the wire will carry it: segments, and the bytes of the longest. */
struct shunt_segments {
  __u32 count;
  __u32 bytes; /* of all of them */
  __u32 longest;
};

/* Bytes up to the end of the L4 header; 0: it is neither TCP's nor UDP's, or lies deeper than this looks. */
static __always_inline __u32 headers_size(struct __sk_buff* skb) {
  const __u8* p = shunt_frame_at(skb, 0, 14 + 20 + 20);
  __u32 off = 14, proto, type;

  if (!p) return 0;
  type = shunt_load16(p + 12);
  if (type == SHUNT_BE16(SHUNT_ETH_TYPE_IPV4)) {
    proto = p[14 + 9];
    off += (p[14] & 0xfu) * 4;
  } else if (type == SHUNT_BE16(SHUNT_ETH_TYPE_IPV6)) {
    proto = p[14 + 6];
    off += 40;
  } else {
    return 0;
  }
  if (proto == SHUNT_IP_PROTO_UDP) return off + 8;
  if (proto != SHUNT_IP_PROTO_TCP) return 0;
  p = shunt_frame_at(skb, off, 20);
  return p ? off + (p[12] >> 4) * 4u : 0;
}

/* False: what it will be on the wire cannot be told. */
static __always_inline int segments_of(struct __sk_buff* skb, __u32 len, struct shunt_segments* s) {
  __u32 headers;

  s->count = 1;
  s->bytes = s->longest = len;
  if (SHUNT_LIKELY(skb->gso_size == 0)) return 1;
  headers = headers_size(skb) + (len - skb->len);
  if (headers <= len - skb->len || headers >= len) return 0;
  s->count = (len - headers + skb->gso_size - 1) / skb->gso_size;
  s->bytes = len + (s->count - 1) * headers;
  s->longest = headers + skb->gso_size;
  return 1;
}

/* Hands the packet to XDP. `order`: where it was counted as on its way, or SHUNT_ORDER_BUCKETS. */
static __noinline int to_lane(struct shunt_packet* packet, __u32 order) {
  struct shunt_lane_header header = {SHUNT_LANE_MAGIC, (__u16)packet->in_port, packet->ctx->vlan_present != 0, 0, order};
  __u32 number = SHUNT_LANE;
  const struct shunt_port* lane = bpf_map_lookup_elem(&ports, &number);

  if (!lane || lane->ifindex == 0) return drop(packet->stats, SHUNT_DROP_UPCALL_NO_SOCKET);
  if (lane->queue_count > 1) packet->ctx->queue_mapping = 1 + bpf_get_smp_processor_id() % lane->queue_count;
  if (bpf_skb_change_head(packet->ctx, sizeof header, 0) < 0 ||
      bpf_skb_store_bytes(packet->ctx, 0, &header, sizeof header, 0) < 0)
    return drop(packet->stats, SHUNT_DROP_HEADROOM);
  return (int)bpf_redirect(lane->ifindex, 0);
}

/* ... and what comes after it waits, as long as its flow is new. */
static __noinline int to_lane_in_order(struct shunt_packet* packet, const struct shunt_segments* segments) {
  __u32 at = order_bucket(&packet->scratch->key);
  struct shunt_order* order = bpf_map_lookup_elem(&upcall_order, &at);

  if (!order) return to_lane(packet, SHUNT_ORDER_BUCKETS);
  __sync_fetch_and_add(&order->handed_up, segments->count);
  return to_lane(packet, at);
}

static __always_inline void count(struct shunt_packet* packet, const struct shunt_segments* segments, __u32 slot) {
  count_received(packet->stats, segments->count, segments->bytes);
  count_flow(slot, segments->count, segments->bytes);
}

/* As XDP pads it. False: it could not be done, and the packet has ended. */
static __always_inline int pad_skb(struct shunt_packet* packet, __u32 slot) {
  __u32 tag = packet->len - packet->ctx->len;

  if (SHUNT_LIKELY(packet->len >= SHUNT_MIN_FRAME)) return 1;
  if (bpf_skb_change_tail(packet->ctx, SHUNT_MIN_FRAME - tag, 0) < 0) {
    count_delta(slot, packet->len, 0);
    return 0;
  }
  count_delta(slot, packet->len, SHUNT_MIN_FRAME);
  return 1;
}

static __always_inline int send_to_port(struct shunt_packet* packet, const struct shunt_segments* segments, __u32 slot,
                                        __u32 output, __u32 tags) {
  const struct shunt_port* port = bpf_map_lookup_elem(&ports, &output);
  __u32 reason = SHUNT_DROP_NONE;

  count(packet, segments, slot);
  if (!pad_skb(packet, slot)) return drop(packet->stats, SHUNT_DROP_BAD_ACTION);
  if (!port || port->ifindex == 0)
    reason = SHUNT_DROP_NO_OUTPUT_PORT;
  else if (segments->longest > longest_frame(port, tags))
    reason = SHUNT_DROP_FRAME_TOO_LONG;
  if (SHUNT_LIKELY(reason == SHUNT_DROP_NONE)) return (int)bpf_redirect(port->ifindex, 0);
  count_lost(slot, segments->count, segments->bytes);
  return drop(packet->stats, reason);
}

struct shunt_flood {
  struct __sk_buff* skb;
  __u32 group, in_ifindex, holes;
};

static long flood_member(__u32 i, struct shunt_flood* flood) {
  void* devmap = bpf_map_lookup_elem(&flood_groups, &flood->group);
  const struct bpf_devmap_val* member;

  if (!devmap) return 1;
  member = bpf_map_lookup_elem(devmap, &i);
  if (!member) return ++flood->holes > SHUNT_GROUP_HOLES;
  if (member->ifindex != flood->in_ifindex) bpf_clone_redirect(flood->skb, member->ifindex, 0);
  return 0;
}

static __noinline int send_to_group(struct shunt_packet* packet, const struct shunt_segments* segments, __u32 slot,
                                         __u32 group) {
  struct shunt_flood flood = {.skb = packet->ctx, .group = group, .in_ifindex = packet->port->ifindex};

  count(packet, segments, slot);
  if (!pad_skb(packet, slot)) return drop(packet->stats, SHUNT_DROP_BAD_ACTION);
  if (!bpf_map_lookup_elem(&flood_groups, &group)) {
    count_lost(slot, segments->count, segments->bytes);
    return drop(packet->stats, SHUNT_DROP_NO_OUTPUT_PORT);
  }
  bpf_loop(SHUNT_GROUP_PORTS, flood_member, &flood, 0);
  return TC_ACT_SHOT; /* the clones are on their way */
}

/* What the flow says, where it is TC's to do. */
static __always_inline int execute_flow(struct shunt_packet* packet, const struct shunt_segments* segments,
                                        const struct shunt_flow* flow, const struct shunt_plain* plain) {
  const struct shunt_action* action = &flow->actions[0];
  int single = flow->head.flags & SHUNT_FLOW_SINGLE_OUTPUT;

  if (!single && (flow->head.action_count != 1 || action->type != SHUNT_ACT_OUTPUT_GROUP))
    return to_lane(packet, SHUNT_ORDER_BUCKETS);
  if (SHUNT_UNLIKELY(flow->head.flags & SHUNT_FLOW_YOUNG) && in_userspace(&packet->scratch->key))
    return to_lane_in_order(packet, segments);
  count_lookup(packet, 1);
  if (plain->valid) microflow_remember(plain, flow, packet->in_port);
  if (single)
    return send_to_port(packet, segments, flow->head.slot, flow->head.output, packet->scratch->headers.vlan_count);
  return send_to_group(packet, segments, flow->head.slot, action->arg);
}

static __always_inline int forward_by_key(struct shunt_packet* packet, const struct shunt_segments* segments,
                                          const struct shunt_plain* plain) {
  struct shunt_flow* flow;
  __u32 zero = 0;

  packet->scratch = bpf_map_lookup_elem(&scratch, &zero);
  if (!packet->scratch) return TC_ACT_SHOT;
  if (shunt_parse(packet->ctx, packet->ctx->len, packet->in_port, shunt_config.features, &packet->scratch->key,
                  &packet->scratch->headers) != SHUNT_DROP_NONE ||
      (packet->scratch->headers.flags & SHUNT_HEADERS_CUT))
    return to_lane(packet, SHUNT_ORDER_BUCKETS);
  hash_key(&packet->scratch->key);
  flow = lookup_megaflow(packet);
  return flow ? execute_flow(packet, segments, flow, plain) : to_lane_in_order(packet, segments);
}

SEC("tc")
int shunt_tc(struct __sk_buff* skb) {
  struct shunt_packet packet = {.ctx = skb};
  struct shunt_segments segments;
  struct shunt_plain plain;
  __u32 slot = 0;
  int output;

  if (!find_port(&packet, skb->ifindex)) return drop_stray();
  packet.len = skb->len + (skb->vlan_present ? 4 : 0);
  if ((shunt_config.features & SHUNT_FEATURE_CAPTURE) || packet.len > SHUNT_LONGEST_SKB ||
      !segments_of(skb, packet.len, &segments))
    return to_lane(&packet, SHUNT_ORDER_BUCKETS);
  output = lookup_microflow(&packet, &plain, &slot);
  if (output < 0) return forward_by_key(&packet, &segments, &plain);
  packet.stats->exact_hits++;
  return send_to_port(&packet, &segments, slot, (__u32)output, plain.tags);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
