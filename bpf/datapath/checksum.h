/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Checksums that stay right when bytes change, and completion of those that a local stack left to the card.
 *
 * An edit adjusts a checksum by the difference (RFC 1624 equation 3), and never recomputes it: a frame that came
 * damaged leaves damaged, and its receiver sees it. The same holds for SCTP's CRC32c, which is linear: the edit's
 * difference, moved over the bytes behind it, is added.
 */
#ifndef SHUNT_DATAPATH_CHECKSUM_H
#define SHUNT_DATAPATH_CHECKSUM_H

#include "bpf/datapath/compiler.h"
#include "bpf/datapath/frame.h"
#include "bpf/datapath/parse.h"
#include "bpf/datapath/sum.h"
#include "bpf/datapath/wire.h"

/* Adjusts the L4 checksum. False: its bytes are not in the first buffer. */
SHUNT_INLINE int shunt_adjust_l4(shunt_frame* frame, const struct shunt_headers* h, __u32 difference) SHUNT_NOEXCEPT {
  __u32 offset = shunt_checksum_offset(h->proto);
  __u16 checksum;
  __u8* p;

  if (h->l4 == 0 || offset == 0) return 1;
  p = shunt_frame_at(frame, h->l4 + offset, 2);
  if (!p) return 0;
  checksum = shunt_load16(p);
  if (h->proto == SHUNT_IP_PROTO_UDP && checksum == 0) return 1; /* the sender computed none (RFC 768) */
  checksum = shunt_checksum_update(checksum, difference);
  /*
   * 0 and ffff are the same to a receiver that sums, but for two cases: in UDP 0 says that there is none, and a message
   * without pseudo-header may be zeros all over, to which only ffff is right.
   */
  if (checksum == 0 && h->proto != SHUNT_IP_PROTO_TCP && h->proto != SHUNT_IP_PROTO_ICMPV6) checksum = 0xffff;
  shunt_store16(p, checksum);
  return 1;
}

/* x^(8 * 2^i) modulo CRC32c's polynomial, bits reflected: what 2^i more bytes multiply a CRC by. */
static const __u32 shunt_crc32c_power[16] = {
    0x00800000u, 0x00008000u, 0x82f63b78u, 0x6ea2d55cu, 0x18b8ea18u, 0x510ac59au, 0xb82be955u, 0xb8fdb1e7u,
    0x88e56f72u, 0x74c360a4u, 0xe4172b16u, 0x0d65762au, 0x35d73a62u, 0x28461564u, 0xbf455269u, 0xe2ea32dcu,
};

/*
 * What the CRC32c of an SCTP packet of `len` bytes changes by when its first 4 bytes, read as a little-endian word,
 * change by `difference` (exclusive or). In BPF a function of its own, so that the verifier walks its loops once.
 */
SHUNT_SUBPROGRAM(__u32) shunt_crc32c_difference(__u32 difference, __u32 len) SHUNT_NOEXCEPT {
  __u32 i, bit;

  SHUNT_NO_UNROLL
  for (i = 0; i < 16; i++) {
    __u32 factor = shunt_crc32c_power[i & 15];
    __u32 product = 0;

    if (!(len >> i & 1)) continue;
    SHUNT_NO_UNROLL
    for (bit = 0; bit < 32; bit++) {
      product ^= difference & (0u - (factor >> 31));
      factor <<= 1;
      difference = difference >> 1 ^ (0x82f63b78u & (0u - (difference & 1)));
    }
    difference = product;
  }
  return difference;
}

/* Folded sum of the pseudo-header for `len` bytes of L4 (RFC 793, RFC 8200 section 8.1). < 0: not in the first buffer.
 */
SHUNT_INLINE int shunt_pseudo_sum(shunt_frame* frame, const struct shunt_headers* h, __u32 len) SHUNT_NOEXCEPT {
  const __u8* p;

  if (h->l3_kind == SHUNT_L3_IPV6) {
    p = shunt_frame_at(frame, h->l3, sizeof(struct shunt_ipv6_header));
    return p ? shunt_ipv6_pseudo_sum(p, h->proto, len) : -1;
  }
  p = shunt_frame_at(frame, h->l3, sizeof(struct shunt_ipv4_header));
  return p ? shunt_ipv4_pseudo_sum(p, h->proto, len) : -1;
}

/*
 * Completes the checksum of a frame from a local stack that left it to the card (CHECKSUM_PARTIAL): TCP's and UDP's
 * field then holds the folded pseudo-header sum, SCTP's holds zero. Only for ports whose other end is a local stack: on
 * a wire it would bless one damaged frame in 65,536. Running it twice changes nothing more. Returns 0: the checksum is
 * complete now; < 0: this side cannot (userspace can), nothing was changed.
 */
SHUNT_INLINE int shunt_complete_checksum(shunt_frame* frame, const struct shunt_headers* h) SHUNT_NOEXCEPT {
  __u32 len, offset, sum = 0;
  int pseudo;
  __u16 checksum;
  __u8* p;

  if (h->l4 == 0 || h->flags & SHUNT_HEADERS_FRAG) return 0;
  len = h->l3_end - h->l4;
  if (h->proto == SHUNT_IP_PROTO_TCP || h->proto == SHUNT_IP_PROTO_UDP) {
    offset = h->l4 + shunt_checksum_offset(h->proto);
    p = shunt_frame_at(frame, offset, 2);
    if (!p) return -1;
    checksum = shunt_load16(p);
    pseudo = shunt_pseudo_sum(frame, h, len);
    if (pseudo < 0) return -1;
    if (SHUNT_LIKELY(checksum != pseudo)) return 0;
    if (shunt_frame_sum(frame, h->l4, len, &sum) < 0) return -1;
    checksum = (__u16)~shunt_sum_fold(sum);
    if (checksum == 0 && h->proto == SHUNT_IP_PROTO_UDP) checksum = 0xffff;
    p = shunt_frame_at(frame, offset, 2);
    if (!p) return -1;
    shunt_store16(p, checksum);
  } else if (h->proto == SHUNT_IP_PROTO_SCTP) {
    p = shunt_frame_at(frame, h->l4 + 8u, 4);
    if (!p) return -1;
    if (SHUNT_LIKELY(shunt_load32(p) != 0)) return 0;
    if (shunt_frame_crc32c(frame, h->l4, len, &sum) < 0) return -1;
    shunt_store32(p, sum);
  }
  return 0;
}

#endif
