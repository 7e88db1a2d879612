// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <chrono>
#include <vector>

#include "user/base/of_error.h"
#include "user/pipeline/switch.h"

using namespace shunt;
using namespace std::chrono_literals;
using Command = FlowMod::Command;

namespace {

constexpr TimePoint kStart{1h};

struct OneBridge {
  Switch config;
  BridgeId id = config.add_bridge("br0");

  OneBridge() { remove({}); }
  // A rule of its own priority; the cookie is the same number.
  FlowMod mod(std::uint16_t priority, std::uint16_t idle, std::uint16_t hard) {
    FlowMod made;
    made.priority = priority;
    made.cookie = priority;
    made.idle_timeout = idle;
    made.hard_timeout = hard;
    made.actions = {OutputAction{PortNo{1}}};
    return made;
  }
  Change apply(const FlowMod& made, TimePoint now = kStart) { return config.apply(id, std::span{&made, 1}, now); }
  RuleRef add(std::uint16_t priority, std::uint16_t idle, std::uint16_t hard, TimePoint now = kStart) {
    apply(mod(priority, idle, hard), now);
    return rule(priority);
  }
  void remove(FlowMod filter) {
    filter.command = Command::kDelete;
    apply(filter);
  }
  RuleRef rule(std::uint16_t priority) {
    for (const RuleRef& each : config.list(id, FlowMod{}))
      if (each->priority == priority) return each;
    return nullptr;
  }
  // Cookies of the rules that end then, with the reasons.
  std::vector<std::pair<std::uint64_t, RemovedReason>> expired(TimePoint now) {
    std::vector<std::pair<std::uint64_t, RemovedReason>> ended;
    for (const RemovedRule& removed : config.expire(now).removed)
      ended.emplace_back(removed.rule->cookie, removed.reason);
    return ended;
  }
  std::vector<std::uint64_t> cookies() {
    std::vector<std::uint64_t> cookies;
    for (const RuleRef& each : config.list(id, FlowMod{})) cookies.push_back(each->cookie);
    return cookies;
  }
};
using Ended = std::vector<std::pair<std::uint64_t, RemovedReason>>;
using Cookies = std::vector<std::uint64_t>;

LearnAction learner(std::uint8_t table, std::uint64_t cookie) {
  LearnAction learn;
  learn.table = table;
  learn.cookie = cookie;
  learn.delete_learned = true;
  return learn;
}

}  // namespace

