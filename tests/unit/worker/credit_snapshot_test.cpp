// SPDX-License-Identifier: Apache-2.0
#include "user/worker/credit_snapshot.h"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <random>

#include "tests/unit/worker/memory_maps.h"

using namespace shunt;
using namespace shunt::test;

namespace {

constexpr DpPort kIn{1};
constexpr std::uint32_t kLimit = 256;

FlowKey key_of(std::uint16_t number) {
  FlowKey key{};
  key.in_port = kIn.value;
  key.tp_dst = be16{number};
  return key;
}

struct Fixture {
  MemoryMaps maps{kLimit};
  MegaflowTable table{maps};
  CreditSnapshot snapshot;
  TimePoint now{std::chrono::hours{1}};
  std::uint64_t credited = 0, sent = 0;  // packets
  std::optional<std::vector<FlowCredit>> gathered;

  Fixture() {
    table.set_credit([this](std::uint32_t slot, const MegaflowTable::Flow&, const MegaflowTable::Counted& counted) {
      snapshot.follow(table, slot, counted);
      credited += counted.packets;
    });
    for (std::uint32_t port = kIn.value; port <= 3; ++port) {
      table.add_port(DpPort{port});
      table.update_output(DpPort{port}, {Ifindex{100 + port}, true});
    }
  }

  void publish(std::uint16_t number, std::uint16_t output = 2) {
    auto translation = std::make_shared<Translation>();
    translation->mask.in_port = ~std::uint32_t{0};
    translation->mask.tp_dst = be16{0xffff};
    translation->actions = {output_to(output)};
    (void)table.publish(key_of(number), std::move(translation), now);
  }
  void begin() {
    gathered.reset();
    snapshot.begin(table, [this](std::vector<FlowCredit> credits) { gathered = std::move(credits); });
  }
  void send(std::uint16_t number) { sent += maps.packet(key_of(number)) ? 1 : 0; }
  [[nodiscard]] std::uint64_t counted(std::uint32_t slot) const {
    return maps.counters[slot].packets + maps.counters[kLimit + slot].packets;
  }
};

}  // namespace

TEST_SUITE("credit snapshot") {
  TEST_CASE("it is of flows that counted something, and told once") {
    Fixture f;
    CHECK_FALSE(f.snapshot.step(f.table, 10));
    for (std::uint16_t number = 0; number < 3; ++number) f.publish(number);
    f.send(1);
    f.send(1);
    f.table.collect(0, 3, f.now, false);
    f.begin();
    CHECK(f.snapshot.step(f.table, 2));
    CHECK_FALSE(f.gathered);
    CHECK(f.snapshot.step(f.table, 2));
    REQUIRE(f.gathered);
    REQUIRE(f.gathered->size() == 1);
    CHECK(f.gathered->front().slot == f.table.find(key_of(1)));
    CHECK(f.gathered->front().packets == 2);
    CHECK(f.gathered->front().seen_packets == 2);
    CHECK_FALSE(f.snapshot.step(f.table, 2));
  }

  TEST_CASE("a flow that is credited before its turn is taken as it was in the moment") {
    Fixture f;
    f.publish(0);
    f.send(0);
    f.table.collect(0, 1, f.now, false);
    f.begin();
    f.send(0);
    f.table.collect(0, 1, f.now, false);
    CHECK(f.snapshot.step(f.table, 10));
    REQUIRE(f.gathered->size() == 1);
    CHECK(f.gathered->front().packets == 1);
    CHECK(f.gathered->front().bytes == 100);
    CHECK(f.gathered->front().seen_packets == 1);
  }

  // Where the next daemon begins: with what was credited in the moment, and what the kernel has counted beyond it.
  TEST_CASE("what was credited then and what each flow counted beyond are all packets, whatever came in between") {
    std::mt19937 random{7};
    const auto below = [&](std::uint32_t most) { return static_cast<std::uint32_t>(random() % most); };
    for (int round = 0; round < 300; ++round) {
      Fixture f;
      std::uint16_t flows = 0;
      const auto go_on = [&](int steps) {
        for (; steps > 0; --steps) {
          if (below(4) == 0 && flows < kLimit / 2) f.publish(flows++);
          if (flows > 0) f.send(static_cast<std::uint16_t>(below(flows)));
          if (const std::uint32_t at = below(f.table.slot_end() + 1); below(3) == 0)
            f.table.collect(at, at + below(20), f.now, false);
        }
      };
      go_on(200);
      const std::uint64_t credited = f.credited;
      f.begin();
      while (!f.gathered) {
        go_on(20);
        (void)f.snapshot.step(f.table, 1 + below(10));
      }
      go_on(50);
      std::map<std::uint64_t, std::uint64_t> seen;
      for (const FlowCredit& credit : *f.gathered) CHECK(seen.emplace(credit.slot, credit.seen_packets).second);
      std::uint64_t beyond = 0;
      for (std::uint32_t slot = 0; slot < f.table.slot_end(); ++slot) beyond += f.counted(slot) - seen[slot];
      CHECK(credited + beyond == f.sent);
    }
  }

  TEST_CASE("of a flow that moves to another slot what was credited is in it once at most; one that went is not") {
    Fixture f;
    for (std::uint16_t number = 0; number < 3; ++number) {
      f.publish(number);
      f.send(number);
    }
    f.table.collect(0, 3, f.now, false);
    f.begin();
    const std::uint32_t before = f.table.find(key_of(0));
    f.publish(0, 3);  // other actions
    const std::uint32_t after = f.table.find(key_of(0));
    REQUIRE(after != before);
    f.table.retire(f.table.find(key_of(1)));
    f.send(0);
    f.table.collect(0, f.table.slot_end(), f.now, false);
    while (!f.gathered) (void)f.snapshot.step(f.table, 1);
    REQUIRE(f.gathered->size() == 1);
    CHECK(f.gathered->front().slot == f.table.find(key_of(2)));
    CHECK(f.counted(after) == 1);  // of which nothing had been credited in the moment: all of it will be
  }
}
