// SPDX-License-Identifier: Apache-2.0
// How long one packet takes over an idle switch: from a raw socket's send on one side until the other side's raw socket
// has it, one packet at a time, in turns over the bare redirect, the Linux bridge and Shunt. For packets of a flow that
// is cached, and for the first packet of a flow.
//
// One thread sends and receives, so nothing is said here of how long a scheduler takes to wake a server: what all have
// in common is left out of the ratio's two sides as far as can be. A first packet wakes the daemon's worker: how long
// that takes on this machine, whoever it is that sleeps on that core, is measured beside it.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

#include "tests/bench/bench_main.h"
#include "tests/bench/bench_network.h"
#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kFrameSize = 64;
constexpr int kTurn = 100;           // packets over one of them before the next one's turn
constexpr std::size_t kPortAt = 34;  // of the UDP source port in an untagged IPv4 frame without options

UniqueFd open_packet_socket(unsigned ifindex) {
  UniqueFd fd{check(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_IP)), "packet socket")};
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_IP);
  address.sll_ifindex = static_cast<int>(ifindex);
  check(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "packet socket: bind");
  return fd;
}

using Frame = std::array<std::uint8_t, kFrameSize>;

Frame make_frame() {
  Frame frame{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00, 0x45, 0, 0, 50, 0, 0, 0x40, 0, 64, 17};
  constexpr std::array<std::uint8_t, 8> kAddresses{10, 1, 0, 1, 10, 2, 0, 1};
  std::ranges::copy(kAddresses, frame.begin() + 26);
  std::uint32_t sum = 0;
  for (std::size_t i = 14; i < 34; i += 2) sum += static_cast<std::uint32_t>(frame[i] << 8 | frame[i + 1]);
  sum = (sum & 0xffff) + (sum >> 16);
  const auto check_sum = static_cast<std::uint16_t>(~(sum + (sum >> 16)));
  frame[24] = static_cast<std::uint8_t>(check_sum >> 8);
  frame[25] = static_cast<std::uint8_t>(check_sum);
  frame[37] = 9;   // UDP destination port
  frame[39] = 30;  // UDP length
  return frame;
}

class Way {
 public:
  explicit Way(const Lane& lane)
      : name_{lane.in}, from_{open_packet_socket(lane.generator_ifindex)}, to_{open_packet_socket(lane.sink_ifindex)} {}

  // Until a packet with this UDP source port is there.
  std::chrono::nanoseconds send(std::uint16_t port) {
    frame_[kPortAt] = static_cast<std::uint8_t>(port >> 8);
    frame_[kPortAt + 1] = static_cast<std::uint8_t>(port);
    const auto start = Clock::now();
    if (::send(from_.get(), frame_.data(), frame_.size(), 0) < 0) throw_errno(errno, name_ + ": send");
    for (Frame got{}; Clock::now() - start < 1s;)
      if (::recv(to_.get(), got.data(), got.size(), 0) >= static_cast<ssize_t>(kPortAt + 2) &&
          std::memcmp(&got[kPortAt], &frame_[kPortAt], 2) == 0)
        return Clock::now() - start;
    throw Error("{}: a packet did not arrive", name_);
  }

 private:
  std::string name_;
  UniqueFd from_, to_;
  Frame frame_ = make_frame();
};

