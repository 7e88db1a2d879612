/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The arithmetic of the Internet checksum (RFC 1071, RFC 1624): ones' complement sums of raw 16-bit words.
 */
#ifndef SHUNT_DATAPATH_SUM_H
#define SHUNT_DATAPATH_SUM_H

#include "bpf/datapath/compiler.h"
#include "bpf/datapath/wire.h"

SHUNT_INLINE __u16 shunt_sum_fold(__u32 sum) SHUNT_NOEXCEPT {
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (__u16)sum;
}

/* What must be added to a sum when a 16-bit word changes; differences add up (at most 65,535 of them). */
SHUNT_INLINE __u32 shunt_sum_difference(__u16 old_word, __u16 new_word) SHUNT_NOEXCEPT {
  return (__u32)(__u16)~old_word + new_word;
}

/* The checksum after a change by `difference`. */
SHUNT_INLINE __u16 shunt_checksum_update(__u16 checksum, __u32 difference) SHUNT_NOEXCEPT {
  return (__u16)~shunt_sum_fold((__u32)(__u16)~checksum + shunt_sum_fold(difference));
}

/* Where the checksum lies in an L4 header, in bytes; 0: the protocol has none that edits keep (SCTP has its own). */
SHUNT_INLINE __u32 shunt_checksum_offset(__u32 proto) SHUNT_NOEXCEPT {
  if (proto == SHUNT_IP_PROTO_TCP) return 16;
  if (proto == SHUNT_IP_PROTO_UDP) return 6;
  if (proto == SHUNT_IP_PROTO_ICMP || proto == SHUNT_IP_PROTO_IGMP || proto == SHUNT_IP_PROTO_ICMPV6) return 2;
  return 0;
}

/* The folded sum of 64-bit words, each added up in halves. */
SHUNT_INLINE __u16 shunt_sum_halves(__u64 sum) SHUNT_NOEXCEPT {
  return shunt_sum_fold((__u32)((sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32)));
}

/* Folded sum of the pseudo-header of `len` bytes of `proto` behind the IPv4 header at `ip` (RFC 793). */
SHUNT_INLINE __u16 shunt_ipv4_pseudo_sum(const __u8* ip, __u32 proto, __u32 len) SHUNT_NOEXCEPT {
  __u64 addresses = shunt_load64(ip + 12);

  return shunt_sum_halves((addresses & 0xffffffff) + (addresses >> 32) + SHUNT_BE16(len) + SHUNT_BE16(proto));
}

/* The same of IPv6 (RFC 8200 section 8.1), for `len` of 16 bits. */
SHUNT_INLINE __u16 shunt_ipv6_pseudo_sum(const __u8* ip, __u32 proto, __u32 len) SHUNT_NOEXCEPT {
  __u64 sum = (__u64)SHUNT_BE16(len) + SHUNT_BE16(proto);
  __u32 i;

  for (i = 8; i < 40; i += 4) sum += shunt_load32(ip + i);
  return shunt_sum_halves(sum);
}

#endif
