// SPDX-License-Identifier: Apache-2.0
// What takes part in the comparison: a switch, or a program that does less, between the two ends of a lane. Each is set
// up once and then measured in turns with the others; between its turns it is halted, so that none takes another's CPU.
//
// Threads: main.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/bench/bench_network.h"

namespace shunt::bench {

// Port 1 is the lane's `in`, port 2 its `out`. Lines in the syntax of ovs-ofctl.
inline constexpr auto kNormalRule = "priority=0,actions=normal\n";
inline constexpr auto kOneRule = "priority=1,in_port=1,actions=output:2\n";

// The generator's frames go from the one to the other; switches are told both, so that none floods.
inline constexpr auto kDestinationMac = "02:00:00:00:00:02";

// As many flows as each may cache: of no contestant the default is to be what is measured.
inline constexpr std::uint32_t kFlowLimit = 2'000'000;

class Contestant {
 public:
  Contestant(std::string name, Lane lane) : name_{std::move(name)}, lane_{std::move(lane)} {}
  virtual ~Contestant() = default;
  Contestant(const Contestant&) = delete;
  Contestant& operator=(const Contestant&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const Lane& lane() const { return lane_; }

  // Forwards by these rules from now on, with empty caches. Those that have no rules forward all in any case.
  virtual void set_rules(const std::string& rules) = 0;
  // Packets that its caches could not answer, up to now; nullopt where it has none that fill with use.
  [[nodiscard]] virtual std::optional<std::uint64_t> misses() { return std::nullopt; }
  [[nodiscard]] virtual std::string cache_size() { return {}; }  // in words
  virtual void halt() {}
  virtual void resume() {}
  [[nodiscard]] virtual std::chrono::nanoseconds cpu_time() const { return {}; }  // of its own processes
  [[nodiscard]] virtual std::string last_words() const { return {}; }             // the end of its log, for a failure

 private:
  std::string name_;
  Lane lane_;
};

// The sink where the others' way begins: what any of them takes more than this is its own.
inline constexpr auto kNobodyName = "generator and sink alone";
inline constexpr auto kBaselineName = "A: redirect only";
inline constexpr auto kShuntName = "Shunt";

struct ContestantKind {
  const char* name;
  bool takes_rules;                         // tables, matches and priorities; not only `normal`
  std::optional<std::string> (*missing)();  // why there can be none here
  std::unique_ptr<Contestant> (*make)(const std::string& name, Traffic& traffic, const Lane& lane);
};

// In the order of the report: nobody, the two baselines, Shunt, the peers.
inline constexpr std::size_t kAlwaysThere = 4;  // all but the peers
[[nodiscard]] std::vector<ContestantKind> contestant_kinds();

// open_vswitch_peer.cpp
enum class OvsPorts { kAfxdp, kDpdk };
[[nodiscard]] std::optional<std::string> open_vswitch_missing(OvsPorts ports);
[[nodiscard]] std::unique_ptr<Contestant> make_open_vswitch(const std::string& name, const Lane& lane, OvsPorts ports,
                                                            bool smc);

// dpdk_peer.cpp
[[nodiscard]] std::optional<std::string> dpdk_missing();  // what every user of net_af_xdp needs
[[nodiscard]] std::optional<std::string> testpmd_missing();
[[nodiscard]] std::unique_ptr<Contestant> make_testpmd(const std::string& name, Traffic& traffic, const Lane& lane);

// Pages of 2 MB that DPDK wants, beyond those that were there; given back at the end.
class HugePages {
 public:
  explicit HugePages(unsigned count);  // throws Error where the machine has not so many
  ~HugePages();
  HugePages(const HugePages&) = delete;
  HugePages& operator=(const HugePages&) = delete;

 private:
  unsigned count_;
};

}  // namespace shunt::bench
