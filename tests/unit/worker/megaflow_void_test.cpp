// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <map>
#include <random>

#include "tests/unit/worker/memory_maps.h"
#include "user/worker/megaflow_table.h"

using namespace shunt;
using namespace shunt::test;
using Publish = MegaflowTable::Publish;

namespace {

FlowKey key_of(std::uint16_t tp_dst, std::uint32_t in_port = 1) {
  FlowKey key{};
  key.in_port = in_port;
  key.tp_dst = be16{tp_dst};
  return key;
}

FlowMask full_ports() {
  FlowMask mask{};
  mask.in_port = ~0u;
  mask.tp_dst = be16{0xffff};
  return mask;
}

struct Fixture {
  explicit Fixture(std::uint32_t limit = 256, std::uint32_t buckets = 64) : maps{limit, buckets}, table{maps} {
    table.set_credit([this](std::uint32_t, const MegaflowTable::Flow&, const MegaflowTable::Counted& counted) {
      credited += counted.packets;
    });
    for (std::uint32_t port = 1; port <= 3; ++port) {
      table.add_port(DpPort{port});
      table.update_output(DpPort{port}, {Ifindex{100 + port}, true});
    }
  }
  Publish publish(const FlowKey& key, std::uint16_t output) {
    Translation made;
    made.mask = full_ports();
    made.actions = {output_to(output)};
    return table.publish(key, std::make_shared<const Translation>(std::move(made)), now);
  }
  void grace_period() {
    if (const auto epoch = table.close_epoch()) table.reclaim(*epoch);
  }
  unsigned answer(const FlowKey& key) const {
    const auto hit = maps.lookup(key);
    return hit ? hit->actions.back().arg : 0;
  }

  MemoryMaps maps;
  MegaflowTable table;
  TimePoint now{std::chrono::hours{1}};
  std::uint64_t credited = 0;
};

}  // namespace

TEST_SUITE("a port's flows, all void") {
  TEST_CASE("none answers, none is there, and those of other ports stay") {
    Fixture f;
    REQUIRE(f.publish(key_of(80, 1), 3) == Publish::kPublished);
    REQUIRE(f.publish(key_of(80, 2), 3) == Publish::kPublished);
    const std::uint64_t microflows = f.maps.ports[1].microflows;
    f.table.void_flows(DpPort{1});
    CHECK(f.answer(key_of(80, 1)) == 0);
    CHECK(f.answer(key_of(80, 2)) == 3);
    CHECK(f.table.size() == 1);
    CHECK(f.table.find(key_of(80, 1)) == MegaflowTable::kNoSlot);
    CHECK(f.table.share(DpPort{1}).flows == 0);
    CHECK(f.table.share(DpPort{1}).masks == 0);
    CHECK(f.table.awaits_grace_period());
    CHECK(f.maps.ports[1].microflows != microflows);
  }

  TEST_CASE("what they counted is credited, also what programs count until they have ended") {
    Fixture f;
    REQUIRE(f.publish(key_of(80), 2) == Publish::kPublished);
    for (int i = 0; i < 5; ++i) f.maps.packet(key_of(80));
    f.table.void_flows(DpPort{1});
    f.table.collect_retired();
    CHECK(f.credited == 5);
    f.maps.counters[0].packets += 2;
    f.table.collect_retired();
    CHECK(f.credited == 7);
    f.maps.counters[0].packets += 1;
    CHECK(f.table.clear_void(1));
    f.grace_period();
    CHECK(f.credited == 8);
  }

  TEST_CASE("slots and entries of the hash map come back in pieces") {
    Fixture f{8};
    for (std::uint16_t i = 0; i < 8; ++i) REQUIRE(f.publish(key_of(i), 2) == Publish::kPublished);
    f.table.void_flows(DpPort{1});
    CHECK(f.publish(key_of(100), 2) == Publish::kFull);
    CHECK(f.table.clear_void(3));
    CHECK(f.maps.table.size() == 5);
    f.grace_period();
    for (std::uint16_t i = 0; i < 3; ++i) CHECK(f.publish(key_of(100 + i), 2) == Publish::kPublished);
    CHECK(f.table.clear_void(99));
    CHECK_FALSE(f.table.clear_void(99));
    CHECK(f.maps.table.size() == 3);
    f.grace_period();
    CHECK_FALSE(f.table.awaits_grace_period());
    for (std::uint16_t i = 3; i < 8; ++i) CHECK(f.publish(key_of(100 + i), 2) == Publish::kPublished);
    for (std::uint16_t i = 0; i < 8; ++i) CHECK(f.answer(key_of(100 + i)) == 2);
  }

  TEST_CASE("a new flow takes the place of a void one with its key, and keeps it") {
    Fixture f{256, 2};  // buckets overflow: the hash map answers, too
    for (std::uint16_t i = 0; i < 60; ++i) REQUIRE(f.publish(key_of(i), 2) == Publish::kPublished);
    f.table.void_flows(DpPort{1});
    for (std::uint16_t i = 0; i < 60; i += 2) REQUIRE(f.publish(key_of(i), 3) == Publish::kPublished);
    f.table.clear_void(99);
    CHECK(f.maps.table.size() == 30);
    for (std::uint16_t i = 0; i < 60; ++i) CHECK(f.answer(key_of(i)) == (i % 2 == 0 ? 3 : 0));
  }

  TEST_CASE("at random, the kernel answers what was published last and nothing else") {
    std::mt19937 random{11};
    Fixture f{64, 4};
    std::map<std::uint16_t, std::uint16_t> wanted;
    for (int i = 0; i < 20'000; ++i) {
      const auto key = static_cast<std::uint16_t>(random() % 48);
      const auto output = static_cast<std::uint16_t>(2 + random() % 2);
      switch (random() % 16) {
        case 0:
          if (random() % 8 != 0) break;
          f.table.void_flows(DpPort{1});
          wanted.clear();
          break;
        case 1:
          f.table.clear_void(random() % 8);
          break;
        case 2:
          f.grace_period();
          break;
        case 3:
          if (const auto slot = f.table.find(key_of(key)); slot != MegaflowTable::kNoSlot) f.table.retire(slot);
          wanted.erase(key);
          break;
        default:
          if (const Publish result = f.publish(key_of(key), output);
              result == Publish::kPublished || (result == Publish::kExists && f.answer(key_of(key)) != 0))
            wanted[key] = output;
          else if (result == Publish::kExists)
            wanted.erase(key);  // there was no slot for its new actions
      }
      std::size_t wrong = 0;
      for (std::uint16_t k = 0; k < 48; ++k) {
        const auto found = wanted.find(k);
        wrong += f.answer(key_of(k)) != (found == wanted.end() ? 0u : found->second);
      }
      REQUIRE(wrong == 0);
      REQUIRE(f.table.size() == wanted.size());
    }
  }
}
