// SPDX-License-Identifier: Apache-2.0
// Ports over real interfaces: veths, TAPs and LOCAL pairs in namespaces of the test's own. Needs root.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "user/base/error.h"
#include "user/net/ethtool.h"
#include "user/net/link_monitor.h"
#include "user/net/netlink.h"
#include "user/net/netns.h"
#include "user/net/tap.h"
#include "user/net/xdp_features.h"
#include "user/ports/changes.h"
#include "user/ports/hardware.h"
#include "user/ports/port_device.h"
#include "user/ports/port_watcher.h"

namespace shunt {
namespace {

using Features = std::map<std::string, Feature, std::less<>>;

void run(const std::string& command) {
  INFO(command);
  REQUIRE(std::system(command.c_str()) == 0);
}

// Requested features decide what comes back: those in force follow from them and from who is attached.
std::map<std::string, bool> requested(const std::string& interface) {
  std::map<std::string, bool> wanted;
  for (const auto& [name, feature] : Ethtool{}.features(interface)) wanted[name] = feature.requested;
  return wanted;
}

Feature feature(const std::string& interface, const std::string& name) {
  return Ethtool{}.features(interface).at(name);
}

bool mentions(const std::vector<std::string>& texts, std::string_view part) {
  return std::ranges::any_of(texts, [&](const std::string& text) { return text.find(part) != std::string::npos; });
}

Link link_of(const std::string& name) {
  const auto link = Netlink{}.find(name);
  REQUIRE_MESSAGE(link, name);
  return *link;
}

bool exists(const std::string& name) { return Netlink{}.find(name).has_value(); }

// A pair that is removed with its object, whichever end is left in this namespace.
struct VethPair {
  VethPair(std::string one_name, std::string other_name) : one{std::move(one_name)}, other{std::move(other_name)} {
    Netlink{}.add_veth({one, std::nullopt}, {other, std::nullopt});
  }
  VethPair(const VethPair&) = delete;
  VethPair& operator=(const VethPair&) = delete;
  ~VethPair() {
    Netlink netlink;
    for (const std::string& name : {one, other}) {
      if (const auto link = netlink.find(name)) netlink.remove(link->index);
    }
  }
  std::string one, other;
};

// A namespace that lives as long as its process.
class OtherNamespace {
 public:
  OtherNamespace() {
    int ready[2];
    check(::pipe2(ready, O_CLOEXEC), "pipe");
    child_ = check(::fork(), "fork");
    if (child_ == 0) {
      const char answer = ::unshare(CLONE_NEWNET) == 0 ? 'y' : 'n';
      if (::write(ready[1], &answer, 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    char answer = 0;
    const ssize_t got = ::read(ready[0], &answer, 1);
    ::close(ready[0]);
    ::close(ready[1]);
    REQUIRE(got == 1);
    REQUIRE(answer == 'y');
  }
  OtherNamespace(const OtherNamespace&) = delete;
  OtherNamespace& operator=(const OtherNamespace&) = delete;
  ~OtherNamespace() { end_process(); }

  void end_process() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = 0;
  }
  [[nodiscard]] pid_t process() const { return child_; }
  [[nodiscard]] UniqueFd open() const {
    const std::string path = fmt::format("/proc/{}/ns/net", child_);
    return UniqueFd{check(::open(path.c_str(), O_RDONLY | O_CLOEXEC), path)};
  }
  void take(const std::string& interface) const { run(fmt::format("ip link set {} netns {}", interface, child_)); }

 private:
  pid_t child_ = 0;
};

std::map<std::string, bool> requested_in(const UniqueFd& netns, const std::string& interface) {
  std::map<std::string, bool> wanted;
  run_in_namespace(netns.get(), [&] { wanted = requested(interface); });
  return wanted;
}

// Waits for the monitor to have something to say, up to a second.
std::vector<LinkEvent> next_events(LinkMonitor& monitor) {
  pollfd wait{monitor.fd(), POLLIN, 0};
  if (::poll(&wait, 1, 1000) <= 0) return {};
  return monitor.read();
}

}  // namespace

TEST_SUITE("veth ports") {
  TEST_CASE("a peer gets NAPI and keeps its VLAN tags in the frame, and is as before afterwards") {
    VethPair pair{"v0", "v1"};
    const auto before = requested("v1");
    const auto own_before = requested("v0");
    REQUIRE_FALSE(feature("v1", "rx-gro").requested);
    REQUIRE(feature("v1", "tx-vlan-hw-insert").active);
    {
      PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
      CHECK(device.kind() == DeviceKind::kVeth);
      CHECK(device.has_local_stack());
      CHECK(device.queues() == 1);
      CHECK(device.xdp_transmit());
      CHECK(device.warnings().empty());
      CHECK(device.link().up);
      CHECK(feature("v1", "rx-gro").active);
      CHECK_FALSE(feature("v1", "tx-vlan-hw-insert").active);
      CHECK_FALSE(feature("v1", "tx-vlan-stag-hw-insert").active);
      CHECK(mentions(device.changes(), "peer v1: gro on"));
      CHECK(mentions(device.changes(), "peer v1: txvlan off"));
      device.restore();
      CHECK(device.changes().empty());
      CHECK(requested("v1") == before);
      CHECK_FALSE(link_of("v0").up);
      Ethtool{}.set_feature("v1", "rx-gro", true);
    }
    // The destructor had nothing left to restore.
    CHECK(feature("v1", "rx-gro").requested);
    CHECK(requested("v0") == own_before);
  }

  TEST_CASE("what the user had set already is neither recorded nor taken back") {
    VethPair pair{"v0", "v1"};
    Netlink{}.set_up(link_of("v0").index, true);
    Ethtool{}.set_feature("v1", "rx-gro", true);
    {
      const PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
      CHECK_FALSE(mentions(device.changes(), "gro on"));
      CHECK_FALSE(mentions(device.changes(), "up"));
    }
    CHECK(feature("v1", "rx-gro").requested);
    CHECK(link_of("v0").up);
  }

  TEST_CASE("a peer in a process' namespace is found, cured and restored there") {
    OtherNamespace other;
    const UniqueFd netns = other.open();
    VethPair pair{"v0", "v1"};
    other.take("v1");
    const auto before = requested_in(netns, "v1");
    {
      const PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
      CHECK(device.xdp_transmit());
      CHECK(mentions(device.changes(), fmt::format("peer v1 in the namespace of process {}: gro on", other.process())));
      CHECK(requested_in(netns, "v1").at("rx-gro"));
      CHECK_FALSE(requested_in(netns, "v1").at("tx-vlan-hw-insert"));
    }
    CHECK(requested_in(netns, "v1") == before);
  }

  TEST_CASE("the caller's thread stays in its namespace") {
    OtherNamespace other;
    VethPair pair{"v0", "v1"};
    other.take("v1");
    const NamespaceId before = current_namespace().id;
    const PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
    CHECK(current_namespace().id == before);
  }

  TEST_CASE("a peer that moved to another namespace after attach is restored where it is") {
    OtherNamespace other;
    const UniqueFd netns = other.open();
    VethPair pair{"v0", "v1"};
    const auto before = requested("v1");
    PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
    other.take("v1");
    CHECK_FALSE(device.recheck());
    CHECK(device.xdp_transmit());
    device.restore();
    CHECK(requested_in(netns, "v1") == before);
  }

  TEST_CASE("a port that moved away leaves its peer behind as it was") {
    OtherNamespace other;
    VethPair pair{"v0", "v1"};
    const auto before = requested("v1");
    PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
    other.take("v0");
    REQUIRE(requested("v1") != before);
    device.restore();
    CHECK(requested("v1") == before);
  }

  TEST_CASE("restoring after the pair has gone is no error") {
    PortDevice device = [] {
      VethPair pair{"v0", "v1"};
      return PortDevice::prepare({"v0", std::nullopt, false});
    }();
    CHECK_FALSE(exists("v0"));
    CHECK_FALSE(device.recheck());
    device.restore();
    CHECK(device.changes().empty());
  }

  TEST_CASE("a peer in a namespace that is not to be found is done without, and says so") {
    OtherNamespace other;
    const UniqueFd netns = other.open();  // keeps the namespace, but gives it no name
    VethPair pair{"v0", "v1"};
    other.take("v1");
    other.end_process();
    const PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
    CHECK_FALSE(device.xdp_transmit());
    CHECK(mentions(device.warnings(), "namespace"));
    CHECK(mentions(device.warnings(), "userspace"));
  }

  TEST_CASE("a peer whose cure was undone by its user is cured again, and restored once") {
    VethPair pair{"v0", "v1"};
    const auto before = requested("v1");
    PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
    const auto changes = device.changes();
    Ethtool{}.set_feature("v1", "rx-gro", false);
    device.recheck();
    CHECK(feature("v1", "rx-gro").requested);
    CHECK(device.changes() == changes);
    device.restore();
    CHECK(requested("v1") == before);
  }

  // The kernel does not see by itself that GRO, turned on while the peer was down, made the port a target.
  TEST_CASE("frames can be redirected to a port whichever end comes up first") {
    for (const bool own_first : {false, true}) {
      for (const bool peer_first : {false, true}) {
        CAPTURE(own_first);
        CAPTURE(peer_first);
        VethPair pair{"v0", "v1"};
        Netlink netlink;
        if (own_first) netlink.set_up(link_of("v0").index, true);
        if (peer_first) netlink.set_up(link_of("v1").index, true);
        PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
        CHECK(device.xdp_transmit());
        netlink.set_up(link_of("v1").index, true);
        device.recheck();
        CHECK(device.xdp_transmit());
        const auto features = xdp_features(device.ifindex());
        if (features) CHECK(features->redirect_target);
      }
    }
  }

  TEST_CASE("a port whose peer was given GRO by its user before it came up becomes a redirect target when rechecked") {
    OtherNamespace other;
    const UniqueFd netns = other.open();
    VethPair pair{"v0", "v1"};
    other.take("v1");
    Netlink{}.set_up(link_of("v0").index, true);
    run_in_namespace(netns.get(), [] {
      Ethtool{}.set_feature("v1", "rx-gro", true);
      Netlink netlink;
      netlink.set_up(netlink.find("v1")->index, true);
    });
    const PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
    CHECK(device.xdp_transmit());
    CHECK(requested_in(netns, "v1").at("rx-gro"));
  }

  TEST_CASE("a device that takes another's place restores what it held") {
    VethPair first{"v0", "v1"};
    VethPair second{"w0", "w1"};
    PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
    device = PortDevice::prepare({"w0", std::nullopt, false});
    CHECK_FALSE(feature("v1", "rx-gro").requested);
    CHECK(feature("w1", "rx-gro").requested);
    CHECK(device.link().name == "w0");
  }

  TEST_CASE("a port gets a receive queue for each of the peer's transmit queues") {
    run("ip link add v0 numrxqueues 4 numtxqueues 4 type veth peer name v1 numrxqueues 4 numtxqueues 4");
    Channels peer = Ethtool{}.channels("v1").value();
    peer.tx = 2;
    Ethtool{}.set_channels("v1", peer);
    Channels own = Ethtool{}.channels("v0").value();
    own.rx = 1;
    Ethtool{}.set_channels("v0", own);
    {
      const PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
      CHECK(device.queues() == 2);
      CHECK(Ethtool{}.channels("v0")->receive() == 2);
      CHECK(device.xdp_transmit());
    }
    CHECK(Ethtool{}.channels("v0")->receive() == 1);

    own.rx = 4;
    Ethtool{}.set_channels("v0", own);
    {
      const PortDevice device = PortDevice::prepare({"v0", 3, false});
      CHECK(device.queues() == 3);
      CHECK(Ethtool{}.channels("v0")->receive() == 3);
      CHECK(mentions(device.changes(), "3 receive queues instead of 4"));
    }
    CHECK(Ethtool{}.channels("v0")->receive() == 4);
    CHECK_THROWS_WITH_AS(static_cast<void>(PortDevice::prepare({"v0", 1, false})),
                         doctest::Contains("ethtool -L v1 tx 1"), Error);
    CHECK_FALSE(link_of("v0").up);
    Netlink{}.remove(link_of("v0").index);
  }
}

TEST_SUITE("what cannot be a port") {
  TEST_CASE("interfaces of the wrong kind are refused by name and reason") {
    const auto refusal = [](const std::string& name) {
      try {
        static_cast<void>(PortDevice::prepare({name, std::nullopt, false}));
      } catch (const Error& error) {
        return std::string{error.what()};
      }
      return std::string{};
    };
    VethPair pair{"v0", "v1"};
    run("ip link add kbr type bridge && ip link set v0 master kbr");
    CHECK(refusal("nosuch") == "there is no interface 'nosuch'");
    CHECK(refusal("lo") == "'lo' cannot be a port: it is the loopback interface");
    CHECK(refusal("kbr") == "'kbr' cannot be a port: a bridge interface; ports are veth, TAP and physical interfaces");
    CHECK(refusal("v0") == "'v0' cannot be a port: it is a member of 'kbr'");
    run("ip tuntap add dev tun9 mode tun");
    CHECK(refusal("tun9") == "'tun9' cannot be a port: it does not carry Ethernet frames");
    run("ip link del tun9 && ip link del kbr");
    // Nothing was touched on the way to the refusal.
    CHECK_FALSE(feature("v1", "rx-gro").requested);
  }

  TEST_CASE("queues that no port can have are refused") {
    VethPair pair{"v0", "v1"};
    CHECK_THROWS_AS(static_cast<void>(PortDevice::prepare({"v0", 0, false})), Error);
    CHECK_THROWS_AS(static_cast<void>(PortDevice::prepare({"v0", 17, false})), Error);
  }
}

TEST_SUITE("TAP ports") {
  TEST_CASE("a TAP made on request goes when the port goes") {
    {
      const PortDevice device = PortDevice::prepare({"tap9", std::nullopt, true});
      CHECK(device.kind() == DeviceKind::kTap);
      CHECK(device.has_local_stack());
      CHECK(device.queues() == 1);
      CHECK(device.link().tap);
      CHECK(device.link().up);
      CHECK(mentions(device.changes(), "TAP created"));
    }
    CHECK_FALSE(exists("tap9"));
  }

  TEST_CASE("a TAP that was there stays") {
    create_tap("tap9");
    CHECK_THROWS_AS(create_tap("tap9"), std::system_error);
    CHECK_THROWS_WITH_AS(static_cast<void>(PortDevice::prepare({"tap9", std::nullopt, true})),
                         "there is an interface 'tap9' already", Error);
    {
      const PortDevice device = PortDevice::prepare({"tap9", std::nullopt, false});
      CHECK(device.kind() == DeviceKind::kTap);
    }
    CHECK(exists("tap9"));
    remove_tap("tap9");
    CHECK_FALSE(exists("tap9"));
    CHECK_THROWS_AS(remove_tap("tap9"), Error);
  }

  TEST_CASE("a refused request leaves no TAP behind") {
    CHECK_THROWS_AS(static_cast<void>(PortDevice::prepare({"tap9", 2, true})), Error);
    CHECK_FALSE(exists("tap9"));
    CHECK_THROWS_AS(static_cast<void>(PortDevice::prepare({"a/b", std::nullopt, true})), Error);
    CHECK_THROWS_AS(static_cast<void>(PortDevice::prepare({"sixteen-letters-", std::nullopt, true})), Error);
  }
}

TEST_SUITE("LOCAL ports") {
  TEST_CASE("LOCAL is an interface named as the bridge, and goes with it") {
    MacAddr mac;
    {
      const PortDevice device = PortDevice::prepare_local("t", "br0", PortMode::kNative);
      CHECK(device.kind() == DeviceKind::kLocal);
      CHECK(device.has_local_stack());
      CHECK(device.xdp_transmit());
      const Link host = link_of("br0");
      mac = host.mac;
      CHECK(host.peer == device.ifindex());
      CHECK_FALSE(host.up);
      CHECK(device.link().up);
      CHECK((mac.bytes[0] & 3) == 2);
      CHECK(feature("br0", "rx-gro").requested);
      CHECK_FALSE(feature("br0", "tx-vlan-hw-insert").active);
    }
    CHECK_FALSE(exists("br0"));
    const PortDevice again = PortDevice::prepare_local("t", "br0", PortMode::kNative);
    CHECK(link_of("br0").mac == mac);
    const PortDevice another = PortDevice::prepare_local("t", "br1", PortMode::kNative);
    CHECK(link_of("br1").mac != mac);
  }

  TEST_CASE("a name that is taken is refused, also by another instance's bridge") {
    VethPair pair{"br0", "v1"};
    CHECK_THROWS_AS(static_cast<void>(PortDevice::prepare_local("t", "br0", PortMode::kNative)), Error);
    CHECK(exists("v1"));
    const PortDevice device = PortDevice::prepare_local("t", "br1", PortMode::kNative);
    CHECK_THROWS_AS(static_cast<void>(PortDevice::prepare_local("u", "br1", PortMode::kNative)), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(PortDevice::prepare({"br1", std::nullopt, false})),
                         "'br1' cannot be a port: it is the LOCAL interface of a Shunt bridge (t/br1)", Error);
    CHECK_THROWS_AS(static_cast<void>(PortDevice::prepare({device.link().name, std::nullopt, false})), Error);
  }

  TEST_CASE("the pair of a killed daemon is taken over with its addresses") {
    const pid_t killed = ::fork();
    REQUIRE(killed >= 0);
    if (killed == 0) {
      const PortDevice device = PortDevice::prepare_local("t", "br0", PortMode::kNative);
      ::_exit(0);  // no destructor runs, as under kill -9
    }
    int status = 0;
    REQUIRE(::waitpid(killed, &status, 0) == killed);
    REQUIRE(status == 0);
    const Link left = link_of("br0");
    run("ip addr add 192.0.2.1/24 dev br0");
    {
      const PortDevice device = PortDevice::prepare_local("t", "br0", PortMode::kNative);
      CHECK(link_of("br0").index == left.index);
      CHECK(device.ifindex() == left.peer);
      run("ip addr show dev br0 | grep -q 192.0.2.1");
    }
    CHECK_FALSE(exists("br0"));
  }
}

TEST_SUITE("hardware cures") {
  // On a veth, which has the switches that matter here: a physical interface cannot be had in a namespace.
  TEST_CASE("received tags stay in the frame, all frames are received, and both are restored") {
    VethPair pair{"v0", "v1"};
    const auto before = requested("v0");
    REQUIRE(feature("v0", "rx-vlan-hw-parse").active);
    Changes changes;
    CHECK(cure_hardware(link_of("v0"), changes).empty());
    CHECK_FALSE(feature("v0", "rx-vlan-hw-parse").active);
    CHECK_FALSE(feature("v0", "rx-vlan-stag-hw-parse").active);
    CHECK_FALSE(feature("v0", "rx-lro").active);
    CHECK(link_of("v0").promiscuous);
    CHECK(mentions(changes.texts(), "rxvlan off"));
    CHECK(mentions(changes.texts(), "promiscuous"));
    Netlink{}.rename(link_of("v0").index, "w0");
    pair.one = "w0";
    changes.undo_all();
    CHECK(requested("w0") == before);
    CHECK_FALSE(link_of("w0").promiscuous);
  }

  TEST_CASE("promiscuous mode that was on stays on") {
    VethPair pair{"v0", "v1"};
    Netlink{}.set_promiscuous(link_of("v0").index, true);
    Changes changes;
    static_cast<void>(cure_hardware(link_of("v0"), changes));
    changes.undo_all();
    CHECK(link_of("v0").promiscuous);
  }
}

TEST_SUITE("namespaces") {
  TEST_CASE("a namespace is found by id and by inode, under its name where it has one") {
    const std::string name = fmt::format("shunt-ports-test-{}", ::getpid());
    run("ip netns add " + name);
    {
      VethPair pair{"v0", "v1"};
      run(fmt::format("ip link set v1 netns {}", name));
      const Link own = link_of("v0");
      REQUIRE(own.peer_netns);
      const auto found = find_namespace(*own.peer_netns);
      REQUIRE(found);
      CHECK(found->where.ends_with("netns/" + name));
      const auto again = find_namespace(found->id);
      REQUIRE(again);
      CHECK(again->id == found->id);
      const PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
      CHECK(mentions(device.changes(), "netns/" + name + ": gro on"));
    }
    run("ip netns del " + name);
    CHECK_FALSE(find_namespace(12345));
    CHECK_FALSE(find_namespace(NamespaceId{1, 1}));
  }

  TEST_CASE("what a function throws inside a namespace is thrown outside") {
    const Namespace own = current_namespace();
    CHECK_THROWS_AS(run_in_namespace(own.fd.get(), [] { throw Error("inside"); }), Error);
    const UniqueFd no_namespace{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    CHECK_THROWS_AS(run_in_namespace(no_namespace.get(), [] {}), std::system_error);
  }

  TEST_CASE("a port does not keep its peer's namespace alive") {
    OtherNamespace other;
    VethPair pair{"v0", "v1"};
    other.take("v1");
    const PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
    other.end_process();
    // The kernel takes namespaces down at its leisure, and the pair with them.
    bool gone = false;
    for (int i = 0; i < 100 && !gone; ++i) {
      gone = !exists("v0");
      if (!gone) ::usleep(50'000);
    }
    CHECK(gone);
  }
}

TEST_SUITE("link events") {
  TEST_CASE("links that come, change, are renamed and go are told in that order") {
    LinkMonitor monitor;
    CHECK(monitor.read().empty());
    VethPair pair{"v0", "v1"};
    const Link link = link_of("v0");
    auto events = next_events(monitor);
    CHECK(std::ranges::count(events, LinkEvent::Kind::kNew, &LinkEvent::kind) == 2);
    Netlink{}.set_mtu(link.index, 1400);
    events = next_events(monitor);
    REQUIRE_FALSE(events.empty());
    CHECK(events.back().kind == LinkEvent::Kind::kChanged);
    CHECK(events.back().link.mtu == 1400);
    Netlink{}.rename(link.index, "w0");
    events = next_events(monitor);
    REQUIRE(events.size() == 1);
    CHECK(events[0].kind == LinkEvent::Kind::kRenamed);
    CHECK(events[0].old_name == "v0");
    CHECK(events[0].link.name == "w0");
    Netlink{}.remove(link.index);
    events = next_events(monitor);
    CHECK(std::ranges::count(events, LinkEvent::Kind::kGone, &LinkEvent::kind) == 2);
  }

  TEST_CASE("a member that leaves a kernel bridge is not taken for gone") {
    VethPair pair{"v0", "v1"};
    run("ip link add kbr type bridge && ip link set v0 master kbr");
    LinkMonitor monitor;
    run("ip link set v0 nomaster");
    const auto events = next_events(monitor);
    CHECK_FALSE(events.empty());
    CHECK(std::ranges::count(events, LinkEvent::Kind::kGone, &LinkEvent::kind) == 0);
    run("ip link del kbr");
  }

  TEST_CASE("events that the kernel threw away are made good") {
    VethPair pair{"v0", "v1"};
    VethPair doomed{"d0", "d1"};
    LinkMonitor monitor;
    const int small = 4096;
    REQUIRE(::setsockopt(monitor.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
    const Link link = link_of("v0");
    Netlink netlink;
    for (std::uint32_t i = 0; i < 200; ++i) netlink.set_mtu(link.index, 1000 + i);
    netlink.remove(link_of("d0").index);
    VethPair late{"n0", "n1"};
    const auto events = monitor.read();
    const auto told = [&](LinkEvent::Kind kind, const std::string& name) {
      return std::ranges::any_of(events,
                                 [&](const LinkEvent& event) { return event.kind == kind && event.link.name == name; });
    };
    CHECK(events.size() < 200);
    CHECK(told(LinkEvent::Kind::kGone, "d0"));
    CHECK(told(LinkEvent::Kind::kNew, "n0"));
    CHECK(std::ranges::any_of(monitor.links(),
                              [](const Link& known) { return known.name == "v0" && known.mtu == 1199; }));
  }

  TEST_CASE("a port is followed over renaming, vanishing and return") {
    LinkMonitor monitor;
    PortWatcher watcher;
    // Carriers follow at the kernel's leisure: waits for an action up to 3 seconds.
    const auto happens = [&](PortAction::Kind kind) {
      bool seen = false;
      for (int wait = 0; wait < 3 && !seen; ++wait) {
        for (const LinkEvent& event : next_events(monitor)) {
          for (const PortAction& action : watcher.on_event(event))
            seen |= action.kind == kind && action.port == DpPort{7};
        }
      }
      return seen;
    };
    {
      VethPair pair{"v0", "v1"};
      PortDevice device = PortDevice::prepare({"v0", std::nullopt, false});
      watcher.adopt(DpPort{7}, device.link());
      Netlink{}.set_up(link_of("v1").index, true);
      CHECK(happens(PortAction::Kind::kState));
      Netlink{}.rename(device.ifindex(), "w0");
      CHECK(happens(PortAction::Kind::kRenamed));
      pair.one = "w0";
    }
    CHECK(happens(PortAction::Kind::kVanished));
    VethPair other{"v0", "v1"};
    VethPair same{"w0", "w1"};
    CHECK(happens(PortAction::Kind::kReturned));
  }
}

}  // namespace shunt

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  if (::geteuid() != 0 || ::unshare(CLONE_NEWNET) != 0) {
    std::puts("skipped: needs root, to make network namespaces");
    return kSkipped;
  }
  doctest::Context context{argc, argv};
  return context.run();
}
