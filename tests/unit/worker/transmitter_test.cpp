// SPDX-License-Identifier: Apache-2.0
#include "user/worker/transmitter.h"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

using namespace shunt;

namespace {

constexpr DpPort kIn{1}, kOut{2}, kOther{3};
constexpr std::uint32_t kBucket = 5;

// Three workers whose packets for kOut go to worker 1, for kOther to worker 2. They own no sockets: what they are
// handed ends as a drop there, and its frames come back.
struct Fixture {
  struct Worker {
    Worker(Fixture& f, unsigned number)
        : frames{f.umem.pool()}, transmitter{number, f.umem, frames, counters, f.gate, f.all()} {}
    FrameCache frames;
    Counters counters;
    Transmitter transmitter;
  };

  Fixture() {
    for (unsigned i = 0; i < 3; ++i) workers.push_back(std::make_unique<Worker>(*this, i));
    workers[0]->transmitter.set_route(kOut, nullptr, 1);
    workers[0]->transmitter.set_route(kOther, nullptr, 2);
  }
  std::vector<Inbox*> all() {
    while (inboxes.size() < 3) inboxes.push_back(std::make_unique<Inbox>(bell, 3));
    std::vector<Inbox*> list;
    for (const auto& inbox : inboxes) list.push_back(inbox.get());
    return list;
  }
  Transmitter& self() { return workers[0]->transmitter; }

  // A packet handed up; in as many frames as told.
  void begin() {
    ++order[kBucket].handed_up;
    self().begin(kIn, kBucket);
  }
  shunt_drop_reason send(DpPort port, std::size_t parts = 1) {
    std::vector<XskDescriptor> packet(parts);
    for (std::size_t i = 0; i < parts; ++i) {
      Frame frame = 0;
      REQUIRE(workers[0]->frames.take(frame));
      umem.hand(frame, Hand::kBatch);
      packet[i] = {Umem::address_of(frame), 100, i + 1 < parts ? kContinued : 0};
    }
    return self().send(port, packet);
  }
  [[nodiscard]] bool in_order() const { return order[kBucket].handed_up == order[kBucket].finished; }

  Umem umem{8192, false};
  std::vector<shunt_order> order = std::vector<shunt_order>(16);
  OrderGate gate{order};
  Doorbell bell;
  std::vector<std::unique_ptr<Inbox>> inboxes;
  std::vector<std::unique_ptr<Worker>> workers;
};

}  // namespace

TEST_SUITE("transmitter") {
  TEST_CASE("a packet handed to one worker is finished when that one is done with it") {
    Fixture f;
    f.begin();
    REQUIRE(f.send(kOut) == SHUNT_DROP_NONE);
    f.self().end();
    f.self().flush();
    CHECK_FALSE(f.in_order());
    CHECK(f.workers[1]->transmitter.serve_inbox() == 1);
    CHECK(f.in_order());
    CHECK(f.umem.census().pool == f.umem.frame_count());
  }

  TEST_CASE("a packet handed to several workers is finished when the last of them is done with it") {
    Fixture f;
    f.begin();
    REQUIRE(f.send(kOut) == SHUNT_DROP_NONE);
    REQUIRE(f.send(kOther) == SHUNT_DROP_NONE);
    REQUIRE(f.send(kOut) == SHUNT_DROP_NONE);
    f.self().end();
    f.self().flush();
    SUBCASE("the first one first") {
      CHECK(f.workers[1]->transmitter.serve_inbox() == 2);
      CHECK_FALSE(f.in_order());
      CHECK(f.workers[2]->transmitter.serve_inbox() == 1);
    }
    SUBCASE("the last one first") {
      CHECK(f.workers[2]->transmitter.serve_inbox() == 1);
      CHECK_FALSE(f.in_order());
      CHECK(f.workers[1]->transmitter.serve_inbox() == 2);
    }
    CHECK(f.in_order());
    CHECK(f.umem.census().pool == f.umem.frame_count());
  }

  TEST_CASE("a packet that goes nowhere is finished with its batch") {
    Fixture f;
    f.begin();
    f.self().end();
    CHECK_FALSE(f.in_order());
    f.self().flush();
    CHECK(f.in_order());
  }

  TEST_CASE("a packet that a full ring refuses is dropped whole, and finished") {
    Fixture f;
    constexpr std::uint32_t kFit = Inbox::kCapacity / 2;
    for (std::uint32_t sent = 0; sent <= kFit; ++sent) {
      if (sent % 64 == 0) f.self().flush();
      f.begin();
      REQUIRE(f.send(kOut, 2) == SHUNT_DROP_NONE);
      f.self().end();
    }
    f.self().flush();
    const auto& ring = *f.inboxes[1]->rings[0];
    CHECK(ring.size() == ring.capacity());
    CHECK(f.workers[0]->counters[kIn].drops[SHUNT_DROP_TX_RING_FULL].get() == 1);
    CHECK(f.order[kBucket].finished == 1);
    CHECK(f.umem.census().batch == 2 * kFit);
    CHECK(f.workers[1]->transmitter.serve_inbox() == kFit);
    CHECK(f.in_order());
    CHECK(f.umem.census().pool == f.umem.frame_count());
  }
}
