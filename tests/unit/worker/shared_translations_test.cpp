// SPDX-License-Identifier: Apache-2.0
#include "user/worker/shared_translations.h"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <vector>

#include "tests/unit/worker/memory_maps.h"
#include "user/worker/flow_macs.h"
#include "user/worker/megaflow_table.h"

using namespace shunt;
using namespace shunt::test;

namespace {

using Edit = std::function<void(Translation&)>;

RuleRef rule() { return std::make_shared<const Rule>(); }
FdbKey mac(std::uint8_t last) { return {VlanId{0}, MacAddr::from_number(last)}; }

// One more who hears of a TTL that runs out.
Edit ttl_controller(std::function<void(Translation::Controller&)> edit) {
  return [edit = std::move(edit)](Translation& made) {
    edit(made.follow_ups.make().ttl_controllers.emplace_back().emplace_back());
  };
}

// Equal ones each time, but for what `edit` does.
struct Translations {
  RuleRef first = rule(), second = rule();
  std::shared_ptr<const FlowCounters> counters = std::make_shared<const FlowCounters>();

  Translation make(const Edit& edit = {}) const {
    Translation made;
    made.version = 1;
    made.mask.in_port = ~0u;
    made.actions = {output_to(2)};
    made.rules = {first};
    made.credits = {counters};
    made.bridge = BridgeId{1};
    made.dependencies.tables.set(0);
    if (edit) edit(made);
    return made;
  }
  TranslationRef ref(const Edit& edit = {}) const { return std::make_shared<const Translation>(make(edit)); }
};

}  // namespace

