// SPDX-License-Identifier: Apache-2.0
// Bridged packets: what a flow of a port and VLAN answers by the FDB's entries, what it leaves to others, what is
// counted, and that the exact-match cache answers alike. SHUNT_SEED repeats a run, SHUNT_ROUNDS lengthens it.
#include <doctest/doctest.h>
#include <linux/bpf.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "tests/bpf/random_frames.h"
#include "tests/bpf/shared_switch.h"
#include "user/base/error.h"

namespace shunt::test {
namespace {

constexpr std::uint16_t kNumber = 7;
constexpr std::uint8_t kA[6] = {2, 0, 0, 0, 0, 0x0a}, kB[6] = {2, 0, 0, 0, 0, 0x0b}, kC[6] = {2, 0, 0, 0, 0, 0x0c};
constexpr std::uint16_t kBoth = SHUNT_FDB_UNTAGGED | SHUNT_FDB_TAGGED;

std::string text_of(const std::uint8_t (&mac)[6]) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

// Payload: so many bytes behind UDP.
Bytes frame_of(const std::uint8_t (&src)[6], const std::uint8_t (&dst)[6], bool tagged = false,
               std::size_t payload = 30) {
  auto builder = packet().eth(text_of(src).c_str(), text_of(dst).c_str());
  if (tagged) builder.vlan(7);
  return builder.ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(payload).build();
}

shunt_port_stats stats_of(Switch& sw, unsigned port) { return sw.datapath.port_stats(DpPort{port}); }

// Port 1's flow of untagged frames; a is there, b at port 2.
std::uint32_t prepare(Switch& sw) {
  const auto slot = sw.publish_bridged(1, frame_of(kA, kB), kNumber);
  sw.set_mac(kNumber, kA, 1, kBoth);
  sw.set_mac(kNumber, kB, 2, kBoth);
  return slot;
}

}  // namespace

TEST_SUITE("bridged packets") {
  TEST_CASE("a packet between two MACs that are known goes where the destination is, and is counted there") {
    Switch& sw = shared_switch();
    const Bytes frame = frame_of(kA, kB);
    for (const bool cached : {false, true}) {
      sw.reset();
      const auto slot = prepare(sw);
      sw.datapath.ports[1].round = 5;
      if (cached) sw.use_microflows(1, SHUNT_PLAIN_L2);
      for (int i = 0; i < 3; ++i) {
        const Result result = sw.run(frame);
        CHECK(result.verdict == XDP_REDIRECT);
        CHECK(result.frame == frame);
      }
      CHECK(stats_of(sw, 1).exact_hits == (cached ? 2 : 0));
      CHECK(stats_of(sw, 1).megaflow_hits == (cached ? 1 : 3));
      CHECK(sw.counted(slot).packets == 3);
      CHECK(sw.counted(slot).bytes == 3 * frame.size());
      CHECK(stats_of(sw, 2).bridged_packets == 3);
      CHECK(stats_of(sw, 2).bridged_bytes == 3 * frame.size());
      CHECK(stats_of(sw, 1).bridged_packets == 0);
      CHECK(sw.mac(kNumber, kA).used == 5);
      CHECK(sw.mac(kNumber, kB).used == 0);
    }
  }

  TEST_CASE("a frame that is padded is counted as it left") {
    Switch& sw = shared_switch();
    const auto slot = prepare(sw);
    const Bytes frame = frame_of(kA, kB, false, 3);
    REQUIRE(frame.size() < SHUNT_MIN_FRAME);
    CHECK(sw.run(frame).frame.size() == SHUNT_MIN_FRAME);
    CHECK(stats_of(sw, 2).bridged_bytes == SHUNT_MIN_FRAME);
    CHECK(sw.counted(slot).bytes == frame.size());
    CHECK(sw.delta(slot).bytes == SHUNT_MIN_FRAME - frame.size());
  }

  TEST_CASE("what does not leave is not counted as sent") {
    Switch& sw = shared_switch();
    const auto slot = prepare(sw);
    sw.datapath.ports[2].mtu = 20;
    const Bytes frame = frame_of(kA, kB);
    CHECK(sw.run(frame).verdict == XDP_DROP);
    CHECK(stats_of(sw, 1).drops[SHUNT_DROP_FRAME_TOO_LONG] == 1);
    CHECK(stats_of(sw, 2).bridged_packets == 0);
    CHECK(sw.delta(slot).lost == 1);
  }

  TEST_CASE("what the entries do not answer is left to the port's other flows") {
    Switch& sw = shared_switch();
    const Bytes frame = frame_of(kA, kB);
    const auto slot = prepare(sw);
    SUBCASE("the source is nowhere") { sw.set_mac(kNumber, kA, 0, 0); }
    SUBCASE("the source is at another port") { sw.set_mac(kNumber, kA, 3, kBoth); }
    SUBCASE("the destination is nowhere") { sw.set_mac(kNumber, kB, 0, 0); }
    SUBCASE("the destination is at the source's port") { sw.set_mac(kNumber, kB, 1, kBoth); }
    SUBCASE("the destination's port sends it otherwise") { sw.set_mac(kNumber, kB, 2, SHUNT_FDB_TAGGED); }
    SUBCASE("the entries are of another FDB") {
      sw.set_mac(kNumber, kB, 0, 0);
      sw.set_mac(kNumber + 1, kB, 2, kBoth);
    }
    shunt_flow_key mask = port_mask();
    std::fill(std::begin(mask.eth_dst), std::end(mask.eth_dst), std::uint8_t{0xff});
    const shunt_action output = output_to(3);
    const auto other = sw.publish(sw.whole_key(frame), mask, std::span{&output, 1});
    sw.use_microflows(1, SHUNT_PLAIN_L2);
    for (int i = 0; i < 3; ++i) CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    CHECK(sw.counted(slot).packets == 0);
    CHECK(sw.counted(other).packets == 3);
    CHECK(stats_of(sw, 2).bridged_packets == 0);
    CHECK(sw.mac(kNumber, kA).used == 0);
  }

  TEST_CASE("without another flow it is a miss") {
    Switch& sw = shared_switch();
    prepare(sw);
    CHECK(sw.run(frame_of(kA, kC)).verdict == XDP_DROP);  // nobody listens
    CHECK(stats_of(sw, 1).misses == 1);
    CHECK(stats_of(sw, 1).drops[SHUNT_DROP_UPCALL_NO_SOCKET] == 1);
  }

  TEST_CASE("a young entry's packets do not overtake those that are in userspace") {
    Switch& sw = shared_switch();
    const UniqueFd socket{check(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), "AF_XDP socket")};
    sw.datapath.set_xsk(DpPort{1}, QueueId{0}, socket.get());
    prepare(sw);
    const Bytes frame = frame_of(kA, kB);
    sw.set_mac(kNumber, kB, 2, kBoth | SHUNT_FDB_YOUNG);
    sw.use_microflows(1, SHUNT_PLAIN_L2);
    for (int i = 0; i < 2; ++i) CHECK(!sw.run(frame).meta);
    CHECK(stats_of(sw, 1).exact_hits == 0);
    for (auto& order : sw.datapath.order.span()) order.handed_up = 1;
    const Result result = sw.run(frame);
    REQUIRE(result.meta);
    CHECK(result.meta->reason == SHUNT_UPCALL_ORDER);
    sw.set_mac(kNumber, kB, 2, kBoth);
    CHECK(!sw.run(frame).meta);
    sw.datapath.set_xsk(DpPort{1}, QueueId{0}, -1);
  }

