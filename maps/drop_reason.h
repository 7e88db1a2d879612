/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every way a packet can end without being forwarded, and every reason to send one to userspace. One list makes the enum,
 * its text, the counter and the row of `shunt drops`: a new reason is one line, appended (counters are pinned).
 */
#ifndef SHUNT_MAPS_DROP_REASON_H
#define SHUNT_MAPS_DROP_REASON_H

/* X(NAME, "name", "what it means, for an operator") */
#define SHUNT_DROP_REASONS(X)                                                                              \
	X(NONE, "none", "not dropped")                                                                     \
	X(TRUNCATED_ETH, "truncated-eth", "frame shorter than an Ethernet header")                         \
	X(NO_PORT, "no-port", "arrived on an interface that is no port (any more)")                        \
	X(RULE, "rule", "a rule says drop, or has no actions")                                             \
	X(TABLE_MISS, "table-miss", "no rule matched")                                                     \
	X(VLAN_NOT_ALLOWED, "vlan-not-allowed", "the ingress port does not carry this VLAN")               \
	X(RESERVED_MAC, "reserved-mac", "link-local destination 01:80:c2:00:00:0x")                        \
	X(SAME_PORT, "same-port", "the only way out is the port it came in on")                            \
	X(NO_OUTPUT_PORT, "no-output-port", "the output port does not exist or is down")                   \
	X(TTL_EXPIRED, "ttl-expired", "TTL or hop limit ran out")                                          \
	X(FRAME_TOO_LONG, "frame-too-long", "longer than the output port's MTU")                           \
	X(HEADROOM, "headroom", "no room to push a header")                                                \
	X(BAD_ACTION, "bad-action", "an action does not fit the packet")                                   \
	X(UPCALL_BUDGET, "upcall-budget", "the port's budget of misses was used up")                       \
	X(UPCALL_NO_SOCKET, "upcall-no-socket", "no AF_XDP socket on this queue (is the daemon running?)") \
	X(UPCALL_QUEUE_FULL, "upcall-queue-full", "the AF_XDP receive ring was full")                      \
	X(TX_RING_FULL, "tx-ring-full", "the output port's AF_XDP transmit ring stayed full")              \
	X(TX_ERROR, "tx-error", "the kernel refused to transmit")                                          \
	X(NO_FRAMES, "no-frames", "no free UMEM frame for a copy")                                         \
	X(CHECKSUM, "checksum", "a partial checksum could not be completed")                               \
	X(TRANSLATION, "translation", "translation failed: too deep or too many actions")                  \
	X(METER, "meter", "over the rate of a meter")                                                      \
	X(GROUP, "group", "a group has no live bucket")                                                    \
	X(RESUBMIT_LIMIT, "resubmit-limit", "rules resubmit too deep or too often")                        \
	X(STACK, "stack", "pop from an empty stack, or a push too many")                                   \
	X(NO_FORWARD, "no-forward", "the port is configured not to receive or not to forward")             \
	X(PROTECTED_PORT, "protected-port", "between two protected ports")                                 \
	X(CONTROLLER, "controller", "sent to the controller only")

/* X(NAME, "name", "why the kernel side handed the packet up") */
#define SHUNT_UPCALL_REASONS(X)                                                                    \
	X(MISS, "miss", "no cached flow")                                                          \
	X(ORDER, "order", "the flow's earlier packets are still in userspace")                     \
	X(ACTION, "action", "a rule sends it to userspace")                                        \
	X(UNSUPPORTED, "unsupported", "the flow's actions cannot run in the kernel")               \
	X(TTL, "ttl", "TTL or hop limit expires here")                                             \
	X(JUMBO_FLOOD, "jumbo-flood", "a multi-buffer frame to several ports, or to one that takes none") \
	X(DEEP_HEADER, "deep-header", "headers reach behind the frame's first buffer")             \
	X(EDIT, "edit", "the kernel side could not make this edit to this frame")                  \
	X(CHECKSUM, "checksum", "a local stack left a checksum that the kernel side cannot complete")      \
	X(CONTROLLER, "controller", "a rule sends it to the controller")                                   \
	X(PACKET, "packet", "rules look at what no flow key holds (its length, headers below a label)")    \
	X(SAMPLE, "sample", "a rule's sample action picked it")

#define SHUNT_ENUM_DROP(name, text, help) SHUNT_DROP_##name,
#define SHUNT_ENUM_UPCALL(name, text, help) SHUNT_UPCALL_##name,

enum shunt_drop_reason { SHUNT_DROP_REASONS(SHUNT_ENUM_DROP) SHUNT_DROP_COUNT };
enum shunt_upcall_reason { SHUNT_UPCALL_REASONS(SHUNT_ENUM_UPCALL) SHUNT_UPCALL_COUNT };

/* Room in the counters' layout, so that a new reason does not change it. */
#define SHUNT_DROP_COUNTERS 32
#define SHUNT_UPCALL_COUNTERS 16

#endif
