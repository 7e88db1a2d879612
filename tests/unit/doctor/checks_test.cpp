// SPDX-License-Identifier: Apache-2.0
#include "user/doctor/checks.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

using namespace shunt;
using namespace shunt::doctor;

namespace {

// A machine, a switch and ports that nothing is wrong with.
Facts healthy() {
  Facts facts;
  facts.client_version = "1";
  facts.host = {.kernel = {6, 18, 0},
                .release = "6.18.0",
                .bpffs = true,
                .btf = true,
                .jit = 1,
                .jit_harden = 0,
                .rp_filter = {{"all", 0}, {"br0", 0}}};
  facts.rights = Rights{.capabilities = ~std::uint64_t{0}, .memlock = 64 * 1024};
  SwitchFacts on;
  on.version = "1";
  PortFacts veth;
  veth.bridge = "br0";
  veth.name = "veth1";
  veth.kind = "veth";
  veth.state = "up";
  veth.queues = 2;
  veth.mtu = 1500;
  veth.receive_queues = 2;
  veth.program = "shunt_switch";
  veth.xdp = XdpFeatures{.native = true, .redirect_target = true};
  veth.lro = veth.vlan_strip = false;
  veth.peer =
      Peer{.where = "peer e0 in /run/netns/red", .name = "e0", .enter = "ip netns exec red ", .gro = true, .mtu = 1500};
  PortFacts local = veth;
  local.name = "br0";
  local.kind = "local";
  local.peer.reset();
  on.ports = {veth, local};
  facts.on = on;
  return facts;
}

// The one finding that a change of the healthy facts makes.
template <typename Change>
Finding finding(Change change) {
  Facts facts = healthy();
  change(facts);
  const auto findings = examine(facts);
  REQUIRE(findings.size() == 1);
  CHECK_FALSE(findings[0].what.empty());
  CHECK_FALSE(findings[0].cost.empty());
  CHECK_FALSE(findings[0].remedy.empty());
  return findings[0];
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_SUITE("doctor") {
  TEST_CASE("nothing is found where nothing is wrong") { CHECK(examine(healthy()).empty()); }

  TEST_CASE("the machine") {
    Finding f = finding([](Facts& x) {
      x.host.kernel = {5, 15, 0};
      x.host.release = "5.15";
    });
    CHECK(f.severity == Severity::kError);
    CHECK(f.check == "kernel");
    f = finding([](Facts& x) { x.host.xdp_sockets = false; });
    CHECK(f.severity == Severity::kError);
    CHECK(has(f.remedy, "CONFIG_XDP_SOCKETS"));
    f = finding([](Facts& x) { x.rights->capabilities &= ~(std::uint64_t{1} << 12); });
    CHECK(f.check == "rights");
    CHECK(f.what == "shuntd has no CAP_NET_ADMIN");
    CHECK(finding([](Facts& x) { x.host.bpffs = false; }).remedy == "mount -t bpf bpf /sys/fs/bpf");
    CHECK(finding([](Facts& x) { x.host.btf = false; }).check == "btf");
    f = finding([](Facts& x) { x.host.jit = 0; });
    CHECK(f.severity == Severity::kError);
    CHECK(f.remedy == "sysctl -w net.core.bpf_jit_enable=1");
    CHECK(finding([](Facts& x) { x.host.jit = 2; }).severity == Severity::kWarning);
    CHECK(finding([](Facts& x) { x.host.jit_harden = 2; }).check == "jit");
  }

  TEST_CASE("what a newer kernel would bring is good to know, and nothing wrong") {
    const auto notes = [](KernelVersion version) {
      Facts facts = healthy();
      facts.host.kernel = version;
      const auto findings = examine(facts);
      CHECK(std::ranges::all_of(findings, [](const Finding& f) { return f.severity == Severity::kNote; }));
      return findings.size();
    };
    CHECK(notes(kOldestKernel) == 3);
    CHECK(notes({6, 6, 0}) == 1);
    CHECK(notes({6, 12, 99}) == 1);
    CHECK(notes({6, 13, 0}) == 0);
  }

  TEST_CASE("what cannot be read is nothing to complain of") {
    Facts facts = healthy();
    facts.host.jit = facts.host.jit_harden = std::nullopt;
    facts.host.rp_filter.clear();
    facts.rights.reset();
    for (PortFacts& port : facts.on->ports) {
      port.xdp.reset();
      port.program.reset();
      port.receive_queues.reset();
      port.lro.reset();
      port.vlan_strip.reset();
      port.peer.reset();
    }
    CHECK(examine(facts).empty());
  }

  TEST_CASE("locked memory counts where CAP_IPC_LOCK is missing, and only then that is a finding") {
    Facts facts = healthy();
    facts.rights->capabilities &= ~(std::uint64_t{1} << 14);
    const auto findings = examine(facts);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].check == "locked-memory");
    for (const std::uint64_t enough : {facts.umem_bytes, ~std::uint64_t{0}}) {
      facts.rights->memlock = enough;
      CHECK(examine(facts).empty());
    }
    facts.umem_bytes *= 2;
    facts.rights->memlock = facts.umem_bytes / 2;
    CHECK(examine(facts).size() == 1);
  }

