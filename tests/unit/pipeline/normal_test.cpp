// SPDX-License-Identifier: Apache-2.0
// `normal`: learning, flooding, and each VLAN mode as it takes and as it sends frames.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/support/pipeline_fixture.h"

using namespace shunt;
using namespace shunt::test;

namespace {

constexpr std::uint64_t kBroadcast = 0xffffffffffff;
constexpr TimePoint kStart{std::chrono::hours{1}};

VlanSet vlans(std::initializer_list<std::size_t> list) {
  VlanSet set;
  for (const auto vlan : list) set.set(vlan);
  return set;
}
VlanConfig trunk() { return {}; }
VlanConfig trunk(std::initializer_list<std::size_t> list) {
  VlanConfig config;
  config.trunks = vlans(list);
  return config;
}
VlanConfig with_tag(VlanMode mode, std::uint16_t tag) {
  VlanConfig config;
  config.mode = mode;
  config.tag = VlanId{tag};
  return config;
}
VlanConfig access(std::uint16_t tag) { return with_tag(VlanMode::kAccess, tag); }
VlanConfig native_tagged(std::uint16_t tag) { return with_tag(VlanMode::kNativeTagged, tag); }
VlanConfig native_untagged(std::uint16_t tag) { return with_tag(VlanMode::kNativeUntagged, tag); }
VlanConfig tunnel(std::uint16_t tag, std::uint16_t ethtype = 0x88a8) {
  VlanConfig config = with_tag(VlanMode::kDot1qTunnel, tag);
  config.qinq_ethtype = ethtype;
  return config;
}
VlanConfig with_priority(VlanConfig config, PriorityTags tags) {
  config.priority_tags = tags;
  return config;
}

// A switch of `normal` alone: port N has the Nth configuration.
struct NormalBridge : HandmadeBridge {
  explicit NormalBridge(const std::vector<VlanConfig>& ports) {
    std::uint32_t number = 0;
    for (const VlanConfig& config : ports) port(++number).vlan = config;
    rule(0, 0, {}, {OutputAction{kPortNormal}});
  }
  void learn(std::uint64_t mac, std::uint16_t vlan, std::uint32_t number) const {
    bridge.fdb->learn({VlanId{vlan}, MacAddr::from_number(mac)}, PortNo{number}, kStart);
  }
  std::string sent(const FlowKey& key) { return text(run(key)); }
};

FlowKey untagged(std::uint32_t in_port, std::uint64_t dst = kB) { return eth_key(in_port, kA, dst); }
FlowKey tagged(FlowKey key, std::uint16_t tci, std::uint16_t tpid = 0x8100) {
  key.vlan[1] = key.vlan[0];
  key.vlan[0] = {be16{tpid}, be16{static_cast<std::uint16_t>(tci | SHUNT_VLAN_PRESENT)}};
  return key;
}
FlowKey tagged(std::uint32_t in_port, std::uint16_t tci, std::uint16_t tpid = 0x8100) {
  return tagged(untagged(in_port), tci, tpid);
}
std::string set_vid(const std::string& vid) { return set_text(SHUNT_FIELD_VLAN_TCI, vid, "0fff"); }

}  // namespace

