// SPDX-License-Identifier: Apache-2.0
// Flow set-ups: every packet is of a new flow, comes in at one port, goes out at another, and its flow is published.
// How many a second the whole daemon does on one core, at offered rates below and above what it can, and the processor
// time that each costs it: on a machine that does other things beside, that is the figure to go by.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <vector>

#include "tests/bench/bench_main.h"
#include "tests/bench/bench_network.h"
#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// The generator has a million different flows: a run at the highest rate must not come round to the first one.
constexpr std::chrono::milliseconds kWindow{1500};
constexpr std::uint32_t kFlows = 1u << 20;

struct Setups {
  double published, forwarded;  // a second
  double cost;  // of each that was published: us of the daemon's threads, with the kernel's work in them
};

Setups measure(Traffic& traffic, Daemon& daemon, const Lane& lane, std::uint64_t offered) {
  daemon.shunt({"cache", "flush"});
  pause_for(200ms);  // what was flushed comes free after a grace period
  const auto published = [&] { return daemon.shunt_json({"cache", "stats"}).at("published").get<std::uint64_t>(); };
  const std::uint64_t published_before = published(), received_before = traffic.received(lane);
  const auto processor_before = daemon.process().cpu_time();
  const auto start = Clock::now();
  traffic.send_to(lane, kFlows, offered);
  pause_for(kWindow);
  const std::uint64_t received = traffic.received(lane);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  traffic.pause();
  pause_for(200ms);  // the revalidator's queue is at most 8,192 flows: the rate counts them all
  const std::chrono::duration<double, std::micro> processor = daemon.process().cpu_time() - processor_before;
  const auto made = static_cast<double>(published() - published_before);
  return {made / seconds, static_cast<double>(received - received_before) / seconds, processor.count() / made};
}

void run_all(int rounds, const std::vector<std::uint64_t>& offers) {
  const std::vector<Lane> lanes = make_lanes(1);
  const Lane& lane = lanes.front();
  Traffic traffic{lanes};
  Daemon daemon{
      {"--flow-limit", "1100000", "--idle-timeout", "600", "--upcall-rate", "2000000", "--upcall-burst", "100000"}};
  daemon.shunt({"bridge", "add", "br"});
  for (const std::string& name : {lane.in, lane.out}) daemon.shunt({"port", "attach", "br", name, "--mode", "native"});
  daemon.shunt({"fdb", "add", "br", "02:00:00:00:00:02", lane.out});
  daemon.add_rules("br", rules_for_each_flow());

  (void)measure(traffic, daemon, lane, 50'000);  // the program with the features that these flows want is loaded
  fmt::print("Flow set-ups, thousands a second, the daemon on one core (medians of {} rounds)\n\n", rounds);
  fmt::print("{:>8}  {:>9}  {:>9}  {:>10}\n", "offered", "published", "forwarded", "us of each");
  std::vector<std::vector<Setups>> results(offers.size());
  for (int round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < offers.size(); ++i) results[i].push_back(measure(traffic, daemon, lane, offers[i]));
  for (std::size_t i = 0; i < offers.size(); ++i) {
    const auto median = [&](double Setups::*what) {
      std::ranges::sort(results[i], {}, what);
      return results[i][results[i].size() / 2].*what;
    };
    fmt::print("{:>8}  {:>9.0f}  {:>9.0f}  {:>10.2f}\n", offers[i] / 1000, median(&Setups::published) / 1000,
               median(&Setups::forwarded) / 1000, median(&Setups::cost));
  }
}

}  // namespace
}  // namespace shunt::bench

int main(int argc, char** argv) {
  int rounds = 3;
  std::vector<std::uint64_t> offers{100'000, 200'000, 300'000, 400'000, 500'000};
  for (int i = 1; i < argc; i++) {
    const std::string_view option{argv[i]};
    if (option == "--quick") {
      rounds = 1;
    } else if (option == "--offer" && i + 1 < argc) {
      offers = {std::stoull(argv[++i])};
    } else {
      fmt::print(stderr, "usage: {} [--quick] [--offer FLOWS-A-SECOND]\n", argv[0]);
      return 2;
    }
  }
  return shunt::bench::run_as_root("setup_bench", [&] {
    shunt::bench::run_all(rounds, offers);
    return 0;
  });
}
