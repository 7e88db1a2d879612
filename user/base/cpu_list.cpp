// SPDX-License-Identifier: Apache-2.0
#include "user/base/cpu_list.h"

#include <sched.h>

#include <algorithm>
#include <charconv>

#include "user/base/error.h"

namespace shunt {
namespace {

// Bounds a range before it is walked: "0-4294967295" is an error, not an hour.
constexpr unsigned kHighestCpu = 8191;

unsigned parse_cpu(std::string_view text, std::string_view part) {
  unsigned cpu = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), cpu);
  if (error != std::errc{} || end != text.data() + text.size() || cpu > kHighestCpu) {
    throw Error("'{}' in the list of CPUs is no CPU or range: write them as in 0,2-3", part);
  }
  return cpu;
}

void add_range(std::string_view part, std::span<const unsigned> available, std::vector<unsigned>& cpus) {
  const auto dash = part.find('-');
  const unsigned first = parse_cpu(part.substr(0, dash), part);
  const unsigned last = dash == std::string_view::npos ? first : parse_cpu(part.substr(dash + 1), part);
  if (last < first) throw Error("'{}' in the list of CPUs ends before it begins", part);
  for (unsigned cpu = first; cpu <= last; ++cpu) {
    if (!std::ranges::binary_search(available, cpu)) {
      throw Error("CPU {} does not exist, or is not ours to use: there are {}", cpu, to_cpu_list(available));
    }
    if (std::ranges::find(cpus, cpu) != cpus.end()) throw Error("CPU {} is twice in the list of CPUs", cpu);
    cpus.push_back(cpu);
  }
}

}  // namespace

std::vector<unsigned> parse_cpu_list(std::string_view text, std::span<const unsigned> available) {
  std::vector<unsigned> cpus;
  for (std::string_view rest = text;;) {
    const auto comma = rest.find(',');
    add_range(rest.substr(0, comma), available, cpus);
    if (comma == std::string_view::npos) return cpus;
    rest.remove_prefix(comma + 1);
  }
}

std::vector<unsigned> available_cpus() {
  // As many as the kernel has, which may exceed a cpu_set_t.
  for (std::size_t count = CPU_SETSIZE;; count *= 2) {
    std::vector<cpu_set_t> set((count + CPU_SETSIZE - 1) / CPU_SETSIZE);
    const std::size_t size = set.size() * sizeof(cpu_set_t);
    if (::sched_getaffinity(0, size, set.data()) < 0) {
      if (errno == EINVAL && count <= kHighestCpu) continue;
      throw_errno(errno, "sched_getaffinity");
    }
    std::vector<unsigned> cpus;
    for (unsigned cpu = 0; cpu < count; ++cpu) {
      if (CPU_ISSET_S(cpu, size, set.data())) cpus.push_back(cpu);
    }
    return cpus;
  }
}

std::string to_cpu_list(std::span<const unsigned> cpus) {
  std::string text;
  for (std::size_t i = 0; i < cpus.size();) {
    std::size_t end = i + 1;
    while (end < cpus.size() && cpus[end] == cpus[end - 1] + 1) ++end;
    if (!text.empty()) text += ',';
    text += end - i == 1 ? fmt::format("{}", cpus[i]) : fmt::format("{}-{}", cpus[i], cpus[end - 1]);
    i = end;
  }
  return text;
}

}  // namespace shunt
