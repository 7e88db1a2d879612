// SPDX-License-Identifier: Apache-2.0
// Debian's Open vSwitch with its userspace datapath: daemons with a run directory of their own, and a network namespace
// of their own too, since each makes an interface "ovs-netdev". One thread polls both ports, on the switches' core; the
// others run where the kernel puts them.
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <string_view>

#include "tests/bench/contestant.h"
#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;

constexpr auto kSchema = "/usr/share/openvswitch/vswitch.ovsschema";
// Debian has both: "ovs-vswitchd" is the one that update-alternatives says, so each by its own path.
constexpr auto kDaemon = "/usr/lib/openvswitch-switch/ovs-vswitchd";
constexpr auto kDpdkDaemon = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
constexpr auto kBridge = "br0";

// The sum of the figures behind each "NAME:" in a text.
std::uint64_t sum_of(std::string_view name, const std::string& text) {
  std::uint64_t sum = 0;
  for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1))
    sum += std::strtoull(text.c_str() + at + name.size(), nullptr, 10);
  return sum;
}

void wait_for(const std::string& socket, ChildProcess& process) {
  wait_until_ready(process, 30s, [&] { return ::access(socket.c_str(), F_OK) == 0; });
}

class OpenVswitchPeer : public Contestant {
 public:
  OpenVswitchPeer(const std::string& name, const Lane& lane, OvsPorts ports, bool smc) : Contestant{name, lane} {
    if (ports == OvsPorts::kDpdk) pages_.emplace(256);
    std::map<std::string, std::string> directories;
    for (const char* variable : {"OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"})
      directories[variable] = directory_.path();
    run({"ovsdb-tool", "create", file("conf.db"), kSchema});
    const ChildOptions beside{.environment = directories, .any_core = true, .own_network = true};
    database_.emplace(std::vector<std::string>{"ovsdb-server", "-vconsole:warn", "--remote=punix:" + file("db.sock"),
                                               "--unixctl=" + file("ovsdb.ctl"), file("conf.db")},
                      file("ovsdb.log"), beside);
    wait_for(file("db.sock"), *database_);
    configure(ports, smc);
    daemon_.emplace(std::vector<std::string>{ports == OvsPorts::kDpdk ? kDpdkDaemon : kDaemon, "-vconsole:warn",
                                             "--unixctl=" + file("vswitchd.ctl"), "unix:" + file("db.sock")},
                    file("log"), beside);
    wait_for(file("vswitchd.ctl"), *daemon_);
    daemon_->take_interface(lane.in);
    daemon_->take_interface(lane.out);
    vsctl({"add-br", kBridge, "--", "set", "bridge", kBridge, "datapath_type=netdev", "fail-mode=secure",
           "protocols=OpenFlow10,OpenFlow14"});
    add_port(lane.in, 1, ports);
    add_port(lane.out, 2, ports);
  }

  void set_rules(const std::string& rules) override {
    std::ofstream{file("rules")} << rules;
    ofctl({"del-flows"});
    ofctl({"--bundle", "add-flows"}, {file("rules")});
    appctl({"revalidator/purge"});
    appctl({"fdb/add", kBridge, lane().out, "0", kDestinationMac});
  }

  std::optional<std::uint64_t> misses() override {
    const std::string text = appctl({"dpif-netdev/pmd-stats-show"});
    return sum_of("miss with success upcall:", text) + sum_of("miss with failed upcall:", text);
  }

  std::string cache_size() override {
    const std::string stats = appctl({"dpif-netdev/pmd-stats-show"});
    // A flow that looks at the port alone is answered ahead of all caches.
    return fmt::format("{} flows; hits: simple {}, EMC {}, SMC {}, megaflows {}",
                       sum_of("flows:", appctl({"dpctl/show"})), sum_of("simple match hits:", stats),
                       sum_of("emc hits:", stats), sum_of("smc hits:", stats), sum_of("megaflow hits:", stats));
  }

  void halt() override { daemon_->halt(); }

