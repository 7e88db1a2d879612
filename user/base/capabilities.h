// SPDX-License-Identifier: Apache-2.0
// What the daemon may do, and on which kernel it runs: told before anything is touched, with the remedy.
// Threads: any.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shunt {

struct Capability {
  unsigned number;        // capabilities(7): its bit
  std::string_view name;  // "CAP_NET_ADMIN"
  std::string_view purpose;
  bool required;  // without: no switch. Otherwise something works less well, and `purpose` says what
};

// All that the daemon uses.
[[nodiscard]] std::span<const Capability> used_capabilities();
// Those that are not among `effective` (a bit each). CAP_SYS_ADMIN stands in for CAP_BPF and
// CAP_PERFMON, as it does in the kernel.
[[nodiscard]] std::vector<Capability> missing_capabilities(std::uint64_t effective);

// The effective capabilities in the text of /proc/PID/status. Throws Error where it has none.
[[nodiscard]] std::uint64_t parse_effective_capabilities(std::string_view status);
[[nodiscard]] std::uint64_t effective_capabilities();  // of the calling thread

// Throws Error naming all that are required and missing, what for, and the remedy. Returns a warning for each missing
// one that is not required.
std::vector<std::string> check_capabilities(std::uint64_t effective);

struct KernelVersion {
  unsigned major = 0, minor = 0, patch = 0;
  friend auto operator<=>(const KernelVersion&, const KernelVersion&) = default;
};

inline constexpr KernelVersion kOldestKernel{6, 1, 0};

// "6.1.0-13-amd64", "6.18-rc1". Throws Error where it does not begin with a version.
[[nodiscard]] KernelVersion parse_kernel_version(std::string_view release);
[[nodiscard]] KernelVersion running_kernel();
// Throws Error for a kernel older than kOldestKernel, naming both.
void check_kernel(KernelVersion version);

}  // namespace shunt
