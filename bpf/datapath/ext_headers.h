/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The walk over IPv6's extension headers, and what OpenFlow wants to know of them (ipv6_exthdr).
 */
#ifndef SHUNT_DATAPATH_EXT_HEADERS_H
#define SHUNT_DATAPATH_EXT_HEADERS_H

#include "bpf/datapath/compiler.h"
#include "bpf/datapath/frame.h"
#include "bpf/datapath/headers.h"
#include "bpf/datapath/wire.h"
#include "maps/flow_key.h"

#define SHUNT_MAX_EXT_HEADERS 8 /* that are walked; more: as if cut short */

SHUNT_INLINE int shunt_is_ext_header(__u32 proto) SHUNT_NOEXCEPT {
  return proto == SHUNT_IP_PROTO_HOPOPTS || proto == SHUNT_IP_PROTO_ROUTING || proto == SHUNT_IP_PROTO_DSTOPTS ||
         proto == SHUNT_IP_PROTO_AH || proto == SHUNT_IP_PROTO_FRAGMENT;
}

/*
 * Extension headers met so far, as one number: SHUNT_EXTHDR_* in the low bits; whether two destination options headers
 * were among them; above, the rank of the last one in the order of RFC 8200 section 4.1: hop-by-hop, destination
 * options, routing, fragment, authentication, encryption, destination options.
 */
#define SHUNT_EXTHDR_BITS 0x1ffu
#define SHUNT_EXTHDR_DEST_TWICE 0x200u
#define SHUNT_EXTHDR_RANK_SHIFT 12
#define SHUNT_EXTHDR_RANK(n) ((__u32)(n) << SHUNT_EXTHDR_RANK_SHIFT)

SHUNT_INLINE __u32 shunt_note_ext_header(__u32 seen, __u32 type) SHUNT_NOEXCEPT {
  __u32 last = seen & SHUNT_EXTHDR_RANK(7);
  __u32 rank, bit;

  if (type == SHUNT_IP_PROTO_NONE) return seen | SHUNT_EXTHDR_NONEXT;
  if (type == SHUNT_IP_PROTO_HOPOPTS) {
    /* Its bit means that it was the first header, which is its only place. */
    if (last == 0) return seen | SHUNT_EXTHDR_RANK(1) | SHUNT_EXTHDR_HOP;
    if (seen & SHUNT_EXTHDR_HOP) seen |= SHUNT_EXTHDR_UNREP;
    return last == SHUNT_EXTHDR_RANK(1) ? seen : seen | SHUNT_EXTHDR_UNSEQ;
  }
  if (type == SHUNT_IP_PROTO_DSTOPTS) {
    rank = last < SHUNT_EXTHDR_RANK(2) ? SHUNT_EXTHDR_RANK(2) : SHUNT_EXTHDR_RANK(7);
    if (seen & SHUNT_EXTHDR_DEST_TWICE) seen |= SHUNT_EXTHDR_UNREP;
    if (seen & SHUNT_EXTHDR_DEST) seen |= SHUNT_EXTHDR_DEST_TWICE;
    return (seen & ~SHUNT_EXTHDR_RANK(7)) | rank | SHUNT_EXTHDR_DEST;
  }
  if (type == SHUNT_IP_PROTO_ROUTING) {
    rank = SHUNT_EXTHDR_RANK(3);
    bit = SHUNT_EXTHDR_ROUTER;
  } else if (type == SHUNT_IP_PROTO_FRAGMENT) {
    rank = SHUNT_EXTHDR_RANK(4);
    bit = SHUNT_EXTHDR_FRAG;
  } else if (type == SHUNT_IP_PROTO_AH) {
    rank = SHUNT_EXTHDR_RANK(5);
    bit = SHUNT_EXTHDR_AUTH;
  } else if (type == SHUNT_IP_PROTO_ESP) {
    rank = SHUNT_EXTHDR_RANK(6);
    bit = SHUNT_EXTHDR_ESP;
  } else {
    return seen;
  }
  if (seen & bit) seen |= SHUNT_EXTHDR_UNREP;
  if (rank < last) return seen | SHUNT_EXTHDR_UNSEQ | bit;
  return (seen & ~SHUNT_EXTHDR_RANK(7)) | rank | bit;
}

/*
 * Walks IPv6's extension headers from h->l4 to the first that is none, and leaves it in h->l4 and h->proto. False: cut
 * short, or more than SHUNT_MAX_EXT_HEADERS. A later fragment ends the walk with SHUNT_IP_PROTO_FRAGMENT.
 *
 * What the walk carries from header to header is kept in *h, so that to the verifier all rounds are alike.
 */
SHUNT_SUBPROGRAM(int) shunt_walk_ipv6(shunt_frame* frame, struct shunt_headers* h) SHUNT_NOEXCEPT {
  __u32 i;

  if (SHUNT_NULL_ARGUMENT(h)) return 0;
  SHUNT_NO_UNROLL
  for (i = 0; i < SHUNT_MAX_EXT_HEADERS + 1; i++) {
    __u8 type = SHUNT_FORGET(__u8, h->proto);
    __u32 off = SHUNT_FORGET(__u16, h->l4);
    __u32 size;
    const __u8* p;

    h->walk = (__u16)shunt_note_ext_header(SHUNT_FORGET(__u16, h->walk), type);
    if (!shunt_is_ext_header(type)) return 1;
    if (off + 8 > h->l3_end) return 0;
    p = shunt_frame_at(frame, off, 8);
    if (!p) {
      h->flags |= SHUNT_HEADERS_CUT;
      return 0;
    }
    h->proto = p[0];
    if (type == SHUNT_IP_PROTO_FRAGMENT) {
      __u16 fragment = shunt_load16(p + 2);

      size = 8;
      if (fragment != 0) h->flags |= SHUNT_HEADERS_FRAG; /* an atomic fragment (RFC 6946) is none */
      if (fragment & SHUNT_BE16(SHUNT_IPV6_FRAG_OFFSET_MASK)) {
        h->flags |= SHUNT_HEADERS_LATER;
        h->proto = SHUNT_IP_PROTO_FRAGMENT;
        return 1;
      }
    } else {
      if (type == SHUNT_IP_PROTO_ROUTING && p[3] != 0) h->flags |= SHUNT_HEADERS_ROUTED;
      size = type == SHUNT_IP_PROTO_AH ? (p[1] + 2u) * 4 : (p[1] + 1u) * 8;
    }
    if (off + size > h->l3_end) return 0;
    h->l4 = (__u16)(off + size);
  }
  return 0;
}

#endif
