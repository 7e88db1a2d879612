// SPDX-License-Identifier: Apache-2.0
#include "bpf/datapath/meter.h"

#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include "tests/unit/datapath/datapath_fixture.h"

using namespace shunt::test;

namespace {

constexpr double kSecond = 1e9;

// A band of `rate` units a second that takes `burst` seconds' worth in a row.
shunt_meter_band band(double rate, double burst, shunt_band_type type = SHUNT_BAND_DROP, __u32 precedence = 0) {
  shunt_meter_band b{};
  const double unit = kSecond * (1 << SHUNT_METER_TIME_SHIFT);
  b.cost = static_cast<__u64>(std::llround(unit / rate * (1 << SHUNT_METER_COST_SHIFT)));
  b.burst = static_cast<__u64>(burst * unit);
  b.type = type;
  b.precedence = precedence;
  return b;
}

shunt_meter meter_of(std::vector<shunt_meter_band> bands, __u32 flags = 0) {
  shunt_meter meter{};
  meter.flags = SHUNT_METER_IN_USE | flags;
  meter.band_count = static_cast<__u32>(bands.size());
  std::copy(bands.begin(), bands.end(), meter.bands);
  return meter;
}

// Bytes that pass in `seconds` where frames of `len` bytes are offered at `offered` bytes a second.
double passed(shunt_meter& meter, __u32 len, double offered, double seconds) {
  double bytes = 0;
  for (double t = 0; t < seconds; t += len / offered)
    if (shunt_meter_packet(&meter, len, static_cast<__u64>((1000 + t) * kSecond)) == SHUNT_METERED_PASS) bytes += len;
  return bytes;
}

}  // namespace

