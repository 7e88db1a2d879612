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
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/child_process.h"
#include "tests/bench/flow_mix.h"

struct bpf_program;
struct traffic_bpf;

namespace shunt::bench {

// One way from the generator to the sink.
struct Lane {
  std::string generator, in, out, sink;  // interface names
  unsigned generator_ifindex = 0, in_ifindex = 0, out_ifindex = 0, sink_ifindex = 0;
};

// Enters a fresh network namespace (IPv6 off: nothing but the generator sends) and makes `count` lanes in it.
std::vector<Lane> make_lanes(unsigned count);

// A rule for each source port of the generator, which is looked at in full, and one that makes the switch look at the
// source MAC: so each of the generator's flows is cached by itself, and none is a bridged one.
std::string rules_for_each_flow();
// The same by what the baseline's table looks at, addresses and ports, and by no MACs; out of port 2.
std::string rules_for_each_tuple();

// The programs of traffic.bpf.c, loaded; the sinks attached.
class Traffic {
 public:
  // A sequence, where one is wanted, has at most so many frames. `core`: the generator's.
  explicit Traffic(const std::vector<Lane>& lanes, std::uint32_t sequence_limit = 0, unsigned core = kGeneratorCore);
  ~Traffic();
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  void attach_sink(unsigned ifindex);      // beside those of the lanes
  void attach_redirect(const Lane& lane);  // baseline A
  void attach_lookup(const Lane& lane);    // baseline B
  // Baseline A between stations (BENCH_STATION_PORTS interfaces), up to detach().
  void attach_stations(std::span<const unsigned> ports);
  void detach(std::span<const unsigned> ports);
  void fill_lookup_table(std::uint32_t flows);
  void fill_lookup_table(std::span<const sequence_entry> flows);
  void set_sequence(std::span<const sequence_entry> entries);
  void set_frame_size(std::uint32_t size);  // with the FCS, so at least 64

  // Sends to a lane from now on: `flows` different 5-tuples in turn, at most `rate` a second (0: as fast as it goes).
  void send_to(const Lane& lane, std::uint32_t flows, std::uint64_t rate = 0);
  // Likewise, what a part of the sequence says, over and over.
  void send_sequence(const Lane& lane, SequencePart part, std::uint64_t rate = 0);
  void stop_sending();  // the generator idles on its core
  void pause();         // the generator's thread ends; send_to() starts it again
  [[nodiscard]] std::uint64_t sent() const;
  [[nodiscard]] std::uint64_t received(const Lane& lane) const;
  [[nodiscard]] std::uint64_t received_at(unsigned ifindex) const;  // of a sink
  [[nodiscard]] std::chrono::nanoseconds cpu_time() const;  // of the generator's thread, and what runs within it

 private:
  void attach_baseline(const Lane& lane, std::uint32_t slot, const bpf_program* forwarding);
  void send(const Lane& lane, SequencePart part, std::uint32_t step, bool by_sequence, std::uint64_t rate);
  void generate() noexcept;  // the thread

  traffic_bpf* programs_;
  const unsigned core_;
  std::uint32_t sequence_limit_, frame_size_ = BENCH_MIN_FRAME;
  std::vector<five_tuple> table_keys_;
  std::vector<int> attached_;  // interfaces
  std::thread thread_;
  std::atomic<bool> stop_{false};
  std::atomic<pid_t> thread_number_{0};
  int cpus_;
};

// shuntd with a run directory and an instance of its own.
class Daemon {
 public:
  // `cores`: a worker on each, as in "1,0".
  explicit Daemon(const std::vector<std::string>& options, const std::string& cores = std::to_string(switch_core()));
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  std::string shunt(const std::vector<std::string>& arguments) const;
  // A bridge for each lane, br0 and on, with both its ports (mode native), and the sink's MAC known.
  void bridge_lanes(const std::vector<Lane>& lanes) const;
  // And waits for the program that they want.
  void add_rules(const std::string& bridge, const std::string& rules) const;
  [[nodiscard]] nlohmann::json shunt_json(std::vector<std::string> arguments) const;
  // Where its control socket is.
  [[nodiscard]] const std::string& rundir() const { return directory_.path(); }
  [[nodiscard]] const std::string& instance() const { return instance_; }
  [[nodiscard]] ChildProcess& process() { return *process_; }
  [[nodiscard]] const ChildProcess& process() const { return *process_; }

 private:
  [[nodiscard]] bool answers() const;

  TemporaryDirectory directory_;
  std::string instance_, command_;
  std::optional<ChildProcess> process_;
};

}  // namespace shunt::bench
