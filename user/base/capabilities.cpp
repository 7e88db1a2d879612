// SPDX-License-Identifier: Apache-2.0
#include "user/base/capabilities.h"

#include <linux/capability.h>
#include <sys/utsname.h>

#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>

#include "user/base/error.h"

namespace shunt {
namespace {

constexpr std::array kCapabilities{
    Capability{CAP_NET_ADMIN, "CAP_NET_ADMIN", "to configure interfaces and attach XDP programs", true},
    Capability{CAP_BPF, "CAP_BPF", "to load BPF programs and create maps", true},
    Capability{CAP_PERFMON, "CAP_PERFMON", "to load BPF programs that the verifier lets compare packet pointers", true},
    Capability{CAP_NET_RAW, "CAP_NET_RAW", "to open AF_XDP sockets", true},
    Capability{
        CAP_SYS_ADMIN, "CAP_SYS_ADMIN",
        "to mount bpffs, and to reach a veth's peer in another namespace: output to such ports goes through userspace",
        false},
    Capability{CAP_SYS_PTRACE, "CAP_SYS_PTRACE",
               "to look for a veth's peer in the namespaces of containers: those that have no name in /run/netns are "
               "not found",
               false},
    Capability{CAP_IPC_LOCK, "CAP_IPC_LOCK", "to pin packet memory: the limit on locked memory (ulimit -l) applies",
               false},
};

constexpr std::uint64_t bit(unsigned capability) { return std::uint64_t{1} << capability; }

std::string read_file(const char* path) {
  std::ifstream file{path};
  if (!file) throw Error("cannot read {}", path);
  return {std::istreambuf_iterator<char>{file}, {}};
}

// Reads a number at the front of `text` and takes it off. False where there is none.
bool take_number(std::string_view& text, unsigned& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

}  // namespace

std::span<const Capability> used_capabilities() { return kCapabilities; }

std::vector<Capability> missing_capabilities(std::uint64_t effective) {
  if ((effective & bit(CAP_SYS_ADMIN)) != 0) effective |= bit(CAP_BPF) | bit(CAP_PERFMON);
  std::vector<Capability> missing;
  for (const Capability& capability : kCapabilities) {
    if ((effective & bit(capability.number)) == 0) missing.push_back(capability);
  }
  return missing;
}

std::uint64_t parse_effective_capabilities(std::string_view status) {
  constexpr std::string_view kField = "\nCapEff:\t";
  const auto at = status.find(kField);
  std::uint64_t effective = 0;
  if (at != std::string_view::npos) {
    const char* begin = status.data() + at + kField.size();
    const auto [end, error] = std::from_chars(begin, status.data() + status.size(), effective, 16);
    if (error == std::errc{} && end - begin == 16) return effective;
  }
  throw Error("no effective capabilities (CapEff) in the process status");
}

std::uint64_t effective_capabilities() { return parse_effective_capabilities(read_file("/proc/thread-self/status")); }

std::vector<std::string> check_capabilities(std::uint64_t effective) {
  std::string refusal;
  std::vector<std::string> warnings;
  for (const Capability& capability : missing_capabilities(effective)) {
    if (capability.required) {
      refusal += fmt::format("{}{} ({})", refusal.empty() ? "" : ", ", capability.name, capability.purpose);
    } else {
      warnings.push_back(fmt::format("missing capability {}: needed {}", capability.name, capability.purpose));
    }
  }
  if (!refusal.empty()) {
    throw Error(
        "missing {}: run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN CAP_BPF CAP_PERFMON "
        "CAP_NET_RAW "
        "CAP_SYS_ADMIN CAP_SYS_PTRACE CAP_IPC_LOCK",
        refusal);
  }
  return warnings;
}

KernelVersion parse_kernel_version(std::string_view release) {
  std::string_view rest = release;
  KernelVersion version;
  const auto take_dot = [&rest] {
    if (!rest.starts_with('.')) return false;
    rest.remove_prefix(1);
    return true;
  };
  if (!take_number(rest, version.major) || !take_dot() || !take_number(rest, version.minor)) {
    throw Error("'{}' is no kernel version", release);
  }
  if (take_dot() && !take_number(rest, version.patch)) throw Error("'{}' is no kernel version", release);
  return version;
}

KernelVersion running_kernel() {
  utsname names{};
  check(::uname(&names), "uname");
  return parse_kernel_version(names.release);
}

void check_kernel(KernelVersion version) {
  if (version >= kOldestKernel) return;
  throw Error("kernel {}.{}.{} is too old: Shunt needs Linux {}.{} or newer", version.major, version.minor,
              version.patch, kOldestKernel.major, kOldestKernel.minor);
}

}  // namespace shunt