  // Its revalidators take the pause for a walk over the flows that was too slow, and would keep fewer: told again.
  void resume() override {
    daemon_->resume();
    appctl({"upcall/set-flow-limit", std::to_string(kFlowLimit)});
    appctl({"dpif-netdev/pmd-stats-clear"});
  }
  std::chrono::nanoseconds cpu_time() const override { return daemon_->cpu_time(); }
  std::string last_words() const override { return daemon_->last_words(); }

 private:
  TemporaryDirectory directory_;
  std::optional<HugePages> pages_;
  std::optional<ChildProcess> database_, daemon_;

  [[nodiscard]] std::string file(const char* name) const { return directory_.path() + "/" + name; }

  // Before the daemon starts. No flow leaves for want of packets: a peer in its turn has its flows as it left them.
  void configure(OvsPorts ports, bool smc) {
    const std::string mask = fmt::format("{:#x}", 1u << switch_core());
    vsctl({"--no-wait", "init"});
    std::vector<std::string> words{"--no-wait",
                                   "set",
                                   "Open_vSwitch",
                                   ".",
                                   "other_config:pmd-cpu-mask=" + mask,
                                   fmt::format("other_config:flow-limit={}", kFlowLimit),
                                   "other_config:max-idle=100000000",
                                   "other_config:min-revalidate-pps=0",
                                   fmt::format("other_config:smc-enable={}", smc)};
    if (ports == OvsPorts::kDpdk)
      words.insert(words.end(), {"other_config:dpdk-init=true", "other_config:dpdk-lcore-mask=" + mask,
                                 "other_config:dpdk-extra=\"--no-pci --in-memory --no-telemetry -m 512\""});
    vsctl(words);
  }

  void add_port(const std::string& port, int number, OvsPorts ports) {
    std::vector<std::string> words{"add-port", kBridge, port, "--", "set", "interface", port};
    words.push_back(fmt::format("ofport_request={}", number));
    if (ports == OvsPorts::kAfxdp)
      words.insert(words.end(), {"type=afxdp"});
    else
      words.insert(words.end(), {"type=dpdk", fmt::format("options:dpdk-devargs=net_af_xdp{},iface={}", number, port)});
    vsctl(words);
    const std::string got = vsctl({"get", "interface", port, "ofport", "error"});
    if (!got.starts_with(fmt::format("{}\n", number))) throw Error("port {}: {} {}", port, got, daemon_->last_words());
  }

  std::string vsctl(std::vector<std::string> words) const {
    words.insert(words.begin(), {"ovs-vsctl", "--timeout=30", "--db=unix:" + file("db.sock")});
    return run(words);
  }
  void ofctl(std::vector<std::string> command, const std::vector<std::string>& words = {}) const {
    command.insert(command.begin(), {"ovs-ofctl", "--timeout=120", "-OOpenFlow14"});
    command.push_back("unix:" + file(kBridge) + ".mgmt");
    command.insert(command.end(), words.begin(), words.end());
    run(command);
  }
  std::string appctl(std::vector<std::string> words) const {
    words.insert(words.begin(), {"ovs-appctl", "--timeout=30", "-t", file("vswitchd.ctl")});
    return run(words);
  }
};

}  // namespace

std::optional<std::string> open_vswitch_missing(OvsPorts ports) {
  const bool dpdk = ports == OvsPorts::kDpdk;
  for (const char* program : {dpdk ? kDpdkDaemon : kDaemon, "/usr/bin/ovs-vsctl", "/usr/bin/ovs-ofctl", kSchema})
    if (::access(program, R_OK) != 0)
      return fmt::format("{} is not installed (Debian: {})", program,
                         program == kDpdkDaemon ? "openvswitch-switch-dpdk" : "openvswitch-switch");
  return dpdk ? dpdk_missing() : std::nullopt;
}

std::unique_ptr<Contestant> make_open_vswitch(const std::string& name, const Lane& lane, OvsPorts ports, bool smc) {
  return std::make_unique<OpenVswitchPeer>(name, lane, ports, smc);
}

}  // namespace shunt::bench
