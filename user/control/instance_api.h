// SPDX-License-Identifier: Apache-2.0
// What a command can ask of a running switch, and the data it gets back. Instance is the real one; commands and their
// tests know only this interface, so that every handler can be tried without root.
//
// A change returns when it is in force: no cache level answers with the older verdict. A refused change throws Error
// (or std::system_error) and leaves everything as it was. A change to rules, groups or a port's VLANs, or a capture,
// that has to wait for a larger program throws NotYet (not_yet.h), and leaves everything as it was, too. Threads: the
// control thread only.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "maps/flow.h"
#include "maps/port.h"
#include "user/base/strong_types.h"
#include "user/bpf/datapath.h"
#include "user/control/captures.h"
#include "user/control/openflow_settings.h"
#include "user/control/watchers.h"
#include "user/flow/flow_key.h"
#include "user/l2/fdb.h"
#include "user/l2/vlan.h"
#include "user/pipeline/rule.h"
#include "user/pipeline/switch.h"
#include "user/pipeline/trace.h"
#include "user/ports/veth_peer.h"
#include "user/worker/events.h"
#include "user/worker/revalidator.h"
#include "user/worker/worker.h"

namespace shunt {

// What OpenFlow's port-mod and Open vSwitch's Port table say besides VLANs (BridgePort has what each means).
struct PortFlags {
  bool flood = true, receive = true, forward = true, packet_in = true, protected_port = false;
  bool down = false;  // OFPPC_PORT_DOWN: the interface is set down
  friend bool operator==(const PortFlags&, const PortFlags&) = default;
};

struct PortRequest {
  std::string interface;
  std::optional<PortNo> number;  // none: the lowest free one
  VlanConfig vlan;
  std::optional<PortMode> mode;    // none: what suits the interface
  std::optional<unsigned> queues;  // AF_XDP sockets; none: one for each receive queue
  QueueWorkers queue_workers{};    // where the user wants them served
  bool create_tap = false;         // makes the interface, a TAP; detach removes it
  bool force = false;              // removes somebody else's XDP program
  bool may_wait = false;           // where there is no such interface, the port waits for it
  PortFlags flags;
};

struct PortStatus {
  std::string bridge, name;
  PortNo number;
  DpPort dp;
  Ifindex ifindex;   // 0: the interface is gone; the port waits for it
  std::string kind;  // veth, physical, tap, local
  std::string mac;
  std::optional<PeerName> peer;  // of a veth, where it can be reached
  bool up = false;
  PortMode mode = PortMode::kNative;
  std::optional<PortMode> mode_wanted;  // as in PortRequest
  bool zero_copy = false;
  unsigned queues = 0;
  std::optional<unsigned> queues_wanted;  // as in PortRequest
  QueueWorkers queue_workers;             // likewise
  bool makes_tap = false;                 // attach made the interface
  std::uint32_t mtu = 0;
  bool xdp_transmit = true;  // false: the kernel cannot redirect to it; output goes through userspace
  VlanConfig vlan;
  PortFlags flags;
  std::vector<std::string> changes;  // what attach changed outside Shunt, to be restored ("peer veth1: gro on")
  shunt_port_stats stats{};          // kernel and userspace together, as ingress port
  std::uint64_t tx_packets = 0, tx_bytes = 0;
  TimePoint since{};              // it was attached, or this daemon began
  std::uint32_t megabits = 0;     // a second, as the interface's driver says; 0: it does not
  MegaflowTable::Share cached;    // its flows, and masks in its list
  std::uint32_t upcall_rate = 0;  // misses that it may send up a second
};

// What the revalidator knows of the cache, with the hits and misses that the kernel counted and the workers' part.
struct CacheStats : RevalidatorStats {
  std::uint64_t exact_hits = 0, megaflow_hits = 0, misses = 0, lookups = 0;
  std::uint64_t upcalls_handled = 0, upcall_nanoseconds = 0;
  std::uint32_t umem_frames = 0, umem_free = 0;
  std::map<std::string, std::uint64_t> upcalls;  // by reason
  ProgramStatus program;
  std::uint64_t events_lost = 0;                             // packet-ins, rules to learn, samples: control was behind
  std::uint64_t packet_ins_lost = 0;                         // nobody read them in time
  std::uint32_t events_waiting = 0;                          // of the last second, the most that were taken at once
  std::uint32_t requests_capacity = 0, events_capacity = 0;  // of the revalidator's queue; of one ring
};

struct LimitedTable {
  std::uint8_t table = 0;
  std::size_t rules = 0, max_rules = 0;
};

struct BridgeStats {
  std::string name;
  std::size_t rules = 0, groups = 0, meters = 0;
  std::size_t macs = 0, mac_limit = 0;
  std::optional<PortNo> fullest_port;  // by MACs
  std::vector<LimitedTable> limited_tables;
};

// A worker, what it has to do lately (1: all of its time), and the queues that it serves.
struct WorkerStatus {
  std::optional<unsigned> core;  // that it is pinned on
  double load = 0;
  struct Queue {
    std::string bridge, port;  // empty: the lane of mode tcx
    QueueId queue;
    double load = 0;
    bool wanted = false;  // it is there because the user wants it so
  };
  std::vector<Queue> queues;
};

// All that is counted, read at one time.
struct InstanceStats {
  std::vector<BridgeStats> bridges;  // by name
  std::vector<PortStatus> ports;     // by bridge and number
  shunt_port_stats stray{};          // of packets that came in where no port is (any more)
  CacheStats cache;
  std::vector<WorkerStats> workers;
  std::size_t captures = 0;  // that run
};

struct TableStatus {
  std::uint8_t table = 0;
  TableConfig config;
  std::size_t rules = 0;
  std::uint64_t lookups = 0, matches = 0;  // packets
};

struct GroupStatus {
  GroupRef group;
  std::uint32_t references = 0;  // rules and buckets that name it
};

struct MeterStatus {
  MeterRef meter;
  MeterStats stats;
};

// A packet-in that waited for somebody to read it (the last few are kept).
struct PacketInRecord {
  PacketInEvent event;
  TimePoint when{};
};

// Where a trace starts: a key (in_port an OpenFlow number) or a frame that came in at a port.
struct TraceRequest {
  PortNo in_port;
  std::optional<FlowKey> key;
  std::vector<std::uint8_t> frame;  // used where `key` is none
  std::uint32_t length = 0;         // of the whole packet, where `frame` is its first bytes only; 0: that is all
};
struct TraceAnswer {
  Trace trace;
  bool in_kernel = false;                          // where the flow of this packet would be served
  shunt_upcall_reason reason = SHUNT_UPCALL_MISS;  // why not in the kernel
};

// Why a cached flow is what it is: the cache entry and the walk through the rules that makes it now.
struct CacheWhy {
  FlowSnapshot flow;
  std::string bridge;
  Trace trace;
};

// A packet that a controller sends out (user/worker/worker.h).
struct PacketOutSpec {
  PortNo in_port;
  ActionList actions;
  std::vector<std::uint8_t> frame;
  ContinuationRef resumed{};  // goes on there, and `actions` are none
  PipelineFields fields{};    // metadata, registers, tun_id, pkt_mark that it begins with
};

struct FdbSettings {
  std::size_t size = 0, limit = 0;
  std::chrono::seconds ageing{};
  std::optional<PortNo> fullest_port{};
};

class InstanceApi {
 public:
  virtual ~InstanceApi() = default;

