// SPDX-License-Identifier: Apache-2.0
#include "user/worker/revalidator.h"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>

#include "tests/unit/worker/revalidator_fixture.h"

using namespace shunt;
using namespace shunt::test;

namespace {

using Fixture = RevalidatorFixture;

// The rule for UDP to a port, as the switch has it now.
RuleRef rule_for(Fixture& f, std::uint16_t tp_dst) {
  FlowMod filter;
  filter.match.mask.tp_dst = be16{0xffff};
  filter.match.value.tp_dst = be16{tp_dst};
  const auto rules = f.sw.list(f.bridge, filter);
  return rules.empty() ? nullptr : rules.front();
}

}  // namespace

TEST_SUITE("revalidator") {
  TEST_CASE("a miss is published and its source learned") {
    Fixture f;
    f.miss(frame(1, 0xa, 0xb));
    const auto action = f.answer(frame(1, 0xa, 0xb));
    REQUIRE(action);
    CHECK(action->type == SHUNT_ACT_OUTPUT_GROUP);
    CHECK(f.bridge_state().fdb->lookup(mac_of(0xa)) == kOne);
    f.miss(frame(2, 0xb, 0xa));
    CHECK(f.outputs_to(frame(2, 0xb, 0xa), 1));
  }

  TEST_CASE("a MAC that appears turns the flood towards it into one output") {
    Fixture f;
    f.miss(frame(1, 0xa, 0xb));
    f.miss(frame(2, 0xb, 0xc));
    CHECK(f.outputs_to(frame(1, 0xa, 0xb), 2));
  }

  TEST_CASE("a MAC that moves takes the flows to it along, and its flows on the old port come up again") {
    Fixture f;
    f.miss(frame(2, 0xb, 0xa));
    f.miss(frame(1, 0xa, 0xb));
    REQUIRE(f.outputs_to(frame(1, 0xa, 0xb), 2));
    f.miss(frame(3, 0xb, 0xa));
    CHECK(f.bridge_state().fdb->lookup(mac_of(0xb)) == kThree);
    CHECK(f.outputs_to(frame(1, 0xa, 0xb), 3));
    CHECK_FALSE(f.answer(frame(2, 0xb, 0xa)));
    f.miss(frame(2, 0xb, 0xa));  // and it moves back
    CHECK(f.outputs_to(frame(1, 0xa, 0xb), 2));
    CHECK_FALSE(f.answer(frame(3, 0xb, 0xa)));
  }

  TEST_CASE("what a worker lets go of is let go of here") {
    Fixture f;
    auto displaced = std::make_shared<const Decision>();
    const std::weak_ptr<const Decision> held = displaced;
    FlowRequest request = request_for(frame(1, 0xa, 0xb), translate(*f.sw.state(), frame(1, 0xa, 0xb)));
    request.displaced = std::move(displaced);
    REQUIRE(f.revalidator.queue(0).push(std::move(request)));
    f.revalidator.queue(0).ring_doorbell();
    f.settle();
    CHECK(held.expired());
  }

  TEST_CASE("a translation made under older rules is not published as it is") {
    Fixture f;
    const FlowKey key = frame(1, 0xa, 0xb);
    const Translation old = translate(*f.sw.state(), key);
    f.apply(FlowMod::Command::kAdd, 100, {OutputAction{kThree}}, 80);
    f.ask(key, old);
    CHECK(f.outputs_to(key, 3));
    CHECK(f.revalidator.stats().rejected_stale >= 1);
  }

  TEST_CASE("a translation made under an older FDB is not published as it is") {
    Fixture f;
    const FlowKey key = frame(1, 0xa, 0xb);
    f.miss(frame(1, 0xa, 0xc));
    const Translation old = translate(*f.sw.state(), key);
    f.miss(frame(2, 0xb, 0xa));
    f.ask(key, old);
    CHECK(f.outputs_to(key, 2));
  }

  TEST_CASE("when revalidate() has returned no cached flow gives the older verdict") {
    Fixture f;
    f.miss(frame(2, 0xb, 0xa));
    f.miss(frame(1, 0xa, 0xb));
    REQUIRE(f.outputs_to(frame(1, 0xa, 0xb), 2));
    f.apply(FlowMod::Command::kAdd, 100, {}, 80);
    CHECK(f.changed);
    // The wide flow cannot tell the port apart any more: its packets come up, and are dropped from then on.
    CHECK_FALSE(f.answer(frame(1, 0xa, 0xb)));
    f.miss(frame(1, 0xa, 0xb));
    REQUIRE(f.answer(frame(1, 0xa, 0xb)));
    CHECK(f.answer(frame(1, 0xa, 0xb))->type == SHUNT_ACT_DROP);
    f.apply(FlowMod::Command::kModify, 100, {OutputAction{kThree}}, 80);
    CHECK(f.changed);
    CHECK(f.outputs_to(frame(1, 0xa, 0xb), 3));
    f.apply(FlowMod::Command::kDelete, 100, {}, 80);
    CHECK(f.changed);
    // `normal` looks at MACs, which the flow's mask does not have.
    CHECK_FALSE(f.answer(frame(1, 0xa, 0xb)));
    f.miss(frame(1, 0xa, 0xb));
    CHECK(f.outputs_to(frame(1, 0xa, 0xb), 2));
  }

  TEST_CASE("a change that touches no cached flow leaves the kernel as it is") {
    Fixture f;
    f.apply(FlowMod::Command::kAdd, 100, {OutputAction{kThree}}, 80);
    f.miss(frame(1, 0xa, 0xb, 80));
    const std::uint64_t before = f.revalidator.stats().revalidated;
    f.apply(FlowMod::Command::kAdd, 100, {OutputAction{kTwo}}, 81);
    CHECK_FALSE(f.changed);
    CHECK(f.revalidator.stats().revalidated == before);
    CHECK(f.outputs_to(frame(1, 0xa, 0xb, 80), 3));
  }

  TEST_CASE("a change waits for programs that may hold a flow which a packet of its own has replaced already") {
    Fixture f;
    f.apply(FlowMod::Command::kAdd, 100, {OutputAction{kTwo}}, 80);
    f.miss(frame(1, 0xa, 0xb, 80));
    f.maps.hold_grace_periods = true;
    FlowMod mod;
    mod.command = FlowMod::Command::kModify;
    mod.actions = {OutputAction{kThree}};
    const Change change = f.sw.apply(f.bridge, std::span{&mod, 1}, Clock::now());
    f.miss(frame(1, 0xa, 0xb, 80));  // before the command comes to it
    REQUIRE(f.outputs_to(frame(1, 0xa, 0xb, 80), 3));
    CHECK(f.revalidator.revalidate(change));
    f.maps.hold_grace_periods = false;
  }

  TEST_CASE("what the kernel counts reaches the rules, the output port and the MAC's age") {
    Fixture f;
    f.apply(FlowMod::Command::kAdd, 100, {OutputAction{kThree}}, 80);
    f.miss(frame(1, 0xa, 0xb));
    f.settle();
    for (int i = 0; i < 5; ++i) REQUIRE(f.hit(frame(1, 0xa, 0xb), 200));
    f.revalidator.collect_counters();
    FlowMod filter;
    filter.match.mask.tp_dst = be16{0xffff};
    filter.match.value.tp_dst = be16{80};
    const auto rules = f.sw.list(f.bridge, filter);
    REQUIRE(rules.size() == 1);
    CHECK(rules[0]->counters.packets() == 5);
    CHECK(rules[0]->counters.bytes() == 1000);
    CHECK(f.revalidator.transmitted(DpPort{3}).packets == 5);
    CHECK(f.revalidator.transmitted(DpPort{3}).bytes == 1000);
    CHECK(f.revalidator.transmitted(DpPort{2}).packets == 0);
  }

  TEST_CASE("a flow with hits keeps its source's entry fresh") {
    Fixture f;
    f.miss(frame(1, 0xa, 0xb));
    const auto seen = [&] {
      for (const FdbEntry& entry : f.revalidator.fdb_list(f.bridge))
        if (entry.key == mac_of(0xa)) return entry.seen;
      return TimePoint{};
    };
    const TimePoint first = seen();
    REQUIRE(first != TimePoint{});
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
    CHECK(seen() == first);
    f.settle();
    REQUIRE(f.hit(frame(1, 0xa, 0xb)));
    CHECK(seen() > first);
  }

  TEST_CASE("idle flows expire and busy ones stay") {
    Fixture f{std::chrono::milliseconds{1500}};
    f.miss(frame(1, 0xa, 0xb, 80));
    f.apply(FlowMod::Command::kAdd, 100, {OutputAction{kThree}}, 81);
    f.miss(frame(1, 0xa, 0xb, 80));
    f.miss(frame(1, 0xa, 0xb, 81));
    for (int i = 0; i < 32 && f.answer(frame(1, 0xa, 0xb, 81)); ++i) {
      (void)f.hit(frame(1, 0xa, 0xb, 80));
      std::this_thread::sleep_for(std::chrono::milliseconds{100});
    }
    CHECK_FALSE(f.answer(frame(1, 0xa, 0xb, 81)));
    CHECK(f.answer(frame(1, 0xa, 0xb, 80)));
    CHECK(f.revalidator.stats().expired == 1);
  }

  TEST_CASE("a MAC taken from the FDB sends its flows up, so that it is learned again") {
    Fixture f;
    f.miss(frame(2, 0xb, 0xa));
    f.miss(frame(1, 0xa, 0xb));
    REQUIRE(f.outputs_to(frame(1, 0xa, 0xb), 2));
    CHECK(f.revalidator.change_fdb(f.bridge, [](Fdb& fdb) { return fdb.flush(kTwo); }));
    CHECK_FALSE(f.answer(frame(2, 0xb, 0xa)));
    CHECK_FALSE(f.answer(frame(1, 0xa, 0xb)));
    f.miss(frame(1, 0xa, 0xb));
    REQUIRE(f.answer(frame(1, 0xa, 0xb)));
    CHECK(f.answer(frame(1, 0xa, 0xb))->type == SHUNT_ACT_OUTPUT_GROUP);
  }

  TEST_CASE("a port whose interface went and came back is sent to again") {
    Fixture f;
    f.miss(frame(2, 0xb, 0xa));
    f.miss(frame(1, 0xa, 0xb));
    CHECK(f.revalidator.update_port(DpPort{2}, {Ifindex{0}, true}));
    CHECK_FALSE(f.answer(frame(1, 0xa, 0xb)));
    f.miss(frame(1, 0xa, 0xb));
    REQUIRE(f.answer(frame(1, 0xa, 0xb)));
    CHECK(f.answer(frame(1, 0xa, 0xb))->type == SHUNT_ACT_DROP);
    CHECK(f.revalidator.update_port(DpPort{2}, {Ifindex{202}, true}));
    CHECK(f.outputs_to(frame(1, 0xa, 0xb), 2));
  }

  // A guest that speaks while its port is attached was cut off by it for as long as it spoke.
  TEST_CASE("a packet that came before its port was in the bridge does not decide for those behind it") {
    Fixture f;
    f.revalidator.add_port(DpPort{4}, {Ifindex{104}, true});
    f.miss(frame(4, 4, 1));
    REQUIRE(f.revalidator.list(9).at(0).actions.at(0).type == SHUNT_ACT_DROP);
    const Change change = f.sw.add_port(f.bridge, {PortNo{4}, DpPort{4}, "p4", {}, true});
    CHECK(f.revalidator.revalidate(change));
    for (const FlowSnapshot& flow : f.revalidator.list(9)) CHECK(flow.actions.at(0).type != SHUNT_ACT_DROP);
    CHECK_FALSE(f.answer(frame(4, 4, 1)));  // it comes up, to be learned from
  }

  TEST_CASE("a port that left the bridge has no flows, and nothing is sent to it") {
    Fixture f;
    f.miss(frame(2, 0xb, 0xa));
    f.miss(frame(1, 0xa, 0xb));
    const Change change = f.sw.remove_port(f.bridge, kTwo);
    f.revalidator.revalidate(change);
    f.revalidator.remove_port(DpPort{2});
    CHECK_FALSE(f.answer(frame(2, 0xb, 0xa)));
    CHECK_FALSE(f.outputs_to(frame(1, 0xa, 0xb), 2));
  }

  TEST_CASE("flush leaves nothing, and slots are used again after a grace period") {
    Fixture f;
    f.miss(frame(1, 0xa, 0xb));
    CHECK(f.revalidator.flush());
    CHECK_FALSE(f.answer(frame(1, 0xa, 0xb)));
    // True until the programs that may hold a flow have ended; then there is nothing to wait for.
    bool waits = true;
    for (int i = 0; i < 1000 && waits; ++i) {
      waits = f.revalidator.flush();
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    CHECK_FALSE(waits);
    CHECK(f.maps.grace_periods > 0);
  }

  TEST_CASE("the list shows each flow with its rules' cookies") {
    Fixture f;
    FlowMod mod;
    mod.cookie = 0x77;
    mod.priority = 9;
    mod.actions = {OutputAction{kThree}};
    (void)f.revalidator.revalidate(f.sw.apply(f.bridge, std::span{&mod, 1}, Clock::now()));
    f.miss(frame(1, 0xa, 0xb));
    const auto flows = f.revalidator.list(10);
    REQUIRE(flows.size() == 1);
    CHECK(flows[0].in_kernel);
    CHECK(flows[0].key.key.in_port == 1);
    CHECK(flows[0].cookies == std::vector<std::uint64_t>{0x77});
    CHECK(f.revalidator.list(0).empty());
  }

  TEST_CASE("a flow that the loaded program cannot parse for wakes control, and is published when it can") {
    Fixture f;
    f.apply(FlowMod::Command::kAdd, 100, {OutputAction{kThree}}, 80);
    f.revalidator.set_features(0);
    f.miss(frame(1, 0xa, 0xb));
    CHECK_FALSE(f.answer(frame(1, 0xa, 0xb)));
    CHECK(f.features_wanted == 1);
    CHECK((f.revalidator.wanted_features() & SHUNT_FEATURE_L4) != 0);
    f.miss(frame(1, 0xa, 0xc));
    f.settle();
    CHECK(f.features_wanted == 1);  // once is enough
    f.revalidator.set_features(f.revalidator.wanted_features());
    f.miss(frame(1, 0xa, 0xb));
    CHECK(f.outputs_to(frame(1, 0xa, 0xb), 3));
  }

  TEST_CASE("a change meets the cached flows that it may alter, and no others") {
    Fixture f;
    f.apply(FlowMod::Command::kAdd, 100, {OutputAction{kThree}}, 80);
    CHECK(!f.met);  // nothing is cached
    f.miss(frame(1, 0xa, 0xb, 80));
    f.apply(FlowMod::Command::kAdd, 200, {OutputAction{kTwo}}, 81);
    CHECK(!f.met);
    f.apply(FlowMod::Command::kAdd, 200, {OutputAction{kTwo}}, 80);
    CHECK(f.met);
    CHECK(f.changed);
    CHECK(!f.revalidator.meets(Change{}));
  }

  TEST_CASE("a full table turns new flows away or evicts, and what is cached stays right") {
    Fixture f;
    f.apply(FlowMod::Command::kAdd, 100, {OutputAction{kThree}}, 1);
    for (std::uint16_t port = 2; port < 1000; ++port) {
      if (port % 100 == 0) f.settle();
      const FlowKey key = frame(1, 0xa, 0xb, port);
      Translation made = translate(*f.sw.state(), key);
      made.mask.tp_dst = be16{0xffff};  // as a rule set would have it that looks at every port
      f.ask(key, made);
    }
    const RevalidatorStats stats = f.revalidator.stats();
    CHECK(stats.flows <= 256);
    CHECK(stats.evicted > 0);
    CHECK(stats.published > 256);
    CHECK(f.outputs_to(frame(1, 0xa, 0xb, 1), 3) == f.answer(frame(1, 0xa, 0xb, 1)).has_value());
  }

  TEST_CASE("each packet is credited once, however often its rule is replaced under it") {
    Fixture f;
    f.maps.hold_grace_periods = true;  // a program runs all the time, so that no slot comes back
    const std::shared_ptr<void> release{nullptr, [&](void*) { f.maps.hold_grace_periods = false; }};
    f.apply(FlowMod::Command::kAdd, 100, {OutputAction{kTwo}}, 80);
    const FlowKey key = frame(1, 0xa, 0xb);
    f.miss(key);
    const std::shared_ptr<const FlowCounters> matches{f.bridge_state().table_counters,
                                                      &(*f.bridge_state().table_counters)[0].matches};
    std::uint64_t sent = 0;
    const auto send = [&](int count) {
      for (int i = 0; i < count; ++i) sent += f.hit(key);
    };
    std::vector<RuleRef> removed;
    for (int round = 0; round < 20; ++round) {
      send(3);
      // A program that found the flow before the change, and counts behind it.
      std::optional<MemoryMaps::Hit> found;
      f.in_its_thread([&] { found = f.maps.lookup(key); });
      REQUIRE(found);
      switch (round % 3) {
        case 0:
          f.apply(FlowMod::Command::kModify, 100, {OutputAction{round % 2 == 0 ? kThree : kTwo}}, 80);
          break;
        case 1:  // the same action by another rule
          removed.push_back(rule_for(f, 80));
          f.apply(FlowMod::Command::kAdd, 100, {OutputAction{round % 2 == 0 ? kThree : kTwo}}, 80);
          break;
        case 2:
          removed.push_back(rule_for(f, 80));
          f.apply(FlowMod::Command::kAdd, 100, {}, 80);
          break;
      }
      f.in_its_thread([&] {
        f.maps.counters[found->slot].packets += 1;
        f.maps.counters[found->slot].bytes += 100;
        ++sent;
      });
      f.revalidator.collect_counters();
      std::uint64_t credited = rule_for(f, 80)->counters.packets();
      for (const RuleRef& rule : removed) credited += rule->counters.packets();
      CHECK(credited == sent);
      CHECK(matches->packets() == sent);
      CHECK(matches->bytes() == sent * 100);
      f.sw.collect(f.sw.version());
    }
    CHECK(sent >= 60);
  }

  TEST_CASE("an output port counts what left: without what was lost, in the length that it left with") {
    Fixture f;
    ActionList actions{PushVlanAction{0x8100}, OutputAction{kTwo}, OutputAction{kThree}};
    f.apply(FlowMod::Command::kAdd, 100, actions, 80);
    const FlowKey key = frame(1, 0xa, 0xb);
    f.miss(key);
    for (int i = 0; i < 10; ++i) REQUIRE(f.hit(key, 200));
    f.in_its_thread([&] {
      const std::uint32_t slot = f.maps.lookup(key)->slot;
      f.maps.deltas[slot] = {8 * 4 - std::uint64_t{2} * 200, 2};  // two are lost, eight got their tag
    });
    f.revalidator.collect_counters();
    CHECK(f.revalidator.transmitted(DpPort{3}).packets == 8);
    CHECK(f.revalidator.transmitted(DpPort{3}).bytes == 8 * 204);
    CHECK(f.revalidator.transmitted(DpPort{2}).packets == 8);
    CHECK(f.revalidator.transmitted(DpPort{2}).bytes == 8 * 204);
    CHECK(rule_for(f, 80)->counters.packets() == 10);
    CHECK(rule_for(f, 80)->counters.bytes() == 2000);
    // Port 3 goes: what was sent there before stays counted, and nothing is added.
    f.revalidator.update_port(DpPort{3}, {Ifindex{0}, true});
    REQUIRE(f.hit(key, 200));
    f.revalidator.collect_counters();
    CHECK(f.revalidator.transmitted(DpPort{3}).packets == 8);
    CHECK(f.revalidator.transmitted(DpPort{2}).packets == 9);
  }

  TEST_CASE("a packet that goes up is credited by who runs it, not by the flow that sent it up") {
    Fixture f;
    ControllerAction controller;
    f.apply(FlowMod::Command::kAdd, 100, {controller}, 80);
    const FlowKey key = frame(1, 0xa, 0xb);
    f.miss(key);
    REQUIRE(f.hit(key));
    f.revalidator.collect_counters();
    const auto flow = f.revalidator.find(key);
    REQUIRE(flow);
    CHECK_FALSE(flow->in_kernel);
    CHECK(flow->packets == 1);
    CHECK(rule_for(f, 80)->counters.packets() == 0);
  }

  TEST_CASE("find() gives the flow that a packet meets, with its counters") {
    Fixture f;
    f.apply(FlowMod::Command::kAdd, 100, {OutputAction{kThree}}, 80);
    f.apply(FlowMod::Command::kAdd, 99, {OutputAction{kTwo}}, 81);
    f.miss(frame(1, 0xa, 0xb, 80));
    f.miss(frame(1, 0xa, 0xb, 81));
    REQUIRE(f.hit(frame(1, 0xc, 0xd, 81)));
    const auto flow = f.revalidator.find(frame(1, 0xe, 0xf, 81));
    REQUIRE(flow);
    CHECK(flow->key.key.tp_dst == be16{81});
    CHECK(flow->packets == 1);
    CHECK(flow->actions.at(0).arg == 2);
    CHECK_FALSE(f.revalidator.find(frame(2, 0xa, 0xb, 81)));
    CHECK_FALSE(f.revalidator.find(frame(900, 0xa, 0xb, 81)));
  }

  TEST_CASE("a change translates only the flows that depend on it again") {
    Fixture f;
    f.apply(FlowMod::Command::kAdd, 100, {OutputAction{kTwo}}, 80);
    f.apply(FlowMod::Command::kAdd, 100, {OutputAction{kThree}}, 81);
    f.miss(frame(1, 0xa, 0xb, 80));
    f.miss(frame(1, 0xa, 0xb, 81));
    const auto revalidated = [&](const Change& change) {
      const std::uint64_t before = f.revalidator.stats().revalidated;
      f.revalidator.revalidate(change);
      return f.revalidator.stats().revalidated - before;
    };
    BridgePort port = *f.bridge_state().find(kThree);
    port.up = false;
    CHECK(revalidated(f.sw.update_port(f.bridge, port)) == 1);
    CHECK(f.outputs_to(frame(1, 0xa, 0xb, 80), 2));
    REQUIRE(f.answer(frame(1, 0xa, 0xb, 81)));
    CHECK(f.answer(frame(1, 0xa, 0xb, 81))->type == SHUNT_ACT_DROP);
    GroupMod group;
    group.group = 1;
    CHECK(revalidated(f.sw.apply_group(f.bridge, group, Clock::now())) == 0);
    FlowMod other_table;
    other_table.table = std::uint8_t{7};
    CHECK(revalidated(f.sw.apply(f.bridge, std::span{&other_table, 1}, Clock::now())) == 0);
  }

  TEST_CASE("a flow with hits asks for the rules that it would learn") {
    Fixture f;
    LearnAction learn;
    learn.table = 5;
    const Subfield src{&field(FieldId::kEthSrc), 0, 48};
    learn.specs = {{LearnAction::Spec::Kind::kMatchField, src, 0, src}};
    f.apply(FlowMod::Command::kAdd, 100, {learn, OutputAction{kThree}}, 80);
    const FlowKey key = frame(1, 0xa, 0xb);
    f.miss(key);
    f.revalidator.collect_counters();
    CHECK(f.events.drain().empty());
    REQUIRE(f.hit(key));
    f.revalidator.collect_counters();
    const auto events = f.events.drain();
    REQUIRE(events.size() == 1);
    const auto& learned = std::get<LearnEvent>(events[0]).translation->follow_ups->learned;
    REQUIRE(learned.size() == 1);
    CHECK(learned[0].mod.table == 5);
    CHECK_FALSE(f.sw.learn(f.bridge, learned[0].mod, learned[0].limit, learned[0].by, false, Clock::now()).empty());
  }
}
