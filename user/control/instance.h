// SPDX-License-Identifier: Apache-2.0
// One running switch: joins the configuration (Switch), the kernel half (Datapath), ports, workers and the revalidator, and
// offers what a command can do. Every change returns when it is in force: no cache level answers with the older verdict.
//
// Threads: the control thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "maps/flow.h"
#include "maps/port.h"
#include "user/base/strong_types.h"
#include "user/bpf/datapath.h"
#include "user/l2/fdb.h"
#include "user/l2/vlan.h"
#include "user/pipeline/rule.h"

namespace shunt {

struct InstanceOptions {
  std::string name = "default";
  std::vector<unsigned> cores;  // a worker pinned on each; empty: one worker, not pinned
  std::uint32_t flow_limit = 200'000;
  std::chrono::milliseconds idle_timeout{10'000};  // of cached flows
  std::uint32_t upcall_rate = 100'000;             // misses a second and port
  std::uint32_t upcall_burst = 1'024;
  std::uint32_t umem_frames = 32'768;  // of 4096 bytes
  bool busy_poll = false;
};

struct PortRequest {
  std::string interface;
  std::optional<PortNo> number;
  VlanConfig vlan;
  XdpMode mode = XdpMode::kNative;
  std::optional<unsigned> queues;
  bool create_tap = false;
  bool force = false;  // removes somebody else's XDP program
};

struct PortStatus {
  std::string bridge, name;
  PortNo number;
  DpPort dp;
  Ifindex ifindex;  // 0: the interface is gone; the port waits for it
  std::string kind;  // veth, physical, tap, local
  std::string mac;
  bool up = false;
  XdpMode mode = XdpMode::kNative;
  bool zero_copy = false;
  unsigned queues = 0;
  std::uint32_t mtu = 0;
  bool xdp_transmit = true;  // false: the kernel cannot redirect to it; output goes through userspace
  VlanConfig vlan;
  std::vector<std::string> changes;  // what attach changed outside Shunt, to be restored ("peer veth1: gro on")
  shunt_port_stats stats{};
  std::uint64_t tx_packets = 0, tx_bytes = 0;
};

struct CachedFlow {
  shunt_megaflow_key key;
  FlowMask mask;
  std::vector<shunt_action> actions;
  bool in_kernel = true;  // false: answered by userspace (why: reason)
  shunt_upcall_reason reason = SHUNT_UPCALL_MISS;
  std::uint64_t packets = 0, bytes = 0;
  std::chrono::milliseconds age{}, idle{};
  std::vector<std::uint64_t> cookies;  // of the rules that made it
};

struct CacheStats {
  std::uint32_t flows = 0, flow_limit = 0, masks = 0, groups = 0, indexed_overflow = 0;
  std::uint64_t exact_hits = 0, megaflow_hits = 0, misses = 0, lookups = 0;
  std::uint64_t published = 0, rejected_stale = 0, evicted = 0, expired = 0, revalidated = 0, exact_fallback = 0;
  std::uint64_t upcalls_handled = 0, upcall_nanoseconds = 0;
  std::uint32_t umem_frames = 0, umem_free = 0;
  std::map<std::string, std::uint64_t> upcalls;  // by reason
  std::uint32_t features = 0;
};

class Instance {
 public:
  explicit Instance(const InstanceOptions& options);
  ~Instance();  // detaches all ports, restores what they changed, removes pins

  void add_bridge(const std::string& name);  // and its LOCAL port: an interface of that name
  void del_bridge(const std::string& name);
  [[nodiscard]] std::vector<std::string> bridges() const;

  PortStatus attach_port(const std::string& bridge, const PortRequest& request);
  void detach_port(const std::string& bridge, const std::string& interface);
  void set_port(const std::string& bridge, const std::string& interface, const VlanConfig& vlan);
  [[nodiscard]] std::vector<PortStatus> ports(const std::string& bridge) const;  // ascending by number

  void flow_mod(const std::string& bridge, std::span<const FlowMod> mods);  // all or nothing
  void flow_replace(const std::string& bridge, std::span<const FlowMod> rules);
  [[nodiscard]] std::vector<RuleRef> flow_list(const std::string& bridge, const FlowMod& filter);  // counters brought up to date
  // Names of a bridge's ports for rule text: in_port=NAME, output:NAME.
  [[nodiscard]] std::map<std::string, PortNo> port_names(const std::string& bridge) const;

  [[nodiscard]] std::vector<CachedFlow> cache_list(std::size_t limit);
  [[nodiscard]] CacheStats cache_stats();
  void cache_flush();

  [[nodiscard]] std::vector<FdbEntry> fdb_list(const std::string& bridge);
  void fdb_add(const std::string& bridge, FdbKey key, const std::string& interface);
  void fdb_del(const std::string& bridge, FdbKey key);
  void fdb_flush(const std::string& bridge, std::optional<std::string> interface);
  void fdb_set(const std::string& bridge, std::optional<std::chrono::seconds> ageing, std::optional<std::size_t> limit);
  struct FdbSettings {
    std::size_t size, limit;
    std::chrono::seconds ageing;
  };
  [[nodiscard]] FdbSettings fdb_settings(const std::string& bridge);

  // For the daemon's event loop: file descriptors to poll, and what to call when one is readable or `wake` has passed.
  [[nodiscard]] int event_fd() const;
  void handle_events();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace shunt
