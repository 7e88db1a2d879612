/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The edge between the datapath and what carries a frame. act.h and checksum.h are written against these names; each
 * carrier implements them once: XDP in frame_xdp.h, userspace in frame_user.h; TC's half, for reading, is in
 * frame_skb.h.
 *
 *   shunt_frame                              the frame
 *   __u8 *shunt_frame_data(f), *_end(f)      its first buffer: all of it in userspace
 *   __u32 shunt_frame_len(f)                 bytes in all buffers
 *   int shunt_frame_tag(f, *tpid, *tci)      a tag kept beside the frame, in host order. 0: there is none
 *   int shunt_frame_adjust_head(f, delta)    bytes taken off the front; negative: added there. 0, or < 0: no room
 *   int shunt_frame_adjust_tail(f, delta)    zero bytes added at the end; negative: bytes taken off. 0, or < 0
 *   int shunt_frame_sum(f, off, len, *sum)   ones' complement sum of a byte range, folded to 16 bits, raw. 0, or < 0
 *   int shunt_frame_crc32c(f, off, len, *crc)  CRC32c of a byte range whose 4 bytes at 8 count as zero. 0, or < 0
 *
 * After adjust_head and adjust_tail data and end must be asked for again. Where one fails, nothing has changed.
 */
#ifndef SHUNT_DATAPATH_FRAME_H
#define SHUNT_DATAPATH_FRAME_H

#include "bpf/datapath/compiler.h"

#if defined(__bpf__) && defined(SHUNT_TC)
#include "bpf/datapath/frame_skb.h"
#elif defined(__bpf__)
#include "bpf/datapath/frame_xdp.h"
#else
#include "bpf/datapath/frame_user.h"
#endif

/* Offsets above this are not followed: the verifier wants a bound, and no header lies as deep. */
#define SHUNT_MAX_OFFSET 0x7fffu

/* `size` bytes at `off`, or null where they are not all in the first buffer. */
SHUNT_INLINE __u8* shunt_frame_at(shunt_frame* frame, __u32 off, __u32 size) SHUNT_NOEXCEPT {
  __u8* p = shunt_frame_data(frame);
  const __u8* end = shunt_frame_end(frame);

  off &= SHUNT_MAX_OFFSET;
#ifdef __bpf__
  p += off;
  SHUNT_OPAQUE(p);
  if (p + size > end) return 0;
  return p;
#else
  if ((__u64)off + size > (__u64)(end - p)) return 0;
  return p + off;
#endif
}

#endif
