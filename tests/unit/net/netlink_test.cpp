// SPDX-License-Identifier: Apache-2.0
// What can be asked without privilege: of the loopback interface, which every namespace has.
#include "user/net/netlink.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <system_error>

#include "user/base/error.h"
#include "user/net/ethtool.h"
#include "user/net/netns.h"

namespace shunt {

TEST_SUITE("netlink") {
  TEST_CASE("the loopback interface is found by name, by index and in the list, and is the same each time") {
    Netlink netlink;
    const auto by_name = netlink.find("lo");
    REQUIRE(by_name);
    CHECK(by_name->loopback);
    CHECK_FALSE(by_name->ethernet);
    CHECK(by_name->kind.empty());
    CHECK(by_name->mtu >= 1500);
    CHECK(by_name->rx_queues >= 1);
    const auto by_index = netlink.find(by_name->index);
    REQUIRE(by_index);
    CHECK(by_index->name == "lo");
    const auto all = netlink.links();
    CHECK(std::ranges::count(all, by_name->index, &Link::index) == 1);
  }

  TEST_CASE("what is not there is not found, and that is no error") {
    Netlink netlink;
    CHECK_FALSE(netlink.find("no-such-link"));
    CHECK_FALSE(netlink.find(""));
    CHECK_FALSE(netlink.find("a-name-longer-than-any-link-can-have"));
    CHECK_FALSE(netlink.find(Ifindex{}));
    CHECK_FALSE(netlink.find(Ifindex{0x7ffffff0}));
    CHECK(netlink.find("lo"));  // the socket is still good after refusals
  }

  TEST_CASE("a refused change throws, naming what was refused") {
    CHECK_THROWS_WITH_AS(Netlink{}.set_up(Ifindex{0x7ffffff0}, true), doctest::Contains("set up interface 2147483632"),
                         std::system_error);
    CHECK_THROWS_AS(Netlink{}.add_veth({"ok", std::nullopt}, {"not ok", std::nullopt}), Error);
  }
}

TEST_SUITE("ethtool") {
  TEST_CASE("the loopback interface has features, and others have errors that name them") {
    Ethtool ethtool;
    const auto features = ethtool.features("lo");
    CHECK(features.contains("rx-gro"));
    CHECK(features.contains("tx-vlan-hw-insert"));
    CHECK_FALSE(ethtool.channels("lo"));
    CHECK_FALSE(ethtool.receive_rings("lo"));
    CHECK_THROWS_WITH_AS(static_cast<void>(ethtool.features("no-such-link")), doctest::Contains("no-such-link"),
                         std::system_error);
    CHECK_THROWS_AS(ethtool.set_feature("lo", "no-such-feature", true), Error);
  }
}

TEST_SUITE("namespace") {
  TEST_CASE("a thread's own namespace is found by its inode") {
    const Namespace own = current_namespace();
    const auto found = find_namespace(own.id);
    REQUIRE(found);
    CHECK(found->id == own.id);
  }
}

}  // namespace shunt
