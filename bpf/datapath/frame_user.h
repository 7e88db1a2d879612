/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * frame.h's interface over a contiguous buffer: a UMEM frame, a test's vector.
 * Threads: a frame belongs to one at a time.
 */
#ifndef SHUNT_DATAPATH_FRAME_USER_H
#define SHUNT_DATAPATH_FRAME_USER_H

#include "bpf/datapath/compiler.h"

typedef struct shunt_user_frame {
  __u8* data;
  __u32 len;
  __u32 headroom; /* bytes in front of data that may be used */
  __u32 tailroom; /* bytes behind data + len that may be used */
} shunt_frame;

SHUNT_INLINE __u8* shunt_frame_data(shunt_frame* frame) SHUNT_NOEXCEPT { return frame->data; }
SHUNT_INLINE const __u8* shunt_frame_end(shunt_frame* frame) SHUNT_NOEXCEPT { return frame->data + frame->len; }
SHUNT_INLINE __u32 shunt_frame_len(shunt_frame* frame) SHUNT_NOEXCEPT { return frame->len; }
SHUNT_INLINE int shunt_frame_tag(const shunt_frame*, __u16*, __u16*) SHUNT_NOEXCEPT { return 0; }

SHUNT_INLINE int shunt_frame_adjust_head(shunt_frame* frame, int delta) SHUNT_NOEXCEPT {
  if (delta < 0 ? (__u32)-delta > frame->headroom : (__u32)delta > frame->len) return -1;
  frame->data += delta;
  frame->headroom += (__u32)delta;
  frame->len -= (__u32)delta;
  return 0;
}

SHUNT_INLINE int shunt_frame_adjust_tail(shunt_frame* frame, int delta) SHUNT_NOEXCEPT {
  if (delta < 0 ? (__u32)-delta > frame->len : (__u32)delta > frame->tailroom) return -1;
  if (delta > 0) __builtin_memset(frame->data + frame->len, 0, (__u32)delta);
  frame->len += (__u32)delta;
  frame->tailroom -= (__u32)delta;
  return 0;
}

SHUNT_INLINE int shunt_frame_sum(shunt_frame* frame, __u32 off, __u32 len, __u32* sum) SHUNT_NOEXCEPT {
  const __u8* p = frame->data + off;
  __u64 total = 0;

  if ((__u64)off + len > frame->len) return -1;
  for (; len >= 4; len -= 4, p += 4) total += shunt_load32(p);
  if (len >= 2) {
    total += shunt_load16(p);
    p += 2;
  }
  if (len & 1) total += *p;
  total = (total & 0xffffffff) + (total >> 32);
  total = (total & 0xffffffff) + (total >> 32);
  total = (total & 0xffff) + (total >> 16);
  *sum = (__u32)((total & 0xffff) + (total >> 16));
  return 0;
}

/* Bit by bit: only local SCTP that leaves its checksum to the card comes here. */
SHUNT_INLINE int shunt_frame_crc32c(shunt_frame* frame, __u32 off, __u32 len, __u32* crc) SHUNT_NOEXCEPT {
  const __u8* p = frame->data + off;
  __u32 state = ~0u;
  __u32 i, bit;

  if ((__u64)off + len > frame->len) return -1;
  for (i = 0; i < len; i++) {
    state ^= i - 8 < 4 ? 0 : p[i];
    for (bit = 0; bit < 8; bit++) state = state >> 1 ^ (0x82f63b78u & (0u - (state & 1)));
  }
  *crc = ~state;
  return 0;
}

#endif
