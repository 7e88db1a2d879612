/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packet captures: what is asked of the programs, and the records that they and the workers write. A capture's kernel
 * side writes into a BPF ring buffer of its own (capture_rings), its workers into rings in shared memory
 * (user/capture/record_ring.h); both in the record below. A reader takes them without the daemon's help.
 */
#ifndef SHUNT_MAPS_CAPTURE_H
#define SHUNT_MAPS_CAPTURE_H

#include "maps/types.h"

#define SHUNT_MAX_CAPTURES 8      /* that run at once */
#define SHUNT_CAPTURE_BYTES 16384 /* of a packet at most: what a filter sees, and what is kept */
#define SHUNT_FILTER_INSNS 512    /* of one filter: what it may cost a packet */
#define SHUNT_FILTER_MEMORY 16    /* scratch words of a filter, as classic BPF has */

/* Where a packet is seen. */
enum shunt_capture_stage {
	SHUNT_STAGE_BEFORE, /* as it came in */
	SHUNT_STAGE_AFTER,  /* as it goes out, once for each output port */
	SHUNT_STAGE_DROP,   /* as it was when it was dropped */
	SHUNT_STAGE_COUNT
};

/* captures: [capture], mmap-able. Written by userspace, read by the kernel. */
struct shunt_capture {
	__u32 snaplen;      /* bytes kept of a packet, at most SHUNT_CAPTURE_BYTES */
	__u32 filter_count; /* instructions in capture_filters; 0: every packet */
	__u32 rate;         /* packets a second and at once that the kernel side records; more are lost, and counted */
	__u32 zero;
};
SHUNT_MAP_TYPE(struct shunt_capture, 16);

/*
 * capture_ports: [datapath port], mmap-able: which captures see which packets of the port, that came in there (before,
 * drop) or go out there (after). One 64-bit store turns a capture on or off.
 */
#define SHUNT_CAPTURE_BIT(capture, stage) (1ull << ((stage) * SHUNT_MAX_CAPTURES + (capture)))

/* capture_filters: [capture * SHUNT_FILTER_INSNS + n], mmap-able: one instruction of classic BPF. */
struct shunt_filter_insn {
	__u16 code;
	__u8 jt;
	__u8 jf;
	__u32 k;
};
SHUNT_MAP_TYPE(struct shunt_filter_insn, 8);

/* capture_counts: per CPU, [capture]. Kept by the kernel. */
struct shunt_capture_counts {
	__u64 captured;
	__u64 lost_ring; /* the ring was full */
	__u64 lost_rate; /* over the rate */
	__u64 told;      /* of those lost: records have told them */
};
SHUNT_MAP_TYPE(struct shunt_capture_counts, 32);

/* In front of a record's bytes. */
struct shunt_capture_record {
	__u64 time;     /* CLOCK_MONOTONIC, ns */
	__u32 length;   /* of the whole packet */
	__u32 captured; /* bytes that follow */
	__u32 lost;     /* records that whoever wrote this one lost since the one before */
	__u16 port;     /* datapath port: ingress (before, drop), output (after) */
	__u8 stage;     /* enum shunt_capture_stage */
	__u8 reason;    /* enum shunt_drop_reason; of drops */
};
SHUNT_MAP_TYPE(struct shunt_capture_record, 24);

#endif