// A thread that sleeps on the daemon's core until it is woken.
class Sleeper {
 public:
  Sleeper() : event_{check(::eventfd(0, EFD_CLOEXEC), "eventfd")}, thread_{[this] { run(); }} {}
  ~Sleeper() {
    ended_ = true;
    ring();
    thread_.join();
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

  // Until it runs.
  std::chrono::nanoseconds wake() {
    const std::uint64_t before = woken_;
    const auto start = Clock::now();
    ring();
    while (woken_ == before)
      if (Clock::now() - start > 1s) throw Error("a thread was not woken within a second");
    return Clock::now() - start;
  }

 private:
  void ring() noexcept { (void)::eventfd_write(event_.get(), 1); }
  void run() {
    bind_to_core(switch_core());
    for (eventfd_t count = 0; ::eventfd_read(event_.get(), &count) == 0 && !ended_;) ++woken_;
  }

  UniqueFd event_;
  std::atomic<std::uint64_t> woken_{0};
  std::atomic<bool> ended_{false};
  std::thread thread_;  // the last: it uses the others
};

struct Percentiles {
  double half, most;  // us: the median, and what one in a hundred exceeds
};

Percentiles percentiles(std::vector<std::chrono::nanoseconds>& times) {
  std::ranges::sort(times);
  const auto us = [](std::chrono::nanoseconds time) { return std::chrono::duration<double, std::micro>(time).count(); };
  return {us(times[times.size() / 2]), us(times[times.size() * 99 / 100])};
}

void print(const char* what, std::vector<std::chrono::nanoseconds>& times, const Percentiles& over) {
  const Percentiles p = percentiles(times);
  fmt::print("{:<38} {:>8.1f} {:>8.1f}   {:>8.2f} {:>8.2f}   {:>+8.1f} {:>+8.1f}\n", what, p.half, p.most,
             p.half / over.half, p.most / over.most, p.half - over.half, p.most - over.most);
}

void run_all(int count) {
  const std::vector<Lane> lanes = make_lanes(4);
  Traffic traffic{{}};  // for the bare redirect: nothing generates here, nothing sinks
  traffic.attach_redirect(lanes[0]);
  run({"ip", "link", "add", "bridge0", "type", "bridge"});
  run({"ip", "link", "set", "bridge0", "up"});
  for (const std::string& port : {lanes[1].in, lanes[1].out}) run({"ip", "link", "set", port, "master", "bridge0"});
  run({"bridge", "fdb", "add", "02:00:00:00:00:02", "dev", lanes[1].out, "master", "static"});
  // A veth takes frames that were redirected to it only with NAPI, which GRO brings.
  for (const Lane& lane : lanes) run({"ethtool", "-K", lane.sink, "gro", "on"});

  const Daemon daemon{{"--flow-limit", "200000", "--idle-timeout", "600", "--upcall-rate", "1000000"}};
  // A rule for each source port: flows that differ in it are cached each by itself.
  std::string rules;
  for (unsigned port = 1; port < 1u << 16; port++)
    rules += fmt::format("priority=100,udp,tp_src={},actions=normal\n", port);
  for (const auto& [name, mode, lane] : {std::tuple{"br", "native", &lanes[2]}, {"br-tcx", "tcx", &lanes[3]}}) {
    daemon.shunt({"bridge", "add", name});
    for (const std::string& port : {lane->in, lane->out}) daemon.shunt({"port", "attach", name, port, "--mode", mode});
    daemon.shunt({"fdb", "add", name, "02:00:00:00:00:02", lane->out});
    daemon.add_rules(name, rules);
  }

  bind_to_core(kGeneratorCore);
  Way redirect{lanes[0]}, bridge{lanes[1]}, native{lanes[2]}, tcx{lanes[3]};
  for (int i = 0; i < 20; ++i) {  // flows, caches, and the program with the features that flows want
    for (Way* way : {&redirect, &bridge, &native, &tcx}) (void)way->send(1);
    pause_for(20ms);
  }
  using Times = std::vector<std::chrono::nanoseconds>;
  Times of_redirect, of_bridge, of_native, of_tcx, of_first, of_wake;
  for (int i = 0; i < count; i += kTurn)
    for (const auto& [way, times] : {std::pair<Way*, Times*>{&redirect, &of_redirect},
                                     {&bridge, &of_bridge},
                                     {&native, &of_native},
                                     {&tcx, &of_tcx}}) {
      (void)way->send(1);  // its code and data come back into the processor's cache
      for (int turn = 0; turn < kTurn; ++turn) times->push_back(way->send(1));
    }
  Sleeper sleeper;
  for (int i = 0; i < count / 4; ++i) {
    pause_for(1ms);  // the switch is idle again, and the daemon sleeps
    of_first.push_back(native.send(static_cast<std::uint16_t>(2 + i)));
    pause_for(1ms);
    of_wake.push_back(sleeper.wake());
  }
  const Percentiles base = percentiles(of_redirect);
  fmt::print(
      "One packet, from send to receive, us; of the bare redirect; us over it ({} packets, a quarter as many "
      "flows)\n\n",
      count);
  fmt::print("{:<38} {:>8} {:>8}   {:>8} {:>8}   {:>8} {:>8}\n", "", "p50", "p99", "p50", "p99", "p50", "p99");
  print("bare redirect", of_redirect, base);
  print("Linux bridge", of_bridge, base);
  print("shunt, cached, mode native", of_native, base);
  print("shunt, cached, mode tcx", of_tcx, base);
  print("shunt, the first packet of a flow", of_first, base);
  print("no packet: a thread woken on that core", of_wake, base);
}

}  // namespace
}  // namespace shunt::bench

int main(int argc, char** argv) {
  int count = 40'000;
  for (int i = 1; i < argc; i++) {
    if (std::string_view{argv[i]} == "--quick") {
      count = 8'000;
    } else {
      fmt::print(stderr, "usage: {} [--quick]\n", argv[0]);
      return 2;
    }
  }
  return shunt::bench::run_as_root("latency_bench", [&] {
    shunt::bench::run_all(count);
    return 0;
  });
}
