/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Somebody else's XDP program: what attach must refuse to replace, and must name.
 */

/* libbpf's headers need linux/bpf.h before them. */
/* clang-format off */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
/* clang-format on */

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("xdp") int foreign_pass(struct xdp_md* ctx) { return XDP_PASS; }
