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
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, BENCH_STATION_PORTS);
  __type(key, __u32);
  __type(value, __u32);
} station_port SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, BENCH_MAX_FLOWS);
  __type(key, struct five_tuple);
  __type(value, __u64);
} table SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1); /* as many as the runner asks for */
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct sequence_entry);
} sequence SEC(".maps");

struct frame {
  __u8 eth_dst[6];
  __u8 eth_src[6];
  __be16 eth_type;
  __u8 version_ihl, tos;
  __be16 length, id, fragment;
  __u8 ttl, protocol;
  __be16 checksum;
  __be16 source[2], destination[2]; /* addresses, in halves */
  __be16 source_port, destination_port;
  union {
    struct {
      __be16 udp_length, udp_checksum;
    };
    struct {
      __be16 tcp_sequence[2], tcp_acknowledged[2];
      __u8 tcp_offset, tcp_flags;
      __be16 tcp_window, tcp_checksum, tcp_urgent;
    };
  };
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

/* The frame that is next; 0 where there is none. */
static __always_inline int next_frame(struct sequence_entry* next) {
  __u32 number = generator.next;
  generator.next =
      number + generator.step >= generator.flows ? number + generator.step - generator.flows : number + generator.step;
  if (generator.by_sequence) {
    number += generator.first;
    struct sequence_entry* entry = bpf_map_lookup_elem(&sequence, &number);
    if (entry) *next = *entry;
    return entry != 0;
  }
  next->source = bpf_htonl(0x0a010000u + BENCH_SOURCE(number));
  next->destination = bpf_htonl(0x0a020001u);
  next->source_port = bpf_htons(BENCH_SOURCE_PORT(number));
  next->destination_port = bpf_htons(9);
  next->protocol = 17;
  next->source_mac = BENCH_SOURCE_MAC(number);
  return 1;
}

static __always_inline __u32 halves(__be32 address) { return (address & 0xffff) + (address >> 16); }

SEC("xdp") int bench_generate(struct xdp_md* ctx) {
  struct frame* frame = frame_of(ctx);
  __u32 out = generator.ifindex;
  struct sequence_entry next = {};
  if (!frame || out == 0 || !may_send() || !next_frame(&next)) return XDP_DROP;
  if (next.ifindex) out = next.ifindex;
  generator.sent++;

  __u16 length = (__u16)(generator.size - 14);
  __builtin_memcpy(frame->eth_dst, (const void*)generator.eth_dst, 6);
  __builtin_memcpy(frame->eth_src, (const void*)generator.eth_src, 6);
  frame->eth_src[5] = next.source_mac;
  if (next.from) {
    __u32 from = bpf_htonl(next.from), to = bpf_htonl(next.to);

    __builtin_memcpy(frame->eth_src + 2, &from, 4);
    __builtin_memcpy(frame->eth_dst + 2, &to, 4);
  }
  frame->eth_type = bpf_htons(0x0800);
  frame->version_ihl = 0x45;
  frame->tos = 0;
  frame->length = bpf_htons(length);
  frame->id = bpf_htons(BENCH_IP_ID);
  frame->fragment = bpf_htons(0x4000);
  frame->ttl = 64;
  frame->protocol = next.protocol;
  __builtin_memcpy(frame->source, &next.source, 4);
  __builtin_memcpy(frame->destination, &next.destination, 4);
  /* The sum of 16-bit words is the same in either byte order, but for its own. */
  __u32 sum = bpf_htons(0x4500) + bpf_htons(length) + bpf_htons(BENCH_IP_ID) + bpf_htons(0x4000) +
              bpf_htons((__u16)(0x4000 + next.protocol)) + halves(next.source) + halves(next.destination);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  frame->checksum = (__be16)~sum;
  frame->source_port = next.source_port;
  frame->destination_port = next.destination_port;
  if (next.protocol == 6) {
    frame->tcp_sequence[0] = frame->tcp_sequence[1] = 0;
    frame->tcp_acknowledged[0] = frame->tcp_acknowledged[1] = 0;
    frame->tcp_offset = 0x50;
    frame->tcp_flags = 0x10; /* ACK */
    frame->tcp_window = 0xffff;
    frame->tcp_checksum = frame->tcp_urgent = 0;
  } else {
    frame->udp_length = bpf_htons((__u16)(length - 20));
    frame->udp_checksum = 0;
  }
  return bpf_redirect(out, 0);
}

SEC("xdp") int bench_sink(struct xdp_md* ctx) {
  __u32 ifindex = ctx->ingress_ifindex;
  __u64* count = bpf_map_lookup_elem(&received, &ifindex);
  struct frame* frame = frame_of(ctx);
  if (count && frame && frame->id == bpf_htons(BENCH_IP_ID)) (*count)++;
  return XDP_DROP;
}

/* Baseline A: nothing but the redirect. */
SEC("xdp") int bench_redirect(struct xdp_md* ctx) { return bpf_redirect_map(&out_port, BENCH_TARGET_REDIRECT, 0); }

/* The same between stations: a MAC says by itself at which port it is, so that no table is asked. */
SEC("xdp") int bench_redirect_station(struct xdp_md* ctx) {
  struct frame* frame = frame_of(ctx);
  __be32 to;
  if (!frame) return XDP_DROP;
  __builtin_memcpy(&to, frame->eth_dst + 2, 4);
  return bpf_redirect_map(&station_port, bpf_ntohl(to) % BENCH_STATION_PORTS, 0);
}

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
