// SPDX-License-Identifier: Apache-2.0
#include "user/worker/microflow_region.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "bpf/datapath/microflow_units.h"

namespace shunt::test {
namespace {

constexpr std::uint32_t kGroups = 1U << 16;

shunt_config hash_config() {
  shunt_config config{};
  config.hash_seed = 0x1234567890abcdef;
  config.hash_multiplier = 0x9e3779b97f4a7c15;
  return config;
}

struct Fixture {
  const shunt_config config = hash_config();
  std::vector<shunt_microflow_group> groups = std::vector<shunt_microflow_group>(kGroups);
  std::vector<shunt_port> ports = std::vector<shunt_port>(4);
  MicroflowRegion region{groups, ports, config};

  std::mt19937_64 random;
  std::uint16_t in_port = 3;

  Fixture() { ports[3].microflows = SHUNT_MICROFLOWS(7, SHUNT_PLAIN_ON); }

  // Every `step`-th unit of the region, or as many as there is room for, begins a key that the kernel side has written.
  void fill(std::uint32_t step, std::uint16_t form = 0) {
    const std::uint32_t units = shunt_microflow_units(form);
    std::fill_n(groups.begin(), region.size(), shunt_microflow_group{});
    for (std::uint32_t i = 0; i < region.size() * SHUNT_MICROFLOW_UNITS; i += std::max(step, units))
      write_key(groups[i / SHUNT_MICROFLOW_UNITS], i % SHUNT_MICROFLOW_UNITS, form);
  }
  void write_key(shunt_microflow_group& group, std::uint32_t first, std::uint16_t form) {
    const std::uint64_t seed = config.hash_seed, multiplier = config.hash_multiplier;
    const std::uint32_t units = shunt_microflow_units(form);
    shunt_microflow_unit* unit = &group.unit[first];
    for (std::uint32_t i = 0; i < units; ++i) {
      unit[i].key[0] = random();
      unit[i].key[1] = random();
    }
    unit->in_port = static_cast<std::uint16_t>(in_port | form);
    std::uint64_t hash = units > 1 ? shunt_microflow_second_hash(unit[1].key[0], unit[1].key[1], multiplier) : 0;
    hash = shunt_microflow_hash(unit->key[0], unit->key[1], unit->in_port, hash, seed, multiplier);
    if (units > 2) hash += shunt_microflow_rest_hash(unit[2].key, unit[3].key, 0, seed, multiplier);
    const std::uint64_t verdict = std::uint64_t{unit->in_port} << 48;
    unit->check = shunt_microflow_check(hash, ports[3].microflows, verdict, multiplier);
  }
  void follow(std::uint32_t flows, int times = 1) {
    for (int i = 0; i < times; ++i) region.follow(flows);
  }
};

TEST_CASE("the exact-match cache's region is as small as may be at first") {
  const Fixture f;
  CHECK(f.region.size() == 1024);
  CHECK(f.region.limit() == kGroups);
}

TEST_CASE("the exact-match cache's region follows the number of flows: up at once, down after a while") {
  Fixture f;
  f.follow(1000);
  CHECK(f.region.size() == 1024);
  f.follow(10'000);
  CHECK(f.region.size() == 12'500);
  f.follow(16'000);  // there is room for these
  CHECK(f.region.size() == 12'500);
  f.follow(17'000);
  CHECK(f.region.size() == 21'250);
  f.follow(10'000'000);
  CHECK(f.region.size() == kGroups);
  f.follow(100, 9);
  CHECK(f.region.size() == kGroups);
  f.follow(10'000'000);  // not yet for ever
  f.follow(100, 9);
  CHECK(f.region.size() == kGroups);
  f.follow(100);
  CHECK(f.region.size() == 1024);
}

TEST_CASE("the exact-match cache's region grows where a few flows have very many keys") {
  Fixture f;
  SUBCASE("full") { f.fill(1); }
  SUBCASE("half full, by keys of one unit") { f.fill(2, SHUNT_MICROFLOW_NETWORK | SHUNT_MICROFLOW_BRIDGE); }
  SUBCASE("of two") { f.fill(4, SHUNT_MICROFLOW_LONG); }
  SUBCASE("of four") { f.fill(8, SHUNT_MICROFLOW_WIDE); }
  f.follow(1);
  CHECK(f.region.size() > 1024);
}

TEST_CASE(
    "a flow counts for the exact-match cache's region as the keys that are there, and long ones more than they take") {
  for (const auto& [form, units] :
       {std::pair{SHUNT_MICROFLOW_LINK, 1}, {SHUNT_MICROFLOW_LONG, 3}, {SHUNT_MICROFLOW_WIDE, 6}}) {
    CAPTURE(form);
    Fixture f;
    f.fill(32, static_cast<std::uint16_t>(form));
    f.follow(8000);
    CHECK(f.region.size() == 10'000 * units);
  }
}

TEST_CASE("what is void does not count for the exact-match cache's region") {
  Fixture f;
  f.fill(1);
  SUBCASE("its port's number has changed") { f.ports[3].microflows = SHUNT_MICROFLOWS(8, SHUNT_PLAIN_ON); }
  SUBCASE("it is of no port") {
    f.in_port = SHUNT_MICROFLOW_PORT;
    f.fill(1);
  }
  SUBCASE("a few of very many") { f.fill(64); }
  f.follow(1);
  CHECK(f.region.size() == 1024);
}

TEST_CASE("keys of connections that ended are found out: once in a minute all are to be kept anew") {
  Fixture f;
  f.fill(1);
  f.follow(1);
  REQUIRE(f.region.size() == 5120);
  int refills = 0;
  for (int second = 0; second < 600; ++second) {
    if (!f.region.wants_refill()) f.fill(6);  // large enough for a sixth, and not too large, whatever a sample says
    f.follow(1);
    REQUIRE(f.region.size() == 5120);
    refills += f.region.wants_refill() ? 1 : 0;
  }
  CHECK(refills == 10);
  SUBCASE("nothing comes any more") {
    f.fill(kGroups);
    f.follow(1, 10);
    CHECK(f.region.size() == 1024);
    for (int second = 0; second < 600; ++second) {
      f.follow(1);
      CHECK_FALSE(f.region.wants_refill());
    }
  }
}

}  // namespace
}  // namespace shunt::test
