// SPDX-License-Identifier: Apache-2.0
// A switch with very many flows.
//
//   flows    a million cached flows: what each takes of memory, how long a change of rules takes that affects ten of
//            them, all, or all without altering any; and what forwarding loses meanwhile
//   bridging 100,000 MACs over 64 ports, of which any talk to any: flows, hits, and the rate against that of one flow;
//            what a bare redirect between the same ports loses of its own rate, too
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <string_view>
#include <vector>

#include "cli/client.h"
#include "tests/bench/bench_main.h"
#include "tests/bench/bench_network.h"
#include "tests/bench/measurement.h"
#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

double milliseconds_of(Clock::duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

// A number behind a name in a file of /proc.
std::uint64_t number_in(const std::filesystem::path& path, const std::string& name) {
  std::ifstream file{path};
  for (std::string word; file >> word;)
    if (std::uint64_t number = 0; word == name && file >> number) return number;
  return 0;
}

struct Memory {
  std::uint64_t daemon = 0, maps = 0;  // bytes: the daemon's own, and of the kernel's maps
};

Memory memory_of(pid_t process) {
  const std::filesystem::path proc = fmt::format("/proc/{}", process);
  Memory memory{.daemon = number_in(proc / "status", "RssAnon:") * 1024};
  std::vector<std::uint64_t> seen;  // a map that two descriptors lead to is one
  for (const auto& file : std::filesystem::directory_iterator{proc / "fdinfo"}) {
    const std::uint64_t map = number_in(file.path(), "map_id:");
    if (map == 0 || std::ranges::find(seen, map) != seen.end()) continue;
    seen.push_back(map);
    memory.maps += number_in(file.path(), "memlock:");
  }
  return memory;
}

std::uint64_t cached(const Daemon& daemon) { return daemon.shunt_json({"cache", "stats"}).at("flows"); }

void measure_flows(std::uint32_t flows) {
  const std::vector<Lane> lanes = make_lanes(1);
  Traffic traffic{lanes};
  Daemon daemon{{"--flow-limit", std::to_string(flows + flows / 8), "--idle-timeout", "3600", "--upcall-rate",
                 "1000000", "--upcall-burst", "100000"}};
  daemon.bridge_lanes(lanes);
  daemon.add_rules("br0", rules_for_each_flow());
  traffic.send_to(lanes[0], 1, 1000);
  pause_for(1s);  // the program with the features that these flows want is loaded
  const Memory before = memory_of(daemon.process().pid());
  traffic.send_to(lanes[0], flows, 60'000);
  for (int i = 0; i < 120 && cached(daemon) < flows; ++i) pause_for(500ms);
  const std::uint64_t count = cached(daemon);
  pause_for(15s);  // in which flows share what they have alike
  const Memory after = memory_of(daemon.process().pid());
  const auto each = [&](std::uint64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(count); };
  fmt::print(
      "{} flows cached. Bytes for each: {:.0f} of the daemon, {:.0f} of maps' elements, {:.0f} of maps that are "
      "there at the flow limit from the start\n\n",
      count, each(after.daemon - before.daemon), each(after.maps - before.maps), each(before.maps));

  traffic.send_to(lanes[0], flows, 100'000);
  pause_for(2s);
  // On a connection that stays: a new process takes longer than most changes, on the core that the daemon has.
  cli::Client control{daemon.rundir(), daemon.instance(), 60s};
  const auto timed = [&](const char* what, const std::function<void(int round)>& change, int rounds = 1) {
    const std::uint64_t sent = traffic.sent(), received = traffic.received(lanes[0]);
    std::vector<double> took;
    for (int round = 0; round < rounds; ++round) {
      const auto start = Clock::now();
      change(round);
      took.push_back(milliseconds_of(Clock::now() - start));
      pause_for(300ms);
    }
    const double lost =
        static_cast<double>(traffic.sent() - sent) - static_cast<double>(traffic.received(lanes[0]) - received);
    const Spread spread = spread_of(took);
    fmt::print("{:<66} {:>8.2f} ms ({:.2f} to {:.2f}), {:>7.0f} packets lost of {}\n", what, spread.median, spread.min,
               spread.max, std::max(0.0, lost), traffic.sent() - sent);
    std::fflush(stdout);
  };
  const auto change = [&control](const char* method, const std::string& rule) {
    (void)control.call(method, {{"bridge", "br0"}, {"rule", rule}});
  };
  const auto add = [&change](const char* rule) { return [&change, rule](int) { change("flow.add", rule); }; };
  const auto remove = [&change](const char* rule) { return [&change, rule](int) { change("flow.del_strict", rule); }; };
  constexpr int kRounds = 30;
  // Sixty-odd flows have one source port; of these, those of a few addresses.
  const auto few = [](int round) { return fmt::format("priority=200,udp,tp_src={},nw_src=10.1.0.0/21", 1030 + round); };
  timed("a command that changes nothing", [&](int) { (void)control.call("bridge.list"); }, kRounds);
  timed(
      "a rule that no flow meets",
      [&](int round) { change("flow.add", fmt::format("priority=200,tcp,tp_src={},actions=drop", 7 + round)); }, kRounds);
  timed(
      "a rule that alters about ten flows", [&](int round) { change("flow.add", few(round) + ",actions=drop"); },
      kRounds);
  timed(
      "... is taken away", [&](int round) { change("flow.del_strict", few(round)); }, kRounds);
  timed("a rule that all meet, and which alters none: all revalidated", add("priority=300,udp,actions=normal"));
  timed("... is taken away", remove("priority=300,udp"));
  timed("a rule that alters all", add("priority=300,udp,actions=drop"));
}

// MACs at 64 ports: a lane's two.
class Stations {
 public:
  static constexpr unsigned kPorts = BENCH_STATION_PORTS, kLanes = kPorts / 2;
  Stations(const std::vector<Lane>& lanes, std::uint32_t count) : count_{count} {
    for (const Lane& lane : lanes) {
      names_.insert(names_.end(), {lane.in, lane.out});
      ends_.insert(ends_.end(), {lane.generator_ifindex, lane.sink_ifindex});
      switched_.insert(switched_.end(), {lane.in_ifindex, lane.out_ifindex});
    }
  }
  [[nodiscard]] std::uint32_t count() const { return count_; }
  [[nodiscard]] const std::string& port_of(std::uint32_t station) const { return names_[station % kPorts]; }
  [[nodiscard]] const std::vector<std::string>& ports() const { return names_; }
  [[nodiscard]] const std::vector<unsigned>& ends() const { return ends_; }  // where what they send goes in
  [[nodiscard]] const std::vector<unsigned>& switched() const { return switched_; }  // the ports' interfaces
  // Stations have numbers from 1 on.
  [[nodiscard]] sequence_entry frame(std::uint32_t from, std::uint32_t to) const {
    sequence_entry entry = numbered_flows(1).front();
    entry.from = from;
    entry.to = to;
    entry.ifindex = ends_[from % kPorts];
    return entry;
  }

 private:
  std::uint32_t count_;
  std::vector<std::string> names_;
  std::vector<unsigned> ends_, switched_;
};

// Frames between any of the first `among` stations, none of them to the port that it comes from; so many in a row have
// their two ports alike, as a device's receive ring has them. `among` is a multiple of the ports.
std::vector<sequence_entry> any_to_any(const Stations& stations, std::uint32_t among, std::uint32_t count,
                                       std::uint32_t in_a_row) {
  constexpr std::uint32_t kPorts = Stations::kPorts;
  std::mt19937 random{3};
  std::uniform_int_distribution<std::uint32_t> any_port{0, kPorts - 1}, any_of_port{0, among / kPorts - 1};
  std::vector<sequence_entry> frames;
  while (frames.size() < count) {
    const std::uint32_t from = any_port(random), to = any_port(random);
    for (std::uint32_t i = 0; i < in_a_row && from != to; ++i)
      frames.push_back(stations.frame(1 + from + kPorts * any_of_port(random), 1 + to + kPorts * any_of_port(random)));
  }
  return frames;
}

void measure_bridging(std::uint32_t macs) {
  constexpr std::uint32_t kFrames = 500'000;
  constexpr int kRounds = 5;
  const std::vector<Lane> lanes = make_lanes(Stations::kLanes);
  const Stations stations{lanes, macs};
  std::vector<sequence_entry> sequence;
  const auto add = [&](const std::vector<sequence_entry>& frames) {
    const SequencePart part{static_cast<std::uint32_t>(sequence.size()), static_cast<std::uint32_t>(frames.size())};
    sequence.insert(sequence.end(), frames.begin(), frames.end());
    return part;
  };
  std::vector<sequence_entry> teaching;
  for (std::uint32_t station = 1; station <= macs; ++station)
    teaching.push_back(stations.frame(station, station % Stations::kPorts == 1 ? 2 : 1));
  const SequencePart lesson = add(teaching);
  struct Case {
    std::string what;
    SequencePart part;
    std::vector<double> redirected = {}, switched = {};  // frames a second
    std::uint64_t hits = 0, misses = 0, flows = 0;
  };
  std::vector<Case> cases{{"one flow", add(std::vector<sequence_entry>(kFrames, stations.frame(1, 2)))}};
  for (const std::uint32_t in_a_row : {64u, 1u})
    for (const std::uint32_t among : {Stations::kPorts, macs / Stations::kPorts * Stations::kPorts})
      cases.push_back({fmt::format("{} MACs, any to any, {} in a row", among, in_a_row),
                       add(any_to_any(stations, among, kFrames, in_a_row))});
  Traffic traffic{lanes, static_cast<std::uint32_t>(sequence.size())};
  for (const Lane& lane : lanes) traffic.attach_sink(lane.generator_ifindex);
  traffic.set_sequence(sequence);
  const auto received = [&] {
    std::uint64_t sum = 0;
    for (const unsigned end : stations.ends()) sum += traffic.received_at(end);
    return sum;
  };
  const auto rate_over = [&](Clock::duration time) {
    const std::uint64_t before = received();
    const auto start = Clock::now();
    pause_for(std::chrono::duration_cast<std::chrono::milliseconds>(time));
    const auto arrived = static_cast<double>(received() - before);
    return arrived / std::chrono::duration<double>(Clock::now() - start).count();
  };
  // Not in turns with the switch: an interface has one program.
  traffic.attach_stations(stations.switched());
  for (int round = 0; round < kRounds; ++round)
    for (Case& each : cases) {
      traffic.send_sequence(lanes[0], each.part);
      pause_for(500ms);
      each.redirected.push_back(rate_over(2s));
    }
  traffic.pause();
  traffic.detach(stations.switched());

  // Frames for each port to hand packets up in.
  Daemon daemon{{"--upcall-rate", "1000000", "--upcall-burst", "100000", "--umem-frames", "327680"}};
  daemon.shunt({"bridge", "add", "br0"});
  for (const std::string& port : stations.ports()) daemon.shunt({"port", "attach", "br0", port, "--mode", "native"});
  daemon.shunt({"fdb", "set", "br0", "--limit", "200000"});
  const auto stats = [&](const char* name) -> std::uint64_t { return daemon.shunt_json({"cache", "stats"}).at(name); };
  // First those that the others' frames go to, so that nothing floods.
  const auto known = [&] { return daemon.shunt_json({"fdb", "list", "br0"}).at("macs").size(); };
  traffic.send_sequence(lanes[0], {lesson.first, Stations::kPorts}, 100);
  pause_for(3s);
  for (int i = 0; i < 20 && known() < macs; ++i) {
    traffic.send_sequence(lanes[0], lesson, 15'000);
    pause_for(std::chrono::milliseconds{macs / 15 + 200});
    traffic.stop_sending();
  }
  daemon.shunt({"cache", "flush"});
  fmt::print("\n{} MACs known\n\n", known());
  for (int round = 0; round < kRounds; ++round)
    for (Case& each : cases) {
      traffic.send_sequence(lanes[0], each.part);
      pause_for(500ms);
      const std::uint64_t misses = stats("misses"), hits = stats("exact_hits") + stats("megaflow_hits");
      each.switched.push_back(rate_over(2s));
      each.misses += stats("misses") - misses;
      each.hits += stats("exact_hits") + stats("megaflow_hits") - hits;
      each.flows = std::max(each.flows, cached(daemon));
    }
  traffic.pause();
  for (Case& each : cases) {
    const Spread rate = spread_of(each.switched), one = spread_of(cases.front().switched);
    const Spread bare = spread_of(each.redirected), bare_one = spread_of(cases.front().redirected);
    fmt::print(
        "{:<40} {:>8.3f} Mpps ({:.3f} to {:.3f}), {:>6.3f} of one flow's; {:.3f} % hits, {} flows at most; bare "
        "redirect {:.3f} Mpps ({:.3f} to {:.3f}), {:.3f}\n",
        each.what, rate.median / 1e6, rate.min / 1e6, rate.max / 1e6, rate.median / one.median,
        100 * static_cast<double>(each.hits) / static_cast<double>(each.hits + each.misses), each.flows,
        bare.median / 1e6, bare.min / 1e6, bare.max / 1e6, bare.median / bare_one.median);
  }
}

}  // namespace
}  // namespace shunt::bench

int main(int argc, char** argv) {
  bool flows = true, bridging = true;
  std::uint32_t count = 1'000'000, macs = 100'000;
  for (int i = 1; i < argc; i++) {
    const std::string_view option{argv[i]};
    if (option == "--quick") {
      count = 100'000;
      macs = 10'000;
    } else if (option == "--only-flows") {
      bridging = false;
    } else if (option == "--only-bridging") {
      flows = false;
    } else {
      fmt::print(stderr, "usage: {} [--quick] [--only-flows] [--only-bridging]\n", argv[0]);
      return 2;
    }
  }
  return shunt::bench::run_as_root("scale_bench", [&] {
    if (flows) shunt::bench::measure_flows(count);
    if (bridging) shunt::bench::measure_bridging(macs);
    return 0;
  });
}
