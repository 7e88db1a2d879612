/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * XDP's end of the lane: a veth pair on which TC (tc.bpf.c) sends what it leaves to XDP, as the wire would have carried
 * it: the kernel has cut it into segments, and completed its checksums, on the way.
 */
#ifndef SHUNT_BPF_LANE_H
#define SHUNT_BPF_LANE_H

#include "bpf/datapath/compiler.h"
#include "bpf/maps.bpf.h"
#include "bpf/port.bpf.h"

/* Takes the header off, and puts the tag where it belongs: the packet is its port's then. False: no frame of the lane.
 */
static __always_inline int leave_lane(struct shunt_packet* packet) {
  struct xdp_md* ctx = packet->ctx;
  __u64 tag = 0, addresses[2] = {0, 0};
  const __u8* p = (const __u8*)(long)ctx->data;
  const __u8* end = (const __u8*)(long)ctx->data_end;
  struct shunt_lane_header header;
  struct shunt_scratch* mine;
  __u32 zero = 0;
  __u8* to;

  mine = bpf_map_lookup_elem(&scratch, &zero);
  if (!mine || p + sizeof header > end) return 0;
  __builtin_memcpy(&header, p, sizeof header);
  if (header.magic != SHUNT_LANE_MAGIC) return 0;
  mine->lane_order = header.order;
  if (header.tagged) {
    if (p + sizeof header + 16 > end) return 0;
    tag = shunt_load32(p + 12);
    addresses[0] = shunt_load64(p + 16);
    addresses[1] = shunt_load32(p + 24);
  }
  if (bpf_xdp_adjust_head(ctx, sizeof header) < 0) return 0;
  if (header.padding && bpf_xdp_adjust_tail(ctx, -(int)header.padding) < 0) return 0;
  if (header.tagged) {
    to = (__u8*)(long)ctx->data;
    end = (const __u8*)(long)ctx->data_end;
    if (to + 16 > end) return 0;
    shunt_store64(to, addresses[0]);
    shunt_store64(to + 8, addresses[1] | tag << 32);
  }
  return enter_port(packet, header.in_port) && (packet->port->flags & SHUNT_PORT_TC);
}

/* TC counted the frame as being on its way to userspace: its later packets wait for it. */
static __always_inline void finish_lane(void) {
  struct shunt_scratch* mine;
  struct shunt_order* order;
  __u32 zero = 0, at;

  mine = bpf_map_lookup_elem(&scratch, &zero);
  if (!mine) return;
  at = mine->lane_order;
  order = at < SHUNT_ORDER_BUCKETS ? bpf_map_lookup_elem(&upcall_order, &at) : 0;
  if (order) __sync_fetch_and_add(&order->finished, 1);
}

#endif
