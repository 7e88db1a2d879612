// SPDX-License-Identifier: Apache-2.0
// Flows of bridged packets: how few there are, that they follow MACs and ports, and what keeps MACs from ageing.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "tests/unit/worker/revalidator_fixture.h"

using namespace shunt;
using namespace shunt::test;

namespace {

using Fixture = RevalidatorFixture;
using std::chrono::milliseconds;
using std::chrono::seconds;

FlowKey tagged(FlowKey key, std::uint16_t vid) {
  key.vlan[0] = {be16{0x8100}, be16{static_cast<std::uint16_t>(SHUNT_VLAN_PRESENT | vid)}};
  return key;
}

std::size_t bridged_flows(Fixture& f) {
  std::size_t count = 0;
  for (const FlowSnapshot& flow : f.revalidator.list(1000))
    count += std::ranges::any_of(flow.actions, [](const auto& action) { return action.type == SHUNT_ACT_BRIDGE; });
  return count;
}

// MACs 1 to 60, MAC i at port 1 + i % 3: all are known.
constexpr std::uint8_t kMacs = 60;
std::uint32_t port_of(std::uint8_t mac) { return 1u + mac % 3; }
void teach(Fixture& f) {
  for (std::uint8_t mac = 1; mac <= kMacs; ++mac) f.miss(frame(port_of(mac), mac, 0xff));
}

bool change_port(Fixture& f, std::uint32_t number, const std::function<void(BridgePort&)>& edit) {
  BridgePort port = *f.bridge_state().find(PortNo{number});
  edit(port);
  return f.revalidator.revalidate(f.sw.update_port(f.bridge, port));
}

// shunt_port.microflows: what the exact-match cache is asked by, and whether what it holds is void.
std::uint64_t microflows_of_port_1(Fixture& f) {
  std::uint64_t microflows = 0;
  f.in_its_thread([&] { microflows = f.maps.ports[1].microflows; });
  return microflows;
}

}  // namespace

