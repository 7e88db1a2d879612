// SPDX-License-Identifier: Apache-2.0
// translate_bridged(): which packets of `normal` need no flow of their pair of MACs.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>

#include "tests/support/pipeline_fixture.h"
#include "user/l2/vlan.h"

using namespace shunt;
using namespace shunt::test;

namespace {

constexpr TimePoint kStart{std::chrono::hours{1}};

VlanConfig access(std::uint16_t tag) { return VlanConfig::access(VlanId{tag}); }

// Three ports, of which the first is the packets'. Who is where, the FDB says.
struct Bridge : HandmadeBridge {
  Bridge() : HandmadeBridge(3) {
    know(kA, 0, 1);
    know(kB, 0, 2);
  }
  void know(std::uint64_t mac, std::uint16_t vlan, std::uint32_t number) const {
    bridge.fdb->learn({VlanId{vlan}, MacAddr::from_number(mac)}, PortNo{number}, kStart);
  }
  Translation bridged(const FlowKey& key) { return translate_bridged(state(), key); }
};

FlowKey from_a_to_b() { return eth_key(1, kA, kB); }
FlowKey tagged(FlowKey key, std::uint16_t tci, std::uint16_t tpid = 0x8100) {
  key.vlan[1] = key.vlan[0];
  key.vlan[0] = {be16{tpid}, be16{static_cast<std::uint16_t>(tci | SHUNT_VLAN_PRESENT)}};
  return key;
}
Match udp() {
  Match match;
  match.mask.eth_type = be16{0xffff};
  match.value.eth_type = be16{0x0800};
  match.mask.nw_proto = 0xff;
  match.value.nw_proto = 17;
  return match;
}
Match source(std::uint64_t mac) {
  Match match;
  const MacAddr address = MacAddr::from_number(mac);
  std::copy(address.bytes.begin(), address.bytes.end(), match.value.eth_src);
  std::fill(std::begin(match.mask.eth_src), std::end(match.mask.eth_src), std::uint8_t{0xff});
  return match;
}

bool has_macs(const FlowMask& mask) {
  const auto any = [](const auto& bytes) { return std::ranges::any_of(bytes, [](auto byte) { return byte != 0; }); };
  return any(mask.eth_src) || any(mask.eth_dst);
}

}  // namespace

