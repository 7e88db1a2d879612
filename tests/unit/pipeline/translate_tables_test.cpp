// SPDX-License-Identifier: Apache-2.0
// Tables, resubmit, the action set, clones: what a packet meets, and in which order.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/support/pipeline_fixture.h"

using namespace shunt;
using namespace shunt::test;

namespace {

const Match kAny{};

ResubmitAction resubmit(unsigned table) { return {std::nullopt, static_cast<std::uint8_t>(table)}; }
GotoTableAction go_to(unsigned table) { return {static_cast<std::uint8_t>(table)}; }
CloneAction clone(ActionList actions) { return {std::move(actions)}; }
WriteActionsAction write_actions(ActionList actions) { return {std::move(actions)}; }

std::vector<unsigned> tables_of(const Translation& result) {
  std::vector<unsigned> tables;
  for (unsigned i = 0; i < kTableCount; ++i)
    if (result.dependencies.tables.test(i)) tables.push_back(i);
  return tables;
}

// How often a counter is credited.
std::ptrdiff_t credits_of(const Translation& result, const FlowCounters& counters) {
  return std::count_if(result.credits.begin(), result.credits.end(),
                       [&](const auto& credit) { return credit.get() == &counters; });
}

struct Notes final : TranslationObserver {
  std::vector<std::string> texts;
  std::vector<std::pair<unsigned, unsigned>> tables;  // and depth
  unsigned actions = 0;
  void entered_table(std::uint8_t table, const PipelineKey&, const Rule*, unsigned depth) override {
    tables.emplace_back(table, depth);
  }
  void before_action(const Action&, const PipelineKey&, unsigned) override { ++actions; }
  void entered_group(const Group&, const Bucket*, unsigned) override {}
  void note(std::string text, unsigned) override { texts.push_back(std::move(text)); }
};

}  // namespace

