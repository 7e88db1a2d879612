// SPDX-License-Identifier: Apache-2.0
#include "user/worker/action_lists.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "tests/unit/worker/memory_maps.h"
#include "user/worker/rewrite.h"

using namespace shunt;
using namespace shunt::test;

namespace {

using Actions = std::vector<shunt_action>;

// A list of `count` actions that no other `number` has, and no rewrite.
Actions list(std::size_t count, std::uint16_t number) {
  Actions actions(count, simple(SHUNT_ACT_TRUNCATE, number));
  actions.back() = output_to(number);
  return actions;
}

bool equal(std::span<const shunt_action> a, const Actions& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

// One that has a rewrite.
Actions routing_list(std::size_t count, std::uint16_t number) {
  Actions actions(count, simple(SHUNT_ACT_DEC_TTL));
  actions.back() = output_to(number);
  return actions;
}

bool has_rewrite_behind(const Actions& elements, std::uint32_t first, const Actions& actions) {
  const auto wanted = rewrite_of(actions);
  return wanted && std::memcmp(&elements[first + actions.size()], &*wanted, sizeof *wanted) == 0;
}

}  // namespace

TEST_SUITE("action lists") {
  TEST_CASE("equal lists are one, others do not overlap") {
    Actions elements(64);
    ActionLists lists{elements};
    const auto first = lists.acquire(list(3, 1)), again = lists.acquire(list(3, 1)), other = lists.acquire(list(2, 2));
    REQUIRE((first && again && other));
    CHECK(*first == *again);
    CHECK_FALSE(first->has_rewrite);
    CHECK((other->first >= first->first + 3 || other->first + 2 <= first->first));
    CHECK(equal(lists.actions(first->first), list(3, 1)));
    CHECK(equal(lists.actions(other->first), list(2, 2)));
    CHECK(lists.count() == 2);
  }

  TEST_CASE("a rewrite stands behind the actions, and is none of them") {
    Actions elements(64);
    ActionLists lists{elements};
    const Actions routing = routing_list(3, 1);
    const auto first = lists.acquire(routing), again = lists.acquire(routing), other = lists.acquire(list(3, 1));
    REQUIRE((first && again && other));
    CHECK(first->has_rewrite);
    CHECK(*first == *again);
    CHECK((other->first >= first->first + 5 || other->first + 3 <= first->first));
    CHECK(equal(lists.actions(first->first), routing));
    CHECK(has_rewrite_behind(elements, first->first, routing));
    CHECK(lists.acquire(routing_list(SHUNT_MAX_ACTIONS, 1)));
  }

  TEST_CASE("what a program may still read is not written before its epoch is over") {
    Actions elements(4);
    ActionLists lists{elements};
    const auto first = lists.acquire(list(4, 1));
    REQUIRE(first);
    lists.release(first->first, 5);
    CHECK(lists.has_retired(5));
    CHECK_FALSE(lists.acquire(list(4, 2)));
    lists.reclaim(4);
    CHECK_FALSE(lists.acquire(list(4, 2)));
    CHECK(equal(lists.actions(first->first), list(4, 1)));
    lists.reclaim(5);
    CHECK(lists.acquire(list(4, 2)));
    CHECK(lists.count() == 1);
  }

  TEST_CASE("a list that is wanted again before its epoch is over stays") {
    Actions elements(4);
    ActionLists lists{elements};
    const auto first = lists.acquire(list(4, 1));
    lists.release(first.value().first, 5);
    CHECK(lists.acquire(list(4, 1)) == first);
    lists.reclaim(5);
    CHECK(equal(lists.actions(first->first), list(4, 1)));
    lists.release(first->first, 6);
    lists.reclaim(5);
    CHECK_FALSE(lists.acquire(list(1, 2)));
    lists.reclaim(6);
    CHECK(lists.acquire(list(1, 2)));
  }

  TEST_CASE("longer runs serve for shorter lists where nothing else is left") {
    Actions elements(16);
    ActionLists lists{elements};
    lists.release(lists.acquire(list(16, 1)).value().first, 1);
    lists.reclaim(1);
    for (std::uint16_t i = 0; i < 16; ++i) CHECK(lists.acquire(list(1, i)));
    CHECK_FALSE(lists.acquire(list(1, 99)));
  }

  TEST_CASE("lists come and go at random: none is ever written while it is in use") {
    std::mt19937 random{3};
    Actions elements(256);
    ActionLists lists{elements};
    struct Use {
      Actions actions;
      ActionLists::Acquired at;
    };
    std::vector<Use> uses;
    std::uint64_t epoch = 1;
    for (int i = 0; i < 20'000; ++i) {
      if (random() % 2 == 0 || uses.empty()) {
        const auto number = static_cast<std::uint16_t>(random() % 64);
        const std::size_t count = 1 + random() % SHUNT_MAX_ACTIONS;
        Actions actions = random() % 2 == 0 ? list(count, number) : routing_list(count, number);
        if (const auto at = lists.acquire(actions)) uses.push_back({std::move(actions), *at});
      } else {
        std::swap(uses[random() % uses.size()], uses.back());
        lists.release(uses.back().at.first, epoch);
        uses.pop_back();
      }
      if (random() % 8 == 0) lists.reclaim(epoch++);
      const Use* wrong = nullptr;
      for (const Use& use : uses)
        if (!equal(lists.actions(use.at.first), use.actions) ||
            use.at.has_rewrite != rewrite_of(use.actions).has_value() ||
            (use.at.has_rewrite && !has_rewrite_behind(elements, use.at.first, use.actions)))
          wrong = &use;
      REQUIRE(wrong == nullptr);
    }
  }

  TEST_CASE("an earlier daemon's lists are taken over, and what is between them is free") {
    Actions elements(16);
    const Actions kept = list(4, 7);
    std::ranges::copy(kept, elements.begin() + 6);
    ActionLists lists{elements};
    CHECK(lists.inherit(6, 4, false));
    CHECK(lists.inherit(6, 4, false));
    CHECK_FALSE(lists.inherit(6, 3, false));  // the same, of another length
    CHECK_FALSE(lists.inherit(6, 4, true));
    CHECK_FALSE(lists.inherit(6, 2, true));   // as many elements, but other actions
    CHECK_FALSE(lists.inherit(8, 4, false));  // they overlap
    CHECK_FALSE(lists.inherit(3, 2, true));
    CHECK_FALSE(lists.inherit(14, 1, true));
    CHECK_FALSE(lists.inherit(4, 3, false));
    CHECK_FALSE(lists.inherit(14, 3, false));  // beyond the end
    CHECK_FALSE(lists.inherit(0, 0, false));
    CHECK_FALSE(lists.inherit(0, SHUNT_MAX_ACTIONS + 1, false));
    lists.found_all();
    CHECK(lists.acquire(kept) == ActionLists::Acquired{6, false});
    for (std::uint16_t i = 0; i < 12; ++i) CHECK(lists.acquire(list(1, i)));
    CHECK_FALSE(lists.acquire(list(1, 99)));
    CHECK(equal(lists.actions(6), kept));
    for (int i = 0; i < 3; ++i) lists.release(6, 1);
    lists.reclaim(1);
    CHECK(lists.acquire(list(4, 8)) == ActionLists::Acquired{6, false});
  }

  TEST_CASE("so are rewrites, and lists that it left without one") {
    const Actions routing = routing_list(2, 7), bare = routing_list(2, 8);
    Actions before(8), elements(8);
    REQUIRE(ActionLists{before}.acquire(routing) == ActionLists::Acquired{0, true});
    std::ranges::copy(before.begin(), before.begin() + 4, elements.begin() + 2);
    std::ranges::copy(bare, elements.begin() + 6);
    ActionLists lists{elements};
    CHECK(lists.inherit(2, 2, true));
    CHECK(lists.inherit(6, 2, false));
    lists.found_all();
    CHECK(lists.acquire(routing) == ActionLists::Acquired{2, true});
    CHECK(lists.acquire(bare) == ActionLists::Acquired{6, false});
    for (std::uint16_t i = 0; i < 2; ++i) CHECK(lists.acquire(list(1, i)));
    CHECK_FALSE(lists.acquire(list(1, 99)));
    CHECK(has_rewrite_behind(elements, 2, routing));
  }
}
