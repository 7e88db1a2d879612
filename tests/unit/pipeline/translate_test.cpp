// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/translate.h"

#include <doctest/doctest.h>

#include <bit>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tests/support/pipeline_fixture.h"
#include "user/flow/fields.h"
#include "user/pipeline/rule_text.h"

using namespace shunt;
using namespace shunt::test;

namespace {

constexpr TimePoint kStart{std::chrono::hours{1}};
constexpr std::uint64_t kBroadcast = 0xffffffffffff;

// A bridge whose port N is datapath port 100 + N.
struct OneBridge {
  Switch config;
  BridgeId id = config.add_bridge("br0");

  void port(std::uint32_t number, VlanConfig vlan = {}, bool up = true) {
    config.add_port(id, {PortNo{number}, DpPort{100 + number}, "p" + std::to_string(number), vlan, up});
  }
  void rule(const std::string& text) {
    const FlowMod mod = parse_flow(text, FlowMod::Command::kAdd, {});
    config.apply(id, std::span{&mod, 1}, kStart);
  }
  [[nodiscard]] Fdb& fdb() const { return *config.find_bridge("br0")->fdb; }
  void learn(std::uint64_t mac, std::uint16_t vlan, std::uint32_t number) const {
    fdb().learn({VlanId{vlan}, MacAddr::from_number(mac)}, PortNo{number}, kStart);
  }
  [[nodiscard]] Translation run(const FlowKey& key) const { return translate(*config.state(), key); }
};

VlanConfig access(std::uint16_t vlan) { return VlanConfig::access(VlanId{vlan}); }
VlanConfig trunk(std::initializer_list<std::size_t> vlans) {
  VlanConfig config;
  config.trunks.emplace();
  for (const auto vlan : vlans) config.trunks->set(vlan);
  return config;
}

FlowKey eth(std::uint32_t in_port, std::uint64_t src, std::uint64_t dst) { return eth_key(in_port, src, dst); }

FlowKey tagged(FlowKey key, std::uint16_t tci, std::uint16_t tpid = 0x8100) {
  key.vlan[1] = key.vlan[0];
  key.vlan[0] = {be16{tpid}, be16{static_cast<std::uint16_t>(tci | SHUNT_VLAN_PRESENT)}};
  return key;
}

FlowKey tcp(std::uint32_t in_port = 1) { return tcp_key(in_port); }

FlowKey tcp6(std::uint32_t in_port = 1) {
  FlowKey key = tcp(in_port);
  key.eth_type = be16{0x86dd};
  for (unsigned i = 0; i < 16; ++i) key.ip_src[i] = key.ip_dst[i] = static_cast<__u8>(i + 1);
  return key;
}

std::string set(shunt_field field, const std::string& value, const std::string& mask) {
  return set_text(field, value, mask);
}

FlowMask mask_of(std::initializer_list<FieldId> ids, std::uint16_t tci = 0) {
  FlowMask mask{};
  mask.in_port = ~std::uint32_t{0};
  for (const FieldId id : ids) add_mask(mask, flow_part(field_mask(field(id))));
  mask.vlan[0].tci = be16{tci};
  return mask;
}

constexpr std::uint16_t kVlanBits = 0x1fff;  // VID and presence

std::string why_different(const Translation& a, const Translation& b) {
  if (text(a) != text(b)) return text(a) + " | " + text(b);
  if (a.drop != b.drop) return "drop reason";
  if (!std::equal(a.learns.begin(), a.learns.end(), b.learns.begin(), b.learns.end(),
                  [](const auto& x, const auto& y) { return x.key == y.key && x.port == y.port; }))
    return "learn";
  if (a.rules != b.rules) return "rules";
  return "";
}

}  // namespace

