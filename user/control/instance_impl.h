// SPDX-License-Identifier: Apache-2.0
// The inside of an Instance: what it joins, and in which order that comes up. instance.cpp has the configuration, the
// rules, the cache and the FDB; instance_ports.cpp has the ports and what becomes of their interfaces;
// instance_pipeline.cpp has groups, meters, tables and traces, and what packets ask for: rules to learn, packet-ins;
// instance_restart.cpp has what outlives a daemon.
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

#include "user/control/instance.h"
#include "user/control/port_attachment.h"
#include "user/control/saved_counters.h"
#include "user/control/text.h"
#include "user/net/link_monitor.h"
#include "user/pipeline/switch.h"
#include "user/ports/port_watcher.h"
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
  std::unique_ptr<PortAttachment> attachment;
};

// Userspace's drops are the ingress port's too.
inline void add_counters(shunt_port_stats& sum, const PortCounters& worker) {
  for (std::size_t i = 0; i < SHUNT_DROP_COUNTERS; ++i) sum.drops[i] += worker.drops[i];
}

struct Instance::Impl {
  explicit Impl(const InstanceOptions& o);
  ~Impl();

  // Makes a change in force: see docs/architecture.md, "When is a change in force?".
  void commit(const Change& change);
  void settle(bool kernel_changed) const {
    if (kernel_changed) Datapath::wait_grace_period();
  }
  void start();
  void inherit();
  void save_counters();
  void restore_counters();
  [[nodiscard]] bool is_inherited(DpPort dp, Ifindex ifindex) const;

  void load_features(std::uint32_t wanted);  // those too
  void load_rule_features(std::span<const FlowMod> rules);
  void arm_expiry();    // wakes up when the next rule may end
  void expire_rules();  // those whose time has come
  void take_events();   // what packets have asked for since the last time
  void keep(PacketInEvent&& event);
  void learn_rules(std::span<const TranslationRef> translations);

  [[nodiscard]] const BridgeState& bridge(const std::string& name) const;
  [[nodiscard]] Port& port(const std::string& bridge_name, const std::string& interface);
  [[nodiscard]] PortStatus status(const Port& port) const;
  [[nodiscard]] PortCounters worker_counters(DpPort dp) const;  // those of earlier daemons too

  [[nodiscard]] DpPort free_dp() const;
  [[nodiscard]] PortNo choose_number(const BridgeState& bridge, std::optional<PortNo> wanted) const;
  [[nodiscard]] PortAttachment::Context context() {
    return {datapath, umem, revalidator, workers, options.upcall_rate, options.upcall_burst, options.busy_poll};
  }
  // `known`: the datapath port that it was in an earlier daemon.
  Port& add_port(const BridgeState& bridge, PortNo number, const PortRequest& request, PortDevice device,
                 std::optional<DpPort> known = {});
  void remove_port(Port& port);

  void on_link(const LinkEvent& event);
  void carry_out(const PortAction& action);
  void vanish(Port& port);
  void come_back(Port& port, const Link& link);
  void update(Port& port, const BridgePort& config);

  const InstanceOptions options;
  Datapath datapath;
  Umem umem;
  Switch sw;
  DatapathMaps maps;
  UniqueFd features_wanted;  // eventfd: a flow needs a larger program than the one loaded
  UniqueFd expiry;           // timerfd: a rule may have ended
  UniqueFd saving;           // timerfd: counters are to be saved
  EventQueue events;         // from the workers and, last, the revalidator
  Revalidator revalidator;
  WorkerPool workers;
  LinkMonitor monitor;
  PortWatcher watcher;
  UniqueFd epoll;
  std::map<DpPort, Port> ports;
  InstanceListener listener;
  std::map<BridgeId, std::deque<PacketInRecord>> packet_ins;  // that wait for somebody to read them
  std::uint64_t packet_ins_lost = 0;
  bool started = false, kept = false;
  SavedCounters saved;                     // as they are in the file
  std::map<DpPort, PortCounters> earlier;  // what workers of earlier daemons counted
};

inline constexpr std::size_t kPacketInsKept = 256;  // of a bridge

// Both changes, as one to be put in force.
void merge(Change& into, Change&& more);

}  // namespace shunt