  virtual void add_bridge(const std::string& name) = 0;  // and its LOCAL port: an interface of that name
  virtual void del_bridge(const std::string& name) = 0;
  [[nodiscard]] virtual BridgeId bridge_id(const std::string& name) const = 0;
  [[nodiscard]] virtual std::vector<std::string> bridges() const = 0;

  virtual PortStatus attach_port(const std::string& bridge, const PortRequest& request) = 0;
  virtual void detach_port(const std::string& bridge, const std::string& interface) = 0;
  virtual void set_port(const std::string& bridge, const std::string& interface, const VlanConfig& vlan,
                        const PortFlags& flags) = 0;
  // Which workers serve the port's queues from now on; queues that are not named move by load. Nothing is lost by it.
  virtual void place_queues(const std::string& bridge, const std::string& interface, const QueueWorkers& places) = 0;
  [[nodiscard]] virtual std::vector<WorkerStatus> worker_list() const = 0;
  [[nodiscard]] virtual std::vector<PortStatus> ports(const std::string& bridge) const = 0;  // ascending by number
  // The same, with counters as they were last brought up to date: for who looks at none, since that is a walk over all
  // cached flows.
  [[nodiscard]] virtual std::vector<PortStatus> port_settings(const std::string& bridge) const = 0;
  // Counters of packets that came in where no port is (any more): datapath port 0.
  [[nodiscard]] virtual shunt_port_stats stray_stats() const = 0;