TEST_SUITE("timeouts") {
  TEST_CASE("a hard timeout counts from the installation, whatever packets come") {
    OneBridge bridge;
    const RuleRef rule = bridge.add(1, 0, 10);
    bridge.add(2, 0, 0);
    CHECK(bridge.config.next_expiry() == kStart + 10s);
    rule->counters.add(1, 100, kStart + 9s);
    CHECK(bridge.expired(kStart + 9999ms).empty());
    CHECK(bridge.expired(kStart + 10s) == Ended{{1, RemovedReason::kHardTimeout}});
    CHECK(bridge.cookies() == Cookies{2});
    CHECK(bridge.config.next_expiry() == std::nullopt);
    CHECK(bridge.expired(kStart + 20s).empty());
  }

  TEST_CASE("an idle timeout counts from the last packet") {
    OneBridge bridge;
    const RuleRef rule = bridge.add(1, 10, 0);
    rule->counters.add(1, 100, kStart + 8s);
    CHECK(bridge.config.next_expiry() == kStart + 10s);  // worth asking; the rule lives on
    CHECK(bridge.expired(kStart + 10s).empty());
    CHECK(bridge.config.next_expiry() == kStart + 18s);
    CHECK(bridge.expired(kStart + 18s) == Ended{{1, RemovedReason::kIdleTimeout}});
  }

  TEST_CASE("what is credited to the rule that a modify replaced keeps its successor alive") {
    OneBridge bridge;
    const RuleRef first = bridge.add(1, 10, 0);
    FlowMod modify = bridge.mod(1, 0, 0);
    modify.command = Command::kModify;
    modify.actions = {};
    bridge.apply(modify, kStart + 1s);
    first->counters.add(1, 100, kStart + 9s);
    CHECK(bridge.expired(kStart + 11s).empty());
    CHECK(bridge.expired(kStart + 19s).size() == 1);
  }

  TEST_CASE("modify leaves timeouts as they are and starts the hard one again, also where it changes nothing") {
    OneBridge bridge;
    bridge.add(1, 0, 10);
    FlowMod modify = bridge.mod(1, 3, 3);
    modify.command = Command::kModify;
    SUBCASE("other actions") { modify.actions = {}; }
    SUBCASE("the same actions") {}
    bridge.apply(modify, kStart + 6s);
    CHECK(bridge.rule(1)->hard_timeout == 10);
    CHECK(bridge.rule(1)->idle_timeout == 0);
    CHECK(bridge.rule(1)->created == kStart);
    CHECK(bridge.expired(kStart + 10s).empty());
    CHECK(bridge.expired(kStart + 16s).size() == 1);
  }

  TEST_CASE("a rule with fin_timeout is asked each second, for its timeouts may have become shorter") {
    OneBridge bridge;
    FlowMod mod = bridge.mod(1, 0, 3600);
    mod.actions = {FinTimeoutAction{5, 0}, OutputAction{PortNo{1}}};
    bridge.apply(mod);
    const RuleRef rule = bridge.rule(1);
    REQUIRE(bridge.config.next_expiry());
    CHECK(*bridge.config.next_expiry() <= kStart + 1s);
    rule->counters.add(1, 60, kStart + 2s);
    rule->idle_timeout = 5;  // as the packet's translation does
    for (TimePoint now = kStart + 1s; now < kStart + 7s; now = *bridge.config.next_expiry()) {
      CHECK(bridge.expired(now).empty());
      REQUIRE(*bridge.config.next_expiry() <= now + 1s);
    }
    CHECK(bridge.expired(kStart + 7s) == Ended{{1, RemovedReason::kIdleTimeout}});
  }

  TEST_CASE("rules of several bridges end in one change") {
    OneBridge bridge;
    const BridgeId other = bridge.config.add_bridge("br1");
    bridge.add(1, 0, 10);
    FlowMod mod = bridge.mod(2, 10, 0);
    bridge.config.apply(other, std::span{&mod, 1}, kStart);
    const auto version = bridge.config.version();
    const Change change = bridge.config.expire(kStart + 10s);
    CHECK(change.removed.size() == 2);
    CHECK_FALSE(change.bridge);
    CHECK_FALSE(change.empty());
    CHECK(bridge.config.version() == version + 1);
    CHECK(bridge.cookies().empty());
    CHECK(bridge.config.list(other, FlowMod{}).size() == 1);
    CHECK(bridge.config.expire(kStart + 11s).empty());
    CHECK(bridge.config.version() == version + 1);
  }

  TEST_CASE("a table of a limited size refuses, or takes the least important rule that would end by itself") {
    OneBridge bridge;
    TableConfig settings;
    settings.max_rules = 3;
    bridge.config.set_table(bridge.id, 0, settings);
    bridge.add(1, 0, 100);
    bridge.add(2, 0, 50);
    bridge.add(3, 0, 0);
    const auto full = [&](std::uint16_t priority) {
      try {
        bridge.add(priority, 0, 0);
      } catch (const OfError& error) {
        return error.code() == OfErrorCode::kTableFull;
      }
      return false;
    };
    CHECK(full(4));
    bridge.add(2, 0, 60);  // in place of another: needs no room
    settings.evict = true;
    bridge.config.set_table(bridge.id, 0, settings);
    SUBCASE("that which ends first") {
      const Change change = bridge.apply(bridge.mod(4, 0, 0));
      REQUIRE(change.removed.size() == 1);
      CHECK(change.removed[0].rule->cookie == 2);
      CHECK(change.removed[0].reason == RemovedReason::kEviction);
      CHECK(bridge.cookies() == Cookies{4, 3, 1});
      CHECK(bridge.apply(bridge.mod(5, 0, 0)).removed.size() == 1);
      CHECK(full(6));  // what is left stays for ever
      CHECK(bridge.cookies() == Cookies{5, 4, 3});
    }
    SUBCASE("importance comes before that, and rules of the same request count") {
      FlowMod important = bridge.mod(4, 0, 10);
      important.importance = 7;
      bridge.remove(bridge.mod(9, 0, 0));
      std::vector<FlowMod> mods{important, bridge.mod(5, 0, 500), bridge.mod(6, 0, 0), bridge.mod(7, 0, 0)};
      bridge.config.apply(bridge.id, mods, kStart);
      CHECK(bridge.cookies() == Cookies{7, 6, 4});
    }
    SUBCASE("a smaller limit takes what it can") {
      settings.max_rules = 1;
      const Change change = bridge.config.set_table(bridge.id, 0, settings);
      CHECK(change.removed.size() == 2);
      CHECK(bridge.cookies() == Cookies{3});
    }
    SUBCASE("a refused request leaves all as it was") {
      settings.evict = false;
      bridge.config.set_table(bridge.id, 0, settings);
      std::vector<FlowMod> mods{bridge.mod(1, 0, 9), bridge.mod(8, 0, 0)};
      CHECK_THROWS_AS(bridge.config.apply(bridge.id, mods, kStart), OfError);
      CHECK(bridge.rule(1)->hard_timeout == 100);
    }
    CHECK_THROWS_AS(bridge.config.set_table(bridge.id, 254, settings), OfError);
  }

  TEST_CASE("which rule ends first is asked when one is to be evicted: packets have come since") {
    OneBridge bridge;
    TableConfig settings;
    settings.max_rules = 3;
    settings.evict = true;
    bridge.config.set_table(bridge.id, 0, settings);
    const RuleRef busy = bridge.add(1, 10, 0);
    bridge.add(2, 15, 0);
    bridge.add(3, 20, 0);
    busy->counters.add(1, 60, kStart + 9s);
    // Several in one request, and none of what it deleted itself.
    std::vector<FlowMod> mods{bridge.mod(4, 0, 0), bridge.mod(5, 0, 0), bridge.mod(6, 0, 0)};
    SUBCASE("one by one") {
      bridge.apply(mods[0], kStart + 9s);
      CHECK(bridge.cookies() == Cookies{4, 3, 1});
      bridge.apply(mods[1], kStart + 9s);
      CHECK(bridge.cookies() == Cookies{5, 4, 3});
      bridge.apply(mods[2], kStart + 9s);
    }
    SUBCASE("at once") { bridge.config.apply(bridge.id, mods, kStart + 9s); }
    SUBCASE("beside a deletion") {
      FlowMod gone = bridge.mod(2, 0, 0);
      gone.command = Command::kDeleteStrict;
      mods.insert(mods.begin(), {gone, bridge.mod(7, 1, 0)});
      bridge.config.apply(bridge.id, mods, kStart + 9s);
    }
    CHECK(bridge.cookies() == Cookies{6, 5, 4});
  }

  TEST_CASE("another miss concerns whoever looked the table up, a name nobody") {
    OneBridge bridge;
    TableConfig settings;
    settings.name = "acl";
    CHECK(bridge.config.set_table(bridge.id, 5, settings).empty());
    CHECK(bridge.config.find_bridge("br0")->table_configs->at(5).name == "acl");
    settings.miss = TableConfig::Miss::kContinue;
    const Change change = bridge.config.set_table(bridge.id, 5, settings);
    REQUIRE(change.rules.size() == 1);
    CHECK(change.rules[0].table == 5);
    CHECK(is_zero(change.rules[0].match.mask));
    const auto version = bridge.config.version();
    CHECK(bridge.config.set_table(bridge.id, 5, settings).empty());
    CHECK(bridge.config.version() == version);
    bridge.config.set_table(bridge.id, 5, TableConfig{});
    CHECK(bridge.config.find_bridge("br0")->table_configs->empty());
  }
}

