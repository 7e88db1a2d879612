// SPDX-License-Identifier: Apache-2.0
// What happens beside a packet's way: packet-ins, samples, learned rules, lowered timeouts; and what hangs on its
// length.
#include <doctest/doctest.h>

#include "tests/support/pipeline_fixture.h"

using namespace shunt;
using namespace shunt::test;

namespace {

using Kind = LearnAction::Spec::Kind;

LearnAction::Spec match_field(const Subfield& from, const Subfield& to) { return {Kind::kMatchField, from, 0, to}; }
LearnAction::Spec match_value(FieldBits value, const Subfield& to) { return {Kind::kMatchValue, {}, value, to}; }
LearnAction::Spec load_field(const Subfield& from, const Subfield& to) { return {Kind::kLoadField, from, 0, to}; }
LearnAction::Spec load_value(FieldBits value, const Subfield& to) { return {Kind::kLoadValue, {}, value, to}; }
LearnAction::Spec output_field(const Subfield& from) { return {Kind::kOutputField, from, 0, {}}; }

constexpr std::uint16_t kFin = 1, kSyn = 2, kRst = 4;

FlowKey tcp_with(std::uint16_t flags) {
  FlowKey key = tcp_key();
  key.tcp_flags = be16{flags};
  return key;
}

}  // namespace

