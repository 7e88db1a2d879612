// SPDX-License-Identifier: Apache-2.0
// Flow set-ups: every packet is of a new flow, comes in at one port, goes out at another, and its flow is published.
// At offered rates below and above what can be done, in turns: the whole daemon on one core; the smallest program of
// this shape (smallest_setup.h) on that core; and, where there are two cores, one worker with a core of its own, the
// revalidator on the generator's, before which it comes. Beside the rates, the processor time of each set-up: on a
// machine that does other things beside, that is the figure to go by, and what the ratios are of.
#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/bench_main.h"
#include "tests/bench/bench_network.h"
#include "tests/bench/smallest_setup.h"
#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Time = std::chrono::nanoseconds;

// The generator has a million different flows: a run at the highest rate must not come round to the first one.
constexpr std::chrono::milliseconds kWindow{1500};
constexpr std::uint32_t kFlows = 1u << 20;

// By one contestant in one window. Rates a second; costs of each that was made, in us of processor time with the
// kernel's work in it.
struct Setups {
  double made = 0, forwarded = 0;
  double cost = 0;         // of the whole process
  double worker = 0;       // of this thread, a flow whose packet was forwarded: its part is done then
  double revalidator = 0;  // of this thread and that which writes its hash map, a flow that was published
};

struct Usage {
  Time process{0}, worker{0}, revalidator{0};
};

// Sends for a window. `made` and `usage`: what they are by now, since some time.
Setups measure(Traffic& traffic, const Lane& lane, std::uint64_t offered, const std::function<std::uint64_t()>& made,
               const std::function<Usage()>& usage) {
  const std::uint64_t made_before = made(), received_before = traffic.received(lane);
  const Usage before = usage();
  const auto start = Clock::now();
  traffic.send_to(lane, kFlows, offered);
  pause_for(kWindow);
  const std::uint64_t received = traffic.received(lane);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  traffic.pause();
  pause_for(200ms);  // the revalidator's queue is at most 8,192 flows: the rate counts them all
  const Usage after = usage();
  const auto published = static_cast<double>(made() - made_before);
  const auto forwarded = static_cast<double>(received - received_before);
  if (published == 0 || forwarded == 0) throw Error("no flow was set up");
  const auto of_each = [&](Time Usage::*part, double count) {
    return std::chrono::duration<double, std::micro>(after.*part - before.*part).count() / count;
  };
  return {.made = published / seconds,
          .forwarded = forwarded / seconds,
          .cost = of_each(&Usage::process, published),
          .worker = of_each(&Usage::worker, forwarded),
          .revalidator = of_each(&Usage::revalidator, published)};
}

class Shunt {
 public:
  explicit Shunt(const Lane& lane)
      : lane_{lane},
        daemon_{{"--flow-limit", "1100000", "--idle-timeout", "600", "--upcall-rate", "2000000", "--upcall-burst",
                 "100000"}},
        worker_{daemon_.process().thread("worker0")},
        others_{daemon_.process().thread("revalidator"), daemon_.process().thread("megaflow_writer")} {
    daemon_.shunt({"bridge", "add", "br"});
    for (const std::string& name : {lane.in, lane.out})
      daemon_.shunt({"port", "attach", "br", name, "--mode", "native"});
    daemon_.shunt({"fdb", "add", "br", "02:00:00:00:00:02", lane.out});
    daemon_.add_rules("br", rules_for_each_flow());
  }

  // `apart`: the revalidator and what writes its hash map are on the generator's core.
  Setups measure(Traffic& traffic, std::uint64_t offered, bool apart) {
    daemon_.process().resume();
    place_others(apart);
    daemon_.shunt({"cache", "flush"});
    pause_for(200ms);  // what was flushed comes free after a grace period
    const Setups setups = bench::measure(
        traffic, lane_, offered,
        [&] {
          return daemon_.shunt_json({"cache", "stats"}).at("published").get<std::uint64_t>();
        },
        [&] {
          return Usage{daemon_.process().cpu_time(), cpu_time_of_thread(worker_),
                       cpu_time_of_thread(others_[0]) + cpu_time_of_thread(others_[1])};
        });
    daemon_.process().halt();
    return setups;
  }

 private:
  void place_others(bool apart) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(apart ? kGeneratorCore : switch_core(), &cores);
    for (const pid_t thread : others_) {
      check(::sched_setaffinity(thread, sizeof cores, &cores), "revalidator: core");
      // The generator spins, and would have half of the core whatever it offers.
      check(::setpriority(PRIO_PROCESS, static_cast<id_t>(thread), apart ? -20 : 0), "revalidator: priority");
    }
  }

  const Lane lane_;
  Daemon daemon_;
  const pid_t worker_;
  const std::array<pid_t, 2> others_;  // of which the revalidator's work is
};