TEST_SUITE("translate: tables") {
  TEST_CASE("goto_table goes on in a later table, with what was written before") {
    HandmadeBridge sw{3};
    sw.rule(0, 1, kAny, {set_field(kReg0, 5), WriteMetadataAction{0x1200, 0xff00}, dst(1), go_to(9)});
    sw.rule(9, 5, match_on(kReg0, 4), {to_port(3)});
    sw.rule(9, 4,
            match_on(kReg0, 5) && match_on(FieldId::kMetadata, 0x1200) && match_on(FieldId::kEthDst, 0x020000000001),
            {to_port(2)});
    const Translation result = sw.run(eth_key());
    CHECK(text(result) == dst_text(1) + " 2");
    CHECK(tables_of(result) == std::vector<unsigned>{0, 9});
    REQUIRE(result.rules.size() == 2);
    CHECK(result.rules[1]->table == 9);
    // What the pipeline wrote itself says nothing of the packet.
    FlowMask in_port{};
    in_port.in_port = ~std::uint32_t{0};
    CHECK(equal(result.mask, in_port));
    CHECK(is_subset(field_mask(field(FieldId::kEthDst)), to_pipeline(*result.dependencies.rewritten)));
  }

  TEST_CASE("look-ups and matches of each table are credited") {
    HandmadeBridge sw{2};
    sw.rule(0, 1, kAny, {resubmit(1), resubmit(2), resubmit(2)});
    sw.rule(2, 1, kAny, {to_port(2)});
    const Translation result = sw.run(eth_key());
    CHECK(text(result) == "2 2");
    const auto& counters = *sw.bridge.table_counters;
    CHECK(credits_of(result, counters[0].lookups) == 1);
    CHECK(credits_of(result, counters[0].matches) == 1);
    CHECK(credits_of(result, counters[1].lookups) == 1);
    CHECK(credits_of(result, counters[1].matches) == 0);
    CHECK(credits_of(result, counters[2].lookups) == 2);
    CHECK(credits_of(result, counters[2].matches) == 2);
    CHECK(result.rules.size() == 3);
  }

  TEST_CASE("a miss drops, asks the controller or goes on, as the table says") {
    HandmadeBridge sw{2};
    sw.rule(0, 1, kAny, {go_to(3)});
    sw.rule(5, 1, kAny, {to_port(2)});
    CHECK(text(sw.run(eth_key())) == "drop:table-miss");
    sw.configs[3].miss = TableConfig::Miss::kContinue;
    sw.configs[4].miss = TableConfig::Miss::kContinue;
    CHECK(text(sw.run(eth_key())) == "2");
    sw.configs[4].miss = TableConfig::Miss::kController;
    const Translation up = sw.run(eth_key());
    CHECK(text(up) == "up:0 drop:controller");
    REQUIRE(up.follow_ups->controllers.size() == 1);
    CHECK(up.follow_ups->controllers[0].action.reason == PacketInReason::kNoMatch);
    CHECK(up.follow_ups->controllers[0].table == 4);
    CHECK(up.follow_ups->controllers[0].rule == nullptr);
    sw.at(1).packet_in = false;
    CHECK(text(sw.run(eth_key())) == "drop:table-miss");
  }

  TEST_CASE("the last table's miss goes nowhere, whatever it says") {
    HandmadeBridge sw{2};
    sw.configs[0].miss = TableConfig::Miss::kContinue;
    for (unsigned table = 0; table < kTableCount; ++table)
      sw.configs[static_cast<std::uint8_t>(table)].miss = TableConfig::Miss::kContinue;
    CHECK(text(sw.run(eth_key())) == "drop:table-miss");
  }

  TEST_CASE("resubmit returns, to a miss as well, and its changes stay") {
    HandmadeBridge sw{4};
    sw.configs[2].miss = TableConfig::Miss::kController;  // of goto_table only
    sw.rule(0, 1, kAny, {resubmit(1), to_port(2), resubmit(2), to_port(3)});
    sw.rule(1, 1, kAny, {dst(1), to_port(4)});
    CHECK(text(sw.run(eth_key())) == dst_text(1) + " 4 2 3");
  }

  TEST_CASE("resubmit with a port looks up with that port, and no more than looks up") {
    HandmadeBridge sw{3};
    sw.rule(0, 1, kAny, {ResubmitAction{PortNo{2}, std::uint8_t{1}}, ResubmitAction{kPortInPort, std::uint8_t{1}}});
    sw.rule(1, 1, match_on(FieldId::kInPort, 2), {OutputAction{kPortInPort}, to_port(1), to_port(2)});
    sw.rule(1, 1, match_on(FieldId::kInPort, 1), {to_port(3)});
    const Translation result = sw.run(eth_key(1));
    CHECK(text(result) == "back:1 2 3");
    CHECK(result.dependencies.rewritten->in_port == ~std::uint32_t{0});
  }

  TEST_CASE("resubmit without a table looks up in the rule's own, and endless ones end the packet") {
    HandmadeBridge sw{3};
    sw.rule(0, 1, kAny, {go_to(4)});
    sw.rule(4, 2, match_on(FieldId::kInPort, 2), {to_port(3)});
    sw.rule(4, 1, kAny, {ResubmitAction{PortNo{2}, std::nullopt}});
    CHECK(text(sw.run(eth_key(1))) == "3");

    Notes notes;
    sw.rule(4, 3, kAny, {to_port(2), ResubmitAction{}});
    CHECK(text(sw.run(eth_key(1), &notes)) == "drop:resubmit-limit");
    REQUIRE(notes.texts.size() == 1);
    CHECK(notes.texts[0] == "rules resubmit more than 64 deep");
    CHECK(notes.tables.size() == 66);  // 0, 4, and 64 times 4 again
    CHECK(notes.tables.back().second == 64);
  }

  TEST_CASE("forward resubmits may be many, but not more than 4096") {
    HandmadeBridge sw{2};
    const auto chain = [&](unsigned fan) {
      HandmadeBridge made{2};
      ActionList many;
      for (unsigned i = 0; i < fan; ++i) many.push_back(resubmit(2));
      ActionList first;
      for (unsigned i = 0; i < 64; ++i) first.push_back(resubmit(1));
      first.push_back(to_port(2));
      made.rule(0, 1, kAny, first);
      made.rule(1, 1, kAny, many);
      made.rule(2, 1, kAny, {set_field(kReg0, 1)});
      return made.run(eth_key());
    };
    CHECK(text(chain(62)) == "2");  // 1 + 64 + 64 * 62
    const Translation over = chain(64);
    CHECK(text(over) == "drop:resubmit-limit");
    CHECK(over.rules.size() == 4096);
  }

  TEST_CASE("a translation that is given up within scopes drops the packet") {
    HandmadeBridge sw{3};
    sw.rule(0, 1, kAny,
            {to_port(2), dst(1), to_port(3), clone({dst(2), to_port(2), clone({dst(3), to_port(3), resubmit(0)})}),
             OutputAction{kPortController}});
    const Translation result = sw.run(eth_key());
    CHECK(text(result) == "drop:resubmit-limit");
    CHECK(result.follow_ups->controllers.empty());
  }

  TEST_CASE("as many nested look-ups as the limit allows are not too many for the stack") {
    HandmadeBridge sw{2};
    for (unsigned table = 0; table < kTableCount; ++table)
      sw.rule(table, 1, kAny, {resubmit((table + 1) % kTableCount), to_port(2)});
    CHECK(text(sw.run(eth_key())) == "drop:resubmit-limit");
  }

  TEST_CASE("exit ends all lists but the action set") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, kAny, {resubmit(1), to_port(2), write_actions({to_port(3)})});
    const Rule& second = sw.rule(1, 1, kAny, {to_port(4), ExitAction{}, to_port(3)});
    CHECK(text(sw.run(eth_key())) == "4");
    CHECK(second.actions.size() == 3);
    HandmadeBridge with_set{4};
    with_set.rule(0, 1, kAny, {write_actions({to_port(3)}), go_to(1)});
    with_set.rule(1, 1, kAny, {to_port(4), ExitAction{}, to_port(2)});
    CHECK(text(with_set.run(eth_key())) == "4 3");
  }

  TEST_CASE("in_port may be written, and the packet's own port is an output then") {
    HandmadeBridge sw{3};
    sw.rule(0, 1, kAny, {set_field(FieldId::kInPort, 2), to_port(1), to_port(2), OutputAction{kPortInPort}, go_to(1)});
    sw.rule(1, 1, match_on(FieldId::kInPort, 2), {OutputAction{kPortAll}});
    const Translation result = sw.run(eth_key(1));
    CHECK(text(result) == "back:1 2 back:1 3");
    CHECK(result.dependencies.rewritten->in_port == ~std::uint32_t{0});

    HandmadeBridge none{3};
    none.rule(0, 1, kAny, {set_field(FieldId::kInPort, 0), OutputAction{kPortAll}});
    CHECK(text(none.run(eth_key(1))) == "back:1 2 3");
    none.rule(0, 2, kAny, {set_field(FieldId::kInPort, 77), OutputAction{kPortNormal}});
    CHECK(text(none.run(eth_key(1))) == "drop:bad-action");
    none.rule(0, 3, kAny, {set_field(FieldId::kInPort, 77), OutputAction{kPortInPort}});
    CHECK(text(none.run(eth_key(1))) == "drop:no-output-port");
  }

  TEST_CASE("ports that may not receive, forward, or be flooded to") {
    HandmadeBridge sw{4};
    sw.at(2).forward = false;
    sw.at(3).flood = false;
    sw.rule(0, 1, kAny, {OutputAction{kPortFlood}});
    sw.rule(0, 2, match_on(FieldId::kInPort, 4), {OutputAction{kPortAll}});
    CHECK(text(sw.run(eth_key(1))) == "4");
    CHECK(text(sw.run(eth_key(4))) == "1 3");
    sw.rule(0, 3, kAny, {to_port(2)});
    CHECK(text(sw.run(eth_key(1))) == "drop:no-forward");
    sw.at(1).receive = false;
    const Translation deaf = sw.run(eth_key(1));
    CHECK(text(deaf) == "drop:no-forward");
    CHECK(deaf.rules.empty());
    CHECK((deaf.dependencies.tags & tag_of(DependencyKind::kPort, 1)) != 0);
  }

  TEST_CASE("a translation depends on each port whose state counted") {
    HandmadeBridge sw{4};
    sw.at(3).up = false;
    sw.rule(0, 1, kAny, {to_port(2), to_port(3), to_port(77)});
    const Translation result = sw.run(eth_key(1));
    CHECK(text(result) == "2");
    for (const std::uint32_t port : {1u, 2u, 3u, 77u})
      CHECK((result.dependencies.tags & tag_of(DependencyKind::kPort, port)) != 0);
  }
}

