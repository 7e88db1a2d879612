// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/datapath/datapath_fixture.h"

using namespace shunt::test;

namespace {

PacketBuilder v4() { return packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2"); }
PacketBuilder v6() { return packet().eth(kA, kB).ipv6("2001:db8::1", "2001:db8::2"); }

// The action makes `before` into `after`, byte for byte (so with `after`'s checksums).
void becomes(const PacketBuilder& before, const shunt_action& action, const PacketBuilder& after) {
  Frame f{before.build()};
  CHECK(f.act(action) == SHUNT_VERDICT_NEXT);
  CHECK(f.bytes() == after.build());
}

void stays(const PacketBuilder& builder, const shunt_action& action) { becomes(builder, action, builder); }

}  // namespace

TEST_SUITE("act: set a field") {
  TEST_CASE("Ethernet addresses") {
    becomes(v4().udp(1, 2), set_field(SHUNT_FIELD_ETH_DST, {2, 0, 0, 0, 0, 1}),
            packet().eth(kA, kA).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2));
    becomes(v4().udp(1, 2), set_field(SHUNT_FIELD_ETH_SRC, {2, 0, 0, 0, 0, 2}),
            packet().eth(kB, kB).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2));
    becomes(v4().udp(1, 2), set_field(SHUNT_FIELD_ETH_SRC, {0xff, 0xff, 0, 0, 0, 9}, {0, 0, 0, 0, 0, 0xff}),
            packet().eth("02:00:00:00:00:09", kB).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2));
  }

  TEST_CASE("EtherType, behind tags and in SNAP; layer 3 is then another's") {
    becomes(packet().eth(kA, kB).vlan(1).eth_type(0x1234).payload(50), set_field(SHUNT_FIELD_ETH_TYPE, {0x56, 0x78}),
            packet().eth(kA, kB).vlan(1).eth_type(0x5678).payload(50));
    becomes(packet().eth(kA, kB).snap().eth_type(0x1234).payload(50), set_field(SHUNT_FIELD_ETH_TYPE, {0x56, 0x78}),
            packet().eth(kA, kB).snap().eth_type(0x5678).payload(50));
    Frame f{v4().udp(1, 2).build()};
    f.act(set_field(SHUNT_FIELD_ETH_TYPE, {0x12, 0x34}));
    const Bytes now = f.bytes();
    f.act(set_field(SHUNT_FIELD_IP_SRC, {1, 2, 3, 4}));
    f.act(set_field(SHUNT_FIELD_TP_SRC, {1, 2}));
    CHECK(f.bytes() == now);
  }

  TEST_CASE("the outer tag's VLAN, priority and TPID; the drop-eligible bit stays") {
    const auto tagged = [](std::uint16_t vid, std::uint16_t tpid, std::uint8_t pcp, bool dei) {
      return packet().eth(kA, kB).vlan(vid, tpid, pcp, dei).vlan(5).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2);
    };
    becomes(tagged(10, 0x8100, 3, false), set_field(SHUNT_FIELD_VLAN_TCI, {0x10, 0x14}, {0x0f, 0xff}),
            tagged(20, 0x8100, 3, false));
    becomes(tagged(10, 0x8100, 3, true), set_field(SHUNT_FIELD_VLAN_TCI, {0xb0, 0x14}), tagged(20, 0x8100, 5, true));
    becomes(tagged(10, 0x8100, 3, false), set_field(SHUNT_FIELD_VLAN_TPID, {0x88, 0xa8}), tagged(10, 0x88a8, 3, false));
    stays(v4().udp(1, 2), set_field(SHUNT_FIELD_VLAN_TCI, {0, 20}));
    stays(v4().udp(1, 2), set_field(SHUNT_FIELD_VLAN_TPID, {0x88, 0xa8}));
  }

  TEST_CASE("IPv4 addresses, with the sums of the header, TCP and UDP") {
    const auto frame = [](const char* src, const char* dst) { return packet().eth(kA, kB).ipv4(src, dst); };
    const shunt_action src = set_field(SHUNT_FIELD_IP_SRC, {192, 0, 2, 1});
    const shunt_action dst = set_field(SHUNT_FIELD_IP_DST, {0, 0, 2, 0}, {0, 0, 0xff, 0});
    becomes(v4().tcp(1, 2).payload(5), src, frame("192.0.2.1", "10.0.0.2").tcp(1, 2).payload(5));
    becomes(v4().udp(1, 2).payload(5), src, frame("192.0.2.1", "10.0.0.2").udp(1, 2).payload(5));
    becomes(v4().tcp(1, 2).payload(5), dst, frame("10.0.0.1", "10.0.2.2").tcp(1, 2).payload(5));
    becomes(v4().ip_options(8).icmp(8, 0).payload(5), src,
            frame("192.0.2.1", "10.0.0.2").ip_options(8).icmp(8, 0).payload(5));
    becomes(v4().igmp(0x11, 0), src, frame("192.0.2.1", "10.0.0.2").igmp(0x11, 0));
    becomes(v4().sctp(1, 2).payload(5), src, frame("192.0.2.1", "10.0.0.2").sctp(1, 2).payload(5));
    becomes(v4().proto(200).payload(50), src, frame("192.0.2.1", "10.0.0.2").proto(200).payload(50));
    stays(v6().udp(1, 2), src);
    stays(packet().eth(kA, kB).arp_request(), src);
  }

  TEST_CASE("a UDP checksum of 0 over IPv4 stays 0") {
    becomes(v4().udp(1, 2).no_checksum(), set_field(SHUNT_FIELD_IP_SRC, {192, 0, 2, 1}),
            packet().eth(kA, kB).ipv4("192.0.2.1", "10.0.0.2").udp(1, 2).no_checksum());
    becomes(v4().udp(1, 2).no_checksum(), set_field(SHUNT_FIELD_TP_SRC, {0, 9}), v4().udp(9, 2).no_checksum());
  }

  TEST_CASE("a UDP checksum that comes out as 0 becomes ffff") {
    // Every source port in turn: one of them makes the sum come out as zero.
    unsigned seen = 0;
    for (unsigned port = 0; port < 0x10000; ++port) {
      Frame f{v4().udp(1, 2).payload(4).build()};
      f.act(set_field(SHUNT_FIELD_TP_SRC, {static_cast<__u8>(port >> 8), static_cast<__u8>(port)}));
      const __u16 checksum = shunt_load16(f.frame()->data + 40);
      REQUIRE(checksum != 0);
      if (checksum != 0xffff) continue;
      ++seen;
      CHECK(check_checksums(f.bytes()).l4 == true);
    }
    CHECK(seen == 1);
  }

  TEST_CASE("a checksum that came wrong leaves wrong") {
    for (auto field : {SHUNT_FIELD_IP_SRC, SHUNT_FIELD_TP_SRC}) {
      for (PacketBuilder builder :
           {v4().tcp(1, 2).bad_checksum(), v4().udp(1, 2).bad_checksum(), v4().sctp(1, 2).payload(9).bad_checksum()}) {
        Frame f{builder.build()};
        CHECK(f.act(set_field(field, {3, 4, 5, 6})) == SHUNT_VERDICT_NEXT);
        CHECK(check_checksums(f.bytes()).l4 == false);
      }
    }
  }

  TEST_CASE("of a fragmented datagram the first fragment's L4 sum follows an address, later fragments' bytes stay") {
    const auto first = [](const char* src) {
      return packet().eth(kA, kB).ipv4(src, "10.0.0.2").fragment(0, true).tcp(1, 2).payload(64);
    };
    const auto later = [](const char* src) {
      return packet().eth(kA, kB).ipv4(src, "10.0.0.2").fragment(8, false).proto(6).payload(64);
    };
    const shunt_action src = set_field(SHUNT_FIELD_IP_SRC, {192, 0, 2, 1});
    becomes(first("10.0.0.1"), src, first("192.0.2.1"));
    becomes(later("10.0.0.1"), src, later("192.0.2.1"));
    stays(later("10.0.0.1"), set_field(SHUNT_FIELD_TP_SRC, {9, 9}));
    becomes(v4().fragment(0, true).udp(1, 2).payload(64), set_field(SHUNT_FIELD_TP_SRC, {0, 9}),
            v4().fragment(0, true).udp(9, 2).payload(64));
    becomes(v6().fragment(0, true).udp(1, 2).payload(64), set_field(SHUNT_FIELD_IPV6_SRC3, {0, 0, 0, 9}),
            packet().eth(kA, kB).ipv6("2001:db8::9", "2001:db8::2").fragment(0, true).udp(1, 2).payload(64));
    stays(v6().fragment(8, true).proto(17).payload(64), set_field(SHUNT_FIELD_TP_DST, {9, 9}));
  }

  TEST_CASE("IPv6 addresses, piece by piece, with the sums of TCP, UDP and ICMPv6") {
    const auto frame = [](const char* src, const char* dst) { return packet().eth(kA, kB).ipv6(src, dst); };
    struct Case {
      shunt_field field;
      const char *src, *dst;
    };
    const Case cases[] = {{SHUNT_FIELD_IPV6_SRC0, "fe80:1::1", "2001:db8::2"},
                          {SHUNT_FIELD_IPV6_SRC1, "2001:db8:fe80:1::1", "2001:db8::2"},
                          {SHUNT_FIELD_IPV6_SRC2, "2001:db8::fe80:1:0:1", "2001:db8::2"},
                          {SHUNT_FIELD_IPV6_SRC3, "2001:db8::fe80:1", "2001:db8::2"},
                          {SHUNT_FIELD_IPV6_DST0, "2001:db8::1", "fe80:1::2"},
                          {SHUNT_FIELD_IPV6_DST1, "2001:db8::1", "2001:db8:fe80:1::2"},
                          {SHUNT_FIELD_IPV6_DST2, "2001:db8::1", "2001:db8::fe80:1:0:2"},
                          {SHUNT_FIELD_IPV6_DST3, "2001:db8::1", "2001:db8::fe80:1"}};
    for (const Case& c : cases) {
      const shunt_action action = set_field(c.field, {0xfe, 0x80, 0, 1});
      becomes(v6().tcp(1, 2).payload(7), action, frame(c.src, c.dst).tcp(1, 2).payload(7));
      becomes(v6().udp(1, 2).payload(7), action, frame(c.src, c.dst).udp(1, 2).payload(7));
      becomes(v6().icmp6(128, 0).payload(7), action, frame(c.src, c.dst).icmp6(128, 0).payload(7));
      becomes(v6().sctp(1, 2).payload(7), action, frame(c.src, c.dst).sctp(1, 2).payload(7));
      becomes(v6().hop_by_hop().tcp(1, 2), action, frame(c.src, c.dst).hop_by_hop().tcp(1, 2));
      stays(v4().tcp(1, 2), action);
    }
  }

  TEST_CASE("behind a routing header with segments left, the L4 sum does not follow the destination") {
    const auto frame = [](const char* src, const char* dst) {
      return packet().eth(kA, kB).ipv6(src, dst).routing({"2001:db8::9"}, 1).tcp(1, 2).payload(3);
    };
    becomes(frame("2001:db8::1", "2001:db8::2"), set_field(SHUNT_FIELD_IPV6_DST3, {0, 0, 0, 5}),
            frame("2001:db8::1", "2001:db8::5"));
    becomes(frame("2001:db8::1", "2001:db8::2"), set_field(SHUNT_FIELD_IPV6_SRC3, {0, 0, 0, 5}),
            frame("2001:db8::5", "2001:db8::2"));
  }

  TEST_CASE("flow label, ToS and TTL of both versions") {
    becomes(v6().tos(0xff).label(0xfffff).udp(1, 2), set_field(SHUNT_FIELD_IPV6_LABEL, {0xff, 0xf1, 0x23, 0x45}),
            v6().tos(0xff).label(0x12345).udp(1, 2));
    becomes(v6().tos(0xab).label(0xfffff).udp(1, 2), set_field(SHUNT_FIELD_IP_TOS, {0x40}, {0xfc}),
            v6().tos(0x43).label(0xfffff).udp(1, 2));
    becomes(v6().ttl(64).udp(1, 2), set_field(SHUNT_FIELD_IP_TTL, {9}), v6().ttl(9).udp(1, 2));
    becomes(v4().tos(0xab).udp(1, 2), set_field(SHUNT_FIELD_IP_TOS, {0x40}, {0xfc}), v4().tos(0x43).udp(1, 2));
    becomes(v4().ttl(64).udp(1, 2), set_field(SHUNT_FIELD_IP_TTL, {9}), v4().ttl(9).udp(1, 2));
    stays(packet().eth(kA, kB).arp_request(), set_field(SHUNT_FIELD_IP_TTL, {9}));
  }

  TEST_CASE("ports of TCP, UDP and SCTP, whole and under a mask") {
    const shunt_action src = set_field(SHUNT_FIELD_TP_SRC, {0x12, 0x34});
    const shunt_action dst = set_field(SHUNT_FIELD_TP_DST, {0xff, 0x01}, {0x00, 0xff});
    becomes(v4().tcp(1, 2).payload(5), src, v4().tcp(0x1234, 2).payload(5));
    becomes(v4().tcp(1, 0x0202), dst, v4().tcp(1, 0x0201));
    becomes(v6().udp(1, 2).payload(5), src, v6().udp(0x1234, 2).payload(5));
    becomes(v6().udp(1, 0x0202), dst, v6().udp(1, 0x0201));
    for (std::size_t size : {0u, 1u, 4u, 100u, 1400u, 8900u}) {
      becomes(v4().sctp(1, 2).payload(size), src, v4().sctp(0x1234, 2).payload(size));
      becomes(v6().sctp(1, 0x0202).payload(size), dst, v6().sctp(1, 0x0201).payload(size));
    }
    becomes(v4().sctp(1, 2).payload(3).pad(60), src, v4().sctp(0x1234, 2).payload(3).pad(60));
    stays(v4().icmp(8, 0), src);
    stays(v4().proto(200).payload(40), src);
  }

  TEST_CASE("SCTP ports of a first fragment cannot be written: its CRC covers what is not here") {
    const Bytes before = v4().fragment(0, true).sctp(1, 2).payload(64).build();
    Frame f{before};
    CHECK(f.act(set_field(SHUNT_FIELD_TP_SRC, {9, 9})) == SHUNT_VERDICT_CANNOT);
    CHECK(f.bytes() == before);
  }

  TEST_CASE("ICMP and ICMPv6 type and code, and neither of IGMP") {
    becomes(v4().icmp(8, 0).payload(5), set_field(SHUNT_FIELD_ICMP_TYPE, {3}), v4().icmp(3, 0).payload(5));
    becomes(v4().icmp(8, 0).payload(5), set_field(SHUNT_FIELD_ICMP_CODE, {3}), v4().icmp(8, 3).payload(5));
    becomes(v6().icmp6(128, 0).payload(5), set_field(SHUNT_FIELD_ICMP_TYPE, {3}), v6().icmp6(3, 0).payload(5));
    becomes(v6().icmp6(128, 0).payload(5), set_field(SHUNT_FIELD_ICMP_CODE, {3}), v6().icmp6(128, 3).payload(5));
    stays(v4().igmp(0x11, 0), set_field(SHUNT_FIELD_ICMP_TYPE, {3}));
    stays(v4().udp(1, 2), set_field(SHUNT_FIELD_ICMP_TYPE, {3}));
  }

  TEST_CASE("an ICMP message that becomes zeros all over has the checksum ffff") {
    Bytes bytes = v4().icmp(8, 0).build();
    for (std::size_t at = 36; at < bytes.size(); ++at) bytes[at] = std::byte{0};
    bytes[36] = std::byte{0xf7};
    bytes[37] = std::byte{0xff};
    REQUIRE(check_checksums(bytes).l4 == true);
    Frame f{bytes};
    f.act(set_field(SHUNT_FIELD_ICMP_TYPE, {0}));
    CHECK(check_checksums(f.bytes()).l4 == true);
  }

  TEST_CASE("ARP's opcode and addresses") {
    const auto arp = [] { return packet().eth(kA, kB); };
    const PacketBuilder before = arp().arp(1, kA, "10.0.0.1", kB, "10.0.0.2");
    becomes(before, set_field(SHUNT_FIELD_ARP_OP, {0, 2}), arp().arp(2, kA, "10.0.0.1", kB, "10.0.0.2"));
    becomes(before, set_field(SHUNT_FIELD_ARP_SPA, {10, 0, 0, 9}), arp().arp(1, kA, "10.0.0.9", kB, "10.0.0.2"));
    becomes(before, set_field(SHUNT_FIELD_ARP_TPA, {10, 0, 0, 9}), arp().arp(1, kA, "10.0.0.1", kB, "10.0.0.9"));
    becomes(before, set_field(SHUNT_FIELD_ARP_SHA, {2, 0, 0, 0, 0, 2}), arp().arp(1, kB, "10.0.0.1", kB, "10.0.0.2"));
    becomes(before, set_field(SHUNT_FIELD_ARP_THA, {2, 0, 0, 0, 0, 1}), arp().arp(1, kA, "10.0.0.1", kA, "10.0.0.2"));
    stays(v4().udp(1, 2), set_field(SHUNT_FIELD_ARP_OP, {0, 2}));
  }

  TEST_CASE("ND's target and link-layer options, where they are there") {
    const auto nd = [](const char* target, Mac sll) {
      return packet().eth(kA, kB).ipv6("fe80::1", "ff02::1").nd_solicit(target).nd_option(14, 1, 8).nd_option(1, sll);
    };
    becomes(nd("fe80::2", kA), set_field(SHUNT_FIELD_ND_TARGET0, {0x20, 1, 0xd, 0xb8}), nd("2001:db8::2", kA));
    becomes(nd("fe80::2", kA), set_field(SHUNT_FIELD_ND_TARGET1, {0, 1, 0, 0}), nd("fe80:0:1::2", kA));
    becomes(nd("fe80::2", kA), set_field(SHUNT_FIELD_ND_TARGET2, {0, 1, 0, 0}), nd("fe80::1:0:0:2", kA));
    becomes(nd("fe80::2", kA), set_field(SHUNT_FIELD_ND_TARGET3, {0, 0, 0, 9}), nd("fe80::9", kA));
    becomes(nd("fe80::2", kA), set_field(SHUNT_FIELD_ND_SLL, {2, 0, 0, 0, 0, 2}), nd("fe80::2", kB));
    stays(nd("fe80::2", kA), set_field(SHUNT_FIELD_ND_TLL, {2, 0, 0, 0, 0, 2}));
    const auto advert = [](Mac tll) {
      return packet().eth(kA, kB).ipv6("fe80::1", "ff02::1").nd_advert("fe80::1").nd_option(2, tll);
    };
    becomes(advert(kA), set_field(SHUNT_FIELD_ND_TLL, {2, 0, 0, 0, 0, 2}), advert(kB));
    stays(v6().icmp6(128, 0).payload(40), set_field(SHUNT_FIELD_ND_TARGET0, {1, 2, 3, 4}));
  }

  TEST_CASE("a solicitation that is made another type has no ND fields any more") {
    Frame f{v6().nd_solicit("fe80::2").nd_option(1, kA).build()};
    f.act(set_field(SHUNT_FIELD_ICMP_TYPE, {128}));
    const Bytes now = f.bytes();
    f.act(set_field(SHUNT_FIELD_ND_TARGET0, {1, 2, 3, 4}));
    f.act(set_field(SHUNT_FIELD_ND_SLL, {1, 2, 3, 4, 5, 6}));
    CHECK(f.bytes() == now);
    CHECK(check_checksums(now).l4 == true);
  }

  TEST_CASE("the top MPLS entry") {
    becomes(packet().eth(kA, kB).mpls(16, 0, 64).payload(50),
            set_field(SHUNT_FIELD_MPLS_LSE, {0, 0x01, 0x10, 0}, {0xff, 0xff, 0xf0, 0}),
            packet().eth(kA, kB).mpls(17, 0, 64).payload(50));
    // Its bottom-of-stack bit.
    Bytes open = packet().eth(kA, kB).mpls(16, 0, 64).payload(50).build();
    Frame f{open};
    f.act(set_field(SHUNT_FIELD_MPLS_LSE, {0, 0, 0, 0}, {0, 0, 1, 0}));
    open[16] &= std::byte{0xfe};
    CHECK(f.bytes() == open);
    stays(v4().udp(1, 2), set_field(SHUNT_FIELD_MPLS_LSE, {1, 2, 3, 4}));
  }

  TEST_CASE("a field number that is none changes nothing") {
    for (unsigned field = SHUNT_FIELD_COUNT; field < 256; ++field) {
      if ((field & 63) != 0 && (field & 63) < SHUNT_FIELD_COUNT) continue;
      stays(v4().udp(1, 2), set_field(static_cast<shunt_field>(field), {1, 2, 3, 4, 5, 6}));
    }
  }
}
