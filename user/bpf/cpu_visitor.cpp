// SPDX-License-Identifier: Apache-2.0
#include "user/bpf/cpu_visitor.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <memory>
#include <thread>

namespace shunt {
namespace {

bool is_realtime_kernel() {
  std::ifstream file{"/sys/kernel/realtime"};
  int value = 0;
  return file >> value && value != 0;
}

bool go_to(unsigned cpu) {
  const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set{CPU_ALLOC(cpu + 1), [](cpu_set_t* s) { CPU_FREE(s); }};
  const std::size_t size = CPU_ALLOC_SIZE(cpu + 1);
  CPU_ZERO_S(size, set.get());
  CPU_SET_S(cpu, size, set.get());
  return ::sched_setaffinity(0, size, set.get()) == 0;  // returns there
}

// Whether the calling thread was on every CPU that is online ("0-3,5").
bool visit_all() {
  std::ifstream file{"/sys/devices/system/cpu/online"};
  unsigned first = 0, count = 0;
  while (file >> first) {
    unsigned last = first;
    if (file.peek() == '-') file.ignore() >> last;
    for (unsigned cpu = first; cpu <= last; ++cpu, ++count)
      if (!go_to(cpu)) return false;
    if (file.peek() == ',') file.ignore();
  }
  return count > 0;
}

}  // namespace

CpuVisitor& CpuVisitor::get() {
  static CpuVisitor& visitor = *new CpuVisitor;
  return visitor;
}

CpuVisitor::CpuVisitor() : can_visit_{!is_realtime_kernel()} {
  if (!can_visit_) return;
  std::thread thread{[this] { run(); }};
  ::pthread_setname_np(thread.native_handle(), "cpu_visitor");
  // Otherwise it waits for its turn, like any other.
  sched_param priority{};
  priority.sched_priority = 1;
  (void)::pthread_setschedparam(thread.native_handle(), SCHED_FIFO, &priority);
  thread.detach();
}

bool CpuVisitor::visit(std::chrono::milliseconds limit) {
  if (!can_visit_) return false;
  std::unique_lock lock{mutex_};
  const std::uint64_t mine = ++asked_;
  wake_.notify_one();
  return done_.wait_for(lock, limit, [&] { return ended_ >= mine; }) && failed_ < mine;
}

void CpuVisitor::run() {
  std::unique_lock lock{mutex_};
  while (true) {
    wake_.wait(lock, [this] { return asked_ != ended_; });
    const std::uint64_t asked = asked_;
    lock.unlock();
    const bool visited = visit_all();
    lock.lock();
    ended_ = asked;
    if (!visited) failed_ = asked;
    done_.notify_all();
  }
}

}  // namespace shunt
