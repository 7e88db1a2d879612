// SPDX-License-Identifier: Apache-2.0
// The benchmark's network: a namespace of its own with pairs of veths, a generator on one end, a sink on the other, and
// a daemon between them that is driven by the commands a user types.
//
//   generator --> gen0 | in0 --(what is measured)--> out0 | sink0 --> counted and dropped
//
// Threads: main, and the generator's own. The process enters the namespace before it starts a thread.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/traffic.h"
#include "user/base/unique_fd.h"

struct traffic_bpf;

namespace shunt::bench {

// Runs a program to its end; throws Error with its output where it fails. Returns its standard output.
std::string run(const std::vector<std::string>& arguments);

// One way from the generator to the sink.
struct Lane {
  std::string generator, in, out, sink;  // interface names
  unsigned generator_ifindex = 0, in_ifindex = 0, out_ifindex = 0, sink_ifindex = 0;
};

// Enters a fresh network namespace (IPv6 off: nothing but the generator sends) and makes `count` lanes in it.
std::vector<Lane> make_lanes(unsigned count);

// The programs of traffic.bpf.c, loaded; the sinks attached.
class Traffic {
 public:
  explicit Traffic(const std::vector<Lane>& lanes);
  ~Traffic();
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  void attach_redirect(const Lane& lane);  // baseline A
  void attach_lookup(const Lane& lane);    // baseline B
  void fill_lookup_table(std::uint32_t flows);

  // Sends to a lane from now on: `flows` different 5-tuples in turn, at most `rate` a second (0: as fast as it goes).
  void send_to(const Lane& lane, std::uint32_t flows, std::uint64_t rate = 0);
  void pause();  // the generator's thread ends; send_to() starts it again
  [[nodiscard]] std::uint64_t sent() const;
  [[nodiscard]] std::uint64_t received(const Lane& lane) const;

 private:
  void generate() noexcept;  // the thread

  traffic_bpf* programs_;
  std::vector<int> attached_;  // interfaces
  std::thread thread_;
  std::atomic<bool> stop_{false};
  int cpus_;
};

// shuntd with a run directory and an instance of its own, bound to the cores that the generator does not use.
class Daemon {
 public:
  explicit Daemon(const std::vector<std::string>& options);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  std::string shunt(const std::vector<std::string>& arguments) const;
  void add_rules(const std::string& bridge, const std::string& rules) const;
  [[nodiscard]] nlohmann::json shunt_json(std::vector<std::string> arguments) const;

 private:
  void wait_until_ready() const;

  std::string directory_, instance_, command_;
  pid_t pid_ = -1;
};

}  // namespace shunt::bench
