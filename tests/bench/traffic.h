/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the benchmark's programs and their runner share: the generator's settings, a flow's addresses, the baseline's
 * key.
 */
#ifndef SHUNT_BENCH_TRAFFIC_H
#define SHUNT_BENCH_TRAFFIC_H

#include <linux/types.h>

#define BENCH_MAX_IFINDEX 256   /* the namespace is fresh, so its interface numbers are small */
#define BENCH_MAX_FLOWS 1100000 /* of the baseline's table */
#define BENCH_IP_ID 0x5348      /* tells the generator's frames from others */
#define BENCH_FRAME_CHECK 4     /* octets of the FCS: a "64-byte frame" has 60 in memory */
#define BENCH_MIN_FRAME 60
#define BENCH_STATION_PORTS 64 /* station N is at port N % BENCH_STATION_PORTS */

enum { BENCH_TARGET_REDIRECT, BENCH_TARGET_LOOKUP, BENCH_TARGETS };

/*
 * Flow number -> addresses: 14 bits in the UDP source port, the rest in the low half of the IP source address; six of
 * these also in the source MAC, since rule `normal` looks at that one.
 */
#define BENCH_PORT_COUNT 16384
#define BENCH_FIRST_PORT 1024
#define BENCH_SOURCE(flow) ((__u16)((flow) / BENCH_PORT_COUNT))
#define BENCH_SOURCE_PORT(flow) ((__u16)(BENCH_FIRST_PORT + (flow) % BENCH_PORT_COUNT))
#define BENCH_SOURCE_MACS 64
#define BENCH_SOURCE_MAC(flow) ((__u8)(0x80 + (flow) / BENCH_PORT_COUNT % BENCH_SOURCE_MACS))

/* Written by the runner, read (and counted up) by the generator. */
struct generator {
  __u64 sent;
  __u64 rate;    /* frames a second at most; 0: as fast as it goes */
  __u64 started; /* when this rate began: ns, set by the generator; the runner zeroes it with `sent` */
  __u64 allowed;
  __u32 ifindex; /* where frames go; 0: nowhere, the generator idles */
  __u32 flows;   /* so many different 5-tuples, each as often as the others; or entries of the sequence */
  __u32 step;    /* from one to the next, modulo their number, with which it has no divisor in common */
  __u32 next;
  __u32 by_sequence; /* frames are those of the sequence, one entry after another; 0: those of the flow numbers */
  __u32 first;       /* where in the sequence */
  __u32 size;        /* of a frame, without FCS */
  __u32 zero;
  __u8 eth_dst[6];
  __u8 eth_src[6];
};

struct five_tuple {
  __be32 source, destination;
  __be16 source_port, destination_port;
  __u8 protocol, zero[3];
};

/* A frame of the sequence: what a runner made beforehand, in the order in which it is sent. */
struct sequence_entry {
  __be32 source, destination;
  __be16 source_port, destination_port;
  __u8 protocol;   /* TCP or UDP */
  __u8 source_mac; /* its last octet */
  __u16 zero;
  __u32 from, to; /* stations, with MACs of their own; 0: the runner says */
  __u32 ifindex;  /* where it goes; 0: likewise */
  __u32 padding;  /* of a mapped array: elements are of whole words */
};

#endif
