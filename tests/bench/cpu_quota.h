// SPDX-License-Identifier: Apache-2.0
// A share of a core that threads may have at most, by the kernel's cgroups. With the same share for each thread that
// would have a core of its own, a machine of few cores is one of more that are slower: what one such thread cannot do
// is then its limit, and not that all of them share a core.
//
// Either version of cgroups: /sys/fs/cgroup/cpu of the first, or the second with its controller "cpu" for all.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace shunt::bench {

// Groups of one process's threads. They go with this, which must outlive the process.
class CpuQuotas {
 public:
  // Throws Error where this machine's cgroups have no controller "cpu".
  CpuQuotas();
  ~CpuQuotas();
  CpuQuotas(const CpuQuotas&) = delete;
  CpuQuotas& operator=(const CpuQuotas&) = delete;

  void take(pid_t process);                // before its threads are limited
  void limit(pid_t thread, double share);  // of a core

 private:
  const bool second_version_;
  const std::string root_;
  std::vector<std::string> groups_;
};

}  // namespace shunt::bench
