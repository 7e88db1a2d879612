// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/datapath/datapath_fixture.h"

using namespace shunt::test;

namespace {

PacketBuilder v4() { return packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2"); }
PacketBuilder v6() { return packet().eth(kA, kB).ipv6("2001:db8::1", "2001:db8::2"); }

// Cuts the IPv4 payload to `size` bytes, in the frame and in the total length.
Frame with_l4_size(PacketBuilder builder, std::size_t size) {
  return Frame{builder.length(static_cast<__u16>(20 + size)).truncate(34 + size).build()};
}

}  // namespace

TEST_SUITE("parse: TCP, UDP, SCTP, ICMP, IGMP, ND") {
  TEST_CASE("TCP's ports and 12 flag bits are in the key") {
    Frame f{v4().tcp(1000, 2000).flags(0xf12).build()};
    CHECK(f.key.tp_src.host() == 1000);
    CHECK(f.key.tp_dst.host() == 2000);
    CHECK(f.key.tcp_flags.host() == 0xf12);
    CHECK(f.headers.proto == 6);
    CHECK(f.headers.l4 == 34);
  }

  TEST_CASE("an L4 header that is cut short leaves the protocol, and no ports") {
    struct Case {
      PacketBuilder builder;
      std::size_t need;
      __u8 proto;
    };
    const Case cases[] = {{v4().tcp(1, 2), 20, 6},
                          {v4().udp(1, 2), 8, 17},
                          {v4().sctp(1, 2), 12, 132},
                          {v4().icmp(8, 1), 8, 1},
                          {v4().igmp(0x11, 1), 8, 2}};
    for (const Case& c : cases)
      for (std::size_t size = 0; size <= c.need; ++size) {
        Frame f = with_l4_size(c.builder, size);
        const bool whole = size == c.need;
        CHECK(f.key.nw_proto == c.proto);
        CHECK((f.key.tp_src.host() != 0) == whole);
        CHECK((f.key.tp_dst.host() != 0) == whole);
        CHECK((f.headers.l4 != 0) == whole);
      }
  }

  TEST_CASE("SCTP's ports are in the key") {
    Frame f{v6().sctp(5, 6).payload(16).build()};
    CHECK(f.key.nw_proto == 132);
    CHECK(f.key.tp_src.host() == 5);
    CHECK(f.key.tp_dst.host() == 6);
  }

  TEST_CASE("ICMP, IGMP and ICMPv6 keep type and code as ports") {
    Frame icmp{v4().icmp(3, 4).build()};
    CHECK(icmp.key.tp_src.host() == 3);
    CHECK(icmp.key.tp_dst.host() == 4);
    Frame igmp{v4().igmp(0x22, 1).build()};
    CHECK(igmp.key.tp_src.host() == 0x22);
    CHECK(igmp.key.tp_dst.host() == 1);
    Frame icmp6{v6().icmp6(128, 1).build()};
    CHECK(icmp6.key.tp_src.host() == 128);
    CHECK(icmp6.key.tp_dst.host() == 1);
  }

  TEST_CASE("ICMP in IPv6 and ICMPv6 in IPv4 are protocols like any other") {
    CHECK(Frame{v6().proto(1).icmp(3, 4).build()}.key.tp_src.host() == 0);
    CHECK(Frame{v4().proto(58).icmp6(135, 0).payload(40).build()}.key.tp_src.host() == 0);
  }

  TEST_CASE("a neighbour solicitation's target and source address are in the key") {
    Frame f{v6().nd_solicit("fe80::2").nd_option(1, kA).build()};
    CHECK(hex(f.key.nd_target) == "fe800000000000000000000000000002");
    CHECK(hex(f.key.arp_sha) == "020000000001");
    CHECK(hex(f.key.arp_tha) == "000000000000");
    CHECK(f.headers.nd_sll == 14 + 40 + 8 + 16 + 2);
    CHECK(f.headers.nd_tll == 0);
    CHECK((f.headers.flags & SHUNT_HEADERS_ND) != 0);
  }

  TEST_CASE("a neighbour advertisement's target address is in the key, behind other options") {
    Frame f{v6().nd_advert("fe80::2").nd_option(5, 2, 16).nd_option(14, 1, 8).nd_option(2, kB).build()};
    CHECK(f.key.tp_src.host() == 136);
    CHECK(hex(f.key.arp_tha) == "020000000002");
    CHECK(f.headers.nd_tll == 14 + 40 + 24 + 16 + 8 + 2);
  }

  TEST_CASE("ND with the same option twice counts as without target and options") {
    for (__u8 option : {__u8{1}, __u8{2}}) {
      Frame f{v6().nd_solicit("fe80::2").nd_option(option, kA).nd_option(option, kB).build()};
      CHECK(f.key.tp_src.host() == 135);
      CHECK(hex(f.key.nd_target) == std::string(32, '0'));
      CHECK(hex(f.key.arp_sha) == "000000000000");
      CHECK(hex(f.key.arp_tha) == "000000000000");
      CHECK(f.headers.nd_sll == 0);
      CHECK(f.headers.nd_tll == 0);
      CHECK((f.headers.flags & SHUNT_HEADERS_ND) == 0);
    }
  }

  TEST_CASE("an ND option of length zero, or longer than the packet, ends the options") {
    Frame zero{v6().nd_solicit("fe80::2").nd_option(14, 0, 8).nd_option(1, kA).build()};
    CHECK(hex(zero.key.nd_target) == "fe800000000000000000000000000002");
    CHECK(hex(zero.key.arp_sha) == "000000000000");
    Frame beyond{v6().nd_solicit("fe80::2").nd_option(1, kA).nd_option(2, 2, 8).build()};
    CHECK(hex(beyond.key.arp_sha) == "020000000001");
    CHECK(hex(beyond.key.arp_tha) == "000000000000");
  }

  TEST_CASE("a link-layer option of another size than 8 bytes is not taken") {
    CHECK(hex(Frame{v6().nd_solicit("fe80::2").nd_option(1, 2, 16).build()}.key.arp_sha) == "000000000000");
  }

  TEST_CASE("ND options are looked at up to a bound") {
    PacketBuilder builder = v6().nd_solicit("fe80::2");
    for (int i = 0; i + 1 < SHUNT_MAX_ND_OPTIONS; ++i) builder.nd_option(14, 1, 8);
    PacketBuilder more = builder;
    CHECK(hex(Frame{builder.nd_option(1, kA).build()}.key.arp_sha) == "020000000001");
    CHECK(hex(Frame{more.nd_option(14, 1, 8).nd_option(1, kA).build()}.key.arp_sha) == "000000000000");
  }

  TEST_CASE("ICMPv6 135 with a code, or without its target, is no ND") {
    CHECK(hex(Frame{v6().icmp6(135, 1).payload(24).build()}.key.nd_target) == std::string(32, '0'));
    Frame cut{v6().icmp6(135, 0).payload(15).build()};
    CHECK(cut.key.tp_src.host() == 135);
    CHECK(hex(cut.key.nd_target) == std::string(32, '0'));
    CHECK((cut.headers.flags & SHUNT_HEADERS_ND) == 0);
  }
}
