// SPDX-License-Identifier: Apache-2.0
#include "user/worker/rewrite.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <vector>

#include "tests/unit/worker/memory_maps.h"

using namespace shunt;
using namespace shunt::test;

namespace {

using Actions = std::vector<shunt_action>;

shunt_action set(shunt_field field, std::initializer_list<std::uint8_t> value,
                 std::initializer_list<std::uint8_t> mask = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) {
  shunt_action action = simple(SHUNT_ACT_SET_FIELD);
  action.field = static_cast<std::uint8_t>(field);
  std::copy(value.begin(), value.end(), action.value);
  std::copy_n(mask.begin(), std::min(mask.size(), std::size(action.mask)), action.mask);
  return action;
}

shunt_action set_ttl(std::uint8_t ttl) { return set(SHUNT_FIELD_IP_TTL, {ttl}, {0xff}); }

const shunt_action kDec = simple(SHUNT_ACT_DEC_TTL);

}  // namespace

TEST_SUITE("rewrite") {
  TEST_CASE("a router's and a translator's edits are one rewrite") {
    const auto rewrite =
        rewrite_of(Actions{set(SHUNT_FIELD_ETH_SRC, {2, 0, 0, 0, 0, 1}), set(SHUNT_FIELD_ETH_DST, {2, 0, 0, 0, 0, 2}),
                           kDec, set(SHUNT_FIELD_IP_SRC, {10, 0, 0, 1}), set(SHUNT_FIELD_IP_DST, {10, 0, 0, 2}),
                           set(SHUNT_FIELD_TP_SRC, {0, 80}), set(SHUNT_FIELD_TP_DST, {0, 81}), output_to(2)});
    REQUIRE(rewrite);
    const auto holds = [](const auto& field, std::initializer_list<std::uint8_t> bytes) {
      return std::equal(std::begin(field), std::end(field), bytes.begin(), bytes.end());
    };
    CHECK(holds(rewrite->outer.eth, {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}));
    CHECK(holds(rewrite->inner.ip, {10, 0, 0, 1, 10, 0, 0, 2}));
    CHECK(holds(rewrite->inner.ports, {0, 80, 0, 81}));
    CHECK(rewrite->outer.spent == 1);
    CHECK(rewrite->outer.ttl == 0);
    CHECK(rewrite->outer.what == (0xff & ~SHUNT_REWRITE_TOS));
  }

  TEST_CASE("of two edits of a field the later one holds") {
    const auto rewrite = rewrite_of(Actions{set(SHUNT_FIELD_ETH_DST, {1, 1, 1, 1, 1, 1}),
                                            set(SHUNT_FIELD_ETH_DST, {2, 2, 2, 2, 2, 2}), output_to(2)});
    REQUIRE(rewrite);
    CHECK(rewrite->outer.what == SHUNT_REWRITE_ETH_DST);
    CHECK(rewrite->outer.eth[0] == 2);
  }

  TEST_CASE("a TTL that is set is what is decremented then, and one that is decremented first is used up first") {
    struct {
      Actions edits;
      int ttl, spent;  // ttl < 0: no rewrite
    } const cases[]{
        {{kDec, kDec}, 0, 2},         {{set_ttl(64), kDec}, 63, 0},
        {{kDec, set_ttl(64)}, 64, 1}, {{kDec, set_ttl(9), kDec, kDec}, 7, 1},
        {{set_ttl(2), kDec}, 1, 0},   {{set_ttl(1), kDec}, -1, 0},  // runs out
        {{set_ttl(0)}, -1, 0},
    };
    for (const auto& each : cases) {
      Actions list = each.edits;
      list.push_back(output_to(2));
      const auto rewrite = rewrite_of(list);
      CHECK(rewrite.has_value() == (each.ttl >= 0));
      if (!rewrite) continue;
      CHECK(rewrite->outer.what == SHUNT_REWRITE_TTL);
      CHECK(int{rewrite->outer.ttl} == each.ttl);
      CHECK(int{rewrite->outer.spent} == each.spent);
    }
  }

  TEST_CASE("ToS is written bit by bit") {
    const auto rewrite =
        rewrite_of(Actions{set(SHUNT_FIELD_IP_TOS, {0xb8}, {0xfc}), set(SHUNT_FIELD_IP_TOS, {0x01}, {0x03}),
                           set(SHUNT_FIELD_IP_TOS, {0x00}, {0x80}), output_to(2)});
    REQUIRE(rewrite);
    CHECK(rewrite->inner.tos == 0x39);
    CHECK(rewrite->inner.tos_mask == 0xff);
  }

  TEST_CASE("a tag is taken off, pushed, or replaced; one that was pushed and taken off again was never there") {
    constexpr int kPop = SHUNT_REWRITE_POP, kPush = SHUNT_REWRITE_PUSH;
    const shunt_action pop = simple(SHUNT_ACT_POP_VLAN), vid = set(SHUNT_FIELD_VLAN_TCI, {0x10, 9}, {0x1f, 0xff});
    const shunt_action push = push_vlan(5);
    shunt_action service = push_vlan(7), other = push_vlan(8);
    service.value[0] = 0x88, service.value[1] = 0xa8;
    other.value[0] = 0x91, other.value[1] = 0x00;
    struct {
      Actions edits;
      int tags, tci;  // tags < 0: no rewrite
    } const cases[]{
        {{pop}, kPop, 0},
        {{push}, kPush, 5},
        {{service}, kPush | SHUNT_REWRITE_SERVICE, 7},
        {{pop, push}, kPop | kPush, 5},
        {{push, vid}, kPush, 9},
        {{push, pop, service, pop, push}, kPush, 5},
        {{pop, service, pop}, kPop, 0},
        {{pop, pop}, -1, 0},
        {{push, push}, -1, 0},
        {{other}, -1, 0},
        {{vid}, -1, 0},
    };
    for (const auto& each : cases) {
      Actions list = each.edits;
      list.push_back(output_to(2));
      const auto rewrite = rewrite_of(list);
      CAPTURE(list.size());
      CHECK(rewrite.has_value() == (each.tags >= 0));
      if (!rewrite) continue;
      CHECK(int{rewrite->outer.tags} == each.tags);
      CHECK((rewrite->inner.tci[0] << 8 | rewrite->inner.tci[1]) == each.tci);
      CHECK(rewrite->outer.what == 0);
    }
  }

  TEST_CASE("anything else stays a list") {
    const shunt_action mac = set(SHUNT_FIELD_ETH_DST, {1, 1, 1, 1, 1, 1});
    CHECK(rewrite_of(Actions{mac, output_to(2)}));
    shunt_action group = simple(SHUNT_ACT_OUTPUT_GROUP, 1);
    CHECK(rewrite_of(Actions{mac, group}));
    CHECK_FALSE(rewrite_of(Actions{}));
    CHECK_FALSE(rewrite_of(Actions{output_to(2)}));
    CHECK_FALSE(rewrite_of(Actions{mac}));
    CHECK_FALSE(rewrite_of(Actions{kDec, simple(SHUNT_ACT_DROP)}));
    for (const shunt_action_type type : {SHUNT_ACT_METER, SHUNT_ACT_TRUNCATE,
                                         SHUNT_ACT_SAMPLE, SHUNT_ACT_PUSH_MPLS, SHUNT_ACT_OUTPUT})
      CHECK_FALSE(rewrite_of(Actions{mac, simple(type, 100), output_to(2)}));
    for (int field = 1; field < SHUNT_FIELD_COUNT; ++field) {
      const bool whole = (field >= SHUNT_FIELD_ETH_DST && field <= SHUNT_FIELD_ETH_SRC) ||
                         (field >= SHUNT_FIELD_IP_SRC && field <= SHUNT_FIELD_IP_DST) ||
                         (field >= SHUNT_FIELD_IP_TOS && field <= SHUNT_FIELD_TP_DST);
      const auto name = static_cast<shunt_field>(field);
      CAPTURE(field);
      CHECK(rewrite_of(Actions{set(name, {1, 2, 3, 4, 5, 6}), output_to(2)}).has_value() == whole);
      const bool in_part = rewrite_of(Actions{set(name, {0, 0, 0, 0, 0, 0}, {0xf0}), output_to(2)}).has_value();
      CHECK(in_part == (field == SHUNT_FIELD_IP_TOS));
    }
  }
}
