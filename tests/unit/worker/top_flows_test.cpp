// SPDX-License-Identifier: Apache-2.0
#include "user/worker/top_flows.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "tests/unit/worker/memory_maps.h"

using namespace shunt;
using namespace shunt::test;

namespace {

struct Flows {
  MemoryMaps maps{256, 64};
  MegaflowTable table{maps};
  TimePoint now{std::chrono::hours{1}};

  Flows() {
    for (std::uint32_t port = 1; port <= 2; ++port) {
      table.add_port(DpPort{port});
      table.update_output(DpPort{port}, {Ifindex{100 + port}, true});
    }
  }
  // A flow that so many packets of so many bytes have just met; its slot.
  std::uint32_t add(std::uint16_t tp_dst, std::uint64_t packets, std::uint64_t size = 100) {
    FlowKey key{};
    key.in_port = 1;
    key.tp_dst = be16{tp_dst};
    Translation made;
    made.mask.in_port = ~0U;
    made.mask.tp_dst = be16{0xffff};
    made.actions = {output_to(2)};
    now += std::chrono::milliseconds{1};
    REQUIRE(table.publish(key, std::make_shared<const Translation>(std::move(made)), now) ==
            MegaflowTable::Publish::kPublished);
    const std::uint32_t slot = table.find(key);
    maps.counters[slot].packets += packets;
    maps.counters[slot].bytes += packets * size;
    table.collect(slot, slot + 1, now, false);
    return slot;
  }
  std::vector<std::uint32_t> top(std::size_t count, FlowOrder order, std::uint32_t slice = 3) {
    TopFlows best{count, order};
    for (std::uint32_t begin = 0; begin < table.slot_end(); begin += slice) best.consider(table, begin, begin + slice);
    std::vector<std::uint32_t> slots;
    for (const std::uint64_t id : best.take()) slots.push_back(slot_of(table, id));
    return slots;
  }
};

}  // namespace

TEST_SUITE("top flows") {
  TEST_CASE("the busiest come first, whichever slice they are in") {
    Flows f;
    std::vector<std::uint16_t> packets(50);
    for (std::size_t i = 0; i < packets.size(); ++i) packets[i] = static_cast<std::uint16_t>(i + 1);
    std::shuffle(packets.begin(), packets.end(), std::mt19937{1});
    std::vector<std::uint32_t> slots(packets.size());
    for (const std::uint16_t n : packets) slots[n - 1U] = f.add(n, n);
    CHECK(f.top(3, FlowOrder::kPackets) == std::vector{slots[49], slots[48], slots[47]});
    CHECK(f.top(0, FlowOrder::kPackets).empty());
    CHECK(f.top(100, FlowOrder::kPackets).size() == 50);
  }

  TEST_CASE("by bytes, few long packets outdo many short ones") {
    Flows f;
    const std::uint32_t many = f.add(1, 100, 60), large = f.add(2, 10, 1500);
    CHECK(f.top(1, FlowOrder::kPackets) == std::vector{many});
    CHECK(f.top(1, FlowOrder::kBytes) == std::vector{large});
  }

  TEST_CASE("what was busy once gives way to what is busy now") {
    Flows f;
    const std::uint32_t old = f.add(1, 1000);
    for (int second = 0; second < 12; ++second) f.table.collect(0, f.table.slot_end(), f.now, true);
    const std::uint32_t fresh = f.add(2, 10);
    CHECK(f.top(2, FlowOrder::kPackets) == std::vector{fresh, old});
  }

  TEST_CASE("a flow's name is not that of the next one in its slot") {
    Flows f;
    const std::uint32_t slot = f.add(1, 1);
    const std::uint64_t id = flow_id(slot, *f.table.flow(slot));
    CHECK(slot_of(f.table, id) == slot);
    f.table.retire(slot);
    CHECK(slot_of(f.table, id) == MegaflowTable::kNoSlot);
    f.table.reclaim(f.table.close_epoch().value());
    REQUIRE(f.add(2, 1) == slot);
    CHECK(slot_of(f.table, id) == MegaflowTable::kNoSlot);
    CHECK(slot_of(f.table, 0x1fffff) == MegaflowTable::kNoSlot);  // a slot that there is not
  }
}
