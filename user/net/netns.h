// SPDX-License-Identifier: Apache-2.0
// Network namespaces: found by the id that a veth gives for its peer's, and entered by a thread of their own, so that
// the caller's thread never leaves its namespace.
//
// A namespace is remembered by its inode and not by a descriptor: an open descriptor would keep a container's network,
// and so the port's interface, alive after the container has gone. Threads: any.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "user/base/unique_fd.h"

namespace shunt {

struct NamespaceId {
  std::uint64_t device = 0, inode = 0;  // of the nsfs file
  friend auto operator<=>(const NamespaceId&, const NamespaceId&) = default;
};

struct Namespace {
  UniqueFd fd;  // hold it no longer than needed: see above
  NamespaceId id;
  std::string where;  // where it was found: "/run/netns/blue", "/proc/123/ns/net"
};

// The calling thread's namespace.
[[nodiscard]] Namespace current_namespace();

// The namespace that the caller's calls `id` (IFLA_LINK_NETNSID), among those with a name (bind mounts) or a process.
[[nodiscard]] std::optional<Namespace> find_namespace(std::int32_t id);
[[nodiscard]] std::optional<Namespace> find_namespace(const NamespaceId& id);

// Runs `function` inside, on a thread of its own, and waits for it. What it throws is thrown here. Throws
// std::system_error where the namespace may not be entered (CAP_SYS_ADMIN).
void run_in_namespace(int netns_fd, const std::function<void()>& function);

}  // namespace shunt
