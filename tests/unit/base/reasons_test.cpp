// SPDX-License-Identifier: Apache-2.0
#include "user/base/reasons.h"

#include <doctest/doctest.h>

#include <set>

using namespace shunt;

TEST_SUITE("reasons") {
  TEST_CASE("each reason has a name of its own and a meaning") {
    std::set<std::string_view> drops, upcalls;
    for (const Reason& reason : kDropReasons) {
      CHECK(drops.insert(reason.name).second);
      CHECK_FALSE(reason.help.empty());
    }
    for (const Reason& reason : kUpcallReasons) {
      CHECK(upcalls.insert(reason.name).second);
      CHECK_FALSE(reason.help.empty());
    }
    CHECK(name_of(SHUNT_DROP_TABLE_MISS) == "table-miss");
    CHECK(name_of(SHUNT_UPCALL_CONTROLLER) == "controller");
    CHECK(help_of(SHUNT_DROP_TABLE_MISS) == "no rule matched");
  }

  TEST_CASE("a number that is no reason is unknown") {
    CHECK(name_of(static_cast<shunt_drop_reason>(31)) == "unknown");
    CHECK(name_of(SHUNT_UPCALL_COUNT) == "unknown");
    CHECK(help_of(SHUNT_DROP_COUNT).empty());
  }
}
