// SPDX-License-Identifier: Apache-2.0
// A table that takes over what another one, that is not there any more, left in the maps.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <random>

#include "tests/unit/worker/memory_maps.h"
#include "user/worker/megaflow_table.h"

using namespace shunt;
using namespace shunt::test;
using Publish = MegaflowTable::Publish;

namespace {

constexpr std::uint32_t kPorts = 8;
constexpr TimePoint kNow{std::chrono::hours{1}};

FlowKey key_of(std::uint16_t tp_dst, std::uint32_t in_port = 1) {
  FlowKey key{};
  key.in_port = in_port;
  key.eth_type = be16{0x0800};
  key.tp_dst = be16{tp_dst};
  return key;
}

FlowMask mask_of(unsigned bits) {
  FlowMask mask{};
  mask.in_port = ~0u;
  mask.tp_dst = be16{static_cast<std::uint16_t>(bits)};
  return mask;
}

TranslationRef translation(const FlowMask& mask, DpActions actions) {
  Translation made;
  made.mask = mask;
  made.actions = std::move(actions);
  return std::make_shared<const Translation>(std::move(made));
}

void describe_ports(MegaflowTable& table) {
  for (std::uint32_t port = 1; port <= kPorts; ++port) table.update_output(DpPort{port}, {Ifindex{100 + port}, true});
}

// A daemon's table. Its destructor leaves the maps as they are, as a kill does.
struct Daemon {
  explicit Daemon(MemoryMaps& memory, bool second = false) : maps{memory}, table{memory} {
    table.set_credit([this](std::uint32_t, const MegaflowTable::Flow&, const MegaflowTable::Counted& counted) {
      credited += counted.packets;
    });
    for (std::uint32_t port = 1; port <= kPorts; ++port)
      second ? table.inherit_port(DpPort{port}) : table.add_port(DpPort{port});
    describe_ports(table);
  }
  Publish publish(const FlowKey& key, const FlowMask& mask, DpActions actions) {
    return table.publish(key, translation(mask, std::move(actions)), kNow);
  }
  // All flows are confirmed as `decide` says; returns how many changed.
  template <typename Decide>
  unsigned inherit(Decide decide, const MegaflowTable::Credited& credit = {}) {
    broken = table.inherit(credit, kNow);
    unsigned changed = 0;
    for (std::uint32_t slot = 0, end = table.slot_end(); slot < end; ++slot)
      if (table.flow(slot) != nullptr && table.confirm(slot, decide(slot), kNow)) ++changed;
    return changed;
  }
  unsigned inherit() {
    return inherit([this](std::uint32_t slot) {
      const auto actions = table.actions(slot);
      return translation(table.mask(slot), {actions.begin(), actions.end()});
    });
  }
  MemoryMaps& maps;
  MegaflowTable table;
  std::uint64_t credited = 0;
  std::uint32_t broken = 0;
};

unsigned answer(const MemoryMaps& maps, const FlowKey& key) {
  const auto hit = maps.lookup(key);
  return hit ? hit->actions.back().arg : 0;
}

}  // namespace

