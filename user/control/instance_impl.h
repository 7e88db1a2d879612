// SPDX-License-Identifier: Apache-2.0
// The inside of an Instance: what it joins, and in which order that comes up. instance.cpp has the configuration, the
// rules, the cache and the FDB; instance_ports.cpp has the ports and what becomes of their interfaces;
// instance_pipeline.cpp has groups, meters, tables and traces, and what packets ask for: rules to learn, packet-ins;
// instance_stats.cpp has what is counted; instance_state.cpp has what is kept over a restart, instance_restart.cpp what
// outlives a daemon in the kernel.
//
// Threads: control.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "user/control/captures.h"
#include "user/control/counter_saver.h"
#include "user/control/instance.h"
#include "user/control/lane.h"
#include "user/control/port_attachment.h"
#include "user/control/state_recorder.h"
#include "user/control/text.h"
#include "user/control/watchers.h"
#include "user/net/ethtool.h"
#include "user/net/link_monitor.h"
#include "user/pipeline/switch.h"
#include "user/ports/port_watcher.h"
#include "user/state/state_store.h"
#include "user/worker/events.h"
#include "user/worker/flow_maps.h"
#include "user/worker/meters.h"

namespace shunt {

// A port as configured. `attachment` is empty while its interface is gone.
struct Port {
  BridgeId bridge;
  std::string bridge_name;
  BridgePort config;
  PortRequest request;
  bool makes_tap = false;                      // its interface is a TAP that attach made, and detach removes
  std::unique_ptr<PortAttachment> attachment;  // null: waits for an interface of its name
  std::string failure{};                       // of the last attempt to attach the one that is there
  TimePoint since{Clock::now()};               // it was attached, or restored
};

// What a port's settings are besides its VLANs, both ways.
[[nodiscard]] BridgePort with_flags(BridgePort port, const PortFlags& flags);
[[nodiscard]] PortFlags flags_of(const BridgePort& port);

// Userspace's drops are the ingress port's too.
inline void add_counters(shunt_port_stats& sum, const PortCounters& worker) {
  for (std::size_t i = 0; i < SHUNT_DROP_COUNTERS; ++i) sum.drops[i] += worker.drops[i];
}

struct Instance::Impl {
  explicit Impl(const InstanceOptions& o);
  ~Impl();

  // Makes a change in force: see docs/architecture.md, "When is a change in force?".
  void commit(const Change& change);
  void end_batch();
  void put_in_force(const Change& change);
  void settle(bool kernel_changed) const {
    if (kernel_changed) Datapath::wait_grace_period();
  }
  void start();
  void inherit(std::span<const FlowCredit> credited);
  void save_counters();
  void save_counters_at_end();
  [[nodiscard]] std::vector<FlowCredit> restore_counters();  // of flows: what was credited
  [[nodiscard]] bool is_inherited(DpPort dp) const;

  void check_places(const QueueWorkers& places) const;  // throws Error
  // Makes and commits a change whose flows need `features`, `because` of what. Throws NotYet, and makes none of it,
  // where cached flows that it may alter would have to leave the kernel until the program that can do so is loaded.
  void make(std::uint32_t features, const std::string& because, const std::function<Change()>& change);
  void make_rules(std::span<const FlowMod> rules, const std::function<Change()>& change);
  // Throws NotYet where some of these may still come by a load; with a change: and it may alter cached flows.
  void await_features(std::uint32_t features, const std::string& because);
  void await_features(std::uint32_t features, const std::string& because, const Change& change);
  [[nodiscard]] bool may_await(std::uint32_t features) const;
  void tell_awaited();                               // who waits, that features came, or failed to
  void insist(const std::function<void()>& changes);  // they wait for nothing, for there is nobody who could
  void arm_expiry();    // wakes up when the next rule may end
  void expire_rules();  // those whose time has come
  void follow_events();
  void take_events();   // what packets have asked for since the last time
  void keep(PacketInEvent&& event);
  void learn_rules(std::span<const TranslationRef> translations);

  [[nodiscard]] const BridgeState& bridge(const std::string& name) const;
  [[nodiscard]] Port& port(const std::string& bridge_name, const std::string& interface);
  [[nodiscard]] PortStatus status(const Port& port) const;
  [[nodiscard]] CacheStats cache_stats();
  [[nodiscard]] PortCounters worker_counters(DpPort dp) const;  // those of earlier daemons too

