// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/packet_reparse.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <random>
#include <span>

#include "tests/unit/datapath/datapath_fixture.h"

using namespace shunt;
using namespace shunt::test;

namespace {

PacketView view(const Bytes& frame) {
  return {{reinterpret_cast<const std::uint8_t*>(frame.data()), frame.size()},
          static_cast<std::uint32_t>(frame.size())};
}

// What is random about a frame: how it is nested, and how it is wrong.
struct RandomFrame {
  std::mt19937 random;

  explicit RandomFrame(unsigned seed) : random{seed} {}
  unsigned upto(unsigned most) { return std::uniform_int_distribution<unsigned>{0, most}(random); }

  void network(PacketBuilder& builder) {
    switch (upto(3)) {
      case 0:
        builder.arp_request();
        return;
      case 1:
        builder.ipv6("2001:db8::1", "2001:db8::2").ttl(static_cast<std::uint8_t>(upto(255)));
        if (upto(2) == 0) builder.hop_by_hop(8 * (1 + upto(1)));
        if (upto(3) == 0) builder.dst_options(8 * (1 + upto(80)));  // headers longer than what is parsed at first
        if (upto(4) == 0) builder.fragment(static_cast<std::uint16_t>(upto(3)), true);
        break;
      default:
        builder.ipv4("10.0.0.1", "10.0.0.2").tos(static_cast<std::uint8_t>(upto(255)));
        if (upto(3) == 0) builder.ip_options(4 * (1 + upto(9)));
        if (upto(4) == 0) builder.fragment(static_cast<std::uint16_t>(upto(3)), true);
    }
    switch (upto(3)) {
      case 0:
        builder.tcp(static_cast<std::uint16_t>(upto(65535)), 80).flags(static_cast<std::uint16_t>(upto(0xfff)));
        break;
      case 1:
        builder.udp(static_cast<std::uint16_t>(upto(65535)), 53);
        break;
      case 2:
        builder.sctp(1, static_cast<std::uint16_t>(upto(65535)));
        break;
      default:
        break;
    }
    builder.payload(upto(100));
  }
  // Sometimes cut, sometimes with a byte changed.
  Bytes spoiled(Bytes frame) {
    if (upto(4) == 0) frame.resize(14 + upto(static_cast<unsigned>(frame.size()) - 14));
    if (upto(4) == 0) frame[12 + upto(static_cast<unsigned>(frame.size()) - 13)] = static_cast<std::byte>(upto(255));
    return frame;
  }
};

constexpr unsigned kRounds = 3000;

shunt_flow_key without_ethernet(shunt_flow_key key) {
  key.in_port = 0;
  key.dp_hash = 0;
  std::memset(key.eth_src, 0, sizeof key.eth_src);
  std::memset(key.eth_dst, 0, sizeof key.eth_dst);
  return key;
}

// The frame without the `size` bytes at `offset`, and with `type` in the two bytes before.
Bytes cut_out(const Bytes& frame, std::size_t offset, std::size_t size, std::uint16_t type) {
  const auto front = std::span{frame}.first(offset - 2), back = std::span{frame}.subspan(offset + size);
  Bytes cut{front.begin(), front.end()};
  cut.push_back(static_cast<std::byte>(type >> 8));
  cut.push_back(static_cast<std::byte>(type));
  cut.insert(cut.end(), back.begin(), back.end());
  return cut;
}

}  // namespace

