// SPDX-License-Identifier: Apache-2.0
#include "user/capture/record_ring.h"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <numeric>
#include <thread>
#include <vector>

namespace shunt::test {
namespace {

constexpr std::size_t kRing = 4096;

shunt_capture_record record(std::uint32_t captured, std::uint64_t time = 0) {
  shunt_capture_record r{};
  r.time = time;
  r.length = r.captured = captured;
  return r;
}

TEST_SUITE("record ring") {
  TEST_CASE("records come out as they went in, over many turns of the ring") {
    const UniqueFd memory = make_record_memory(2, kRing);
    RecordWriter writer{memory.get(), 1, kRing};
    RecordReader reader{memory.get(), 1, kRing}, other{memory.get(), 0, kRing};
    std::vector<std::uint8_t> bytes(1001);
    std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
    for (std::uint32_t i = 1; i <= 1000; ++i) {
      REQUIRE(writer.put(record(i, i), bytes));
      writer.publish();
      const auto got = reader.next();
      REQUIRE(got);
      CHECK(got->head.time == i);
      REQUIRE(got->bytes.size() == i);
      CHECK(std::equal(got->bytes.begin(), got->bytes.end(), bytes.begin()));
    }
    CHECK_FALSE(reader.next());
    CHECK_FALSE(other.next());
    CHECK(writer.captured() == 1000);
    CHECK(writer.lost() == 0);
  }

  TEST_CASE("a full ring loses, counts, and tells with the next record") {
    const UniqueFd memory = make_record_memory(1, kRing);
    RecordWriter writer{memory.get(), 0, kRing};
    RecordReader reader{memory.get(), 0, kRing};
    const std::vector<std::uint8_t> bytes(1000);
    for (int i = 0; i < 4; ++i) CHECK(writer.put(record(1000), bytes) == (i < 4));
    writer.publish();
    for (int i = 0; i < 3; ++i) CHECK_FALSE(writer.put(record(1000), bytes));
    CHECK(writer.lost() == 3);
    while (reader.next()) {
    }
    REQUIRE(writer.put(record(10), bytes));
    writer.publish();
    CHECK(reader.next()->head.lost == 3);
    REQUIRE_FALSE(reader.next());
    REQUIRE(writer.put(record(10), bytes));
    writer.publish();
    CHECK(reader.next()->head.lost == 0);
  }

  TEST_CASE("what was put and forgotten is not seen") {
    const UniqueFd memory = make_record_memory(1, kRing);
    RecordWriter writer{memory.get(), 0, kRing};
    RecordReader reader{memory.get(), 0, kRing};
    const std::vector<std::uint8_t> bytes(100);
    REQUIRE(writer.put(record(100, 1), bytes));
    CHECK_FALSE(reader.next());
    writer.forget();
    REQUIRE(writer.put(record(100, 2), bytes));
    writer.publish();
    CHECK(reader.next()->head.time == 2);
    CHECK_FALSE(reader.next());
    CHECK(writer.captured() == 1);
  }

  TEST_CASE("a reader that lies about its place costs packets, and nothing else") {
    const UniqueFd memory = make_record_memory(1, kRing);
    RecordWriter writer{memory.get(), 0, kRing};
    const RecordRing theirs{memory.get(), 0, kRing};
    const std::vector<std::uint8_t> bytes(100);
    for (const std::uint64_t place : {std::uint64_t{1} << 40, ~std::uint64_t{0}, std::uint64_t{kRing} * 2}) {
      theirs.head().read.store(place);
      (void)writer.put(record(100), bytes);  // what it writes over is the liar's
    }
    CHECK(writer.lost() >= 2);
  }

  TEST_CASE("the memory cannot be taken away under the writer") {
    const UniqueFd memory = make_record_memory(1, kRing);
    CHECK(::ftruncate(memory.get(), 0) != 0);
  }

  TEST_CASE("one thread writes while another reads: each record is whole, and none is missing that was not counted") {
    const UniqueFd memory = make_record_memory(1, 64 * 1024);
    RecordWriter writer{memory.get(), 0, 64 * 1024};
    constexpr std::uint64_t kRecords = 200'000;
    std::atomic<bool> done{false};
    std::thread producer{[&] {
      std::vector<std::uint8_t> bytes(300);
      for (std::uint64_t i = 0; i < kRecords; ++i) {
        std::fill(bytes.begin(), bytes.end(), static_cast<std::uint8_t>(i));
        if (writer.put(record(static_cast<std::uint32_t>(i % 300), i), bytes)) writer.publish();
      }
      done = true;
    }};
    RecordReader reader{memory.get(), 0, 64 * 1024};
    std::uint64_t seen = 0, told = 0, wrong = 0;
    while (true) {
      const bool last = done;
      while (const auto got = reader.next()) {
        ++seen;
        told += got->head.lost;
        for (const std::uint8_t byte : got->bytes) wrong += byte != static_cast<std::uint8_t>(got->head.time) ? 1 : 0;
      }
      if (last) break;
    }
    producer.join();
    CHECK(wrong == 0);
    CHECK(seen == writer.captured());
    CHECK(seen + writer.lost() == kRecords);
    CHECK(told <= writer.lost());
  }
}

}  // namespace
}  // namespace shunt::test