TEST_SUITE("revalidator: bridged packets") {
  TEST_CASE("each pair of many MACs needs no flow but its port's") {
    Fixture f;
    teach(f);
    std::size_t misses = 0, wrong = 0;
    for (std::uint8_t src = 1; src <= kMacs; ++src)
      for (std::uint8_t dst = 1; dst <= kMacs; dst = static_cast<std::uint8_t>(dst + 7)) {
        if (port_of(src) == port_of(dst)) continue;
        const FlowKey key = frame(port_of(src), src, dst);
        if (!f.answer(key)) {
          ++misses;
          f.miss(key);
        }
        wrong += !f.outputs_to(key, static_cast<std::uint16_t>(port_of(dst)));
      }
    CHECK(wrong == 0);
    CHECK(misses == 3);
    CHECK(bridged_flows(f) == 3);
  }

  TEST_CASE("a flow of bridged packets counts for its rule, and says what it is") {
    Fixture f;
    f.miss(frame(2, 0xb, 0xa));
    f.miss(frame(1, 0xa, 0xb));
    for (int i = 0; i < 4; ++i) REQUIRE(f.hit(frame(1, 0xa, 0xb), 100));
    f.revalidator.collect_counters();
    const auto rules = f.sw.list(f.bridge, FlowMod{});
    REQUIRE(rules.size() == 1);
    CHECK(rules[0]->counters.packets() == 4);
    CHECK(rules[0]->counters.bytes() == 400);
    // Where they went the kernel counts.
    CHECK(f.revalidator.transmitted(DpPort{2}).packets == 0);
    const auto found = f.revalidator.find(frame(1, 0xa, 0xb));
    REQUIRE(found);
    CHECK(found->actions.at(0).type == SHUNT_ACT_BRIDGE);
    CHECK(found->packets == 4);
    CHECK(!f.revalidator.find(frame(1, 0xa, 0xc)));
    CHECK(f.revalidator.find(found->key.key));  // as the list shows it
  }

  TEST_CASE("a port that changes is followed before the command returns") {
    Fixture f;
    f.miss(frame(2, 0xb, 0xa));
    f.miss(frame(1, 0xa, 0xb));
    const FlowKey key = frame(1, 0xa, 0xb);
    REQUIRE(f.outputs_to(key, 2));
    SUBCASE("the output goes down, and comes up") {
      CHECK(change_port(f, 2, [](BridgePort& port) { port.up = false; }));
      CHECK(!f.outputs_to(key, 2));
      CHECK(!change_port(f, 2, [](BridgePort& port) { port.name = "other"; }));
      change_port(f, 2, [](BridgePort& port) { port.up = true; });
      CHECK(f.outputs_to(key, 2));
    }
    SUBCASE("the output does not forward") {
      CHECK(change_port(f, 2, [](BridgePort& port) { port.forward = false; }));
      CHECK(!f.outputs_to(key, 2));
    }
    SUBCASE("the output is in another VLAN") {
      CHECK(change_port(f, 2, [](BridgePort& port) { port.vlan = VlanConfig::access(VlanId{9}); }));
      CHECK(!f.outputs_to(key, 2));
    }
    SUBCASE("the input is") {
      CHECK(change_port(f, 1, [](BridgePort& port) { port.vlan = VlanConfig::access(VlanId{9}); }));
      CHECK(!f.outputs_to(key, 2));
    }
    SUBCASE("both are protected") {
      change_port(f, 2, [](BridgePort& port) { port.protected_port = true; });
      CHECK(f.outputs_to(key, 2));
      CHECK(change_port(f, 1, [](BridgePort& port) { port.protected_port = true; }));
      CHECK(!f.outputs_to(key, 2));
      f.miss(key);
      CHECK(f.answer(key)->type == SHUNT_ACT_DROP);
      CHECK(bridged_flows(f) == 0);
    }
    SUBCASE("the input receives nothing") {
      CHECK(change_port(f, 1, [](BridgePort& port) { port.receive = false; }));
      CHECK(!f.outputs_to(key, 2));
    }
    SUBCASE("the output's interface takes no redirects") {
      CHECK(f.revalidator.update_port(DpPort{2}, {Ifindex{102}, false}));
      CHECK(!f.outputs_to(key, 2));
    }
    SUBCASE("the VLAN is flooded") {
      VlanSet all;
      all.set(0);
      CHECK(f.revalidator.revalidate(f.sw.set_flood_vlans(f.bridge, all)));
      CHECK(!f.outputs_to(key, 2));
    }
  }

  TEST_CASE("a rule that looks at MACs makes an end of bridged flows, and its end brings them back") {
    Fixture f;
    f.miss(frame(2, 0xb, 0xa));
    f.miss(frame(1, 0xa, 0xb));
    REQUIRE(bridged_flows(f) >= 1);
    FlowMod mod;
    mod.priority = 9;
    mod.match.mask.eth_src[5] = 0xff;
    mod.match.value.eth_src[5] = 0x77;
    CHECK(f.revalidator.revalidate(f.sw.apply(f.bridge, std::span{&mod, 1}, Clock::now())));
    CHECK(bridged_flows(f) == 0);
    f.miss(frame(1, 0xa, 0xb));
    CHECK(f.outputs_to(frame(1, 0xa, 0xb), 2));
    CHECK(bridged_flows(f) == 0);
    mod.command = FlowMod::Command::kDelete;
    (void)f.revalidator.revalidate(f.sw.apply(f.bridge, std::span{&mod, 1}, Clock::now()));
    CHECK(f.outputs_to(frame(1, 0xa, 0xb), 2));  // the pair's flow is right as it is
    f.sw.collect(f.sw.version());  // the classifier forgets what the rule looked at
    f.miss(frame(2, 0xb, 0xa));
    CHECK(f.outputs_to(frame(2, 0xb, 0xa), 1));
    CHECK(bridged_flows(f) == 1);
  }

  TEST_CASE("frames that a port sends with other tags have flows of their own") {
    Fixture f;
    change_port(f, 1, [](BridgePort& port) { port.vlan = VlanConfig::access(VlanId{10}); });
    change_port(f, 3, [](BridgePort& port) { port.vlan = VlanConfig::access(VlanId{10}); });
    f.miss(frame(1, 1, 0xff));
    f.miss(frame(3, 3, 0xff));
    f.miss(tagged(frame(2, 2, 0xff), 10));
    f.miss(frame(1, 1, 3));
    f.miss(frame(1, 1, 2));
    CHECK(f.outputs_to(frame(1, 1, 3), 3));
    CHECK(f.outputs_to(frame(1, 1, 2), 2));
    f.in_its_thread([&] {
      CHECK((f.maps.lookup(frame(1, 1, 3))->flags & SHUNT_FLOW_BRIDGE) != 0);
      CHECK(f.maps.lookup(frame(1, 1, 2))->actions.size() == 2);
    });
  }

  TEST_CASE("what changes an answer is void in the exact-match cache, and a MAC that comes is not") {
    Fixture f;
    f.miss(frame(2, 0xb, 0xa));
    f.miss(frame(1, 0xa, 0xb));
    const auto number = [&] { return microflows_of_port_1(f); };
    constexpr unsigned kFields = SHUNT_PLAIN_BRIDGE | SHUNT_PLAIN_DST | SHUNT_PLAIN_SRC;
    CHECK((number() & kFields) == (SHUNT_PLAIN_DST | SHUNT_PLAIN_SRC));
    std::uint64_t before = number();
    f.miss(frame(3, 0xc, 0xb));
    f.miss(frame(3, 0xc, 0xb));
    f.miss(frame(3, 0xd, 0xb));
    CHECK(number() == before);
    f.miss(frame(3, 0xb, 0xd));  // moves
    CHECK(number() != before);
    before = number();
    f.revalidator.change_fdb(f.bridge, [](Fdb& fdb) { return fdb.flush({}); });
    CHECK(number() != before);
  }

  TEST_CASE("of many MACs the exact-match cache keeps no pairs, and nothing that a MAC could make void") {
    Fixture f;
    f.miss(frame(2, 0xb, 0xa));
    f.miss(frame(1, 0xa, 0xb));
    const auto number = [&] { return microflows_of_port_1(f); };
    const auto learn = [&](std::size_t count) {
      f.revalidator.change_fdb(f.bridge, [&](Fdb& fdb) {
        std::vector<FdbKey> keys = fdb.flush({});
        for (std::size_t i = 0; i < count; ++i) {
          const std::array<std::uint8_t, 6> mac{2, 1, 0, 0, std::uint8_t(i >> 8), std::uint8_t(i)};
          const FdbKey key{VlanId{0}, MacAddr{mac}};
          fdb.learn(key, PortNo{3}, Clock::now());
          keys.push_back(key);
        }
        return keys;
      });
    };
    learn(256);
    CHECK((number() & SHUNT_PLAIN_BRIDGE) == 0);
    learn(257);
    CHECK((number() & SHUNT_PLAIN_BRIDGE) != 0);
    learn(200);  // not at once back
    const std::uint64_t before = number();
    CHECK((before & SHUNT_PLAIN_BRIDGE) != 0);
    learn(150);
    CHECK(number() == before);
    learn(128);
    CHECK((number() & SHUNT_PLAIN_BRIDGE) == 0);
  }

  TEST_CASE("a MAC that is used in the kernel does not age, and one that is not does") {
    Fixture f{seconds{60}};
    f.revalidator.change_fdb(f.bridge, [](Fdb& fdb) {
      fdb.set_ageing(seconds{2});
      return std::vector<FdbKey>{};
    });
    f.miss(frame(2, 0xb, 0xa));
    f.miss(frame(1, 0xa, 0xb));
    f.miss(frame(2, 0xc, 0xa));
    const TimePoint end = Clock::now() + milliseconds{4500};
    while (Clock::now() < end) {
      REQUIRE(f.hit(frame(1, 0xa, 0xb)));
      REQUIRE(f.hit(frame(2, 0xb, 0xa)));
      std::this_thread::sleep_for(milliseconds{100});
    }
    CHECK(f.bridge_state().fdb->lookup(mac_of(0xa)));
    CHECK(!f.bridge_state().fdb->lookup(mac_of(0xc)));
    CHECK(!f.answer(frame(1, 0xa, 0xc)));
    std::this_thread::sleep_for(milliseconds{5500});
    CHECK(!f.bridge_state().fdb->lookup(mac_of(0xa)));
    CHECK(!f.answer(frame(1, 0xa, 0xb)));
  }

  TEST_CASE("a later daemon goes on with the flows and the MACs, and corrects what has changed") {
    Fixture f;
    f.miss(frame(2, 0xb, 0xa));
    f.miss(frame(1, 0xa, 0xb));
    f.miss(frame(2, 0xc, 0xa));
    REQUIRE(f.outputs_to(frame(1, 0xa, 0xb), 2));
    f.revalidator.stop();

    Switch sw;
    const BridgeId bridge = sw.add_bridge("br0");
    for (std::uint32_t port = 1; port <= 3; ++port)
      sw.add_port(bridge, {PortNo{port}, DpPort{port}, "p" + std::to_string(port), {}, true});
    // What the state file knew: one MAC has moved.
    const_cast<Fdb&>(*sw.find_bridge("br0")->fdb).learn(mac_of(0xc), PortNo{3}, Clock::now());
    Revalidator later{sw, f.maps, {1, seconds{10}, [] {}, nullptr}};
    for (std::uint32_t port = 1; port <= 3; ++port) later.add_port(DpPort{port}, {Ifindex{100 + port}, true}, true);
    const Revalidator::Inherited inherited = later.inherit({});
    CHECK(inherited.broken == 0);
    CHECK(inherited.changed == 0);
    CHECK(inherited.flows >= 2);
    CHECK(sw.find_bridge("br0")->fdb->lookup(mac_of(0xa)) == kOne);
    CHECK(sw.find_bridge("br0")->fdb->lookup(mac_of(0xb)) == kTwo);
    const auto to_b = f.maps.lookup(frame(1, 0xa, 0xb)), to_c = f.maps.lookup(frame(1, 0xa, 0xc));
    REQUIRE(to_b);
    REQUIRE(to_c);
    CHECK(to_b->actions[0].arg == 2);
    CHECK(to_c->actions[0].arg == 3);
  }

  TEST_CASE("a later daemon whose rules look at MACs does without the flows") {
    Fixture f;
    f.miss(frame(2, 0xb, 0xa));
    f.miss(frame(1, 0xa, 0xb));
    f.revalidator.stop();
    Switch sw;
    const BridgeId bridge = sw.add_bridge("br0");
    for (std::uint32_t port = 1; port <= 3; ++port)
      sw.add_port(bridge, {PortNo{port}, DpPort{port}, "p" + std::to_string(port), {}, true});
    FlowMod mod;
    mod.priority = 9;
    mod.match.mask.eth_src[5] = 0xff;
    mod.match.value.eth_src[5] = 0x77;
    (void)sw.apply(bridge, std::span{&mod, 1}, Clock::now());
    Revalidator later{sw, f.maps, {1, seconds{10}, [] {}, nullptr}};
    for (std::uint32_t port = 1; port <= 3; ++port) later.add_port(DpPort{port}, {Ifindex{100 + port}, true}, true);
    (void)later.inherit({});
    CHECK(!f.maps.lookup(frame(1, 0xa, 0xb)));
  }

  TEST_CASE("MACs that were known before it began are the kernel's from the start") {
    MemoryMaps maps{256};
    Switch sw;
    const BridgeId bridge = sw.add_bridge("br0");
    for (std::uint32_t port = 1; port <= 2; ++port)
      sw.add_port(bridge, {PortNo{port}, DpPort{port}, "p" + std::to_string(port), {}, true});
    Fdb& fdb = const_cast<Fdb&>(*sw.find_bridge("br0")->fdb);
    fdb.add_static(mac_of(0xa), kOne);
    fdb.add_static(mac_of(0xb), kTwo);
    Revalidator revalidator{sw, maps, {1, seconds{10}, [] {}, nullptr}};
    for (std::uint32_t port = 1; port <= 2; ++port) revalidator.add_port(DpPort{port}, {Ifindex{100 + port}, true});
    revalidator.start();
    const FlowKey key = frame(1, 0xa, 0xb);
    REQUIRE(revalidator.queue(0).push(request_for(key, translate(*sw.state(), key))));
    revalidator.queue(0).ring_doorbell();
    while (!revalidator.queue(0).empty()) std::this_thread::sleep_for(milliseconds{1});
    (void)revalidator.stats();
    revalidator.stop();
    const auto hit = maps.lookup(key);
    REQUIRE(hit);
    CHECK((maps.flows[hit->slot].head.flags & SHUNT_FLOW_BRIDGE) != 0);
  }
}
