// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench_network.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>
#include <thread>

#include "traffic.skel.h"
#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;

void write_setting(const std::string& path, const std::string& value) {
  std::ofstream file{path};
  file << value;
}

unsigned interface_number(const std::string& name) {
  const unsigned number = if_nametoindex(name.c_str());
  if (number == 0) throw_errno(errno, "interface " + name);
  if (number >= BENCH_MAX_IFINDEX) throw Error("interface {}: number {} is above the sink's table", name, number);
  return number;
}

std::string program(const char* variable, const char* name) {
  const char* path = std::getenv(variable);
  return path != nullptr ? path : std::string{SHUNT_BUILD_DIR "/"} + name;
}

// From flow to flow by the golden ratio: each turn meets every flow once, and neighbours in time are none in memory.
std::uint32_t step_over(std::uint32_t flows) {
  auto step = static_cast<std::uint32_t>(flows * 0.6180339887);
  while (std::gcd(step, flows) != 1) step++;
  return step % flows;
}

}  // namespace

std::vector<Lane> make_lanes(unsigned count) {
  if (::unshare(CLONE_NEWNET) != 0) throw_errno(errno, "a network namespace of its own (root is needed)");
  write_setting("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
  write_setting("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
  run({"ip", "link", "set", "lo", "up"});
  std::vector<Lane> lanes;
  for (unsigned i = 0; i < count; i++) {
    Lane lane{fmt::format("gen{}", i), fmt::format("in{}", i), fmt::format("out{}", i), fmt::format("sink{}", i)};
    run({"ip", "link", "add", lane.generator, "type", "veth", "peer", "name", lane.in});
    run({"ip", "link", "add", lane.out, "type", "veth", "peer", "name", lane.sink});
    for (const std::string& name : {lane.generator, lane.in, lane.out, lane.sink}) {
      run({"ip", "link", "set", name, "arp", "off", "up"});
    }
    lane.generator_ifindex = interface_number(lane.generator);
    lane.in_ifindex = interface_number(lane.in);
    lane.out_ifindex = interface_number(lane.out);
    lane.sink_ifindex = interface_number(lane.sink);
    lanes.push_back(lane);
  }
  return lanes;
}

std::string rules_for_each_flow() {
  std::string rules = "priority=400,dl_src=06:00:00:00:00:00,actions=drop\n";
  for (unsigned port = BENCH_FIRST_PORT; port < BENCH_FIRST_PORT + BENCH_PORT_COUNT; port++)
    rules += fmt::format("priority=100,udp,tp_src={},actions=normal\n", port);
  return rules;
}

std::string rules_for_each_tuple() {
  std::string rules;
  for (unsigned source = 0; source < BENCH_SOURCE_MACS; source++)
    rules += fmt::format("priority=400,udp,nw_src=10.1.0.{},tp_src=9,actions=drop\n", source);
  for (unsigned port = BENCH_FIRST_PORT; port < BENCH_FIRST_PORT + BENCH_PORT_COUNT; port++)
    rules += fmt::format("priority=100,udp,tp_src={},actions=output:2\n", port);
  return rules;
}

Traffic::Traffic(const std::vector<Lane>& lanes, std::uint32_t sequence_limit, unsigned core)
    : programs_{traffic_bpf__open()},
      core_{core},
      sequence_limit_{sequence_limit},
      cpus_{libbpf_num_possible_cpus()} {
  if (programs_ == nullptr) throw_errno(errno, "benchmark programs: open");
  bpf_map__set_max_entries(programs_->maps.sequence, std::max(sequence_limit, 1u));
  if (const int error = traffic_bpf__load(programs_); error != 0) throw_errno(-error, "benchmark programs: load");
  constexpr std::array<std::uint8_t, 6> kTo{2, 0, 0, 0, 0, 2}, kFrom{2, 0, 0, 0, 0, 1};
  std::ranges::copy(kTo, programs_->bss->generator.eth_dst);
  std::ranges::copy(kFrom, programs_->bss->generator.eth_src);
  for (const Lane& lane : lanes) attach_sink(lane.sink_ifindex);
}

void Traffic::attach_sink(unsigned interface) {
  const int ifindex = static_cast<int>(interface);
  const int error = bpf_xdp_attach(ifindex, bpf_program__fd(programs_->progs.bench_sink), XDP_FLAGS_DRV_MODE, nullptr);
  if (error != 0) throw_errno(-error, fmt::format("sink: attach to interface {}", interface));
  attached_.push_back(ifindex);
}

Traffic::~Traffic() {
  pause();
  for (const int ifindex : attached_) bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, nullptr);
  traffic_bpf__destroy(programs_);
}

void Traffic::attach_redirect(const Lane& lane) {
  attach_baseline(lane, BENCH_TARGET_REDIRECT, programs_->progs.bench_redirect);
}

void Traffic::attach_lookup(const Lane& lane) {
  attach_baseline(lane, BENCH_TARGET_LOOKUP, programs_->progs.bench_lookup);
}

void Traffic::attach_baseline(const Lane& lane, std::uint32_t slot, const bpf_program* forwarding) {
  const std::uint32_t out = lane.out_ifindex;
  if (int error = bpf_map_update_elem(bpf_map__fd(programs_->maps.out_port), &slot, &out, BPF_ANY); error != 0)
    throw_errno(-error, "baseline's DEVMAP");
  const int ifindex = static_cast<int>(lane.in_ifindex);
  const int error = bpf_xdp_attach(ifindex, bpf_program__fd(forwarding), XDP_FLAGS_DRV_MODE, nullptr);
  if (error != 0) throw_errno(-error, "baseline: attach to " + lane.in);
  attached_.push_back(ifindex);
}

void Traffic::attach_stations(std::span<const unsigned> ports) {
  for (std::uint32_t i = 0; i < ports.size(); ++i) {
    if (bpf_map_update_elem(bpf_map__fd(programs_->maps.station_port), &i, &ports[i], BPF_ANY) != 0)
      throw_errno(errno, "stations' DEVMAP");
    const int ifindex = static_cast<int>(ports[i]);
    const int program = bpf_program__fd(programs_->progs.bench_redirect_station);
    if (const int error = bpf_xdp_attach(ifindex, program, XDP_FLAGS_DRV_MODE, nullptr); error != 0)
      throw_errno(-error, fmt::format("baseline: attach to interface {}", ports[i]));
    attached_.push_back(ifindex);
  }
}

void Traffic::detach(std::span<const unsigned> ports) {
  for (const unsigned port : ports) {
    const int ifindex = static_cast<int>(port);
    if (std::erase(attached_, ifindex) != 0) bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, nullptr);
  }
}

