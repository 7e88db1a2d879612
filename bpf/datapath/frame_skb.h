/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * frame.h's interface over a socket buffer, as far as reading goes: TC edits by the kernel's helpers (edit_skb.bpf.h).
 * Its first buffer may end anywhere behind the headers, and its length may be that of many segments (GSO).
 */
#ifndef SHUNT_DATAPATH_FRAME_SKB_H
#define SHUNT_DATAPATH_FRAME_SKB_H

#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "bpf/datapath/compiler.h"

typedef struct __sk_buff shunt_frame;
#define SHUNT_FRAME_DROP TC_ACT_SHOT
#define SHUNT_FRAME_IS_SKB 1

SHUNT_INLINE __u8* shunt_frame_data(shunt_frame* frame) { return (__u8*)(long)frame->data; }
SHUNT_INLINE const __u8* shunt_frame_end(shunt_frame* frame) { return (const __u8*)(long)frame->data_end; }
SHUNT_INLINE __u32 shunt_frame_len(shunt_frame* frame) { return frame->len; }

/* All of a socket buffer's parts go where it goes. */
SHUNT_INLINE int shunt_frame_is_split(const shunt_frame* frame, __u32 len) { return 0; }

/* The outer tag never lies in the frame here: the kernel moves it aside before TC sees the packet. */
SHUNT_INLINE int shunt_frame_tag(const shunt_frame* frame, __u16* tpid, __u16* tci) {
  if (!frame->vlan_present) return 0;
  *tpid = SHUNT_BE16(frame->vlan_proto);
  *tci = (__u16)frame->vlan_tci;
  return 1;
}

#endif
