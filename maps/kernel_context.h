/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A call that the loader resolves (user/bpf/kernel_context.h, bpf/length.bpf.h).
 */
#ifndef SHUNT_MAPS_KERNEL_CONTEXT_H
#define SHUNT_MAPS_KERNEL_CONTEXT_H

/* Stands for bpf_cast_to_kern_ctx() in compiled programs: a number that no helper has. */
#define SHUNT_CALL_KERNEL_CONTEXT 0x53484b43

#endif
