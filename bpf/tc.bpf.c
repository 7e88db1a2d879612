/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The fast path of ports in mode tcx: what their local stacks send stays a socket buffer, of 64 KiB where the stack
 * made one (GSO), with its checksum still open. The same port, caches and flow table as in XDP. Done here is what flows
 * say that drop, or edit tags, addresses, ports, TTL and ToS at most and then have one output or one flood; everything
 * else is XDP's: misses, other edits, meters, captures, headers that do not lie in the first buffer. It goes there by
 * the lane (lane.bpf.h).
 */
#define SHUNT_TC
#include "bpf/edit_skb.bpf.h"
#include "bpf/foresight.bpf.h"
#include "bpf/lookup.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/order.bpf.h"
#include "bpf/port.bpf.h"
#include "bpf/stats.bpf.h"

/* Longer ones (BIG TCP) say nothing, or something else, in their IP header's length. */
#define SHUNT_LONGEST_SKB 65535
/* A flood group's devmap has holes where interfaces vanished; behind so many its end is near enough. */
#define SHUNT_GROUP_HOLES 64
/* Instead of a verdict (TC_ACT_*, of which those that are used here are not negative). */
#define SHUNT_LEFT_TO_XDP (-1)

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

/*
 * Hands the packet to XDP. `order`: where it was counted as on its way, or SHUNT_ORDER_BUCKETS. Functions that are not
 * static are checked once, for any arguments.
 */
__noinline int shunt_to_lane(struct __sk_buff* skb, __u32 in_port, __u32 order) {
  __u32 padding = skb->len < SHUNT_MIN_FRAME ? SHUNT_MIN_FRAME - skb->len : 0;
  struct shunt_lane_header header = {SHUNT_LANE_MAGIC, (__u16)in_port, skb->vlan_present != 0, (__u8)padding, order};
  struct shunt_port_stats* stats = stats_of(in_port);
  const struct shunt_port* lane;
  __u32 number = SHUNT_LANE;

  lane = bpf_map_lookup_elem(&ports, &number);
  if (!stats || !lane) return TC_ACT_SHOT;
  if (lane->ifindex == 0) return drop(stats, SHUNT_DROP_UPCALL_NO_SOCKET);
  /* By flow: a sender that moves to another CPU must not overtake what it sent before. */
  if (lane->queue_count > 1) skb->queue_mapping = 1 + bpf_get_hash_recalc(skb) % lane->queue_count;
  if (padding && bpf_skb_change_tail(skb, SHUNT_MIN_FRAME, 0) < 0) return drop(stats, SHUNT_DROP_BAD_ACTION);
  if (bpf_skb_change_head(skb, sizeof header, 0) < 0 || bpf_skb_store_bytes(skb, 0, &header, sizeof header, 0) < 0)
    return drop(stats, SHUNT_DROP_HEADROOM);
  return (int)bpf_redirect(lane->ifindex, 0);
}

/* ... and what comes after it waits, as long as its flow is new. The key is in the scratch. */
static __always_inline int to_lane_in_order(struct shunt_packet* packet, const struct shunt_segments* segments) {
  __u32 at = order_bucket(&packet->scratch->key);
  struct shunt_order* order = bpf_map_lookup_elem(&upcall_order, &at);

  if (order) __sync_fetch_and_add(&order->handed_up, segments->count);
  return shunt_to_lane(packet->ctx, packet->in_port, order ? at : SHUNT_ORDER_BUCKETS);
}

static __always_inline void count(struct shunt_packet* packet, const struct shunt_segments* segments, __u32 slot) {
  count_received(packet->stats, segments->count, segments->bytes);
  count_flow(slot, segments->count, segments->bytes);
}

/* What was counted does not leave. */
static __always_inline int drop_counted(struct shunt_packet* packet, const struct shunt_segments* segments, __u32 slot,
                                        __u32 reason) {
  count_change(slot, -(__s64)segments->bytes, segments->count);
  return drop_packets(packet->stats, reason, segments->count);
}

