/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the smallest program that sets flows up (smallest_setup.h) has in the kernel: all packets go up, and nobody asks
 * the table. */

/* libbpf's headers need linux/bpf.h before them. */
/* clang-format off */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
/* clang-format on */

#include "maps/flow.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} socket SEC(".maps");

/* As the switch's own (bpf/maps.bpf.h). */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1100000);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct shunt_megaflow_key);
  __type(value, struct shunt_megaflow);
} table SEC(".maps");

SEC("xdp") int smallest_up(struct xdp_md* ctx) { return bpf_redirect_map(&socket, 0, XDP_DROP); }
