// SPDX-License-Identifier: Apache-2.0
#include "user/doctor/checks.h"

#include <doctest/doctest.h>

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
  facts.host = {.kernel = kOldestKernel,
                .release = "6.1.0",
                .capabilities = ~std::uint64_t{0},
                .memlock = 64 * 1024,
                .bpffs = true,
                .btf = true,
                .jit = 1,
                .jit_harden = 0,
                .rp_filter = {{"all", 0}, {"br0", 0}},
                .umem_bytes = 1 << 27};
  SwitchFacts on;
  on.version = "1";
  on.flows = 10;
  on.flow_limit = 100;
  on.umem_frames = 1000;
  on.umem_free = 900;
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
  veth.peer = Peer{.where = "peer e0 in /run/netns/red", .name = "e0", .gro = true, .mtu = 1500};
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
    f = finding([](Facts& x) { x.host.capabilities &= ~(std::uint64_t{1} << 12); });
    CHECK(f.check == "rights");
    CHECK(has(f.what, "CAP_NET_ADMIN"));
    CHECK(finding([](Facts& x) { x.host.bpffs = false; }).remedy == "mount -t bpf bpf /sys/fs/bpf");
    CHECK(finding([](Facts& x) { x.host.btf = false; }).check == "btf");
    f = finding([](Facts& x) { x.host.jit = 0; });
    CHECK(f.severity == Severity::kError);
    CHECK(f.remedy == "sysctl -w net.core.bpf_jit_enable=1");
    CHECK(finding([](Facts& x) { x.host.jit = 2; }).severity == Severity::kWarning);
    CHECK(finding([](Facts& x) { x.host.jit_harden = 2; }).check == "jit");
  }

  TEST_CASE("what cannot be read is nothing to complain of") {
    Facts facts = healthy();
    facts.host.jit = facts.host.jit_harden = std::nullopt;
    facts.host.rp_filter.clear();
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

  TEST_CASE("locked memory counts where CAP_IPC_LOCK is missing") {
    Facts facts = healthy();
    facts.host.capabilities &= ~(std::uint64_t{1} << 14);
    auto findings = examine(facts);
    REQUIRE_FALSE(findings.empty());
    CHECK(findings[0].check == "locked-memory");
    facts.host.memlock = ~std::uint64_t{0};
    findings = examine(facts);
    CHECK(std::ranges::none_of(findings, [](const Finding& f) { return f.check == "locked-memory"; }));
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

  TEST_CASE("ports") {
    const auto port = [](auto change) { return finding([&](Facts& x) { change(x.on->ports[0]); }); };
    CHECK(port([](PortFacts& p) { p.state = "gone"; }).severity == Severity::kError);
    CHECK(port([](PortFacts& p) { p.state = "down"; }).severity == Severity::kWarning);
    CHECK(has(port([](PortFacts& p) { p.program = "cilium"; }).what, "cilium"));
    CHECK(has(port([](PortFacts& p) { p.program = ""; }).what, "no XDP program"));
    CHECK(port([](PortFacts& p) { p.generic = true; }).check == "xdp-mode");
    CHECK(port([](PortFacts& p) { p.xdp->zero_copy = true; }).check == "zero-copy");
    CHECK(has(port([](PortFacts& p) { p.xdp_transmit = false; }).remedy, "ethtool -K e0 gro on"));
    CHECK(has(port([](PortFacts& p) { p.peer->vlan_insert = true; }).remedy, "ethtool -K e0 txvlan off"));
    CHECK(has(port([](PortFacts& p) { p.peer->gro = false; }).remedy, "ethtool -K e0 gro on"));
    CHECK(port([](PortFacts& p) { p.lro = true; }).check == "offloads");
    CHECK(port([](PortFacts& p) { p.receive_queues = 8; }).severity == Severity::kError);
    CHECK(has(port([](PortFacts& p) { p.peer->mtu = 9000; }).remedy, "ip link set dev veth1 mtu 9000"));
    const Finding mtus = port([](PortFacts& p) { p.mtu = p.peer->mtu = 9000; });
    CHECK(mtus.subject == "br0");
    CHECK(has(mtus.what, "1500: br0; 9000: veth1"));
  }

  TEST_CASE("each reason of drops that has a remedy is told, the ordinary ones are not") {
    for (const char* reason : {"upcall-budget", "upcall-queue-full", "upcall-no-socket", "tx-ring-full", "tx-error",
                               "no-frames", "frame-too-long", "checksum"}) {
      CAPTURE(reason);
      CHECK(has(finding([&](Facts& x) { x.on->ports[0].drops[reason] = 3; }).what, reason));
    }
    Facts facts = healthy();
    facts.on->ports[0].drops = {{"rule", 100}, {"table-miss", 5}, {"meter", 2}};
    CHECK(examine(facts).empty());
  }

  TEST_CASE("the switch") {
    CHECK(finding([](Facts& x) { x.on->flows = 95; }).check == "flows");
    CHECK(finding([](Facts& x) { x.on->evicted = 95; }).severity == Severity::kNote);
    CHECK(finding([](Facts& x) { x.on->exact_fallback = 1; }).check == "flows");
    CHECK(finding([](Facts& x) { x.on->umem_free = 50; }).check == "buffers");
    CHECK(finding([](Facts& x) { x.on->events_lost = 1; }).check == "buffers");
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
