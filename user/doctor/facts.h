// SPDX-License-Identifier: Apache-2.0
// What `shunt doctor` has found out about the machine, the ports and the switch, before anything is judged: plain data,
// so that checks (checks.h) are tried without a machine that is ill.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "user/base/capabilities.h"
#include "user/bpf/program.h"
#include "user/net/xdp_features.h"

namespace shunt::doctor {

inline constexpr std::uint64_t kFrameBytes = 4096;                        // of a packet buffer
inline constexpr std::uint64_t kDefaultUmemBytes = 32'768 * kFrameBytes;  // of --umem-frames

struct Host {
  KernelVersion kernel;
  std::string release;                   // of the kernel, as uname says it
  bool xdp_sockets = true;               // it was built with AF_XDP
  bool bpffs = false;                    // mounted at /sys/fs/bpf
  bool btf = false;                      // the kernel describes its types
  std::optional<int> jit, jit_harden;    // net.core.bpf_jit_enable, bpf_jit_harden; none: cannot be read
  std::map<std::string, int> rp_filter;  // net.ipv4.conf.*.rp_filter, by interface; "all" too
};

// What a process may do.
struct Rights {
  std::uint64_t capabilities = 0;  // effective ones, a bit each
  std::uint64_t memlock = 0;       // bytes that it may lock; ~0: no limit
};

// A counter, read twice a second apart.
struct Count {
  std::uint64_t total = 0;   // at the second reading
  std::uint64_t recent = 0;  // more than at the first
};

// An interface's other end, where it is a veth.
struct Peer {
  std::string where;  // "peer eth0 in /run/netns/blue"
  std::string name;   // as the kernel takes it
  std::string enter;  // in front of a command that is to be run where it is: "ip netns exec blue "
  bool gro = true, vlan_insert = false, segmentation = false;  // rx-gro, tx-vlan-hw-insert, tx-tcp-segmentation
  std::uint32_t mtu = 0;
};

struct PortFacts {
  // As the daemon says.
  std::string bridge, name, kind, state;
  PortMode mode = PortMode::kNative;
  bool zero_copy = false, xdp_transmit = true;
  unsigned queues = 0;
  std::uint32_t mtu = 0;
  std::map<std::string, Count> drops;  // by reason
  // As the machine says; none where it does not tell.
  std::optional<unsigned> receive_queues;
  std::optional<XdpFeatures> xdp;
  std::optional<std::string> program;  // name of the XDP program on it; empty: none
  std::optional<bool> tc_program;      // ours is among those that TC runs as packets come in
  std::optional<bool> lro, vlan_strip;
  std::optional<Peer> peer;
};

// Something bounded that is nearly full, as the daemon judges it (user/stats/fills.h).
struct FillFacts {
  std::string subject;  // a port, a bridge, or empty
  std::string what, cost, remedy;
};

struct SwitchFacts {
  std::string version;
  Count evicted, exact_fallback, events_lost;
  std::vector<FillFacts> nearly_full;
  std::vector<PortFacts> ports;
};

struct Facts {
  Host host;
  std::optional<Rights> rights;  // of the daemon, or of who asks where there is none; none: they cannot be read
  std::uint64_t umem_bytes = kDefaultUmemBytes;  // of the daemon
  std::string client_version;
  std::optional<SwitchFacts> on;  // the switch; none: no daemon answers
  std::string no_daemon;          // why not
};

// Of the machine: reads /proc and /sys below `root` ("" is the machine's own).
[[nodiscard]] Host read_host(const std::string& root);
// Of a process, by its directory in /proc; none where that cannot be read.
[[nodiscard]] std::optional<Rights> read_rights(const std::string& directory);
// Of the daemon; none, too, where that number is another process here: it counts in a namespace of its own.
[[nodiscard]] std::optional<Rights> read_daemon_rights(int pid);
// Adds what the machine knows of a port. What cannot be asked stays unknown.
void read_port(PortFacts& port);

}  // namespace shunt::doctor
