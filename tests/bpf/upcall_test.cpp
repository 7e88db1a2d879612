// SPDX-License-Identifier: Apache-2.0
// What goes up: each reason, the metadata, the budget, the order gate; partial checksums.
#include <bpf/bpf.h>
#include <doctest/doctest.h>
#include <linux/bpf.h>
#include <sys/socket.h>
#include <unistd.h>

#include <barrier>
#include <chrono>
#include <thread>
#include <utility>

#include "tests/bpf/shared_switch.h"
#include "tests/bpf/switch_fixture.h"
#include "tests/support/packet_builder.h"
#include "user/base/clock.h"
#include "user/base/error.h"

namespace shunt::test {
namespace {

constexpr auto kA = "02:00:00:00:00:0a";
constexpr auto kB = "02:00:00:00:00:0b";

// A switch whose port 1 has a socket to go up to: none of its frames is ever sent there by a test run.
struct WithSocket {
  Switch& sw = shared_switch();
  UniqueFd socket{check(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), "AF_XDP socket")};
  WithSocket() { sw.datapath.set_xsk(DpPort{1}, QueueId{0}, socket.get()); }
  ~WithSocket() { sw.datapath.set_xsk(DpPort{1}, QueueId{0}, -1); }
  WithSocket(const WithSocket&) = delete;

  [[nodiscard]] shunt_port_stats stats() const { return sw.datapath.port_stats(DpPort{1}); }
  std::uint32_t publish_all(std::initializer_list<shunt_action> actions, std::uint8_t flags = 0) {
    shunt_flow_key key{};
    key.in_port = 1;
    return sw.publish(key, port_mask(), std::span{actions.begin(), actions.size()}, flags);
  }
  // The frame goes up unchanged, for this reason and once.
  void check_up(const Bytes& frame, shunt_upcall_reason reason) {
    const auto before = stats().upcalls[reason];
    const Result result = sw.run(frame);
    CHECK(result.verdict == XDP_REDIRECT);
    REQUIRE(result.meta);
    CHECK(result.meta->magic == SHUNT_UPCALL_MAGIC);
    CHECK(result.meta->in_port == 1);
    const auto age = Clock::now().time_since_epoch() - std::chrono::nanoseconds{result.meta->handed_up};
    CHECK(age.count() >= 0);
    CHECK(age < std::chrono::seconds{5});
    CHECK(int{result.meta->reason} == int{reason});
    CHECK(result.frame == frame);
    CHECK(stats().upcalls[reason] == before + 1);
  }
};

Bytes udp_frame(std::size_t payload = 100, std::uint8_t ttl = 64) {
  return packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").ttl(ttl).udp(1000, 2000).payload(payload).build();
}

}  // namespace

