// SPDX-License-Identifier: Apache-2.0
#include "user/base/latency.h"

#include <doctest/doctest.h>

using namespace shunt;
using namespace std::chrono_literals;

TEST_SUITE("latency") {
  TEST_CASE("a time is in the first bucket whose bound it does not exceed") {
    for (std::size_t bucket = 0; bucket < Latencies::kBounds; ++bucket) {
      const std::uint64_t bound = std::uint64_t{1000} << bucket;
      CAPTURE(bucket);
      CHECK(Latencies::bucket_of(bound) == bucket);
      CHECK(Latencies::bucket_of(bound + 1) == bucket + 1);
      CHECK(Latencies::bound_seconds(bucket) == doctest::Approx(static_cast<double>(bound) / 1e9));
    }
    CHECK(Latencies::bucket_of(0) == 0);
    CHECK(Latencies::bucket_of(~std::uint64_t{0}) == Latencies::kBounds);
  }

  TEST_CASE("what a thread counts is what others read") {
    LatencyHistogram histogram;
    histogram.record(3us, 5);
    histogram.record(-1us);
    const Latencies read = histogram.read();
    CHECK(read.counts[2] == 5);
    CHECK(read.counts[0] == 1);
    CHECK(read.count() == 6);
    CHECK(read.nanoseconds == 15'000);
    Latencies sum = read;
    sum.add(read);
    CHECK(sum.count() == 12);
  }
}
