// SPDX-License-Identifier: Apache-2.0
#include "user/worker/megaflow_writer.h"

#include <doctest/doctest.h>

#include <random>
#include <thread>

#include "tests/unit/worker/memory_maps.h"

using namespace shunt;
using shunt::test::MemoryMaps;

namespace {

shunt_megaflow_key key_of(std::uint32_t number) {
  shunt_megaflow_key key{};
  key.mask = number;
  return key;
}

shunt_megaflow value_of(std::uint32_t slot) {
  shunt_megaflow value{};
  value.head.slot = slot;
  return value;
}

struct Fixture {
  MemoryMaps maps{16};
  MegaflowWriter writer{maps};

  void put(std::uint32_t number, std::uint32_t slot) { writer.put(key_of(number), value_of(slot), slot); }
  void put_many(std::uint32_t begin, std::uint32_t end) {
    for (std::uint32_t number = begin; number < end; ++number) put(number, number);
  }
};

}  // namespace

TEST_SUITE("megaflow_writer") {
  TEST_CASE("not started, it writes at once") {
    Fixture f;
    f.put(1, 7);
    CHECK(f.maps.table.size() == 1);
    f.writer.erase(key_of(1));
    CHECK(f.maps.table.empty());
    f.maps.fail_updates = true;
    f.put(2, 8);
    CHECK(f.writer.take_refused() == std::vector<std::uint32_t>{8});
    CHECK(f.writer.take_refused().empty());
  }

  TEST_CASE("a few are written by who commits them, and not before") {
    Fixture f;
    f.writer.start();
    f.put_many(0, 3);
    f.writer.erase(key_of(1));
    CHECK(f.maps.table.empty());
    f.writer.commit();
    CHECK(f.maps.table.size() == 2);
  }

  TEST_CASE("what one key is put and erased for comes in that order, whoever writes it") {
    Fixture f;
    f.writer.start();
    std::mt19937 random{5};
    std::map<std::uint32_t, std::uint32_t> expected;
    for (std::uint32_t step = 0; step < 30'000; ++step) {
      const auto number = static_cast<std::uint32_t>(random() % 50);
      if (random() % 3 == 0) {
        f.writer.erase(key_of(number));
        expected.erase(number);
      } else {
        f.put(number, step);
        expected[number] = step;
      }
      if (random() % 40 == 0) f.writer.commit();
    }
    f.writer.commit();
    f.writer.settle();
    std::map<std::uint32_t, std::uint32_t> there;
    f.maps.for_each_megaflow(
        [&](const shunt_megaflow_key& key, const shunt_megaflow& value) { there[key.mask] = value.head.slot; });
    CHECK(there == expected);
    CHECK(f.writer.take_refused().empty());
  }

  TEST_CASE("refused slots are told once, of the thread's batches too") {
    Fixture f;
    f.maps.refused = 40;  // so many succeed, then one fails
    f.writer.start();
    f.put_many(0, 64);
    f.writer.commit();
    f.writer.settle();
    CHECK(f.writer.take_refused() == std::vector<std::uint32_t>{40});
    CHECK(f.writer.take_refused().empty());
    CHECK(f.maps.table.size() == 63);
  }

  TEST_CASE("settle() returns when all is written that was committed before, in any thread; stop() writes the rest") {
    Fixture f;
    f.writer.start();
    for (std::uint32_t round = 0; round < 200; ++round) {
      f.put_many(round * 100, round * 100 + 100);
      f.writer.commit();
      std::thread{[&] {
        f.writer.settle();
        CHECK(f.maps.table.size() == (round + 1) * 100);
      }}.join();
    }
    f.put(100'000, 1);
    f.writer.stop();
    CHECK(f.maps.table.size() == 20'001);
  }
}
