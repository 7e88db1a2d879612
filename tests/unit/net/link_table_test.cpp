// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "user/base/error.h"
#include "user/net/ethtool.h"
#include "user/net/link_monitor.h"

namespace shunt {
namespace {

using Kind = LinkEvent::Kind;

Link link(std::uint32_t index, const std::string& name) {
  Link made;
  made.index = Ifindex{index};
  made.name = name;
  return made;
}

}  // namespace

TEST_SUITE("link table") {
  TEST_CASE("what did not change is no event") {
    LinkTable table;
    CHECK(table.update(link(1, "a")).size() == 1);
    CHECK(table.update(link(1, "a")).empty());
    CHECK(table.remove(Ifindex{2}).empty());
  }

  TEST_CASE("a change of name is a renaming, any other one a change") {
    LinkTable table;
    static_cast<void>(table.update(link(1, "a")));
    const auto renamed = table.update(link(1, "b"));
    REQUIRE(renamed.size() == 1);
    CHECK(renamed[0].kind == Kind::kRenamed);
    CHECK(renamed[0].old_name == "a");
    Link up = link(1, "b");
    up.up = true;
    const auto changed = table.update(up);
    REQUIRE(changed.size() == 1);
    CHECK(changed[0].kind == Kind::kChanged);
    CHECK(changed[0].link.up);
  }

  TEST_CASE("a dump tells what was missed, the gone before what took over their names") {
    LinkTable table;
    static_cast<void>(table.update(link(1, "lo")));
    static_cast<void>(table.update(link(5, "a")));
    static_cast<void>(table.update(link(6, "b")));
    const auto events = table.replace({link(1, "lo"), link(6, "c"), link(7, "a")});
    REQUIRE(events.size() == 3);
    CHECK(events[0].kind == Kind::kGone);
    CHECK(events[0].link.index == Ifindex{5});
    CHECK(events[1].kind == Kind::kRenamed);
    CHECK(events[1].old_name == "b");
    CHECK(events[2].kind == Kind::kNew);
    CHECK(events[2].link.index == Ifindex{7});
    CHECK(table.links() == std::vector{link(1, "lo"), link(6, "c"), link(7, "a")});
  }
}

TEST_SUITE("names") {
  TEST_CASE("names that the kernel would not take are refused") {
    for (const std::string name : {"", ".", "..", "a/b", "a:1", "a b", "sixteen-letters-", "tab\t"}) {
      CAPTURE(name);
      CHECK_THROWS_AS(check_link_name(name), Error);
    }
    for (const std::string name : {"a", "eth0", "fifteen-letters", "br.1", "x@y"}) {
      CAPTURE(name);
      CHECK_NOTHROW(check_link_name(name));
    }
  }

  TEST_CASE("features are named as users type them") {
    CHECK(feature_label("rx-gro") == "gro");
    CHECK(feature_label("tx-vlan-hw-insert") == "txvlan");
    CHECK(feature_label("tx-vlan-stag-hw-insert") == "tx-vlan-stag-hw-insert");
  }
}

}  // namespace shunt
