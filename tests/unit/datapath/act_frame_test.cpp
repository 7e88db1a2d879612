// SPDX-License-Identifier: Apache-2.0
// Actions that change a frame's shape: tags, TTL, length.
#include "tests/support/frame_checks.h"
#include "tests/unit/datapath/datapath_fixture.h"

using namespace shunt::test;

namespace {

PacketBuilder v4() { return packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2"); }
PacketBuilder v6() { return packet().eth(kA, kB).ipv6("2001:db8::1", "2001:db8::2"); }

}  // namespace

TEST_SUITE("act: tags, TTL, length") {
  TEST_CASE("a protocol is set with the checksums that cover it, and what lay behind it is not looked at any more") {
    for (const bool six : {false, true}) {
      CAPTURE(six);
      Frame f{(six ? v6() : v4()).tcp(1, 2).payload(30).build()};
      const std::uint32_t l3 = f.headers.l3, l4 = f.headers.l4;
      CHECK(f.act(set_field(SHUNT_FIELD_IP_PROTO, {17})) == SHUNT_VERDICT_NEXT);
      const Bytes written = f.bytes();
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(written.data());
      CHECK(bytes[l3 + (six ? 6 : 9)] == 17);
      if (!six) CHECK(internet_checksum({bytes + l3, 20}) == 0);
      const std::size_t size = written.size() - l4;
      auto covered = pseudo_header_of({bytes + l3, l4 - l3}, {}, 17, size);
      covered.insert(covered.end(), bytes + l4, bytes + written.size());
      CHECK(internet_checksum(covered) == 0);
      CHECK(f.act(set_field(SHUNT_FIELD_TP_DST, {0, 9})) == SHUNT_VERDICT_NEXT);
      CHECK(f.bytes() == written);
    }
  }

  TEST_CASE("a tag is pushed in front, and edits behind it hit the right bytes") {
    Frame f{v4().udp(1, 2).payload(30).build()};
    CHECK(f.act(push_vlan(0x8100, 0x600a)) == SHUNT_VERDICT_NEXT);
    CHECK(f.act(push_vlan(0x88a8, 20)) == SHUNT_VERDICT_NEXT);
    CHECK(f.act(set_field(SHUNT_FIELD_IP_SRC, {192, 0, 2, 1})) == SHUNT_VERDICT_NEXT);
    CHECK(f.act(set_field(SHUNT_FIELD_TP_DST, {0, 9})) == SHUNT_VERDICT_NEXT);
    CHECK(f.act(set_field(SHUNT_FIELD_VLAN_TCI, {0, 30}, {0x0f, 0xff})) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes() == packet()
                           .eth(kA, kB)
                           .vlan(30, 0x88a8)
                           .vlan(10, 0x8100, 3)
                           .ipv4("192.0.2.1", "10.0.0.2")
                           .udp(1, 9)
                           .payload(30)
                           .build());
    CHECK(f.headers.vlan_count == 2);
    CHECK(f.headers.l3 == 22);
    const Frame again = f.reparsed();
    CHECK(std::memcmp(&again.headers, &f.headers, sizeof again.headers) == 0);
  }

  TEST_CASE("a push does not take the PRESENT bit for the drop-eligible one") {
    Frame f{v4().udp(1, 2).build()};
    f.act(push_vlan(0x8100, SHUNT_VLAN_PRESENT | 10));
    CHECK(f.bytes() == packet().eth(kA, kB).vlan(10).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build());
  }

  TEST_CASE("the outer tag is popped, and an untagged frame stays as it is") {
    const PacketBuilder inner = packet().eth(kA, kB).vlan(20).ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2);
    Frame f{packet().eth(kA, kB).vlan(10, 0x88a8).vlan(20).ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2).build()};
    CHECK(f.act(plain(SHUNT_ACT_POP_VLAN)) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes() == inner.build());
    CHECK(f.act(plain(SHUNT_ACT_POP_VLAN)) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes() == v4().tcp(1, 2).build());
    CHECK(f.act(plain(SHUNT_ACT_POP_VLAN)) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes() == v4().tcp(1, 2).build());
    CHECK(f.headers.l4 == 34);
  }

  TEST_CASE("a third tag can be pushed and popped") {
    const Bytes before = packet().eth(kA, kB).vlan(1).vlan(2).ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2).build();
    Frame f{before};
    CHECK(f.act(push_vlan(0x88a8, 3)) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes().size() == before.size() + 4);
    CHECK(f.act(plain(SHUNT_ACT_POP_VLAN)) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes() == before);
  }

  TEST_CASE("a tag that is cut short is none to pop") {
    const Bytes before = packet().eth(kA, kB).vlan(1).payload(9).truncate(16).build();
    Frame f{before};
    CHECK(f.act(plain(SHUNT_ACT_POP_VLAN)) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes() == before);
  }

  TEST_CASE("a push without headroom changes nothing and says so") {
    const Bytes before = v4().udp(1, 2).build();
    Frame f{before, SHUNT_FEATURE_ALL, 3, 0};
    CHECK(f.act(push_vlan(0x8100, 1)) == SHUNT_VERDICT_HEADROOM);
    CHECK(f.bytes() == before);
    CHECK(f.headers.vlan_count == 0);
  }

  TEST_CASE("TTL and hop limit go down by one, with IPv4's header sum") {
    for (unsigned ttl = 2; ttl < 256; ++ttl) {
      const auto before = static_cast<__u8>(ttl), after = static_cast<__u8>(ttl - 1);
      Frame four{v4().ttl(before).udp(1, 2).build()};
      CHECK(four.act(plain(SHUNT_ACT_DEC_TTL)) == SHUNT_VERDICT_NEXT);
      CHECK(four.bytes() == v4().ttl(after).udp(1, 2).build());
      Frame six{v6().ttl(before).udp(1, 2).build()};
      CHECK(six.act(plain(SHUNT_ACT_DEC_TTL)) == SHUNT_VERDICT_NEXT);
      CHECK(six.bytes() == v6().ttl(after).udp(1, 2).build());
    }
  }

  TEST_CASE("a TTL of 1 or 0 expires, and the frame is unchanged") {
    for (__u8 ttl : {__u8{0}, __u8{1}}) {
      for (const Bytes& before : {v4().ttl(ttl).udp(1, 2).build(), v6().ttl(ttl).udp(1, 2).build()}) {
        Frame f{before};
        CHECK(f.act(plain(SHUNT_ACT_DEC_TTL)) == SHUNT_VERDICT_TTL);
        CHECK(f.bytes() == before);
      }
    }
  }

  TEST_CASE("a frame without IP has no TTL to go down") {
    const Bytes before = packet().eth(kA, kB).arp_request().build();
    Frame f{before};
    CHECK(f.act(plain(SHUNT_ACT_DEC_TTL)) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes() == before);
  }

  TEST_CASE("the next output after truncate is cut, and only that") {
    const Bytes whole = v4().udp(1, 2).payload(200).build();
    Frame f{whole};
    CHECK(f.act(plain(SHUNT_ACT_TRUNCATE, 100)) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes().size() == whole.size());
    CHECK(shunt_finish(f.frame(), &f.headers) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes() == Bytes(whole.begin(), whole.begin() + 100));
    CHECK(f.headers.max_len == 0);
    Frame longer{whole};
    longer.act(plain(SHUNT_ACT_TRUNCATE, 1000));
    CHECK(shunt_finish(longer.frame(), &longer.headers) == SHUNT_VERDICT_NEXT);
    CHECK(longer.bytes() == whole);
  }

  TEST_CASE("a short frame is padded with zeros to 60 bytes, a truncated one too") {
    const Bytes shorter = v4().udp(1, 2).build();
    Frame f{shorter};
    CHECK(shunt_finish(f.frame(), &f.headers) == SHUNT_VERDICT_NEXT);
    Bytes expected = shorter;
    expected.resize(60);
    CHECK(f.bytes() == expected);
    Frame cut{v4().udp(1, 2).payload(200).build()};
    cut.act(plain(SHUNT_ACT_TRUNCATE, 14));
    CHECK(shunt_finish(cut.frame(), &cut.headers) == SHUNT_VERDICT_NEXT);
    expected = Bytes(shorter.begin(), shorter.begin() + 14);
    expected.resize(60);
    CHECK(cut.bytes() == expected);
    Frame exact{v4().udp(1, 2).payload(18).build()};
    CHECK(shunt_finish(exact.frame(), &exact.headers) == SHUNT_VERDICT_NEXT);
    CHECK(exact.bytes().size() == 60);
  }

  TEST_CASE("no tailroom to pad says so") {
    Frame f{v4().udp(1, 2).build(), SHUNT_FEATURE_ALL, 0, 10};
    CHECK(shunt_finish(f.frame(), &f.headers) == SHUNT_VERDICT_CANNOT);
    CHECK(f.bytes().size() == 42);
  }

  TEST_CASE("outputs, drops, meters and reports are the caller's: they change nothing") {
    const Bytes before = v4().udp(1, 2).build();
    for (auto type : {SHUNT_ACT_NONE, SHUNT_ACT_OUTPUT, SHUNT_ACT_OUTPUT_GROUP, SHUNT_ACT_USERSPACE, SHUNT_ACT_DROP,
                      SHUNT_ACT_METER, SHUNT_ACT_SET_QUEUE, SHUNT_ACT_SAMPLE, SHUNT_ACT_CONTROLLER, SHUNT_ACT_SAVE,
                      SHUNT_ACT_RESTORE}) {
      Frame f{before};
      CHECK(f.act(plain(type, 1)) == SHUNT_VERDICT_NEXT);
      CHECK(f.bytes() == before);
    }
  }
}
