// SPDX-License-Identifier: Apache-2.0
// A switch under attack.
//
//   established traffic on one port while another one, and then the same one, is attacked: a tuple-space explosion
//   against a rule set made for it, plain and in bursts, and, at a fixed rate, a SYN flood
//   newcomers   flows that begin on one port while another one is flooded with packets that are each a flow of their
//               own: how many of their packets arrive, and how many of them are in the cache at the end
#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "cli/client.h"
#include "tests/bench/bench_main.h"
#include "tests/bench/bench_network.h"
#include "tests/bench/flow_mix.h"
#include "tests/bench/measurement.h"
#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// What was sent meanwhile, and what of all traffic came to a lane's end.
struct Window {
  std::uint64_t sent;
  double arrived, seconds;
};
Window watch(const Traffic& sender, const Traffic& receiver, const Lane& lane, std::chrono::milliseconds time) {
  const std::uint64_t sent = sender.sent(), received = receiver.received(lane);
  const auto start = Clock::now();
  pause_for(time);
  const auto arrived = static_cast<double>(receiver.received(lane) - received);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return {sender.sent() - sent, arrived, seconds};
}

// Established traffic, and what of it arrives.
class Established {
 public:
  Established(Traffic& traffic, const Lane& lane) : traffic_{traffic}, lane_{lane} {}
  static constexpr std::uint32_t kFlows = 1000;

  void start() { traffic_.send_to(lane_, kFlows); }  // as fast as it goes
  struct Share {
    double of_sent, a_second;
  };
  [[nodiscard]] Share over(std::chrono::milliseconds time) {
    const Window window = watch(traffic_, traffic_, lane_, time);
    return {window.arrived / static_cast<double>(window.sent), window.arrived / window.seconds};
  }

 private:
  Traffic& traffic_;
  const Lane& lane_;
};

// Rules that tell packets apart by prefixes of every length of three fields, as an attacker wants them
// (Csikor et al., CoNEXT 2019).
std::string explosive_rules() {
  std::string rules = "priority=10,ip,nw_dst=10.2.0.1,udp,tp_dst=9,actions=normal\npriority=1,actions=drop\n";
  rules += "priority=400,udp,tp_src=80,tp_dst=53,actions=normal\n";
  rules += "priority=300,ip,nw_src=10.0.0.10,udp,tp_dst=53,actions=normal\n";
  rules += "priority=200,tcp,tp_src=12345,nw_src=10.0.0.10,actions=normal\n";
  rules += "priority=150,tcp,tp_dst=80,nw_src=10.0.0.11,actions=normal\n";
  return rules;
}

// Each field differs from what a rule wants at one bit, the bits above it agree: a mask for every combination.
std::vector<sequence_entry> explosive_packets() {
  std::vector<sequence_entry> packets;
  for (const auto& [protocol, wanted_source] : {std::pair{IPPROTO_UDP, 80u}, std::pair{IPPROTO_TCP, 12345u}})
    for (unsigned address_bit = 0; address_bit < 32; ++address_bit)
      for (unsigned source_bit = 0; source_bit < 16; ++source_bit)
        for (unsigned target_bit = 0; target_bit < 16; ++target_bit) {
          sequence_entry entry{};
          entry.source = htonl(0x0a00000au ^ 1u << address_bit);
          entry.destination = htonl(0x0a020001u);
          entry.source_port = htons(static_cast<std::uint16_t>(wanted_source ^ 1u << source_bit));
          entry.destination_port =
              htons(static_cast<std::uint16_t>((protocol == IPPROTO_UDP ? 53u : 80u) ^ 1u << target_bit));
          entry.protocol = static_cast<__u8>(protocol);
          entry.source_mac = 1;
          packets.push_back(entry);
        }
  std::ranges::shuffle(packets, std::mt19937{1});
  return packets;
}

std::vector<sequence_entry> syn_flood() {
  std::vector<sequence_entry> packets(1u << 20);
  std::mt19937 random{2};
  for (sequence_entry& entry : packets) {
    entry.source = static_cast<__be32>(random());
    entry.destination = htonl(0x0a020001u);
    entry.source_port = static_cast<__u16>(random());
    entry.destination_port = htons(80);
    entry.protocol = IPPROTO_TCP;
    entry.source_mac = 1;
  }
  return packets;
}

// A flood of SYNs that one generator sends between other traffic: two would share a core, and each wait its time in it.
struct Flood {
  static constexpr std::uint32_t kRate = 1'000'000;
  SequencePart part;
  std::uint32_t syns;  // to one frame of the other traffic

  // Frames a second, and of all that were sent those of the other traffic.
  [[nodiscard]] std::uint64_t rate() const { return kRate + kRate / syns; }
  [[nodiscard]] double others_of(std::uint64_t sent) const { return static_cast<double>(sent) / (syns + 1); }
};