TEST_SUITE("meter") {
  TEST_CASE("what passes is the rate and one burst, for frames of all lengths from 1 Mbit/s to 100 Gbit/s") {
    for (const double mbit : {1.0, 10.0, 100.0, 1000.0, 5000.0, 100'000.0}) {
      for (const __u32 len : {60u, 590u, 1514u, 9014u}) {
        const double rate = mbit * 125'000, seconds = std::min(10.0, 20'000 * len / rate);
        // A few frames: with less, a rate cannot be kept whatever the meter does.
        const double burst = std::max(seconds / 50, 3 * len / rate);
        for (const double over : {1.1, 2.0, 7.0}) {
          CAPTURE(mbit);
          CAPTURE(len);
          CAPTURE(over);
          shunt_meter meter = meter_of({band(rate, burst)});
          const double expected = rate * (seconds + burst);
          CHECK(std::abs(passed(meter, len, rate * over, seconds) - expected) < expected * 0.005 + 2 * len);
        }
      }
    }
  }

  TEST_CASE("below the rate nothing is dropped") {
    shunt_meter meter = meter_of({band(125'000'000, 0.001)});
    CHECK(passed(meter, 1000, 124'000'000, 1) == doctest::Approx(124'000'000).epsilon(0.001));
    CHECK(meter.bands[0].packets == 0);
  }

  TEST_CASE("a frame that is dearer than the burst passes, and the next ones pay for it") {
    shunt_meter meter = meter_of({band(1000, 0)});
    CHECK(shunt_meter_packet(&meter, 1000, 1'000'000'000) == SHUNT_METERED_PASS);
    CHECK(shunt_meter_packet(&meter, 1, 1'999'000'000) == SHUNT_METERED_DROP);
    CHECK(shunt_meter_packet(&meter, 1, 2'000'000'000) == SHUNT_METERED_PASS);
  }

  TEST_CASE("an idle meter saves up one burst and no more") {
    shunt_meter meter = meter_of({band(1000, 0.01)}, SHUNT_METER_PACKETS);
    unsigned count = 0;
    for (int i = 0; i < 100; ++i) count += shunt_meter_packet(&meter, 60, 3'600'000'000'000) == SHUNT_METERED_PASS;
    CHECK(count == 11);
    CHECK(shunt_meter_packet(&meter, 60, 3'600'000'999'000) == SHUNT_METERED_DROP);
    CHECK(shunt_meter_packet(&meter, 60, 3'600'001'000'000) == SHUNT_METERED_PASS);
  }

  TEST_CASE("packets a second do not look at lengths") {
    shunt_meter meter = meter_of({band(10'000, 0.001)}, SHUNT_METER_PACKETS);
    unsigned count = 0;
    for (unsigned i = 0; i < 100'000; ++i)  // 100,000 a second
      count += shunt_meter_packet(&meter, 60 + i % 1400, 5'000'000'000 + i * 10'000ull) == SHUNT_METERED_PASS;
    CHECK(count == doctest::Approx(10'010).epsilon(0.001));
  }

  TEST_CASE("every packet counts, and each band counts what it was applied to") {
    shunt_meter meter = meter_of({band(1000, 0)});
    for (int i = 0; i < 10; ++i) (void)shunt_meter_packet(&meter, 500, 1'000'000'000);
    CHECK(meter.packets == 10);
    CHECK(meter.bytes == 5000);
    CHECK(meter.bands[0].packets == 9);
    CHECK(meter.bands[0].bytes == 4500);
  }

  TEST_CASE("of the bands that a packet is over, that of the highest rate is applied") {
    shunt_meter meter = meter_of(
        {band(1000, 0.002, SHUNT_BAND_DSCP_REMARK, 1), band(2000, 0.002, SHUNT_BAND_DSCP_REMARK, 2), band(4000, 0.002)},
        SHUNT_METER_PACKETS);
    unsigned passes = 0, first = 0, second = 0, drops = 0;
    for (unsigned i = 0; i < 80'000; ++i) {  // 8,000 a second
      const __u32 verdict = shunt_meter_packet(&meter, 60, 1'000'000'000 + i * 125'000ull);
      passes += verdict == SHUNT_METERED_PASS;
      first += verdict == SHUNT_METERED_REMARK + 1;
      second += verdict == SHUNT_METERED_REMARK + 2;
      drops += verdict == SHUNT_METERED_DROP;
    }
    CHECK(passes == doctest::Approx(10'000).epsilon(0.01));
    CHECK(first == doctest::Approx(10'000).epsilon(0.01));
    CHECK(second == doctest::Approx(20'000).epsilon(0.01));
    CHECK(drops == doctest::Approx(40'000).epsilon(0.01));
    CHECK(meter.bands[0].packets == first);
    CHECK(meter.bands[1].packets == second);
    CHECK(meter.bands[2].packets == drops);
    CHECK(meter.packets == 80'000);
  }

  TEST_CASE("a rate of 0 is over at once; a slot without a meter lets everything pass, uncounted") {
    shunt_meter none{};
    CHECK(shunt_meter_packet(&none, 60, 5) == SHUNT_METERED_PASS);
    CHECK(none.packets == 0);
    shunt_meter_band zero{};
    zero.type = SHUNT_BAND_DROP;
    shunt_meter meter = meter_of({zero});
    CHECK(shunt_meter_packet(&meter, 60, 5) == SHUNT_METERED_DROP);
    shunt_meter without = meter_of({});
    CHECK(shunt_meter_packet(&without, 60, 5) == SHUNT_METERED_PASS);
    CHECK(without.packets == 1);
  }

  TEST_CASE("threads that meter over one band pass the rate together, and count every packet") {
    // 5 Gbit/s of 1,514-byte frames, 3 times as many offered; time goes on by the packet, whoever takes it.
    constexpr __u32 kLen = 1514;
    constexpr unsigned kPackets = 400'000, kThreads = 4;
    const double rate = 625e6;
    shunt_meter meter = meter_of({band(rate, 0.0001)});
    std::atomic<unsigned> next{0};
    std::atomic<unsigned> passes{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        unsigned mine = 0;
        for (unsigned i = next++; i < kPackets; i = next++) {
          const double when = 1e9 + i * (kLen / (3 * rate)) * kSecond;
          mine += shunt_meter_packet(&meter, kLen, static_cast<__u64>(when)) == SHUNT_METERED_PASS;
        }
        passes += mine;
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(meter.packets == kPackets);
    CHECK(meter.bytes == std::uint64_t{kPackets} * kLen);
    CHECK(meter.bands[0].packets == kPackets - passes);
    const double expected = kPackets / 3.0 + rate * 0.0001 / kLen;
    CHECK(passes > expected * 0.98);
    CHECK(passes < expected * 1.02);
  }
}

TEST_SUITE("DSCP remark") {
  TEST_CASE("the drop precedence of an assured forwarding class rises, to 3 at most") {
    const auto af = [](unsigned klass, unsigned precedence) {
      return static_cast<__u8>((klass * 8 + precedence * 2) << 2);
    };
    for (unsigned klass = 1; klass <= 4; ++klass) {
      CHECK(shunt_remarked(af(klass, 1), 1) == af(klass, 2));
      CHECK(shunt_remarked(af(klass, 1), 2) == af(klass, 3));
      CHECK(shunt_remarked(af(klass, 2), 7) == af(klass, 3));
      CHECK(shunt_remarked(af(klass, 3), 1) == af(klass, 3));
      CHECK(shunt_remarked(static_cast<__u8>(af(klass, 1) | 3), 1) == (af(klass, 2) | 3));  // ECN stays
    }
  }

  TEST_CASE("other code points stay") {
    for (unsigned dscp = 0; dscp < 64; ++dscp) {
      const bool assured = dscp >= 8 && dscp < 40 && dscp % 2 == 0 && dscp % 8 != 0;
      const auto tos = static_cast<__u8>(dscp << 2);
      CHECK((shunt_remarked(tos, 1) == tos) == (!assured || dscp % 8 == 6));
    }
  }

  TEST_CASE("a remark is an edit of IP's ToS, in both versions, and of nothing else") {
    const auto remark = [](const PacketBuilder& before) {
      Frame f{before.build()};
      shunt_action set;
      if (shunt_find_remark(f.frame(), &f.headers, 1, &set)) f.act(set);
      return f.bytes();
    };
    PacketBuilder four = packet().eth(kA, kB).ipv4("10.0.0.1", "10.0.0.2"), four_after = four;
    PacketBuilder six = packet().eth(kA, kB).ipv6("2001:db8::1", "2001:db8::2"), six_after = six;
    CHECK(remark(four.tos(0x29).udp(1, 2)) == four_after.tos(0x31).udp(1, 2).build());
    CHECK(remark(six.tos(0x29).label(0xfffff).udp(1, 2)) == six_after.tos(0x31).label(0xfffff).udp(1, 2).build());
    CHECK(remark(packet().eth(kA, kB).arp_request()) == packet().eth(kA, kB).arp_request().build());
  }
}
