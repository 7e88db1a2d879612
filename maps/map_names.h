/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Names of the maps and links, pinned under /sys/fs/bpf/shunt/<instance>/ by these names (links: link-<interface>).
 */
#ifndef SHUNT_MAPS_MAP_NAMES_H
#define SHUNT_MAPS_MAP_NAMES_H

#define SHUNT_BPFFS "/sys/fs/bpf"
#define SHUNT_PIN_ROOT "/sys/fs/bpf/shunt"

/* Beside the maps: the program that links run. */
#define SHUNT_PIN_PROGRAM "program"

#define SHUNT_MAP_LAYOUT "layout"               /* ARRAY, mmap-able: one shunt_layout */
#define SHUNT_MAP_MEGAFLOWS "megaflows"         /* HASH: shunt_megaflow_key -> shunt_megaflow */
#define SHUNT_MAP_FLOWS "flows"                 /* ARRAY, mmap-able: slot -> shunt_flow */
#define SHUNT_MAP_ACTION_LISTS "action_lists"   /* ARRAY, mmap-able: shunt_action; a list is a run of them */
#define SHUNT_MAP_FLOW_INDEX "flow_index"       /* ARRAY, mmap-able: shunt_index_bucket */
#define SHUNT_MAP_MICROFLOWS "microflows"       /* ARRAY, mmap-able: shunt_microflow */
#define SHUNT_MAP_FLOW_HINTS "flow_hints"       /* ARRAY: shunt_hint_bucket */
#define SHUNT_MAP_FLOW_COUNTERS "flow_counters" /* ARRAY, mmap-able: shunt_flow_counters */
#define SHUNT_MAP_FLOW_DELTAS "flow_deltas"     /* ARRAY, mmap-able: shunt_flow_delta */
#define SHUNT_MAP_MASKS "masks"                 /* ARRAY, mmap-able: shunt_mask */
#define SHUNT_MAP_PORTS "ports"                 /* ARRAY, mmap-able: shunt_port */
#define SHUNT_MAP_PORT_BY_IFINDEX "port_by_ifindex" /* ARRAY, mmap-able: shunt_ifindex_slot */
#define SHUNT_MAP_PORT_STATS "port_stats"       /* PERCPU_ARRAY: shunt_port_stats */
#define SHUNT_MAP_UPCALL_BUDGET "upcall_budget" /* ARRAY: shunt_budget */
#define SHUNT_MAP_UPCALL_ORDER "upcall_order"   /* ARRAY, mmap-able: shunt_order */
#define SHUNT_MAP_TX_PORTS "tx_ports"           /* DEVMAP: datapath port -> interface */
#define SHUNT_MAP_FDB "fdb"                     /* ARRAY, mmap-able: shunt_fdb_bucket */
#define SHUNT_MAP_METERS "meters"               /* ARRAY, mmap-able: meter slot -> shunt_meter */
#define SHUNT_MAP_XSKS "xsks"                   /* XSKMAP: SHUNT_XSK_INDEX -> AF_XDP socket */
#define SHUNT_MAP_FLOOD_GROUPS "flood_groups"   /* ARRAY_OF_MAPS: group -> DEVMAP of its ports, from index 0 on */

/* Not pinned: captures end with the daemon. Layouts in maps/capture.h. */
#define SHUNT_MAP_CAPTURES "captures"               /* ARRAY, mmap-able: shunt_capture */
#define SHUNT_MAP_CAPTURE_PORTS "capture_ports"     /* ARRAY, mmap-able: datapath port -> SHUNT_CAPTURE_BIT */
#define SHUNT_MAP_CAPTURE_FILTERS "capture_filters" /* ARRAY, mmap-able: shunt_filter_insn */
#define SHUNT_MAP_CAPTURE_COUNTS "capture_counts"   /* PERCPU_ARRAY: shunt_capture_counts */
#define SHUNT_MAP_CAPTURE_BUDGETS "capture_budgets" /* ARRAY: shunt_budget */
#define SHUNT_MAP_CAPTURE_RINGS "capture_rings"     /* ARRAY_OF_MAPS: capture -> RINGBUF of shunt_capture_record */

#endif
