// SPDX-License-Identifier: Apache-2.0
#include "user/worker/bridge_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "tests/unit/worker/memory_maps.h"

using namespace shunt;
using namespace shunt::test;

namespace {

constexpr BridgeId kBridge{1}, kOther{2};
constexpr VlanId kVlan{10};
constexpr std::uint16_t kBoth = SHUNT_FDB_UNTAGGED | SHUNT_FDB_TAGGED;
constexpr TimePoint kNow{std::chrono::hours{1}};
constexpr std::uint64_t kEpoch = 1;

FdbKey mac(std::uint64_t number, VlanId vlan = kVlan) { return {vlan, MacAddr::from_number(0x020000000000 + number)}; }
FlowKey frame(std::uint32_t in_port, std::uint64_t src, std::uint64_t dst, bool tagged = false) {
  FlowKey key{};
  key.in_port = in_port;
  const MacAddr from = mac(src).mac, to = mac(dst).mac;
  std::copy(from.bytes.begin(), from.bytes.end(), key.eth_src);
  std::copy(to.bytes.begin(), to.bytes.end(), key.eth_dst);
  if (tagged) key.vlan[0] = {be16{0x8100}, be16{SHUNT_VLAN_PRESENT | 10}};
  return key;
}

struct Table {
  MemoryMaps maps{16};
  BridgeTable table{maps};
  bool set(std::uint64_t number, std::uint32_t port, std::uint16_t flags = kBoth) {
    return table.set(kBridge, mac(number), BridgeTable::Place{DpPort{port}, flags}, kEpoch, kNow);
  }
  bool forget(std::uint64_t number, std::uint64_t epoch = kEpoch) {
    return table.set(kBridge, mac(number), std::nullopt, epoch, kNow);
  }
  std::uint16_t number() { return table.number(kBridge, kVlan); }
  std::optional<DpPort> lookup(const FlowKey& key) { return table.lookup(key, number()); }
};

}  // namespace