TEST_SUITE("learned rules") {
  TEST_CASE("a learned rule is added once; learning it again starts its hard timeout again") {
    OneBridge bridge;
    FlowMod learned = bridge.mod(9, 0, 10);
    learned.table = std::uint8_t{2};
    CHECK_FALSE(bridge.config.learn(bridge.id, learned, 0, nullptr, false, kStart).empty());
    const auto version = bridge.config.version();
    CHECK(bridge.config.learn(bridge.id, learned, 0, nullptr, false, kStart + 5s).empty());
    CHECK(bridge.config.version() == version);
    CHECK(bridge.expired(kStart + 10s).empty());
    CHECK(bridge.expired(kStart + 15s).size() == 1);
  }

  TEST_CASE("learning a rule otherwise changes its actions and cookie, not its timeouts") {
    OneBridge bridge;
    FlowMod learned = bridge.mod(9, 20, 0);
    bridge.config.learn(bridge.id, learned, 0, nullptr, false, kStart);
    bridge.rule(9)->counters.add(3, 300, kStart);
    learned.actions = {};
    learned.cookie = 77;
    learned.idle_timeout = 5;
    CHECK_FALSE(bridge.config.learn(bridge.id, learned, 0, nullptr, false, kStart).empty());
    CHECK(bridge.rule(9)->actions.empty());
    CHECK(bridge.rule(9)->cookie == 77);
    CHECK(bridge.rule(9)->idle_timeout == 20);
    CHECK(bridge.rule(9)->counters.packets() == 3);
  }

  TEST_CASE("a limit holds, over rules of that cookie in that table, and those that are there are refreshed") {
    OneBridge bridge;
    const auto learn = [&](std::uint16_t priority) {
      FlowMod learned = bridge.mod(priority, 0, 0);
      learned.cookie = 5;
      learned.table = std::uint8_t{1};
      return !bridge.config.learn(bridge.id, learned, 2, nullptr, false, kStart).empty();
    };
    FlowMod other = bridge.mod(5, 0, 0);  // of that cookie in another table
    bridge.apply(other);
    CHECK(learn(1));
    CHECK(learn(2));
    CHECK_FALSE(learn(3));
    CHECK_FALSE(learn(2));
    FlowMod gone = bridge.mod(2, 0, 0);
    gone.table = std::uint8_t{1};
    gone.command = Command::kDeleteStrict;
    bridge.apply(gone);
    CHECK(learn(3));
    CHECK_FALSE(learn(4));
  }

  TEST_CASE("a rule that is gone learns no more") {
    OneBridge bridge;
    const RuleRef by = bridge.add(1, 0, 0);
    bridge.remove({});
    CHECK(bridge.config.learn(bridge.id, bridge.mod(9, 0, 0), 0, by, false, kStart).empty());
    CHECK(bridge.cookies().empty());
    CHECK(bridge.config.learn(BridgeId{99}, bridge.mod(9, 0, 0), 0, nullptr, false, kStart).empty());
  }

  TEST_CASE("learned rules go with the last rule that would learn more of them") {
    OneBridge bridge;
    const auto add_learner = [&](std::uint16_t priority, ActionList actions) {
      FlowMod mod = bridge.mod(priority, 0, 0);
      mod.actions = std::move(actions);
      bridge.apply(mod);
    };
    add_learner(1, {learner(4, 40)});
    add_learner(2, {CloneAction{{learner(4, 40)}}});
    for (const std::uint16_t priority : {std::uint16_t{40}, std::uint16_t{41}}) {
      FlowMod learned = bridge.mod(priority, 0, 0);
      learned.table = std::uint8_t{4};
      learned.cookie = priority;
      // One of the learned rules learns itself.
      if (priority == 40) learned.actions = {learner(5, 50)};
      bridge.config.learn(bridge.id, learned, 0, bridge.rule(1), true, kStart);
    }
    FlowMod deeper = bridge.mod(50, 0, 0);
    deeper.table = std::uint8_t{5};
    bridge.config.learn(bridge.id, deeper, 0, nullptr, true, kStart);
    CHECK(bridge.cookies() == Cookies{2, 1, 41, 40, 50});
    FlowMod gone = bridge.mod(1, 0, 0);
    gone.command = Command::kDeleteStrict;
    bridge.apply(gone);
    CHECK(bridge.cookies() == Cookies{2, 41, 40, 50});
    gone.priority = 2;
    const Change change = bridge.apply(gone);
    CHECK(change.removed.size() == 3);
    CHECK(bridge.cookies() == Cookies{41});
  }

  TEST_CASE("a rule that goes on learning under other actions keeps what it has learned") {
    OneBridge bridge;
    FlowMod mod = bridge.mod(1, 0, 0);
    mod.actions = {learner(4, 40)};
    bridge.apply(mod);
    FlowMod learned = bridge.mod(40, 0, 0);
    learned.table = std::uint8_t{4};
    bridge.config.learn(bridge.id, learned, 0, bridge.rule(1), true, kStart);
    mod.command = Command::kModify;
    mod.actions = {learner(4, 40), OutputAction{PortNo{2}}};
    bridge.apply(mod);
    CHECK(bridge.cookies() == Cookies{1, 40});
    mod.actions = {};
    bridge.apply(mod);
    CHECK(bridge.cookies() == Cookies{1});
  }
}