  TEST_CASE("an answer that the exact-match cache keeps is void with the port's number") {
    Switch& sw = shared_switch();
    prepare(sw);
    const Bytes frame = frame_of(kA, kB);
    sw.use_microflows(1, SHUNT_PLAIN_L2);
    for (int i = 0; i < 2; ++i) CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    sw.set_mac(kNumber, kB, 3, kBoth);
    sw.use_microflows(1, SHUNT_PLAIN_L2);
    for (int i = 0; i < 2; ++i) CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    CHECK(stats_of(sw, 2).bridged_packets == 2);
    CHECK(stats_of(sw, 3).bridged_packets == 2);
  }

  TEST_CASE("random packets between random MACs go where the entries say, by the cache and without it") {
    Switch& sw = shared_switch();
    for_rounds(600, [&](Random& random) {
      struct Mac {
        std::uint8_t bytes[6];
        std::uint16_t port, flags;
      };
      std::array<Mac, 6> macs{};
      sw.reset();
      for (std::size_t i = 0; i < macs.size(); ++i) {
        macs[i] = {{2, 0, 0, 0, static_cast<std::uint8_t>(random() % 4), static_cast<std::uint8_t>(i)},
                   static_cast<std::uint16_t>(random() % 4),
                   static_cast<std::uint16_t>(random() % 4)};
        sw.set_mac(kNumber, macs[i].bytes, macs[i].port, macs[i].flags);
      }
      std::uint32_t slots[2];
      for (const bool tagged : {false, true}) slots[tagged] = sw.publish_bridged(1, frame_of(kA, kB, tagged), kNumber);
      sw.use_microflows(1, random() % 2 == 0 ? SHUNT_PLAIN_L2 : 0);
      std::uint64_t sent[4] = {}, bytes[4] = {}, counted[2] = {}, misses = 0;
      for (int i = 0; i < 40; ++i) {
        const Mac &src = macs[random() % macs.size()], &dst = macs[random() % macs.size()];
        const bool tagged = random() % 2 == 0;
        const Bytes frame = frame_of(src.bytes, dst.bytes, tagged, random() % 40);
        const bool takes = (dst.flags & (tagged ? SHUNT_FDB_TAGGED : SHUNT_FDB_UNTAGGED)) != 0;
        const bool answered = src.port == 1 && dst.port > 1 && takes;
        const Result result = sw.run(frame);
        REQUIRE(result.verdict == (answered ? XDP_REDIRECT : XDP_DROP));
        if (!answered) {
          ++misses;
          continue;
        }
        ++sent[dst.port];
        ++counted[tagged];
        bytes[dst.port] += std::max<std::size_t>(frame.size(), SHUNT_MIN_FRAME);
      }
      CHECK(stats_of(sw, 1).misses == misses);
      for (unsigned port = 1; port < 4; ++port) {
        CHECK(stats_of(sw, port).bridged_packets == sent[port]);
        CHECK(stats_of(sw, port).bridged_bytes == bytes[port]);
      }
      for (int tagged = 0; tagged < 2; ++tagged) CHECK(sw.counted(slots[tagged]).packets == counted[tagged]);
    });
  }
}

}  // namespace shunt::test
