// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/datapath/datapath_fixture.h"

using namespace shunt::test;

namespace {

PacketBuilder v4() { return packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2"); }
PacketBuilder v6() { return packet().eth(kA, kB).ipv6("2001:db8::1", "2001:db8::2"); }

// The key keeps Ethernet's fields and the type, and has nothing of layer 3.
void check_no_l3(const Frame& f) {
  shunt_flow_key expected{};
  expected.in_port = f.key.in_port;
  std::memcpy(expected.eth_dst, f.key.eth_dst, 6);
  std::memcpy(expected.eth_src, f.key.eth_src, 6);
  expected.eth_type = f.key.eth_type;
  CHECK(f.reason == SHUNT_DROP_NONE);
  CHECK(f.key.eth_type.host() != 0);
  CHECK(same(f.key, expected));
  CHECK(f.headers.l3_kind == SHUNT_L3_NONE);
  CHECK(f.headers.l4 == 0);
}

}  // namespace

TEST_SUITE("parse: IPv4 and IPv6") {
  TEST_CASE("IPv4's fields are in the key") {
    Frame f{v4().ttl(3).tos(0xb9).udp(1, 2).build()};
    CHECK(hex(f.key.ip_src) == "00000000000000000000ffff0a000001");
    CHECK(hex(f.key.ip_dst) == "00000000000000000000ffff0a000002");
    CHECK(f.key.nw_proto == 17);
    CHECK(f.key.nw_ttl == 3);
    CHECK(f.key.nw_tos == 0xb9);
    CHECK(f.key.nw_frag == 0);
    CHECK(f.key.ipv6_label.host() == 0);
    CHECK(f.headers.l3_end == 42);
  }

  TEST_CASE("IPv4 options are stepped over") {
    for (std::size_t size = 4; size <= 40; size += 4) {
      Frame f{v4().ip_options(size).tcp(1000, 2000).build()};
      CHECK(f.key.tp_src.host() == 1000);
      CHECK(f.key.tp_dst.host() == 2000);
      CHECK(f.headers.l4 == 34 + size);
    }
  }

  TEST_CASE("an IPv4 header that is cut short leaves its EtherType only") {
    for (std::size_t size = 14; size < 34; ++size) check_no_l3(Frame{v4().udp(1, 2).truncate(size).build()});
  }

  TEST_CASE("an IPv4 header shorter than 20 bytes leaves its EtherType only") {
    for (__u8 words = 0; words < 5; ++words) check_no_l3(Frame{v4().header_words(words).udp(1, 2).build()});
  }

  TEST_CASE("an IPv4 total length that is more than the frame, or less than the header, leaves the EtherType only") {
    check_no_l3(Frame{v4().length(200).udp(1, 2).build()});
    check_no_l3(Frame{v4().length(19).udp(1, 2).build()});
    check_no_l3(Frame{v4().header_words(8).length(28).udp(1, 2).build()});
    check_no_l3(Frame{v4().length(29).udp(1, 2).build()});
  }

  TEST_CASE("bytes behind IPv4's total length are padding, and no header") {
    Frame f{v4().length(24).udp(1, 2).payload(20).build()};
    CHECK(f.key.nw_proto == 17);
    CHECK(f.key.tp_src.host() == 0);
    CHECK(f.headers.l4 == 0);
    Frame padded{v4().udp(1, 2).pad(60).build()};
    CHECK(padded.key.tp_src.host() == 1);
    CHECK(padded.headers.l3_end == 42);
  }

  TEST_CASE("a first fragment has ports, a later one has none") {
    Frame first{v4().fragment(0, true).udp(1, 2).payload(64).build()};
    CHECK(first.key.nw_frag == SHUNT_FRAG_ANY);
    CHECK(first.key.tp_src.host() == 1);
    for (bool more : {true, false}) {
      Frame later{v4().fragment(8, more).proto(17).payload(64).build()};
      CHECK(later.key.nw_frag == (SHUNT_FRAG_ANY | SHUNT_FRAG_LATER));
      CHECK(later.key.nw_proto == 17);
      CHECK(later.key.tp_src.host() == 0);
      CHECK(later.key.tp_dst.host() == 0);
      CHECK(later.headers.l4 == 0);
    }
  }

  TEST_CASE("don't-fragment does not make a fragment") { CHECK(Frame{v4().udp(1, 2).build()}.key.nw_frag == 0); }

  TEST_CASE("IPv6's fields are in the key") {
    Frame f{v6().ttl(9).tos(0xb9).label(0xabcde).tcp(1, 2).build()};
    CHECK(hex(f.key.ip_src) == "20010db8000000000000000000000001");
    CHECK(hex(f.key.ip_dst) == "20010db8000000000000000000000002");
    CHECK(f.key.nw_proto == 6);
    CHECK(f.key.nw_ttl == 9);
    CHECK(f.key.nw_tos == 0xb9);
    CHECK(f.key.ipv6_label.host() == 0xabcde);
    CHECK(f.key.tp_dst.host() == 2);
  }

  TEST_CASE("an IPv6 header that is cut short, or promises more than there is, leaves its EtherType only") {
    for (std::size_t size = 14; size < 54; ++size) check_no_l3(Frame{v6().udp(1, 2).truncate(size).build()});
    check_no_l3(Frame{v6().length(9).udp(1, 2).build()});
  }

  TEST_CASE("IPv6 extension headers are stepped over") {
    Frame f{v6().hop_by_hop(16)
                .dst_options()
                .routing({"2001:db8::9"}, 0)
                .authentication()
                .dst_options(24)
                .udp(5, 6)
                .build()};
    CHECK(f.key.nw_proto == 17);
    CHECK(f.key.tp_src.host() == 5);
    CHECK(f.key.nw_frag == 0);
    CHECK(f.headers.l4 == 54 + 16 + 8 + 24 + 24 + 24);
    CHECK((f.headers.flags & SHUNT_HEADERS_ROUTED) == 0);
    Frame routed{v6().routing({"2001:db8::9"}, 1).udp(5, 6).build()};
    CHECK((routed.headers.flags & SHUNT_HEADERS_ROUTED) != 0);
  }

  TEST_CASE("an IPv6 extension header that is cut short leaves the addresses only") {
    const auto only_addresses = [](const Frame& f) {
      CHECK(hex(f.key.ip_dst) == "20010db8000000000000000000000002");
      CHECK(f.key.nw_proto == 0);
      CHECK(f.key.nw_ttl == 0);
      CHECK(f.key.nw_tos == 0);
      CHECK(f.key.nw_frag == 0);
      CHECK(f.key.ipv6_label.host() == 0);
      CHECK(f.headers.l4 == 0);
    };
    only_addresses(Frame{v6().tos(4).label(5).length(7).hop_by_hop().udp(1, 2).build()});
    only_addresses(Frame{v6().tos(4).label(5).length(15).hop_by_hop(16).build()});
    only_addresses(Frame{v6().tos(4).length(20).authentication().build()});
    only_addresses(Frame{v6().tos(4).length(15).fragment(0, true).dst_options(16).build()});
  }

  TEST_CASE("eight IPv6 extension headers are walked, and nine count as cut short") {
    PacketBuilder builder = v6();
    for (int i = 0; i < SHUNT_MAX_EXT_HEADERS; ++i) builder.dst_options();
    PacketBuilder nine = builder;
    CHECK(Frame{builder.udp(1, 2).build()}.key.tp_dst.host() == 2);
    Frame f{nine.dst_options().udp(1, 2).build()};
    CHECK(f.key.nw_proto == 0);
    CHECK(f.key.tp_dst.host() == 0);
  }

  TEST_CASE("IPv6 fragments: the first has ports, a later one says protocol 44") {
    Frame first{v6().fragment(0, true).udp(1, 2).payload(64).build()};
    CHECK(first.key.nw_frag == SHUNT_FRAG_ANY);
    CHECK(first.key.nw_proto == 17);
    CHECK(first.key.tp_dst.host() == 2);
    Frame later{v6().fragment(8, false).proto(17).payload(64).build()};
    CHECK(later.key.nw_frag == (SHUNT_FRAG_ANY | SHUNT_FRAG_LATER));
    CHECK(later.key.nw_proto == 44);
    CHECK(later.key.tp_dst.host() == 0);
    CHECK(later.key.nw_ttl == 64);
    CHECK(later.headers.l4 == 0);
  }

  TEST_CASE("an atomic IPv6 fragment is none") {
    Frame f{v6().fragment(0, false).udp(1, 2).build()};
    CHECK(f.key.nw_frag == 0);
    CHECK(f.key.tp_dst.host() == 2);
  }

  TEST_CASE("headers behind the first buffer are reported, not guessed") {
    const Bytes bytes = v6().hop_by_hop(16).tcp(1, 2).payload(200).build();
    for (__u32 visible = 14; visible < bytes.size(); ++visible) {
      Bytes first(bytes.begin(), bytes.begin() + visible);
      shunt_user_frame frame{reinterpret_cast<__u8*>(first.data()), visible, 0, 0};
      shunt_flow_key key;
      shunt_headers headers;
      CHECK(shunt_parse(&frame, static_cast<__u32>(bytes.size()), kInPort, SHUNT_FEATURE_ALL, &key, &headers) ==
            SHUNT_DROP_NONE);
      const bool whole = visible >= 14 + 40 + 16 + 20;
      CHECK(((headers.flags & SHUNT_HEADERS_CUT) != 0) == !whole);
      CHECK((key.tp_dst.host() == 2) == whole);
    }
  }

  TEST_CASE("what no feature asks for is not in the key, but the cure of checksums has its offsets") {
    const Bytes bytes = v4().tcp(1, 2).build();
    Frame l2{bytes, 0};
    CHECK(l2.key.eth_type.host() == 0x0800);
    CHECK(l2.key.nw_proto == 0);
    CHECK(l2.headers.l4 == 0);
    Frame cure{bytes, SHUNT_FEATURE_CHECKSUM};
    CHECK(cure.key.nw_proto == 0);
    CHECK(cure.key.tp_dst.host() == 0);
    CHECK(cure.headers.l4 == 34);
    CHECK(cure.headers.proto == 6);
    Frame l3{bytes, SHUNT_FEATURE_L3};
    CHECK(l3.key.nw_proto == 6);
    CHECK(l3.key.tp_dst.host() == 0);
    CHECK(l3.headers.l4 == 34);
    CHECK(Frame{bytes, SHUNT_FEATURE_L4}.key.tp_dst.host() == 2);
    CHECK(Frame{packet().eth(kA, kB).mpls(5).build(), SHUNT_FEATURE_L3}.key.mpls_lse[0].host() == 0);
    CHECK(Frame{packet().eth(kA, kB).arp_request().build(), SHUNT_FEATURE_CHECKSUM}.key.nw_proto == 0);
  }
}
