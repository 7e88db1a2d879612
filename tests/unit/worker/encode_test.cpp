// SPDX-License-Identifier: Apache-2.0
#include "user/worker/encode.h"

#include <doctest/doctest.h>

#include "maps/port.h"
#include "tests/unit/worker/memory_maps.h"

using namespace shunt;
using namespace shunt::test;

namespace {

constexpr DpPort kIn{1};

PortOutputs ports_up_to(std::uint32_t count) {
  PortOutputs ports{};
  for (std::uint32_t port = 1; port <= count; ++port) ports[port].ifindex = Ifindex{100 + port};
  return ports;
}

Encoded encode_actions(DpActions actions, const PortOutputs& ports = ports_up_to(8)) {
  Translation translation;
  translation.actions = std::move(actions);
  return encode(translation, kIn, ports);
}

void check_userspace(const Encoded& encoded, shunt_upcall_reason reason = SHUNT_UPCALL_UNSUPPORTED) {
  CHECK_FALSE(encoded.in_kernel);
  CHECK(encoded.reason == reason);
  REQUIRE(encoded.actions.size() == 1);
  CHECK(encoded.actions[0].type == SHUNT_ACT_USERSPACE);
  CHECK(encoded.actions[0].field == reason);
  CHECK(encoded.group.empty());
}

}  // namespace

