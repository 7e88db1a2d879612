// SPDX-License-Identifier: Apache-2.0
#include "user/worker/microflow_region.h"

#include <doctest/doctest.h>

#include <vector>

namespace shunt::test {
namespace {

constexpr std::uint32_t kElements = 1U << 18;

struct Fixture {
  std::vector<shunt_microflow> elements = std::vector<shunt_microflow>(kElements);
  std::vector<shunt_port> ports = std::vector<shunt_port>(4);
  MicroflowRegion region{elements, ports};

  Fixture() { ports[3].microflows = SHUNT_MICROFLOWS(7, SHUNT_PLAIN_ON); }

  // Every `step`-th element of the region is what the kernel side has written for port 3.
  void fill(std::uint32_t step, std::uint16_t form = 0) {
    for (std::uint32_t i = 0; i < region.size(); ++i) {
      elements[i] = {};
      if (i % step != 0) continue;
      elements[i].valid = ports[3].microflows;
      elements[i].in_port = static_cast<std::uint16_t>(3 | form);
    }
  }
  void follow(std::uint32_t flows, int times = 1) {
    for (int i = 0; i < times; ++i) region.follow(flows);
  }
};

TEST_CASE("the exact-match cache's region is as small as may be at first") {
  const Fixture f;
  CHECK(f.region.size() == 4096);
  CHECK(f.region.limit() == kElements);
}

TEST_CASE("the exact-match cache's region follows the number of flows: up at once, down after a while") {
  Fixture f;
  f.follow(1000);
  CHECK(f.region.size() == 4096);
  f.follow(10'000);
  CHECK(f.region.size() == 65'536);
  f.follow(10'000'000);
  CHECK(f.region.size() == kElements);
  f.follow(100, 9);
  CHECK(f.region.size() == kElements);
  f.follow(10'000'000);  // not yet for ever
  f.follow(100, 9);
  CHECK(f.region.size() == kElements);
  f.follow(100);
  CHECK(f.region.size() == 4096);
}

TEST_CASE("the exact-match cache's region grows where a few flows have very many keys") {
  Fixture f;
  SUBCASE("") { f.fill(1); }
  SUBCASE("half full, of elements of every form") { f.fill(2, SHUNT_MICROFLOW_WIDE | SHUNT_MICROFLOW_BRIDGE); }
  f.follow(1);
  CHECK(f.region.size() > 4096);
}

TEST_CASE("what is void does not count for the exact-match cache's region") {
  Fixture f;
  f.fill(1);
  SUBCASE("its port's number has changed") { f.ports[3].microflows = SHUNT_MICROFLOWS(8, SHUNT_PLAIN_ON); }
  SUBCASE("it is of no port") {
    for (shunt_microflow& element : f.elements) element.in_port = 0x1fff;
  }
  SUBCASE("a few of very many") { f.fill(64); }
  f.follow(1);
  CHECK(f.region.size() == 4096);
}

TEST_CASE("keys of connections that ended are found out: once in a minute all are to be kept anew") {
  Fixture f;
  f.fill(1);
  f.follow(1);
  REQUIRE(f.region.size() == 16'384);
  int refills = 0;
  for (int second = 0; second < 600; ++second) {
    if (!f.region.wants_refill()) f.fill(6);  // large enough for a sixth, and not too large, whatever a sample says
    f.follow(1);
    REQUIRE(f.region.size() == 16'384);
    refills += f.region.wants_refill() ? 1 : 0;
  }
  CHECK(refills == 10);
  SUBCASE("nothing comes any more") {
    f.fill(kElements);
    f.follow(1, 10);
    CHECK(f.region.size() == 4096);
    for (int second = 0; second < 600; ++second) {
      f.follow(1);
      CHECK_FALSE(f.region.wants_refill());
    }
  }
}

}  // namespace
}  // namespace shunt::test
