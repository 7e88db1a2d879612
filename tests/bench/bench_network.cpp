// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench_network.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/ranges.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>

#include "traffic.skel.h"
#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;

constexpr unsigned kGeneratorCore = 0;

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

void bind_to_core(unsigned core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  pthread_setaffinity_np(pthread_self(), sizeof cores, &cores);
}

// A machine with one core runs all on it.
unsigned daemon_core() { return std::thread::hardware_concurrency() > 1 ? 1 : 0; }

[[noreturn]] void exec(const std::vector<std::string>& arguments) {
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  ::execvp(pointers[0], pointers.data());
  _exit(127);
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

std::string run(const std::vector<std::string>& arguments) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno(errno, "pipe");
  UniqueFd reading{ends[0]}, writing{ends[1]};
  const pid_t child = ::fork();
  if (child < 0) throw_errno(errno, "fork");
  if (child == 0) {
    ::dup2(writing.get(), STDOUT_FILENO);
    ::dup2(writing.get(), STDERR_FILENO);
    exec(arguments);
  }
  writing.reset();
  std::string output;
  std::array<char, 4096> chunk{};
  for (ssize_t got; (got = ::read(reading.get(), chunk.data(), chunk.size())) > 0;)
    output.append(chunk.data(), static_cast<std::size_t>(got));
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw Error("failed: {}: {}", fmt::join(arguments, " "), output);
  return output;
}

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

Traffic::Traffic(const std::vector<Lane>& lanes)
    : programs_{traffic_bpf__open_and_load()}, cpus_{libbpf_num_possible_cpus()} {
  if (programs_ == nullptr) throw_errno(errno, "benchmark programs: load");
  constexpr std::array<std::uint8_t, 6> kTo{2, 0, 0, 0, 0, 2}, kFrom{2, 0, 0, 0, 0, 1};
  std::ranges::copy(kTo, programs_->bss->generator.eth_dst);
  std::ranges::copy(kFrom, programs_->bss->generator.eth_src);
  for (const Lane& lane : lanes) {
    const int ifindex = static_cast<int>(lane.sink_ifindex);
    const int error =
        bpf_xdp_attach(ifindex, bpf_program__fd(programs_->progs.bench_sink), XDP_FLAGS_DRV_MODE, nullptr);
    if (error != 0) throw_errno(-error, "sink: attach to " + lane.sink);
    attached_.push_back(ifindex);
  }
}

Traffic::~Traffic() {
  pause();
  for (const int ifindex : attached_) bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, nullptr);
  traffic_bpf__destroy(programs_);
}

void Traffic::attach_redirect(const Lane& lane) {
  const std::uint32_t slot = BENCH_TARGET_REDIRECT, out = lane.out_ifindex;
  if (int error = bpf_map_update_elem(bpf_map__fd(programs_->maps.out_port), &slot, &out, BPF_ANY); error != 0)
    throw_errno(-error, "baseline's DEVMAP");
  const int ifindex = static_cast<int>(lane.in_ifindex);
  const int error =
      bpf_xdp_attach(ifindex, bpf_program__fd(programs_->progs.bench_redirect), XDP_FLAGS_DRV_MODE, nullptr);
  if (error != 0) throw_errno(-error, "baseline: attach to " + lane.in);
  attached_.push_back(ifindex);
}

void Traffic::attach_lookup(const Lane& lane) {
  const std::uint32_t slot = BENCH_TARGET_LOOKUP, out = lane.out_ifindex;
  if (int error = bpf_map_update_elem(bpf_map__fd(programs_->maps.out_port), &slot, &out, BPF_ANY); error != 0)
    throw_errno(-error, "baseline's DEVMAP");
  const int ifindex = static_cast<int>(lane.in_ifindex);
  const int error =
      bpf_xdp_attach(ifindex, bpf_program__fd(programs_->progs.bench_lookup), XDP_FLAGS_DRV_MODE, nullptr);
  if (error != 0) throw_errno(-error, "baseline: attach to " + lane.in);
  attached_.push_back(ifindex);
}

