// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/datapath/datapath_fixture.h"

using namespace shunt::test;

namespace {

PacketBuilder v6() { return packet().eth(kA, kB).ipv6("2001:db8::1", "2001:db8::2"); }

unsigned bits_of(const PacketBuilder& builder) { return Frame{builder.build()}.key.ipv6_exthdr.host(); }

}  // namespace

TEST_SUITE("parse: IPv6 extension headers' bits") {
  TEST_CASE("each header has its bit") {
    CHECK(bits_of(v6().udp(1, 2)) == 0);
    CHECK(bits_of(v6().hop_by_hop().udp(1, 2)) == SHUNT_EXTHDR_HOP);
    CHECK(bits_of(v6().dst_options().udp(1, 2)) == SHUNT_EXTHDR_DEST);
    CHECK(bits_of(v6().routing({"2001:db8::9"}, 0).udp(1, 2)) == SHUNT_EXTHDR_ROUTER);
    CHECK(bits_of(v6().authentication().udp(1, 2)) == SHUNT_EXTHDR_AUTH);
    CHECK(bits_of(v6().proto(50).payload(40)) == SHUNT_EXTHDR_ESP);
    CHECK(bits_of(v6().proto(59).payload(40)) == SHUNT_EXTHDR_NONEXT);
    CHECK(bits_of(v6().dst_options().proto(59)) == (SHUNT_EXTHDR_DEST | SHUNT_EXTHDR_NONEXT));
  }

  TEST_CASE("a fragment header has its bit in every fragment, also in the only one") {
    CHECK(bits_of(v6().fragment(0, false).udp(1, 2)) == SHUNT_EXTHDR_FRAG);
    CHECK(bits_of(v6().fragment(0, true).udp(1, 2).payload(64)) == SHUNT_EXTHDR_FRAG);
    CHECK(bits_of(v6().fragment(9, false).proto(17).payload(64)) == SHUNT_EXTHDR_FRAG);
  }

  TEST_CASE("the order of RFC 8200 is no odd one") {
    CHECK(bits_of(v6().hop_by_hop()
                      .dst_options()
                      .routing({"2001:db8::9"}, 1)
                      .fragment(0, false)
                      .authentication()
                      .dst_options()
                      .tcp(1, 2)) ==
          (SHUNT_EXTHDR_HOP | SHUNT_EXTHDR_DEST | SHUNT_EXTHDR_ROUTER | SHUNT_EXTHDR_FRAG | SHUNT_EXTHDR_AUTH));
    CHECK(bits_of(v6().authentication().dst_options().udp(1, 2)) == (SHUNT_EXTHDR_AUTH | SHUNT_EXTHDR_DEST));
  }

  TEST_CASE("another order says so") {
    CHECK(bits_of(v6().fragment(0, false).routing({"2001:db8::9"}, 0).udp(1, 2)) ==
          (SHUNT_EXTHDR_FRAG | SHUNT_EXTHDR_ROUTER | SHUNT_EXTHDR_UNSEQ));
    CHECK(bits_of(v6().authentication().fragment(0, false).udp(1, 2)) ==
          (SHUNT_EXTHDR_AUTH | SHUNT_EXTHDR_FRAG | SHUNT_EXTHDR_UNSEQ));
    CHECK(bits_of(v6().dst_options().dst_options().routing({"2001:db8::9"}, 0).udp(1, 2)) ==
          (SHUNT_EXTHDR_DEST | SHUNT_EXTHDR_ROUTER | SHUNT_EXTHDR_UNSEQ));
  }

  TEST_CASE("hop-by-hop options are such only in front") {
    CHECK(bits_of(v6().dst_options().hop_by_hop().udp(1, 2)) == (SHUNT_EXTHDR_DEST | SHUNT_EXTHDR_UNSEQ));
    CHECK(bits_of(v6().hop_by_hop().hop_by_hop().udp(1, 2)) == (SHUNT_EXTHDR_HOP | SHUNT_EXTHDR_UNREP));
  }

  TEST_CASE("a header that comes again says so; destination options may come twice") {
    CHECK(bits_of(v6().dst_options().dst_options().udp(1, 2)) == SHUNT_EXTHDR_DEST);
    CHECK(bits_of(v6().dst_options().dst_options().dst_options().udp(1, 2)) ==
          (SHUNT_EXTHDR_DEST | SHUNT_EXTHDR_UNREP));
    CHECK(bits_of(v6().routing({"2001:db8::9"}, 0).routing({"2001:db8::9"}, 0).udp(1, 2)) ==
          (SHUNT_EXTHDR_ROUTER | SHUNT_EXTHDR_UNREP));
    CHECK(bits_of(v6().authentication().authentication().udp(1, 2)) == (SHUNT_EXTHDR_AUTH | SHUNT_EXTHDR_UNREP));
  }

  TEST_CASE("headers that are cut short have no bits, as they have no protocol") {
    Frame f{v6().dst_options().udp(1, 2).truncate(58).build()};
    CHECK(f.key.ipv6_exthdr.host() == 0);
    CHECK(f.key.nw_proto == 0);
  }

  TEST_CASE("a program that nobody asked for them leaves them out; one for them alone has them") {
    const Bytes bytes = v6().dst_options().udp(1, 2).build();
    CHECK(Frame{bytes, SHUNT_FEATURE_ALL & ~SHUNT_FEATURE_EXTHDR}.key.ipv6_exthdr.host() == 0);
    CHECK(Frame{bytes, SHUNT_FEATURE_EXTHDR}.key.ipv6_exthdr.host() == SHUNT_EXTHDR_DEST);
  }
}