static __always_inline int send_to_port(struct shunt_packet* packet, const struct shunt_segments* segments, __u32 slot,
                                        __u32 output, __u32 tags) {
  const struct shunt_port* port = bpf_map_lookup_elem(&ports, &output);

  if (!port || port->ifindex == 0) return drop_counted(packet, segments, slot, SHUNT_DROP_NO_OUTPUT_PORT);
  if (is_too_long(port, segments->longest, tags))
    return drop_counted(packet, segments, slot, SHUNT_DROP_FRAME_TOO_LONG);
  count_bridged(packet, output, segments->count, segments->bytes);
  return (int)bpf_redirect(port->ifindex, 0);
}

struct shunt_flood_walk {
  struct __sk_buff* skb;
  __u32 group, holes;
};

static long flood_member(__u32 i, struct shunt_flood_walk* walk) {
  __u32 ifindex = group_member(walk->group, i);

  if (ifindex == 0) return ++walk->holes > SHUNT_GROUP_HOLES;
  bpf_clone_redirect(walk->skb, ifindex, 0);
  return 0;
}

/* A copy to each of the group's ports. 0, or < 0: there is no such group. */
__noinline int shunt_flood(struct __sk_buff* skb, __u32 group) {
  struct shunt_flood_walk walk = {.skb = skb, .group = group};

  if (!bpf_map_lookup_elem(&flood_groups, &group)) return -1;
  bpf_loop(SHUNT_GROUP_PORTS, flood_member, &walk, 0);
  return 0;
}

/* Pads as XDP does, and counts what edits and padding have changed. False: it could not be done. */
static __always_inline int finish(struct shunt_packet* packet, struct shunt_segments* segments, __u32 slot) {
  struct __sk_buff* skb = packet->ctx;
  __u32 len, tag;

  tag = skb->vlan_present ? 4 : 0;
  len = skb->len + tag;
  if (len < SHUNT_MIN_FRAME) {
    if (bpf_skb_change_tail(skb, SHUNT_MIN_FRAME - tag, 0) < 0) return 0;
    len = SHUNT_MIN_FRAME;
  }
  if (len == packet->len) return 1;
  segments->longest += len - packet->len;
  segments->bytes += (len - packet->len) * segments->count;
  count_change(slot, ((__s64)len - packet->len) * segments->count, 0);
  return 1;
}

/* The list of a flow, once nothing speaks against it. */
static __always_inline int run_actions(struct shunt_packet* packet, struct shunt_segments* segments,
                                       const struct shunt_flow* flow) {
  struct __sk_buff* skb = packet->ctx;
  __u32 slot = flow->head.slot, i;

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_MAX_ACTIONS; i++) {
    const struct shunt_action* action = action_of(flow, i);

    if (!action) break;
    if (action->type == SHUNT_ACT_DROP) return drop_packets(packet->stats, action->field, segments->count);
    if (action->type != SHUNT_ACT_OUTPUT && action->type != SHUNT_ACT_OUTPUT_GROUP) {
      if (shunt_edit_skb(skb, &packet->scratch->headers, action) < 0) break;
      continue;
    }
    if (!finish(packet, segments, slot)) break;
    if (action->type == SHUNT_ACT_OUTPUT) return send_to_port(packet, segments, slot, action->arg, skb->vlan_present);
    if (shunt_flood(skb, action->arg) < 0) return drop_counted(packet, segments, slot, SHUNT_DROP_NO_OUTPUT_PORT);
    return TC_ACT_SHOT; /* the copies are on their way */
  }
  return drop_counted(packet, segments, slot, SHUNT_DROP_BAD_ACTION);
}

/* What a flow says that TC can run (SHUNT_FLOW_TC), or SHUNT_LEFT_TO_XDP: not on this packet, and nothing was done. */
__noinline int shunt_execute(struct __sk_buff* skb, __u32 slot, __u32 in_port, __u32 len) {
  struct shunt_packet packet = {.ctx = skb, .in_port = in_port, .len = len, .stats = stats_of(in_port)};
  struct shunt_flow* flow = bpf_map_lookup_elem(&flows, &slot);
  struct shunt_segments segments;
  __u32 zero = 0;

  packet.scratch = bpf_map_lookup_elem(&scratch, &zero);
  if (!packet.stats || !packet.scratch || !flow || !segments_of(skb, len, &segments)) return TC_ACT_SHOT;
  if (flow->head.flags & SHUNT_FLOW_SINGLE_OUTPUT) {
    count(&packet, &segments, slot);
    if (!finish(&packet, &segments, slot)) return drop_counted(&packet, &segments, slot, SHUNT_DROP_BAD_ACTION);
    return send_to_port(&packet, &segments, slot, flow->head.output, skb->vlan_present);
  }
  if (!(flow->head.flags & SHUNT_FLOW_TC) ||
      ((flow->head.flags & SHUNT_FLOW_EDITS) && !(shunt_config.features & SHUNT_FEATURE_EDITS)) ||
      reason_to_go_up(skb, &packet.scratch->headers, flow, len) != SHUNT_STAYS)
    return SHUNT_LEFT_TO_XDP;
  count(&packet, &segments, slot);
  return run_actions(&packet, &segments, flow);
}