// One of the others, which goes to `lane`, behind so many SYNs each, over and over up to the end of the longer list.
void append_mixed(std::vector<sequence_entry>& sequence, Flood& flood, std::span<const sequence_entry> syns,
                  std::span<const sequence_entry> others, const Lane& lane) {
  flood.part.first = static_cast<std::uint32_t>(sequence.size());
  const std::size_t count = std::max(syns.size() / flood.syns, others.size());
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t syn = i * flood.syns; syn < (i + 1) * flood.syns; ++syn)
      sequence.push_back(syns[syn % syns.size()]);
    sequence.push_back(others[i % others.size()]);
    sequence.back().ifindex = lane.generator_ifindex;
  }
  flood.part.count = static_cast<std::uint32_t>(sequence.size()) - flood.part.first;
}

// Two lanes, each with a bridge of its own: the victim's and the attacker's.
class Arena {
 public:
  static constexpr std::uint32_t kNewcomers = 40'000;

  Arena() {
    std::vector<sequence_entry> all = explosive_packets();
    exploding_.count = static_cast<std::uint32_t>(all.size());
    const std::vector<sequence_entry> syns = syn_flood();
    const std::vector<sequence_entry> flows = numbered_flows(Established::kFlows + kNewcomers);
    append_mixed(all, over_established, syns, std::span{flows}.first(Established::kFlows), lanes[0]);
    append_mixed(all, over_newcomers, syns, std::span{flows}.subspan(Established::kFlows), lanes[0]);
    attacker.emplace(std::vector{lanes[1]}, static_cast<std::uint32_t>(all.size()));
    attacker->set_sequence(all);
    daemon.bridge_lanes(lanes);
    for (const char* bridge : {"br0", "br1"}) daemon.add_rules(bridge, explosive_rules());
    stay_quiet();
  }

  const std::vector<Lane> lanes = make_lanes(2);
  Traffic victims{{lanes[0]}};
  std::optional<Traffic> attacker;
  Daemon daemon{{"--idle-timeout", "60"}};
  Flood over_established{{}, 10}, over_newcomers{{}, 100};

  // An attacker's generator that waits does so by spinning on the core that the other one sends from.
  void stay_quiet() { attacker->send_sequence(lanes[1], {0, 1}, 1); }
  void explode(const Lane& lane, std::uint64_t rate) { attacker->send_sequence(lane, exploding_, rate); }
  void start(const Flood& flood) { attacker->send_sequence(lanes[1], flood.part, flood.rate()); }
  // From now on each packet of a flood is a flow of its own: an output that a field names looks at all of the field.
  void set_flows_of_their_own() { daemon.add_rules("br1", "priority=500,tcp,actions=output:NXM_OF_IP_SRC[]\n"); }
  void pause() {
    attacker->pause();
    victims.pause();
  }

 private:
  SequencePart exploding_;
};

std::string cached(const Daemon& daemon) {
  const auto stats = daemon.shunt_json({"cache", "stats"});
  return fmt::format("({} flows, {} masks)", stats.at("flows").get<std::uint64_t>(),
                     stats.at("masks").get<std::uint64_t>());
}

// As fast as it goes, in turns with quiet: what a core does in a second drifts by more than an attack costs.
void measure_explosions(Arena& arena, Established& established) {
  constexpr int kRounds = 7;
  fmt::print(
      "\nEstablished traffic of {} flows, in quiet and under attack: medians of {} rounds; share of the quiet before "
      "and behind it\n\n{:<44} {:>8} {:>8} {:>8} {:>6} {:>6} {:>9}\n",
      Established::kFlows, kRounds, "", "quiet,", "attack,", "share", "min", "max", "of sent");
  established.start();
  pause_for(2s);
  Lane same = arena.lanes[1];
  same.generator_ifindex = arena.lanes[0].generator_ifindex;
  for (const std::uint64_t rate : {1'050u, 15'000u}) {  // 84 octets on a wire: 0.7 and 10 Mbit/s
    const double megabits = static_cast<double>(rate) * 84 * 8 / 1e6;
    const auto measure = [&](std::string_view where, std::chrono::milliseconds time, auto attack) {
      std::vector<double> quiet{established.over(1500ms).a_second}, attacked, shares, of_sent;
      for (int round = 0; round < kRounds; ++round) {
        attack([&] {
          if (round == 0) pause_for(3s);  // until its flows are cached
          const auto [share_of_sent, a_second] = established.over(time);
          attacked.push_back(a_second);
          of_sent.push_back(share_of_sent);
        });
        arena.stay_quiet();
        quiet.push_back(established.over(1500ms).a_second);
        shares.push_back(2 * attacked.back() / (quiet.end()[-2] + quiet.back()));
      }
      const Spread share = spread_of(shares);
      fmt::print("{:<44} {:>8.3f} {:>8.3f} {:>8.3f} {:>6.2f} {:>6.2f} {:>7.1f} %  {}\n",
                 fmt::format("explosion, {:.1f} Mbit/s, {}", megabits, where), spread_of(quiet).median / 1e6,
                 spread_of(attacked).median / 1e6, share.median, share.min, share.max, 100 * spread_of(of_sent).median,
                 cached(arena.daemon));
      std::fflush(stdout);
    };
    for (const auto& [lane, where] : {std::pair{arena.lanes[1], "another port"}, {same, "same port"}})
      measure(where, 1500ms, [&, &target = lane](auto during) {
        arena.explode(target, rate);
        during();
      });
    measure("same port, 0.5 s of 2", 4s, [&](auto during) {
      std::jthread bursts{[&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
          arena.explode(same, rate);
          std::this_thread::sleep_for(500ms);
          arena.stay_quiet();
          std::this_thread::sleep_for(1500ms);
        }
      }};
      during();
    });
  }
}

