// SPDX-License-Identifier: Apache-2.0
#include "user/bpf/cpu_visitor.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "user/base/cpu_list.h"

using namespace shunt;

TEST_SUITE("CPU visitor") {
  TEST_CASE("whoever asks is answered, in which thread and how many at once does not matter, and stays on its CPUs") {
    const std::vector<unsigned> before = available_cpus();
    std::atomic<int> visited{0};
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&] {
        for (int round = 0; round < 20; ++round) visited += CpuVisitor::get().visit(std::chrono::seconds{30});
      });
    threads.clear();
    // In a kernel with PREEMPT_RT, and where a control group has not all CPUs, it says that it cannot.
    CHECK((visited == 8 * 20 || visited == 0));
    if (std::filesystem::exists("/sys/kernel/realtime")) CHECK(visited == 0);
    CHECK(available_cpus() == before);
  }
}
