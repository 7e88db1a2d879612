// SPDX-License-Identifier: Apache-2.0
// Meters in XDP, against the clock that they read: frames by BPF_PROG_TEST_RUN, far more than the rate lets pass, from
// one thread and from several at once.
#include <doctest/doctest.h>
#include <linux/bpf.h>

#include <chrono>
#include <cmath>
#include <thread>
#include <vector>

#include "tests/bpf/shared_switch.h"
#include "tests/bpf/switch_fixture.h"
#include "tests/support/packet_builder.h"

namespace shunt::test {
namespace {

using std::chrono::duration;
using SteadyClock = std::chrono::steady_clock;

// No thread of a test is kept off the CPU for so long that a bucket of this size runs full, and time is lost.
constexpr double kBurst = 5;  // s
constexpr double kUnitsASecond = 1e9 * (1 << SHUNT_METER_TIME_SHIFT);

// Its burst is used up: from now on the rate passes, and nothing else.
shunt_meter drop_meter(double units_a_second, std::uint32_t flags = 0) {
  shunt_meter meter{};
  meter.flags = SHUNT_METER_IN_USE | flags;
  meter.band_count = 1;
  meter.bands[0].type = SHUNT_BAND_DROP;
  meter.bands[0].cost =
      static_cast<__u64>(std::llround(kUnitsASecond / units_a_second * (1 << SHUNT_METER_COST_SHIFT)));
  meter.bands[0].burst = static_cast<__u64>(kBurst * kUnitsASecond);
  const auto now = std::chrono::duration_cast<std::chrono::nanoseconds>(SteadyClock::now().time_since_epoch());
  meter.bands[0].next = (static_cast<__u64>(now.count()) << SHUNT_METER_TIME_SHIFT) + meter.bands[0].burst;
  return meter;
}

Bytes frame_of(std::size_t size) {
  return packet()
      .eth("02:00:00:00:00:0a", "02:00:00:00:00:0b")
      .ipv4("10.0.0.1", "10.0.0.2")
      .udp(1000, 2000)
      .payload(size - 42)
      .build();
}

// Packets that passed, and the bounds of the time in which the rate was used up: whatever the machine does meanwhile,
// the last packet that was dropped came between the two.
struct Measured {
  double packets = 0, at_least = 0, at_most = 0;  // s
};

// Offers frames over meter 1 for some 300 ms, from `threads` at once. at_least is 0 where they were too few to be
// dropped.
Measured measure(Switch& sw, const Bytes& frame, unsigned threads, double rate, std::uint32_t flags = 0) {
  constexpr std::uint32_t kRepeat = 20'000;
  const auto before_it = SteadyClock::now();
  sw.datapath.meters[1] = drop_meter(rate, flags);
  const auto behind_it = SteadyClock::now();
  const auto end = behind_it + std::chrono::milliseconds{300};
  std::vector<SteadyClock::time_point> dropped(threads, end - std::chrono::hours{1});
  std::vector<std::thread> running;
  const auto drops = [&sw] { return __atomic_load_n(&sw.datapath.meters[1].bands[0].packets, __ATOMIC_RELAXED); };
  for (unsigned i = 0; i < threads; ++i)
    running.emplace_back([&, i] {
      for (auto now = SteadyClock::now(); now < end; now = SteadyClock::now()) {
        const auto before = drops();
        (void)sw.measure(frame, 1, kRepeat);
        if (drops() != before) dropped[i] = now;
      }
    });
  for (std::thread& thread : running) thread.join();
  const shunt_meter& after = sw.datapath.meters[1];
  Measured measured;
  measured.packets = static_cast<double>(after.packets - after.bands[0].packets);
  measured.at_most = duration<double>(SteadyClock::now() - before_it).count();
  for (const auto when : dropped)
    measured.at_least = std::max(measured.at_least, duration<double>(when - behind_it).count());
  return measured;
}

void check_rate(const Measured& measured, double packets_a_second) {
  if (measured.at_least == 0) {
    MESSAGE("not checked: the machine offers too little");
    return;
  }
  CHECK(measured.packets >= packets_a_second * measured.at_least * 0.99 - 2);
  CHECK(measured.packets <= packets_a_second * measured.at_most * 1.01 + 2);
}

}  // namespace

TEST_SUITE("meters") {
  TEST_CASE("what passes in a time is the rate, from 1 Mbit/s to 5 Gbit/s, from one CPU and from several") {
    Switch& sw = shared_switch();
    shunt_flow_key key{};
    key.in_port = 1;
    const shunt_action actions[]{simple_action(SHUNT_ACT_METER, 1), output_to(2)};
    sw.publish(key, port_mask(), actions);
    for (const unsigned threads : {1U, 3U}) {
      for (const double mbit : {1.0, 50.0, 1000.0, 5000.0}) {
        CAPTURE(threads);
        CAPTURE(mbit);
        const double rate = mbit * 125'000;
        check_rate(measure(sw, frame_of(1500), threads, rate), rate / 1500);
      }
    }
  }

  TEST_CASE("packets a second are kept for small and for large frames") {
    Switch& sw = shared_switch();
    shunt_flow_key key{};
    key.in_port = 1;
    const shunt_action actions[]{simple_action(SHUNT_ACT_METER, 1), output_to(2)};
    sw.publish(key, port_mask(), actions);
    for (const std::size_t size : {64U, 1400U})
      check_rate(measure(sw, frame_of(size), 1, 20'000, SHUNT_METER_PACKETS), 20'000);
  }

  TEST_CASE("every packet is counted, and what was dropped did not leave") {
    Switch& sw = shared_switch();
    shunt_flow_key key{};
    key.in_port = 1;
    const shunt_action actions[]{simple_action(SHUNT_ACT_METER, 1), output_to(2)};
    const auto slot = sw.publish(key, port_mask(), actions);
    sw.datapath.meters[1] = drop_meter(1'000'000);  // 1,000 of these frames a second
    for (int i = 0; i < 200; ++i) (void)sw.run(frame_of(1000));
    const shunt_meter& meter = sw.datapath.meters[1];
    CHECK(meter.packets == 200);
    CHECK(meter.bytes == 200'000);
    CHECK(sw.counted(slot).packets == 200);
    CHECK(sw.delta(slot).lost == meter.bands[0].packets);
    CHECK(sw.datapath.port_stats(DpPort{1}).drops[SHUNT_DROP_METER] == meter.bands[0].packets);
  }

  TEST_CASE("a program without meters hands the metered up") {
    Switch sw{SHUNT_FEATURE_L3 | SHUNT_FEATURE_EDITS, 64, 2};
    shunt_flow_key key{};
    key.in_port = 1;
    const shunt_action actions[]{simple_action(SHUNT_ACT_METER, 1), output_to(2)};
    sw.publish(key, port_mask(), actions);
    CHECK(sw.run(frame_of(100)).verdict == XDP_DROP);  // there is no socket to go up to
    CHECK(sw.datapath.port_stats(DpPort{1}).drops[SHUNT_DROP_UPCALL_NO_SOCKET] == 1);
  }
}

TEST_SUITE("sampling") {
  TEST_CASE("the dice pick the share that was asked for, and pass the rest") {
    Switch& sw = shared_switch();
    shunt_flow_key key{};
    key.in_port = 1;
    const shunt_action actions[]{simple_action(SHUNT_ACT_SAMPLE, 0x4000), output_to(2)};
    const auto slot = sw.publish(key, port_mask(), actions);
    constexpr std::uint32_t kPackets = 40'000;
    (void)sw.measure(frame_of(100), 1, kPackets);  // no socket: what is picked is dropped, and seen
    const auto picked = sw.datapath.port_stats(DpPort{1}).drops[SHUNT_DROP_UPCALL_NO_SOCKET];
    CHECK(picked + sw.counted(slot).packets == sw.datapath.port_stats(DpPort{1}).rx_packets);
    CHECK(picked > kPackets / 4 - 700);  // eight standard deviations
    CHECK(picked < kPackets / 4 + 700);
  }
}

TEST_SUITE("select groups' hash") {
  TEST_CASE("the kernel finds flows by the hash that userspace computes") {
    Switch& sw = shared_switch();
    shunt_flow_key mask = port_mask();
    mask.dp_hash = 0xf;
    const shunt_action out = output_to(2);
    const auto frame = [](std::uint16_t port) {
      return packet().eth("02:00:00:00:00:0a", "02:00:00:00:00:0b").ipv4("10.0.0.1", "10.0.0.2").udp(port, 2).build();
    };
    const shunt_flow_key key = sw.whole_key(frame(1));
    sw.publish(key, mask, std::span{&out, 1});
    unsigned hits = 0;
    for (std::uint16_t port = 0; port < 400; ++port) {
      const bool same = ((sw.whole_key(frame(port)).dp_hash ^ key.dp_hash) & 0xf) == 0;
      CHECK((sw.run(frame(port)).verdict == XDP_REDIRECT) == same);
      hits += same;
    }
    CHECK(hits > 0);
    CHECK(hits < 400);
  }
}

}  // namespace shunt::test
