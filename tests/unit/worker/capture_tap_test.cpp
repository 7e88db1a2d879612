// SPDX-License-Identifier: Apache-2.0
// What a worker's tap records of the packets that it sends and drops.
#include "user/worker/capture_tap.h"

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <vector>

using namespace shunt;

namespace {

constexpr std::size_t kRing = 64 * 1024;
constexpr std::uint8_t kAfter = 1 << SHUNT_STAGE_AFTER, kDrop = 1 << SHUNT_STAGE_DROP;

struct Out final : FrameSink {
  shunt_drop_reason send(DpPort, std::span<const XskDescriptor>) noexcept override {
    ++sent;
    return outcome;
  }
  shunt_drop_reason outcome = SHUNT_DROP_NONE;
  int sent = 0;
};

// One capture over two workers; the tap is worker 1's.
struct Capture {
  explicit Capture(std::uint32_t snaplen = SHUNT_CAPTURE_BYTES, FilterProgram filter = {})
      : memory{make_record_memory(2, kRing)},
        capture{std::make_shared<WorkerCapture>()},
        mine{memory.get(), 1, kRing},
        other{memory.get(), 0, kRing} {
    capture->snaplen = snaplen;
    capture->filter = std::make_shared<const FilterProgram>(std::move(filter));
    for (unsigned i = 0; i < 2; ++i) capture->writers.push_back(std::make_shared<RecordWriter>(memory.get(), i, kRing));
  }
  UniqueFd memory;
  std::shared_ptr<WorkerCapture> capture;
  RecordReader mine, other;
};

struct Fixture {
  Fixture() {
    for (std::size_t i = 0; i < 2 * Umem::kFrameSize; ++i) umem.area()[i] = static_cast<std::byte>(i % 251);
  }
  void run(std::vector<std::shared_ptr<const WorkerCapture>> captures) {
    tap.set(std::make_shared<const WorkerCaptures>(std::move(captures)));
  }
  Umem umem{64, false};
  Out out;
  CaptureTap tap{1, umem, out};
};

bool same(std::span<const std::uint8_t> bytes, const std::byte* expected) {
  return std::memcmp(bytes.data(), expected, bytes.size()) == 0;
}

}  // namespace

TEST_SUITE("capture tap") {
  TEST_CASE("what is sent is recorded, in the worker's own ring") {
    Fixture f;
    Capture capture;
    capture.capture->stages[5] = kAfter;
    f.run({capture.capture});
    CHECK(f.tap.active());
    const XskDescriptor packet[] = {{100, 200, 0}};
    CHECK(f.tap.send(DpPort{5}, packet) == SHUNT_DROP_NONE);
    CHECK(f.tap.send(DpPort{6}, packet) == SHUNT_DROP_NONE);
    CHECK(f.out.sent == 2);
    const auto record = capture.mine.next();
    REQUIRE(record);
    CHECK(record->head.port == 5);
    CHECK(record->head.stage == SHUNT_STAGE_AFTER);
    CHECK(record->head.length == 200);
    CHECK(record->bytes.size() == 200);
    CHECK(same(record->bytes, f.umem.area() + 100));
    CHECK_FALSE(capture.mine.next());
    CHECK_FALSE(capture.other.next());
  }

  TEST_CASE("what could not be sent is not") {
    Fixture f;
    Capture capture;
    capture.capture->stages[5] = kAfter;
    f.run({capture.capture});
    const XskDescriptor packet[] = {{0, 100, 0}};
    f.out.outcome = SHUNT_DROP_TX_RING_FULL;
    CHECK(f.tap.send(DpPort{5}, packet) == SHUNT_DROP_TX_RING_FULL);
    CHECK_FALSE(capture.mine.next());
    f.out.outcome = SHUNT_DROP_NONE;
    CHECK(f.tap.send(DpPort{5}, packet) == SHUNT_DROP_NONE);
    CHECK(capture.mine.next());
    CHECK_FALSE(capture.mine.next());
    CHECK(capture.capture->writers[1]->captured() == 1);
  }

  TEST_CASE("a packet in several frames is one record; it is cut to the length that was asked") {
    Fixture f;
    Capture whole, cut{150};
    whole.capture->stages[5] = cut.capture->stages[5] = kAfter;
    f.run({whole.capture, cut.capture});
    const XskDescriptor packet[] = {{0, 100, kContinued}, {Umem::kFrameSize, 100, 0}};
    CHECK(f.tap.send(DpPort{5}, packet) == SHUNT_DROP_NONE);
    const auto record = whole.mine.next();
    REQUIRE(record);
    REQUIRE(record->bytes.size() == 200);
    CHECK(same(record->bytes.first(100), f.umem.area()));
    CHECK(same(record->bytes.subspan(100), f.umem.area() + Umem::kFrameSize));
    const auto shorter = cut.mine.next();
    REQUIRE(shorter);
    CHECK(shorter->bytes.size() == 150);
    CHECK(shorter->head.length == 200);
  }

  TEST_CASE("drops have their reason, and are of the port that they came in by") {
    Fixture f;
    Capture capture;
    capture.capture->stages[3] = kDrop;
    capture.capture->stages[4] = kAfter;
    f.run({capture.capture});
    const std::vector<std::uint8_t> frame(80, 0x11);
    f.tap.dropped(DpPort{3}, SHUNT_DROP_METER, frame, 80);
    f.tap.dropped(DpPort{4}, SHUNT_DROP_METER, frame, 80);
    f.tap.dropped(DpPort{3}, SHUNT_DROP_FRAME_TOO_LONG, {}, 70'000);  // its bytes are gone
    auto record = capture.mine.next();
    REQUIRE(record);
    CHECK(record->head.reason == SHUNT_DROP_METER);
    CHECK(record->head.stage == SHUNT_STAGE_DROP);
    CHECK(record->bytes.size() == 80);
    record = capture.mine.next();
    REQUIRE(record);
    CHECK(record->head.reason == SHUNT_DROP_FRAME_TOO_LONG);
    CHECK(record->head.length == 70'000);
    CHECK(record->bytes.empty());
    CHECK_FALSE(capture.mine.next());
  }

  TEST_CASE("a filter looks behind what is kept") {
    Fixture f;
    Capture capture{16, {{0x30, 0, 0, 99}, {0x15, 0, 1, 99}, {0x06, 0, 0, 1}, {0x06, 0, 0, 0}}};  // ether[99] == 99
    capture.capture->stages[5] = kAfter;
    f.run({capture.capture});
    const XskDescriptor wanted[] = {{0, 100, 0}}, moved[] = {{1, 100, 0}}, too_short[] = {{0, 99, 0}};
    CHECK(f.tap.send(DpPort{5}, wanted) == SHUNT_DROP_NONE);
    CHECK(f.tap.send(DpPort{5}, moved) == SHUNT_DROP_NONE);
    CHECK(f.tap.send(DpPort{5}, too_short) == SHUNT_DROP_NONE);
    REQUIRE(capture.mine.next());
    CHECK_FALSE(capture.mine.next());
  }

  TEST_CASE("without captures it is not there") {
    Fixture f;
    CHECK_FALSE(f.tap.active());
    f.run({});
    CHECK_FALSE(f.tap.active());
    f.tap.set(nullptr);
    CHECK_FALSE(f.tap.active());
    f.tap.dropped(DpPort{1}, SHUNT_DROP_RULE, {}, 0);
  }
}
