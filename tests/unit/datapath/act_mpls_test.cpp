// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/datapath/datapath_fixture.h"

using namespace shunt::test;

namespace {

PacketBuilder eth() { return packet().eth(kA, kB); }
PacketBuilder v4_behind(PacketBuilder builder, __u8 ttl = 64) {
  return builder.ipv4("10.0.0.1", "10.0.0.2").ttl(ttl).udp(1, 2).payload(50);
}
PacketBuilder v6_behind(PacketBuilder builder, __u8 ttl = 64) {
  return builder.ipv6("2001:db8::1", "2001:db8::2").ttl(ttl).tcp(1, 2).payload(50);
}

void becomes(const Bytes& before, const shunt_action& action, const Bytes& after) {
  Frame f{before};
  CHECK(f.act(action) == SHUNT_VERDICT_NEXT);
  CHECK(f.bytes() == after);
}
void stays(const Bytes& bytes, const shunt_action& action) { becomes(bytes, action, bytes); }

// What the headers say of the frame is what a parser finds in it: up to what the parser does not follow under a label.
void check_headers(const Frame& f) {
  const Frame again = f.reparsed();
  CHECK(f.headers.eth_type == again.headers.eth_type);
  CHECK(f.headers.l3 == again.headers.l3);
  CHECK(f.headers.l3_kind == again.headers.l3_kind);
  CHECK(f.headers.vlan_count == again.headers.vlan_count);
  CHECK(f.headers.l4 == again.headers.l4);
}

}  // namespace

