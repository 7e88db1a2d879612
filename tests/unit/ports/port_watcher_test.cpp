// SPDX-License-Identifier: Apache-2.0
#include "user/ports/port_watcher.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "user/ports/port_device.h"

namespace shunt {
namespace {

using Kind = PortAction::Kind;

Link link(std::uint32_t index, const std::string& name, bool usable = true) {
  Link made;
  made.index = Ifindex{index};
  made.name = name;
  made.mtu = 1500;
  made.up = made.carrier = usable;
  return made;
}

LinkEvent changed(const Link& to) { return {LinkEvent::Kind::kChanged, to, {}}; }
LinkEvent appeared(const Link& which) { return {LinkEvent::Kind::kNew, which, {}}; }
LinkEvent gone(const Link& which) { return {LinkEvent::Kind::kGone, which, {}}; }
LinkEvent renamed(const Link& to, const std::string& from) { return {LinkEvent::Kind::kRenamed, to, from}; }

std::vector<Kind> kinds(const std::vector<PortAction>& actions) {
  std::vector<Kind> all;
  for (const PortAction& action : actions) all.push_back(action.kind);
  return all;
}

constexpr DpPort kOne{1};
constexpr DpPort kTwo{2};

}  // namespace

TEST_SUITE("port watcher") {
  TEST_CASE("links that are no port's cause nothing") {
    PortWatcher watcher;
    watcher.adopt(kOne, link(5, "a"));
    CHECK(watcher.on_event(appeared(link(6, "b"))).empty());
    CHECK(watcher.on_event(changed(link(6, "b", false))).empty());
    CHECK(watcher.on_event(gone(link(6, "b"))).empty());
  }

  TEST_CASE("a port keeps its number when its interface vanishes, and gets the next one of its name") {
    PortWatcher watcher;
    watcher.adopt(kOne, link(5, "a"));
    const auto vanished = watcher.on_event(gone(link(5, "a")));
    REQUIRE(kinds(vanished) == std::vector{Kind::kVanished});
    CHECK(vanished[0].port == kOne);
    CHECK(vanished[0].link.index == Ifindex{5});
    CHECK(watcher.on_event(appeared(link(7, "b"))).empty());
    const auto returned = watcher.on_event(appeared(link(8, "a")));
    REQUIRE(kinds(returned) == std::vector{Kind::kReturned});
    CHECK(returned[0].port == kOne);
    CHECK(returned[0].link.index == Ifindex{8});
  }

  TEST_CASE("a port that could not be prepared is offered its interface again, and no longer once it is") {
    PortWatcher watcher;
    watcher.await(kOne, "a");
    CHECK(kinds(watcher.on_event(appeared(link(8, "a")))) == std::vector{Kind::kReturned});
    CHECK(kinds(watcher.on_event(changed(link(8, "a", false)))) == std::vector{Kind::kReturned});
    watcher.adopt(kOne, link(8, "a", false));
    CHECK(kinds(watcher.on_event(changed(link(8, "a", true)))) == std::vector{Kind::kPeer, Kind::kState});
  }

  TEST_CASE("an interface that is given an awaited name is a return") {
    PortWatcher watcher;
    watcher.await(kOne, "enp3s0");
    CHECK(watcher.on_event(appeared(link(8, "eth0"))).empty());
    CHECK(kinds(watcher.on_event(renamed(link(8, "enp3s0"), "eth0"))) == std::vector{Kind::kReturned});
  }

  TEST_CASE("a port's name follows its interface") {
    PortWatcher watcher;
    watcher.adopt(kOne, link(5, "a"));
    const auto actions = watcher.on_event(renamed(link(5, "z"), "a"));
    REQUIRE(kinds(actions) == std::vector{Kind::kRenamed});
    CHECK(actions[0].old_name == "a");
    CHECK(actions[0].link.name == "z");
    // From then on it waits for the new name.
    static_cast<void>(watcher.on_event(gone(link(5, "z"))));
    CHECK(watcher.on_event(appeared(link(6, "a"))).empty());
    CHECK(kinds(watcher.on_event(appeared(link(7, "z")))) == std::vector{Kind::kReturned});
  }

  TEST_CASE("an interface of one port is never given to another, whatever its name") {
    PortWatcher watcher;
    watcher.adopt(kOne, link(5, "a"));
    watcher.await(kTwo, "b");
    const auto actions = watcher.on_event(renamed(link(5, "b"), "a"));
    REQUIRE(kinds(actions) == std::vector{Kind::kRenamed});
    CHECK(actions[0].port == kOne);
  }

  TEST_CASE("two ports that wait for the same name do not both get it") {
    PortWatcher watcher;
    watcher.await(kOne, "a");
    watcher.await(kTwo, "a");
    const auto actions = watcher.on_event(appeared(link(5, "a")));
    REQUIRE(actions.size() == 1);
    watcher.adopt(actions[0].port, link(5, "a"));
    CHECK(watcher.on_event(changed(link(5, "a"))).empty());
  }

  TEST_CASE("down and up are told once each, and the peer is looked at before a port comes up") {
    PortWatcher watcher;
    watcher.adopt(kOne, link(5, "a"));
    CHECK(kinds(watcher.on_event(changed(link(5, "a", false)))) == std::vector{Kind::kState});
    CHECK(watcher.on_event(changed(link(5, "a", false))).empty());
    CHECK(kinds(watcher.on_event(changed(link(5, "a", true)))) == std::vector{Kind::kPeer, Kind::kState});
    CHECK(watcher.on_event(changed(link(5, "a", true))).empty());
  }

  TEST_CASE("without carrier an interface that is set up is not usable") {
    PortWatcher watcher;
    watcher.adopt(kOne, link(5, "a"));
    Link cut = link(5, "a");
    cut.carrier = false;
    const auto actions = watcher.on_event(changed(cut));
    REQUIRE(kinds(actions) == std::vector{Kind::kState});
    CHECK_FALSE(is_usable(actions[0].link));
  }

  TEST_CASE("a new MTU and a peer that moved are told") {
    PortWatcher watcher;
    watcher.adopt(kOne, link(5, "a"));
    Link jumbo = link(5, "a");
    jumbo.mtu = 9000;
    CHECK(kinds(watcher.on_event(changed(jumbo))) == std::vector{Kind::kMtu});
    Link moved = jumbo;
    moved.peer_netns = 3;
    CHECK(kinds(watcher.on_event(changed(moved))) == std::vector{Kind::kPeer});
  }

  TEST_CASE("a port that was detached is followed no more") {
    PortWatcher watcher;
    watcher.adopt(kOne, link(5, "a"));
    watcher.forget(kOne);
    CHECK(watcher.on_event(gone(link(5, "a"))).empty());
    CHECK(watcher.on_event(appeared(link(6, "a"))).empty());
  }
}

TEST_SUITE("LOCAL's names") {
  TEST_CASE("a name fits the kernel's limit, differs by bridge and instance, and avoids those taken") {
    const auto free = [](const std::string&) { return false; };
    const std::string name = local_port_name("default", "a-long-bridge-1", free);
    CHECK(name.size() == 15);
    CHECK(name.starts_with("sh-"));
    CHECK(name == local_port_name("default", "a-long-bridge-1", free));
    CHECK(name != local_port_name("default", "a-long-bridge-2", free));
    CHECK(name != local_port_name("other", "a-long-bridge-1", free));
    const auto other = local_port_name("default", "a-long-bridge-1", [&](const std::string& n) { return n == name; });
    CHECK(other != name);
    CHECK(other.size() == 15);
  }

  TEST_CASE("a bridge's address is unicast, locally administered, and stable") {
    for (int i = 0; i < 64; ++i) {
      const std::string seed = "seed" + std::to_string(i);
      const MacAddr mac = local_mac(seed);
      CHECK((mac.bytes[0] & 3) == 2);
      CHECK(mac == local_mac(seed));
      CHECK(mac != local_mac(seed + "x"));
    }
  }
}

}  // namespace shunt