TEST_SUITE("encode") {
  TEST_CASE("one output and nothing else takes the path without a loop") {
    const Encoded encoded = encode_actions({output_to(2)});
    CHECK(encoded.in_kernel);
    CHECK(encoded.flags == (SHUNT_FLOW_SINGLE_OUTPUT | SHUNT_FLOW_TC));
    CHECK(encoded.output == DpPort{2});
    REQUIRE(encoded.actions.size() == 1);
  }

  TEST_CASE("TC runs drops, and edits of tags, addresses, ports, TTL and ToS before one output or one flood") {
    const shunt_action pop = simple(SHUNT_ACT_POP_VLAN), dec = simple(SHUNT_ACT_DEC_TTL);
    const auto set = [](shunt_field field) {
      shunt_action action = simple(SHUNT_ACT_SET_FIELD);
      action.field = static_cast<std::uint8_t>(field);
      return action;
    };
    const auto by_tc = [](const DpActions& actions) { return (encode_actions(actions).flags & SHUNT_FLOW_TC) != 0; };
    CHECK(by_tc({pop, push_vlan(3), set(SHUNT_FIELD_VLAN_TCI), output_to(2)}));
    CHECK(by_tc({push_vlan(3), output_to(2), output_to(3)}));
    CHECK(by_tc({set_eth_dst(1), dec, output_to(2)}));
    CHECK(by_tc({set(SHUNT_FIELD_IP_SRC), set(SHUNT_FIELD_IPV6_DST3), set(SHUNT_FIELD_TP_DST), output_to(2)}));
    CHECK(by_tc({push_vlan(3)}));  // nowhere: a drop
    CHECK(by_tc({dec}));
    for (const shunt_field field : {SHUNT_FIELD_ETH_TYPE, SHUNT_FIELD_VLAN_TPID, SHUNT_FIELD_ICMP_TYPE,
                                    SHUNT_FIELD_ARP_OP, SHUNT_FIELD_ND_SLL, SHUNT_FIELD_MPLS_LSE, SHUNT_FIELD_IP_PROTO})
      CHECK_FALSE(by_tc({set(field), output_to(2)}));
    CHECK_FALSE(by_tc({simple(SHUNT_ACT_TRUNCATE, 100), output_to(2)}));
    CHECK_FALSE(by_tc({simple(SHUNT_ACT_METER, 1), output_to(2)}));
    CHECK_FALSE(by_tc({output_to(1, true)}));
  }

  TEST_CASE("a list may be kept for other packets of its kind, unless userspace or dice have a say") {
    const auto is_list = [](const DpActions& actions) {
      return (encode_actions(actions).flags & SHUNT_FLOW_LIST) != 0;
    };
    CHECK(is_list({}));
    CHECK(is_list({simple(SHUNT_ACT_DEC_TTL)}));
    CHECK(is_list({set_eth_dst(1), output_to(2)}));
    CHECK(is_list({output_to(2), output_to(3)}));
    CHECK(is_list({simple(SHUNT_ACT_METER, 1), output_to(2)}));
    CHECK_FALSE(is_list({output_to(2)}));  // its output alone says all
    CHECK_FALSE(is_list({simple(SHUNT_ACT_SAMPLE, 1), set_eth_dst(1), output_to(2)}));
    CHECK_FALSE(is_list({simple(SHUNT_ACT_SAMPLE, 1)}));
    CHECK_FALSE(is_list({set_eth_dst(1), output_to(2), output_to(3), set_eth_dst(2), output_to(4)}));  // userspace's
  }

  TEST_CASE("edits keep their order before the output, and edits behind the last output are left out") {
    const Encoded encoded = encode_actions({set_eth_dst(1), simple(SHUNT_ACT_DEC_TTL), output_to(2), set_eth_dst(9)});
    REQUIRE(encoded.actions.size() == 3);
    CHECK(encoded.actions[0].type == SHUNT_ACT_SET_FIELD);
    CHECK(encoded.actions[1].type == SHUNT_ACT_DEC_TTL);
    CHECK(encoded.actions[2].type == SHUNT_ACT_OUTPUT);
    CHECK(encoded.flags == (SHUNT_FLOW_EDITS | SHUNT_FLOW_TC | SHUNT_FLOW_LIST));
  }

  TEST_CASE("several ports that get the same bytes are one group, by port") {
    const Encoded encoded = encode_actions({set_eth_dst(1), output_to(4), output_to(2), output_to(3)});
    REQUIRE(encoded.actions.size() == 2);
    CHECK(encoded.actions[1].type == SHUNT_ACT_OUTPUT_GROUP);
    CHECK(encoded.group == GroupPorts{DpPort{2}, DpPort{3}, DpPort{4}});
  }

  TEST_CASE("who hears of a TTL that runs out does not make bytes differ") {
    shunt_action second = simple(SHUNT_ACT_DEC_TTL);
    second.arg = 1;
    const Encoded encoded =
        encode_actions({simple(SHUNT_ACT_SAVE), simple(SHUNT_ACT_DEC_TTL), output_to(2), simple(SHUNT_ACT_RESTORE),
                        simple(SHUNT_ACT_SAVE), second, output_to(3), simple(SHUNT_ACT_RESTORE)});
    REQUIRE(encoded.actions.size() == 2);
    CHECK(encoded.actions[0].arg == 0);
    CHECK(encoded.actions[1].type == SHUNT_ACT_OUTPUT_GROUP);
    REQUIRE(encode_actions({second, output_to(2)}).actions.size() == 2);
    CHECK(encode_actions({second, output_to(2)}).actions[0].arg == 0);
  }

  TEST_CASE("several ports that get different bytes go up") {
    check_userspace(encode_actions({output_to(2), output_to(3), push_vlan(10), output_to(4)}));
    check_userspace(encode_actions({output_to(4), simple(SHUNT_ACT_POP_VLAN), output_to(2)}));
    check_userspace(encode_actions({output_to(2), set_eth_dst(1), output_to(3)}));
  }

  TEST_CASE("what a broadcast redirect cannot do goes up") {
    SUBCASE("back out of the input port as well") {
      check_userspace(encode_actions({output_to(1, true), output_to(2)}));
    }
    SUBCASE("one port twice") { check_userspace(encode_actions({output_to(2), output_to(2), output_to(3)})); }
    SUBCASE("different lengths") {
      check_userspace(encode_actions({simple(SHUNT_ACT_TRUNCATE, 100), output_to(2), output_to(3)}));
    }
    SUBCASE("a cut before and behind a tag") {
      check_userspace(encode_actions({simple(SHUNT_ACT_TRUNCATE, 100), output_to(2), push_vlan(1),
                                      simple(SHUNT_ACT_TRUNCATE, 100), output_to(3)}));
    }
  }

  TEST_CASE("the input port gets its packet back only where that was asked for") {
    CHECK(encode_actions({output_to(1), output_to(2)}).output == DpPort{2});
    const Encoded back = encode_actions({output_to(1, true)});
    CHECK(back.in_kernel);
    CHECK(back.flags == SHUNT_FLOW_LIST);
    CHECK(back.actions[0].field == 1);
    const Encoded same = encode_actions({output_to(1)});
    CHECK(same.actions[0].type == SHUNT_ACT_DROP);
    CHECK(same.actions[0].field == SHUNT_DROP_SAME_PORT);
  }

  TEST_CASE("one truncation for all ports stays in the kernel") {
    const Encoded one = encode_actions({simple(SHUNT_ACT_TRUNCATE, 64), output_to(2)});
    REQUIRE(one.actions.size() == 2);
    CHECK(one.actions[0].arg == 64);
    CHECK((one.flags & SHUNT_FLOW_SINGLE_OUTPUT) == 0);
    const Encoded all =
        encode_actions({simple(SHUNT_ACT_TRUNCATE, 64), output_to(2), simple(SHUNT_ACT_TRUNCATE, 64), output_to(3)});
    CHECK(all.in_kernel);
    CHECK(all.group.size() == 2);
  }

  TEST_CASE("no output is a drop with the translation's reason") {
    Translation translation;
    translation.drop = SHUNT_DROP_VLAN_NOT_ALLOWED;
    const Encoded encoded = encode(translation, kIn, ports_up_to(2));
    REQUIRE(encoded.actions.size() == 1);
    CHECK(encoded.actions[0].type == SHUNT_ACT_DROP);
    CHECK(encoded.actions[0].field == SHUNT_DROP_VLAN_NOT_ALLOWED);
    CHECK(encode_actions({set_eth_dst(1)}).actions[0].type == SHUNT_ACT_DROP);
  }

  TEST_CASE("a port whose interface is gone is left out, and alone it is a drop") {
    PortOutputs ports = ports_up_to(3);
    ports[2].ifindex = Ifindex{0};
    CHECK(encode_actions({output_to(2), output_to(3)}, ports).output == DpPort{3});
    const Encoded none = encode_actions({output_to(2)}, ports);
    CHECK(none.actions[0].type == SHUNT_ACT_DROP);
    CHECK(none.actions[0].field == SHUNT_DROP_NO_OUTPUT_PORT);
  }

  TEST_CASE("a port that takes no redirects is served by userspace") {
    PortOutputs ports = ports_up_to(3);
    ports[3].xdp_transmit = false;
    check_userspace(encode_actions({output_to(3)}, ports));
    check_userspace(encode_actions({output_to(2), output_to(3)}, ports));
    CHECK(encode_actions({output_to(2)}, ports).in_kernel);
  }

  TEST_CASE("more actions than the kernel runs go up") {
    DpActions actions(SHUNT_MAX_ACTIONS, set_eth_dst(1));
    actions.back() = output_to(2);
    CHECK(encode_actions(actions).in_kernel);
    actions.insert(actions.begin(), set_eth_dst(2));
    check_userspace(encode_actions(actions));
  }

  TEST_CASE("an action that sends to userspace keeps its reason") {
    shunt_action up = simple(SHUNT_ACT_USERSPACE);
    up.field = SHUNT_UPCALL_ACTION;
    check_userspace(encode_actions({up}), SHUNT_UPCALL_ACTION);
  }

  TEST_CASE("a flow needs the parts of the program that its mask and its edits need") {
    FlowMask mask{};
    mask.in_port = ~0u;
    mask.eth_type = be16{0xffff};
    CHECK(features_of(mask, encode_actions({output_to(2)})) == 0);
    CHECK(features_of(mask, encode_actions({push_vlan(3), output_to(2)})) == SHUNT_FEATURE_EDITS);
    CHECK((features_of(mask, encode_actions({simple(SHUNT_ACT_DEC_TTL), output_to(2)})) & SHUNT_FEATURE_L3) != 0);
    mask.nw_proto = 0xff;
    CHECK(features_of(mask, encode_actions({output_to(2)})) == SHUNT_FEATURE_L3);
    mask.tp_dst = be16{0xffff};
    CHECK(features_of(mask, encode_actions({output_to(2)})) == (SHUNT_FEATURE_L3 | SHUNT_FEATURE_L4));
    mask.mpls_lse[0] = be32{1};
    CHECK((features_of(mask, encode_actions({output_to(2)})) & SHUNT_FEATURE_MPLS) != 0);
  }

  TEST_CASE("what only the packet can decide goes up, to be translated with it") {
    Translation translation;
    translation.needs_packet = true;
    translation.actions = {output_to(2)};
    check_userspace(encode(translation, kIn, ports_up_to(8)), SHUNT_UPCALL_PACKET);
  }

  TEST_CASE("a packet for the controller goes up for that, whatever else it does") {
    check_userspace(encode_actions({output_to(2), simple(SHUNT_ACT_CONTROLLER)}), SHUNT_UPCALL_CONTROLLER);
    check_userspace(encode_actions({simple(SHUNT_ACT_CONTROLLER)}), SHUNT_UPCALL_CONTROLLER);
  }

  TEST_CASE("copies that are sent with the same bytes stay in the kernel") {
    const shunt_action save = simple(SHUNT_ACT_SAVE), restore = simple(SHUNT_ACT_RESTORE);
    SUBCASE("nothing was changed between them") {
      const Encoded encoded = encode_actions({save, output_to(2), restore, output_to(3)});
      REQUIRE(encoded.actions.size() == 1);
      CHECK(encoded.group.size() == 2);
    }
    SUBCASE("each was changed alike") {
      const Encoded encoded =
          encode_actions({save, set_eth_dst(1), output_to(2), restore, set_eth_dst(1), output_to(3)});
      REQUIRE(encoded.actions.size() == 2);
      CHECK(encoded.group == GroupPorts{DpPort{2}, DpPort{3}});
    }
    SUBCASE("one has a tag more: up it goes") {
      check_userspace(encode_actions({save, push_vlan(10), output_to(2), restore, output_to(3)}));
    }
    SUBCASE("one that leads nowhere does not count") {
      const Encoded encoded = encode_actions({save, set_eth_dst(1), output_to(1), restore, output_to(3)});
      CHECK(encoded.flags == (SHUNT_FLOW_SINGLE_OUTPUT | SHUNT_FLOW_TC));
    }
    SUBCASE("different bytes go up") {
      check_userspace(encode_actions({save, set_eth_dst(1), output_to(2), restore, output_to(3)}));
      check_userspace(encode_actions({save, set_eth_dst(1), output_to(2), restore, set_eth_dst(2), output_to(3)}));
    }
  }

  TEST_CASE("a meter in front of all outputs stays in the kernel, any other goes up") {
    const Encoded one = encode_actions({simple(SHUNT_ACT_METER, 3), output_to(2)});
    REQUIRE(one.actions.size() == 2);
    CHECK(one.actions[0].type == SHUNT_ACT_METER);
    CHECK(one.actions[0].arg == 3);
    CHECK((one.flags & SHUNT_FLOW_SINGLE_OUTPUT) == 0);
    const Encoded flood = encode_actions({simple(SHUNT_ACT_METER, 3), push_vlan(10), output_to(2), output_to(3)});
    CHECK(flood.in_kernel);
    CHECK(flood.actions.size() == 3);
    check_userspace(encode_actions({output_to(2), simple(SHUNT_ACT_METER, 3), output_to(3)}));
    check_userspace(encode_actions({output_to(2), simple(SHUNT_ACT_METER, 3)}));
    const shunt_action save = simple(SHUNT_ACT_SAVE), restore = simple(SHUNT_ACT_RESTORE);
    check_userspace(encode_actions({save, simple(SHUNT_ACT_METER, 3), output_to(2), restore, output_to(3)}));
    check_userspace(encode_actions({save, simple(SHUNT_ACT_METER, 3), output_to(2), restore, save,
                                    simple(SHUNT_ACT_METER, 3), output_to(3), restore}));
  }

  TEST_CASE("a meter counts packets that are dropped all the same") {
    const Encoded encoded = encode_actions({simple(SHUNT_ACT_METER, 3)});
    REQUIRE(encoded.actions.size() == 2);
    CHECK(encoded.actions[0].type == SHUNT_ACT_METER);
    CHECK(encoded.actions[1].type == SHUNT_ACT_DROP);
    CHECK((features_of(FlowMask{}, encoded) & SHUNT_FEATURE_METER) != 0);
  }

  // Packets of a dropped flow were once dropped before their TTL was looked at.
  TEST_CASE("a TTL that runs out goes up from a flow that is dropped") {
    const Encoded encoded = encode_actions({simple(SHUNT_ACT_METER, 3), set_eth_dst(1), simple(SHUNT_ACT_DEC_TTL)});
    REQUIRE(encoded.actions.size() == 4);
    CHECK(encoded.actions[0].type == SHUNT_ACT_METER);
    CHECK(encoded.actions[2].type == SHUNT_ACT_DEC_TTL);
    CHECK(encoded.actions[3].type == SHUNT_ACT_DROP);
    CHECK(encoded.actions[3].field == SHUNT_DROP_RULE);
    CHECK((features_of(FlowMask{}, encoded) & SHUNT_FEATURE_L3) != 0);
  }

  TEST_CASE("one sample is the kernel's dice, wherever it stands; several go up") {
    for (const DpActions& actions : {DpActions{simple(SHUNT_ACT_SAMPLE, 100), output_to(2), output_to(3)},
                                     DpActions{output_to(2), simple(SHUNT_ACT_SAMPLE, 100), output_to(3)},
                                     DpActions{output_to(2), output_to(3), simple(SHUNT_ACT_SAMPLE, 100)}}) {
      const Encoded encoded = encode_actions(actions);
      REQUIRE(encoded.actions.size() == 2);
      CHECK(encoded.actions[0].type == SHUNT_ACT_SAMPLE);
      CHECK(encoded.actions[1].type == SHUNT_ACT_OUTPUT_GROUP);
      CHECK(features_of(FlowMask{}, encoded) == SHUNT_FEATURE_SAMPLE);
    }
    const Encoded dropped = encode_actions({simple(SHUNT_ACT_SAMPLE, 100)});
    REQUIRE(dropped.actions.size() == 2);
    CHECK(dropped.actions[1].type == SHUNT_ACT_DROP);
    check_userspace(encode_actions({simple(SHUNT_ACT_SAMPLE, 1), simple(SHUNT_ACT_SAMPLE, 2), output_to(2)}));
  }

  TEST_CASE("queues change nothing: ports have one") {
    CHECK(encode_actions({simple(SHUNT_ACT_SET_QUEUE, 5), output_to(2)}).flags ==
          (SHUNT_FLOW_SINGLE_OUTPUT | SHUNT_FLOW_TC));
  }

  TEST_CASE("label stacks are the kernel's, as far as it knows what it edits") {
    shunt_action pop = simple(SHUNT_ACT_POP_MPLS);
    pop.value[0] = 0x08;
    const shunt_action push = simple(SHUNT_ACT_PUSH_MPLS), dec = simple(SHUNT_ACT_DEC_MPLS_TTL);
    shunt_action set_ip = simple(SHUNT_ACT_SET_FIELD), set_label = set_ip;
    set_ip.field = SHUNT_FIELD_IP_SRC;
    set_label.field = SHUNT_FIELD_MPLS_LSE;
    for (const DpActions& actions :
         {DpActions{push, output_to(2)}, DpActions{push, push, push, dec, output_to(2)}, DpActions{pop, output_to(2)},
          DpActions{dec, pop, set_eth_dst(3), output_to(2)}, DpActions{pop, push, dec, output_to(2)},
          DpActions{set_ip, push, set_label, output_to(2)}, DpActions{simple(SHUNT_ACT_COPY_TTL_IN), pop, output_to(2)},
          DpActions{push, simple(SHUNT_ACT_COPY_TTL_OUT), output_to(2)}, DpActions{push, output_to(2), output_to(3)}}) {
      const Encoded encoded = encode_actions(actions);
      CHECK(encoded.in_kernel);
      CHECK(encoded.flags == (SHUNT_FLOW_EDITS | SHUNT_FLOW_LIST));
      CHECK((features_of(FlowMask{}, encoded) & SHUNT_FEATURE_MPLS) != 0);
    }
    SUBCASE("not what a pop uncovers") {
      check_userspace(encode_actions({pop, set_ip, output_to(2)}));
      check_userspace(encode_actions({pop, simple(SHUNT_ACT_DEC_TTL), output_to(2)}));
      check_userspace(encode_actions({pop, simple(SHUNT_ACT_METER, 1), output_to(2)}));
      pop.value[0] = 0x81;
      check_userspace(encode_actions({pop, output_to(2)}));
    }
    SUBCASE("not a TTL that a pop or a copy brings to the top, should it run out there") {
      check_userspace(encode_actions({pop, dec, output_to(2)}));
      check_userspace(encode_actions({push, simple(SHUNT_ACT_COPY_TTL_OUT), dec, output_to(2)}));
    }
  }

  TEST_CASE("service instance tags are userspace's") {
    check_userspace(encode_actions({simple(SHUNT_ACT_PUSH_PBB), output_to(2)}));
    check_userspace(encode_actions({simple(SHUNT_ACT_POP_PBB), output_to(2)}));
    shunt_action set = simple(SHUNT_ACT_SET_FIELD);
    set.field = SHUNT_FIELD_PBB_ITAG;
    check_userspace(encode_actions({set, output_to(2)}));
    // Dropped or not sent after it, it does not matter.
    CHECK(encode_actions({output_to(2), simple(SHUNT_ACT_PUSH_PBB)}).in_kernel);
  }

  TEST_CASE("the fields that share words have features of their own") {
    const auto features = [](auto write) {
      FlowMask mask{};
      mask.in_port = ~0u;
      write(mask);
      return features_of(mask, encode_actions({output_to(2)}));
    };
    CHECK(features([](FlowMask& m) { m.dp_hash = 0xff; }) == SHUNT_FEATURE_HASH);
    CHECK(features([](FlowMask& m) { m.ipv6_exthdr = be16{1}; }) == (SHUNT_FEATURE_L3 | SHUNT_FEATURE_EXTHDR));
    CHECK(features([](FlowMask& m) { m.pbb_itag = be32{1}; }) == SHUNT_FEATURE_PBB);
    CHECK(features([](FlowMask& m) { m.mpls_lse[2] = be32{1}; }) == SHUNT_FEATURE_MPLS);
    CHECK(features([](FlowMask& m) { m.tp_src = be16{1}; }) == (SHUNT_FEATURE_L3 | SHUNT_FEATURE_L4));
  }
}