/* Out of the port that the FDB named. */
static __always_inline int send_bridged(struct shunt_packet* packet, struct shunt_segments* segments, __u32 slot) {
  count(packet, segments, slot);
  if (!finish(packet, segments, slot)) return drop_counted(packet, segments, slot, SHUNT_DROP_BAD_ACTION);
  return send_to_port(packet, segments, slot, packet->bridged, packet->ctx->vlan_present);
}

static __always_inline int forward_by_key(struct shunt_packet* packet, struct shunt_segments* segments,
                                          const struct shunt_plain_record* record) {
  struct shunt_flow* flow;
  int verdict;
  __u32 zero = 0;

  packet->scratch = bpf_map_lookup_elem(&scratch, &zero);
  if (!packet->scratch) return TC_ACT_SHOT;
  keep_plain(packet->scratch, record);
  if (shunt_parse_frame(packet->ctx, packet->in_port, packet->ctx->len) != SHUNT_DROP_NONE ||
      (packet->scratch->headers.flags & SHUNT_HEADERS_CUT))
    return shunt_to_lane(packet->ctx, packet->in_port, SHUNT_ORDER_BUCKETS);
  hash_key(&packet->scratch->key);
  flow = lookup_megaflow(packet);
  if (!flow) return to_lane_in_order(packet, segments);
  if (!(flow->head.flags & SHUNT_FLOW_TC)) return shunt_to_lane(packet->ctx, packet->in_port, SHUNT_ORDER_BUCKETS);
  if (SHUNT_UNLIKELY(is_young(packet, flow)) && in_userspace(&packet->scratch->key))
    return to_lane_in_order(packet, segments);
  if ((shunt_config.features & SHUNT_FEATURE_BRIDGE) && packet->bridged)
    verdict = send_bridged(packet, segments, flow->head.slot);
  else
    verdict = shunt_execute(packet->ctx, flow->head.slot, packet->in_port, packet->len);
  if (verdict < 0) return shunt_to_lane(packet->ctx, packet->in_port, SHUNT_ORDER_BUCKETS);
  count_lookup(packet, 1);
  if (packet->scratch->plain.plain.valid) microflow_remember(packet, &packet->scratch->plain, flow);
  return verdict;
}

SEC("tc")
int shunt_tc(struct __sk_buff* skb) {
  struct shunt_packet packet = {.ctx = skb};
  struct shunt_segments segments;
  struct shunt_plain_record record;
  __u32 slot = 0, tags = 0;
  int output, verdict;

  if (!find_port(&packet, skb->ifindex)) return drop_stray();
  packet.len = skb->len + (skb->vlan_present ? 4 : 0);
  if ((shunt_config.features & SHUNT_FEATURE_CAPTURE) || packet.len > SHUNT_LONGEST_SKB ||
      !segments_of(skb, packet.len, &segments))
    return shunt_to_lane(skb, packet.in_port, SHUNT_ORDER_BUCKETS);
  output = lookup_microflow(&packet, &record, &slot, &tags);
  if (output == SHUNT_MICROFLOW_LIST) {
    verdict = execute_microflow_list(&packet, &record.plain, slot);
    if (verdict >= 0) return verdict;
    output = -1;
  }
  if (output < 0) return forward_by_key(&packet, &segments, &record);
  packet.stats->exact_hits++;
  count(&packet, &segments, slot);
  return send_to_port(&packet, &segments, slot, (__u32)output, tags);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
