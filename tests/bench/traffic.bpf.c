/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The benchmark's own programs: a generator that runs on live frames, a sink that counts, and two baselines that
 * forward.
 *
 * The generator is run once for a whole benchmark by BPF_PROG_TEST_RUN; what it sends, and where, is set through
 * `generator`, which the runner maps, and may change between two frames.
 */

/* libbpf's headers need linux/bpf.h before them. */
/* clang-format off */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
/* clang-format on */

#include "tests/bench/traffic.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct generator generator;

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, BENCH_MAX_IFINDEX);
  __type(key, __u32);
  __type(value, __u64);
} received SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, BENCH_TARGETS);
  __type(key, __u32);
  __type(value, __u32);
} out_port SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, BENCH_MAX_FLOWS);
  __type(key, struct five_tuple);
  __type(value, __u64);
} table SEC(".maps");

struct frame {
  __u8 eth_dst[6];
  __u8 eth_src[6];
  __be16 eth_type;
  __u8 version_ihl, tos;
  __be16 length, id, fragment;
  __u8 ttl, protocol;
  __be16 checksum;
  __be16 source[2], destination[2]; /* addresses, in halves */
  __be16 source_port, destination_port, udp_length, udp_checksum;
} __attribute__((packed, aligned(2)));

static __always_inline struct frame* frame_of(struct xdp_md* ctx) {
  struct frame* frame = (void*)(long)ctx->data;
  return (void*)(frame + 1) <= (void*)(long)ctx->data_end ? frame : (void*)0;
}

/* False while the rate asked for is exceeded. Checked on the clock only every 16 frames: a read costs as much as a
 * frame. */
static __always_inline int may_send(void) {
  if (generator.rate == 0) return 1;
  if ((generator.sent & 15) != 0 && generator.sent < generator.allowed) return 1;
  __u64 now = bpf_ktime_get_ns();
  if (generator.started == 0) generator.started = now;
  generator.allowed = (now - generator.started) / 1000 * generator.rate / 1000000;
  return generator.sent < generator.allowed;
}

SEC("xdp") int bench_generate(struct xdp_md* ctx) {
  struct frame* frame = frame_of(ctx);
  __u32 out = generator.ifindex;
  if (!frame || out == 0 || !may_send()) return XDP_DROP;

  __u32 flow = generator.next;
  generator.next = flow + generator.step >= generator.flows ? flow + generator.step - generator.flows
                                                            : flow + generator.step;
  generator.sent++;

  __builtin_memcpy(frame->eth_dst, (const void*)generator.eth_dst, 6);
  __builtin_memcpy(frame->eth_src, (const void*)generator.eth_src, 6);
  frame->eth_src[5] = BENCH_SOURCE_MAC(flow);
  frame->eth_type = bpf_htons(0x0800);
  __u16 source = BENCH_SOURCE(flow);
  __u32 sum = 0x4500 + 46 + 0x4000 + 0x4011 + 0x0a01 + source + 0x0a02 + 1; /* all constants but `source` */
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  frame->version_ihl = 0x45;
  frame->tos = 0;
  frame->length = bpf_htons(46);
  frame->id = 0;
  frame->fragment = bpf_htons(0x4000);
  frame->ttl = 64;
  frame->protocol = 17;
  frame->checksum = bpf_htons((__u16)~sum);
  frame->source[0] = bpf_htons(0x0a01);
  frame->source[1] = bpf_htons(source);
  frame->destination[0] = bpf_htons(0x0a02);
  frame->destination[1] = bpf_htons(1);
  frame->source_port = bpf_htons(BENCH_SOURCE_PORT(flow));
  frame->destination_port = bpf_htons(9);
  frame->udp_length = bpf_htons(26);
  frame->udp_checksum = 0;
  return bpf_redirect(out, 0);
}

SEC("xdp") int bench_sink(struct xdp_md* ctx) {
  __u32 ifindex = ctx->ingress_ifindex;
  __u64* count = bpf_map_lookup_elem(&received, &ifindex);
  struct frame* frame = frame_of(ctx);
  /* Only the generator's own frames count: destination port 9 (discard). */
  if (count && frame && frame->destination_port == bpf_htons(9)) (*count)++;
  return XDP_DROP;
}

/* Baseline A: nothing but the redirect. */
SEC("xdp") int bench_redirect(struct xdp_md* ctx) { return bpf_redirect_map(&out_port, BENCH_TARGET_REDIRECT, 0); }

/* Baseline B: one look-up of the 5-tuple in a BPF hash map, and the redirect. */
SEC("xdp") int bench_lookup(struct xdp_md* ctx) {
  struct frame* frame = frame_of(ctx);
  if (!frame || frame->eth_type != bpf_htons(0x0800) || frame->version_ihl != 0x45) return XDP_PASS;
  struct five_tuple key = {.protocol = frame->protocol};
  __builtin_memcpy(&key.source, frame->source, 4);
  __builtin_memcpy(&key.destination, frame->destination, 4);
  key.source_port = frame->source_port;
  key.destination_port = frame->destination_port;
  __u64* packets = bpf_map_lookup_elem(&table, &key);
  if (!packets) return XDP_DROP;
  (*packets)++;
  return bpf_redirect_map(&out_port, BENCH_TARGET_LOOKUP, 0);
}