  [[nodiscard]] DpPort free_dp() const;
  [[nodiscard]] PortNo choose_number(const BridgeState& bridge, std::optional<PortNo> wanted) const;
  [[nodiscard]] PortAttachment::Context context() {
    return {datapath,          umem,      revalidator, workers, options.upcall_rate, options.upcall_burst,
            options.busy_poll, lane.get()};
  }
  Port& add_port(const BridgeState& bridge, PortNo number, const PortRequest& request, PortDevice device);
  void remove_port(Port& port);
  // A port that is known to the switch, without an interface yet: it can have one by join(), or wait for it.
  Port& add_waiting_port(BridgeId id, PortNo number, DpPort dp, const PortRequest& request);

  // What the interface is to be attached in: as asked for, or as suits it. Opens the lane where that is kTcx.
  PortMode choose_mode(const PortRequest& request, bool is_local);
  void open_lane();

  void on_link(const LinkEvent& event);
  void carry_out(const PortAction& action);
  void vanish(Port& port);
  void come_back(Port& port, const Link& link);
  void retry_waiting_ports();
  void update(Port& port, const BridgePort& config);
  static void set_admin(const Port& port, bool up);
  void tell(InstanceListener::PortEvent event, const Port& port);  // whoever follows ports
  void join(Port& port, PortDevice device);                        // the interface that the port has from now on

  // What is kept over a restart; without a state directory these do nothing.
  void restore();          // all but the ports' interfaces
  void attach_restored();  // then those that are there; the others wait for theirs
  [[nodiscard]] PortDevice prepare_restored(const Port& port, const StoredPort& stored);
  void store_port(const Port& port);
  void change_fdb(BridgeId id, std::function<std::vector<FdbKey>(Fdb&)> change);
  void store_macs();      // of bridges whose FDB has changed
  void submit_changes();  // all that has changed since the last time
  void store_everything();
  void on_tick();      // each second
  void give_back_tap();
  void close_state();  // ports go: what a daemon that stops in order leaves behind

  const InstanceOptions options;
  std::unique_ptr<StateStore> store;  // null: nothing is kept
  std::unique_ptr<StateRecorder> recorder;
  std::map<DpPort, StoredPort> restored_ports;     // between restore() and attach_restored()
  std::map<BridgeId, std::uint64_t> stored_fdbs;   // versions
  std::map<std::int64_t, std::string> undo_texts;  // by their ids where they are stored
  std::map<BridgeId, OpenFlowSettings> openflow;   // others than the defaults
  unsigned ticks = 0;
  Datapath datapath;
  Umem umem;
  Switch sw;
  DatapathMaps maps;
  std::optional<CounterSaver> saver;  // none: counters end with the daemon. The revalidator's thread submits to it
  UniqueFd features_wanted;  // eventfd: a flow needs a larger program than the one loaded
  UniqueFd expiry;           // timerfd: a rule may have ended
  UniqueFd tick;             // timerfd: each second
  EventQueue events;         // from the workers and, last, the revalidator
  Revalidator revalidator;
  WorkerPool workers;
  std::unique_ptr<Lane> lane;  // null: no port needed it yet
  std::string lane_failure;    // why there can be none
  Captures captures;
  Watchers watchers;
  std::uint64_t macs_missed = 0;  // that watchers were told of
  mutable Ethtool ethtool;
  LinkMonitor monitor;
  PortWatcher watcher;
  UniqueFd epoll;
  std::map<DpPort, Port> ports;
  bool batching = false;      // commit() gathers changes
  bool packets_sent = false;  // of this batch, by packet_out()
  Change gathered;
  std::uint32_t needed_features = 0;  // of the change that is being made
  std::string needed_because;
  std::uint32_t awaited_features = 0;  // that somebody was told to wait for
  bool insists = true;                 // until it has started, and in insist()
  bool tap_awaited = false;            // by a capture that has not begun
  std::function<void()> awaited_came;
  InstanceListener listener;
  std::map<BridgeId, std::deque<PacketInRecord>> packet_ins;  // that wait for somebody to read them
  std::uint64_t packet_ins_lost = 0;
  bool started = false;
  std::map<DpPort, PortCounters> earlier;  // what workers of earlier daemons counted
};

inline constexpr std::size_t kPacketInsKept = 256;  // of a bridge

// Both changes, as one to be put in force.
void merge(Change& into, Change&& more);

}  // namespace shunt