  TEST_CASE("a process's rights are read from its directory in /proc") {
    std::string directory = "/tmp/shunt-doctor-XXXXXX";
    REQUIRE(::mkdtemp(directory.data()) != nullptr);
    const auto limits = [&](const char* locked) {
      std::ofstream{directory + "/limits"}
          << "Limit                     Soft Limit           Hard Limit           Units\n"
          << "Max processes             3                    4                    processes\n"
          << "Max locked memory         " << locked << "              unlimited            bytes\n";
      return read_rights(directory);
    };
    CHECK_FALSE(limits("8388608"));  // no status
    std::ofstream{directory + "/status"} << "Name:\tshuntd\nCapEff:\t0000000000003000\n";
    CHECK(limits("8388608").value().capabilities == 0x3000);
    CHECK(limits("8388608").value().memlock == 8'388'608);
    CHECK(limits("unlimited").value().memlock == ~std::uint64_t{0});
    CHECK_FALSE(limits("much"));
    std::filesystem::remove_all(directory);
    CHECK_FALSE(read_rights(directory));
    CHECK(read_rights("/proc/self"));
    CHECK_FALSE(read_daemon_rights(::getpid()));  // this is no shuntd
  }

  TEST_CASE("rp_filter: the stricter value holds, and 2 is loose") {
    const auto with = [](int all, int own) {
      Facts facts = healthy();
      facts.host.rp_filter = {{"all", all}, {"br0", own}, {"veth1", 1}};
      return examine(facts).size();
    };
    CHECK(with(1, 0) == 1);
    CHECK(with(0, 1) == 1);
    CHECK(with(2, 1) == 0);
    CHECK(with(1, 2) == 0);
  }

  TEST_CASE("a port in mode tcx has its program at TC, and keeps the peer's tags beside the frame") {
    Facts facts = healthy();
    PortFacts& port = facts.on->ports[0];
    port.mode = PortMode::kTcx;
    port.program = "";
    port.tc_program = true;
    port.peer->vlan_insert = true;
    CHECK(examine(facts).empty());
    port.tc_program = false;
    REQUIRE(examine(facts).size() == 1);
    CHECK(has(examine(facts)[0].what, "no TC program"));
    port.program = "cilium";
    CHECK(has(examine(facts)[0].what, "cilium"));
  }

  TEST_CASE("ports") {
    const auto port = [](auto change) { return finding([&](Facts& x) { change(x.on->ports[0]); }); };
    CHECK(port([](PortFacts& p) { p.state = "gone"; }).severity == Severity::kError);
    CHECK(port([](PortFacts& p) { p.state = "down"; }).severity == Severity::kWarning);
    CHECK(has(port([](PortFacts& p) { p.program = "cilium"; }).what, "cilium"));
    CHECK(has(port([](PortFacts& p) { p.program = ""; }).what, "no XDP program"));
    CHECK(port([](PortFacts& p) { p.mode = PortMode::kGeneric; }).check == "xdp-mode");
    CHECK(port([](PortFacts& p) { p.xdp->zero_copy = true; }).check == "zero-copy");
    CHECK(port([](PortFacts& p) { p.xdp_transmit = false; }).remedy == "ip netns exec red ethtool -K e0 gro on");
    CHECK(port([](PortFacts& p) { p.peer->vlan_insert = true; }).remedy ==
          "ip netns exec red ethtool -K e0 txvlan off");
    CHECK(port([](PortFacts& p) { p.peer->gro = false; }).remedy == "ip netns exec red ethtool -K e0 gro on");
    const Finding named = port([](PortFacts& p) {
      p.peer->name = "$(id)\x1b";
      p.peer->enter = "";
      p.peer->gro = false;
    });
    CHECK(named.remedy == "ethtool -K $'\\x24\\x28id\\x29\\x1b' gro on");
    CHECK(port([](PortFacts& p) { p.lro = true; }).check == "offloads");
    CHECK(port([](PortFacts& p) { p.receive_queues = 8; }).severity == Severity::kError);
    CHECK(has(port([](PortFacts& p) { p.peer->mtu = 9000; }).remedy, "ip link set dev veth1 mtu 9000"));
    const Finding mtus = port([](PortFacts& p) { p.mtu = p.peer->mtu = 9000; });
    CHECK(mtus.subject == "br0");
    CHECK(has(mtus.what, "1500: br0; 9000: veth1"));
  }

