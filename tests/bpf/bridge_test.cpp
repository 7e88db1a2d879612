// SPDX-License-Identifier: Apache-2.0
// Bridged packets: what a flow of a port and VLAN answers by the FDB's entries, what it leaves to others, what is
// counted, and that the exact-match cache answers alike. SHUNT_SEED repeats a run, SHUNT_ROUNDS lengthens it.
#include <doctest/doctest.h>
#include <linux/bpf.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <vector>

#include "bpf/datapath/fdb.h"
#include "tests/bpf/random_frames.h"
#include "tests/bpf/shared_switch.h"
#include "user/base/error.h"

namespace shunt::test {
namespace {

constexpr std::uint16_t kNumber = 7;
constexpr std::uint8_t kA[6] = {2, 0, 0, 0, 0, 0x0a}, kB[6] = {2, 0, 0, 0, 0, 0x0b}, kC[6] = {2, 0, 0, 0, 0, 0x0c};
constexpr std::uint16_t kBoth = SHUNT_FDB_UNTAGGED | SHUNT_FDB_TAGGED;
// What the exact-match cache's keys hold where it keeps the flow, and the entries are asked; else it keeps pairs.
constexpr std::uint32_t kKept = SHUNT_PLAIN_L2 | SHUNT_PLAIN_BRIDGE;

std::string text_of(const std::uint8_t (&mac)[6]) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

// Payload: so many bytes behind UDP.
Bytes frame_of(const std::uint8_t (&src)[6], const std::uint8_t (&dst)[6], bool tagged = false,
               std::size_t payload = 30, bool ipv6 = false) {
  auto builder = packet().eth(text_of(src).c_str(), text_of(dst).c_str());
  if (tagged) builder.vlan(7);
  ipv6 ? builder.ipv6("fd00::1", "fd00::2") : builder.ipv4("10.0.0.1", "10.0.0.2");
  return builder.udp(1, 2).payload(payload).build();
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
      if (cached) sw.use_microflows(1, kKept);
      for (std::uint32_t i = 0; i < 3; ++i) {
        const Result result = sw.run(frame);
        CHECK(result.verdict == XDP_REDIRECT);
        CHECK(result.frame == frame);
        CHECK((sw.mac(kNumber, kA) & SHUNT_FDB_USED) != 0);
        if (i == 1) sw.set_mac(kNumber, kA, 1, kBoth);  // userspace has seen it
      }
      CHECK(stats_of(sw, 1).exact_hits == (cached ? 2 : 0));
      CHECK(stats_of(sw, 1).megaflow_hits == (cached ? 1 : 3));
      CHECK(sw.counted(slot).packets == 3);
      CHECK(sw.counted(slot).bytes == 3 * frame.size());
      CHECK(stats_of(sw, 2).bridged_packets == 3);
      CHECK(stats_of(sw, 2).bridged_bytes == 3 * frame.size());
      CHECK(stats_of(sw, 1).bridged_packets == 0);
      CHECK((sw.mac(kNumber, kB) & SHUNT_FDB_USED) == 0);
    }
  }