void Traffic::fill_lookup_table(std::uint32_t flows) { fill_lookup_table(numbered_flows(flows)); }

void Traffic::fill_lookup_table(std::span<const sequence_entry> flows) {
  const int table = bpf_map__fd(programs_->maps.table);
  auto count = static_cast<std::uint32_t>(table_keys_.size());
  if (count != 0 && bpf_map_delete_batch(table, table_keys_.data(), &count, nullptr) != 0)
    throw_errno(errno, "baseline's table: empty it");
  table_keys_.clear();
  for (const sequence_entry& flow : flows)
    table_keys_.push_back(
        {flow.source, flow.destination, flow.source_port, flow.destination_port, flow.protocol, {0, 0, 0}});
  const std::vector<std::uint64_t> values(table_keys_.size(), 0);
  count = static_cast<std::uint32_t>(table_keys_.size());
  if (bpf_map_update_batch(table, table_keys_.data(), values.data(), &count, nullptr) != 0)
    throw_errno(errno, "baseline's table");
}

void Traffic::set_sequence(std::span<const sequence_entry> entries) {
  if (entries.size() > sequence_limit_) throw Error("a sequence of {} frames: too long", entries.size());
  pause();
  const int map = bpf_map__fd(programs_->maps.sequence);
  const std::size_t size = sequence_limit_ * sizeof(sequence_entry);
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
  if (memory == MAP_FAILED) throw_errno(errno, "sequence");
  std::ranges::copy(entries, static_cast<sequence_entry*>(memory));
  ::munmap(memory, size);
}

void Traffic::set_frame_size(std::uint32_t size) {
  pause();  // a test run has the size that it began with
  frame_size_ = size - BENCH_FRAME_CHECK;
}

void Traffic::send_to(const Lane& lane, std::uint32_t flows, std::uint64_t rate) {
  send(lane, {0, flows}, step_over(flows), false, rate);
}

void Traffic::send_sequence(const Lane& lane, SequencePart part, std::uint64_t rate) {
  send(lane, part, 1, true, rate);
}