TEST_SUITE("translate") {
  TEST_CASE("a packet of an unknown port is dropped") {
    OneBridge bridge;
    CHECK(text(bridge.run(eth(1, kA, kB))) == "drop:no-port");
    FlowKey key = eth(1, kA, kB);
    key.in_port = 0xffffffff;
    CHECK(text(bridge.run(key)) == "drop:no-port");
  }

  TEST_CASE("a rule with drop, without actions, or none at all drops the packet, each for its reason") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    bridge.rule("priority=2,tcp,actions=drop");
    bridge.rule("priority=2,arp,actions=set_field:02:00:00:00:00:01->eth_dst");
    CHECK(text(bridge.run(tcp())) == "drop:rule");
    FlowKey arp = eth(1, kA, kB);
    arp.eth_type = be16{0x0806};
    CHECK(text(bridge.run(arp)) == "drop:rule");
    const FlowMod all = parse_flow("", FlowMod::Command::kDelete, {});
    bridge.config.apply(bridge.id, std::span{&all, 1}, kStart);
    bridge.config.collect(bridge.config.version());
    const Translation miss = bridge.run(tcp());
    CHECK(text(miss) == "drop:table-miss");
    CHECK(miss.rules.empty());
    CHECK(equal(miss.mask, mask_of({})));
  }

  TEST_CASE("rules match in_port by the OpenFlow number, the mask holds the datapath port") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    bridge.port(3);
    bridge.rule("priority=9,in_port=2,actions=output:3");
    const Translation result = bridge.run(eth(2, kA, kB));
    CHECK(text(result) == "3");
    CHECK(equal(result.mask, mask_of({})));
    REQUIRE(result.rules.size() == 1);
    CHECK(result.rules[0]->priority == 9);
    CHECK(result.version == bridge.config.version());
    CHECK(result.bridge == bridge.id);
    CHECK(result.learns.empty());
    CHECK(text(bridge.run(eth(1, kA, kB))) == "2 3");
  }

  TEST_CASE("output goes to ports that are there and up, and back out of the input port by in_port only") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    bridge.port(3, {}, false);
    bridge.config.add_port(bridge.id, {kPortLocal, DpPort{199}, "br0", {}, true});
    const auto with = [&](const std::string& actions) {
      bridge.rule("priority=9,actions=" + actions);
      return text(bridge.run(eth(1, kA, kB)));
    };
    CHECK(with("output:2,output:2") == "2 2");
    CHECK(with("output:3") == "drop:no-output-port");
    CHECK(with("output:77") == "drop:no-output-port");
    CHECK(with("output:3,output:2") == "2");
    CHECK(with("output:1") == "drop:same-port");
    CHECK(with("in_port") == "back:1");
    CHECK(with("flood") == "2 99");
    CHECK(with("all") == "2 99");
    CHECK(with("local") == "99");
    CHECK(with("output(port=2,max_len=100),output:99,output:2") == "trunc:100 2 2");
  }

  TEST_CASE("edits come before the outputs that follow them, and none after the last") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    bridge.rule("priority=9,actions=output:2,mod_dl_dst:02:00:00:00:00:01,output:2,mod_dl_src:02:00:00:00:00:02");
    const Translation result = bridge.run(tcp());
    CHECK(text(result) == "2 " + set(SHUNT_FIELD_ETH_DST, "020000000001", "ffffffffffff") + " 2");
    CHECK(equal(result.mask, mask_of({})));
  }

  TEST_CASE("an edit looks at what a packet must be to have the field, and at nothing more") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    bridge.rule("priority=9,actions=mod_nw_src:10.9.8.7,output:2");
    const Translation result = bridge.run(tcp());
    CHECK(text(result) == set(SHUNT_FIELD_IP_SRC, "0a090807", "ffffffff") + " 2");
    CHECK(equal(result.mask, mask_of({FieldId::kEthType})));
    CHECK(text(bridge.run(tcp6())) == "2");
  }

  TEST_CASE("an IPv6 address is written in four pieces") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    bridge.rule("priority=9,ipv6,actions=set_field:2001:db8::9->ipv6_dst,output:2");
    CHECK(text(bridge.run(tcp6())) == set(SHUNT_FIELD_IPV6_DST0, "20010db8", "ffffffff") + " " +
                                          set(SHUNT_FIELD_IPV6_DST1, "00000000", "ffffffff") + " " +
                                          set(SHUNT_FIELD_IPV6_DST2, "00000000", "ffffffff") + " " +
                                          set(SHUNT_FIELD_IPV6_DST3, "00000009", "ffffffff") + " 2");
  }

  TEST_CASE("move copies the bits as earlier actions left them, and looks at them") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    bridge.rule("priority=9,tcp,actions=move:NXM_OF_TCP_SRC[0..7]->NXM_OF_TCP_DST[8..15],output:2");
    Translation result = bridge.run(tcp());
    CHECK(text(result) == set(SHUNT_FIELD_TP_DST, "e800", "ff00") + " 2");  // 1000 is 0x3e8
    CHECK(result.mask.tp_src == be16{0x00ff});
    CHECK(result.mask.tp_dst == be16{0});
    bridge.rule("priority=9,tcp,actions=set_field:0x1234->tcp_src,move:NXM_OF_TCP_SRC[]->NXM_OF_TCP_DST[],output:2");
    result = bridge.run(tcp());
    CHECK(text(result) ==
          set(SHUNT_FIELD_TP_SRC, "1234", "ffff") + " " + set(SHUNT_FIELD_TP_DST, "1234", "ffff") + " 2");
    CHECK(result.mask.tp_src == be16{0});  // known, whatever the packet had
  }

  TEST_CASE("dec_ttl does not depend on the TTL, and is left out where there is none") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    bridge.rule("priority=9,actions=dec_ttl,output:2");
    for (const int ttl : {0, 1, 64}) {
      FlowKey key = tcp();
      key.nw_ttl = static_cast<__u8>(ttl);
      const Translation result = bridge.run(key);
      CHECK(text(result) == "ttl 2");
      CHECK(result.mask.nw_ttl == 0);
    }
    CHECK(text(bridge.run(eth(1, kA, kB))) == "2");
    bridge.rule("priority=10,ip,actions=dec_ttl,move:NXM_NX_IP_TTL[0]->NXM_OF_IP_TOS[2],output:2");
    CHECK(bridge.run(tcp()).mask.nw_ttl == 0xff);  // a decremented bit is made of all
  }

  // An expired TTL once ended the lists around it, too.
  TEST_CASE("a TTL that runs out ends its own list, and not those around it") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    bridge.port(3);
    bridge.rule("priority=9,actions=resubmit(,1),output:3");
    bridge.rule("table=1,priority=9,actions=dec_ttl,output:2");
    FlowKey key = tcp();
    key.nw_ttl = 1;
    Translation result = bridge.run(key);
    CHECK(text(result) == "up:0 3");
    CHECK(result.follow_ups->controllers.at(0).action.reason == PacketInReason::kInvalidTtl);
    CHECK(result.mask.nw_ttl == 0xfe);
    key.nw_ttl = 64;
    result = bridge.run(key);
    CHECK(text(result) == "ttl 2 3");
    CHECK(result.mask.nw_ttl == 0x40);  // 2 or more, whatever the rest of it
    CHECK(result.follow_ups->ttl_controllers.size() == 1);
  }

  // A decrement was once left out where nothing was sent behind it, and no controller heard of the TTL.
  TEST_CASE("controllers hear of a TTL that runs out, whatever is sent behind it") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    const auto with = [&](const std::string& actions, unsigned ttl) {
      bridge.rule("priority=9,actions=" + actions);
      FlowKey key = tcp();
      key.nw_ttl = static_cast<__u8>(ttl);
      return bridge.run(key);
    };
    for (const unsigned ttl : {1u, 64u}) {
      CAPTURE(ttl);
      const Translation result = with("dec_ttl,mod_dl_dst:02:00:00:00:00:09", ttl);
      CHECK(text(result) == "ttl drop:rule");
      CHECK(result.is_drop());
      CHECK(result.follow_ups->ttl_controllers.size() == 1);
      CHECK(result.mask.nw_ttl == 0);  // who runs it finds out
      CHECK(text(with("dec_ttl,output:1", ttl)) == "ttl drop:same-port");
    }
    // The kernel sends last of all.
    for (const std::string actions : {"output:2,dec_ttl", "clone(dec_ttl),output:2"}) {
      CAPTURE(actions);
      Translation result = with(actions, 1);
      const bool sent_first = actions.front() == 'o';
      CHECK(text(result) == (sent_first ? "2 up:0" : "up:0 2"));
      CHECK(result.follow_ups->controllers.at(0).action.reason == PacketInReason::kInvalidTtl);
      CHECK(result.mask.nw_ttl == 0xfe);
      result = with(actions, 64);
      CHECK(text(result) == "2");
      CHECK(result.mask.nw_ttl == 0x40);
    }
    // One that something is sent behind serves every TTL.
    CHECK(with("clone(dec_ttl,output:2),output:2", 64).mask.nw_ttl == 0);
  }

  TEST_CASE("VLAN tags are pushed, popped and written") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    const auto with = [&](const std::string& actions, const FlowKey& key) {
      bridge.rule("priority=9,actions=" + actions);
      return text(bridge.run(key));
    };
    const FlowKey plain = eth(1, kA, kB);
    CHECK(with("push_vlan:0x88a8,output:2", plain) == "push:88a80000 2");
    CHECK(with("push_vlan:0x8100,set_field:4102->vlan_vid,output:2", plain) == "push:81000006 2");
    CHECK(with("push_vlan:0x8100,output:2,set_field:4102->vlan_vid,output:2", plain) ==
          "push:81000000 2 " + set(SHUNT_FIELD_VLAN_TCI, "0006", "0fff") + " 2");
    CHECK(with("strip_vlan,output:2", plain) == "2");
    CHECK(with("strip_vlan,output:2", tagged(plain, 5)) == "pop 2");
    CHECK(bridge.run(plain).mask.vlan[0].tci == be16{SHUNT_VLAN_PRESENT});
    CHECK(with("strip_vlan,strip_vlan,output:2", tagged(tagged(plain, 5), 6)) == "pop pop 2");
    CHECK(bridge.run(tagged(tagged(plain, 5), 6)).mask.vlan[1].tci == be16{SHUNT_VLAN_PRESENT});
    CHECK(with("mod_vlan_vid:7,output:2", plain) == "push:81000007 2");
    CHECK(with("mod_vlan_vid:7,output:2", tagged(plain, 0x6005)) == set(SHUNT_FIELD_VLAN_TCI, "0007", "0fff") + " 2");
    CHECK(with("mod_vlan_pcp:3,mod_vlan_vid:7,output:2", plain) == "push:81006007 2");
    CHECK(with("push_vlan:0x8100,pop_vlan,output:2", plain) == "2");
  }

  TEST_CASE("normal floods the unknown and forwards the known, but never back") {
    OneBridge bridge;
    for (std::uint32_t number : {1u, 2u, 3u}) bridge.port(number);
    bridge.port(4, {}, false);
    const Translation unknown = bridge.run(eth(1, kA, kB));
    CHECK(text(unknown) == "2 3");
    CHECK(equal(unknown.mask, mask_of({FieldId::kEthSrc, FieldId::kEthDst}, kVlanBits)));
    REQUIRE(unknown.learns.size() == 1);
    CHECK(unknown.learns.at(0).key == FdbKey{VlanId{0}, MacAddr::from_number(kA)});
    CHECK(unknown.learns.at(0).port == PortNo{1});
    REQUIRE(unknown.fdb_dependencies.size() == 2);
    CHECK(unknown.fdb_dependencies[0].key.mac == MacAddr::from_number(kA));
    CHECK(unknown.fdb_dependencies[1].key.mac == MacAddr::from_number(kB));
    CHECK(unknown.fdb_version == bridge.fdb().version());

    bridge.learn(kB, 0, 3);
    CHECK(text(bridge.run(eth(1, kA, kB))) == "3");
    CHECK(text(bridge.run(eth(3, kA, kB))) == "drop:same-port");
    bridge.learn(kB, 0, 4);
    CHECK(text(bridge.run(eth(1, kA, kB))) == "drop:no-output-port");
    CHECK(text(bridge.run(eth(1, kA, kBroadcast))) == "2 3");
    CHECK(bridge.run(eth(1, kA, kBroadcast)).fdb_dependencies.size() == 1);
  }

  TEST_CASE("a multicast source is not learned") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    CHECK(bridge.run(eth(1, 0x010000000001, kB)).learns.empty());
  }

  TEST_CASE("normal on a bridge's only port has no way out") {
    OneBridge bridge;
    bridge.port(1);
    CHECK(text(bridge.run(eth(1, kA, kB))) == "drop:same-port");
    bridge.port(2, {}, false);
    CHECK(text(bridge.run(eth(1, kA, kB))) == "drop:no-output-port");
  }

  TEST_CASE("link-local multicast is not forwarded, its neighbours are") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    for (std::uint64_t last = 0; last < 16; ++last)
      CHECK(text(bridge.run(eth(1, kA, 0x0180c2000000 + last))) == "drop:reserved-mac");
    CHECK(text(bridge.run(eth(1, kA, 0x0180c2000010))) == "2");
    CHECK(bridge.run(eth(1, kA, 0x0180c2000000)).learns.empty());
    bridge.rule("priority=9,actions=output:2");  // a rule that names the port may
    CHECK(text(bridge.run(eth(1, kA, 0x0180c2000000))) == "2");
  }

  TEST_CASE("normal keeps VLANs apart and tags by the port") {
    OneBridge bridge;
    bridge.port(1, access(10));
    bridge.port(2, access(10));
    bridge.port(3, access(20));
    bridge.port(4, trunk({10, 20}));
    bridge.port(5);  // trunk of all
    CHECK(text(bridge.run(eth(1, kA, kB))) == "2 push:8100000a 4 5");
    CHECK(bridge.run(eth(1, kA, kB)).learns.at(0).key.vlan == VlanId{10});
    CHECK(text(bridge.run(eth(3, kA, kB))) == "push:81000014 4 5");
    CHECK(text(bridge.run(tagged(eth(4, kA, kB), 10))) == "5 pop 1 2");
    CHECK(text(bridge.run(tagged(eth(4, kA, kB), 20))) == "5 pop 3");
    CHECK(text(bridge.run(tagged(eth(5, kA, kB), 30))) == "drop:same-port");
    CHECK(text(bridge.run(eth(5, kA, kB))) == "drop:same-port");  // untagged: VLAN 0, which port 4 does not carry

    bridge.learn(kB, 10, 2);
    CHECK(text(bridge.run(tagged(eth(4, kA, kB), 10))) == "pop 2");
    CHECK(text(bridge.run(tagged(eth(4, kA, kB), 20))) == "5 pop 3");
    bridge.learn(kB, 10, 4);
    CHECK(text(bridge.run(eth(1, kA, kB))) == "push:8100000a 4");
    bridge.learn(kB, 10, 3);  // by hand, to a port that does not carry the VLAN
    CHECK(text(bridge.run(eth(1, kA, kB))) == "drop:vlan-not-allowed");
  }

  TEST_CASE("a VLAN that the ingress port does not carry is dropped, by its tag alone") {
    OneBridge bridge;
    bridge.port(1, access(10));
    bridge.port(2, trunk({10}));
    bridge.port(3);
    const FlowMask tag_only = mask_of({}, kVlanBits);
    for (const FlowKey& key : {tagged(eth(1, kA, kB), 10), tagged(eth(2, kA, kB), 11), eth(2, kA, kB)}) {
      const Translation result = bridge.run(key);
      CHECK(text(result) == "drop:vlan-not-allowed");
      CHECK(equal(result.mask, tag_only));
      CHECK(result.learns.empty());
    }
  }

  TEST_CASE("a priority tag is no VLAN, and its priority goes on where there is a tag") {
    OneBridge bridge;
    bridge.port(1, access(10));
    bridge.port(2, access(10));
    bridge.port(3);
    bridge.port(4);
    CHECK(text(bridge.run(tagged(eth(1, kA, kB), 0xa000))) == set(SHUNT_FIELD_VLAN_TCI, "000a", "0fff") + " 3 4 pop 2");
    CHECK(text(bridge.run(tagged(eth(3, kA, kB), 0xa000))) == "pop 4");
  }

  TEST_CASE("the outer tag is the bridge's, the inner one is payload") {
    OneBridge bridge;
    bridge.port(1, access(100));
    bridge.port(2);
    CHECK(text(bridge.run(tagged(tagged(eth(2, kA, kB), 5), 100, 0x88a8))) == "pop 1");
    CHECK(text(bridge.run(tagged(tagged(eth(1, kA, kB), 5), 0, 0x8100))) ==
          set(SHUNT_FIELD_VLAN_TCI, "0064", "0fff") + " 2");
  }

  TEST_CASE("outputs after normal get the frame as it was") {
    OneBridge bridge;
    bridge.port(1, access(10));
    bridge.port(2);
    bridge.port(3, access(10));
    bridge.port(4, access(11));
    bridge.rule("priority=9,actions=normal,output:4");
    CHECK(text(bridge.run(eth(1, kA, kB))) == "3 [ push:8100000a 2 ] 4");
    CHECK(text(bridge.run(tagged(eth(2, kA, kB), 0x600a))) == "[ pop 1 3 ] 4");
    CHECK(bridge.run(tagged(eth(2, kA, kB), 0x600a)).mask.vlan[0].tci == be16{kVlanBits});
    bridge.config.remove_port(bridge.id, PortNo{3});
    CHECK(text(bridge.run(tagged(eth(1, kA, kB), 0x6000))) ==
          "[ " + set(SHUNT_FIELD_VLAN_TCI, "000a", "0fff") + " 2 ] 4");
  }

  TEST_CASE("normal looks at the addresses that earlier actions wrote") {
    OneBridge bridge;
    bridge.port(1);
    bridge.port(2);
    bridge.port(3);
    bridge.learn(kB, 0, 3);
    bridge.rule("priority=9,actions=mod_dl_dst:02:00:00:00:00:0b,normal");
    const Translation result = bridge.run(eth(1, kA, kBroadcast));
    CHECK(text(result) == set(SHUNT_FIELD_ETH_DST, "02000000000b", "ffffffffffff") + " 3");
    CHECK(equal(result.mask, mask_of({FieldId::kEthSrc}, kVlanBits)));
  }

  TEST_CASE("no bit outside the mask changes the actions, the drop reason or what is learned") {
    const char* kRules[] = {
        "priority=1,actions=normal",
        "priority=10,tcp,tp_dst=80,actions=normal",
        "priority=11,in_port=2,actions=drop",
        "priority=12,ip,nw_dst=10.0.0.0/24,actions=dec_ttl,mod_dl_src:02:00:00:00:00:01,output:2",
        "priority=13,tcp,tp_src=0x3e0/0xfff0,actions=mod_tp_dst:99,normal,output:3",
        "priority=14,udp,nw_src=10.0.0.1,actions=mod_vlan_vid:10,flood",
        "priority=15,dl_vlan=10,actions=strip_vlan,normal",
        "priority=16,ipv6,ipv6_dst=102:304::/32,actions=set_field:2001:db8::1->ipv6_src,normal",
        "priority=17,ip,nw_ttl=1,actions=drop",
        "priority=18,arp,actions=move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],in_port",
        "priority=19,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=normal,in_port",
        "priority=20,tcp,tcp_flags=+syn,actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],mod_vlan_pcp:3,normal",
        "priority=21,dl_vlan=11,actions=push_vlan:0x8100,set_field:4106->vlan_vid,normal,strip_vlan,output:4",
        "priority=22,ip,actions=dec_ttl,move:NXM_NX_IP_TTL[0..3]->NXM_OF_IP_TOS[4..7],mod_tp_src:7,output:4",
        "priority=23,ip,ip_frag=later,actions=mod_tp_dst:5,output:1,output:2",
    };
    for (unsigned seed = 0; seed < 40; ++seed) {
      std::mt19937_64 random{seed};
      const auto few = [&](unsigned count) { return static_cast<unsigned>(random() % count); };
      OneBridge bridge;
      for (std::uint32_t number = 1; number <= 5; ++number) {
        const VlanConfig kinds[] = {{}, {}, access(10), access(11), trunk({0, 10}), trunk({10, 11})};
        bridge.port(number, kinds[few(6)], few(5) != 0);
      }
      for (const char* rule : kRules)
        if (few(3) == 0) bridge.rule(rule);
      for (std::uint16_t vlan : {std::uint16_t{0}, std::uint16_t{10}})
        for (const auto mac : {kA, kB})
          if (few(2) == 0) bridge.learn(mac, vlan, 1 + few(5));

      for (int packets = 0; packets < 10; ++packets) {
        FlowKey key = few(2) == 0 ? tcp(1 + few(6)) : few(2) == 0 ? tcp6(1 + few(6)) : eth(1 + few(5), kB, kA);
        if (few(3) == 0) key.nw_proto = 17;
        if (few(5) == 0) key.eth_type = be16{0x0806};
        if (few(5) == 0) put_mac(key.eth_dst, few(2) == 0 ? kBroadcast : 0x0180c2000002);
        if (few(3) == 0)
          key = tagged(key, static_cast<std::uint16_t>(few(4) * 0x2000 + (few(2) == 0 ? 10 + few(2) : 0)));
        if (few(5) == 0) key = tagged(key, static_cast<std::uint16_t>(10 + few(2)));
        if (few(4) == 0) key.nw_ttl = static_cast<__u8>(few(3));
        if (few(6) == 0) key.nw_frag = static_cast<__u8>(few(2) == 0 ? 3 : 1);
        if (few(3) == 0) key.tcp_flags = be16{0x002};
        const Translation result = bridge.run(key);
        REQUIRE((result.mask.in_port == ~std::uint32_t{0}));
        const KeyWords mask = to_words(result.mask);
        int wrong = 0;
        std::string first_difference;
        const auto compare = [&](const KeyWords& words) {
          const std::string difference = why_different(result, bridge.run(from_words(words)));
          if (!difference.empty() && wrong++ == 0) first_difference = difference;
        };
        for (int i = 0; i < 300; ++i) {
          const std::size_t bit = random() % (kKeyWords * 64);
          if ((mask[bit / 64] >> (bit % 64) & 1) != 0) continue;
          KeyWords flipped = to_words(key);
          flipped[bit / 64] ^= std::uint64_t{1} << (bit % 64);
          compare(flipped);
        }
        for (int i = 0; i < 30; ++i) {
          KeyWords other = to_words(key);
          for (std::size_t w = 0; w < kKeyWords; ++w) other[w] = (other[w] & mask[w]) | (random() & ~mask[w]);
          compare(other);
        }
        CHECK_MESSAGE(wrong == 0, first_difference);
      }
    }
  }
}
