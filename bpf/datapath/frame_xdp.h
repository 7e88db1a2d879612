/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * frame.h's interface over an XDP frame, which may have several buffers (xdp.frags): its headers are in the first one.
 */
#ifndef SHUNT_DATAPATH_FRAME_XDP_H
#define SHUNT_DATAPATH_FRAME_XDP_H

#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>

#include "bpf/datapath/compiler.h"

typedef struct xdp_md shunt_frame;
#define SHUNT_FRAME_DROP XDP_DROP
#define SHUNT_FRAME_IS_SKB 0

/* Bytes that are loaded and summed at a time. */
#define SHUNT_SUM_CHUNK 4096
/* What bpf_csum_diff takes in one call before Linux 6.13. */
#define SHUNT_SUM_SMALL_CHUNK 512
/* Chunks of a frame: 9000 bytes and more. */
#define SHUNT_SUM_CHUNKS 3

/* The bytes that are being summed: frames of several buffers have no pointer to them all. Used within one call. */
struct shunt_sum_buffer {
  __u8 bytes[SHUNT_SUM_CHUNK + 8];
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct shunt_sum_buffer);
} sum_buffer SEC(".maps");

SHUNT_INLINE __u8* shunt_frame_data(shunt_frame* frame) { return (__u8*)(long)frame->data; }
SHUNT_INLINE const __u8* shunt_frame_end(shunt_frame* frame) { return (const __u8*)(long)frame->data_end; }
SHUNT_INLINE __u32 shunt_frame_len(shunt_frame* frame) { return (__u32)bpf_xdp_get_buff_len(frame); }
/* Whether a frame of `len` bytes has several buffers, which not every output takes. */
SHUNT_INLINE int shunt_frame_is_split(const shunt_frame* frame, __u32 len) {
  return len > frame->data_end - frame->data;
}
SHUNT_INLINE int shunt_frame_tag(const shunt_frame* frame, __u16* tpid, __u16* tci) { return 0; }
SHUNT_INLINE int shunt_frame_adjust_head(shunt_frame* frame, int delta) {
  return (int)bpf_xdp_adjust_head(frame, delta);
}
SHUNT_INLINE int shunt_frame_adjust_tail(shunt_frame* frame, int delta) {
  return (int)bpf_xdp_adjust_tail(frame, delta);
}

/* Sums `size` bytes of the buffer, a multiple of 4, onto `sum`. */
SHUNT_INLINE __s64 shunt_sum_chunk(struct shunt_sum_buffer* buffer, __u32 size, __u32 sum) {
  __s64 result = bpf_csum_diff(0, 0, (__be32*)buffer->bytes, size, sum);
  __u32 i;

  if (SHUNT_LIKELY(result >= 0)) return result;
  result = sum;
  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_SUM_CHUNK; i += SHUNT_SUM_SMALL_CHUNK) {
    __be32* at = (__be32*)(buffer->bytes + i);

    /* A call for each case: Linux 6.1 does not see that the smaller of two numbers is bounded. */
    if (i >= size) break;
    if (size - i >= SHUNT_SUM_SMALL_CHUNK)
      result = bpf_csum_diff(0, 0, at, SHUNT_SUM_SMALL_CHUNK, (__u32)result);
    else
      result = bpf_csum_diff(0, 0, at, (size - i) & (SHUNT_SUM_SMALL_CHUNK - 4), (__u32)result);
    if (result < 0) return result;
  }
  return result;
}

SHUNT_INLINE int shunt_frame_sum(shunt_frame* frame, __u32 off, __u32 len, __u32* sum) {
  struct shunt_sum_buffer* buffer;
  __u32 zero = 0, i;
  __s64 total = 0;

  buffer = bpf_map_lookup_elem(&sum_buffer, &zero);
  if (!buffer) return -1;
  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_SUM_CHUNKS; i++) {
    __u32 size = len;

    if (len == 0) break;
    if (size > SHUNT_SUM_CHUNK) size = SHUNT_SUM_CHUNK;
    SHUNT_OPAQUE(size);
    /* 1 to 4096, as it is already, but so that a verifier sees it that learns nothing from "!= 0" (Linux 6.1). */
    size = ((size - 1) & (SHUNT_SUM_CHUNK - 1)) + 1;
    /* Zeros behind the last byte: the sum is taken over whole words. */
    *(__u32*)(buffer->bytes + (size & 0x1ffc)) = 0;
    if (bpf_xdp_load_bytes(frame, off, buffer->bytes, size) < 0) return -1;
    total = shunt_sum_chunk(buffer, (size + 3) & 0x1ffc, (__u32)total);
    if (total < 0) return -1;
    off += size;
    len -= size;
  }
  if (len != 0) return -1;
  total = (total & 0xffff) + ((total >> 16) & 0xffff);
  *sum = (__u32)((total & 0xffff) + (total >> 16));
  return 0;
}

/* A table walk a byte is too much for the kernel side: hand it up. */
SHUNT_INLINE int shunt_frame_crc32c(shunt_frame* frame, __u32 off, __u32 len, __u32* crc) { return -1; }

#endif