void measure_floods(Arena& arena) {
  const Flood& flood = arena.over_established;
  const Lane& lane = arena.lanes[0];
  const std::uint64_t rate = flood.rate() - Flood::kRate;
  fmt::print("\nEstablished traffic of {} flows at {} packets a second\n\n{:<52} {:>9} {:>9} {:>9}\n",
             Established::kFlows, rate, "", "flood", "arrived", "of sent");
  const auto report = [&](std::string_view what, const Traffic& sender, auto others_of) {
    pause_for(1s);
    const auto [sent, arrived, seconds] = watch(sender, arena.victims, lane, 4s);
    const double others = others_of(sent);
    fmt::print("{:<52} {:>9.0f} {:>9.0f} {:>7.1f} %  {}\n", what, (static_cast<double>(sent) - others) / seconds,
               arrived / seconds, 100 * arrived / others, cached(arena.daemon));
    std::fflush(stdout);
  };
  const auto report_flood = [&](std::string_view what) {
    arena.start(flood);
    report(what, *arena.attacker, [&](std::uint64_t sent) { return flood.others_of(sent); });
    arena.pause();
  };
  arena.pause();
  arena.victims.send_to(lane, Established::kFlows, rate);
  report("quiet", arena.victims, [](std::uint64_t sent) { return static_cast<double>(sent); });
  arena.pause();
  report_flood("SYN flood, another port");
  arena.set_flows_of_their_own();
  report_flood("SYN flood, another port, each a flow of its own");
}

void measure_established(Arena& arena) {
  Established established{arena.victims, arena.lanes[0]};
  measure_explosions(arena, established);
  measure_floods(arena);
}

void measure_newcomers(Arena& arena) {
  const Flood& flood = arena.over_newcomers;
  const Lane& lane = arena.lanes[0];
  arena.set_flows_of_their_own();
  arena.daemon.add_rules("br0", rules_for_each_flow());
  const auto flows_of_victim = [&]() -> std::uint64_t {
    const auto ports = cli::Client{arena.daemon.rundir(), arena.daemon.instance(), 60s}.call("top").at("ports");
    for (const auto& port : ports)
      if (port.at("name") == lane.in) return port.at("flows");
    throw Error("{} is no port any more", lane.in);
  };
  const auto report = [&](std::string_view what, std::uint64_t flows, std::uint64_t received, Traffic& sender,
                          auto others_of, auto go_on_without) {
    const auto start = Clock::now();
    pause_for(3s);
    sender.stop_sending();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const std::uint64_t sent = sender.sent(), arrived = arena.victims.received(lane) - received;
    go_on_without();
    pause_for(100ms);
    const std::uint64_t set_up = flows_of_victim() - flows;
    arena.pause();
    const double others = others_of(sent);
    fmt::print("{:<14} of {:>7.0f} packets a second, of {:.0f} new flows {:.1f} % arrived, {:.1f} % were set up\n",
               what, (static_cast<double>(sent) - others) / seconds, others,
               100 * static_cast<double>(arrived) / others, 100 * static_cast<double>(set_up) / others);
    arena.daemon.shunt({"cache", "flush"});
  };
  const auto lead = [&] { arena.start(arena.over_established); };
  arena.pause();
  arena.daemon.shunt({"cache", "flush"});
  fmt::print("\nNew flows, {} a second, beside a flood\n\n", flood.rate() - Flood::kRate);
  const std::uint64_t before = arena.victims.received(lane);
  arena.victims.send_to(lane, Arena::kNewcomers, flood.rate() - Flood::kRate);
  report(
      "quiet", 0, before, arena.victims, [](std::uint64_t sent) { return static_cast<double>(sent); }, [] {});
  // The flood, with few flows beside it, lasts already when new ones come, and still when they are counted.
  lead();
  pause_for(1s);
  const std::uint64_t flows = flows_of_victim(), received = arena.victims.received(lane);
  arena.start(flood);
  report(
      "flood", flows, received, *arena.attacker, [&](std::uint64_t sent) { return flood.others_of(sent); }, lead);
}

}  // namespace
}  // namespace shunt::bench

int main(int argc, char** argv) {
  bool established = true, newcomers = true;
  for (int i = 1; i < argc; i++) {
    const std::string_view option{argv[i]};
    if (option == "--only-established") {
      newcomers = false;
    } else if (option == "--only-newcomers") {
      established = false;
    } else {
      fmt::print(stderr, "usage: {} [--only-established] [--only-newcomers]\n", argv[0]);
      return 2;
    }
  }
  return shunt::bench::run_as_root("attack_bench", [&] {
    shunt::bench::Arena arena;
    if (established) shunt::bench::measure_established(arena);
    if (newcomers) shunt::bench::measure_newcomers(arena);
    arena.pause();
    return 0;
  });
}