TEST_SUITE("act: MPLS") {
  TEST_CASE("a label is pushed behind addresses and tags, in front of what the frame carries") {
    const shunt_action push = push_mpls(0x8847, 100, 3, true, 64);
    becomes(v4_behind(eth()).build(), push, v4_behind(eth().mpls(100, 3, 64)).build());
    becomes(v6_behind(eth().vlan(5)).build(), push, v6_behind(eth().vlan(5).mpls(100, 3, 64)).build());
    becomes(v4_behind(eth().vlan(5, 0x88a8).vlan(6)).build(), push,
            v4_behind(eth().vlan(5, 0x88a8).vlan(6).mpls(100, 3, 64)).build());
    Frame f{v4_behind(eth().vlan(5)).build()};
    f.act(push);
    check_headers(f);
    Frame multicast{v4_behind(eth()).build()};
    multicast.act(push_mpls(0x8848, 100, 0, true, 64));
    CHECK(multicast.reparsed().key.eth_type.host() == 0x8848);
  }

  TEST_CASE("three labels, and off again: the frame that came") {
    const Bytes before = v4_behind(eth().vlan(7)).build();
    Frame f{before};
    f.act(push_mpls(0x8847, 1, 0, true, 9));
    f.act(push_mpls(0x8847, 2, 0, false, 9));
    f.act(push_mpls(0x8847, 3, 0, false, 9));
    CHECK(f.bytes() == v4_behind(eth().vlan(7).mpls(3, 0, 9).mpls(2, 0, 9).mpls(1, 0, 9)).build());
    f.act(pop_mpls(0x8847));
    check_headers(f);
    f.act(pop_mpls(0x8847));
    f.act(pop_mpls(0x0800));
    CHECK(f.bytes() == before);
    check_headers(f);
  }

  TEST_CASE("what a pop uncovers can be edited, with its checksums") {
    Frame f{v4_behind(eth().mpls(100)).build()};
    CHECK(f.act(pop_mpls(0x0800)) == SHUNT_VERDICT_NEXT);
    CHECK(f.act(set_field(SHUNT_FIELD_IP_SRC, {192, 0, 2, 1})) == SHUNT_VERDICT_NEXT);
    CHECK(f.act(set_field(SHUNT_FIELD_TP_DST, {0, 9})) == SHUNT_VERDICT_NEXT);
    CHECK(f.act(plain(SHUNT_ACT_DEC_TTL)) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes() == eth().ipv4("192.0.2.1", "10.0.0.2").ttl(63).udp(1, 9).payload(50).build());
  }

  TEST_CASE("a truncation survives a pop") {
    Frame f{v4_behind(eth().mpls(100)).build()};
    f.act(plain(SHUNT_ACT_TRUNCATE, 70));
    f.act(pop_mpls(0x0800));
    CHECK(shunt_finish(f.frame(), &f.headers) == SHUNT_VERDICT_NEXT);
    CHECK(f.bytes().size() == 70);
  }

  TEST_CASE("under a label, IP cannot be edited") {
    Frame f{v4_behind(eth()).build()};
    f.act(push_mpls(0x8847, 100, 0, true, 64));
    const Bytes now = f.bytes();
    f.act(set_field(SHUNT_FIELD_IP_SRC, {1, 2, 3, 4}));
    f.act(set_field(SHUNT_FIELD_TP_SRC, {1, 2}));
    f.act(plain(SHUNT_ACT_DEC_TTL));
    CHECK(f.bytes() == now);
  }

  TEST_CASE("a pop without a label changes nothing") {
    stays(v4_behind(eth()).build(), pop_mpls(0x0800));
    stays(eth().mpls(1).truncate(16).build(), pop_mpls(0x0800));
    stays(eth().arp_request().build(), pop_mpls(0x0800));
  }

  TEST_CASE("a push without headroom changes nothing and says so") {
    const Bytes before = v4_behind(eth()).build();
    Frame f{before, SHUNT_FEATURE_ALL, 2, 0};
    CHECK(f.act(push_mpls(0x8847, 1, 0, true, 64)) == SHUNT_VERDICT_HEADROOM);
    CHECK(f.bytes() == before);
    CHECK(f.headers.l3_kind == SHUNT_L3_IPV4);
  }

  TEST_CASE("the top label's TTL goes down by one, and expires at 1 and 0") {
    becomes(v4_behind(eth().mpls(1, 0, 9).mpls(2, 0, 8)).build(), plain(SHUNT_ACT_DEC_MPLS_TTL),
            v4_behind(eth().mpls(1, 0, 8).mpls(2, 0, 8)).build());
    stays(v4_behind(eth()).build(), plain(SHUNT_ACT_DEC_MPLS_TTL));
    for (__u8 ttl : {__u8{0}, __u8{1}}) {
      Frame f{v4_behind(eth().mpls(1, 0, ttl)).build()};
      const Bytes before = f.bytes();
      CHECK(f.act(plain(SHUNT_ACT_DEC_MPLS_TTL)) == SHUNT_VERDICT_TTL);
      CHECK(f.bytes() == before);
    }
  }

  TEST_CASE("a TTL is copied out to the top label from the next one, or from IP below the last") {
    const shunt_action out = plain(SHUNT_ACT_COPY_TTL_OUT);
    becomes(v4_behind(eth().mpls(1, 0, 9).mpls(2, 0, 5)).build(), out,
            v4_behind(eth().mpls(1, 0, 5).mpls(2, 0, 5)).build());
    becomes(v4_behind(eth().mpls(1, 0, 9), 33).build(), out, v4_behind(eth().mpls(1, 0, 33), 33).build());
    becomes(v6_behind(eth().vlan(3).mpls(1, 0, 9), 33).build(), out,
            v6_behind(eth().vlan(3).mpls(1, 0, 33), 33).build());
    stays(v4_behind(eth()).build(), out);
  }

  TEST_CASE("a TTL is copied in from the top label, with IPv4's header sum") {
    const shunt_action in = plain(SHUNT_ACT_COPY_TTL_IN);
    becomes(v4_behind(eth().mpls(1, 0, 9).mpls(2, 0, 5)).build(), in,
            v4_behind(eth().mpls(1, 0, 9).mpls(2, 0, 9)).build());
    becomes(v6_behind(eth().mpls(1, 0, 9), 33).build(), in, v6_behind(eth().mpls(1, 0, 9), 9).build());
    for (unsigned ttl = 0; ttl < 256; ++ttl) {
      const auto top = static_cast<__u8>(ttl);
      becomes(v4_behind(eth().mpls(1, 0, top), 100).build(), in, v4_behind(eth().mpls(1, 0, top), top).build());
    }
    stays(v4_behind(eth()).build(), in);
  }

  TEST_CASE("a label over something else than IP, or over nothing, has no TTL to copy") {
    for (auto type : {SHUNT_ACT_COPY_TTL_OUT, SHUNT_ACT_COPY_TTL_IN}) {
      stays(eth().mpls(1, 0, 9).payload(40).build(), plain(type));
      stays(eth().mpls(1, 0, 9).build(), plain(type));
      stays(v4_behind(eth().mpls(1, 0, 9)).truncate(30).build(), plain(type));
    }
  }
}
