// SPDX-License-Identifier: Apache-2.0
#include "user/pipeline/rule_walk.h"

#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <set>
#include <vector>

#include "tests/support/rule_sets.h"

using namespace shunt;

namespace {

constexpr TimePoint kStart{std::chrono::hours{1}};

std::vector<FlowMod> mods_of(const std::vector<RuleRef>& rules) {
  std::vector<FlowMod> mods;
  for (const RuleRef& rule : rules) {
    FlowMod& mod = mods.emplace_back(flow_mod_of(*rule));
    mod.table = static_cast<std::uint8_t>(mods.size() % 3 * 7);
    mod.cookie = mods.size() % 5;
    mod.actions = {OutputAction{PortNo{1}}};
  }
  return mods;
}

struct OneBridge {
  Switch config;
  BridgeId id = config.add_bridge("br0");

  void apply(const std::vector<FlowMod>& mods) { config.apply(id, mods, kStart); }
  std::set<RuleRef> listed(const FlowMod& filter) {
    const auto rules = config.list(id, filter);
    return {rules.begin(), rules.end()};
  }
};

}  // namespace

TEST_SUITE("rule walk") {
  TEST_CASE("it finds what a list has, by table, match and cookie") {
    std::mt19937_64 random{3};
    OneBridge bridge;
    bridge.apply(mods_of(random_rules(random, 2000)));
    const auto check = [&](const FlowMod& filter) {
      RuleWalk walk{bridge.config, bridge.id, filter};
      std::vector<RuleRef> found;
      while (walk.next(found)) {
      }
      CHECK(std::set<RuleRef>{found.begin(), found.end()} == bridge.listed(filter));
      CHECK(found.size() == bridge.listed(filter).size());
      return found.size();
    };
    CHECK(check({}) > 1000);
    FlowMod filter;
    filter.table = 7;
    CHECK(check(filter) > 100);
    filter.table.reset();
    filter.cookie = 2;
    filter.cookie_mask = ~std::uint64_t{0};
    CHECK(check(filter) > 100);
    std::size_t found = 0;
    for (const RuleRef& rule : bridge.listed({})) {
      FlowMod narrow;
      narrow.match = rule->match;
      if (++found % 50 == 0) CHECK(check(narrow) > 0);
    }
  }

  TEST_CASE("it sees the rules as they were when it began, whatever comes and goes, and lets go of them in the end") {
    std::mt19937_64 random{5};
    OneBridge bridge;
    for (int i = 0; i < 20; ++i) bridge.apply(mods_of(random_rules(random, 1000)));
    std::vector<FlowMod> many(30'000);  // in one subtable, which outgrows its memory meanwhile
    for (std::size_t i = 0; i < many.size(); ++i) {
      many[i].match = ipv4_src(static_cast<std::uint32_t>(i), 32);
      many[i].priority = 7;
    }
    bridge.apply(many);
    std::set<RuleRef> before = bridge.listed({});
    std::vector<RuleRef> found;
    {
      RuleWalk walk{bridge.config, bridge.id, {}};
      FlowMod all;
      all.command = FlowMod::Command::kDelete;
      for (unsigned turn = 0; walk.next(found); ++turn) {
        switch (turn % 4) {
          case 0:
            bridge.apply({all});
            break;
          case 1:
            for (FlowMod& mod : many) ++mod.priority;
            bridge.apply(many);
            break;
          case 2: {
            std::vector<FlowMod> refused = mods_of(random_rules(random, 100));
            refused.emplace_back().table = 254;
            CHECK_THROWS(bridge.apply(refused));
            break;
          }
          default:
            bridge.apply(mods_of(random_rules(random, 200)));
        }
        bridge.config.collect(bridge.config.version());
      }
    }
    CHECK(found.size() == before.size());
    CHECK(std::set<RuleRef>{found.begin(), found.end()} == before);
    std::weak_ptr<const Rule> one = found.front();
    found.clear();
    before.clear();
    for (int i = 0; i < 2; ++i) {
      bridge.apply(many);
      bridge.config.collect(bridge.config.version());
    }
    CHECK(one.expired());
  }
}
