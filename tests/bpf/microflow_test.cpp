// SPDX-License-Identifier: Apache-2.0
// The exact-match cache: what it keeps, when that is void, and that it answers as the megaflow level does.
// SHUNT_SEED repeats a run, SHUNT_ROUNDS lengthens it.
#include <doctest/doctest.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/bpf/random_frames.h"
#include "tests/bpf/shared_switch.h"

namespace shunt::test {
namespace {

constexpr std::uint32_t kAllFields = SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3;

PacketBuilder eth_packet() { return packet().eth("02:00:00:00:00:0a", "02:00:00:00:00:0b"); }
PacketBuilder ipv6_packet(PacketBuilder under = eth_packet()) { return under.ipv6("fd00::1", "fd00::2"); }
PacketBuilder ipv4_packet() { return eth_packet().ipv4("10.0.0.1", "10.0.0.2"); }

// Plain ones of each kind, tags and all.
std::vector<Bytes> plain_frames() {
  const auto tagged = [] { return eth_packet().vlan(7); };
  const auto twice = [] { return eth_packet().vlan(7, 0x88a8).vlan(9); };
  return {ipv4_packet().udp(1000, 2000).payload(30).build(),
          ipv4_packet().tcp(1000, 2000).payload(30).build(),
          tagged().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(30).build(),
          eth_packet().vlan(7, 0x88a8).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(30).build(),
          twice().ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2).payload(30).build(),
          ipv6_packet().udp(1000, 2000).payload(30).build(),
          ipv6_packet().udp(1000, 2000).build(),
          ipv6_packet().label(0xabcde).tos(0xb8).tcp(1000, 2000).build(),
          ipv6_packet(tagged()).tcp(1, 2).payload(30).build(),
          ipv6_packet(twice()).tcp(1, 2).payload(30).build(),
          ipv6_packet(twice()).udp(1, 2).payload(30).build()};
}

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
    other[random() % std::min<std::size_t>(other.size(), 82)] ^= static_cast<std::byte>(1u << random() % 8);
  return other;
}

}  // namespace