  TEST_CASE("each reason of drops that has a remedy is told while packets are dropped, the ordinary ones are not") {
    for (const char* reason : {"upcall-budget", "upcall-queue-full", "upcall-no-socket", "tx-ring-full", "tx-error",
                               "no-frames", "frame-too-long", "checksum"}) {
      CAPTURE(reason);
      const Finding f = finding([&](Facts& x) { x.on->ports[0].drops[reason] = {.total = 10, .recent = 3}; });
      CHECK(f.severity == Severity::kWarning);
      CHECK(has(f.what, "3 packets"));
      CHECK(has(f.what, reason));
    }
    Facts facts = healthy();
    facts.on->ports[0].drops = {{"rule", {100, 1}}, {"table-miss", {5, 1}}, {"meter", {2, 2}}};
    CHECK(examine(facts).empty());
  }

  TEST_CASE("drops that lie behind are a note, one a port: a restart leaves some") {
    const Finding f = finding([](Facts& x) {
      x.on->ports[0].drops = {{"upcall-no-socket", {.total = 7}}, {"tx-error", {.total = 2}}, {"rule", {.total = 5}}};
    });
    CHECK(f.severity == Severity::kNote);
    CHECK(has(f.what, "7 upcall-no-socket, 2 tx-error"));
    CHECK_FALSE(has(f.what, "rule"));
    CHECK(f.remedy == "shunt drops br0");
  }

  TEST_CASE("the switch") {
    const Finding full = finding([](Facts& x) {
      x.on->nearly_full = {
          {"br0", "macs of bridge br0: 9 of 10 (90 %)", "the oldest go", "shunt fdb set br0 --limit N"}};
    });
    CHECK(full.check == "nearly-full");
    CHECK(full.severity == Severity::kWarning);
    CHECK(full.subject == "br0");
    const auto counted = [](Count SwitchFacts::*counter, const char* check) {
      Finding f = finding([&](Facts& x) { x.on.value().*counter = {.total = 95, .recent = 5}; });
      CHECK(f.severity == Severity::kWarning);
      CHECK(f.check == check);
      CHECK(has(f.what, "5 "));
      f = finding([&](Facts& x) { x.on.value().*counter = {.total = 95}; });
      CHECK(f.severity == Severity::kNote);
      CHECK(has(f.what, "95 "));
    };
    counted(&SwitchFacts::evicted, "flows");
    counted(&SwitchFacts::exact_fallback, "flows");
    counted(&SwitchFacts::events_lost, "events");
    CHECK(finding([](Facts& x) { x.on->version = "2"; }).check == "daemon");
  }

  TEST_CASE("without a daemon the machine is looked at, and that is said") {
    Facts facts = healthy();
    facts.on.reset();
    facts.no_daemon = "no daemon answers";
    auto findings = examine(facts);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kNote);
    facts.host.jit = 0;
    findings = examine(facts);
    REQUIRE(findings.size() == 2);
    CHECK(findings[0].check == "jit");  // the worst first
  }

  TEST_CASE("checks have names, each its own") {
    std::set<std::string_view> names;
    for (const Check& check : all_checks()) CHECK(names.insert(check.name).second);
  }

  TEST_CASE("the machine's settings are read from its files") {
    std::string root = "/tmp/shunt-doctor-XXXXXX";
    REQUIRE(::mkdtemp(root.data()) != nullptr);
    namespace fs = std::filesystem;
    fs::create_directories(root + "/proc/sys/net/core");
    fs::create_directories(root + "/proc/sys/net/ipv4/conf/br0");
    fs::create_directories(root + "/sys/kernel/btf");
    std::ofstream{root + "/proc/sys/net/core/bpf_jit_enable"} << "0\n";
    std::ofstream{root + "/proc/sys/net/ipv4/conf/br0/rp_filter"} << "1\n";
    std::ofstream{root + "/sys/kernel/btf/vmlinux"} << "x";
    const Host host = read_host(root);
    fs::remove_all(root);
    CHECK(host.jit == 0);
    CHECK_FALSE(host.jit_harden);
    CHECK(host.rp_filter.at("br0") == 1);
    CHECK(host.btf);
    CHECK_FALSE(host.bpffs);
    CHECK(host.kernel >= kOldestKernel);
  }
}