TEST_SUITE("bridge table") {
  TEST_CASE("a packet goes where the destination is, in the form that its port takes") {
    Table t;
    CHECK(!t.set(0xa, 1));
    CHECK(!t.set(0xb, 2, SHUNT_FDB_TAGGED));
    CHECK(t.lookup(frame(1, 0xa, 0xb, true)) == DpPort{2});
    CHECK(!t.lookup(frame(1, 0xa, 0xb, false)));
    CHECK(!t.lookup(frame(3, 0xa, 0xb, true)));  // not where the source is
    CHECK(!t.lookup(frame(1, 0xa, 0xa, true)));
    CHECK(!t.lookup(frame(1, 0xa, 0xc, true)));
    CHECK(!t.table.lookup(frame(1, 0xa, 0xb, true), t.table.number(kOther, kVlan)));
    CHECK(!t.table.lookup(frame(1, 0xa, 0xb, true), t.table.number(kBridge, VlanId{11})));
  }

  TEST_CASE("only what the kernel may have answered otherwise is a change") {
    Table t;
    CHECK(!t.forget(0xb));
    CHECK(!t.set(0xb, 2));
    CHECK(!t.set(0xb, 2));
    CHECK(t.set(0xb, 3));
    CHECK(t.set(0xb, 3, SHUNT_FDB_TAGGED));
    CHECK(t.forget(0xb));
    CHECK(!t.forget(0xb));
    CHECK(!t.set(0xb, 2));
    CHECK(t.table.size() == 1);
    CHECK(!t.table.set(kBridge, {kVlan, MacAddr::from_number(0x010000000000)}, BridgeTable::Place{DpPort{1}}, 1, kNow));
  }

  TEST_CASE("what the kernel may have answered otherwise waits for the grace period of the last change") {
    Table t;
    t.set(0xb, 2);
    CHECK(!t.table.awaits_grace_period());
    CHECK(!t.table.has_changed(0));
    CHECK(t.forget(0xb, 1));
    CHECK(t.table.has_changed(1));
    t.set(0xb, 2);
    CHECK(t.forget(0xb, 5));
    CHECK(!t.table.has_changed(1));
    t.table.reclaim(1);
    CHECK(t.table.has_changed(5));
    CHECK(t.table.awaits_grace_period());
    t.table.reclaim(5);
    CHECK(!t.table.awaits_grace_period());
  }

  TEST_CASE("one that came back within it stays") {
    Table t;
    t.set(0xb, 2);
    t.set(0xa, 1);
    t.forget(0xb);
    t.set(0xb, 3);
    t.table.reclaim(kEpoch);
    CHECK(t.lookup(frame(1, 0xa, 0xb)) == DpPort{3});
  }

  TEST_CASE("a MAC is in use in the round in which it sent, and in the next") {
    Table t;
    const FlowKey key = frame(1, 0xa, 0xb);
    t.set(0xa, 1);
    const auto is_used = [&] { return t.table.is_used(kBridge, mac(0xa)); };
    const auto end_round = [&] {
      std::size_t taken = 0;
      t.table.take_used(0, BridgeTable::kBuckets, [&](const BridgeTable::Entry& entry) {
        CHECK(entry.bridge == kBridge);
        CHECK(entry.key == mac(0xa));
        CHECK(entry.port == DpPort{1});
        ++taken;
      });
      return taken;
    };
    const auto send = [&] { *t.maps.fdb_entry(shunt_fdb_src(&key, t.number())) |= SHUNT_FDB_USED; };
    CHECK(!is_used());
    CHECK(end_round() == 0);
    send();
    CHECK(is_used());
    CHECK(end_round() == 1);
    CHECK(is_used());
    CHECK(end_round() == 0);
    CHECK(!is_used());
    send();
    t.set(0xa, 2);  // it has moved: what it sent is not forgotten
    CHECK(is_used());
    t.set(0xa, 1);
    CHECK(end_round() == 1);
    t.forget(0xa);
    t.set(0xa, 1);  // as new
    CHECK(!is_used());
  }

  TEST_CASE("an entry is young until it has been what it is for a while") {
    Table t;
    const FlowKey key = frame(1, 0xa, 0xb);
    const auto young = [&] { return (*t.maps.fdb_entry(shunt_fdb_dst(&key, t.number())) & SHUNT_FDB_YOUNG) != 0; };
    t.set(0xb, 2);
    CHECK(young());
    t.table.mature(kNow - std::chrono::milliseconds{1});
    CHECK(young());
    CHECK(t.table.set(kBridge, mac(0xb), BridgeTable::Place{DpPort{3}, kBoth}, kEpoch, kNow + std::chrono::seconds{1}));
    t.table.mature(kNow);
    CHECK(young());
    t.table.mature(kNow + std::chrono::seconds{1});
    CHECK(!young());
    CHECK(!t.set(0xb, 3));
    CHECK(!young());
  }

  TEST_CASE("100,000 MACs find room, and what random changes leave is what the kernel finds") {
    Table t;
    std::mt19937_64 random{7};
    std::map<std::uint64_t, std::uint32_t> model;
    for (std::uint32_t i = 0; i < 100'000; ++i) t.set(i, model[i] = 2 + i % 60);
    CHECK(t.table.homeless() == 0);
    t.set(0xffffff, 1);
    for (std::uint64_t epoch = 2; epoch < 20'000; ++epoch) {
      const std::uint64_t which = random() % 120'000;
      if (random() % 2 == 0) {
        t.forget(which, epoch);
        model.erase(which);
      } else {
        model[which] = static_cast<std::uint32_t>(2 + random() % 60);
        t.set(which, model[which]);
      }
      if (random() % 8 == 0) t.table.reclaim(epoch);
    }
    CHECK(t.table.size() == model.size() + 1);
    std::size_t wrong = 0, visited = 0;
    t.table.visit(0, BridgeTable::kBuckets, [&](const BridgeTable::Entry& entry) {
      std::uint64_t number = 0;
      for (const std::uint8_t byte : entry.key.mac.bytes) number = (number & 0xffff) << 8 | byte;
      const auto known = model.find(number);
      const DpPort port{known == model.end() ? 1 : known->second};
      if (entry.key != mac(number) || entry.port != port || (known == model.end() && number != 0xffffff)) ++wrong;
      ++visited;
    });
    CHECK(visited == t.table.size());
    for (std::uint64_t i = 0; i < 120'000; ++i) {
      const auto found = t.lookup(frame(1, 0xffffff, i));
      const auto known = model.find(i);
      if (known == model.end() ? found.has_value() : found != DpPort{known->second}) ++wrong;
    }
    CHECK(wrong == 0);
  }

  TEST_CASE("100,000 MACs find room under whatever a daemon draws for its hashes, numbered in a row or not") {
    std::mt19937_64 random{9};
    std::vector<std::uint64_t> multipliers{0x9e3779b955555555, 0xd6e8feb880000001, 0x123456789abaaaab};
    while (multipliers.size() < 24) multipliers.push_back(random() | 1);
    for (const std::uint64_t multiplier : multipliers) {
      MemoryMaps maps{16};
      maps.config.hash_multiplier = multiplier;
      maps.config.hash_seed = random();
      BridgeTable table{maps};
      std::map<std::uint64_t, std::uint32_t> model;
      const bool in_a_row = multiplier == multipliers[0] || random() % 2 == 0;
      for (std::uint32_t i = 0; i < 100'000; ++i) {
        const std::uint64_t number = in_a_row ? i : random() & 0xffffffff;
        model[number] = 2 + i % 60;
        table.set(kBridge, mac(number), BridgeTable::Place{DpPort{2 + i % 60}, kBoth}, kEpoch, kNow);
      }
      CHECK(table.homeless() == 0);
      CHECK(table.size() == model.size());
      table.set(kBridge, mac(0xfedcba9876), BridgeTable::Place{DpPort{1}, kBoth}, kEpoch, kNow);
      std::size_t wrong = 0;
      for (const auto& [number, port] : model)
        wrong += table.lookup(frame(1, 0xfedcba9876, number), table.number(kBridge, kVlan)) == DpPort{port} ? 0u : 1u;
      CHECK(wrong == 0);
      table.mature(kNow);
      CHECK(!table.has_young());
      CHECK(std::ranges::none_of(maps.fdb, [](const shunt_fdb_bucket& bucket) {
        return std::ranges::any_of(bucket.entry, [](__u64 entry) { return (entry & SHUNT_FDB_YOUNG) != 0; });
      }));
    }
  }

  TEST_CASE("a bridge that goes takes its entries and numbers along") {
    Table t;
    t.set(0xa, 1);
    t.set(0xb, 2);
    CHECK(!t.table.set(kOther, mac(0xb), BridgeTable::Place{DpPort{3}, kBoth}, kEpoch, kNow));
    const std::uint16_t before = t.number();
    CHECK(t.table.remove(kBridge, kEpoch));
    CHECK(!t.table.lookup(frame(1, 0xa, 0xb), before));
    CHECK(t.table.size() == 1);
    CHECK(t.number() != before);  // not at once anybody else's
    CHECK(t.table.bridges().size() == 2);
  }

  TEST_CASE("of an earlier daemon's entries those stay whose number is known") {
    MemoryMaps maps{16};
    {
      BridgeTable earlier{maps};
      (void)earlier.number(kOther, VlanId{3});
      (void)earlier.set(kBridge, mac(0xa), BridgeTable::Place{DpPort{1}, kBoth}, kEpoch, kNow);
      (void)earlier.set(kBridge, mac(0xb), BridgeTable::Place{DpPort{2}, kBoth}, kEpoch, kNow);
      (void)earlier.set(kBridge, mac(0xb, VlanId{11}), BridgeTable::Place{DpPort{2}, kBoth}, kEpoch, kNow);
      REQUIRE(earlier.number(kBridge, kVlan) == 2);
    }
    BridgeTable later{maps};
    later.inherit(2, kBridge, kVlan);
    later.inherit(2, kOther, kVlan);   // taken
    later.inherit(9, kBridge, kVlan);  // it has one
    later.forget_unknown();
    CHECK(later.number(kBridge, kVlan) == 2);
    CHECK(later.number(kOther, kVlan) != 2);
    CHECK(later.size() == 2);
    CHECK(later.lookup(frame(1, 0xa, 0xb), 2) == DpPort{2});
    std::size_t visited = 0;
    later.visit(0, BridgeTable::kBuckets, [&](const BridgeTable::Entry& entry) {
      CHECK(entry.bridge == kBridge);
      CHECK(entry.key.vlan == kVlan);
      ++visited;
    });
    CHECK(visited == 2);
  }
}