  TEST_CASE("IPv6 under keys that hold its addresses is answered likewise, whichever MACs it is between") {
    Switch& sw = shared_switch();
    for (const bool asked : {false, true}) {
      sw.reset();
      const auto slot = prepare(sw);
      sw.set_mac(kNumber, kC, 3, kBoth);
      sw.use_microflows(1, SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3 | (asked ? SHUNT_PLAIN_BRIDGE : 0));
      for (unsigned i = 0; i < 3; ++i)
        for (const auto* to : {&kB, &kC})
          CHECK(sw.run(frame_of(kA, *to, false, 30, true)).verdict == XDP_REDIRECT);
      CHECK(stats_of(sw, 1).exact_hits == (asked ? 5 : 4));
      CHECK(stats_of(sw, 2).bridged_packets == 3);
      CHECK(stats_of(sw, 3).bridged_packets == 3);
      CHECK(sw.counted(slot).packets == 6);
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
    sw.use_microflows(1, kKept);
    for (int i = 0; i < 3; ++i) CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    CHECK(sw.counted(slot).packets == 0);
    CHECK(sw.counted(other).packets == 3);
    CHECK(stats_of(sw, 2).bridged_packets == 0);
    CHECK((sw.mac(kNumber, kA) & SHUNT_FDB_USED) == 0);
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
    sw.use_microflows(1, kKept);
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

  TEST_CASE("an answer for a pair of MACs that the exact-match cache keeps is void with the port's number") {
    Switch& sw = shared_switch();
    prepare(sw);
    const Bytes frame = frame_of(kA, kB);
    sw.use_microflows(1, SHUNT_PLAIN_L2);
    for (int i = 0; i < 2; ++i) CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    sw.set_mac(kNumber, kB, 3, kBoth);
    sw.use_microflows(1, SHUNT_PLAIN_L2);
    for (int i = 0; i < 2; ++i) CHECK(sw.run(frame).verdict == XDP_REDIRECT);
    CHECK(stats_of(sw, 1).exact_hits == 2);
    CHECK(stats_of(sw, 2).bridged_packets == 2);
    CHECK(stats_of(sw, 3).bridged_packets == 2);
  }

  TEST_CASE("the exact-match cache knows the flow by any of its packets, and asks the entries each time") {
    Switch& sw = shared_switch();
    const auto slot = prepare(sw);
    sw.use_microflows(1, kKept);
    REQUIRE(sw.run(frame_of(kA, kB)).verdict == XDP_REDIRECT);
    REQUIRE(stats_of(sw, 1).megaflow_hits == 1);
    SUBCASE("of other MACs") {
      sw.set_mac(kNumber, kC, 3, kBoth);
      CHECK(sw.run(frame_of(kA, kC)).verdict == XDP_REDIRECT);
      CHECK(stats_of(sw, 3).bridged_packets == 1);
      CHECK(stats_of(sw, 1).exact_hits == 1);
      CHECK(sw.counted(slot).packets == 2);
    }
    SUBCASE("of one that has moved") {
      sw.set_mac(kNumber, kB, 3, kBoth);
      CHECK(sw.run(frame_of(kA, kB)).verdict == XDP_REDIRECT);
      CHECK(stats_of(sw, 3).bridged_packets == 1);
      CHECK(stats_of(sw, 1).exact_hits == 1);
    }
    SUBCASE("not of one whose entry is gone") {
      sw.set_mac(kNumber, kB, 0, 0);
      CHECK(sw.run(frame_of(kA, kB)).verdict == XDP_DROP);
      CHECK(stats_of(sw, 1).misses == 1);
    }
    SUBCASE("not of a source that is elsewhere") {
      sw.set_mac(kNumber, kA, 3, kBoth);
      CHECK(sw.run(frame_of(kA, kB)).verdict == XDP_DROP);
      CHECK(stats_of(sw, 1).misses == 1);
    }
    SUBCASE("not of frames in another form") {
      CHECK(sw.run(frame_of(kA, kB, true)).verdict == XDP_DROP);
      CHECK(stats_of(sw, 1).misses == 1);
    }
    SUBCASE("not when the flow is gone, and the port's number has changed") {
      sw.use_microflows(1, kKept);
      sw.datapath.flows[slot].head.generation = 0;
      CHECK(sw.run(frame_of(kA, kB)).verdict == XDP_DROP);
      CHECK(stats_of(sw, 1).misses == 1);
    }
    SUBCASE("not while an entry is young, and packets are in userspace") {
      const UniqueFd socket{check(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), "AF_XDP socket")};
      sw.datapath.set_xsk(DpPort{1}, QueueId{0}, socket.get());
      for (auto& order : sw.datapath.order.span()) order.handed_up = 1;
      for (const bool source : {true, false}) {
        constexpr std::uint16_t kYoung = kBoth | SHUNT_FDB_YOUNG;
        sw.set_mac(kNumber, kA, 1, source ? kYoung : kBoth);
        sw.set_mac(kNumber, kB, 2, source ? kBoth : kYoung);
        const Result result = sw.run(frame_of(kA, kB));
        REQUIRE(result.meta);
        CHECK(result.meta->reason == SHUNT_UPCALL_ORDER);
      }
      sw.datapath.set_xsk(DpPort{1}, QueueId{0}, -1);
    }
  }

  TEST_CASE("each of a port's flows is kept under a key of its own") {
    Switch& sw = shared_switch();
    const auto bridged = prepare(sw);
    shunt_flow_key mask = port_mask();
    for (auto* mac : {&mask.eth_dst, &mask.eth_src}) std::fill(std::begin(*mac), std::end(*mac), std::uint8_t{0xff});
    const shunt_action output = output_to(3);
    const auto of_pair = sw.publish(sw.whole_key(frame_of(kA, kC)), mask, std::span{&output, 1});
    sw.use_microflows(1, kKept);
    for (int i = 0; i < 3; ++i)
      for (const auto* to : {&kB, &kC}) REQUIRE(sw.run(frame_of(kA, *to)).verdict == XDP_REDIRECT);
    CHECK(sw.counted(bridged).packets == 3);
    CHECK(sw.counted(of_pair).packets == 3);
    CHECK(stats_of(sw, 1).exact_hits == 4);
    CHECK(stats_of(sw, 2).bridged_packets == 3);
    CHECK(stats_of(sw, 3).bridged_packets == 0);
  }

  TEST_CASE("an entry is found in any place of any of its buckets") {
    Switch& sw = shared_switch();
    prepare(sw);
    const auto first_of = [&](const std::uint8_t (&mac)[6]) {
      std::uint64_t bytes = 0;
      std::memcpy(&bytes, mac, sizeof mac);
      const std::uint64_t spread = shunt_fdb_spread(SHUNT_FDB_KEY(bytes, kNumber), sw.datapath.config().hash_seed,
                                                    sw.datapath.config().hash_multiplier);
      return shunt_fdb_bucket_of(spread, 0);
    };
    // As many as the buckets of one MAC hold, and one that finds no room.
    constexpr std::size_t kRoom = SHUNT_FDB_PROBES * SHUNT_FDB_ENTRIES;
    struct Mac {
      std::uint8_t bytes[6];
    };
    std::vector<Mac> macs;
    const std::uint32_t first = (std::max(first_of(kA), first_of(kB)) + SHUNT_FDB_PROBES) % SHUNT_FDB_BUCKETS;
    for (std::uint32_t number = 0; macs.size() <= kRoom; ++number) {
      Mac mac{{2, 1}};
      std::memcpy(mac.bytes + 2, &number, sizeof number);
      if (first_of(mac.bytes) == first) macs.push_back(mac);
    }
    for (std::size_t i = 0; i < kRoom; ++i) {
      CAPTURE(i);
      const auto& mac = macs[i].bytes;
      sw.set_mac(kNumber, mac, 2, kBoth);
      CHECK(sw.run(frame_of(kA, mac)).verdict == XDP_REDIRECT);
      sw.set_mac(kNumber, mac, 1, kBoth);
      CHECK(sw.run(frame_of(mac, kB)).verdict == XDP_REDIRECT);
      CHECK((sw.mac(kNumber, mac) & SHUNT_FDB_USED) != 0);
      CHECK(sw.run(frame_of(kA, mac)).verdict == XDP_DROP);  // it is where the packet came from
    }
    CHECK_THROWS(sw.set_mac(kNumber, macs.back().bytes, 2, kBoth));
    CHECK(sw.run(frame_of(kA, macs.back().bytes)).verdict == XDP_DROP);
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
                   static_cast<std::uint16_t>(random() & kBoth)};
        sw.set_mac(kNumber, macs[i].bytes, macs[i].port, macs[i].flags);
      }
      std::uint32_t slots[2];
      for (const bool tagged : {false, true}) slots[tagged] = sw.publish_bridged(1, frame_of(kA, kB, tagged), kNumber);
      constexpr std::uint32_t kFields[] = {
          0, SHUNT_PLAIN_L2, SHUNT_PLAIN_L2 | SHUNT_PLAIN_L3, SHUNT_PLAIN_BRIDGE, kKept, kKept | SHUNT_PLAIN_L3};
      const std::uint32_t fields = kFields[random() % std::size(kFields)];
      sw.use_microflows(1, fields);
      std::uint64_t sent[4] = {}, bytes[4] = {}, counted[2] = {}, misses = 0;
      for (int i = 0; i < 40; ++i) {
        if (Mac& moving = macs[random() % macs.size()]; random() % 8 == 0) {
          moving.port = static_cast<std::uint16_t>(random() % 4);
          sw.set_mac(kNumber, moving.bytes, moving.port, moving.flags);
          if ((fields & SHUNT_PLAIN_BRIDGE) == 0) sw.use_microflows(1, fields);
        }
        const Mac &src = macs[random() % macs.size()], &dst = macs[random() % macs.size()];
        const bool tagged = random() % 2 == 0;
        const Bytes frame = frame_of(src.bytes, dst.bytes, tagged, random() % 40, random() % 2 == 0);
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
