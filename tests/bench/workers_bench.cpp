// SPDX-License-Identifier: Apache-2.0
// What a second worker brings: every packet is of a new flow, of two ports in turn, whose queues one worker serves, or
// each its own. Each of the daemon's threads has the same share of a core at most (cpu_quota.h), so that what it can do
// is its limit, and neither the generator nor the number of cores: as on a machine of more cores that are slower.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/bench/bench_main.h"
#include "tests/bench/bench_network.h"
#include "tests/bench/cpu_quota.h"
#include "tests/bench/measurement.h"
#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kFlows = 1u << 20;  // of both lanes: a window at the rate offered must not meet one twice
constexpr std::array<const char*, 4> kThreads{"worker0", "worker1", "revalidator", "megaflow_writer"};

struct Options {
  int rounds = 9;
  std::chrono::milliseconds window{1'500};
  double share = 0.2;
  std::uint64_t offered = 400'000;
};

struct Setups {
  double offered = 0, forwarded = 0, published = 0;  // thousands a second
  std::array<double, kThreads.size()> ran{};         // of their shares
};

class TwoWorkers {
 public:
  TwoWorkers(const std::vector<Lane>& lanes, const Options& options)
      : lanes_{lanes},
        options_{options},
        daemon_{{"--flow-limit", "1100000", "--idle-timeout", "600", "--upcall-rate", "2000000", "--upcall-burst",
                 "100000"},
                fmt::format("{},{}", switch_core(), kGeneratorCore)} {
    quotas_.take(daemon_.process().pid());
    std::ranges::transform(kThreads, threads_.begin(), [&](auto name) { return daemon_.process().thread(name); });
    daemon_.bridge_lanes(lanes);
    for (std::size_t i = 0; i < lanes.size(); ++i) daemon_.add_rules(fmt::format("br{}", i), rules_for_each_flow());
    for (const pid_t thread : threads_) quotas_.limit(thread, options.share);
  }

  // With the second lane's queues at this worker.
  Setups measure(Traffic& traffic, unsigned second) {
    for (std::size_t i = 0; i < lanes_.size(); ++i)
      for (const std::string& port : {lanes_[i].in, lanes_[i].out})
        daemon_.shunt(
            {"port", "set", fmt::format("br{}", i), port, "--queue-workers", fmt::format("0:{}", i == 0 ? 0 : second)});
    daemon_.shunt({"cache", "flush"});
    pause_for(2s);  // what was flushed comes free after a grace period, and slowly, with a share of a core
    traffic.send_sequence(lanes_[0], {0, kFlows}, options_.offered);
    pause_for(100ms);
    const Counts before = counts(traffic);
    const auto start = Clock::now();
    pause_for(options_.window);
    const Counts after = counts(traffic);
    const std::chrono::duration<double> passed = Clock::now() - start;
    traffic.pause();
    const auto thousands = [&](std::uint64_t Counts::*what) {
      return static_cast<double>(after.*what - before.*what) / passed.count() / 1000;
    };
    Setups setups{thousands(&Counts::sent), thousands(&Counts::forwarded), thousands(&Counts::published), {}};
    for (std::size_t i = 0; i < threads_.size(); ++i)
      setups.ran[i] = std::chrono::duration<double>(after.ran[i] - before.ran[i]) / passed / options_.share;
    return setups;
  }

 private:
  struct Counts {
    std::uint64_t sent = 0, forwarded = 0, published = 0;
    std::array<std::chrono::nanoseconds, kThreads.size()> ran{};
  };

  Counts counts(const Traffic& traffic) const {
    Counts counts{.sent = traffic.sent()};
    for (const Lane& lane : lanes_) counts.forwarded += traffic.received(lane);
    counts.published = daemon_.shunt_json({"cache", "stats"}).at("published").get<std::uint64_t>();
    std::ranges::transform(threads_, counts.ran.begin(), cpu_time_of_thread);
    return counts;
  }

  const std::vector<Lane> lanes_;
  const Options options_;
  CpuQuotas quotas_;
  Daemon daemon_;
  std::array<pid_t, kThreads.size()> threads_{};
};

// Of the two lanes in turn.
std::vector<sequence_entry> new_flows(const std::vector<Lane>& lanes) {
  std::vector<sequence_entry> flows = numbered_flows(kFlows);
  for (std::size_t i = 0; i < flows.size(); ++i) flows[i].ifindex = lanes[i % lanes.size()].generator_ifindex;
  return flows;
}

void run_all(const Options& options) {
  const std::vector<Lane> lanes = make_lanes(2);
  Traffic traffic{lanes, kFlows};
  traffic.set_sequence(new_flows(lanes));
  TwoWorkers workers{lanes, options};
  (void)workers.measure(traffic, 1);  // the program with the features that these flows want is loaded

  std::array<std::vector<Setups>, 2> windows;
  std::vector<double> ratios;
  for (int round = 0; round < options.rounds; ++round) {
    for (unsigned second = 0; second < 2; ++second) windows[second].push_back(workers.measure(traffic, second));
    ratios.push_back(windows[1].back().published / windows[0].back().published);
  }
  fmt::print(
      "Flow set-ups, thousands a second; each thread of the daemon has {:.2f} of a core at most, and ran for so "
      "much of that (medians of {} rounds in turns)\n\n",
      options.share, options.rounds);
  fmt::print("{:<12} {:>9} {:>10} {:>10} {:>9} {:>9} {:>12} {:>16}\n", "", "offered", "forwarded", "published",
             "worker 0", "worker 1", "revalidator", "megaflow writer");
  for (unsigned second = 0; second < 2; ++second) {
    const auto median = [&](auto of) {
      std::vector<double> values;
      for (const Setups& setups : windows[second]) values.push_back(of(setups));
      return spread_of(values).median;
    };
    fmt::print("{:<12} {:>9.0f} {:>10.1f} {:>10.1f}", second == 0 ? "one worker" : "two workers",
               median([](const Setups& s) { return s.offered; }), median([](const Setups& s) { return s.forwarded; }),
               median([](const Setups& s) { return s.published; }));
    for (std::size_t i = 0; i < kThreads.size(); ++i)
      fmt::print(" {:>{}.2f}", median([i](const Setups& s) { return s.ran[i]; }), std::array{9, 9, 12, 16}[i]);
    fmt::print("\n");
  }
  const Spread ratio = spread_of(ratios);
  fmt::print("\ntwo of one, within a round: {:.2f} / {:.2f} / {:.2f}\n", ratio.min, ratio.median, ratio.max);
}

}  // namespace
}  // namespace shunt::bench

int main(int argc, char** argv) {
  using namespace shunt::bench;
  Options options;
  for (int i = 1; i < argc; i++) {
    const std::string_view option{argv[i]};
    if (option == "--quick") {
      options.rounds = 3;
    } else if (option == "--share" && i + 1 < argc) {
      options.share = std::stod(argv[++i]);
    } else if (option == "--offer" && i + 1 < argc) {
      options.offered = std::stoull(argv[++i]);
    } else {
      fmt::print(stderr, "usage: {} [--quick] [--share OF-A-CORE] [--offer FLOWS-A-SECOND]\n", argv[0]);
      return 2;
    }
  }
  if (std::thread::hardware_concurrency() < 2) {
    fmt::print(stderr, "workers_bench: skipped: needs two cores\n");
    return 77;
  }
  return run_as_root("workers_bench", [&] {
    run_all(options);
    return 0;
  });
}
