/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bytes of a frame in all its buffers. bpf_xdp_get_buff_len() tells; but where returns are slow (CPUs that need a
 * safe one against speculation) a call of it costs as much as a quarter of a hit. Nearly all frames have one buffer:
 * the kernel's own context says which have.
 */
#ifndef SHUNT_BPF_LENGTH_H
#define SHUNT_BPF_LENGTH_H

#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>

#include "bpf/datapath/compiler.h"
#include "maps/kernel_context.h"

/* The kernel's, of which this field is looked at; libbpf finds out where it lies. */
struct xdp_buff {
  __u32 flags;
} __attribute__((preserve_access_index));

#define SHUNT_XDP_HAS_FRAGS 1 /* XDP_FLAGS_HAS_FRAGS */

/*
 * bpf_cast_to_kern_ctx() of Linux 6.2, which the verifier makes one instruction of. Before it loads the program, the
 * loader (user/bpf/kernel_context.h) puts its number in the place of this one, or 0 in the place of the call. It does
 * not reach functions other than programs.
 */
static struct xdp_buff* (*const kernel_context)(struct xdp_md* ctx) = (void*)SHUNT_CALL_KERNEL_CONTEXT;

static __always_inline __u32 frame_length(struct xdp_md* ctx) {
  const struct xdp_buff* buff = kernel_context(ctx);

  if (SHUNT_LIKELY(buff && !(buff->flags & SHUNT_XDP_HAS_FRAGS))) return ctx->data_end - ctx->data;
  return (__u32)bpf_xdp_get_buff_len(ctx);
}

#endif
