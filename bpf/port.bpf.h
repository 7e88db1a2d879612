/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The port that a packet came in on, and what one lets out.
 */
#ifndef SHUNT_BPF_PORT_H
#define SHUNT_BPF_PORT_H

#include "bpf/datapath/wire.h"
#include "bpf/stats.bpf.h"

/* The packet came in on this port. False: there is none of that number (any more). */
static __always_inline int enter_port(struct shunt_packet* packet, __u32 number) {
  packet->in_port = number;
  packet->port = bpf_map_lookup_elem(&ports, &number);
  packet->stats = stats_of(number);
  return packet->port && packet->stats;
}

/* The port that an interface is; 0: none. */
static __always_inline __u32 port_of(__u32 ifindex) {
  __u32 i;

  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_IFINDEX_PROBES; i++) {
    __u32 at = (ifindex + i) & (SHUNT_IFINDEX_SLOTS - 1);
    const struct shunt_ifindex_slot* slot = bpf_map_lookup_elem(&port_by_ifindex, &at);

    if (slot && slot->ifindex == ifindex) return slot->port;
  }
  return 0;
}

/* ... on the port that this interface is. */
static __always_inline int find_port(struct shunt_packet* packet, __u32 ifindex) {
  __u32 number = port_of(ifindex);

  return number != 0 && enter_port(packet, number);
}

/* The i-th interface of a flood group; 0: none, or it has vanished. */
static __always_inline __u32 group_member(__u32 group, __u32 i) {
  void* devmap = bpf_map_lookup_elem(&flood_groups, &group);
  const struct bpf_devmap_val* member = devmap ? bpf_map_lookup_elem(devmap, &i) : 0;

  return member ? member->ifindex : 0;
}

/* What the kernel lets a device send beyond its MTU: the Ethernet header and one tag. */
static __always_inline int is_too_long(const struct shunt_port* port, __u32 len, __u32 tags) {
  __u32 longest = port->mtu + sizeof(struct shunt_eth_header);

  return SHUNT_UNLIKELY(len > longest) && (!tags || len > longest + 4);
}

/* A packet that came in on no port. */
static __always_inline int drop_stray(void) {
  struct shunt_port_stats* nobody = stats_of(0);

  return nobody ? drop(nobody, SHUNT_DROP_NO_PORT) : SHUNT_FRAME_DROP;
}

#endif
