// SPDX-License-Identifier: Apache-2.0
// Hits: which flow answers, where the frame goes, what is counted.
#include <doctest/doctest.h>
#include <linux/bpf.h>

#include <algorithm>
#include <array>

#include "tests/bpf/shared_switch.h"
#include "tests/bpf/switch_fixture.h"
#include "tests/support/packet_builder.h"

namespace shunt::test {
namespace {

constexpr auto kA = "02:00:00:00:00:0a";
constexpr auto kB = "02:00:00:00:00:0b";

Bytes udp_frame(std::size_t payload = 100) {
  return packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").udp(1000, 2000).payload(payload).build();
}

std::uint32_t publish_all(Switch& sw, std::initializer_list<shunt_action> actions, std::uint8_t flags = 0,
                          unsigned port = 1) {
  shunt_flow_key key{};
  key.in_port = port;
  return sw.publish(key, port_mask(), std::span{actions.begin(), actions.size()}, flags);
}

std::uint64_t drops(Switch& sw, shunt_drop_reason reason, unsigned port = 1) {
  return sw.datapath.port_stats(DpPort{port}).drops[reason];
}

}  // namespace

TEST_SUITE("hits") {
  TEST_CASE("a frame of a cached flow is redirected as it came, and counted") {
    Switch& sw = shared_switch();
    const auto slot = publish_all(sw, {output_to(2)});
    const Bytes frame = udp_frame();
    const Result result = sw.run(frame);
    CHECK(result.verdict == XDP_REDIRECT);
    CHECK(result.frame == frame);
    CHECK(sw.counted(slot).packets == 1);
    CHECK(sw.counted(slot).bytes == frame.size());
    const auto stats = sw.datapath.port_stats(DpPort{1});
    CHECK(stats.rx_packets == 1);
    CHECK(stats.rx_bytes == frame.size());
    CHECK(stats.megaflow_hits == 1);
    CHECK(stats.exact_hits == 0);
    CHECK(stats.lookups == 1);
    CHECK(stats.misses == 0);
  }

  TEST_CASE("a frame from an interface that is no port is dropped, on nobody's account") {
    Switch& sw = shared_switch();
    publish_all(sw, {output_to(2)});
    sw.datapath.set_ifindex(sw.ifindex(1), DpPort{0});
    CHECK(sw.run(udp_frame()).verdict == XDP_DROP);
    sw.datapath.set_ifindex(sw.ifindex(1), DpPort{1});
    CHECK(drops(sw, SHUNT_DROP_NO_PORT, 0) == 1);
    CHECK(sw.run(udp_frame()).verdict == XDP_REDIRECT);
  }

  TEST_CASE("interfaces whose numbers fall on one slot are both found") {
    Switch& sw = shared_switch();
    publish_all(sw, {output_to(2)});
    // A neighbour that came first and collides.
    sw.datapath.set_ifindex(sw.ifindex(1), DpPort{0});
    const Ifindex collides{sw.ifindex(1).value + SHUNT_IFINDEX_SLOTS};
    sw.datapath.set_ifindex(collides, DpPort{3});
    sw.datapath.set_ifindex(sw.ifindex(1), DpPort{1});
    CHECK(sw.run(udp_frame()).verdict == XDP_REDIRECT);
    sw.datapath.set_ifindex(collides, DpPort{0});
    CHECK(sw.run(udp_frame()).verdict == XDP_REDIRECT);
    sw.datapath.set_ifindex(sw.ifindex(1), DpPort{1});  // moves to no second slot
    sw.datapath.set_ifindex(sw.ifindex(1), DpPort{0});
    CHECK(sw.run(udp_frame()).verdict == XDP_DROP);
    sw.datapath.set_ifindex(sw.ifindex(1), DpPort{1});
  }

  TEST_CASE("a frame shorter than 60 bytes is padded with zeros on output") {
    Switch& sw = shared_switch();
    publish_all(sw, {output_to(2)});
    Bytes frame = udp_frame(0);
    REQUIRE(frame.size() < SHUNT_MIN_FRAME);
    const Result result = sw.run(frame);
    CHECK(result.verdict == XDP_REDIRECT);
    frame.resize(SHUNT_MIN_FRAME);
    CHECK(result.frame == frame);
  }

  TEST_CASE("output to a port that is not there is a drop") {
    Switch& sw = shared_switch();
    SUBCASE("no port of that number") { publish_all(sw, {output_to(7)}); }
    SUBCASE("no interface behind it") {
      publish_all(sw, {output_to(2)});
      sw.datapath.ports[2].ifindex = 0;
    }
    SUBCASE("not in the devmap") {
      publish_all(sw, {output_to(2)});
      sw.datapath.set_tx_port(DpPort{2}, Ifindex{});
    }
    SUBCASE("a group that is empty") { publish_all(sw, {group_output(5)}); }
    CHECK(sw.run(udp_frame()).verdict == XDP_DROP);
    CHECK(drops(sw, SHUNT_DROP_NO_OUTPUT_PORT) == 1);
    sw.datapath.set_tx_port(DpPort{2}, sw.ifindex(2));
  }

  TEST_CASE("a frame longer than the output port's MTU and headers is a drop, one tag allowed for") {
    Switch& sw = shared_switch();
    publish_all(sw, {output_to(2)});
    const auto with_tag = [](std::size_t length, bool tag) {
      auto builder = packet().eth(kA, kB);
      if (tag) builder.vlan(10);
      Bytes frame = builder.ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(1400).build();
      frame.resize(length);
      return frame;
    };
    CHECK(sw.run(with_tag(1514, false)).verdict == XDP_REDIRECT);
    CHECK(sw.run(with_tag(1515, false)).verdict == XDP_DROP);
    CHECK(sw.run(with_tag(1518, true)).verdict == XDP_REDIRECT);
    CHECK(sw.run(with_tag(1519, true)).verdict == XDP_DROP);
    CHECK(drops(sw, SHUNT_DROP_FRAME_TOO_LONG) == 2);
  }

  TEST_CASE("a jumbo frame of several buffers is forwarded whole") {
    Switch& sw = shared_switch();
    publish_all(sw, {output_to(2)});
    sw.datapath.ports[2].mtu = 9000;
    const Bytes frame = udp_frame(8900);
    const Result result = sw.run(frame);
    CHECK(result.verdict == XDP_REDIRECT);
    CHECK(result.frame == frame);
  }

  TEST_CASE("a frame goes back out of its port only where the action says so") {
    Switch& sw = shared_switch();
    SUBCASE("not told") {
      publish_all(sw, {output_to(1)});
      CHECK(sw.run(udp_frame()).verdict == XDP_DROP);
      CHECK(drops(sw, SHUNT_DROP_SAME_PORT) == 1);
    }
    SUBCASE("told") {
      publish_all(sw, {output_to(1, true)});
      CHECK(sw.run(udp_frame()).verdict == XDP_REDIRECT);
    }
  }

  TEST_CASE("a drop is counted by its reason") {
    Switch& sw = shared_switch();
    for (int reason = SHUNT_DROP_NONE + 1; reason < SHUNT_DROP_COUNT; ++reason) {
      sw.reset();
      publish_all(sw, {drop_for(static_cast<shunt_drop_reason>(reason))});
      CAPTURE(reason);
      CHECK(sw.run(udp_frame()).verdict == XDP_DROP);
      CHECK(drops(sw, static_cast<shunt_drop_reason>(reason)) == 1);
    }
    sw.reset();
    publish_all(sw, {});
    CHECK(sw.run(udp_frame()).verdict == XDP_DROP);
    CHECK(drops(sw, SHUNT_DROP_RULE) == 1);
  }

  TEST_CASE("edits run in order before the output") {
    Switch& sw = shared_switch();
    const std::array<std::uint8_t, 6> mac{2, 0, 0, 0, 0, 0x77};
    publish_all(sw, {set_field(SHUNT_FIELD_ETH_DST, mac), push_vlan(0x8100, 10), simple_action(SHUNT_ACT_DEC_TTL),
                     output_to(2)});
    const Result result =
        sw.run(packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").ttl(9).udp(1, 2).payload(50).build());
    CHECK(result.verdict == XDP_REDIRECT);
    const auto key = key_of(result.frame);
    CHECK(std::equal(mac.begin(), mac.end(), key.eth_dst));
    CHECK(key.vlan[0].tci.host() == (SHUNT_VLAN_PRESENT | 10));
    CHECK(key.nw_ttl == 8);
  }

  TEST_CASE("truncation cuts the frame that goes out") {
    Switch& sw = shared_switch();
    publish_all(sw, {simple_action(SHUNT_ACT_TRUNCATE, 80), output_to(2)});
    Bytes frame = udp_frame(500);
    const Result result = sw.run(frame);
    CHECK(result.verdict == XDP_REDIRECT);
    frame.resize(80);
    CHECK(result.frame == frame);
  }
}

TEST_SUITE("look-up") {
  TEST_CASE("a flow of another generation does not answer") {
    Switch& sw = shared_switch();
    publish_all(sw, {output_to(2)});
    CHECK(sw.run(udp_frame()).verdict == XDP_REDIRECT);
    sw.datapath.ports[1].generation = 2;
    CHECK(sw.run(udp_frame()).verdict != XDP_REDIRECT);
    CHECK(sw.datapath.port_stats(DpPort{1}).misses == 1);
  }

  TEST_CASE("a flow whose slot is dead does not answer") {
    Switch& sw = shared_switch();
    const auto slot = publish_all(sw, {output_to(2)});
    sw.datapath.flows[slot].head.generation = 0;
    CHECK(sw.run(udp_frame()).verdict == XDP_DROP);
    CHECK(sw.datapath.port_stats(DpPort{1}).misses == 1);
  }

  TEST_CASE("a bit outside the mask does not matter, one inside does") {
    Switch& sw = shared_switch();
    const Bytes frame = udp_frame();
    shunt_flow_key mask = port_mask();
    mask.tp_dst = shunt_be16{0xfff0};
    const shunt_action out = output_to(2);
    sw.publish(key_of(frame), mask, std::span{&out, 1});
    const auto to_port = [](std::uint16_t port) {
      return packet().eth(kB, kA).ipv4("10.9.0.1", "10.0.0.2").udp(7, port).payload(40).build();
    };
    CHECK(sw.run(to_port(2000)).verdict == XDP_REDIRECT);
    CHECK(sw.run(to_port(2000 ^ 0x000f)).verdict == XDP_REDIRECT);
    CHECK(sw.run(to_port(2000 ^ 0x0010)).verdict == XDP_DROP);
  }

  TEST_CASE("all masks of the port's list are asked, and no other") {
    Switch& sw = shared_switch();
    const Bytes frame = udp_frame();
    const shunt_action out = output_to(2);
    const shunt_action drop = drop_for(SHUNT_DROP_RULE);
    for (unsigned i = 0; i < SHUNT_PORT_MASKS - 1; ++i) {
      shunt_flow_key mask = port_mask();
      mask.eth_src[5] = 0xff;
      mask.nw_tos = static_cast<__u8>(i + 1);
      shunt_flow_key key = key_of(frame);
      key.eth_src[5] ^= 1;
      sw.publish(key, mask, std::span{&drop, 1});
    }
    sw.publish(key_of(frame), port_mask(), std::span{&out, 1});
    CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    CHECK(sw.datapath.port_stats(DpPort{1}).lookups == SHUNT_PORT_MASKS);
    --sw.datapath.ports[1].mask_count;
    CHECK(sw.run(frame).verdict == XDP_DROP);
    CHECK(sw.datapath.port_stats(DpPort{1}).lookups == 2 * SHUNT_PORT_MASKS - 1);
  }

  TEST_CASE("exactly cached flows are asked last, on ports that have some") {
    Switch& sw = shared_switch();
    const Bytes frame = udp_frame();
    const shunt_action out = output_to(2);
    sw.publish(sw.whole_key(frame), exact_mask(), std::span{&out, 1});
    CHECK(sw.run(frame).verdict == XDP_DROP);
    sw.datapath.ports[1].flags = SHUNT_PORT_EXACT;
    CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    CHECK(sw.run(udp_frame(99)).verdict == XDP_REDIRECT);  // the same key
    CHECK(
        sw.run(packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").ttl(3).udp(1000, 2000).payload(100).build()).verdict ==
        XDP_DROP);
  }

  TEST_CASE("a flow that its index bucket had no room for is found in the table") {
    Switch& sw = shared_switch();
    const Bytes frame = udp_frame();
    const shunt_action out = output_to(2);
    const auto slot = sw.publish_overflowed(key_of(frame), port_mask(), std::span{&out, 1});
    CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    CHECK(sw.counted(slot).packets == 1);
  }

  TEST_CASE("a foreign flow behind the same tag does not hide the packet's own") {
    Switch& sw = shared_switch();
    const Bytes frame = udp_frame();
    const shunt_action out = output_to(2);
    const auto slot = publish_all(sw, {output_to(2)});
    sw.datapath.flows[slot].key[0] ^= 1;  // as if another key had met bucket and tag
    shunt_megaflow_key masked{};
    masked.key.in_port = 1;
    masked.mask = sw.add_mask(port_mask());
    const auto found = sw.datapath.megaflows().find(masked);
    REQUIRE(found);
    CHECK(sw.run(frame).verdict == XDP_DROP);
    const auto other = sw.publish_overflowed(key_of(frame), port_mask(), std::span{&out, 1});
    CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    CHECK(sw.counted(other).packets == 1);
  }

  TEST_CASE("hints answer what a late mask answered before, and are checked") {
    Switch& sw = shared_switch();
    sw.clear_hints();
    const Bytes frame = udp_frame();
    const shunt_action out = output_to(2);
    const shunt_action drop = drop_for(SHUNT_DROP_RULE);
    shunt_flow_key all = port_mask();
    for (unsigned i = 0; i < 3; ++i) {
      shunt_flow_key mask = port_mask();
      mask.nw_tos = static_cast<__u8>(0x80 >> i);
      mask.tp_dst = shunt_be16{0xffff};
      shunt_flow_key key = key_of(frame);
      key.tp_dst = shunt_be16{9};
      sw.publish(key, mask, std::span{&drop, 1});
      all.nw_tos = static_cast<__u8>(all.nw_tos | mask.nw_tos);
      all.tp_dst = mask.tp_dst;
    }
    const auto slot = sw.publish(key_of(frame), port_mask(), std::span{&out, 1});
    sw.set_union_mask(all);
    sw.datapath.ports[1].flags = SHUNT_PORT_HINTS;
    CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    CHECK(sw.datapath.port_stats(DpPort{1}).exact_hits == 0);
    CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    CHECK(sw.datapath.port_stats(DpPort{1}).exact_hits == 1);
    CHECK(sw.datapath.port_stats(DpPort{1}).megaflow_hits == 1);
    CHECK(sw.counted(slot).packets == 2);

    SUBCASE("the flow is gone") { sw.datapath.flows[slot].head.generation = 0; }
    SUBCASE("the port's flows were flushed") { sw.datapath.ports[1].generation = 7; }
    SUBCASE("the slot is another flow's now") { sw.datapath.flows[slot].key[0] ^= 1; }
    CHECK(sw.run(frame).verdict == XDP_DROP);
    CHECK(sw.datapath.port_stats(DpPort{1}).exact_hits == 1);
  }
}

}  // namespace shunt::test
