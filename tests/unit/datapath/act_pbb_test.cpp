// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/datapath/datapath_fixture.h"

using namespace shunt::test;

namespace {

constexpr __u32 kTag = 0x2a123456;  // priority 1, use customer addresses, I-SID 0x123456

Bytes customer() { return packet().eth(kA, kB).vlan(5).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(20).build(); }

}  // namespace

TEST_SUITE("act: PBB") {
  TEST_CASE("a push puts a header with the frame's own addresses in front of it") {
    Frame f{customer()};
    CHECK(f.act(push_pbb(kTag)) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes() == in_backbone(packet().eth(kA, kB), kTag, customer()));
    const Frame again = f.reparsed();
    CHECK(f.headers.l3 == again.headers.l3);
    CHECK(f.headers.eth_type == again.headers.eth_type);
    CHECK(f.headers.l3_kind == SHUNT_L3_PBB);
    CHECK(f.headers.vlan_count == 0);
  }

  TEST_CASE("the backbone's addresses, tag and instance can be set, the customer's stay") {
    Frame f{customer()};
    f.act(push_pbb(kTag));
    f.act(set_field(SHUNT_FIELD_ETH_DST, {2, 0, 0, 0, 0, 9}));
    f.act(set_field(SHUNT_FIELD_PBB_ITAG, {0, 0, 0, 1}, {0, 0xff, 0xff, 0xff}));
    f.act(push_vlan(0x88a8, 7));
    CHECK(f.bytes() == in_backbone(packet().eth(kA, "02:00:00:00:00:09").vlan(7, 0x88a8), 0x2a000001, customer()));
  }

  TEST_CASE("a pop gives the customer's frame, which can be edited") {
    Frame f{in_backbone(packet().eth(kB, kA), kTag, customer())};
    CHECK(f.act(plain(SHUNT_ACT_POP_PBB)) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes() == customer());
    CHECK(f.headers.vlan_count == 1);
    f.act(set_field(SHUNT_FIELD_IP_DST, {10, 0, 0, 7}));
    CHECK(f.bytes() == packet().eth(kA, kB).vlan(5).ipv4("10.0.0.1", "10.0.0.7").udp(1, 2).payload(20).build());
  }

  TEST_CASE("a pop wants the backbone's own tags gone, and a service instance tag there") {
    const Bytes tagged = in_backbone(packet().eth(kB, kA).vlan(9, 0x88a8), kTag, customer());
    Frame f{tagged};
    CHECK(f.act(plain(SHUNT_ACT_POP_PBB)) == SHUNT_VERDICT_CANNOT);
    CHECK(f.bytes() == tagged);
    f.act(plain(SHUNT_ACT_POP_VLAN));
    CHECK(f.act(plain(SHUNT_ACT_POP_PBB)) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes() == customer());
    CHECK(f.act(plain(SHUNT_ACT_POP_PBB)) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes() == customer());
  }

  TEST_CASE("a push without headroom changes nothing and says so") {
    Frame f{customer(), SHUNT_FEATURE_ALL, 17, 0};
    CHECK(f.act(push_pbb(kTag)) == SHUNT_VERDICT_HEADROOM);
    CHECK(f.bytes() == customer());
  }
}

TEST_SUITE("parse: PBB") {
  TEST_CASE("the service instance tag is in the key, behind the backbone's tags") {
    Frame f{in_backbone(packet().eth(kB, kA).vlan(9, 0x88a8), kTag, customer())};
    CHECK(f.key.eth_type.host() == 0x88e7);
    CHECK(f.key.pbb_itag.host() == kTag);
    CHECK(f.key.vlan[0].tci.host() == (9 | SHUNT_VLAN_PRESENT));
    CHECK(f.key.vlan[1].tci.host() == 0);
    CHECK(f.key.nw_proto == 0);
  }

  TEST_CASE("without the customer's whole Ethernet header there is no tag") {
    const Bytes whole = in_backbone(packet().eth(kB, kA), kTag, customer());
    for (std::size_t size = 14; size < 14 + 4 + 14; ++size) {
      Frame f{Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))};
      CHECK(f.reason == SHUNT_DROP_NONE);
      CHECK(f.key.eth_type.host() == 0x88e7);
      CHECK(f.key.pbb_itag.host() == 0);
      CHECK(f.headers.l3_kind == SHUNT_L3_NONE);
    }
    CHECK(Frame{Bytes(whole.begin(), whole.begin() + 32)}.key.pbb_itag.host() == kTag);
  }

  TEST_CASE("a program that nobody asked for tags leaves them out") {
    Frame f{in_backbone(packet().eth(kB, kA), kTag, customer()), SHUNT_FEATURE_ALL & ~SHUNT_FEATURE_PBB};
    CHECK(f.key.pbb_itag.host() == 0);
  }
}
