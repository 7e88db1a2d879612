// SPDX-License-Identifier: Apache-2.0
// What a packet costs in the switch, against two programs that do less: one that only redirects, and one that asks one
// BPF hash map and redirects. 64-byte frames (60 and the FCS), one core for generator, programs and sink.
//
// All are measured in turns within one run, so that a machine that is slower for a while is slower for all of them.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/bench/bench_main.h"
#include "tests/bench/bench_network.h"
#include "tests/bench/measurement.h"
#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kFlowLimit = 2'000'000;
constexpr auto kCalm = 12s;  // until the exact-match cache is small again

// What the edits leave is the same for each of a flow's packets, as it would be in a router.
constexpr auto kRouterRule =
    "priority=1,in_port=1,ip,actions=set_field:02:00:00:00:00:99->eth_src,set_field:02:00:00:00:00:02->eth_dst,"
    "dec_ttl,output:2\n";
constexpr auto kTranslatingRule =
    "priority=1,in_port=1,udp,actions=set_field:192.0.2.1->ip_src,set_field:1024->udp_src,dec_ttl,output:2\n";

struct Plan {
  std::vector<std::uint32_t> flow_counts{1, 1'000, 10'000, 100'000, 1'000'000};
  int rounds = 5;
  std::chrono::milliseconds settle{150}, window{600};
  std::chrono::seconds setups{3};
  bool only_baselines = false, only_setups = false, only_hits = false;
};

struct Subject {
  const char* name;
  Lane lane;
  bool caches_each_flow = false;
};

// Frames a second that reach the sink, in millions.
double measure(Traffic& traffic, const Subject& subject, std::uint32_t flows, const Plan& plan) {
  traffic.send_to(subject.lane, flows);
  pause_for(plan.settle);
  const auto start = Clock::now();
  const std::uint64_t before = traffic.received(subject.lane);
  pause_for(plan.window);
  const std::uint64_t after = traffic.received(subject.lane);
  const std::chrono::duration<double, std::micro> passed = Clock::now() - start;
  return static_cast<double>(after - before) / passed.count();
}

// Sends slowly enough for the slow path until the kernel answers by itself. Returns the flows that are cached then.
std::uint64_t warm_up(Traffic& traffic, const Daemon& daemon, const Subject& subject, std::uint32_t flows) {
  const auto end = Clock::now() + 120s;
  traffic.send_to(subject.lane, flows, 40'000);
  std::uint64_t misses_before = ~0ull, elements_before = 0;
  const auto turn = std::chrono::milliseconds{flows / 40 + 300};  // every flow comes by once
  while (Clock::now() < end) {
    pause_for(turn);
    const nlohmann::json stats = daemon.shunt_json({"cache", "stats"});
    const auto misses = stats.at("misses").get<std::uint64_t>();
    const auto elements = stats.at("exact_match_elements").get<std::uint64_t>();  // another number makes all void
    if (misses == misses_before && elements == elements_before) return stats.at("flows").get<std::uint64_t>();
    misses_before = misses;
    elements_before = elements;
  }
  throw Error("{}: {} flows were not cached after 120 s", subject.name, flows);
}

// Of the hits since this was made, those that the exact-match cache answered.
class ExactShare {
 public:
  explicit ExactShare(const Daemon* daemon) : daemon_{daemon} {
    if (daemon_ != nullptr) before_ = now();
  }
  [[nodiscard]] double percent() const {
    const auto [exact, all] = now();
    return 100.0 * static_cast<double>(exact - before_.first) / static_cast<double>(all - before_.second);
  }

 private:
  const Daemon* daemon_;
  std::pair<std::uint64_t, std::uint64_t> before_;

  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> now() const {
    const nlohmann::json stats = daemon_->shunt_json({"cache", "stats"});
    const auto exact = stats.at("exact_hits").get<std::uint64_t>();
    return {exact, exact + stats.at("megaflow_hits").get<std::uint64_t>()};
  }
};

void measure_hits(Traffic& traffic, const Daemon* daemon, const std::vector<Subject>& subjects, const Plan& plan) {
  fmt::print("Hits, Mpps (min / median / max of {} rounds in turns); `of A` is the ratio within a round\n\n",
             plan.rounds);
  fmt::print("{:>9}  {:<28} {:>20}  {:>20}  {:>9}\n", "flows", "program", "Mpps", "of A", "ns over A");
  for (const std::uint32_t flows : plan.flow_counts) {
    traffic.pause();
    traffic.fill_lookup_table(flows);
    std::string cached;
    for (const Subject& subject : subjects)
      if (subject.caches_each_flow) cached = fmt::format("{}", warm_up(traffic, *daemon, subject, flows));
    const ExactShare share{daemon};
    std::vector<std::vector<double>> rates(subjects.size());
    for (int round = 0; round < plan.rounds; round++)
      for (std::size_t i = 0; i < subjects.size(); i++) rates[i].push_back(measure(traffic, subjects[i], flows, plan));

    for (std::size_t i = 0; i < subjects.size(); i++) {
      std::vector<double> ratios;
      for (std::size_t round = 0; round < rates[i].size(); round++) ratios.push_back(rates[i][round] / rates[0][round]);
      const Spread rate = spread_of(rates[i]), ratio = spread_of(ratios);
      const double more = 1000 / rate.median - 1000 / spread_of(rates[0]).median;
      fmt::print("{:>9}  {:<28} {:>6.2f} {:>6.2f} {:>6.2f}  {:>6.2f} {:>6.2f} {:>6.2f}  {:>9.0f}{}\n", flows,
                 subjects[i].name, rate.min, rate.median, rate.max, ratio.min, ratio.median, ratio.max, more,
                 subjects[i].caches_each_flow ? "  (" + cached + " flows cached)" : "");
    }
    if (daemon != nullptr)
      fmt::print("{:>9}  answered by the exact-match cache: {:.1f} %; its elements: {}\n", flows, share.percent(),
                 daemon->shunt_json({"cache", "stats"}).at("exact_match_elements").get<std::uint64_t>());
    std::fflush(stdout);
  }
  traffic.pause();
}

// Every packet is a new flow: how many the daemon, on one core, translates, sends on and publishes a second.
void measure_setups(Traffic& traffic, const Daemon& daemon, const Subject& subject, const Plan& plan) {
  fmt::print("\nFlow set-ups: every packet a new flow, the daemon on one core (min / median / max of {} runs)\n\n", 3);
  fmt::print("{:>12}  {:>29}  {:>29}\n", "offered/s", "published/s", "forwarded/s");
  for (const std::uint64_t offered : {50'000u, 100'000u, 200'000u}) {
    std::vector<double> published, forwarded;
    for (int i = 0; i < 3; i++) {
      daemon.shunt({"cache", "flush"});
      const auto count = [&] { return daemon.shunt_json({"cache", "stats"}).at("published").get<std::uint64_t>(); };
      const std::uint64_t published_before = count(), received_before = traffic.received(subject.lane);
      const auto start = Clock::now();
      traffic.send_to(subject.lane, 1u << 30, offered);
      pause_for(plan.setups);
      traffic.pause();
      const std::uint64_t received = traffic.received(subject.lane), made = count();
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      published.push_back(static_cast<double>(made - published_before) / seconds);
      forwarded.push_back(static_cast<double>(received - received_before) / seconds);
    }
    const Spread p = spread_of(published), f = spread_of(forwarded);
    fmt::print("{:>12}  {:>9.0f} {:>9.0f} {:>9.0f}  {:>9.0f} {:>9.0f} {:>9.0f}\n", offered, p.min, p.median, p.max,
               f.min, f.median, f.max);
  }
}

// A bridge over a lane. MACs are static: no flood, no ageing.
void make_bridge(const Daemon& daemon, const std::string& name, const Lane& lane) {
  daemon.shunt({"bridge", "add", name});
  daemon.shunt({"port", "attach", name, lane.in, "--mode", "native"});
  daemon.shunt({"port", "attach", name, lane.out, "--mode", "native"});
  daemon.shunt({"fdb", "add", name, "02:00:00:00:00:02", lane.out});
  daemon.shunt({"fdb", "add", name, "02:00:00:00:00:01", lane.in});
}

void run_all(const Plan& plan) {
  const std::vector<Lane> lanes = make_lanes(7);
  Traffic traffic{lanes};
  traffic.attach_redirect(lanes[0]);
  traffic.attach_lookup(lanes[1]);
  std::vector<Subject> subjects{{"A: redirect only", lanes[0]}, {"B: hash look-up, redirect", lanes[1]}};
  if (plan.only_baselines) return measure_hits(traffic, nullptr, subjects, plan);

  const Daemon daemon{{"--flow-limit", std::to_string(kFlowLimit), "--idle-timeout", "600", "--upcall-rate", "1000000",
                       "--upcall-burst", "100000"}};
  make_bridge(daemon, "normal", lanes[2]);
  make_bridge(daemon, "each", lanes[3]);
  daemon.add_rules("each", rules_for_each_tuple());
  make_bridge(daemon, "stations", lanes[6]);
  daemon.add_rules("stations", rules_for_each_flow());
  make_bridge(daemon, "router", lanes[4]);
  daemon.add_rules("router", kRouterRule);
  make_bridge(daemon, "translator", lanes[5]);
  daemon.add_rules("translator", kTranslatingRule);

  subjects.push_back({"shunt, rule `normal`", lanes[2]});
  subjects.push_back({"shunt, each flow cached", lanes[3], true});
  subjects.push_back({"shunt, MACs and TTL", lanes[4]});
  subjects.push_back({"shunt, address, port, TTL", lanes[5]});
  const Subject stations{"shunt, each flow cached", lanes[6], true};
  for (const std::size_t i : {2u, 4u, 5u}) warm_up(traffic, daemon, subjects[i], 1);
  if (!plan.only_setups) {
    measure_hits(traffic, &daemon, subjects, plan);
    daemon.shunt({"cache", "flush"});
    std::this_thread::sleep_for(kCalm);
    fmt::print("\nFlows that look at MACs, too, whose keys take twice as much\n\n");
    measure_hits(traffic, &daemon, {subjects[0], subjects[1], stations}, plan);
  }
  if (!plan.only_hits) measure_setups(traffic, daemon, stations, plan);
}

}  // namespace
}  // namespace shunt::bench

int main(int argc, char** argv) {
  shunt::bench::Plan plan;
  for (int i = 1; i < argc; i++) {
    const std::string_view option{argv[i]};
    if (option == "--quick") {
      plan.flow_counts = {1, 1'000, 100'000};
      plan.rounds = 3;
      plan.settle = std::chrono::milliseconds{100};
      plan.window = std::chrono::milliseconds{300};
      plan.setups = std::chrono::seconds{2};
    } else if (option == "--only-baselines") {  // checks generator and sink without the switch
      plan.only_baselines = true;
    } else if (option == "--only-setups") {
      plan.only_setups = true;
    } else if (option == "--only-hits") {
      plan.only_hits = true;
    } else {
      fmt::print(stderr, "usage: {} [--quick] [--only-baselines] [--only-setups] [--only-hits]\n", argv[0]);
      return 2;
    }
  }
  return shunt::bench::run_as_root("datapath_bench", [&] {
    shunt::bench::run_all(plan);
    return 0;
  });
}
