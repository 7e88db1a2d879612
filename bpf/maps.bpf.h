/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every map of the XDP programs, and what a miss in it means. The names are those of maps/map_names.h; sizes that
 * depend on the flow limit or the machine are set by the loader (user/bpf/object.cpp), and stand here as 1.
 */
#ifndef SHUNT_BPF_MAPS_H
#define SHUNT_BPF_MAPS_H

#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>

#include "bpf/datapath/parse.h"
#include "maps/actions.h"
#include "maps/capture.h"
#include "maps/fdb.h"
#include "maps/flow.h"
#include "maps/map_names.h"
#include "maps/meter.h"
#include "maps/port.h"

/* What the program is specialised to; the verifier removes what it rules out. */
const volatile struct shunt_config shunt_config;

/* For a daemon that takes the maps over; no program reads it. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_layout);
} layout SEC(".maps");

/* The flow table. A miss: no such flow (asked only where an index bucket overflowed). */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct shunt_megaflow_key);
  __type(value, struct shunt_megaflow);
} megaflows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_flow);
} flows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_action);
} action_lists SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_index_bucket);
} flow_index SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_microflow_group);
} microflows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SHUNT_HINT_BUCKETS);
  __type(key, __u32);
  __type(value, struct shunt_hint_bucket);
} flow_hints SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_flow_counters);
} flow_counters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_flow_delta);
} flow_deltas SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SHUNT_MAX_MASKS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_mask);
} masks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SHUNT_MAX_PORTS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_port);
} ports SEC(".maps");

/* A miss: the interface is no port (any more): SHUNT_DROP_NO_PORT. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SHUNT_IFINDEX_SLOTS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_ifindex_slot);
} port_by_ifindex SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, SHUNT_MAX_PORTS);
  __type(key, __u32);
  __type(value, struct shunt_port_stats);
} port_stats SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SHUNT_MAX_PORTS);
  __type(key, __u32);
  __type(value, struct shunt_budget);
} upcall_budget SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SHUNT_ORDER_BUCKETS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_order);
} upcall_order SEC(".maps");

/* What it does not know, userspace decides. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SHUNT_FDB_BUCKETS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_fdb_bucket);
} fdb SEC(".maps");

/* An element that is no meter (any more) lets everything pass. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SHUNT_MAX_METERS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_meter);
} meters SEC(".maps");

/* A miss: the port is gone or down: SHUNT_DROP_NO_OUTPUT_PORT. */
struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, SHUNT_MAX_PORTS);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(struct bpf_devmap_val));
} tx_ports SEC(".maps");

/* A miss: no daemon listens: SHUNT_DROP_UPCALL_NO_SOCKET. */
struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, SHUNT_MAX_PORTS* SHUNT_MAX_QUEUES);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(__u32));
} xsks SEC(".maps");

/* One devmap a group: a broadcast redirect into it is the whole flood. A miss: SHUNT_DROP_NO_OUTPUT_PORT. */
struct shunt_group_devmap {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, SHUNT_GROUP_PORTS);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(struct bpf_devmap_val));
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, SHUNT_MAX_GROUPS);
  __uint(key_size, sizeof(__u32));
  __array(values, struct shunt_group_devmap);
} flood_groups SEC(".maps");

/* Those of captures: maps/capture.h. A capture is on where bits of capture_ports are set for it. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SHUNT_MAX_PORTS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, __u64);
} capture_ports SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SHUNT_MAX_CAPTURES);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_capture);
} captures SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SHUNT_MAX_CAPTURES* SHUNT_FILTER_INSNS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct shunt_filter_insn);
} capture_filters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, SHUNT_MAX_CAPTURES);
  __type(key, __u32);
  __type(value, struct shunt_capture_counts);
} capture_counts SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SHUNT_MAX_CAPTURES);
  __type(key, __u32);
  __type(value, struct shunt_budget);
} capture_budgets SEC(".maps");

/* A miss: nobody reads what the capture sees. */
struct shunt_capture_ring {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, SHUNT_MAX_CAPTURES);
  __uint(key_size, sizeof(__u32));
  __array(values, struct shunt_capture_ring);
} capture_rings SEC(".maps");

/* What a hit needs, in registers. */
struct shunt_plain {
  __u64 key[SHUNT_PLAIN_WORDS]; /* as the units have it */
  __u64 valid; /* shunt_port.microflows; 0: the cache has no place for this packet */
  __u64 hash;
  __u16 kind; /* as a first unit's in_port */
  __u16 tags; /* 0 to 2 */
  __u32 zero;
};

/*
 * The same for functions that want a pointer, with what few packets have. On the stack, of which a program and all that
 * it calls have 512 bytes.
 */
struct shunt_plain_record {
  struct shunt_plain plain;
  /* Where the key is wide: */
  __u64 more[SHUNT_PLAIN_WORDS]; /* IPv6's addresses */
  __u64 rest;                    /* the second unit's word after the key */
};

/*
 * What one packet needs and a 512-byte stack cannot hold, or cannot be indexed there. Per CPU: XDP programs do not
 * nest. The key is read by word number, which the verifier allows in a map value only.
 */
enum { SHUNT_OUTCOME_UP, SHUNT_OUTCOME_DROP, SHUNT_OUTCOME_PORT, SHUNT_OUTCOME_GROUP };

struct shunt_scratch {
  struct shunt_flow_key key;
  struct shunt_headers headers;
  struct shunt_megaflow_key masked; /* the key under one mask, for `megaflows` */
  struct shunt_plain_record plain;  /* for the exact-match cache, once it is clear which flow is the packet's */
  __u32 lane_order; /* shunt_lane_header.order of the packet that came by the lane */
  __u32 bridged;    /* shunt_bridge()'s answer for it; 0: its flow asked no FDB */
  /* What became of the packet, for captures: SHUNT_OUTCOME_*, and the reason, port or group. */
  __u32 outcome;
  __u32 outcome_arg;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct shunt_scratch);
} scratch SEC(".maps");

#endif