TEST_SUITE("upcalls") {
  TEST_CASE("a miss goes up with its metadata") {
    WithSocket up;
    up.check_up(udp_frame(), SHUNT_UPCALL_MISS);
    CHECK(up.stats().misses == 1);
  }

  TEST_CASE("without a socket a miss is a drop, and is not counted as under way") {
    Switch& sw = shared_switch();
    CHECK(sw.run(udp_frame()).verdict == XDP_DROP);
    CHECK(sw.datapath.port_stats(DpPort{1}).drops[SHUNT_DROP_UPCALL_NO_SOCKET] == 1);
    for (const auto& order : sw.datapath.order.span()) REQUIRE(order.handed_up == 0);
  }

  TEST_CASE("a rule's own way to userspace carries its reason") {
    for (auto reason : {SHUNT_UPCALL_ACTION, SHUNT_UPCALL_UNSUPPORTED}) {
      WithSocket up;
      up.publish_all({userspace_for(reason)});
      up.check_up(udp_frame(), reason);
    }
  }

  TEST_CASE("a TTL that expires here goes up, as the frame came") {
    WithSocket up;
    const std::uint8_t tos[]{0x20};
    const std::uint8_t ttl[]{2};
    SUBCASE("at once") { up.publish_all({simple_action(SHUNT_ACT_DEC_TTL), output_to(2)}); }
    SUBCASE("after another edit") {
      up.publish_all({set_field(SHUNT_FIELD_IP_TOS, tos), simple_action(SHUNT_ACT_DEC_TTL), output_to(2)});
    }
    SUBCASE("after a set of the TTL") {
      up.publish_all({set_field(SHUNT_FIELD_IP_TTL, ttl), simple_action(SHUNT_ACT_DEC_TTL),
                      simple_action(SHUNT_ACT_DEC_TTL), output_to(2)});
    }
    up.check_up(udp_frame(100, 1), SHUNT_UPCALL_TTL);
  }

  TEST_CASE("a TTL that was set first does not expire") {
    WithSocket up;
    const std::uint8_t ttl[]{9};
    up.publish_all({set_field(SHUNT_FIELD_IP_TTL, ttl), simple_action(SHUNT_ACT_DEC_TTL), output_to(2)});
    const Result result = up.sw.run(udp_frame(100, 1));
    CHECK(!result.meta);
    CHECK(key_of(result.frame).nw_ttl == 8);
  }

  TEST_CASE("an edit that the kernel side cannot make goes up, as the frame came") {
    WithSocket up;
    const std::uint8_t port[]{0, 7};
    const std::uint8_t mac[]{2, 0, 0, 0, 0, 9};
    up.publish_all({set_field(SHUNT_FIELD_ETH_DST, mac), set_field(SHUNT_FIELD_TP_DST, port), output_to(2)});
    // A fragment's SCTP checksum covers what is not here.
    up.check_up(packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").fragment(0, true).sctp(5, 6).payload(64).build(),
                SHUNT_UPCALL_EDIT);
  }

  TEST_CASE("a flood of a frame of several buffers goes up") {
    WithSocket up;
    const Ifindex members[]{up.sw.ifindex(2), up.sw.ifindex(3)};
    REQUIRE(up.sw.datapath.set_group(1, members) == 0);
    const std::uint8_t mac[]{2, 0, 0, 0, 0, 9};
    up.publish_all({set_field(SHUNT_FIELD_ETH_DST, mac), group_output(1)});
    up.check_up(udp_frame(8000), SHUNT_UPCALL_JUMBO_FLOOD);
    CHECK(!up.sw.run(udp_frame(1000)).meta);
    REQUIRE(up.sw.datapath.set_group(1, {}) == 0);
  }

  TEST_CASE("a frame of several buffers goes up where the port's driver takes none, whatever else is done to it") {
    WithSocket up;
    const std::uint8_t mac[]{2, 0, 0, 0, 0, 9};
    shunt_port& port = up.sw.datapath.ports[2];
    const std::uint32_t mtu = std::exchange(port.mtu, 9000);
    const auto check = [&] {
      CHECK(!up.sw.run(udp_frame(8000)).meta);
      port.flags |= SHUNT_PORT_NO_FRAGS;
      up.check_up(udp_frame(8000), SHUNT_UPCALL_JUMBO_FLOOD);
      CHECK(!up.sw.run(udp_frame(1000)).meta);
      port.flags &= ~__u32{SHUNT_PORT_NO_FRAGS};
    };
    up.publish_all({output_to(2)});
    check();
    up.publish_all({set_field(SHUNT_FIELD_ETH_DST, mac), output_to(2)});
    check();
    port.mtu = mtu;
  }

  TEST_CASE("headers behind the first buffer go up") {
    WithSocket up;
    up.publish_all({output_to(2)});
    auto builder = packet().eth(kA, kB).ipv6("fd00::1", "fd00::2");
    for (int i = 0; i < 3; ++i) builder.dst_options(2048);
    up.check_up(builder.udp(1, 2).payload(10).build(), SHUNT_UPCALL_DEEP_HEADER);
  }

  TEST_CASE("the budget of misses is the port's, and refills with time") {
    WithSocket up;
    up.sw.datapath.ports[1].upcall_burst = 5;
    const Bytes frame = udp_frame();
    SUBCASE("no rate: none go up") {
      up.sw.datapath.ports[1].upcall_rate = 0;
      CHECK(up.sw.run(frame).verdict == XDP_DROP);
      CHECK(up.stats().drops[SHUNT_DROP_UPCALL_BUDGET] == 1);
    }
    SUBCASE("a burst, then the rate") {
      up.sw.datapath.ports[1].upcall_rate = 20;
      std::this_thread::sleep_for(std::chrono::milliseconds(300));  // full, whatever was left
      for (int i = 0; i < 30; ++i) (void)up.sw.run(frame);
      const auto passed = up.stats().upcalls[SHUNT_UPCALL_MISS];
      CHECK(passed >= 5);
      CHECK(passed <= 10);  // some refill while it runs
      CHECK(up.stats().drops[SHUNT_DROP_UPCALL_BUDGET] == 30 - passed);
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      CHECK(up.sw.run(frame).meta);
    }
  }

  TEST_CASE("two CPUs that find a fresh budget at once both take of it") {
    WithSocket up;
    const UniqueFd budgets = up.sw.pinned(SHUNT_MAP_UPCALL_BUDGET);
    const Bytes frame = udp_frame();
    constexpr int kTimes = 20'000;  // some of these meet the other half way
    std::barrier together{2};
    const auto take = [&](bool empties) {
      for (int i = 0; i < kTimes; ++i) {
        const __u32 port = 1;
        const shunt_budget fresh{};
        if (empties) check_libbpf(bpf_map_update_elem(budgets.get(), &port, &fresh, BPF_ANY), "a fresh budget");
        together.arrive_and_wait();
        (void)up.sw.run(frame);
        together.arrive_and_wait();
      }
    };
    std::thread other{take, false};
    take(true);
    other.join();
    CHECK(up.stats().upcalls[SHUNT_UPCALL_MISS] == 2 * kTimes);
    CHECK(up.stats().drops[SHUNT_DROP_UPCALL_BUDGET] == 0);
  }

  TEST_CASE("a young flow forwards only when none of its packets is in userspace") {
    WithSocket up;
    const Bytes frame = udp_frame();
    const Result miss = up.sw.run(frame);
    REQUIRE(miss.meta);
    shunt_order& order = up.sw.datapath.order[miss.meta->order];
    CHECK(order.handed_up == 1);
    const auto slot = up.publish_all({output_to(2)}, SHUNT_FLOW_YOUNG);
    up.check_up(frame, SHUNT_UPCALL_ORDER);
    CHECK(up.sw.counted(slot).packets == 0);
    CHECK(order.handed_up == 2);
    order.finished = 1;
    up.check_up(frame, SHUNT_UPCALL_ORDER);
    order.finished = 3;
    CHECK(!up.sw.run(frame).meta);
    CHECK(up.sw.counted(slot).packets == 1);
    order.finished = 2;
    up.sw.datapath.flows[slot].head.flags &= static_cast<__u8>(~SHUNT_FLOW_YOUNG);
    CHECK(!up.sw.run(frame).meta);
  }

  TEST_CASE("packets of one connection share a bucket, whatever their flags, TTL and ToS") {
    WithSocket up;
    const auto bucket = [&](const Bytes& frame) { return up.sw.run(frame).meta.value().order; };
    const auto tcp = [](std::uint16_t flags, std::uint8_t ttl) {
      return packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").ttl(ttl).tcp(1, 2).flags(flags).payload(30).build();
    };
    CHECK(bucket(tcp(0x02, 64)) == bucket(tcp(0x18, 63)));
    int different = 0;
    for (std::uint16_t port = 1; port <= 20; ++port)
      different += bucket(packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").udp(port, 9).payload(30).build()) !=
                   bucket(tcp(0x10, 64));
    CHECK(different >= 18);
    const auto fragment = [](std::uint16_t offset, bool more) {
      return packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").fragment(offset, more).udp(1, 2).payload(64).build();
    };
    CHECK(bucket(fragment(0, true)) == bucket(fragment(8, false)));
  }
}

TEST_SUITE("partial checksums") {
  TEST_CASE("are completed on ports with a local stack behind, and nowhere else") {
    Switch& sw = shared_switch();
    shunt_flow_key key{};
    key.in_port = 1;
    const shunt_action out = output_to(2);
    sw.publish(key, port_mask(), std::span{&out, 1});
    sw.datapath.ports[2].mtu = 9000;
    const PacketBuilder frames[]{
        packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2).payload(1400),
        packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(333),
        packet().eth(kA, kB).ipv6("fd00::1", "fd00::2").tcp(1, 2).payload(77),
        packet().eth(kA, kB).vlan(5).ipv6("fd00::1", "fd00::2").udp(1, 2).payload(1),
        packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").ip_options(8).tcp(1, 2).payload(64),
        packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2).payload(8900),  // several buffers
        packet().eth(kA, kB).ipv6("fd00::1", "fd00::2").tcp(1, 2).payload(8191),
    };
    for (PacketBuilder builder : frames) {
      const Bytes frame = builder.build();
      const Bytes partial = builder.partial_checksum().build();
      CAPTURE(frame.size());
      REQUIRE(partial != frame);
      sw.datapath.ports[1].flags = SHUNT_PORT_LOCAL_STACK;
      CHECK(sw.run(partial).frame == frame);
      CHECK(sw.run(frame).frame == frame);
      sw.datapath.ports[1].flags = 0;
      CHECK(sw.run(partial).frame == partial);
    }
  }

  TEST_CASE("that the kernel side cannot complete go up") {
    WithSocket up;
    up.publish_all({output_to(2)});
    up.sw.datapath.ports[1].flags = SHUNT_PORT_LOCAL_STACK;
    PacketBuilder builder = packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2").sctp(5, 6).payload(64);
    CHECK(!up.sw.run(builder.build()).meta);
    up.check_up(builder.partial_checksum().build(), SHUNT_UPCALL_CHECKSUM);
  }
}

}  // namespace shunt::test