TEST_SUITE("translate: side effects") {
  TEST_CASE("a packet-in tells where it comes from and what the pipeline knew") {
    HandmadeBridge sw{3};
    ControllerAction up;
    up.controller_id = 7;
    up.max_len = 100;
    up.userdata = {1, 2};
    sw.rule(0, 1, {}, {set_field(kReg0, 5), GotoTableAction{3}});
    const Rule& rule = sw.rule(3, 1, {}, {up, set_field(kReg0, 6), up, to_port(2)});
    const Translation result = sw.run(tcp_key());
    CHECK(text(result) == "up:0 up:1 2");
    REQUIRE(result.follow_ups->controllers.size() == 2);
    CHECK(result.follow_ups->controllers[0].action == up);
    CHECK(result.follow_ups->controllers[0].rule.get() == &rule);
    CHECK(result.follow_ups->controllers[0].table == 3);
    CHECK(result.follow_ups->controllers[0].in_port == PortNo{1});
    CHECK(result.follow_ups->controllers[0].fields.reg[0][3] == 5);
    CHECK(result.follow_ups->controllers[1].fields.reg[0][3] == 6);
  }

  TEST_CASE("a meter of packet-ins holds back nothing else") {
    HandmadeBridge sw{3};
    sw.meter(4, 9);
    ControllerAction up;
    up.meter_id = 4;
    sw.rule(0, 1, {}, {up, to_port(2)});
    const Translation result = sw.run(tcp_key());
    CHECK(text(result) == "[ meter:9 up:0 ] 2");
    CHECK((result.dependencies.tags & tag_of(DependencyKind::kMeter, 4)) != 0);
    // OpenFlow's meter of all packet-ins, where there is one.
    HandmadeBridge all{3};
    all.rule(0, 1, {}, {ControllerAction{}});
    CHECK(text(all.run(tcp_key())).starts_with("up:0"));
    all.meter(kMeterController, 2);
    CHECK(text(all.run(tcp_key())).starts_with("meter:2 up:0"));
  }

  TEST_CASE("a packet that is paused goes no further") {
    HandmadeBridge sw{3};
    ControllerAction up;
    up.pause = true;
    sw.rule(0, 1, {}, {WriteActionsAction{{to_port(3)}}, up, to_port(2)});
    CHECK(text(sw.run(tcp_key())).starts_with("up:0"));
    CHECK(sw.run(tcp_key()).actions.size() == 1);
  }

  TEST_CASE(
      "a paused packet goes on where it was stopped: lists around, stack, action set, as its controller left it") {
    HandmadeBridge sw{4};
    ControllerAction up;
    up.pause = true;
    Match match{};
    match.value.reg[0] = {0, 0, 0, 9};
    match.mask.reg[0] = {0xff, 0xff, 0xff, 0xff};
    sw.rule(0, 1, {},
            {WriteActionsAction{{to_port(3)}}, StackPushAction{whole(kReg1)}, ResubmitAction{{}, 1}, to_port(2)});
    sw.rule(1, 1, {}, {set_field(kReg0, 5), up, ResubmitAction{{}, 2}, StackPopAction{whole(kReg1)}});
    sw.rule(2, 1, match, {to_port(4)});
    const Translation paused = sw.run(tcp_key());
    REQUIRE(paused.follow_ups->controllers.size() == 1);
    const Translation::Controller& controller = paused.follow_ups->controllers[0];
    REQUIRE(controller.paused != nullptr);
    CHECK(controller.paused->stack.size() == 1);
    CHECK(controller.paused->parts.size() == 2);
    // As it was: no rule of table 2 matches. As the controller has it: one does.
    CHECK(text(resume(sw.state(), sw.bridge.id, tcp_key(), PortNo{1}, controller.fields, *controller.paused)) == "2 3");
    PipelineFields fields = controller.fields;
    fields.reg[0] = {0, 0, 0, 9};
    CHECK(text(resume(sw.state(), sw.bridge.id, tcp_key(), PortNo{1}, fields, *controller.paused)) == "4 2 3");
  }

  TEST_CASE("a packet that is paused again keeps what is behind; a clone's pause is the clone's") {
    HandmadeBridge sw{4};
    ControllerAction up;
    up.pause = true;
    sw.rule(0, 1, {}, {ResubmitAction{{}, 1}, to_port(2)});
    sw.rule(1, 1, {}, {up, up, to_port(3)});
    const Translation once = sw.run(tcp_key());
    REQUIRE(once.follow_ups->controllers.size() == 1);
    const auto go_on = [&](const Translation::Controller& at) {
      return resume(sw.state(), sw.bridge.id, tcp_key(), PortNo{1}, at.fields, *at.paused);
    };
    const Translation twice = go_on(once.follow_ups->controllers[0]);
    REQUIRE(twice.follow_ups->controllers.size() == 1);
    CHECK(text(go_on(twice.follow_ups->controllers[0])) == "3 2");

    HandmadeBridge other{4};
    other.rule(0, 1, {}, {CloneAction{{up, to_port(3)}}, to_port(2)});
    const Translation cloned = other.run(tcp_key());
    REQUIRE(cloned.follow_ups->controllers.size() == 1);
    CHECK(text(cloned) == "up:0 2");
    CHECK(text(resume(other.state(), other.bridge.id, tcp_key(), PortNo{1}, {},
                      *cloned.follow_ups->controllers[0].paused)) == "3");
  }

  TEST_CASE("samples: each packet, or some") {
    HandmadeBridge sw{3};
    SampleAction all{}, some{};
    all.probability = 65535;
    some.probability = 1000;
    some.collector_set_id = 2;
    sw.rule(0, 1, {}, {all, some, to_port(2)});
    const Translation result = sw.run(tcp_key());
    REQUIRE(result.actions.size() == 3);
    CHECK(result.actions[0].type == SHUNT_ACT_SAMPLE);
    CHECK(result.actions[0].arg == 0);
    CHECK(hex(result.actions[0].value, 2) == "0000");
    CHECK(result.actions[1].arg == 1000);
    CHECK(hex(result.actions[1].value, 2) == "0001");
    REQUIRE(result.follow_ups->samples.size() == 2);
    CHECK(result.follow_ups->samples[0] == all);
    CHECK(result.follow_ups->samples[1] == some);
  }

  TEST_CASE("learn: the MAC learning of ovs-actions(7)") {
    HandmadeBridge sw{3};
    LearnAction learn;
    learn.table = 10;
    learn.priority = 100;
    learn.cookie = 0x55;
    learn.idle_timeout = 60;
    learn.hard_timeout = 300;
    learn.limit = 9;
    learn.send_flow_removed = learn.delete_learned = true;
    learn.fin_idle_timeout = 5;
    learn.specs = {match_field(bits_of(FieldId::kVlanTci, 0, 12), bits_of(FieldId::kVlanTci, 0, 12)),
                   match_field(whole(FieldId::kEthSrc), whole(FieldId::kEthDst)),
                   load_field(bits_of(FieldId::kInPort, 0, 16), bits_of(kReg0, 0, 16)),
                   load_value(0xab, bits_of(kReg1, 8, 8)), output_field(whole(FieldId::kInPort))};
    const Rule& rule = sw.rule(0, 1, {}, {learn, to_port(2)});
    const Translation result = sw.run(eth_key());
    CHECK(text(result) == "2");
    REQUIRE(result.follow_ups->learned.size() == 1);
    const auto& learned = result.follow_ups->learned[0];
    CHECK(learned.limit == 9);
    CHECK(learned.by.get() == &rule);
    CHECK(learned.delete_learned);
    const FlowMod& mod = learned.mod;
    CHECK(mod.command == FlowMod::Command::kAdd);
    CHECK(mod.table == 10);
    CHECK(mod.priority == 100);
    CHECK(mod.cookie == 0x55);
    CHECK(mod.idle_timeout == 60);
    CHECK(mod.hard_timeout == 300);
    CHECK(mod.flags == kSendFlowRemoved);
    CHECK(mod.match == (match_on(FieldId::kVlanTci, 0, 0xfff) && match_on(FieldId::kEthDst, kA)));
    REQUIRE(mod.actions.size() == 4);
    CHECK(std::get<FinTimeoutAction>(mod.actions[0]) == FinTimeoutAction{5, 0});
    CHECK(std::get<SetFieldAction>(mod.actions[1]) == set_field(kReg0, 1, 0xffff));
    CHECK(std::get<SetFieldAction>(mod.actions[2]) == set_field(kReg1, 0xab00, 0xff00));
    CHECK(std::get<OutputAction>(mod.actions[3]) == to_port(1));
    // What it was made of is what the flow may not differ in.
    CHECK(result.mask.vlan[0].tci == be16{0x0fff});
    CHECK(hex(result.mask.eth_src, 6) == "ffffffffffff");
    CHECK(hex(result.mask.eth_dst, 6) == "000000000000");
  }

  TEST_CASE("learn: literal matches with what they need, tags, ports") {
    HandmadeBridge sw{3};
    LearnAction learn;
    learn.specs = {match_value(0x0800, whole(FieldId::kEthType)),
                   match_value(6, whole(FieldId::kNwProto)),
                   match_field(whole(FieldId::kTcpSrc), whole(FieldId::kTcpDst)),
                   match_field(whole(FieldId::kIpSrc), whole(FieldId::kIpDst)),
                   match_field(bits_of(FieldId::kInPort, 0, 16), bits_of(FieldId::kInPort, 0, 16)),
                   match_value(7, whole(FieldId::kVlanVid)),
                   output_field(bits_of(kReg0, 0, 16))};
    sw.rule(0, 1, {}, {set_field(kReg0, 0xfffe), learn, to_port(2)});
    const Translation result = sw.run(tcp_key());
    REQUIRE(result.follow_ups->learned.size() == 1);
    const FlowMod& mod = result.follow_ups->learned[0].mod;
    CHECK(mod.table == 1);
    CHECK(mod.match == (match_on(FieldId::kEthType, 0x0800) && match_on(FieldId::kNwProto, 6) &&
                        match_on(FieldId::kTcpDst, 1000) && match_on(FieldId::kIpDst, 0x0a000001) &&
                        match_on(FieldId::kInPort, 1) && match_on(FieldId::kVlanTci, 0x1007, 0x1fff)));
    REQUIRE(mod.actions.size() == 1);
    CHECK(std::get<OutputAction>(mod.actions[0]).port == kPortLocal);
    // A packet that has no such field teaches nothing.
    CHECK(sw.run(eth_key()).follow_ups->learned.empty());
    CHECK(text(sw.run(eth_key())) == "2");
  }

  TEST_CASE("learn: a rule sends to ports and to the reserved ones that Open vSwitch takes, else nowhere") {
    struct Case {
      std::uint16_t number;
      std::optional<PortNo> learned;
    };
    const auto learned_output = [](std::uint16_t number) -> std::optional<PortNo> {
      HandmadeBridge sw{3};
      LearnAction learn;
      learn.specs = {output_field(bits_of(kReg0, 0, 16))};
      sw.rule(0, 1, {}, {set_field(kReg0, number), learn, to_port(2)});
      const Translation result = sw.run(tcp_key());
      REQUIRE(result.follow_ups->learned.size() == 1);
      const ActionList& actions = result.follow_ups->learned[0].mod.actions;
      if (actions.empty()) return std::nullopt;
      return std::get<OutputAction>(actions.at(0)).port;
    };
    for (const auto& [number, learned] :
         {Case{3, PortNo{3}}, Case{0xfeff, PortNo{0xfeff}}, Case{0xff00, {}}, Case{0xfff8, kPortInPort},
          Case{0xfff9, {}}, Case{0xfffa, {}}, Case{0xfffb, kPortFlood}, Case{0xfffc, kPortAll}, Case{0xfffd, {}},
          Case{0xfffe, kPortLocal}, Case{0xffff, {}}}) {
      CAPTURE(number);
      CHECK(learned_output(number) == learned);
    }
  }

  TEST_CASE("learn: a load of the whole tag takes it off, or sets it, as its value says") {
    HandmadeBridge sw{3};
    LearnAction learn;
    learn.specs = {load_value(0, whole(FieldId::kVlanTci)), load_value(0x7005, whole(FieldId::kVlanTci))};
    sw.rule(0, 1, {}, {learn, to_port(2)});
    const Translation result = sw.run(tcp_key());
    REQUIRE(result.follow_ups->learned.size() == 1);
    CHECK(result.follow_ups->learned[0].mod.actions ==
          ActionList{PopVlanAction{}, SetVlanVidAction{5}, SetVlanPcpAction{3}});
  }

  TEST_CASE("learn with result_dst says whether there is room") {
    HandmadeBridge sw{3};
    LearnAction learn;
    learn.cookie = 8;
    learn.limit = 1;
    learn.result = bits_of(kReg0, 0, 1);
    learn.specs = {match_field(whole(FieldId::kEthSrc), whole(FieldId::kEthDst))};
    sw.rule(0, 1, {}, {learn, GotoTableAction{2}});
    sw.rule(2, 1, match_on(kReg0, 1), {to_port(2)});
    sw.rule(2, 1, match_on(kReg0, 0), {to_port(3)});
    // Each packet is asked for itself: what the first one is told holds for it alone.
    CHECK(sw.run(tcp_key()).needs_packet);
    const PacketView view{{}, 60};
    const auto with_packet = [&](const FlowKey& key) { return translate(sw.state(), key, &view); };
    CHECK(text(with_packet(tcp_key())) == "2");
    CHECK(with_packet(tcp_key()).follow_ups->learned.size() == 1);
    const Match other = match_on(FieldId::kEthDst, kB);
    sw.rule(1, 32768, other, {}, 8);
    CHECK(text(with_packet(tcp_key())) == "3");
    CHECK(with_packet(tcp_key()).follow_ups->learned.empty());
    // The rule that is there already is refreshed.
    CHECK(text(with_packet(eth_key(1, kB, kA))) == "2");
    CHECK(with_packet(eth_key(1, kB, kA)).follow_ups->learned.size() == 1);
  }

  TEST_CASE("fin_timeout: packets that end a connection lower the rule's timeouts, and are flows of their own") {
    HandmadeBridge sw{3};
    const Rule& rule = sw.rule(0, 1, {}, {FinTimeoutAction{10, 20}, to_port(2)});
    const Translation open = sw.run(tcp_with(kSyn));
    CHECK(open.follow_ups->fin_timeouts.empty());
    CHECK(open.mask.tcp_flags == be16{kFin | kRst});
    for (const std::uint16_t flag : {kFin, kRst}) {
      const Translation closing = sw.run(tcp_with(flag));
      REQUIRE(closing.follow_ups->fin_timeouts.size() == 1);
      CHECK(closing.follow_ups->fin_timeouts[0].rule.get() == &rule);
      CHECK(closing.follow_ups->fin_timeouts[0].idle_timeout == 10);
      CHECK(closing.follow_ups->fin_timeouts[0].hard_timeout == 20);
    }
    CHECK(sw.run(eth_key()).mask.tcp_flags == be16{0});
  }

  TEST_CASE("check_pkt_larger needs the packet, and counts what actions added") {
    HandmadeBridge sw{3};
    sw.rule(0, 2, match_on(FieldId::kEthType, 0x0800),
            {CheckPktLargerAction{1500, bits_of(kReg0, 3, 1)}, GotoTableAction{1}});
    sw.rule(0, 1, {}, {PushVlanAction{0x8100}, CheckPktLargerAction{1500, bits_of(kReg0, 3, 1)}, GotoTableAction{1}});
    sw.rule(1, 1, match_on(kReg0, 8), {to_port(2)});
    sw.rule(1, 1, match_on(kReg0, 0), {to_port(3)});
    const Translation alone = sw.run(tcp_key());
    CHECK(alone.needs_packet);
    CHECK(alone.actions.empty());
    const auto port_of = [&](const FlowKey& key, std::uint32_t length) {
      const PacketView view{{}, length};
      const Translation result = translate(sw.state(), key, &view);
      CHECK(result.needs_packet);
      return result.actions.back().arg - 100u;
    };
    CHECK(port_of(tcp_key(), 1500) == 3);
    CHECK(port_of(tcp_key(), 1501) == 2);
    CHECK(port_of(eth_key(), 1496) == 3);
    CHECK(port_of(eth_key(), 1497) == 2);
  }

  TEST_CASE("a note does nothing") {
    HandmadeBridge sw{3};
    sw.rule(0, 1, {}, {NoteAction{{1, 2, 3}}, to_port(2), NoteAction{}});
    CHECK(text(sw.run(tcp_key())) == "2");
  }
}