TEST_SUITE("bridged packets") {
  TEST_CASE("what `normal` alone decides is bridged, without a look at MACs or at the FDB") {
    Bridge bridge;
    bridge.rule(0, 0, {}, {OutputAction{kPortNormal}});
    CHECK(bridge.run(from_a_to_b()).may_be_bridged);
    const Translation result = bridge.bridged(eth_key(1, 0, 0));
    CHECK(result.bridged == VlanId{0});
    REQUIRE(result.actions.size() == 1);
    CHECK(result.actions[0].type == SHUNT_ACT_BRIDGE);
    CHECK(!has_macs(result.mask));
    CHECK(result.mask.vlan[0].tci.host() == (SHUNT_VLAN_PRESENT | 0xfff));
    CHECK(result.fdb_dependencies.empty());
    CHECK(result.learns.empty());
    CHECK(result.rules.size() == 1);
    CHECK(!result.is_drop());
  }

  TEST_CASE("rules that look at other fields are part of the flow, and rules of other packets no hindrance") {
    Bridge bridge;
    bridge.rule(0, 9, udp(), {DropAction{}});
    bridge.rule(0, 0, {}, {OutputAction{kPortNormal}});
    FlowKey key = from_a_to_b();
    key.eth_type = be16{0x0806};
    const Translation result = bridge.bridged(key);
    CHECK(result.bridged == VlanId{0});
    CHECK(result.mask.eth_type.host() == 0xffff);
    key.eth_type = be16{0x0800};
    key.nw_proto = 17;
    CHECK(!bridge.bridged(key).bridged);
  }

  TEST_CASE("it is not where anything else has a say") {
    Bridge bridge;
    FlowKey key = from_a_to_b();
    const ActionList normal{OutputAction{kPortNormal}};
    const auto only = [&](ActionList actions) { bridge.rule(0, 0, {}, std::move(actions)); };
    SUBCASE("a rule looks at the MACs") {
      only(normal);
      bridge.rule(0, 9, source(kB), {DropAction{}});
      CHECK(!bridge.run(key).may_be_bridged);
    }
    SUBCASE("a rule behind it looks at the MACs") {
      only({OutputAction{kPortNormal}, ResubmitAction{{}, std::uint8_t{1}}});
      bridge.rule(1, 9, source(kB), {OutputAction{PortNo{3}}});
    }
    SUBCASE("another output") { only({OutputAction{PortNo{3}}, OutputAction{kPortNormal}}); }
    SUBCASE("another output behind it") { only({OutputAction{kPortNormal}, OutputAction{PortNo{3}}}); }
    SUBCASE("an edit") { only({dst(0xb), OutputAction{kPortNormal}}); }
    SUBCASE("only so many bytes") { only({OutputAction{kPortNormal, 64}}); }
    SUBCASE("a controller hears of it") { only({OutputAction{kPortNormal}, ControllerAction{}}); }
    SUBCASE("a queue") { only({SetQueueAction{3}, OutputAction{kPortNormal}}); }
    SUBCASE("no `normal`") { only({OutputAction{PortNo{2}}}); }
    SUBCASE("a protected port") {
      only(normal);
      bridge.at(1).protected_port = true;
      CHECK(!bridge.run(key).may_be_bridged);
    }
    SUBCASE("a port that does not receive") {
      only(normal);
      bridge.at(1).receive = false;
    }
    SUBCASE("a tunnel port") {
      only(normal);
      bridge.at(1).vlan = access(10);
      bridge.at(1).vlan.mode = VlanMode::kDot1qTunnel;
    }
    SUBCASE("a VLAN that is flooded") {
      only(normal);
      bridge.bridge.flood_vlans.set(0);
      CHECK(!bridge.run(key).may_be_bridged);
    }
    SUBCASE("a priority tag, which is not its VLAN's") {
      only(normal);
      bridge.at(1).vlan = access(10);
      key = tagged(key, 0xa000);
    }
    SUBCASE("a VLAN that the port does not take") {
      only(normal);
      bridge.at(1).vlan = access(10);
      key = tagged(key, 10);
    }
    CHECK(!bridge.bridged(key).bridged);
  }

  // The kernel asks the entries: what they say must be what `normal` does, with any packet that the flow's mask lets
  // in.
  TEST_CASE("a port that is said to send frames unchanged gets them so from `normal`, whatever tags they have") {
    std::mt19937 random{20};
    const auto few = [&](std::uint32_t count) { return static_cast<std::uint32_t>(random() % count); };
    const auto random_config = [&] {
      constexpr VlanMode kModes[] = {VlanMode::kTrunk, VlanMode::kAccess, VlanMode::kNativeTagged,
                                     VlanMode::kNativeUntagged, VlanMode::kDot1qTunnel};
      VlanConfig config;
      config.mode = kModes[few(5)];
      if (config.mode != VlanMode::kTrunk) config.tag = VlanId{static_cast<std::uint16_t>(10 + few(2))};
      if (few(3) == 0) {
        config.trunks.emplace();
        config.trunks->set(0).set(10);
      }
      if (few(2) == 0) {
        config.cvlans.emplace();
        config.cvlans->set(0).set(11);
      }
      config.priority_tags = static_cast<PriorityTags>(few(4) == 0 ? 1 + few(2) : 0);
      return config;
    };
    int bridged = 0;
    for (int round = 0; round < 1500; ++round) {
      Bridge bridge;
      bridge.rule(0, 0, {}, {OutputAction{kPortNormal}});
      bridge.at(1).vlan = random_config();
      bridge.at(2).vlan = random_config();
      constexpr std::uint16_t kVids[] = {0, 10, 11};
      for (const std::uint16_t vlan : kVids) {
        bridge.know(kA, vlan, 1);
        bridge.know(kB, vlan, 2);
      }
      FlowKey key = from_a_to_b();
      for (std::uint32_t tags = few(3); tags > 0; --tags)
        key = tagged(key, static_cast<std::uint16_t>(few(2) * 0x6000 + kVids[few(3)]), few(4) == 0 ? 0x88a8 : 0x8100);
      const Translation all = bridge.bridged(key);
      const bool is_tagged = (key.vlan[0].tci.host() & SHUNT_VLAN_PRESENT) != 0;
      const Translation one = bridge.run(key);
      if (all.bridged && sends_unchanged(bridge.at(2).vlan, *all.bridged, is_tagged)) {
        CHECK(text(one) == "2");
        CHECK(one.fdb_dependencies.at(1).key.vlan == all.bridged);
        ++bridged;
      }
    }
    CHECK(bridged > 100);
  }
}