void Traffic::fill_lookup_table(std::uint32_t flows) {
  std::vector<five_tuple> keys(flows);
  std::vector<std::uint64_t> values(flows, 0);
  for (std::uint32_t flow = 0; flow < flows; flow++) {
    five_tuple& key = keys[flow];
    key = {};
    key.source = htonl(0x0a010000u + BENCH_SOURCE(flow));
    key.destination = htonl(0x0a020001u);
    key.source_port = htons(BENCH_SOURCE_PORT(flow));
    key.destination_port = htons(9);
    key.protocol = IPPROTO_UDP;
  }
  std::uint32_t count = flows;
  const int error =
      bpf_map_update_batch(bpf_map__fd(programs_->maps.table), keys.data(), values.data(), &count, nullptr);
  if (error != 0) throw_errno(-error, "baseline's table");
}

void Traffic::send_to(const Lane& lane, std::uint32_t flows, std::uint64_t rate) {
  volatile generator& settings = programs_->bss->generator;
  settings.ifindex = 0;
  std::this_thread::sleep_for(1ms);  // the frame that was just being made is out
  settings.sent = 0;
  settings.started = 0;
  settings.allowed = 0;
  settings.rate = rate;
  settings.flows = flows;
  settings.step = step_over(flows);
  settings.next = 0;
  settings.ifindex = lane.generator_ifindex;
  if (!thread_.joinable()) {
    stop_ = false;
    thread_ = std::thread{[this] { generate(); }};
  }
}

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

std::uint64_t Traffic::received(const Lane& lane) const {
  std::vector<std::uint64_t> counts(static_cast<std::size_t>(cpus_));
  if (bpf_map_lookup_elem(bpf_map__fd(programs_->maps.received), &lane.sink_ifindex, counts.data()) != 0)
    throw_errno(errno, "sink's counters");
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

// One test run for as long as possible, ended by a signal: taking a run's pages down sleeps for tens of milliseconds.
void Traffic::generate() noexcept {
  bind_to_core(kGeneratorCore);
  struct sigaction action {};
  action.sa_handler = [](int) {};  // no SA_RESTART: the call returns
  sigaction(SIGUSR1, &action, nullptr);
  std::array<std::uint8_t, 60> frame{};
  while (!stop_) {
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_size_in = frame.size(), .repeat = 0x7fffffff,
                .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = 64);
    if (bpf_prog_test_run_opts(bpf_program__fd(programs_->progs.bench_generate), &options) != 0 && errno != EINTR) {
      fmt::print(stderr, "generator: {}\n", std::strerror(errno));
      return;
    }
  }
}

Daemon::Daemon(const std::vector<std::string>& options) : command_{program("SHUNT", "shunt")} {
  std::string directory = "/tmp/shunt-bench-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) throw_errno(errno, "temporary directory");
  directory_ = directory;
  instance_ = fmt::format("bench{}", ::getpid());
  std::vector<std::string> arguments{
      program("SHUNTD", "shuntd"),   "--rundir",    directory_, "--instance", instance_, "--cores",
      std::to_string(daemon_core()), "--log-level", "warn",     "--no-state"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  pid_ = ::fork();
  if (pid_ < 0) throw_errno(errno, "fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // a benchmark that is killed leaves no daemon behind
    bind_to_core(daemon_core());         // all of its threads: "on one core" means the whole daemon
    exec(arguments);
  }
  wait_until_ready();
}

Daemon::~Daemon() {
  ::kill(pid_, SIGTERM);
  for (int i = 0; i < 100 && ::waitpid(pid_, nullptr, WNOHANG) == 0; i++) {
    if (i == 99) ::kill(pid_, SIGKILL);
    std::this_thread::sleep_for(100ms);
  }
  run({"rm", "-rf", directory_});
}

std::string Daemon::shunt(const std::vector<std::string>& arguments) const {
  std::vector<std::string> all{command_, "--rundir", directory_, "--instance", instance_};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run(all);
}

void Daemon::add_rules(const std::string& bridge, const std::string& rules) const {
  const std::string path = directory_ + "/rules";
  std::ofstream{path} << rules;
  shunt({"flow", "add", bridge, "--file", path});
}

nlohmann::json Daemon::shunt_json(std::vector<std::string> arguments) const {
  arguments.emplace_back("--json");
  return nlohmann::json::parse(shunt(arguments));
}

void Daemon::wait_until_ready() const {
  for (int i = 0; i < 200; i++) {
    if (::waitpid(pid_, nullptr, WNOHANG) != 0) throw Error("shuntd ended at start");
    try {
      shunt({"bridge", "list"});
      return;
    } catch (const Error&) {
      std::this_thread::sleep_for(100ms);
    }
  }
  throw Error("shuntd was not ready after 20 s");
}

}  // namespace shunt::bench
