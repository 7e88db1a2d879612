// SPDX-License-Identifier: Apache-2.0
// What a second core brings: one lane with its generator on one core, then two lanes with a generator on each of two
// cores, over the bare redirect and over Shunt. What runs in softirqs is on its generator's core.
//
// Workers are not measured so: a generator waits by spinning, and on two cores it would have one of theirs
// (workers_bench).
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/bench/bench_main.h"
#include "tests/bench/bench_network.h"
#include "tests/bench/measurement.h"
#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kFlows = 1'000;

// A core's generator, and its lane of each contestant.
struct Core {
  Core(unsigned number, const std::array<Lane, 2>& its) : lanes{its}, traffic{{its[0], its[1]}, 0, number} {}

  std::array<Lane, 2> lanes;
  Traffic traffic;
};

// Frames that arrive, in millions a second, with generators on the first `count` cores.
double measure(std::vector<std::unique_ptr<Core>>& cores, std::size_t contestant, std::size_t count,
               std::chrono::milliseconds window) {
  const auto received = [&] {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += cores[i]->traffic.received(cores[i]->lanes[contestant]);
    return sum;
  };
  for (std::size_t i = 0; i < count; ++i) cores[i]->traffic.send_to(cores[i]->lanes[contestant], kFlows);
  pause_for(200ms);
  const auto start = Clock::now();
  const std::uint64_t before = received();
  pause_for(window);
  const std::chrono::duration<double, std::micro> passed = Clock::now() - start;
  const double rate = static_cast<double>(received() - before) / passed.count();
  for (std::size_t i = 0; i < count; ++i) cores[i]->traffic.pause();
  return rate;
}

void run_all(int rounds, std::chrono::milliseconds window) {
  const std::vector<Lane> lanes = make_lanes(4);
  std::vector<std::unique_ptr<Core>> cores;
  for (unsigned core = 0; core < 2; ++core) {
    cores.push_back(std::make_unique<Core>(core, std::array{lanes[core], lanes[2 + core]}));
    cores.back()->traffic.attach_redirect(lanes[core]);
  }
  const Daemon daemon{{}};
  for (unsigned core = 0; core < 2; ++core) {
    const std::string bridge = fmt::format("br{}", core);
    const Lane& lane = cores[core]->lanes[1];
    daemon.shunt({"bridge", "add", bridge});
    for (const std::string& name : {lane.in, lane.out})
      daemon.shunt({"port", "attach", bridge, name, "--mode", "native"});
    daemon.shunt({"fdb", "add", bridge, "02:00:00:00:00:02", lane.out});
  }

  constexpr std::array<const char*, 2> kNames{"A: bare redirect", "Shunt, rule `normal`"};
  std::array<std::vector<double>, 2> one, two, ratio;
  for (int round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      one[i].push_back(measure(cores, i, 1, window));
      two[i].push_back(measure(cores, i, 2, window));
      ratio[i].push_back(two[i].back() / one[i].back());
    }
  fmt::print("{} flows a lane, Mpps, medians of {} rounds; the ratio within a round: min / median / max\n\n", kFlows,
             rounds);
  fmt::print("{:<24} {:>8} {:>9}   {:>20}\n", "", "one core", "two cores", "two of one");
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const Spread r = spread_of(ratio[i]);
    fmt::print("{:<24} {:>8.2f} {:>9.2f}   {:>6.2f} {:>6.2f} {:>6.2f}\n", kNames[i], spread_of(one[i]).median,
               spread_of(two[i]).median, r.min, r.median, r.max);
  }
}

}  // namespace
}  // namespace shunt::bench

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::string_view{argv[1]} == "--quick";
  if (argc > 1 && !quick) {
    fmt::print(stderr, "usage: {} [--quick]\n", argv[0]);
    return 2;
  }
  if (std::thread::hardware_concurrency() < 2) {
    fmt::print(stderr, "queues_bench: skipped: needs two cores\n");
    return 77;
  }
  return shunt::bench::run_as_root("queues_bench", [&] {
    shunt::bench::run_all(quick ? 3 : 9, std::chrono::milliseconds{quick ? 400 : 800});
    return 0;
  });
}
