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
#include "user/net/xdp_features.h"

namespace shunt::doctor {

struct Host {
  KernelVersion kernel;
  std::string release;                   // of the kernel, as uname says it
  std::uint64_t capabilities = 0;        // effective ones, a bit each
  std::uint64_t memlock = 0;             // bytes that may be locked; ~0: no limit
  bool bpffs = false;                    // mounted at /sys/fs/bpf
  bool btf = false;                      // the kernel describes its types
  std::optional<int> jit, jit_harden;    // net.core.bpf_jit_enable, bpf_jit_harden; none: cannot be read
  std::map<std::string, int> rp_filter;  // net.ipv4.conf.*.rp_filter, by interface; "all" too
  std::uint64_t umem_bytes = 0;          // what a daemon with default options locks
};

// An interface's other end, where it is a veth.
struct Peer {
  std::string where;  // "peer eth0 in /run/netns/blue"
  std::string name;
  bool gro = true, vlan_insert = false, segmentation = false;  // rx-gro, tx-vlan-hw-insert, tx-tcp-segmentation
  std::uint32_t mtu = 0;
};

struct PortFacts {
  // As the daemon says.
  std::string bridge, name, kind, state;
  bool generic = false, zero_copy = false, xdp_transmit = true;
  unsigned queues = 0;
  std::uint32_t mtu = 0;
  std::map<std::string, std::uint64_t> drops;  // by reason
  // As the machine says; none where it does not tell.
  std::optional<unsigned> receive_queues;
  std::optional<XdpFeatures> xdp;
  std::optional<std::string> program;  // name of the XDP program on it; empty: none
  std::optional<bool> lro, vlan_strip;
  std::optional<Peer> peer;
};

struct SwitchFacts {
  std::string version;
  std::uint64_t flows = 0, flow_limit = 0, evicted = 0, exact_fallback = 0;
  std::uint64_t umem_frames = 0, umem_free = 0, events_lost = 0;
  std::vector<PortFacts> ports;
};

struct Facts {
  Host host;
  std::string client_version;
  std::optional<SwitchFacts> on;  // the switch; none: no daemon answers
  std::string no_daemon;          // why not
};

// Of the machine: reads /proc and /sys below `root` ("" is the machine's own).
[[nodiscard]] Host read_host(const std::string& root);
// Adds what the machine knows of a port. What cannot be asked stays unknown.
void read_port(PortFacts& port);

}  // namespace shunt::doctor
