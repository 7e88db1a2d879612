// SPDX-License-Identifier: Apache-2.0
// Programs that a benchmark starts: one that runs to its end, and one that runs beside, which ends with its object and
// with the benchmark however that ends.
//
// Threads: one.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "user/base/unique_fd.h"

namespace shunt::bench {

// The generator has the first core, switches that run in a process the second; where there is but one, all share it.
constexpr unsigned kGeneratorCore = 0;
[[nodiscard]] unsigned switch_core();
void bind_to_core(unsigned core) noexcept;  // this thread

// From now on SIGINT and SIGTERM end the benchmark in order: soon after one of them pause_for() throws EndedBySignal,
// which only main() catches.
struct EndedBySignal {};
void end_in_order_on_signals();
void pause_for(std::chrono::milliseconds time);

// Runs a program to its end; throws Error with its output where it fails. Returns what it wrote.
std::string run(const std::vector<std::string>& arguments);

// CPU time that a thread or a process with all its threads has had, softirqs that ran within it included. 0 where there
// is none of that number.
[[nodiscard]] std::chrono::nanoseconds cpu_time_of_thread(pid_t thread);
[[nodiscard]] std::chrono::nanoseconds cpu_time_of_process(pid_t process);
// Of the threads that run softirqs which nobody else got to, on all cores.
[[nodiscard]] std::chrono::nanoseconds cpu_time_of_ksoftirqd();

// Of the whole machine, since it booted.
struct MachineTime {
  std::chrono::milliseconds idle{0};    // of all cores together
  std::chrono::milliseconds stolen{0};  // a core was ready to run, and the host ran another guest
};
[[nodiscard]] MachineTime machine_time();

struct ChildOptions {
  std::map<std::string, std::string> environment;  // beyond what it inherits
  bool any_core = false;                           // else all of its threads are on the switches' core
  bool own_network = false;                        // a network namespace, without IPv6
};

// A program that runs beside. Its output goes to `log`.
class ChildProcess {
 public:
  ChildProcess(const std::vector<std::string>& arguments, const std::string& log, const ChildOptions& options = {});
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] pid_t thread(
      std::string_view name) const;  // the number of one of its threads; throws Error: it has none
  [[nodiscard]] bool alive();
  void take_interface(const std::string& interface);  // into its own network, and up; goes with it
  void halt();                                        // it gets no CPU time until
  void resume();                                      // this
  [[nodiscard]] std::chrono::nanoseconds cpu_time() const { return cpu_time_of_process(pid_); }
  [[nodiscard]] std::string last_words() const;  // the end of its log

 private:
  std::string name_, log_;
  UniqueFd input_;  // its standard input: open as long as this, as some programs end with it
  pid_t pid_ = -1;
};

// Returns once `ready()`; throws Error where the process ends before, or is not ready within the time.
void wait_until_ready(ChildProcess& process, std::chrono::seconds patience, const std::function<bool()>& ready);

// A directory under /tmp that goes with its object.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace shunt::bench
