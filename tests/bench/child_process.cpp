// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/child_process.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "user/base/error.h"

namespace shunt::bench {
namespace {

using namespace std::chrono_literals;

volatile std::sig_atomic_t asked_to_end = 0;

[[noreturn]] void exec(const std::vector<std::string>& arguments) {
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  ::execvp(pointers[0], pointers.data());
  _exit(127);
}

std::pair<UniqueFd, UniqueFd> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno(errno, "pipe");
  return {UniqueFd{ends[0]}, UniqueFd{ends[1]}};
}

// The first figure is the time on a core, in ns. It grows with each tick, so look at windows of many.
std::chrono::nanoseconds first_figure(const std::filesystem::path& schedstat) {
  std::ifstream file{schedstat};
  std::int64_t time = 0;
  file >> time;
  return std::chrono::nanoseconds{time};
}

void enter_own_network() {
  if (::unshare(CLONE_NEWNET) != 0) _exit(126);
  for (const char* which : {"all", "default"})
    std::ofstream{fmt::format("/proc/sys/net/ipv6/conf/{}/disable_ipv6", which)} << "1";
}

std::vector<pid_t> find_ksoftirqd() {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
    std::string name;
    std::ifstream{entry.path() / "comm"} >> name;
    if (name.starts_with("ksoftirqd/")) found.push_back(std::stoi(entry.path().filename()));
  }
  return found;
}

}  // namespace

unsigned switch_core() { return std::thread::hardware_concurrency() > 1 ? 1 : 0; }

void bind_to_core(unsigned core) noexcept {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  pthread_setaffinity_np(pthread_self(), sizeof cores, &cores);
}

void end_in_order_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { asked_to_end = 1; };
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
}

void pause_for(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  for (auto now = end - time; now < end; now = std::chrono::steady_clock::now()) {
    if (asked_to_end != 0) throw EndedBySignal{};
    std::this_thread::sleep_for(std::min<std::chrono::steady_clock::duration>(end - now, 50ms));
  }
}

std::string run(const std::vector<std::string>& arguments) {
  auto [reading, writing] = make_pipe();
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

std::chrono::nanoseconds cpu_time_of_thread(pid_t thread) {
  return first_figure(fmt::format("/proc/{}/schedstat", thread));
}

std::chrono::nanoseconds cpu_time_of_process(pid_t process) {
  std::chrono::nanoseconds sum{0};
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator{fmt::format("/proc/{}/task", process), gone})
    sum += first_figure(task.path() / "schedstat");
  return sum;
}

std::chrono::nanoseconds cpu_time_of_ksoftirqd() {
  static const std::vector<pid_t> threads = find_ksoftirqd();
  std::chrono::nanoseconds sum{0};
  for (const pid_t thread : threads) sum += cpu_time_of_thread(thread);
  return sum;
}

MachineTime machine_time() {
  std::ifstream file{"/proc/stat"};
  std::string name;
  std::int64_t user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, softirq = 0, stolen = 0;
  file >> name >> user >> nice >> system >> idle >> waiting >> irq >> softirq >> stolen;
  const std::int64_t tick = 1000 / ::sysconf(_SC_CLK_TCK);
  return {std::chrono::milliseconds{(idle + waiting) * tick}, std::chrono::milliseconds{stolen * tick}};
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::string& log,
                           const ChildOptions& options)
    : name_{arguments.front()}, log_{log} {
  auto [reading, writing] = make_pipe();
  input_ = std::move(writing);
  const UniqueFd output{::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
  if (output.get() < 0) throw_errno(errno, log);
  pid_ = ::fork();
  if (pid_ < 0) throw_errno(errno, "fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a benchmark that is killed leaves none behind, halted ones neither
    ::dup2(reading.get(), STDIN_FILENO);
    ::dup2(output.get(), STDOUT_FILENO);
    ::dup2(output.get(), STDERR_FILENO);
    for (const auto& [variable, value] : options.environment) ::setenv(variable.c_str(), value.c_str(), 1);
    if (!options.any_core) bind_to_core(switch_core());
    if (options.own_network) enter_own_network();
    exec(arguments);
  }
}

ChildProcess::~ChildProcess() {
  resume();
  if (alive()) ::kill(pid_, SIGTERM);  // of one that has ended there is no number, and -1 would be every process
  for (int tenths = 0; tenths < 150 && alive(); tenths++) {
    if (tenths == 100) ::kill(pid_, SIGKILL);
    std::this_thread::sleep_for(100ms);
  }
}

bool ChildProcess::alive() {
  if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) != 0) pid_ = -1;
  return pid_ > 0;
}

void ChildProcess::take_interface(const std::string& interface) {
  const std::string process = std::to_string(pid_);
  run({"ip", "link", "set", interface, "netns", process});
  run({"nsenter", "--net=/proc/" + process + "/ns/net", "ip", "link", "set", interface, "arp", "off", "up"});
}

void ChildProcess::halt() {
  if (!alive()) throw Error("{} has ended: {}", name_, last_words());
  ::kill(pid_, SIGSTOP);
}

void ChildProcess::resume() {
  if (alive()) ::kill(pid_, SIGCONT);
}

pid_t ChildProcess::thread(std::string_view name) const {
  for (const auto& task : std::filesystem::directory_iterator{fmt::format("/proc/{}/task", pid_)}) {
    std::string found;
    std::ifstream{task.path() / "comm"} >> found;
    if (found == name) return std::stoi(task.path().filename());
  }
  throw Error("{} has no thread '{}'", name_, name);
}

std::string ChildProcess::last_words() const {
  std::ifstream file{log_};
  const std::string all{std::istreambuf_iterator<char>{file}, {}};
  constexpr std::size_t kMost = 600;
  return all.size() > kMost ? "..." + all.substr(all.size() - kMost) : all;
}

void wait_until_ready(ChildProcess& process, std::chrono::seconds patience, const std::function<bool()>& ready) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!ready()) {
    if (!process.alive()) throw Error("{} ended at start: {}", process.name(), process.last_words());
    if (std::chrono::steady_clock::now() > end)
      throw Error("{} was not ready after {} s: {}", process.name(), patience.count(), process.last_words());
    std::this_thread::sleep_for(100ms);
  }
}

TemporaryDirectory::TemporaryDirectory() : path_{"/tmp/shunt-bench-XXXXXX"} {
  if (::mkdtemp(path_.data()) == nullptr) throw_errno(errno, "temporary directory");
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace shunt::bench
