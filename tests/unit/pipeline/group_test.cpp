// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <optional>
#include <vector>

#include "user/base/of_error.h"
#include "user/pipeline/group_edit.h"
#include "user/pipeline/switch.h"

using namespace shunt;
using Command = GroupMod::Command;

namespace {

constexpr TimePoint kStart{std::chrono::hours{1}};
constexpr PortNo kOne{1}, kTwo{2};

Bucket bucket(std::uint32_t id, ActionList actions) {
  Bucket made;
  made.id = id;
  made.actions = std::move(actions);
  return made;
}
Bucket watching(std::uint32_t id, PortNo port, ActionList actions) {
  Bucket made = bucket(id, std::move(actions));
  made.watch_port = port;
  return made;
}

struct OneBridge {
  Switch config;
  BridgeId id = config.add_bridge("br0");

  Change apply(const GroupMod& mod) { return config.apply_group(id, mod, kStart); }
  Change put(Command command, std::uint32_t group, GroupType type, std::vector<Bucket> buckets) {
    GroupMod mod;
    mod.command = command;
    mod.group = group;
    mod.type = type;
    mod.buckets = std::move(buckets);
    return apply(mod);
  }
  Change add(std::uint32_t group, std::vector<Bucket> buckets, GroupType type = GroupType::kAll) {
    return put(Command::kAdd, group, type, std::move(buckets));
  }
  Change remove(std::uint32_t group) { return put(Command::kDelete, group, GroupType::kAll, {}); }
  Change buckets(Command command, std::uint32_t group, std::uint32_t at, std::vector<Bucket> more = {}) {
    GroupMod mod;
    mod.command = command;
    mod.group = group;
    mod.command_bucket = at;
    mod.buckets = std::move(more);
    return apply(mod);
  }
  Change rule(ActionList actions, std::uint16_t priority = 1) {
    FlowMod mod;
    mod.priority = priority;
    mod.actions = std::move(actions);
    return config.apply(id, std::span{&mod, 1}, kStart);
  }
  GroupRef group(std::uint32_t number) {
    const auto& groups = *config.find_bridge("br0")->groups;
    const auto found = groups.find(number);
    return found == groups.end() ? nullptr : found->second;
  }
  std::vector<std::uint32_t> ids(std::uint32_t number) {
    std::vector<std::uint32_t> ids;
    for (const BucketRef& each : group(number)->buckets) ids.push_back(each->id);
    return ids;
  }
  std::size_t rules() { return config.list(id, FlowMod{}).size(); }
};

// What a change is refused with; none: it was not. A refused one changes nothing.
template <typename Work>
std::optional<OfErrorCode> refusal(OneBridge& bridge, Work work) {
  const auto state = bridge.config.state();
  try {
    work();
  } catch (const OfError& error) {
    CHECK(bridge.config.state() == state);
    return error.code();
  }
  return std::nullopt;
}

}  // namespace

