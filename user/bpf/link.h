// SPDX-License-Identifier: Apache-2.0
// A program on an interface, XDP or TC's (TCX, Linux 6.6), by a pinned BPF link: it stays when the daemon dies, and
// when this object goes.
//
// Threads: control. Interfaces are looked up in the thread's network namespace.
#pragma once

#include <linux/bpf.h>

#include <string>

#include "user/base/strong_types.h"
#include "user/base/unique_fd.h"
#include "user/bpf/datapath.h"

namespace shunt {

// enum bpf_attach_type: newer than Debian 12's headers.
inline constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);

class PinnedLink {
 public:
  // Attaches and pins at `directory`/link-`name`. Throws Error with the remedy where the kernel refuses.
  PinnedLink(int program_fd, Ifindex ifindex, const std::string& name, PortMode mode, const std::string& directory);
  // Takes over the link that is pinned at `path`.
  explicit PinnedLink(const std::string& path);
  PinnedLink(const PinnedLink&) = delete;
  PinnedLink& operator=(const PinnedLink&) = delete;

  // Swaps the program, atomically. False: the interface is gone, and with it the link's hold on it.
  bool update(int program_fd);

  [[nodiscard]] Ifindex ifindex() const;  // 0: the interface is gone
  [[nodiscard]] bool runs(std::uint32_t program_id) const;
  [[nodiscard]] bool is_tcx() const;
  void detach() noexcept;  // and unpins

 private:
  [[nodiscard]] bpf_link_info info() const;

  UniqueFd fd_;
  std::string path_;
};

// The largest MTU at which a driver without multi-buffer XDP takes a program, on 4 KiB pages: what page, headroom
// (256), skb_shared_info (320) and the Ethernet header leave, rounded as veth does.
inline constexpr unsigned kSingleBufferMtu = 3506;

// What to tell the user about a refused attach. `mtu` 0: unknown.
[[nodiscard]] std::string explain_attach_error(int error, const std::string& name, PortMode mode, unsigned mtu,
                                               const AttachedProgram& other);

// A link's name in bpffs, where a name must not hold a dot.
[[nodiscard]] std::string link_pin_name(const std::string& interface);

}  // namespace shunt