  // Runs `work`, whose changes to rules, groups, meters and tables are visible to one another at once, and are put in
  // force together before this returns; so are the packets it sends out. What `work` throws comes out, after that.
  virtual void batch(const std::function<void()>& work) = 0;
  // Runs `work`, of several changes, whose flows need `features` (rule_features.h). Throws NotYet before it has begun,
  // or not at all.
  virtual void with_features(std::uint32_t features, const std::function<void()>& work) = 0;
  virtual void flow_mod(const std::string& bridge, std::span<const FlowMod> mods) = 0;  // all or nothing
  virtual void flow_replace(const std::string& bridge, std::span<const FlowMod> rules) = 0;
  // Rules that `filter` would delete; their counters are brought up to date first.
  [[nodiscard]] virtual std::vector<RuleRef> flow_list(const std::string& bridge, const FlowMod& filter) = 0;
  // The same rules, as they are now, a piece at a time and in no order: each call adds some to `rules`; false: that was
  // all. What is removed meanwhile is kept until the function is destroyed.
  using RuleSource = std::function<bool(std::vector<RuleRef>& rules)>;
  [[nodiscard]] virtual RuleSource flow_walk(const std::string& bridge, const FlowMod& filter) = 0;
  [[nodiscard]] virtual std::size_t rule_count(const std::string& bridge) const = 0;
  // Names of a bridge's ports for rule text: in_port=NAME, output:NAME.
  [[nodiscard]] virtual std::map<std::string, PortNo> port_names(const std::string& bridge) const = 0;

  virtual void group_mod(const std::string& bridge, std::span<const GroupMod> mods) = 0;   // all or nothing
  virtual void modify(const std::string& bridge, std::span<const Modification> mods) = 0;  // all or nothing, in order
  [[nodiscard]] virtual std::vector<GroupStatus> group_list(const std::string& bridge) = 0;
  virtual void meter_mod(const std::string& bridge, std::span<const MeterMod> mods) = 0;  // all or nothing
  [[nodiscard]] virtual std::vector<MeterStatus> meter_list(const std::string& bridge) = 0;
  virtual void set_table(const std::string& bridge, std::uint8_t table, const TableConfig& config) = 0;
  // Until it is said otherwise, or the daemon ends: BridgeState::misses_to_old.
  virtual void set_misses_to_old(const std::string& bridge, bool on) = 0;
  [[nodiscard]] virtual std::vector<TableStatus> table_list(
      const std::string& bridge) = 0;  // those with rules or settings
  // Throws where OpenFlow refuses them: a socket that cannot be listened on, say. `adapts_rules`: the rule of priority
  // 0 that a bridge without controllers has goes and comes with them.
  virtual void set_openflow(const std::string& bridge, const OpenFlowSettings& settings, bool adapts_rules) = 0;
  [[nodiscard]] virtual OpenFlowSettings openflow(const std::string& bridge) const = 0;
  virtual void set_flood_vlans(const std::string& bridge, const VlanSet& vlans) = 0;
  [[nodiscard]] virtual VlanSet flood_vlans(const std::string& bridge) const = 0;
  // Throws OfError where the actions are none that a packet-out can have.
  virtual void packet_out(const std::string& bridge, PacketOutSpec&& packet) = 0;
  // Takes the packet-ins that have waited, oldest first.
  [[nodiscard]] virtual std::vector<PacketInRecord> packet_ins(const std::string& bridge) = 0;

