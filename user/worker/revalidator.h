// SPDX-License-Identifier: Apache-2.0
// The revalidator: one thread that keeps the flow cache right. It publishes the flows that workers ask for, learns
// MACs, credits counters to rules and to the FDB's ages, expires what is idle, evicts what is least used, and
// translates flows again after a change.
//
// It is the single writer of the flow tables (MegaflowTable) and of every Fdb. A translation made under an older
// version of the switch, or of the FDB it looked at, is made again before it is published, never published as it is.
// Long sweeps go in slices, between which it goes on publishing.
//
// A change is in force when: the new state is published (Switch) -> every worker passed a quiet point
// (WorkerPool::quiesce) -> revalidate() returned -> if it returned true, a grace period passed (Datapath::
// wait_grace_period).
//
// Threads: the constructor, start(), stop() and everything below "Control" by control; queue() is for workers. Start it
// before the workers and stop it after them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "user/base/clock.h"
#include "user/base/latency.h"
#include "user/l2/fdb.h"
#include "user/pipeline/switch.h"
#include "user/worker/credit_snapshot.h"
#include "user/worker/encode.h"
#include "user/worker/flow_maps.h"
#include "user/worker/megaflow_table.h"
#include "user/worker/top_flows.h"
#include "user/worker/upcall.h"
#include "user/worker/youth.h"

namespace shunt {

class EventQueue;

// A cached flow, as `shunt cache list` shows it.
struct FlowSnapshot {
  std::uint64_t id = 0;  // flow_id()
  shunt_megaflow_key key{};
  FlowMask mask{};
  DpActions actions;
  bool in_kernel = true;  // false: answered by userspace, for `reason`
  shunt_upcall_reason reason = SHUNT_UPCALL_MISS;
  std::uint64_t packets = 0, bytes = 0;
  std::chrono::milliseconds age{}, idle{};  // since it was published; since its last packet
  std::vector<std::uint64_t> cookies;       // of the rules that made it
};

struct RevalidatorStats {
  std::uint32_t flows = 0, flow_limit = 0, masks = 0, groups = 0, indexed_overflow = 0;
  std::uint32_t microflow_units = 0, microflow_unit_limit = 0;  // of the exact-match cache: in use, of all
  std::uint64_t published = 0, rejected_stale = 0, rejected_full = 0, evicted = 0, expired = 0, revalidated = 0,
                exact_fallback = 0, put_off = 0;  // put off: too many of the port waited
  std::uint64_t busy_nanoseconds = 0;        // at work, and not waiting for it
  std::uint64_t writer_busy_nanoseconds = 0;  // likewise the megaflow writer
  std::uint32_t requests_pending = 0;        // flows that wait to be published
  std::uint32_t requests_waiting = 0;        // likewise, the most of the last seconds
  Latencies publish, sweeps, changes;        // see Revalidator::stats()
  std::vector<MegaflowTable::Share> shares;  // of the cache, by datapath port
};

struct PortTraffic {
  std::uint64_t packets = 0, bytes = 0;
};

class Revalidator {
 public:
  struct Options {
    unsigned workers = 1;
    std::chrono::milliseconds idle_timeout{10'000};
    // Called in the revalidator's thread when a flow could not be published because the loaded program lacks features
    // (wanted_features() has grown): wakes control, which loads a larger one.
    std::function<void()> on_features_wanted;
    // Where flows with hits ask for their learned rules, as producer number `workers`; none: nobody listens.
    EventQueue* events = nullptr;
  };

  Revalidator(const Switch& sw, FlowMaps& maps, const Options& options);
  ~Revalidator();  // stops
  Revalidator(const Revalidator&) = delete;
  Revalidator& operator=(const Revalidator&) = delete;

  [[nodiscard]] RequestQueue& queue(unsigned worker);
  [[nodiscard]] Youth& youth();  // where workers tell how far they are

  // Control. Everything runs in the revalidator's thread and is waited for; "true" means that the kernel had to be
  // changed, so that a grace period must pass before the change is in force.
  void start();
  void stop();

  // A datapath port, before its XDP program is attached: a fresh generation in the `ports` map. Also tells how it is
  // reached.
  // `inherited`: the port and its flows are in the maps already, left by an earlier daemon.
  void add_port(DpPort port, const PortOutput& output, bool inherited = false);
  // The port's interface changed (gone, came back, other index): groups and flows that output to it follow.
  bool update_port(DpPort port, const PortOutput& output);
  // After its last packet: its flows are retired. What outputs to it is found by revalidate() with the Change.
  bool remove_port(DpPort port);

  // Before start(), when the whole configuration stands: takes over the flows of the inherited ports. They are
  // translated under the rules of today, and repaired where that differs; MACs that they were made for and that no FDB
  // knows are learned from them.
  struct Inherited {
    std::uint32_t flows = 0, changed = 0, broken = 0;
  };
  // `credited`: what the earlier daemon had credited already; the rest of what the kernel counted is credited now.
  Inherited inherit(std::span<const FlowCredit> credited);
  // The same of this one, as it is in the moment in which `also` runs, before anything more is credited. Gathered in
  // slices between which all else goes on, and then told to `done`, by the revalidator's thread. One at a time.
  void gather_credits(const std::function<void()>& also, CreditSnapshot::Done done);

  bool revalidate(const Change& change);
  // Whether that may alter a cached flow.
  [[nodiscard]] bool meets(const Change& change);
  // Runs `change` over a bridge's FDB in the thread that may write it, and revalidates the flows that depend on the
  // MACs it returns; flows from those MACs go, so that they are learned again.
  bool change_fdb(BridgeId bridge, std::function<std::vector<FdbKey>(Fdb&)> change);
  [[nodiscard]] std::vector<FdbEntry> fdb_list(BridgeId bridge);
  [[nodiscard]] FdbChanges take_fdb_changes(BridgeId bridge);  // see Fdb::take_changes()
  bool flush();                                                // every cached flow

  // Brings the counters of rules, tables, groups and ports up to date: after a change's grace period those of what the
  // change removed are final.
  void collect_counters();
  [[nodiscard]] std::vector<FlowSnapshot> list(std::size_t limit);
  // The cached flow that a packet with this key (in_port a datapath port) meets.
  [[nodiscard]] std::optional<FlowSnapshot> find(const FlowKey& key);
  [[nodiscard]] std::optional<FlowSnapshot> find(std::uint64_t id);
  // The busiest flows, the first one on top. Counters are as the last sweep left them.
  [[nodiscard]] std::vector<FlowSnapshot> top(std::size_t count, FlowOrder order);
  // Times: `publish` from a worker's taking a packet until its flow is in the cache; `sweeps` the walk of each second
  // over all flows; `changes` the walk over flows that a change may have altered.
  [[nodiscard]] RevalidatorStats stats();
  // What the kernel sent out of a port by cached flows, as it left. Any thread.
  [[nodiscard]] PortTraffic transmitted(DpPort port) const noexcept;
  void add_transmitted(DpPort port, const PortTraffic& traffic) noexcept;  // by an earlier daemon's flows

  // Features that flows need from the program (maps/port.h); control loads a larger program and says so.
  [[nodiscard]] std::uint32_t wanted_features() const noexcept;
  void set_features(std::uint32_t loaded);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace shunt
