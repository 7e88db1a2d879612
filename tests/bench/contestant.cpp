// SPDX-License-Identifier: Apache-2.0
// What generator and sink take, the baselines, Shunt, and the Linux bridge.
#include "tests/bench/contestant.h"

#include <fmt/format.h>

#include <algorithm>

namespace shunt::bench {
namespace {

class Baseline : public Contestant {
 public:
  using Contestant::Contestant;
  void set_rules(const std::string&) override {}
};

class Shunt : public Contestant {
 public:
  Shunt(const std::string& name, const Lane& lane)
      : Contestant{name, lane},
        bridge_{"shunt-" + lane.in},
        daemon_{{"--flow-limit", std::to_string(kFlowLimit), "--idle-timeout", "86400", "--upcall-rate", "1000000",
                 "--upcall-burst", "100000"}} {
    daemon_.shunt({"bridge", "add", bridge_});
    daemon_.shunt({"port", "attach", bridge_, lane.in, "--ofport", "1", "--mode", "native"});
    daemon_.shunt({"port", "attach", bridge_, lane.out, "--ofport", "2", "--mode", "native"});
    daemon_.shunt({"fdb", "add", bridge_, kDestinationMac, lane.out});
  }

  void set_rules(const std::string& rules) override {
    daemon_.shunt({"flow", "del", bridge_});
    daemon_.add_rules(bridge_, rules);
    daemon_.shunt({"cache", "flush"});
  }
  std::optional<std::uint64_t> misses() override { return stats().at("misses").get<std::uint64_t>(); }
  std::string cache_size() override {
    const nlohmann::json now = stats();
    const auto [exact, all] = hits(now);
    return fmt::format("{} flows, {} masks; {:.1f} % of hits by exact match or hint",
                       now.at("flows").get<std::uint64_t>(), now.at("masks").get<std::uint64_t>(),
                       100.0 * static_cast<double>(exact - hits_before_.first) /
                           static_cast<double>(std::max<std::uint64_t>(all - hits_before_.second, 1)));
  }
  void halt() override { daemon_.process().halt(); }
  void resume() override {
    daemon_.process().resume();
    hits_before_ = hits(stats());
  }
  std::chrono::nanoseconds cpu_time() const override { return daemon_.process().cpu_time(); }
  std::string last_words() const override { return daemon_.process().last_words(); }

 private:
  std::string bridge_;
  Daemon daemon_;

  std::pair<std::uint64_t, std::uint64_t> hits_before_;  // when its turn began

  // Those that the exact-match cache answered, and all.
  static std::pair<std::uint64_t, std::uint64_t> hits(const nlohmann::json& stats) {
    const auto exact = stats.at("exact_hits").get<std::uint64_t>();
    return {exact, exact + stats.at("megaflow_hits").get<std::uint64_t>()};
  }
  nlohmann::json stats() { return daemon_.shunt_json({"cache", "stats"}); }
};

class LinuxBridge : public Contestant {
 public:
  LinuxBridge(const std::string& name, const Lane& lane) : Contestant{name, lane} {
    const std::string bridge = "br-" + lane.in;
    run({"ip", "link", "add", bridge, "type", "bridge"});
    run({"ip", "link", "set", bridge, "up"});
    run({"ip", "link", "set", lane.in, "master", bridge});
    run({"ip", "link", "set", lane.out, "master", bridge});
    run({"bridge", "fdb", "add", kDestinationMac, "dev", lane.out, "master", "static"});
    // A veth takes frames that were redirected to it only with an XDP program or NAPI, which GRO brings.
    run({"ethtool", "-K", lane.in, "gro", "on"});
  }
  void set_rules(const std::string&) override {}
};

std::optional<std::string> nothing_missing() { return std::nullopt; }

}  // namespace

std::vector<ContestantKind> contestant_kinds() {
  return {
      {kNobodyName, true, nothing_missing,
       [](const std::string& name, Traffic& traffic, const Lane& lane) -> std::unique_ptr<Contestant> {
         traffic.attach_sink(lane.in_ifindex);
         Lane shorter = lane;
         shorter.sink_ifindex = lane.in_ifindex;
         return std::make_unique<Baseline>(name, shorter);
       }},
      {kBaselineName, true, nothing_missing,
       [](const std::string& name, Traffic& traffic, const Lane& lane) -> std::unique_ptr<Contestant> {
         traffic.attach_redirect(lane);
         return std::make_unique<Baseline>(name, lane);
       }},
      {"B: hash look-up, redirect", true, nothing_missing,
       [](const std::string& name, Traffic& traffic, const Lane& lane) -> std::unique_ptr<Contestant> {
         traffic.attach_lookup(lane);
         return std::make_unique<Baseline>(name, lane);
       }},
      {kShuntName, true, nothing_missing,
       [](const std::string& name, Traffic&, const Lane& lane) -> std::unique_ptr<Contestant> {
         return std::make_unique<Shunt>(name, lane);
       }},
      {"Linux bridge", false, nothing_missing,
       [](const std::string& name, Traffic&, const Lane& lane) -> std::unique_ptr<Contestant> {
         return std::make_unique<LinuxBridge>(name, lane);
       }},
      {"Open vSwitch, afxdp", true, [] { return open_vswitch_missing(OvsPorts::kAfxdp); },
       [](const std::string& name, Traffic&, const Lane& lane) {
         return make_open_vswitch(name, lane, OvsPorts::kAfxdp, false);
       }},
      {"Open vSwitch, afxdp, smc", true, [] { return open_vswitch_missing(OvsPorts::kAfxdp); },
       [](const std::string& name, Traffic&, const Lane& lane) {
         return make_open_vswitch(name, lane, OvsPorts::kAfxdp, true);
       }},
      {"Open vSwitch-DPDK, af_xdp", true, [] { return open_vswitch_missing(OvsPorts::kDpdk); },
       [](const std::string& name, Traffic&, const Lane& lane) {
         return make_open_vswitch(name, lane, OvsPorts::kDpdk, false);
       }},
      {"testpmd io, af_xdp", false, testpmd_missing, make_testpmd},
  };
}

}  // namespace shunt::bench