  [[nodiscard]] virtual TraceAnswer trace(const std::string& bridge, const TraceRequest& request) = 0;
  // The number by which select groups spread packets with this key.
  [[nodiscard]] virtual std::uint32_t dp_hash(const FlowKey& key) const = 0;
  // The cached flow that a packet with this key (in_port an OpenFlow number of the bridge) meets; none: not cached.
  [[nodiscard]] virtual std::optional<CacheWhy> cache_why(const std::string& bridge, const FlowKey& key) = 0;

  [[nodiscard]] virtual std::vector<FlowSnapshot> cache_list(std::size_t limit) = 0;
  [[nodiscard]] virtual CacheStats cache_stats() = 0;
  // What cached flows counted is as the revalidator's last walk left it, a second old at most, until
  // collect_counters() was called.
  [[nodiscard]] virtual InstanceStats stats() = 0;
  virtual void collect_counters() = 0;
  [[nodiscard]] virtual std::vector<FlowSnapshot> top_flows(std::size_t count, FlowOrder order) = 0;
  [[nodiscard]] virtual std::optional<CacheWhy> flow_why(std::uint64_t id) = 0;  // by FlowSnapshot::id
  virtual void cache_flush() = 0;

  [[nodiscard]] virtual std::vector<FdbEntry> fdb_list(const std::string& bridge) = 0;
  virtual void fdb_add(const std::string& bridge, FdbKey key, const std::string& interface) = 0;  // static
  virtual void fdb_del(const std::string& bridge, FdbKey key) = 0;
  virtual void fdb_flush(const std::string& bridge, std::optional<std::string> interface) = 0;
  virtual void fdb_set(const std::string& bridge, std::optional<std::chrono::seconds> ageing,
                       std::optional<std::size_t> limit) = 0;
  [[nodiscard]] virtual FdbSettings fdb_settings(const std::string& bridge) = 0;

  // Returns when what was changed so far is on the disk. Throws NotStored where that cannot be: it is in force all the
  // same. Who does not call it has its changes stored within a second.
  virtual void store_changes() = 0;

  // What loads of configurations changed (config_undo.h), for `config undo`, the last one first; a few, kept over
  // restarts.
  virtual void push_undo(const std::string& change) = 0;
  [[nodiscard]] virtual std::optional<std::string> last_undo() const = 0;
  virtual void pop_undo() = 0;

  // Packet captures. What is captured goes past this interface: see captures.h.
  virtual StartedCapture start_capture(CaptureRequest request) = 0;
  virtual std::optional<CaptureTotals> stop_capture(std::uint64_t id) = 0;  // none: it has ended before
  [[nodiscard]] virtual std::vector<CaptureStatus> captures() const = 0;

  // Who hears of what happens to the switch; `subjects`: bits 1 << SwitchEvent::Subject.
  virtual std::uint64_t watch(unsigned subjects, Watcher watcher) = 0;
  virtual void unwatch(std::uint64_t number) = 0;
  virtual void announce(const SwitchEvent& event) = 0;  // to them, of what happens outside: controllers

 protected:
  InstanceApi() = default;
  InstanceApi(const InstanceApi&) = default;
  InstanceApi& operator=(const InstanceApi&) = default;
};

}  // namespace shunt
