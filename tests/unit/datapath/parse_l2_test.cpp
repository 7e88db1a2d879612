// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/datapath/datapath_fixture.h"

using namespace shunt::test;

TEST_SUITE("parse: Ethernet, VLAN, MPLS, ARP") {
  TEST_CASE("a frame shorter than an Ethernet header is refused by name") {
    for (std::size_t size = 0; size < 14; ++size)
      CHECK(Frame{packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).truncate(size).build()}.reason ==
            SHUNT_DROP_TRUNCATED_ETH);
    CHECK(Frame{packet().eth(kA, kB).eth_type(0x1234).build()}.reason == SHUNT_DROP_NONE);
  }

  TEST_CASE("addresses, type and input port are in the key, and nothing else of an unknown type") {
    Frame f{packet().eth(kA, kB).eth_type(0x1234).payload(50).build()};
    CHECK(hex(f.key.eth_src) == "020000000001");
    CHECK(hex(f.key.eth_dst) == "020000000002");
    CHECK(f.key.eth_type.host() == 0x1234);
    CHECK(f.key.in_port == kInPort);
    CHECK(f.headers.l3 == 14);
    shunt_flow_key expected{};
    expected.in_port = kInPort;
    std::memcpy(expected.eth_dst, f.key.eth_dst, 6);
    std::memcpy(expected.eth_src, f.key.eth_src, 6);
    expected.eth_type = shunt_be16{0x1234};
    CHECK(same(f.key, expected));
  }

  TEST_CASE("one tag of either kind is taken off") {
    for (__u16 tpid : {__u16{0x8100}, __u16{0x88a8}}) {
      Frame f{packet().eth(kA, kB).vlan(100, tpid, 5).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build()};
      CHECK(f.key.vlan[0].tpid.host() == tpid);
      CHECK(f.key.vlan[0].tci.host() == (5 << 13 | SHUNT_VLAN_PRESENT | 100));
      CHECK(f.key.vlan[1].tpid.host() == 0);
      CHECK(f.key.vlan[1].tci.host() == 0);
      CHECK(f.key.eth_type.host() == 0x0800);
      CHECK(f.key.tp_dst.host() == 2);
      CHECK(f.headers.vlan_count == 1);
      CHECK(f.headers.l3 == 18);
      CHECK(f.headers.eth_type == 16);
    }
  }

  TEST_CASE("two tags are taken off, the outer one first") {
    Frame f{packet().eth(kA, kB).vlan(10, 0x88a8).vlan(20).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build()};
    CHECK(f.key.vlan[0].tpid.host() == 0x88a8);
    CHECK(f.key.vlan[0].tci.host() == (SHUNT_VLAN_PRESENT | 10));
    CHECK(f.key.vlan[1].tpid.host() == 0x8100);
    CHECK(f.key.vlan[1].tci.host() == (SHUNT_VLAN_PRESENT | 20));
    CHECK(f.key.eth_type.host() == 0x0800);
    CHECK(f.headers.l4 == 42);
  }

  TEST_CASE("a third tag is the EtherType") {
    Frame f{packet().eth(kA, kB).vlan(1).vlan(2).vlan(3).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build()};
    CHECK(f.key.eth_type.host() == 0x8100);
    CHECK(f.key.nw_proto == 0);
    CHECK(f.headers.vlan_count == 2);
    CHECK(f.headers.l3_kind == SHUNT_L3_NONE);
  }

  TEST_CASE("a tag that is cut short is the EtherType") {
    const Bytes whole = packet().eth(kA, kB).vlan(100).eth_type(0x1234).build();
    for (std::size_t size = 14; size < 18; ++size) {
      Bytes cut = whole;
      cut.resize(size);
      Frame f{cut};
      CHECK(f.reason == SHUNT_DROP_NONE);
      CHECK(f.key.eth_type.host() == 0x8100);
      CHECK(f.key.vlan[0].tci.host() == 0);
      CHECK(f.headers.vlan_count == 0);
    }
  }

  TEST_CASE("a tag whose drop-eligible bit is set has the same key as one without") {
    Frame with{packet().eth(kA, kB).vlan(100, 0x8100, 0, true).payload(50).build()};
    Frame without{packet().eth(kA, kB).vlan(100).payload(50).build()};
    CHECK(same(with.key, without.key));
  }

  TEST_CASE("an 802.3 length means no type, but for SNAP with organisation zero") {
    CHECK(Frame{packet().eth(kA, kB).llc(0x42, 0x42, 3).payload(40).build()}.key.eth_type.host() ==
          SHUNT_ETH_TYPE_NONE);
    CHECK(Frame{packet().eth(kA, kB).snap(0x00000c).eth_type(0x2000).payload(40).build()}.key.eth_type.host() ==
          SHUNT_ETH_TYPE_NONE);
    Frame short_type{packet().eth(kA, kB).snap().eth_type(0x0500).payload(40).build()};
    CHECK(short_type.key.eth_type.host() == SHUNT_ETH_TYPE_NONE);
    Frame f{packet().eth(kA, kB).snap().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build()};
    CHECK(f.key.eth_type.host() == 0x0800);
    CHECK(f.key.tp_src.host() == 1);
    CHECK(f.headers.l3 == 22);
    CHECK(f.headers.eth_type == 20);
  }

  TEST_CASE("a SNAP header that is cut short means no type") {
    Frame f{packet().eth(kA, kB).snap().eth_type(0x0800).truncate(21).build()};
    CHECK(f.key.eth_type.host() == SHUNT_ETH_TYPE_NONE);
    CHECK(f.headers.l3 == 14);
  }

  TEST_CASE("SNAP behind a tag is read") {
    Frame f{packet().eth(kA, kB).vlan(5).snap().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build()};
    CHECK(f.key.eth_type.host() == 0x0800);
    CHECK(f.key.vlan[0].tci.host() == (SHUNT_VLAN_PRESENT | 5));
    CHECK(f.key.tp_dst.host() == 2);
  }

  TEST_CASE("up to three MPLS entries are in the key, as far as the bottom of stack") {
    Frame one{packet().eth(kA, kB).mpls(16, 3, 9).payload(40).build()};
    CHECK(one.key.eth_type.host() == 0x8847);
    CHECK(one.key.mpls_lse[0].host() == (16u << 12 | 3u << 9 | 0x100u | 9u));
    CHECK(one.key.mpls_lse[1].host() == 0);
    Frame four{packet().eth(kA, kB).mpls(1).mpls(2).mpls(3).mpls(4).payload(40).build()};
    CHECK(four.key.mpls_lse[2].host() == (3u << 12 | 64u));
    Frame multicast{packet().eth(kA, kB).eth_type(0x8848).mpls(7).payload(40).build()};
    CHECK(multicast.key.mpls_lse[0].host() == (7u << 12 | 0x100u | 64u));
    Frame cut{packet().eth(kA, kB).mpls(1).mpls(2).truncate(20).build()};
    CHECK(cut.key.mpls_lse[0].host() == (1u << 12 | 64u));
    CHECK(cut.key.mpls_lse[1].host() == 0);
  }

  TEST_CASE("ARP's addresses and opcode are in the key") {
    Frame f{packet().eth(kA, kBroadcast).arp_request("10.0.0.1", "10.0.0.2").build()};
    CHECK(f.key.eth_type.host() == 0x0806);
    CHECK(f.key.nw_proto == 1);
    CHECK(hex(f.key.ip_src) == "00000000000000000000ffff0a000001");
    CHECK(hex(f.key.ip_dst) == "00000000000000000000ffff0a000002");
    CHECK(hex(f.key.arp_sha) == "020000000001");
    CHECK(hex(f.key.arp_tha) == "000000000000");
    CHECK(f.headers.l3_kind == SHUNT_L3_ARP);
    Frame reply{packet().eth(kA, kB).arp_reply().build()};
    CHECK(reply.key.nw_proto == 2);
    CHECK(hex(reply.key.arp_tha) == "020000000002");
  }

  TEST_CASE("an ARP opcode above 255 reads as 0") {
    CHECK(Frame{packet().eth(kA, kB).arp(0x101, kA, "10.0.0.1", kB, "10.0.0.2").build()}.key.nw_proto == 0);
    CHECK(Frame{packet().eth(kA, kB).arp(0xff, kA, "10.0.0.1", kB, "10.0.0.2").build()}.key.nw_proto == 0xff);
  }

  TEST_CASE("ARP that is cut short, or not for IPv4 over Ethernet, is only its EtherType") {
    const Bytes whole = packet().eth(kA, kB).arp_request().build();
    Bytes cut = whole;
    cut.resize(14 + 27);
    CHECK(hex(Frame{cut}.key.arp_sha) == "000000000000");
    for (std::size_t at : {14u, 16u, 18u, 19u}) {
      Bytes other = whole;
      other[at] = std::byte{9};
      Frame f{other};
      CHECK(f.key.eth_type.host() == 0x0806);
      CHECK(f.key.nw_proto == 0);
      CHECK(hex(f.key.ip_src) == std::string(32, '0'));
      CHECK(f.headers.l3_kind == SHUNT_L3_NONE);
    }
  }

  TEST_CASE("RARP is read as ARP is") {
    Frame f{packet().eth(kA, kB).eth_type(0x8035).arp(3, kA, "0.0.0.0", kA, "0.0.0.0").build()};
    CHECK(f.key.nw_proto == 3);
    CHECK(hex(f.key.arp_tha) == "020000000001");
  }
}