TEST_SUITE("inheriting megaflows") {
  TEST_CASE("lists are taken over with the rewrite behind them") {
    MemoryMaps maps{256};
    {
      Daemon first{maps};
      REQUIRE(first.publish(key_of(1), mask_of(0xffff), {set_eth_dst(7), output_to(2)}) == Publish::kPublished);
      REQUIRE(first.publish(key_of(2), mask_of(0xffff), {simple(SHUNT_ACT_TRUNCATE, 99), output_to(2)}) == Publish::kPublished);
    }
    const std::vector before(maps.action_lists.begin(), maps.action_lists.end());
    Daemon second{maps, true};
    CHECK(second.inherit() == 0);
    CHECK(second.broken == 0);
    REQUIRE(second.publish(key_of(3), mask_of(0xffff), {push_vlan(6), output_to(2)}) == Publish::kPublished);
    const shunt_flow &routed = maps.flows[0], &tagged = maps.flows[1], &fresh = maps.flows[2];
    CHECK((routed.head.flags & SHUNT_FLOW_REWRITE) != 0);
    CHECK(std::memcmp(&maps.action_lists[routed.actions], &before[routed.actions], 4 * sizeof before[0]) == 0);
    CHECK(fresh.actions >= std::max(routed.actions + 4, tagged.actions + 2));
  }

  TEST_CASE("flows that are still right stay as they are, slot for slot") {
    MemoryMaps maps{256, 2};  // so few buckets that they overflow
    {
      Daemon first{maps};
      for (std::uint16_t i = 0; i < 60; ++i)
        REQUIRE(first.publish(key_of(i, 1 + i % 3), mask_of(0xffff - i % 5), {output_to(2)}) != Publish::kFull);
      first.table.mature(kNow);
    }
    const auto before = maps.table;
    const auto index = std::vector(maps.index.begin(), maps.index.end());
    const auto masks_before = std::vector(std::begin(maps.ports[1].masks), std::end(maps.ports[1].masks));
    Daemon second{maps, true};
    CHECK(second.inherit() == 0);
    CHECK(second.broken == 0);
    CHECK(second.table.size() == before.size());
    CHECK(maps.table.size() == before.size());
    for (std::size_t i = 0; i < index.size(); ++i) CHECK(std::memcmp(&index[i], &maps.index[i], sizeof index[i]) == 0);
    CHECK(std::equal(masks_before.begin(), masks_before.end(), std::begin(maps.ports[1].masks)));
    for (const auto& [bytes, value] : before) CHECK(std::memcmp(&maps.table.at(bytes), &value, sizeof value) == 0);
    // And it goes on as a table of its own.
    for (std::uint16_t i = 100; i < 160; ++i) {
      REQUIRE(second.publish(key_of(i), mask_of(0xffff), {output_to(3)}) == Publish::kPublished);
      CHECK(answer(maps, key_of(i)) == 3);
    }
    for (std::uint32_t slot = 0, end = second.table.slot_end(); slot < end; ++slot)
      if (second.table.flow(slot) != nullptr) second.table.retire(slot);
    CHECK(maps.table.empty());
    CHECK(std::ranges::all_of(maps.index, [](const shunt_index_bucket& bucket) { return bucket.overflow == 0; }));
  }

  TEST_CASE("a flow that is decided otherwise today is replaced, one whose decision looks at more goes") {
    MemoryMaps maps{64};
    {
      Daemon first{maps};
      first.publish(key_of(1), mask_of(0xffff), {output_to(2)});
      first.publish(key_of(2), mask_of(0xffff), {output_to(2)});
      first.publish(key_of(4), mask_of(0xfffc), {output_to(2)});
    }
    Daemon second{maps, true};
    const unsigned changed = second.inherit([&](std::uint32_t slot) {
      const std::uint16_t port = second.table.key(slot).tp_dst.host();
      if (port == 1) return translation(mask_of(0xffff), {output_to(5)});
      if (port == 4) return translation(mask_of(0xffff), {output_to(2)});
      return translation(mask_of(0xffff), {output_to(2)});
    });
    CHECK(changed == 2);
    CHECK(answer(maps, key_of(1)) == 5);
    CHECK(answer(maps, key_of(2)) == 2);
    CHECK(answer(maps, key_of(4)) == 0);
  }

  TEST_CASE("a group keeps its number, and its number is not given away") {
    MemoryMaps maps{64};
    const DpActions flood{output_to(2), output_to(3), output_to(4)};
    {
      Daemon first{maps};
      REQUIRE(first.publish(key_of(1), mask_of(0xffff), flood) == Publish::kPublished);
    }
    const unsigned group = answer(maps, key_of(1));
    REQUIRE(group != 0);
    Daemon second{maps, true};
    CHECK(second.inherit([&](std::uint32_t) { return translation(mask_of(0xffff), flood); }) == 0);
    CHECK(answer(maps, key_of(1)) == group);
    CHECK(second.table.stats().groups == 1);
    REQUIRE(second.publish(key_of(2), mask_of(0xffff), flood) == Publish::kPublished);
    CHECK(answer(maps, key_of(2)) == group);
    REQUIRE(second.publish(key_of(3), mask_of(0xffff), {output_to(5), output_to(6)}) == Publish::kPublished);
    CHECK(answer(maps, key_of(3)) != group);
    CHECK(maps.groups.at(static_cast<std::uint16_t>(group)).size() == 3);
  }

  TEST_CASE("what was counted before is credited once: all of it, or what was not yet seen") {
    MemoryMaps maps{64};
    {
      Daemon first{maps};
      first.publish(key_of(1), mask_of(0xffff), {output_to(2)});
      for (int i = 0; i < 7; ++i) maps.packet(key_of(1));
      first.table.collect(0, 1, kNow, false);
      for (int i = 0; i < 3; ++i) maps.packet(key_of(1));
    }
    Daemon second{maps, true};
    // 5 packets in the slots that the flow had before.
    const FlowCredit known{.packets = 12, .bytes = 1200, .seen_packets = 7, .seen_bytes = 700};
    SUBCASE("nothing is known") {
      second.inherit();
      CHECK(second.credited == 10);
    }
    SUBCASE("it is known what was seen") {
      second.inherit(
          [&](std::uint32_t slot) {
            const auto actions = second.table.actions(slot);
            return translation(second.table.mask(slot), {actions.begin(), actions.end()});
          },
          [&](std::uint32_t, std::uint64_t) { return &known; });
      CHECK(second.credited == 3);
      CHECK(second.table.credited(0).packets == 15);
      CHECK(second.table.credited(0).seen_packets == 10);
    }
  }

  TEST_CASE("whatever two stores the daemon died between, the maps end whole, and no other flow is touched") {
    std::mt19937 random{7};
    for (int round = 0; round < 200; ++round) {
      MemoryMaps maps{128, 4};
      {
        Daemon first{maps};
        for (std::uint16_t i = 0; i < 50; ++i) first.publish(key_of(i), mask_of(0xffff), {output_to(2)});
      }
      // One flow is half published or half retired: in the hash map without an index entry, in the index alone, with
      // its slot invalid, or its slot another's.
      const auto victim = static_cast<std::uint16_t>(random() % 50);
      const auto hit = maps.lookup(key_of(victim));
      REQUIRE(hit);
      const unsigned damage = random() % 4;
      if (damage == 0 || damage == 3)
        for (shunt_index_bucket& bucket : maps.index)
          for (__u64& entry : bucket.entry)
            if (entry != 0 && SHUNT_INDEX_SLOT(entry) == hit->slot) entry = 0;
      if (damage == 1) {
        std::erase_if(maps.table, [&](const auto& item) { return item.second.head.slot == hit->slot; });
      }
      if (damage == 2) maps.flows[hit->slot].head.generation = 0;
      if (damage == 3) maps.index[random() % 4].overflow += 5;
      Daemon second{maps, true};
      CHECK(second.inherit() == 0);
      for (std::uint16_t i = 0; i < 50; ++i)
        CHECK(answer(maps, key_of(i)) == (i == victim && (damage == 1 || damage == 2) ? 0 : 2));
      for (std::uint16_t i = 200; i < 250; ++i)
        REQUIRE(second.publish(key_of(i), mask_of(0xffff), {output_to(4)}) == Publish::kPublished);
      for (std::uint16_t i = 200; i < 250; ++i) CHECK(answer(maps, key_of(i)) == 4);
      for (std::uint32_t slot = 0, end = second.table.slot_end(); slot < end; ++slot)
        if (second.table.flow(slot) != nullptr) second.table.retire(slot);
      CHECK(maps.table.empty());
      for (const shunt_index_bucket& bucket : maps.index) {
        CHECK(bucket.overflow == 0);
        for (const __u64 entry : bucket.entry) CHECK(entry == 0);
      }
    }
  }

  TEST_CASE("flows of a port that is no more, or of another generation, go") {
    MemoryMaps maps{64};
    {
      Daemon first{maps};
      first.publish(key_of(1, 1), mask_of(0xffff), {output_to(2)});
      first.publish(key_of(1, 2), mask_of(0xffff), {output_to(3)});
    }
    ++maps.ports[1].generation;
    Daemon second{maps, true};
    CHECK(second.inherit() == 0);
    CHECK(second.broken == 1);
    CHECK(second.table.size() == 1);
    CHECK(answer(maps, key_of(1, 2)) == 3);
  }
}
