/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way out: one port by the devmap, or all ports of a group by one broadcast redirect into the group's own devmap.
 */
#ifndef SHUNT_BPF_REDIRECT_H
#define SHUNT_BPF_REDIRECT_H

#include "bpf/datapath/act.h"
#include "bpf/port.bpf.h"
#include "bpf/stats.bpf.h"

/* `len`: of the frame as it goes out. */
static __always_inline int output_to_port(struct shunt_port_stats* stats, __u32 output, __u32 len, __u32 tags) {
  const struct shunt_port* port = bpf_map_lookup_elem(&ports, &output);

  if (!port || port->ifindex == 0) return drop(stats, SHUNT_DROP_NO_OUTPUT_PORT);
  if (is_too_long(port, len, tags)) return drop(stats, SHUNT_DROP_FRAME_TOO_LONG);
  if (bpf_redirect_map(&tx_ports, output, XDP_DROP) != XDP_REDIRECT) return drop(stats, SHUNT_DROP_NO_OUTPUT_PORT);
  note_outcome(SHUNT_OUTCOME_PORT, output);
  return XDP_REDIRECT;
}

static __always_inline int output_to_group(struct shunt_port_stats* stats, __u32 group) {
  void* devmap = bpf_map_lookup_elem(&flood_groups, &group);

  if (!devmap || bpf_redirect_map(devmap, 0, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS) != XDP_REDIRECT)
    return drop(stats, SHUNT_DROP_NO_OUTPUT_PORT);
  note_outcome(SHUNT_OUTCOME_GROUP, group);
  return XDP_REDIRECT;
}

/* Frames shorter than Ethernet's least are padded with zeros. False: no room for it. */
static __always_inline int pad(struct xdp_md* ctx, __u32 len) {
  return len >= SHUNT_MIN_FRAME || bpf_xdp_adjust_tail(ctx, (int)(SHUNT_MIN_FRAME - len)) == 0;
}

#endif