TEST_SUITE("translate: action set") {
  TEST_CASE("it runs at the end, in the specification's order, one action of a kind") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, kAny,
            {to_port(4), write_actions({to_port(3), dst(1), PushVlanAction{0x8100}, to_port(2)}), go_to(1)});
    sw.rule(1, 1, kAny, {write_actions({set_field(FieldId::kVlanVid, 5), DecTtlAction{}, dst(2)}), go_to(2)});
    sw.rule(2, 1, kAny, {write_actions({PushVlanAction{0x88a8}})});
    CHECK(text(sw.run(tcp_key())) ==
          "4 push:88a80000 ttl " + dst_text(2) + " " + set_text(SHUNT_FIELD_VLAN_TCI, "0005", "0fff") + " 2");
  }

  TEST_CASE("a group beats an output; without either nothing is done") {
    HandmadeBridge sw{4};
    sw.group(1, GroupType::kIndirect, {{{to_port(4)}}});
    sw.rule(0, 1, kAny, {write_actions({GroupAction{1}, to_port(3)})});
    CHECK(text(sw.run(eth_key())) == "4");
    sw.rule(0, 2, kAny, {write_actions({dst(1)})});
    CHECK(text(sw.run(eth_key())) == "drop:rule");
  }

  TEST_CASE("clear_actions empties it") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, kAny, {write_actions({dst(1), to_port(3)}), go_to(1)});
    sw.rule(1, 1, kAny, {ClearActionsAction{}, write_actions({to_port(2)})});
    CHECK(text(sw.run(eth_key())) == "2");
    sw.rule(1, 2, kAny, {ClearActionsAction{}});
    CHECK(text(sw.run(eth_key())) == "drop:rule");
  }

  TEST_CASE("actset_output is the port of its output, none beside a group") {
    HandmadeBridge sw{4};
    const auto with = [&](ActionList actions) {
      actions.push_back(resubmit(9));
      static std::uint16_t priority = 1;
      sw.rule(0, priority++, kAny, std::move(actions));
      return text(sw.run(eth_key()));
    };
    sw.rule(9, 3, match_on(FieldId::kActsetOutput, 3), {to_port(3)});
    sw.rule(9, 3, match_on(FieldId::kActsetOutput, kPortUnset.value), {to_port(4)});
    sw.group(1, GroupType::kAll, {});
    CHECK(with({}) == "4");
    CHECK(with({write_actions({to_port(2), to_port(3)}), ClearActionsAction{}}) == "4");
    // The action set's own output comes behind.
    CHECK(with({write_actions({to_port(2), to_port(3)})}) == "3 3");
    CHECK(with({write_actions({to_port(3), GroupAction{1}})}) == "4");
  }

  TEST_CASE("controller in it is a packet-in for that reason") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, kAny, {write_actions({OutputAction{kPortController, 64}})});
    const Translation result = sw.run(eth_key());
    CHECK(text(result) == "up:0 drop:controller");
    REQUIRE(result.follow_ups->controllers.size() == 1);
    CHECK(result.follow_ups->controllers[0].action.reason == PacketInReason::kActionSet);
    CHECK(result.follow_ups->controllers[0].action.max_len == 64);
  }
}

