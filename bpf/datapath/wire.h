/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Headers as they lie on the wire. Ours and not the kernel's: after 14 bytes of Ethernet a header is only 2-aligned,
 * and these types say so. Never take the address of a field that is wider than its alignment; copy it out.
 */
#ifndef SHUNT_DATAPATH_WIRE_H
#define SHUNT_DATAPATH_WIRE_H

#include "bpf/datapath/compiler.h"
#include "maps/types.h"

#define SHUNT_WIRE __attribute__((packed, aligned(2)))

/* EtherTypes (IEEE 802), host order. What is below SHUNT_ETH_TYPE_MIN is an 802.3 length. */
#define SHUNT_ETH_TYPE_MIN 0x0600
#define SHUNT_ETH_TYPE_IPV4 0x0800
#define SHUNT_ETH_TYPE_ARP 0x0806
#define SHUNT_ETH_TYPE_RARP 0x8035
#define SHUNT_ETH_TYPE_CVLAN 0x8100
#define SHUNT_ETH_TYPE_IPV6 0x86dd
#define SHUNT_ETH_TYPE_MPLS 0x8847
#define SHUNT_ETH_TYPE_MPLS_MC 0x8848
#define SHUNT_ETH_TYPE_PBB 0x88e7
#define SHUNT_ETH_TYPE_SVLAN 0x88a8

/* IP protocols and IPv6 extension headers (IANA). */
#define SHUNT_IP_PROTO_HOPOPTS 0
#define SHUNT_IP_PROTO_ICMP 1
#define SHUNT_IP_PROTO_IGMP 2
#define SHUNT_IP_PROTO_TCP 6
#define SHUNT_IP_PROTO_UDP 17
#define SHUNT_IP_PROTO_ROUTING 43
#define SHUNT_IP_PROTO_FRAGMENT 44
#define SHUNT_IP_PROTO_ESP 50
#define SHUNT_IP_PROTO_AH 51
#define SHUNT_IP_PROTO_ICMPV6 58
#define SHUNT_IP_PROTO_NONE 59 /* no next header */
#define SHUNT_IP_PROTO_DSTOPTS 60
#define SHUNT_IP_PROTO_SCTP 132

#define SHUNT_IPV4_MF 0x2000
#define SHUNT_IPV4_OFFSET_MASK 0x1fff
#define SHUNT_IPV6_LABEL_MASK 0x000fffff
#define SHUNT_IPV6_FRAG_OFFSET_MASK 0xfff8
#define SHUNT_TCP_FLAGS_MASK 0x0fff
#define SHUNT_MPLS_BOS 0x00000100 /* bottom of stack */
#define SHUNT_MPLS_SIZE 4          /* bytes of a label stack entry; its last one is the TTL */
#define SHUNT_PBB_TAG_SIZE 4       /* bytes of a service instance tag, behind its EtherType */

#define SHUNT_ND_SOLICIT 135 /* RFC 4861 */
#define SHUNT_ND_ADVERT 136
#define SHUNT_ND_OPT_SLL 1
#define SHUNT_ND_OPT_TLL 2

struct shunt_eth_header {
  __u8 dst[6];
  __u8 src[6];
  shunt_be16 type;
} SHUNT_WIRE;

/* What follows a TPID. */
struct shunt_vlan_header {
  shunt_be16 tci;
  shunt_be16 type;
} SHUNT_WIRE;

struct shunt_llc_snap_header {
  __u8 dsap, ssap, control;
  __u8 org[3];
  shunt_be16 type;
} SHUNT_WIRE;

/* ARP for IPv4 over Ethernet (RFC 826). */
struct shunt_arp_header {
  shunt_be16 hrd, pro;
  __u8 hln, pln;
  shunt_be16 op;
  __u8 sha[6];
  shunt_be32 spa;
  __u8 tha[6];
  shunt_be32 tpa;
} SHUNT_WIRE;

struct shunt_ipv4_header {
  __u8 version_ihl;
  __u8 tos;
  shunt_be16 total_length;
  shunt_be16 id;
  shunt_be16 fragment; /* DF, MF, offset */
  __u8 ttl;
  __u8 proto;
  shunt_be16 checksum;
  shunt_be32 src;
  shunt_be32 dst;
} SHUNT_WIRE;

struct shunt_ipv6_header {
  shunt_be32 version_class_label;
  shunt_be16 payload_length;
  __u8 next_header;
  __u8 hop_limit;
  __u8 src[16];
  __u8 dst[16];
} SHUNT_WIRE;

/* Hop-by-hop, routing, destination options, AH: the first 8 bytes. */
struct shunt_ipv6_ext_header {
  __u8 next_header;
  __u8 length; /* in 8 bytes, less the first 8; AH: in 4 bytes, less 8 */
  __u8 routing_type;
  __u8 segments_left;
  __u8 rest[4];
} SHUNT_WIRE;

struct shunt_ipv6_fragment_header {
  __u8 next_header;
  __u8 reserved;
  shunt_be16 fragment; /* offset in 8 bytes << 3, M in bit 0 */
  shunt_be32 id;
} SHUNT_WIRE;

struct shunt_tcp_header {
  shunt_be16 src, dst;
  shunt_be32 seq, ack;
  shunt_be16 offset_flags;
  shunt_be16 window;
  shunt_be16 checksum;
  shunt_be16 urgent;
} SHUNT_WIRE;

struct shunt_udp_header {
  shunt_be16 src, dst;
  shunt_be16 length;
  shunt_be16 checksum;
} SHUNT_WIRE;

struct shunt_sctp_header {
  shunt_be16 src, dst;
  shunt_be32 tag;
  shunt_be32 crc32c; /* little-endian on the wire (RFC 9260 appendix A) */
} SHUNT_WIRE;

/* ICMP, ICMPv6 and IGMP alike. */
struct shunt_icmp_header {
  __u8 type, code;
  shunt_be16 checksum;
  shunt_be32 rest;
} SHUNT_WIRE;

/* Follows the ICMPv6 header of a neighbour solicitation or advertisement: target, then options. */
struct shunt_nd_option {
  __u8 type;
  __u8 length; /* in 8 bytes */
  __u8 address[6];
} SHUNT_WIRE;

#endif