TEST_SUITE("packet_reparse") {
  TEST_CASE("what lies behind a label is read as if the label had been taken off") {
    RandomFrame random{1};
    for (unsigned round = 0; round < kRounds; ++round) {
      CAPTURE(round);
      PacketBuilder builder = packet().eth(kA, kB);
      const unsigned tags = random.upto(2), labels = 1 + random.upto(3);
      for (unsigned i = 0; i < tags; ++i) builder.vlan(static_cast<std::uint16_t>(100 + i));
      for (unsigned i = 0; i < labels; ++i) builder.mpls(1000 + i);
      random.network(builder);
      const Bytes frame = random.spoiled(builder.build());

      const Frame before{frame};
      if (before.headers.l3_kind != SHUNT_L3_MPLS) continue;
      CHECK(reparse_frame(view(frame), 0).payload == before.headers.l3);
      CHECK(same(reparse_frame(view(frame), 0).key, [&] {
        shunt_flow_key key = before.key;
        key.in_port = key.dp_hash = 0;
        return key;
      }()));
      for (const std::uint16_t type : std::initializer_list<std::uint16_t>{0x0800, 0x86dd, 0x0806, 0x8847, 0x8100}) {
        if (frame.size() < before.headers.l3 + 4u) continue;
        shunt_flow_key expected = without_ethernet(Frame{cut_out(frame, before.headers.l3, 4, type)}.key);
        const FlowKey found = reparse_payload(view(frame), before.headers.l3 + 4u, type).key;
        // The tags in front stay where they are: they are not the payload's.
        if (type != 0x8100) expected.vlan[0] = expected.vlan[1] = shunt_vlan{};
        if (type != 0x8100 || tags == 0) CHECK(same(found, expected));
      }
    }
  }

  TEST_CASE("the datapath's own pop leads to the same key") {
    RandomFrame random{2};
    for (unsigned round = 0; round < kRounds; ++round) {
      CAPTURE(round);
      PacketBuilder builder = packet().eth(kA, kB);
      const unsigned labels = 1 + random.upto(3);
      for (unsigned i = 0; i < labels; ++i) builder.mpls(1000 + i);
      random.network(builder);
      Frame frame{random.spoiled(builder.build())};
      if (frame.headers.l3_kind != SHUNT_L3_MPLS) continue;
      const Bytes before = frame.bytes();
      const std::uint16_t type = random.upto(1) == 0 ? 0x0800 : 0x86dd;
      shunt_action pop = plain(SHUNT_ACT_POP_MPLS);
      shunt_store16(pop.value, SHUNT_BE16(type));
      REQUIRE(frame.act(pop) == SHUNT_VERDICT_NEXT);
      CHECK(same(reparse_payload(view(before), 18, type).key, without_ethernet(frame.reparsed().key)));
    }
  }

  TEST_CASE("what lies behind tags is read with as many tags in front as there are left") {
    RandomFrame random{4};
    for (unsigned round = 0; round < kRounds; ++round) {
      CAPTURE(round);
      PacketBuilder builder = packet().eth(kA, kB).vlan(1).vlan(2).vlan(3);
      if (random.upto(1) == 0) builder.vlan(4);
      random.network(builder);
      const Bytes frame = builder.build();
      for (unsigned left = 0; left < 2; ++left) {
        const shunt_flow_key expected = Frame{cut_out(frame, 14, 4 * (2 - left), 0x8100)}.key;
        const Reparsed found = reparse_payload(view(frame), 22, 0x8100, left);
        CHECK(found.key.eth_type == expected.eth_type);
        CHECK(found.key.vlan[1].tci == expected.vlan[1].tci);
        if (left == 0) CHECK(same(found.key, without_ethernet(expected)));
      }
      CHECK(reparse_payload(view(frame), 22, 0x8100, 1).payload == 26);
    }
  }

  TEST_CASE("a frame behind a service tag is read as a frame of its own") {
    RandomFrame random{3};
    for (unsigned round = 0; round < kRounds; ++round) {
      CAPTURE(round);
      PacketBuilder builder = packet().eth(kA, kB);
      if (random.upto(1) == 0) builder.vlan(7);
      random.network(builder);
      const Bytes inner = random.spoiled(builder.build());
      Bytes outer(18);  // its Ethernet header and the tag: what they say does not matter
      std::copy(inner.begin(), inner.end(), std::back_inserter(outer));
      shunt_flow_key expected = Frame{inner}.key;
      expected.in_port = expected.dp_hash = 0;
      CHECK(same(reparse_frame(view(outer), 18).key, expected));
    }
  }

  TEST_CASE("only the first bytes at hand: lengths are checked against the packet's, not against these") {
    const Bytes frame = packet().eth(kA, kB).mpls(1).ipv4("10.0.0.1", "10.0.0.2").udp(5, 6).payload(1400).build();
    PacketView packet_view = view(frame);
    packet_view.frame = packet_view.frame.first(64);
    const FlowKey key = reparse_payload(packet_view, 18, 0x0800).key;
    CHECK(key.tp_src.host() == 5);
    CHECK(key.tp_dst.host() == 6);
    // Shorter than the datagram says: no IPv4.
    packet_view.length = 64;
    CHECK(reparse_payload(packet_view, 18, 0x0800).key.nw_proto == 0);
  }

  TEST_CASE("nothing is behind the packet's end") {
    const Bytes frame = packet().eth(kA, kB).mpls(1).build();
    for (const std::uint32_t offset : {18u, 19u, 100u, 0xffffu}) {
      FlowKey expected{};
      expected.eth_type = be16{0x0800};
      CHECK(same(reparse_payload(view(frame), offset, 0x0800).key, expected));
      CHECK(same(reparse_frame(view(frame), offset).key, FlowKey{}));
    }
    CHECK(reparse_frame({}, 0).payload == 0);
  }
}