TEST_SUITE("translate: scopes") {
  TEST_CASE("what a clone does is not seen after it; where nothing follows, nothing is put back") {
    HandmadeBridge sw{4};
    const auto with = [&](ActionList actions) {
      static std::uint16_t priority = 1;
      sw.rule(0, priority++, kAny, std::move(actions));
      return text(sw.run(tcp_key()));
    };
    CHECK(with({clone({dst(1), to_port(2)}), to_port(3)}) == "[ " + dst_text(1) + " 2 ] 3");
    CHECK(with({to_port(3), clone({dst(1), to_port(2)})}) == "3 " + dst_text(1) + " 2");
    CHECK(with({clone({to_port(2), to_port(4)}), to_port(3)}) == "2 4 3");
    CHECK(with({clone({dst(1)}), to_port(3)}) == "3");
    CHECK(with({clone({to_port(2), dst(1), to_port(4), dst(2)}), to_port(3)}) == "2 [ " + dst_text(1) + " 4 ] 3");
    CHECK(with({dst(9), clone({dst(1), clone({dst(2), to_port(2)}), to_port(4)}), to_port(3)}) ==
          dst_text(9) + " [ " + dst_text(1) + " [ " + dst_text(2) + " 2 ] 4 ] 3");
    // The inner copy needs no copy of its own where the outer one ends with it.
    CHECK(with({clone({dst(1), clone({dst(2), to_port(2)})}), to_port(3)}) ==
          "[ " + dst_text(1) + " " + dst_text(2) + " 2 ] 3");
    CHECK(with({clone({dst(1), to_port(4), clone({dst(2), to_port(2)})}), to_port(3)}) ==
          "[ " + dst_text(1) + " 4 " + dst_text(2) + " 2 ] 3");
    CHECK(with({PushVlanAction{0x8100}, clone({set_field(FieldId::kVlanVid, 5), to_port(2)}), to_port(3)}) ==
          "push:81000000 [ " + set_text(SHUNT_FIELD_VLAN_TCI, "0005", "0fff") + " 2 ] 3");
    CHECK(with({PushVlanAction{0x8100}, clone({PopVlanAction{}, to_port(2)}), to_port(3)}) ==
          "push:81000000 [ pop 2 ] 3");
    // After a clone that sent nothing, a tag that was just pushed is still one.
    CHECK(with({PushVlanAction{0x8100}, clone({dst(1)}), set_field(FieldId::kVlanVid, 5), to_port(3)}) ==
          "push:81000005 3");
  }

  // Whoever runs the actions once put back 16 within one another, and dropped the rest.
  TEST_CASE("clones nest as deep as look-ups, and so deep may be put back") {
    const auto nested = [](unsigned count) {
      HandmadeBridge sw{2};
      for (unsigned table = 0; table < count; ++table)
        sw.rule(table, 1, kAny, {clone({dst(static_cast<std::uint8_t>(table)), resubmit(table + 1)}), to_port(2)});
      sw.rule(count, 1, kAny, {to_port(2)});
      return sw.run(eth_key());
    };
    const Translation result = nested(63);
    CHECK(result.drop == SHUNT_DROP_NONE);
    unsigned depth = 0, deepest = 0, outputs = 0;
    for (const shunt_action& action : result.actions) {
      if (action.type == SHUNT_ACT_SAVE) deepest = std::max(deepest, ++depth);
      if (action.type == SHUNT_ACT_RESTORE) --depth;
      if (action.type == SHUNT_ACT_OUTPUT) ++outputs;
    }
    CHECK(outputs == 64);
    CHECK(deepest == 63);
    CHECK(deepest <= kMaxNestedCopies);
    CHECK(text(nested(64)) == "drop:resubmit-limit");
  }

  TEST_CASE("registers, stack and action set come back after a clone, which runs its own action set") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, kAny,
            {set_field(kReg0, 2), StackPushAction{whole(kReg0)},
             clone({set_field(kReg0, 3), StackPopAction{whole(kReg1)}, resubmit(1), resubmit(2)}),
             StackPopAction{whole(kReg1)}, OutputFieldAction{whole(kReg0)}, OutputFieldAction{whole(kReg1)}});
    sw.rule(1, 1, match_on(kReg0, 3) && match_on(kReg1, 2), {write_actions({to_port(4)})});
    sw.rule(2, 1, kAny, {OutputFieldAction{whole(kReg0)}});
    CHECK(text(sw.run(eth_key())) == "3 4 2 2");
  }

  TEST_CASE("exit in a clone ends what is around it, too, but neither action set") {
    HandmadeBridge sw{4};
    sw.rule(0, 1, kAny, {write_actions({to_port(4)}), go_to(1)});
    sw.rule(1, 1, kAny, {clone({to_port(2), ExitAction{}, to_port(3)}), to_port(3)});
    CHECK(text(sw.run(eth_key())) == "2 4 4");
  }

  TEST_CASE("a meter in a clone ends the clone only") {
    HandmadeBridge sw{4};
    sw.meter(5, 17);
    sw.rule(0, 1, kAny, {clone({MeterAction{5}, to_port(2)}), to_port(3)});
    const Translation result = sw.run(eth_key());
    CHECK(text(result) == "[ meter:17 2 ] 3");
    CHECK((result.dependencies.tags & tag_of(DependencyKind::kMeter, 5)) != 0);
    sw.rule(0, 2, kAny, {MeterAction{5}, to_port(3)});
    CHECK(text(sw.run(eth_key())) == "meter:17 3");
    sw.rule(0, 3, kAny, {MeterAction{6}, to_port(3)});
    CHECK(text(sw.run(eth_key())) == "3");
    sw.rule(0, 4, kAny, {MeterAction{5}, dst(1)});  // counts what it is asked about, though nothing is sent
    CHECK(text(sw.run(eth_key())) == "meter:17 drop:rule");
  }

  TEST_CASE("a list that would be too long drops the packet") {
    HandmadeBridge sw{2};
    ActionList many;
    for (unsigned i = 0; i < 100; ++i) many.push_back(to_port(2));
    ActionList more;
    for (unsigned i = 0; i < 100; ++i) more.push_back(resubmit(1));
    sw.rule(0, 1, kAny, more);
    sw.rule(1, 1, kAny, many);
    const Translation result = sw.run(eth_key());
    CHECK(text(result) == "drop:translation");
  }
}

