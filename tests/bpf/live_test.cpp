// SPDX-License-Identifier: Apache-2.0
// Frames over real veths: what a test run does not do (devmaps), and swapping programs under it.
#include <doctest/doctest.h>

#include <chrono>

#include "tests/bpf/shared_switch.h"
#include "tests/bpf/wire.h"
#include "tests/support/packet_builder.h"

namespace shunt::test {
namespace {

using namespace std::chrono_literals;

constexpr auto kSoon = 2s;
constexpr auto kNever = 60ms;

void publish_all(Switch& sw, std::initializer_list<shunt_action> actions) {
  shunt_flow_key key{};
  key.in_port = 1;
  sw.publish(key, port_mask(), std::span{actions.begin(), actions.size()});
}

Bytes tagged_frame(std::size_t payload) {
  return packet()
      .eth("02:00:00:00:00:0a", kBroadcast)
      .vlan(10)
      .ipv4("10.0.0.1", "10.0.0.2")
      .udp(1, 2)
      .payload(payload)
      .build();
}

}  // namespace

TEST_SUITE("live") {
  TEST_CASE("a flood reaches all members but the ingress port") {
    Switch& sw = shared_switch();
    Wire in{sw.peer(1)}, out{sw.peer(2)}, other{sw.peer(3)};
    const Ifindex members[]{sw.ifindex(1), sw.ifindex(2), sw.ifindex(3)};
    REQUIRE(sw.datapath.set_group(1, members) == 0);
    publish_all(sw, {group_output(1)});
    for (std::size_t payload : {0U, 14U, 700U}) {
      CAPTURE(payload);
      Bytes frame = tagged_frame(payload);
      in.send(frame);
      frame.resize(std::max<std::size_t>(frame.size(), SHUNT_MIN_FRAME));
      CHECK(out.receive(kSoon) == frame);
      CHECK(other.receive(kSoon) == frame);
      CHECK(!in.receive(kNever));
    }
    SUBCASE("a group that lost a member floods to the rest") {
      REQUIRE(sw.datapath.set_group(1, std::span{members}.first(2)) == 0);
      in.send(tagged_frame(100));
      CHECK(out.receive(kSoon));
      CHECK(!other.receive(kNever));
    }
    REQUIRE(sw.datapath.set_group(1, {}) == 0);
  }

  TEST_CASE("a group skips an interface that has vanished") {
    Switch& sw = shared_switch();
    const Ifindex members[]{Ifindex{0x7ffffff0}, sw.ifindex(2)};
    CHECK(sw.datapath.set_group(1, members) == 0);
    Wire in{sw.peer(1)}, out{sw.peer(2)};
    publish_all(sw, {group_output(1)});
    in.send(tagged_frame(64));
    CHECK(out.receive(kSoon));
    CHECK(sw.datapath.set_group(1, {}) == 0);
  }

  TEST_CASE("more features swap the program on every port, and flows, maps and counters stay") {
    Switch sw{0, 1024, 2};
    CHECK(sw.datapath.features() == 0);
    Wire in{sw.peer(1)}, out{sw.peer(2)};
    publish_all(sw, {output_to(2)});
    const Bytes frame = tagged_frame(64);
    in.send(frame);
    CHECK(out.receive(kSoon) == frame);

    // A rule on UDP ports: the small program does not parse them, so the flow cannot answer.
    const shunt_action drop = drop_for(SHUNT_DROP_RULE);
    shunt_flow_key mask = port_mask();
    mask.tp_dst = shunt_be16{0xffff};
    const auto before = Datapath::query(sw.ifindex(1));
    const auto swap = [&](std::uint32_t features) { sw.datapath.require_features(features); };
    sw.reset();
    sw.publish(key_of(frame), mask, std::span{&drop, 1});
    CHECK(sw.run(frame).verdict == 1);
    CHECK(sw.datapath.port_stats(DpPort{1}).misses == 1);

    swap(SHUNT_FEATURE_L3 | SHUNT_FEATURE_L4);
    CHECK(sw.datapath.features() == (SHUNT_FEATURE_L3 | SHUNT_FEATURE_L4));
    const auto after = Datapath::query(sw.ifindex(1));
    CHECK(after.id != before.id);
    CHECK(Datapath::query(sw.ifindex(2)).id == after.id);
    in.send(frame);
    CHECK(!out.receive(kNever));
    CHECK(sw.datapath.port_stats(DpPort{1}).misses == 1);
    CHECK(sw.datapath.port_stats(DpPort{1}).drops[SHUNT_DROP_RULE] == 1);

    swap(SHUNT_FEATURE_L3);  // what is there already: nothing happens
    CHECK(Datapath::query(sw.ifindex(1)).id == after.id);
  }

  TEST_CASE("a program without edits hands up the flows that need them, and truncates") {
    Switch sw{SHUNT_FEATURE_L3, 1024, 2};
    const std::uint8_t mac[]{2, 0, 0, 0, 0, 9};
    publish_all(sw, {set_field(SHUNT_FIELD_ETH_DST, mac), output_to(2)});
    CHECK(sw.run(tagged_frame(64)).verdict == 1);  // there is no socket to go up to
    CHECK(sw.datapath.port_stats(DpPort{1}).drops[SHUNT_DROP_UPCALL_NO_SOCKET] == 1);
    sw.reset();
    publish_all(sw, {simple_action(SHUNT_ACT_TRUNCATE, 70), output_to(2)});
    CHECK(sw.run(tagged_frame(64)).frame.size() == 70);
  }

  TEST_CASE("a port whose interface vanished does not keep the others from their new program") {
    Switch sw{0, 1024, 2};
    run_command("ip link del " + sw.interface(2));
    sw.datapath.require_features(SHUNT_FEATURE_ALL);
    CHECK(sw.datapath.features() == SHUNT_FEATURE_ALL);
    CHECK(Datapath::query(sw.ifindex(1)).id != 0);
    sw.datapath.detach(sw.ifindex(2));
    run_command("ip link add " + sw.interface(2) + " type veth peer name " + sw.peer(2));  // for the fixture to remove
  }
}

}  // namespace shunt::test
