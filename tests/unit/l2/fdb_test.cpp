// SPDX-License-Identifier: Apache-2.0
#include "user/l2/fdb.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <thread>
#include <utility>
#include <vector>

using namespace shunt;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint kStart{1h};
constexpr PortNo kP1{1}, kP2{2}, kP3{3};

FdbKey key(std::uint64_t mac, std::uint16_t vlan = 0) {
  return {VlanId{vlan}, MacAddr::from_number(0x020000000000 | mac)};
}

std::vector<FdbKey> sorted(std::vector<FdbKey> keys) {
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace

TEST_SUITE("fdb") {
  TEST_CASE("a learned MAC is found on its port, in its VLAN only") {
    Fdb fdb;
    CHECK_FALSE(fdb.lookup(key(1)));
    CHECK(fdb.learn(key(1, 10), kP1, kStart).outcome == Fdb::Learned::kAdded);
    CHECK(fdb.lookup(key(1, 10)) == kP1);
    CHECK_FALSE(fdb.lookup(key(1, 11)));
    CHECK_FALSE(fdb.lookup(key(1)));
    CHECK(fdb.size() == 1);
  }

  TEST_CASE("a MAC seen on another port moves there") {
    Fdb fdb;
    fdb.learn(key(1), kP1, kStart);
    const auto result = fdb.learn(key(1), kP2, kStart + 1s);
    CHECK(result.outcome == Fdb::Learned::kMoved);
    CHECK(result.old_port == kP1);
    CHECK(fdb.lookup(key(1)) == kP2);
    CHECK(fdb.size() == 1);
    CHECK(fdb.flush(kP1).empty());
  }

  TEST_CASE("the version rises when a MAC's place changes, and only then") {
    Fdb fdb;
    auto version = fdb.version();
    const auto rose = [&] { return std::exchange(version, fdb.version()) != fdb.version(); };
    fdb.learn(key(1), kP1, kStart);
    CHECK(rose());
    fdb.learn(key(1), kP1, kStart + 1s);
    CHECK_FALSE(rose());
    fdb.learn(key(1), kP2, kStart + 2s);
    CHECK(rose());
    CHECK(fdb.expire(kStart + 3s).empty());
    CHECK_FALSE(rose());
    CHECK(fdb.expire(kStart + 400s).size() == 1);
    CHECK(rose());
    fdb.add_static(key(2), kP1);
    CHECK(rose());
    CHECK_FALSE(fdb.remove(key(3)));
    CHECK_FALSE(rose());
    CHECK(fdb.remove(key(2)));
    CHECK(rose());
    fdb.learn(key(4), kP1, kStart);
    CHECK(rose());
    fdb.flush(std::nullopt);
    CHECK(rose());
    fdb.flush(std::nullopt);
    CHECK_FALSE(rose());
  }

  TEST_CASE("an entry ages from when it was last seen") {
    Fdb fdb{100, 300s};
    fdb.learn(key(1), kP1, kStart);
    fdb.learn(key(2), kP2, kStart);
    fdb.learn(key(1), kP1, kStart + 200s);
    CHECK(fdb.expire(kStart + 299s).empty());
    CHECK(fdb.expire(kStart + 300s) == std::vector{key(2)});
    CHECK(fdb.lookup(key(1)) == kP1);
    CHECK_FALSE(fdb.lookup(key(2)));
    fdb.set_ageing(1000s);
    CHECK(fdb.expire(kStart + 1199s).empty());
    CHECK(fdb.expire(kStart + 1200s) == std::vector{key(1)});
    CHECK(fdb.size() == 0);
  }

  TEST_CASE("a refresh with an older time makes no entry older") {
    Fdb fdb{100, 300s};
    fdb.learn(key(1), kP1, kStart + 100s);
    fdb.learn(key(1), kP1, kStart);
    CHECK(fdb.expire(kStart + 350s).empty());
  }

  TEST_CASE("a static entry neither ages nor moves, and replaces a learned one") {
    Fdb fdb;
    fdb.learn(key(1), kP1, kStart);
    fdb.add_static(key(1), kP2);
    CHECK(fdb.lookup(key(1)) == kP2);
    CHECK(fdb.size() == 1);
    CHECK(fdb.learn(key(1), kP3, kStart).outcome == Fdb::Learned::kIgnored);
    CHECK(fdb.expire(kStart + 10'000s).empty());
    CHECK(fdb.flush(std::nullopt).empty());
    CHECK(fdb.lookup(key(1)) == kP2);
    fdb.add_static(key(1), kP3);
    CHECK(fdb.lookup(key(1)) == kP3);
    CHECK(fdb.remove_port(kP3) == std::vector{key(1)});
    CHECK_FALSE(fdb.lookup(key(1)));
  }

  TEST_CASE("flush takes the learned entries of a port, remove_port all of them") {
    Fdb fdb;
    fdb.learn(key(1), kP1, kStart);
    fdb.learn(key(2), kP1, kStart);
    fdb.add_static(key(3), kP1);
    fdb.learn(key(4), kP2, kStart);
    CHECK(sorted(fdb.flush(kP1)) == std::vector{key(1), key(2)});
    CHECK(fdb.remove_port(kP1) == std::vector{key(3)});
    CHECK(fdb.lookup(key(4)) == kP2);
  }

  TEST_CASE("a full table evicts the oldest entry of the port that holds the most") {
    Fdb fdb{10};
    fdb.learn(key(100), kP1, kStart);
    for (std::uint64_t i = 0; i < 9; ++i) fdb.learn(key(i), kP2, kStart + 1s + std::chrono::seconds{i});
    fdb.learn(key(0), kP2, kStart + 60s);  // refreshed: no longer the oldest
    SUBCASE("for another port") {
      const auto result = fdb.learn(key(200), kP3, kStart + 61s);
      CHECK(result.outcome == Fdb::Learned::kAdded);
      CHECK(result.evicted == key(1));
      CHECK(fdb.lookup(key(200)) == kP3);
    }
    SUBCASE("for itself: one port's forged addresses push out only its own") {
      for (std::uint64_t i = 1000; i < 2000; ++i) fdb.learn(key(i), kP2, kStart + 61s);
      CHECK(fdb.lookup(key(100)) == kP1);
    }
    CHECK(fdb.size() == 10);
    CHECK_FALSE(fdb.lookup(key(1)));
  }

  TEST_CASE("of two ports that hold the same, the one that wants more gives up its own") {
    Fdb fdb{4};
    fdb.learn(key(1), kP1, kStart);
    fdb.learn(key(2), kP1, kStart);
    fdb.learn(key(3), kP2, kStart);
    fdb.learn(key(4), kP2, kStart);
    CHECK(fdb.learn(key(5), kP1, kStart).evicted == key(1));
    CHECK(fdb.learn(key(6), kP2, kStart).evicted == key(3));
  }

  TEST_CASE("a limit that shrinks evicts, a limit of 0 learns nothing") {
    Fdb fdb;
    for (std::uint64_t i = 0; i < 20; ++i) fdb.learn(key(i), PortNo{i < 5 ? 1u : 2u}, kStart + std::chrono::seconds{i});
    const auto gone = fdb.set_limit(12);
    CHECK(gone.size() == 8);
    CHECK(fdb.size() == 12);
    CHECK(std::all_of(gone.begin(), gone.end(), [](FdbKey k) { return k >= key(5) && k <= key(12); }));
    CHECK(fdb.set_limit(0).size() == 12);
    CHECK(fdb.learn(key(1), kP1, kStart).outcome == Fdb::Learned::kIgnored);
    CHECK(fdb.size() == 0);
  }

  TEST_CASE("a table full of static entries learns nothing") {
    Fdb fdb{2};
    fdb.add_static(key(1), kP1);
    fdb.add_static(key(2), kP1);
    CHECK(fdb.learn(key(3), kP1, kStart).outcome == Fdb::Learned::kIgnored);
    CHECK(fdb.set_limit(1).empty());
    CHECK(fdb.size() == 2);
  }

  TEST_CASE("the list is sorted by VLAN and MAC and says what each entry is") {
    Fdb fdb;
    fdb.learn(key(2, 10), kP1, kStart);
    fdb.learn(key(1, 20), kP2, kStart + 1s);
    fdb.add_static(key(1, 10), kP3);
    const auto list = fdb.list();
    REQUIRE(list.size() == 3);
    CHECK(list[0].key == key(1, 10));
    CHECK(list[0].is_static);
    CHECK(list[1].key == key(2, 10));
    CHECK(list[1].port == kP1);
    CHECK(list[2].key == key(1, 20));
    CHECK(list[2].seen == kStart + 1s);
  }

  TEST_CASE("after thousands of random changes each key is found where it was put") {
    Fdb fdb{100'000};
    std::map<FdbKey, PortNo> expected;
    std::mt19937_64 random{1};
    for (int i = 0; i < 60'000; ++i) {
      const FdbKey k = key(random() % 4000, static_cast<std::uint16_t>(random() % 3));
      if (random() % 3 == 0) {
        CHECK_MESSAGE(fdb.remove(k) == (expected.erase(k) != 0), i);
      } else {
        const PortNo port{static_cast<std::uint32_t>(1 + random() % 8)};
        fdb.learn(k, port, kStart);
        expected[k] = port;
      }
    }
    CHECK(fdb.size() == expected.size());
    int wrong = 0;
    for (std::uint64_t mac = 0; mac < 4000; ++mac)
      for (std::uint16_t vlan = 0; vlan < 3; ++vlan) {
        const auto at = expected.find(key(mac, vlan));
        wrong += fdb.lookup(key(mac, vlan)) != (at == expected.end() ? std::nullopt : std::optional{at->second});
      }
    CHECK(wrong == 0);
  }

  TEST_CASE("readers never see another key's port, nor miss a key that stays") {
    // Key i only ever is on port 1000 + i or 2000 + i. Keys 0 to 9 stay; the others come and go and share slots.
    Fdb fdb;
    for (std::uint64_t i = 0; i < 10; ++i) fdb.learn(key(i), PortNo{static_cast<std::uint32_t>(1000 + i)}, kStart);
    std::atomic<bool> done{false};
    std::atomic<int> wrong{0}, found{0};
    std::vector<std::thread> readers;
    for (int r = 0; r < 2; ++r)
      readers.emplace_back([&] {
        while (!done.load(std::memory_order_relaxed))
          for (std::uint64_t i = 0; i < 200; ++i) {
            const auto port = fdb.lookup(key(i));
            if (port && port->value != 1000 + i && port->value != 2000 + i) wrong.fetch_add(1);
            if (!port && i < 10) wrong.fetch_add(1);
            if (port) found.fetch_add(1, std::memory_order_relaxed);
          }
      });
    std::mt19937_64 random{5};
    for (int change = 0; change < 40'000 || found.load() == 0; ++change) {
      const std::uint64_t i = random() % 3000;
      const PortNo port{static_cast<std::uint32_t>((random() % 2 == 0 ? 1000 : 2000) + i)};
      if (i >= 10 && random() % 2 == 0)
        fdb.remove(key(i));
      else
        fdb.learn(key(i % 200), PortNo{static_cast<std::uint32_t>(port.value - i + i % 200)}, kStart);
      if (i >= 200) fdb.learn(key(i), port, kStart);
    }
    done = true;
    for (auto& reader : readers) reader.join();
    CHECK(wrong.load() == 0);
    CHECK(found.load() > 0);
  }

  TEST_CASE("who takes the changes has the table, however many there were in between") {
    std::mt19937_64 random{7};
    Fdb fdb{30'000};
    std::map<FdbKey, std::pair<PortNo, bool>> copy;
    CHECK(fdb.take_changes().everything);
    TimePoint now = kStart;
    std::size_t wholes = 0;
    for (int round = 0; round < 60; ++round) {
      // Now and then more than it keeps.
      const std::size_t count = round % 20 == 19 ? Fdb::kKeptChanges + 4000 : random() % 200;
      for (std::size_t i = 0; i < count; ++i) {
        const FdbKey at = key(count > 1000 ? i : random() % 25'000);
        const PortNo port{static_cast<std::uint32_t>(1 + random() % 5)};
        now += std::chrono::milliseconds{1};
        const auto what = count > 1000 ? 9 : random() % 20;
        if (what == 0)
          fdb.remove(at);
        else if (what == 1)
          fdb.add_static(at, port);
        else if (what == 2 && i == 5)
          fdb.flush(port);
        else if (what == 3 && i == 6)
          fdb.remove_port(port);
        else if (what == 4 && i == 7)
          fdb.expire(now + Fdb::kDefaultAgeing - std::chrono::seconds{1});
        else if (what == 5 && i == 8)
          fdb.set_limit(1000 + random() % 30'000);
        else
          fdb.learn(at, port, now);
      }
      const FdbChanges changes = fdb.take_changes();
      wholes += changes.everything;
      if (changes.everything) copy.clear();
      for (const FdbChanges::Change& change : changes.changes) {
        if (change.now)
          copy[change.key] = {change.now->port, change.now->is_static};
        else
          copy.erase(change.key);
      }
      std::map<FdbKey, std::pair<PortNo, bool>> table;
      for (const FdbEntry& entry : fdb.list()) table[entry.key] = {entry.port, entry.is_static};
      REQUIRE((copy == table));
    }
    CHECK(wholes == 3);
  }
}