TEST_SUITE("translate: packet-out") {
  TEST_CASE("actions run as if a rule held them, from a port that need not be one") {
    HandmadeBridge sw{3};
    sw.rule(0, 1, match_on(FieldId::kInPort, kPortController.value), {to_port(3)});
    sw.rule(0, 1, match_on(FieldId::kInPort, 2), {OutputAction{kPortInPort}});
    FlowKey key = eth_key();
    key.in_port = 0;
    CHECK(text(sw.packet_out(key, kPortController, {dst(1), to_port(2)})) == dst_text(1) + " 2");
    CHECK(text(sw.packet_out(key, kPortController, {OutputAction{kPortAll}})) == "1 2 3");
    CHECK(text(sw.packet_out(key, kPortController, {OutputAction{kPortTable}})) == "3");
    CHECK(text(sw.packet_out(key, PortNo{2}, {OutputAction{kPortTable}})) == "2");
    CHECK(text(sw.packet_out(key, PortNo{2}, {OutputAction{kPortAll}})) == "1 3");
    CHECK(text(sw.packet_out(key, kPortController, {})) == "drop:rule");
    const Translation up = sw.packet_out(key, kPortLocal, {OutputAction{kPortController}});
    REQUIRE(up.follow_ups->controllers.size() == 1);
    CHECK(up.follow_ups->controllers[0].action.reason == PacketInReason::kPacketOut);
    CHECK(up.follow_ups->controllers[0].in_port == kPortLocal);
  }
}
