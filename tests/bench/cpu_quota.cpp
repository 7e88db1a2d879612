// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/cpu_quota.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <ranges>

#include "user/base/error.h"

namespace shunt::bench {
namespace {

constexpr auto kFirstVersion = "/sys/fs/cgroup/cpu", kSecondVersion = "/sys/fs/cgroup";
constexpr int kPeriodUs = 20'000;  // some of the kernel's ticks, by which it holds a thread back

void write_to(const std::string& path, const std::string& text) {
  std::ofstream file{path};
  file << text;
  file.flush();
  if (!file) throw_errno(errno, fmt::format("cgroups: write '{}' to {}", text, path));
}

void make_group(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) != 0) throw_errno(errno, "cgroups: make " + path);
}

}  // namespace

CpuQuotas::CpuQuotas()
    : second_version_{!std::filesystem::exists(std::string{kFirstVersion} + "/cpu.cfs_quota_us")},
      root_{fmt::format("{}/shunt-bench-{}", second_version_ ? kSecondVersion : kFirstVersion, ::getpid())} {
  if (second_version_) write_to(std::string{kSecondVersion} + "/cgroup.subtree_control", "+cpu");
  make_group(root_);
  groups_.push_back(root_);
}

CpuQuotas::~CpuQuotas() {
  for (const std::string& group : groups_ | std::views::reverse) ::rmdir(group.c_str());
}

void CpuQuotas::take(pid_t process) {
  if (second_version_) write_to(root_ + "/cgroup.procs", std::to_string(process));
}

void CpuQuotas::limit(pid_t thread, double share) {
  const std::string group = fmt::format("{}/{}", root_, thread);
  const int quota = static_cast<int>(share * kPeriodUs);
  make_group(group);
  groups_.push_back(group);
  if (second_version_) {
    write_to(group + "/cgroup.type", "threaded");
    write_to(root_ + "/cgroup.subtree_control", "+cpu");
    write_to(group + "/cpu.max", fmt::format("{} {}", quota, kPeriodUs));
    write_to(group + "/cgroup.threads", std::to_string(thread));
  } else {
    write_to(group + "/cpu.cfs_period_us", std::to_string(kPeriodUs));
    write_to(group + "/cpu.cfs_quota_us", std::to_string(quota));
    write_to(group + "/tasks", std::to_string(thread));
  }
}

}  // namespace shunt::bench