TEST_SUITE("normal") {
  TEST_CASE("an access port takes untagged and priority-tagged frames, and sends its VLAN without a tag") {
    NormalBridge bridge({access(10), access(10), access(20), trunk()});
    CHECK(bridge.sent(untagged(1)) == "2 push:8100000a 4");
    CHECK(bridge.sent(tagged(1, 0xa000)) == set_vid("000a") + " 4 pop 2");  // the priority goes on with the tag
    CHECK(bridge.sent(tagged(1, 10)) == "drop:vlan-not-allowed");           // be it its own VLAN
    CHECK(bridge.sent(tagged(1, 20)) == "drop:vlan-not-allowed");
    CHECK(bridge.sent(tagged(4, 10)) == "pop 1 2");
    CHECK(bridge.sent(tagged(4, 20)) == "pop 3");
    CHECK(bridge.sent(tagged(4, 30)) == "drop:same-port");
    CHECK(bridge.run(untagged(1)).learns.at(0).key.vlan == VlanId{10});
  }

  TEST_CASE("a trunk port carries its VLANs with their tags, and untagged frames as VLAN 0") {
    NormalBridge bridge({trunk({0, 10}), trunk({10, 20}), trunk()});
    CHECK(bridge.sent(untagged(1)) == "3");
    CHECK(bridge.sent(untagged(2)) == "drop:vlan-not-allowed");
    CHECK(bridge.sent(tagged(1, 10)) == "2 3");
    CHECK(bridge.sent(tagged(1, 20)) == "drop:vlan-not-allowed");
    CHECK(bridge.sent(tagged(2, 20)) == "3");
    CHECK(bridge.sent(tagged(3, 10, 0x88a8)) == "1 2");  // whichever TPID
    CHECK(bridge.sent(tagged(3, 0xe00a)) == "1 2");      // whichever priority
  }

  TEST_CASE("a native-tagged port takes untagged frames into its native VLAN, and sends that tagged") {
    NormalBridge bridge({native_tagged(10), trunk(), access(10), native_tagged(20)});
    CHECK(bridge.sent(untagged(1)) == "3 push:8100000a 2 4");
    CHECK(bridge.sent(tagged(1, 0x6000)) == set_vid("000a") + " 2 4 pop 3");
    CHECK(bridge.sent(tagged(1, 10)) == "2 4 pop 3");
    CHECK(bridge.sent(untagged(3)) == "push:8100000a 1 2 4");
    CHECK(bridge.sent(tagged(2, 10)) == "1 4 pop 3");
    CHECK(bridge.sent(untagged(2)) == "drop:same-port");  // VLAN 0 has no place on a native port
    CHECK(bridge.run(untagged(1)).learns.at(0).key.vlan == VlanId{10});
  }

  TEST_CASE("a native-untagged port sends its native VLAN without a tag, and the others with theirs") {
    NormalBridge bridge({native_untagged(10), trunk(), native_tagged(10), native_untagged(10)});
    CHECK(bridge.sent(untagged(1)) == "4 push:8100000a 2 3");
    CHECK(bridge.sent(tagged(2, 10)) == "3 pop 1 4");
    CHECK(bridge.sent(tagged(2, 20)) == "1 3 4");
    CHECK(bridge.sent(tagged(1, 20)) == "2 3 4");
  }

  TEST_CASE("a native port always carries its native VLAN, and of the others those that it trunks") {
    VlanConfig some = native_tagged(10);
    some.trunks = vlans({20});
    NormalBridge bridge({some, trunk()});
    CHECK(bridge.sent(tagged(2, 10)) == "1");
    CHECK(bridge.sent(tagged(2, 20)) == "1");
    CHECK(bridge.sent(tagged(2, 30)) == "drop:same-port");
    CHECK(bridge.sent(tagged(1, 30)) == "drop:vlan-not-allowed");
    CHECK(bridge.sent(untagged(1)) == "push:8100000a 2");
  }

  TEST_CASE("a tunnel puts its service tag in front of whatever comes in, and takes it off on the way out") {
    NormalBridge bridge({tunnel(100), trunk(), tunnel(100), tunnel(200), access(100)});
    CHECK(bridge.sent(untagged(1)) == "3 5 push:88a80064 2");
    CHECK(bridge.sent(tagged(1, 0x6005)) == "3 5 push:88a80064 2");  // the customer's priority stays the customer's
    CHECK(bridge.sent(tagged(tagged(1, 6), 5)) == "3 5 push:88a80064 2");
    CHECK(bridge.sent(tagged(tagged(2, 5), 100, 0x88a8)) == "pop 1 3 5");
    CHECK(bridge.sent(tagged(2, 100, 0x88a8)) == "pop 1 3 5");
    CHECK(bridge.sent(tagged(tagged(2, 5), 200, 0x88a8)) == "pop 4");
    CHECK(bridge.run(tagged(1, 5)).learns.at(0).key.vlan == VlanId{100});
    NormalBridge other({tunnel(100, 0x8100), trunk()});
    CHECK(other.sent(tagged(1, 5)) == "push:81000064 2");
  }

  TEST_CASE("a tunnel with customer VLANs takes and sends only those") {
    VlanConfig some = tunnel(100);
    some.cvlans = vlans({5});
    NormalBridge bridge({some, trunk(), tunnel(100)});
    CHECK(bridge.sent(tagged(1, 5)) == "3 push:88a80064 2");
    CHECK(bridge.sent(tagged(1, 6)) == "drop:vlan-not-allowed");
    CHECK(bridge.sent(untagged(1)) == "drop:vlan-not-allowed");
    CHECK(bridge.sent(tagged(tagged(2, 5), 100)) == "pop 1 3");
    CHECK(bridge.sent(tagged(tagged(2, 6), 100)) == "pop 3");
    CHECK(bridge.sent(tagged(3, 5)) == "1 push:88a80064 2");
    CHECK(bridge.sent(tagged(3, 6)) == "push:88a80064 2");
    // The inner tag decided, and is in the mask.
    CHECK(bridge.run(tagged(tagged(2, 6), 100)).mask.vlan[1].tci == be16{0xffff});
    CHECK(bridge.run(tagged(3, 6)).mask.vlan[1].tci == be16{0});
  }

  TEST_CASE("no priority tag is sent unless the port asks for them") {
    const auto bridge_with = [](PriorityTags tags) {
      return NormalBridge({trunk(), with_priority(trunk(), tags), with_priority(access(0), tags)});
    };
    NormalBridge no = bridge_with(PriorityTags::kNo);
    CHECK(no.sent(untagged(1)) == "2 3");
    CHECK(no.sent(tagged(1, 0)) == "pop 2 3");
    CHECK(no.sent(tagged(1, 0xa000)) == "pop 2 3");
    NormalBridge nonzero = bridge_with(PriorityTags::kIfNonzero);
    CHECK(nonzero.sent(untagged(1)) == "2 3");
    CHECK(nonzero.sent(tagged(1, 0)) == "pop 2 3");
    CHECK(nonzero.sent(tagged(1, 0xa000)) == "2 3");
    CHECK((nonzero.run(tagged(1, 0)).mask.vlan[0].tci.host() & 0xe000) == 0xe000);
    NormalBridge always = bridge_with(PriorityTags::kAlways);
    CHECK(always.sent(untagged(1)) == "2 3");  // none is made
    CHECK(always.sent(tagged(1, 0)) == "2 pop 3");
    CHECK(always.sent(tagged(1, 0xa000)) == "2 3");
  }

  TEST_CASE("ports may want priority tags, tags and none of one frame") {
    NormalBridge bridge({trunk(), access(10), with_priority(access(10), PriorityTags::kIfNonzero), trunk()});
    CHECK(bridge.sent(tagged(1, 0xa00a)) == "4 " + set_vid("0000") + " 3 pop 2");
    CHECK(bridge.sent(tagged(1, 0x000a)) == "4 pop 2 3");
    CHECK(bridge.sent(untagged(2)) == "3 push:8100000a 1 4");
  }

  TEST_CASE("a priority tag that a port makes is a C-tag, whatever the frame came with") {
    NormalBridge bridge({access(10), with_priority(access(10), PriorityTags::kIfNonzero), trunk()});
    CHECK(bridge.sent(tagged(1, 0xa000, 0x88a8)) == "pop push:8100a000 2 pop push:88a8a00a 3");
    CHECK(bridge.sent(tagged(3, 0xa00a, 0x88a8)) == "pop push:8100a000 2 pop 1");
  }

  TEST_CASE("nothing passes between two protected ports") {
    NormalBridge bridge({trunk(), trunk(), trunk(), trunk()});
    bridge.at(1).protected_port = bridge.at(2).protected_port = true;
    CHECK(bridge.sent(untagged(1)) == "3 4");
    CHECK(bridge.sent(untagged(3)) == "1 2 4");
    bridge.learn(kB, 0, 2);
    CHECK(bridge.sent(untagged(1)) == "drop:protected-port");
    CHECK(bridge.sent(untagged(3)) == "2");
    NormalBridge all({trunk(), trunk()});
    all.at(1).protected_port = all.at(2).protected_port = true;
    CHECK(all.sent(untagged(1)) == "drop:protected-port");
  }

  TEST_CASE("a port that takes no floods gets what is known to be there") {
    NormalBridge bridge({trunk(), trunk(), trunk()});
    bridge.at(2).flood = false;
    CHECK(bridge.sent(untagged(1)) == "3");
    CHECK(bridge.sent(untagged(1, kBroadcast)) == "3");
    bridge.learn(kB, 0, 2);
    CHECK(bridge.sent(untagged(1)) == "2");
  }

  TEST_CASE("what a controller sends is as from a trunk, and nothing is learned of it") {
    NormalBridge bridge({trunk(), trunk(), access(10)});
    bridge.learn(kB, 10, 2);
    const ActionList normal{OutputAction{kPortNormal}}, table{OutputAction{kPortTable}};
    CHECK(text(bridge.packet_out(tagged(0, 10), kPortController, normal)) == "2");
    CHECK(text(bridge.packet_out(tagged(0, 10), kPortController, table)) == "2");
    const Translation flood = bridge.packet_out(untagged(0, 0x020000000ccc), kPortController, normal);
    CHECK(text(flood) == "1 2");
    CHECK(flood.learns.empty());
    CHECK(text(bridge.packet_out(untagged(0), PortNo{77}, normal)) == "drop:bad-action");
  }

  TEST_CASE("a flood VLAN learns nothing, and floods what is known") {
    NormalBridge bridge({trunk(), trunk(), trunk(), access(10)});
    bridge.bridge.flood_vlans = vlans({10});
    bridge.learn(kB, 10, 2);
    bridge.learn(kB, 20, 2);
    const Translation result = bridge.run(tagged(1, 10));
    CHECK(text(result) == "2 3 pop 4");
    CHECK(result.learns.empty());
    CHECK(result.fdb_dependencies.empty());
    CHECK(bridge.sent(tagged(1, 20)) == "2");
    CHECK(bridge.sent(untagged(4)) == "push:8100000a 1 2 3");
  }

  TEST_CASE("ports that are down or do not forward get nothing") {
    NormalBridge bridge({trunk(), trunk(), trunk()});
    bridge.at(2).up = false;
    CHECK(bridge.sent(untagged(1)) == "3");
    bridge.at(3).forward = false;
    CHECK(bridge.sent(untagged(1)).starts_with("drop:no-"));
    bridge.learn(kB, 0, 2);
    CHECK(bridge.sent(untagged(1)) == "drop:no-output-port");
  }

  TEST_CASE("a frame to its own sender goes nowhere: who sent it is learned first") {
    NormalBridge bridge({trunk(), trunk()});
    CHECK(bridge.sent(eth_key(1, kA, kA)) == "drop:same-port");
    bridge.rule(0, 5, {}, {OutputAction{kPortNormal}, set_field(FieldId::kEthSrc, kB), OutputAction{kPortNormal}});
    CHECK(bridge.sent(eth_key(1, kA, kA)) == "drop:same-port");  // also when it is the sender no more
    bridge.bridge.flood_vlans = vlans({0});
    CHECK(bridge.sent(eth_key(1, kA, kA)).starts_with("2 "));
  }

  TEST_CASE("link-local multicast is not forwarded, and nothing is learned of it") {
    NormalBridge bridge({trunk(), trunk()});
    for (std::uint64_t last = 0; last < 16; ++last) {
      const Translation result = bridge.run(untagged(1, 0x0180c2000000 + last));
      CHECK(text(result) == "drop:reserved-mac");
      CHECK(result.learns.empty());
    }
    CHECK(bridge.sent(untagged(1, 0x0180c2000010)) == "2");
  }

  // Oracle, seed 21, case 1: a controller could send no LLDP by NORMAL.
  TEST_CASE("link-local multicast of a controller is forwarded") {
    NormalBridge bridge({trunk(), trunk()});
    const ActionList normal{OutputAction{kPortNormal}};
    CHECK(text(bridge.packet_out(untagged(0, 0x0180c200000e), kPortController, normal)) == "1 2");
    CHECK(text(bridge.packet_out(untagged(0, 0x0180c200000e), PortNo{1}, normal)) == "drop:reserved-mac");
  }

  TEST_CASE("a source is learned in each VLAN that normal meets it in") {
    NormalBridge bridge({trunk(), trunk()});
    bridge.rule(0, 5, {},
                {OutputAction{kPortNormal}, PushVlanAction{0x8100}, SetVlanVidAction{20}, OutputAction{kPortNormal},
                 OutputAction{kPortNormal}});
    const Translation result = bridge.run(untagged(1));
    CHECK(text(result) == "2 push:81000014 2 2");
    REQUIRE(result.learns.size() == 2);
    for (const auto& [learn, vlan] : {std::pair{result.learns[0], 0}, std::pair{result.learns[1], 20}}) {
      CHECK(learn.key == FdbKey{VlanId{static_cast<std::uint16_t>(vlan)}, MacAddr::from_number(kA)});
      CHECK(learn.port == PortNo{1});
    }
  }

  TEST_CASE("what comes after normal gets the frame as it was") {
    NormalBridge bridge({access(10), trunk(), access(10), access(11)});
    bridge.rule(0, 5, {}, {OutputAction{kPortNormal}, to_port(4)});
    CHECK(bridge.sent(untagged(1)) == "3 [ push:8100000a 2 ] 4");
    CHECK(bridge.sent(tagged(2, 0x600a)) == "[ pop 1 3 ] 4");
    CHECK(bridge.run(tagged(2, 0x600a)).mask.vlan[0].tci == be16{SHUNT_VLAN_PRESENT | 0xfff});
  }

  TEST_CASE("a flood depends on every port and on the list of ports; a known way on its two ends alone") {
    NormalBridge bridge({trunk(), trunk(), trunk()});
    const auto port = [](std::uint32_t number) { return tag_of(DependencyKind::kPort, number); };
    const std::uint64_t flood = bridge.run(untagged(1)).dependencies.tags;
    CHECK(flood == (port(1) | port(2) | port(3) | port(kPortAll.value)));
    bridge.learn(kB, 0, 3);
    CHECK(bridge.run(untagged(1)).dependencies.tags == (port(1) | port(3)));
  }

  // The promise that a cached flow makes: flip any bit outside the mask, and the actions are the same.
  TEST_CASE("no bit outside the mask changes what normal does") {
    std::mt19937_64 random{7};
    const auto few = [&](unsigned count) { return static_cast<unsigned>(random() % count); };
    const auto random_config = [&] {
      const VlanMode modes[] = {VlanMode::kTrunk, VlanMode::kAccess, VlanMode::kNativeTagged, VlanMode::kNativeUntagged,
                                VlanMode::kDot1qTunnel};
      VlanConfig config;
      config.mode = modes[few(5)];
      if (config.mode != VlanMode::kTrunk) config.tag = VlanId{static_cast<std::uint16_t>(10 + few(2))};
      if (few(2) == 0) config.trunks = vlans({0, 10});
      if (few(2) == 0) config.cvlans = vlans({0, 11});
      config.priority_tags = static_cast<PriorityTags>(few(3));
      return config;
    };
    for (int round = 0; round < 150; ++round) {
      std::vector<VlanConfig> configs;
      for (int i = 0; i < 5; ++i) configs.push_back(random_config());
      NormalBridge bridge(configs);
      if (few(3) == 0) bridge.bridge.flood_vlans = vlans({11});
      if (few(2) == 0) bridge.learn(kB, 10, 1 + few(5));
      FlowKey key = untagged(1 + few(5), few(3) == 0 ? kBroadcast : kB);
      for (auto tags = few(3); tags > 0; --tags)
        key = tagged(key, static_cast<std::uint16_t>(few(2) * 0x6000 + (few(3) == 0 ? 0 : 10 + few(2))));
      const Translation result = bridge.run(key);
      const KeyWords mask = to_words(result.mask);
      int wrong = 0;
      for (int i = 0; i < 60; ++i) {
        KeyWords other = to_words(key);
        if (i % 2 == 0) {
          for (std::size_t w = 0; w < kKeyWords; ++w) other[w] = (other[w] & mask[w]) | (random() & ~mask[w]);
        } else {
          other[3] = (other[3] & mask[3]) | (random() & ~mask[3]);  // the tags
        }
        const Translation again = bridge.run(from_words(other));
        if (text(again) != text(result) || again.learns.size() != result.learns.size()) ++wrong;
      }
      CHECK(wrong == 0);
    }
  }
}