void Traffic::send(const Lane& lane, SequencePart part, std::uint32_t step, bool by_sequence, std::uint64_t rate) {
  volatile generator& settings = programs_->bss->generator;
  settings.ifindex = 0;
  std::this_thread::sleep_for(1ms);  // the frame that was just being made is out
  settings.sent = 0;
  settings.started = 0;
  settings.allowed = 0;
  settings.rate = rate;
  settings.flows = part.count;
  settings.step = step;
  settings.next = 0;
  settings.by_sequence = by_sequence;
  settings.first = part.first;
  settings.size = frame_size_;
  settings.ifindex = lane.generator_ifindex;
  if (!thread_.joinable()) {
    stop_ = false;
    thread_ = std::thread{[this] { generate(); }};
  }
}

void Traffic::stop_sending() { programs_->bss->generator.ifindex = 0; }

void Traffic::pause() {
  if (!thread_.joinable()) return;
  programs_->bss->generator.ifindex = 0;
  stop_ = true;
  pthread_kill(thread_.native_handle(), SIGUSR1);
  thread_.join();
}

std::uint64_t Traffic::sent() const {
  const volatile generator& settings = programs_->bss->generator;
  return settings.sent;
}

std::uint64_t Traffic::received(const Lane& lane) const { return received_at(lane.sink_ifindex); }

std::uint64_t Traffic::received_at(unsigned ifindex) const {
  std::vector<std::uint64_t> counts(static_cast<std::size_t>(cpus_));
  if (bpf_map_lookup_elem(bpf_map__fd(programs_->maps.received), &ifindex, counts.data()) != 0)
    throw_errno(errno, "sink's counters");
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

std::chrono::nanoseconds Traffic::cpu_time() const { return cpu_time_of_thread(thread_number_); }

// One test run for as long as possible, ended by a signal: taking a run's pages down sleeps for tens of milliseconds.
void Traffic::generate() noexcept {
  bind_to_core(core_);
  struct sigaction action {};
  action.sa_handler = [](int) {};  // no SA_RESTART: the call returns
  sigaction(SIGUSR1, &action, nullptr);
  thread_number_ = ::gettid();
  const std::vector<std::uint8_t> frame(frame_size_, 0);
  while (!stop_) {
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_size_in = static_cast<__u32>(frame.size()),
                .repeat = 0x7fffffff, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = 64);
    if (bpf_prog_test_run_opts(bpf_program__fd(programs_->progs.bench_generate), &options) != 0 && errno != EINTR) {
      fmt::print(stderr, "generator: {}\n", std::strerror(errno));
      return;
    }
  }
}

Daemon::Daemon(const std::vector<std::string>& options, const std::string& cores)
    : command_{program("SHUNT", "shunt")} {
  static int number = 0;
  instance_ = fmt::format("bench{}-{}", ::getpid(), number++);
  std::vector<std::string> arguments{program("SHUNTD", "shuntd"),
                                     "--rundir",
                                     directory_.path(),
                                     "--instance",
                                     instance_,
                                     "--cores",
                                     cores,
                                     "--log-level",
                                     "warn",
                                     "--no-state"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  const bool on_any = cores != std::to_string(switch_core());
  process_.emplace(arguments, directory_.path() + "/log", ChildOptions{.environment = {}, .any_core = on_any});
  wait_until_ready(*process_, 20s, [this] { return answers(); });
}

bool Daemon::answers() const {
  try {
    shunt({"bridge", "list"});
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::string Daemon::shunt(const std::vector<std::string>& arguments) const {
  std::vector<std::string> all{command_, "--rundir", directory_.path(), "--instance", instance_};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run(all);
}

void Daemon::bridge_lanes(const std::vector<Lane>& lanes) const {
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    const std::string bridge = fmt::format("br{}", i);
    shunt({"bridge", "add", bridge});
    for (const std::string& name : {lanes[i].in, lanes[i].out})
      shunt({"port", "attach", bridge, name, "--mode", "native"});
    shunt({"fdb", "add", bridge, "02:00:00:00:00:02", lanes[i].out});
  }
}

void Daemon::add_rules(const std::string& bridge, const std::string& rules) const {
  const std::string path = directory_.path() + "/rules";
  std::ofstream{path} << rules;
  shunt({"flow", "add", bridge, "--file", path});
  while (!shunt_json({"cache", "stats"}).at("program").at("loading").empty())
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
}

nlohmann::json Daemon::shunt_json(std::vector<std::string> arguments) const {
  arguments.emplace_back("--json");
  return nlohmann::json::parse(shunt(arguments));
}

}  // namespace shunt::bench