TEST_SUITE("shared translations") {
  TEST_CASE("flows that are decided alike have one, whatever their MACs and versions") {
    const Translations t;
    SharedTranslations shared;
    const TranslationRef one = shared.share(t.ref());
    CHECK(shared.share(t.ref([](Translation& made) {
      made.version = 2;
      made.fdb_version = 3;
      made.learns = {{mac(1), PortNo{1}}};
      made.fdb_dependencies = {{BridgeId{1}, mac(1)}};
    })) == one);
    CHECK(shared.size() == 1);
  }

  TEST_CASE("what differs in anything else has its own") {
    const Translations t;
    const std::vector<Edit> edits{
        [](Translation& made) { made.mask.tp_dst = be16{0xffff}; },
        [](Translation& made) { made.actions = {output_to(3)}; },
        [](Translation& made) { made.actions.push_back(output_to(3)); },
        [](Translation& made) { made.actions.clear(); },
        [](Translation& made) { made.drop = SHUNT_DROP_RULE; },
        [](Translation& made) { made.needs_packet = true; },
        [](Translation& made) { made.may_be_bridged = true; },
        [](Translation& made) { made.bridged = VlanId{0}; },
        [&](Translation& made) { made.rules = {t.second}; },
        [&](Translation& made) { made.rules.push_back(t.second); },
        [](Translation& made) { made.credits.clear(); },
        [](Translation& made) { made.bridge = BridgeId{2}; },
        [](Translation& made) { made.dependencies.tables.set(1); },
        [](Translation& made) { made.dependencies.rewritten.make().nw_tos = 0xff; },
        [](Translation& made) { made.dependencies.tags = 1; },
        [](Translation& made) { made.follow_ups.make().ttl_controllers.emplace_back(); },
        [](Translation& made) { made.follow_ups.make().ttl_controllers.resize(2); },
        ttl_controller([](Translation::Controller&) {}),
        ttl_controller([](Translation::Controller& hears) { hears.action.controller_id = 1; }),
        ttl_controller([&](Translation::Controller& hears) { hears.rule = t.first; }),
        ttl_controller([](Translation::Controller& hears) { hears.table = 1; }),
        ttl_controller([](Translation::Controller& hears) { hears.fields.reg[3][0] = 1; }),
        ttl_controller([](Translation::Controller& hears) { hears.in_port = PortNo{1}; }),
    };
    SharedTranslations shared;
    std::vector<TranslationRef> all{shared.share(t.ref())};
    for (const Edit& edit : edits) {
      CAPTURE(all.size());
      const TranslationRef made = shared.share(t.ref(edit));
      CHECK_FALSE(SharedTranslations::are_alike(*made, t.make()));
      CHECK(SharedTranslations::are_alike(*made, t.make(edit)));
      CHECK(std::ranges::find(all, made) == all.end());
      CHECK(shared.share(t.ref(edit)) == made);
      all.push_back(made);
    }
    CHECK(shared.share(t.ref()) == all.front());
  }

  TEST_CASE("what tells a controller, samples or learns is each flow's own") {
    const Translations t;
    const std::vector<Edit> edits{
        [](Translation& made) { made.follow_ups.make().learned.emplace_back(); },
        [](Translation& made) { made.follow_ups.make().fin_timeouts.emplace_back(); },
        [](Translation& made) { made.follow_ups.make().controllers.emplace_back(); },
        [](Translation& made) { made.follow_ups.make().samples.emplace_back(); },
    };
    SharedTranslations shared;
    for (const Edit& edit : edits) {
      const TranslationRef first = shared.share(t.ref(edit)), second = shared.share(t.ref(edit));
      CHECK(first != second);
      CHECK_FALSE(SharedTranslations::are_alike(*first, *second));
    }
    CHECK(shared.size() == 0);
  }

  TEST_CASE("one that no flow has any more lets go of its rules, and is forgotten") {
    Translations t;
    SharedTranslations shared;
    const std::weak_ptr<const Rule> watched = t.first;
    TranslationRef one = shared.share(t.ref());
    t.first = rule();
    CHECK_FALSE(watched.expired());
    one.reset();
    CHECK(watched.expired());
    for (int i = 0; i < 1000; ++i) {
      t.first = rule();
      (void)shared.share(t.ref());
    }
    CHECK(shared.size() < 200);
    CHECK(shared.share(t.ref()) != nullptr);
  }

  TEST_CASE("a flow's MACs are its own, be they few or many") {
    for (std::uint8_t count = 0; count < 5; ++count) {
      CAPTURE(count);
      Translation made;
      for (std::uint8_t i = 1; i <= count; ++i) {
        made.learns.push_back({mac(i), PortNo{i}});
        for (std::uint8_t twice = 0; twice < 2; ++twice)
          made.fdb_dependencies.push_back({BridgeId{1}, mac(static_cast<std::uint8_t>(2 * i + twice))});
      }
      const FlowMacs macs{made};
      FlowMacs copy;
      copy = macs;
      for (const FlowMacs* each : {&macs, static_cast<const FlowMacs*>(&copy)}) {
        REQUIRE(each->learns().size() == count);
        REQUIRE(each->dependencies().size() == 2u * count);
        for (std::uint8_t i = 0; i < count; ++i) {
          CHECK(each->learns()[i].key == made.learns[i].key);
          CHECK(each->dependencies()[2u * i + 1].key == made.fdb_dependencies[2u * i + 1].key);
        }
      }
    }
  }

  TEST_CASE("cached flows share, and are found by their own MACs, also when ports' outputs were rewritten") {
    MemoryMaps maps{64};
    MegaflowTable table{maps};
    for (std::uint32_t port = 1; port <= 2; ++port) {
      table.add_port(DpPort{port});
      table.update_output(DpPort{port}, {Ifindex{100 + port}, true});
    }
    const Translations t;
    std::vector<std::uint32_t> slots;
    for (std::uint8_t i = 1; i <= 2; ++i) {
      FlowKey key{};
      key.in_port = 1;
      key.eth_dst[5] = i;
      REQUIRE(table.publish(key, t.ref([i](Translation& made) {
                made.version = i;
                made.mask.eth_dst[5] = 0xff;
                made.learns = {{mac(i), PortNo{i}}};
                made.fdb_dependencies = {{BridgeId{1}, mac(i)}};
              }),
              TimePoint{}) == MegaflowTable::Publish::kPublished);
      slots.push_back(table.find(key));
    }
    CHECK(table.flow(slots[0])->translation != table.flow(slots[1])->translation);
    table.share(0, table.slot_end(), 1);
    CHECK_FALSE(table.flow(slots[1])->shared);
    table.share(0, table.slot_end(), 1);
    CHECK(table.flow(slots[0])->translation == table.flow(slots[1])->translation);
    // What is decided as before keeps what it has.
    for (const std::uint32_t slot : slots) {
      const Translation* before = table.flow(slot)->translation.get();
      CHECK_FALSE(table.update(slot, table.translation(slot), TimePoint{}));
      CHECK(table.flow(slot)->translation.get() == before);
    }
    for (std::uint8_t i = 1; i <= 2; ++i) {
      CHECK(table.dependents({BridgeId{1}, mac(i)}) == std::vector<std::uint32_t>{slots[i - 1u]});
      const MegaflowTable::Flow& flow = *table.flow(slots[i - 1u]);
      CHECK(flow.version == i);
      const auto learns = table.macs(slots[i - 1u]).learns();
      REQUIRE(learns.size() == 1);
      CHECK(learns[0].key == mac(i));
    }
  }
}