// A process of its own each time, whose table is empty. What it has sent it has put into its table before.
Setups measure_smallest(Traffic& traffic, const Lane& lane, std::uint64_t offered, const char* how) {
  const TemporaryDirectory directory;
  ChildProcess smallest{{"/proc/self/exe", how, lane.in, lane.out}, directory.path() + "/log"};
  pause_for(300ms);
  if (!smallest.alive()) throw Error("the smallest program ended at start: {}", smallest.last_words());
  return measure(
      traffic, lane, offered, [&] { return traffic.received(lane); },
      [&] {
        return Usage{smallest.cpu_time(), Time{0}, Time{0}};
      });
}

enum Contestant : std::size_t { kShunt, kSingly, kInBatches, kApart, kContestants };
constexpr const char *kRunSingly = "--smallest", *kRunInBatches = "--smallest-in-batches";

Setups median_of(std::vector<Setups> windows) {
  if (windows.empty()) return {};
  const auto median = [&](double Setups::*what) {
    std::ranges::sort(windows, {}, what);
    return windows[windows.size() / 2].*what;
  };
  return {median(&Setups::made), median(&Setups::forwarded), median(&Setups::cost), median(&Setups::worker),
          median(&Setups::revalidator)};
}

void run_all(int rounds, const std::vector<std::uint64_t>& offers) {
  const std::vector<Lane> lanes = make_lanes(2);
  Traffic traffic{lanes};
  Shunt shunt{lanes[0]};
  const bool two_cores = switch_core() != kGeneratorCore;
  (void)shunt.measure(traffic, 50'000, false);  // the program with the features that these flows want is loaded

  std::vector<std::array<std::vector<Setups>, kContestants>> windows(offers.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < offers.size(); ++i) {
      auto& of = windows[i];
      of[kShunt].push_back(shunt.measure(traffic, offers[i], false));
      of[kSingly].push_back(measure_smallest(traffic, lanes[1], offers[i], kRunSingly));
      of[kInBatches].push_back(measure_smallest(traffic, lanes[1], offers[i], kRunInBatches));
      if (two_cores) of[kApart].push_back(shunt.measure(traffic, offers[i], true));
    }
  }

  fmt::print(
      "Flow set-ups, thousands a second, and us of processor time for each (medians of {} rounds in turns)\n\n"
      "The daemon on one core; the smallest program there, which writes its table singly and in batches\n\n",
      rounds);
  fmt::print("{:>8}  {:>9}  {:>9}  {:>7}  {:>7}  {:>7}  {:>7}  {:>7}  {:>10}  {:>10}\n", "offered", "published",
             "forwarded", "us each", "singly", "us each", "batches", "us each", "of singly", "of batches");
  std::vector<std::array<Setups, kContestants>> medians(offers.size());
  for (std::size_t i = 0; i < offers.size(); ++i) {
    std::ranges::transform(windows[i], medians[i].begin(), median_of);
    const auto& [ours, singly, in_batches, apart] = medians[i];
    fmt::print("{:>8}  {:>9.0f}  {:>9.0f}  {:>7.2f}  {:>7.0f}  {:>7.2f}  {:>7.0f}  {:>7.2f}  {:>10.2f}  {:>10.2f}\n",
               offers[i] / 1000, ours.made / 1000, ours.forwarded / 1000, ours.cost, singly.made / 1000, singly.cost,
               in_batches.made / 1000, in_batches.cost, singly.cost / ours.cost, in_batches.cost / ours.cost);
  }
  if (!two_cores) return;
  fmt::print(
      "\nOne worker on a core of its own, the revalidator on the generator's, which has what is left of it; us of each "
      "thread, and the share of its core that the worker ran\n\n");
  fmt::print("{:>8}  {:>9}  {:>9}  {:>7}  {:>7}  {:>11}  {:>16}  {:>17}\n", "offered", "published", "forwarded",
             "worker", "ran", "revalidator", "worker of singly", "worker of batches");
  for (std::size_t i = 0; i < offers.size(); ++i) {
    const auto& [ours, singly, in_batches, apart] = medians[i];
    fmt::print("{:>8}  {:>9.0f}  {:>9.0f}  {:>7.2f}  {:>7.2f}  {:>11.2f}  {:>16.2f}  {:>17.2f}\n", offers[i] / 1000,
               apart.made / 1000, apart.forwarded / 1000, apart.worker, apart.forwarded * apart.worker / 1e6,
               apart.revalidator, singly.cost / apart.worker, in_batches.cost / apart.worker);
  }
}

}  // namespace
}  // namespace shunt::bench

int main(int argc, char** argv) {
  using namespace shunt::bench;
  if (argc == 4 && (argv[1] == std::string_view{kRunSingly} || argv[1] == std::string_view{kRunInBatches}))
    run_smallest_setup(argv[2], argv[3], argv[1] == std::string_view{kRunInBatches});  // SIGTERM ends it
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
  return run_as_root("setup_bench", [&] {
    run_all(rounds, offers);
    return 0;
  });
}