TEST_SUITE("groups") {
  TEST_CASE("a group is added, modified and deleted, and each change names it") {
    OneBridge bridge;
    const std::uint64_t tag = tag_of(DependencyKind::kGroup, 7);
    CHECK(bridge.add(7, {bucket(0, {OutputAction{kOne}})}).tags == tag);
    REQUIRE(bridge.group(7) != nullptr);
    CHECK(bridge.group(7)->created == kStart);
    CHECK(refusal(bridge, [&] { bridge.add(7, {}); }) == OfErrorCode::kGroupExists);
    CHECK(bridge.put(Command::kModify, 7, GroupType::kAll, {}).tags == tag);
    CHECK(bridge.group(7)->buckets.empty());
    CHECK(refusal(bridge, [&] { bridge.put(Command::kModify, 8, GroupType::kAll, {}); }) == OfErrorCode::kUnknownGroup);
    bridge.put(Command::kAddOrModify, 8, GroupType::kAll, {});
    bridge.put(Command::kAddOrModify, 8, GroupType::kAll, {bucket(1, {})});
    CHECK(bridge.ids(8) == std::vector<std::uint32_t>{1});
    CHECK(bridge.remove(7).tags == tag);
    CHECK(bridge.group(7) == nullptr);
    CHECK(bridge.remove(7).empty());  // it is gone already
    bridge.remove(kGroupAll);
    CHECK(bridge.group(8) == nullptr);
  }

  TEST_CASE("what OpenFlow refuses of a group has its code") {
    OneBridge bridge;
    const auto add = [&](std::uint32_t id, GroupType type, std::vector<Bucket> buckets) {
      return refusal(bridge, [&] { bridge.add(id, std::move(buckets), type); });
    };
    CHECK(add(kGroupMax + 1, GroupType::kAll, {}) == OfErrorCode::kInvalidGroup);
    CHECK(add(kGroupAny, GroupType::kAll, {}) == OfErrorCode::kInvalidGroup);
    CHECK(add(1, GroupType::kIndirect, {}) == OfErrorCode::kInvalidGroup);
    CHECK(add(1, GroupType::kIndirect, {bucket(0, {}), bucket(1, {})}) == OfErrorCode::kInvalidGroup);
    CHECK(add(1, static_cast<GroupType>(9), {}) == OfErrorCode::kBadGroupType);
    CHECK(add(1, GroupType::kFastFailover, {bucket(0, {})}) == OfErrorCode::kInvalidGroup);
    CHECK(add(1, GroupType::kAll, {watching(0, kOne, {})}) == OfErrorCode::kWatchUnsupported);
    CHECK(add(1, GroupType::kFastFailover, {watching(0, kPortNormal, {})}) == OfErrorCode::kBadWatch);
    Bucket watches_group = bucket(0, {});
    watches_group.watch_group = 5;
    CHECK(add(1, GroupType::kFastFailover, {watches_group}) == OfErrorCode::kBadWatch);
    CHECK(add(1, GroupType::kAll, {bucket(3, {}), bucket(3, {})}) == OfErrorCode::kBucketExists);
    CHECK(add(1, GroupType::kAll, {bucket(0xffffff01, {})}) == OfErrorCode::kBadBucket);
    CHECK(add(1, GroupType::kAll, {bucket(0, {GroupAction{9}})}) == OfErrorCode::kBadOutGroup);
    CHECK(add(1, GroupType::kAll, {bucket(0, {OutputAction{PortNo{0}}})}) == OfErrorCode::kBadOutPort);
    CHECK(add(1, GroupType::kAll, {bucket(0, {GotoTableAction{3}})}) == OfErrorCode::kBadInstruction);
    CHECK(add(1, GroupType::kAll, {bucket(0, {MeterAction{3}})}) == OfErrorCode::kUnknownMeter);
    std::vector<Bucket> many;
    for (std::uint32_t i = 0; i <= GroupEdit::kMaxBuckets; ++i) many.push_back(bucket(i, {}));
    CHECK(add(1, GroupType::kAll, many) == OfErrorCode::kOutOfBuckets);
    many.pop_back();
    CHECK(add(1, GroupType::kAll, many) == std::nullopt);
    CHECK(refusal(bridge, [&] { bridge.buckets(Command::kInsertBucket, 1, kBucketLast, {bucket(5000, {})}); }) ==
          OfErrorCode::kOutOfBuckets);
    GroupMod mod;
    mod.group = kGroupAny;
    mod.line = 17;
    try {
      bridge.apply(mod);
      FAIL("not refused");
    } catch (const OfError& error) {
      CHECK(error.line() == 17);
    }
  }

  TEST_CASE("a refusal says which of the change's buckets it is about, and which action of it") {
    OneBridge bridge;
    using Path = std::vector<std::size_t>;
    const auto path = [](auto&& change) {
      try {
        change();
      } catch (const OfError& error) {
        return Path{error.path().begin(), error.path().end()};
      }
      return Path{99};
    };
    bridge.add(1, {bucket(0, {}), bucket(1, {})});
    bridge.add(2, {bucket(0, {GroupAction{1}})});
    CHECK(path([&] { bridge.add(3, {bucket(0, {}), bucket(1, {OutputAction{kOne}, GroupAction{9}})}); }) == Path{1, 1});
    CHECK(path([&] { bridge.add(3, {bucket(0, {}), bucket(0, {})}); }) == Path{1});
    const auto insert = [&](std::uint32_t behind, const std::vector<Bucket>& buckets) {
      return path([&] { bridge.buckets(Command::kInsertBucket, 1, behind, buckets); });
    };
    CHECK(insert(kBucketLast, {bucket(5, {GroupAction{9}})}) == Path{0, 0});
    CHECK(insert(0, {bucket(5, {}), bucket(6, {GroupAction{2}})}) == Path{1});  // a loop
    CHECK(insert(kBucketFirst, {bucket(5, {}), bucket(1, {})}) == Path{1});
    CHECK(insert(7, {bucket(5, {})}).empty());
  }

  TEST_CASE("all groups together have at most 262144 buckets, and room again when one goes") {
    OneBridge bridge;
    std::vector<GroupMod> mods(GroupEdit::kMaxBridgeBuckets / GroupEdit::kMaxBuckets);
    for (std::size_t i = 0; i < mods.size(); ++i) {
      mods[i].group = static_cast<std::uint32_t>(i);
      for (std::uint32_t id = 0; id < GroupEdit::kMaxBuckets; ++id) mods[i].buckets.push_back(bucket(id, {}));
    }
    bridge.config.apply_group(bridge.id, mods, kStart);
    CHECK(refusal(bridge, [&] { bridge.add(1000, {bucket(0, {})}); }) == OfErrorCode::kOutOfBuckets);
    GroupMod gone;
    gone.command = GroupMod::Command::kDelete;
    gone.group = 0;
    bridge.apply(gone);
    bridge.add(1000, {bucket(0, {})});
    CHECK(bridge.config.find_bridge("br0")->groups->contains(1000));
  }

  TEST_CASE("there are at most 65536 groups") {
    OneBridge bridge;
    std::vector<GroupMod> mods(GroupEdit::kMaxGroups + 1);
    for (std::size_t i = 0; i < mods.size(); ++i) mods[i].group = static_cast<std::uint32_t>(i);
    CHECK(refusal(bridge, [&] { bridge.config.apply_group(bridge.id, mods, kStart); }) == OfErrorCode::kOutOfGroups);
    mods.pop_back();
    bridge.config.apply_group(bridge.id, mods, kStart);
    CHECK(bridge.config.find_bridge("br0")->groups->size() == GroupEdit::kMaxGroups);
  }

  TEST_CASE("groups never lead back to themselves") {
    OneBridge bridge;
    CHECK(refusal(bridge, [&] { bridge.add(1, {bucket(0, {GroupAction{1}})}); }) == OfErrorCode::kGroupLoop);
    bridge.add(1, {bucket(0, {OutputAction{kOne}})});
    bridge.add(2, {bucket(0, {GroupAction{1}})});
    bridge.add(3, {bucket(0, {CloneAction{{GroupAction{2}}}})});
    const auto modify = [&](std::vector<Bucket> buckets, GroupType type = GroupType::kAll) {
      return refusal(bridge, [&] { bridge.put(Command::kModify, 1, type, std::move(buckets)); });
    };
    CHECK(modify({bucket(0, {GroupAction{1}})}) == OfErrorCode::kGroupLoop);
    CHECK(modify({bucket(0, {GroupAction{3}})}) == OfErrorCode::kGroupLoop);
    CHECK(modify({bucket(0, {CloneAction{{GroupAction{2}}}})}) == OfErrorCode::kGroupLoop);
    Bucket watches = bucket(0, {});
    watches.watch_group = 3;
    CHECK(modify({watches}, GroupType::kFastFailover) == OfErrorCode::kGroupLoop);
    CHECK(refusal(bridge, [&] {
            bridge.buckets(Command::kInsertBucket, 1, kBucketLast, {bucket(1, {GroupAction{2}})});
          }) == OfErrorCode::kGroupLoop);
    // Two ways to one group are no loop.
    CHECK(refusal(bridge, [&] {
            bridge.add(4, {bucket(0, {GroupAction{1}}), bucket(1, {GroupAction{2}})});
          }) == std::nullopt);
  }

  TEST_CASE("a group that another one forwards to stays; the rules that use it go with it") {
    OneBridge bridge;
    bridge.add(1, {bucket(0, {})});
    bridge.add(2, {bucket(0, {GroupAction{1}})});
    Bucket watches = bucket(0, {});
    watches.watch_group = 2;
    bridge.add(3, {watches}, GroupType::kFastFailover);
    bridge.rule({GroupAction{2}}, 10);
    bridge.rule({WriteActionsAction{{GroupAction{3}}}}, 11);
    bridge.rule({CloneAction{{GroupAction{3}}}, OutputAction{kOne}}, 12);
    bridge.rule({OutputAction{kOne}}, 13);
    CHECK(bridge.config.group_references(bridge.id)[1] == 1);
    CHECK(bridge.config.group_references(bridge.id)[3] == 2);
    CHECK(refusal(bridge, [&] { bridge.remove(1); }) == OfErrorCode::kChainedGroup);
    CHECK(refusal(bridge, [&] { bridge.remove(2); }) == OfErrorCode::kChainedGroup);
    const Change change = bridge.remove(3);
    CHECK(bridge.rules() == 3);  // with the default rule
    REQUIRE(change.removed.size() == 2);
    CHECK(change.removed[0].reason == RemovedReason::kGroupDelete);
    CHECK(change.rules.size() >= 1);
    CHECK(bridge.config.group_references(bridge.id)[3] == 0);
    CHECK(bridge.remove(2).removed.size() == 1);
    CHECK(bridge.remove(1).removed.empty());
    CHECK(bridge.rules() == 2);
  }

  TEST_CASE("deleting all groups and adding one again in the same request still takes the rules") {
    OneBridge bridge;
    bridge.add(1, {});
    bridge.add(2, {bucket(0, {GroupAction{1}})});
    bridge.rule({GroupAction{1}}, 10);
    std::vector<GroupMod> mods(2);
    mods[0].command = Command::kDelete;
    mods[0].group = kGroupAll;
    mods[1].group = 1;
    CHECK(bridge.config.apply_group(bridge.id, mods, kStart).removed.size() == 1);
    CHECK(bridge.group(1) != nullptr);
    CHECK(bridge.group(2) == nullptr);
  }

  TEST_CASE("a list of changes is done whole or not at all") {
    OneBridge bridge;
    std::vector<GroupMod> mods(2);
    mods[0].group = 1;
    mods[1].group = 1;
    mods[1].line = 2;
    CHECK(refusal(bridge, [&] { bridge.config.apply_group(bridge.id, mods, kStart); }) == OfErrorCode::kGroupExists);
    CHECK(bridge.group(1) == nullptr);
  }

  TEST_CASE("buckets come and go one by one") {
    OneBridge bridge;
    bridge.add(1, {bucket(10, {}), bucket(20, {})});
    using Ids = std::vector<std::uint32_t>;
    bridge.buckets(Command::kInsertBucket, 1, kBucketFirst, {bucket(1, {}), bucket(2, {})});
    CHECK(bridge.ids(1) == Ids{1, 2, 10, 20});
    bridge.buckets(Command::kInsertBucket, 1, 10, {bucket(15, {})});
    CHECK(bridge.ids(1) == Ids{1, 2, 10, 15, 20});
    bridge.buckets(Command::kInsertBucket, 1, kBucketLast, {bucket(30, {})});
    bridge.buckets(Command::kInsertBucket, 1, kBucketLast, {bucket(kBucketAll, {}), bucket(kBucketAll, {})});
    CHECK(bridge.ids(1) == Ids{1, 2, 10, 15, 20, 30, 0, 3});
    const auto refused = [&](Command command, std::uint32_t at, std::vector<Bucket> more = {}) {
      return refusal(bridge, [&] { bridge.buckets(command, 1, at, std::move(more)); });
    };
    CHECK(refused(Command::kInsertBucket, kBucketLast, {bucket(15, {})}) == OfErrorCode::kBucketExists);
    CHECK(refused(Command::kInsertBucket, kBucketLast, {bucket(40, {}), bucket(40, {})}) == OfErrorCode::kBucketExists);
    CHECK(refused(Command::kInsertBucket, 99, {bucket(40, {})}) == OfErrorCode::kUnknownBucket);
    CHECK(refused(Command::kInsertBucket, kBucketAll, {bucket(40, {})}) == OfErrorCode::kUnknownBucket);
    CHECK(refused(Command::kRemoveBucket, 99) == OfErrorCode::kUnknownBucket);
    bridge.buckets(Command::kRemoveBucket, 1, 15);
    bridge.buckets(Command::kRemoveBucket, 1, kBucketFirst);
    bridge.buckets(Command::kRemoveBucket, 1, kBucketLast);
    CHECK(bridge.ids(1) == Ids{2, 10, 20, 30, 0});
    bridge.buckets(Command::kRemoveBucket, 1, kBucketAll);
    CHECK(bridge.ids(1).empty());
    CHECK(refused(Command::kRemoveBucket, kBucketLast) == OfErrorCode::kUnknownBucket);
    CHECK(refusal(bridge, [&] { bridge.buckets(Command::kInsertBucket, 9, kBucketLast); }) ==
          OfErrorCode::kUnknownGroup);
    bridge.add(5, {bucket(0, {})}, GroupType::kIndirect);
    CHECK(refusal(bridge, [&] { bridge.buckets(Command::kRemoveBucket, 5, kBucketAll); }) ==
          OfErrorCode::kInvalidGroup);
  }

  TEST_CASE("a bucket that stays as it was goes on counting, one that changed starts again, the group goes on") {
    OneBridge bridge;
    bridge.add(1, {bucket(0, {OutputAction{kOne}}), bucket(1, {OutputAction{kOne}})});
    const GroupRef before = bridge.group(1);
    before->counters.add(9, 900, kStart);
    for (const BucketRef& each : before->buckets) each->counters.add(4, 400, kStart);
    bridge.put(Command::kModify, 1, GroupType::kAll,
               {bucket(0, {OutputAction{kOne}}), bucket(1, {OutputAction{kTwo}})});
    const GroupRef after = bridge.group(1);
    CHECK(after->buckets[0] == before->buckets[0]);
    CHECK(after->buckets[1]->counters.packets() == 0);
    CHECK(after->counters.packets() == 9);
    CHECK(after->created == kStart);
    before->counters.add(2, 200, kStart);  // by a flow of the older version
    bridge.config.settle_counters();
    bridge.config.collect(bridge.config.version());
    CHECK(after->counters.packets() == 11);
    CHECK(after->counters.bytes() == 1100);
  }

  TEST_CASE("a select group has its slots, also after its buckets changed") {
    OneBridge bridge;
    bridge.add(1, {bucket(0, {}), bucket(1, {})}, GroupType::kSelect);
    const auto share = [&](std::uint16_t index) {
      const auto& slots = bridge.group(1)->slots;
      return 100 * std::count(slots.begin(), slots.end(), index) / static_cast<std::ptrdiff_t>(slots.size());
    };
    REQUIRE_FALSE(bridge.group(1)->slots.empty());
    CHECK(share(0) == 50);
    Bucket heavy = bucket(2, {});
    heavy.weight = 6;
    bridge.buckets(Command::kInsertBucket, 1, kBucketLast, {heavy});
    CHECK(share(2) == 75);
  }
}
