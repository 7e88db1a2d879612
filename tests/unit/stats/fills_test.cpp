// SPDX-License-Identifier: Apache-2.0
#include "user/stats/fills.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

using namespace shunt;

namespace {

constexpr TimePoint kStart{std::chrono::hours{1}};

struct Watched {
  FillWatch watch;
  InstanceStats stats;
  std::vector<std::string> told;
  TimePoint now = kStart;

  Watched() {
    stats.cache.flow_limit = 1000;
    stats.cache.umem_frames = 4096;
    stats.cache.umem_free = 4096;
    stats.cache.requests_capacity = 8192;
    stats.cache.events_capacity = 1024;
    BridgeStats bridge;
    bridge.name = "br0";
    bridge.mac_limit = 100;
    stats.bridges.push_back(bridge);
    for (const char* name : {"a", "b"}) {
      PortStatus port;
      port.bridge = "br0";
      port.name = name;
      port.number = PortNo{static_cast<std::uint32_t>(stats.ports.size() + 1)};
      port.upcall_rate = 1000;
      stats.ports.push_back(port);
    }
  }
  void second() {
    now += std::chrono::seconds{1};
    told.clear();
    watch.watch(stats, now,
                [this](const Fill& fill) { told.push_back((fill.nearly_full ? "+" : "-") + fill.describe()); });
  }
  bool told_of(std::string_view what) const {
    return std::ranges::any_of(told, [&](const std::string& text) { return text.find(what) != std::string::npos; });
  }
};

}  // namespace

TEST_SUITE("fills") {
  TEST_CASE("a resource is told of once, from 80 % on, and again when it has fallen below 70 %") {
    Watched w;
    w.stats.cache.flows = 799;
    w.second();
    CHECK(w.told.empty());
    w.stats.cache.flows = 800;
    w.second();
    REQUIRE(w.told.size() == 1);
    CHECK(w.told[0].starts_with("+flows: 800 of 1000 (80 %)"));
    for (const std::uint32_t flows : {900U, 1000U, 750U, 700U}) {
      w.stats.cache.flows = flows;
      w.second();
      CHECK(w.told.empty());
    }
    w.stats.cache.flows = 699;
    w.second();
    REQUIRE(w.told.size() == 1);
    CHECK(w.told[0].starts_with("-flows"));
    w.stats.cache.flows = 790;
    w.second();
    CHECK(w.told.empty());
  }

  TEST_CASE("the port that holds the most is named, with the remedy") {
    Watched w;
    w.stats.cache.flows = 900;
    w.stats.ports[0].cached.flows = 100;
    w.stats.ports[1].cached.flows = 800;
    w.second();
    CHECK(w.told_of("most of it port br0/b"));
    CHECK(w.told_of("--flow-limit"));
  }

  TEST_CASE("the MAC table's heaviest port is the one with the most MACs") {
    Watched w;
    w.stats.bridges[0].macs = 90;
    w.stats.bridges[0].fullest_port = PortNo{1};
    w.second();
    CHECK(w.told_of("macs of bridge br0: 90 of 100"));
    CHECK(w.told_of("br0/a"));
  }

  TEST_CASE("frames are charged to the port that has sent up the most in the last second, not ever") {
    Watched w;
    w.stats.ports[0].stats.upcalls[SHUNT_UPCALL_MISS] = 1'000'000;
    w.second();
    w.stats.ports[1].stats.upcalls[SHUNT_UPCALL_MISS] = 500;
    w.stats.cache.umem_free = 100;
    w.second();
    CHECK(w.told_of("frames"));
    CHECK(w.told_of("br0/b"));
  }

  TEST_CASE("a port's misses are measured against its budget, by the second") {
    Watched w;
    w.second();
    w.stats.ports[0].stats.upcalls[SHUNT_UPCALL_MISS] += 850;
    w.second();
    CHECK(w.told_of("upcall-budget of port br0/a: 850 of 1000"));
    w.second();
    CHECK(w.told_of("-upcall-budget of port br0/a: 0 of 1000"));
  }

  TEST_CASE("a full list of masks is a matter of its port alone") {
    Watched w;
    w.stats.ports[1].cached.masks = SHUNT_PORT_MASKS;
    w.second();
    REQUIRE(w.told.size() == 1);
    CHECK(w.told_of("port-masks of port br0/b: 16 of 16"));
  }

  TEST_CASE("a table with a limit of rules says which table it is") {
    Watched w;
    w.stats.bridges[0].limited_tables.push_back({3, 9, 10});
    w.second();
    CHECK(w.told_of("rules of table 3 of bridge br0: 9 of 10"));
    CHECK(w.told_of("shunt table set br0 3 --max-rules"));
  }

  TEST_CASE("captures: seven of the eight that can run") {
    Watched w;
    w.stats.captures = 7;
    w.second();
    CHECK(w.told_of("captures: 7 of 8 (88 %); no further capture can be started: end some"));
  }

  TEST_CASE("what has no capacity is never full, and every kind is documented") {
    Watched w;
    w.stats.bridges[0].mac_limit = 0;
    w.stats.bridges[0].limited_tables.push_back({3, 0, 0});
    w.second();
    CHECK(w.told.empty());
    std::set<std::string_view> kinds, found;
    for (const FillKind& kind : fill_kinds()) kinds.insert(kind.resource);
    const std::vector<Fill> fills = w.watch.fills(w.stats);
    for (const Fill& fill : fills) {
      CAPTURE(fill.resource);
      found.insert(fill.resource);
      CHECK_FALSE(fill.cost.empty());
      CHECK_FALSE(fill.remedy.empty());
    }
    CHECK(found == kinds);
  }
}