TEST_SUITE("exact-match cache") {
  TEST_CASE("a second packet is answered by the cache, and counts as the first did") {
    Switch& sw = shared_switch();
    for (const Bytes& frame : plain_frames()) {
      CAPTURE(frame.size());
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

  TEST_CASE("the list of a flow is run without the parser, and ends as by the megaflow level") {
    Switch& sw = shared_switch();
    const std::uint8_t mac[]{2, 0, 0, 0, 0, 9}, ip[]{10, 9, 8, 7}, port[]{0, 7};
    const std::vector<std::vector<shunt_action>> lists{
        {set_field(SHUNT_FIELD_ETH_SRC, mac), simple_action(SHUNT_ACT_DEC_TTL), output_to(2)},
        {set_field(SHUNT_FIELD_IP_SRC, ip), set_field(SHUNT_FIELD_IPV6_DST3, ip), set_field(SHUNT_FIELD_TP_DST, port),
         push_vlan(0x8100, 7), output_to(2)},
        {simple_action(SHUNT_ACT_POP_VLAN), output_to(3)},
        {push_mpls(0x8847, 0x00064140), output_to(2)},
        {drop_for(SHUNT_DROP_RULE)},
    };
    for (const Bytes& frame : plain_frames()) {
      for (const auto& list : lists) {
        CAPTURE(frame.size());
        sw.reset();
        const auto slot = sw.publish(sw.whole_key(frame), five_tuple_mask(), list, SHUNT_FLOW_LIST);
        const Result expected = sw.run(frame);
        sw.use_microflows(1, kAllFields);
        for (unsigned i = 0; i < 3; ++i) {
          const Result result = sw.run(frame);
          CHECK(result.verdict == expected.verdict);
          CHECK(result.frame == expected.frame);
        }
        CHECK(exact_hits(sw) == 2);
        CHECK(sw.counted(slot).packets == 4);
        CHECK(sw.datapath.port_stats(DpPort{1}).drops[SHUNT_DROP_RULE] == (list.size() == 1 ? 4 : 0));
      }
    }
  }

  TEST_CASE("a packet that the list cannot be run on is the other levels', and so is one with other headers") {
    Switch& sw = shared_switch();
    const auto with_ttl = [](std::uint8_t ttl) { return ipv4_packet().ttl(ttl).udp(1000, 2000).payload(30).build(); };
    shunt_flow_key mask = port_mask();
    mask.eth_type = shunt_be16{0xffff};
    const shunt_action list[]{simple_action(SHUNT_ACT_DEC_TTL), output_to(2)};
    const auto slot = sw.publish(sw.whole_key(with_ttl(9)), mask, list, SHUNT_FLOW_LIST | SHUNT_FLOW_EDITS);
    sw.use_microflows(1, SHUNT_PLAIN_TYPE);
    for (unsigned i = 0; i < 2; ++i) CHECK(sw.run(with_ttl(9)).verdict == XDP_REDIRECT);
    REQUIRE(exact_hits(sw) == 1);
    CHECK(sw.run(with_ttl(1)).verdict == XDP_DROP);  // up, where nobody listens
    CHECK(sw.datapath.port_stats(DpPort{1}).drops[SHUNT_DROP_UPCALL_NO_SOCKET] == 1);
    const Bytes options = ipv4_packet().ip_options(8).udp(1000, 2000).payload(30).build();
    const Bytes fragment = ipv4_packet().fragment(8, true).udp(1000, 2000).payload(30).build();
    for (const Bytes& other : {options, fragment, ipv4_packet().icmp(8, 0).payload(30).build()}) {
      const Result result = sw.run(other);
      CHECK(result.verdict == XDP_REDIRECT);
      CHECK(result.frame != other);  // the TTL
    }
    CHECK(exact_hits(sw) == 1);
    CHECK(sw.datapath.port_stats(DpPort{1}).megaflow_hits == 5);
    CHECK(sw.counted(slot).packets == 5);
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
    SUBCASE("no list that may not be the same for each packet") { publish(sw, frame, mask, drop_for(SHUNT_DROP_RULE)); }
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

  TEST_CASE("packets that differ in a bit of a header are told apart where flows look at it") {
    Switch& sw = shared_switch();
    for (const Bytes& frame : plain_frames()) {
      CAPTURE(frame.size());
      sw.reset();
      shunt_flow_key mask = exact_mask();
      mask.nw_ttl = 0;
      mask.dp_hash = 0;
      mask.zero2 = shunt_be16{};
      std::memset(mask.zero11, 0, sizeof mask.zero11);
      publish(sw, frame, mask, output_to(2));
      sw.use_microflows(1, kAllFields);
      (void)sw.run(frame);
      REQUIRE(sw.run(frame).verdict == XDP_REDIRECT);
      REQUIRE(exact_hits(sw) == 1);
      for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
        CAPTURE(bit / 8);
        Bytes other = frame;
        other[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
        const std::uint64_t valid = std::exchange(sw.datapath.ports[1].microflows, 0);
        const auto without = sw.run(other).verdict;
        sw.datapath.ports[1].microflows = valid;
        CHECK(sw.run(other).verdict == without);
      }
    }
  }

  TEST_CASE("tags are told apart by their types, each of two") {
    Switch& sw = shared_switch();
    const auto single = [](std::uint16_t tpid) { return eth_packet().vlan(7, tpid); };
    const auto twice = [&](std::uint16_t outer, std::uint16_t inner) { return single(outer).vlan(9, inner); };
    const std::vector<PacketBuilder> stacks{eth_packet(),          single(0x8100),        single(0x88a8),
                                            twice(0x8100, 0x8100), twice(0x8100, 0x88a8), twice(0x88a8, 0x8100),
                                            twice(0x88a8, 0x88a8)};
    for (const bool ipv6 : {false, true}) {
      const auto build = [&](PacketBuilder under) {
        return (ipv6 ? ipv6_packet(under) : under.ipv4("10.0.0.1", "10.0.0.2")).udp(1, 2).payload(30).build();
      };
      for (std::size_t mine = 0; mine < stacks.size(); ++mine) {
        CAPTURE(mine);
        sw.reset();
        shunt_flow_key mask = five_tuple_mask();
        std::memset(mask.vlan, 0xff, sizeof mask.vlan);
        publish(sw, build(stacks[mine]), mask, output_to(2));
        sw.use_microflows(1, kAllFields);
        for (unsigned i = 0; i < 2; ++i)
          for (std::size_t other = 0; other < stacks.size(); ++other)
            CHECK(sw.run(build(stacks[other])).verdict == (other == mine ? XDP_REDIRECT : XDP_DROP));
        CHECK(exact_hits(sw) == 1);
      }
    }
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

  TEST_CASE("the same over IPv6, behind tags or none") {
    Switch& sw = shared_switch();
    for (unsigned tags = 0; tags < 3; ++tags)
      for (const bool tcp : {false, true})
        for (const std::uint32_t fields : {std::uint32_t{SHUNT_PLAIN_L2}, kAllFields}) {
          CAPTURE(tags);
          CAPTURE(tcp);
          const auto build = [&](bool open) {
            PacketBuilder builder = eth_packet();
            for (unsigned tag = 0; tag < tags; ++tag) builder.vlan(7);
            builder = ipv6_packet(builder);
            tcp ? builder.tcp(1000, 2000) : builder.udp(1000, 2000);
            if (open) builder.partial_checksum();
            return builder.payload(30).build();
          };
          sw.reset();
          const Bytes frame = build(false), open = build(true);
          REQUIRE(frame != open);
          publish(sw, frame, port_mask(), output_to(2));
          sw.use_microflows(1, fields);
          sw.datapath.ports[1].flags = SHUNT_PORT_LOCAL_STACK;
          for (unsigned i = 0; i < 2; ++i) CHECK(sw.run(frame).frame == frame);
          CHECK(exact_hits(sw) == 1);
          for (unsigned i = 0; i < 2; ++i) CHECK(sw.run(open).frame == frame);
          CHECK(exact_hits(sw) == 1);
        }
  }

  TEST_CASE("SCTP's, which is left at zero, goes up to be completed, whatever is kept of others") {
    Switch& sw = shared_switch();
    for (const bool ipv6 : {false, true}) {
      const auto under = [&] { return ipv6 ? ipv6_packet() : ipv4_packet(); };
      sw.reset();
      publish(sw, under().sctp(1, 2).payload(30).build(), port_mask(), output_to(2));
      sw.use_microflows(1, SHUNT_PLAIN_L2);
      sw.datapath.ports[1].flags = SHUNT_PORT_LOCAL_STACK;
      for (unsigned i = 0; i < 2; ++i)
        CHECK(sw.run(under().udp(1, 2).payload(30).build()).verdict == XDP_REDIRECT);
      CHECK(exact_hits(sw) == 1);
      for (unsigned i = 0; i < 2; ++i) {
        CHECK(sw.run(under().sctp(1, 2).payload(30).build()).verdict == XDP_REDIRECT);
        CHECK(sw.run(under().sctp(1, 2).partial_checksum().payload(30).build()).verdict == XDP_DROP);
      }
    }
  }

  TEST_CASE("IPv6 with extension headers, fragments and neighbours' discovery are left to the parser") {
    Switch& sw = shared_switch();
    for (const Bytes& frame : {ipv6_packet().hop_by_hop().udp(1, 2).payload(30).build(),
                               ipv6_packet().dst_options().udp(1, 2).payload(30).build(),
                               ipv6_packet().routing({"fd00::7"}, 1).udp(1, 2).payload(30).build(),
                               ipv6_packet().authentication().udp(1, 2).payload(30).build(),
                               ipv6_packet().fragment(0, true).udp(1, 2).payload(64).build(),
                               ipv6_packet().fragment(8, false).udp(1, 2).payload(64).build(),
                               ipv6_packet().sctp(1, 2).payload(30).build(),
                               ipv6_packet().nd_solicit("fd00::5").nd_option(1, "02:00:00:00:00:0a").build()}) {
      sw.reset();
      publish(sw, frame, five_tuple_mask(), output_to(2));
      sw.use_microflows(1, kAllFields);
      for (unsigned i = 0; i < 3; ++i) CHECK(sw.run(frame).verdict == XDP_REDIRECT);
      CHECK(exact_hits(sw) == 0);
      // Flows that look at L2 only do not mind.
      sw.reset();
      publish(sw, frame, port_mask(), output_to(2));
      sw.use_microflows(1, SHUNT_PLAIN_L2);
      for (unsigned i = 0; i < 3; ++i) CHECK(sw.run(frame).verdict == XDP_REDIRECT);
      CHECK(exact_hits(sw) == 2);
    }
  }

  TEST_CASE("a solicitation is told from what has no target, where flows look at that") {
    Switch& sw = shared_switch();
    const Bytes echo = ipv6_packet().icmp6(128, 0).payload(30).build();
    const Bytes solicit = ipv6_packet().nd_solicit("fd00::5").build();
    shunt_flow_key mask = port_mask();
    std::memset(mask.nd_target, 0xff, sizeof mask.nd_target);
    publish(sw, echo, mask, output_to(2));
    sw.use_microflows(1, SHUNT_PLAIN_TYPE | SHUNT_PLAIN_PROTO);
    for (unsigned i = 0; i < 3; ++i) CHECK(sw.run(echo).verdict == XDP_REDIRECT);
    CHECK(sw.run(solicit).verdict == XDP_DROP);
    // What is no ICMPv6 has no target: that is kept.
    const Bytes udp = ipv6_packet().udp(1, 2).payload(30).build();
    const auto before = exact_hits(sw);
    for (unsigned i = 0; i < 3; ++i) CHECK(sw.run(udp).verdict == XDP_REDIRECT);
    CHECK(exact_hits(sw) == before + 2);
    CHECK(sw.run(solicit).verdict == XDP_DROP);
  }

  TEST_CASE("an IPv6 length that ends within the L4 header leaves no ports, one beyond the frame no IPv6") {
    Switch& sw = shared_switch();
    for (const bool tcp : {false, true}) {
      const std::size_t header = tcp ? 20 : 8;
      Bytes frame = (tcp ? ipv6_packet().tcp(1000, 2000) : ipv6_packet().udp(1000, 2000)).payload(30).build();
      sw.reset();
      publish(sw, frame, five_tuple_mask(), output_to(2));
      sw.use_microflows(1, kAllFields);
      for (const std::size_t length : {header + 30, header, header + 29, std::size_t{0}, header - 1, header + 31}) {
        CAPTURE(length);
        frame[18] = static_cast<std::byte>(0);
        frame[19] = static_cast<std::byte>(length);
        const bool whole = length >= header && length <= header + 30;
        for (unsigned i = 0; i < 2; ++i) CHECK(sw.run(frame).verdict == (whole ? XDP_REDIRECT : XDP_DROP));
      }
      CHECK(exact_hits(sw) == 5);
    }
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
      static const std::vector<Bytes> plain = plain_frames();
      const Bytes frame = random() % 2 == 0 ? random_frame(random) : plain[random() % plain.size()];
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
