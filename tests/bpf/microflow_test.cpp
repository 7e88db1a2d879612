// SPDX-License-Identifier: Apache-2.0
// The exact-match cache: what it keeps, when that is void, and that it answers as the megaflow level does.
// SHUNT_SEED repeats a run, SHUNT_ROUNDS lengthens it.
#include <doctest/doctest.h>
#include <linux/bpf.h>

#include <cstring>

#include "tests/bpf/random_frames.h"
#include "tests/bpf/shared_switch.h"

namespace shunt::test {
namespace {

constexpr std::uint32_t kAllFields = SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3;

PacketBuilder ipv4_packet() { return packet().eth("02:00:00:00:00:0a", "02:00:00:00:00:0b").ipv4("10.0.0.1", "10.0.0.2"); }

shunt_flow_key five_tuple_mask() {
  shunt_flow_key mask = port_mask();
  mask.eth_type = shunt_be16{0xffff};
  mask.nw_proto = mask.nw_frag = 0xff;
  mask.tp_src = mask.tp_dst = shunt_be16{0xffff};
  std::memset(mask.ip_src + 12, 0xff, 4);
  std::memset(mask.ip_dst + 12, 0xff, 4);
  return mask;
}

std::uint64_t exact_hits(Switch& sw) { return sw.datapath.port_stats(DpPort{1}).exact_hits; }

std::uint32_t publish(Switch& sw, const Bytes& frame, const shunt_flow_key& mask, const shunt_action& action,
                      std::uint8_t flags = 0) {
  return sw.publish(sw.whole_key(frame), mask, std::span{&action, 1}, flags);
}

// Some fields whole, some bits of others.
shunt_flow_key random_mask(Random& random) {
  shunt_flow_key mask = port_mask();
  const auto maybe = [&](auto& field, unsigned one_in) {
    if (random() % one_in == 0) std::memset(static_cast<void*>(&field), random() % 2 == 0 ? 0xff : 0x10, sizeof field);
  };
  maybe(mask.eth_dst, 2);
  maybe(mask.eth_src, 2);
  maybe(mask.eth_type, 2);
  maybe(mask.vlan, 2);
  maybe(mask.nw_proto, 3);
  maybe(mask.nw_tos, 4);
  maybe(mask.nw_frag, 4);
  maybe(mask.tp_src, 3);
  maybe(mask.tp_dst, 3);
  maybe(mask.tcp_flags, 5);
  maybe(mask.ip_src, 3);
  maybe(mask.ip_dst, 3);
  maybe(mask.nw_ttl, 20);
  maybe(mask.mpls_lse, 20);
  maybe(mask.arp_sha, 20);
  maybe(mask.ipv6_label, 20);
  maybe(mask.dp_hash, 40);
  return mask;
}

// The frame with a few of the bytes changed that headers are made of.
Bytes changed(const Bytes& frame, Random& random) {
  Bytes other = frame;
  for (auto count = random() % 3 + 1; count != 0; --count)
    other[random() % std::min<std::size_t>(other.size(), 60)] ^= static_cast<std::byte>(1u << random() % 8);
  return other;
}

}  // namespace

TEST_SUITE("exact-match cache") {
  TEST_CASE("a second packet is answered by the cache, and counts as the first did") {
    Switch& sw = shared_switch();
    const auto tagged = [] { return packet().eth("02:00:00:00:00:0a", "02:00:00:00:00:0b").vlan(7); };
    for (const Bytes& frame : {ipv4_packet().udp(1000, 2000).payload(30).build(),
                               ipv4_packet().tcp(1000, 2000).payload(30).build(),
                               tagged().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(30).build()}) {
      sw.reset();
      const auto slot = publish(sw, frame, five_tuple_mask(), output_to(2));
      sw.use_microflows(1, kAllFields);
      for (unsigned i = 0; i < 3; ++i) {
        const Result result = sw.run(frame);
        CHECK(result.verdict == XDP_REDIRECT);
        CHECK(result.frame == frame);
      }
      CHECK(exact_hits(sw) == 2);
      CHECK(sw.datapath.port_stats(DpPort{1}).megaflow_hits == 1);
      CHECK(sw.counted(slot).packets == 3);
      CHECK(sw.counted(slot).bytes == 3 * frame.size());
      CHECK(sw.delta(slot).lost == 0);
    }
  }

  TEST_CASE("an answer holds for its port, and while the port's number is the same") {
    Switch& sw = shared_switch();
    const Bytes frame = ipv4_packet().udp(1000, 2000).payload(30).build();
    const auto slot = publish(sw, frame, five_tuple_mask(), output_to(2));
    sw.use_microflows(1, kAllFields);
    for (unsigned i = 0; i < 3; ++i) CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    REQUIRE(exact_hits(sw) == 2);
    SUBCASE("another port's packets are not its own") {
      sw.datapath.ports[2].microflows = sw.datapath.ports[1].microflows;
      CHECK(sw.run(frame, 2).verdict == XDP_DROP);
    }
    SUBCASE("a frame that is too long for the port is lost, and said to be") {
      sw.datapath.ports[2].mtu = 20;
      CHECK(sw.run(frame).verdict == XDP_DROP);
      CHECK(sw.delta(slot).lost == 1);
      CHECK(exact_hits(sw) == 3);
    }
    SUBCASE("the port's number changes: the megaflow level is asked") {
      sw.use_microflows(1, kAllFields);
      sw.datapath.flows[slot].head.generation = 0;
      CHECK(sw.run(frame).verdict == XDP_DROP);
      CHECK(exact_hits(sw) == 2);
    }
  }

  TEST_CASE("kept is only what the cache can answer") {
    Switch& sw = shared_switch();
    const Bytes frame = ipv4_packet().udp(1000, 2000).payload(30).build();
    shunt_flow_key mask = five_tuple_mask();
    std::uint32_t fields = kAllFields;
    SUBCASE("no young flow") { publish(sw, frame, mask, output_to(2), SHUNT_FLOW_YOUNG); }
    SUBCASE("no drop") { publish(sw, frame, mask, drop_for(SHUNT_DROP_RULE)); }
    SUBCASE("no flow that looks at more than the key holds") {
      fields = SHUNT_PLAIN_L2;
      publish(sw, frame, mask, output_to(2));
    }
    SUBCASE("no flow that looks at the TTL") {
      mask.nw_ttl = 0xff;
      publish(sw, frame, mask, output_to(2));
    }
    sw.use_microflows(1, fields);
    for (unsigned i = 0; i < 3; ++i) (void)sw.run(frame);
    CHECK(exact_hits(sw) == 0);
    CHECK(sw.datapath.port_stats(DpPort{1}).megaflow_hits == 3);
  }

  TEST_CASE("a checksum that a local stack left open is completed, each time") {
    Switch& sw = shared_switch();
    Bytes frame = ipv4_packet().udp(1000, 2000).payload(30).build();
    publish(sw, frame, five_tuple_mask(), output_to(2));
    sw.use_microflows(1, kAllFields);
    sw.datapath.ports[1].flags = SHUNT_PORT_LOCAL_STACK;
    (void)sw.run(frame);
    (void)sw.run(frame);
    CHECK(exact_hits(sw) == 1);
    // 10.0.0.1, 10.0.0.2, protocol 17, 38 bytes
    const unsigned sum = 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 17 + 38;
    Bytes open = frame;
    open[40] = static_cast<std::byte>(sum >> 8);
    open[41] = static_cast<std::byte>(sum & 0xff);
    for (unsigned i = 0; i < 2; ++i) CHECK(sw.run(open).frame == frame);
    CHECK(exact_hits(sw) == 1);
  }

  TEST_CASE("an IPv4 length that ends within the header is no IPv4, whatever has these addresses") {
    Switch& sw = shared_switch();
    Bytes frame = ipv4_packet().proto(0xdd).payload(30).build();
    shunt_flow_key mask = port_mask();
    std::memset(mask.ip_src, 0xff, sizeof mask.ip_src);
    std::memset(mask.ip_dst, 0xff, sizeof mask.ip_dst);
    publish(sw, frame, mask, output_to(2));
    sw.use_microflows(1, SHUNT_PLAIN_IP_SRC | SHUNT_PLAIN_IP_DST | SHUNT_PLAIN_TYPE);
    for (unsigned i = 0; i < 3; ++i) CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    CHECK(exact_hits(sw) == 2);
    frame[17] = static_cast<std::byte>(19);
    CHECK(sw.run(frame).verdict == XDP_DROP);
  }

  TEST_CASE("random frames end as they do without the cache") {
    Switch& sw = shared_switch();
    std::uint64_t answered = 0;
    const auto rounds = for_rounds(3000, [&](Random& random) {
      const Bytes frame = random() % 2 == 0 ? random_frame(random) : ipv4_packet().udp(1000, 2000).payload(30).build();
      const shunt_flow_key mask = random_mask(random);
      sw.reset();
      publish(sw, frame, mask, output_to(2));
      sw.datapath.ports[1].flags = random() % 2 == 0 ? SHUNT_PORT_LOCAL_STACK : 0;
      std::vector<Bytes> frames{frame, frame};
      for (unsigned i = 0; i < 4; ++i) frames.push_back(changed(frame, random));
      frames.push_back(frame);
      std::vector<Result> without;
      for (const Bytes& each : frames) without.push_back(sw.run(each));
      const std::uint32_t flow = sw.datapath.flows[0].head.fields;
      sw.use_microflows(1, random() % 4 == 0 ? random() & kAllFields : flow & kAllFields);
      for (std::size_t i = 0; i < frames.size(); ++i) {
        CAPTURE(i);
        const Result with = sw.run(frames[i]);
        REQUIRE(with.verdict == without[i].verdict);
        REQUIRE(with.frame == without[i].frame);
      }
      answered += exact_hits(sw);
    });
    CHECK(answered > rounds);
  }
}

}  // namespace shunt::test
