// SPDX-License-Identifier: Apache-2.0
// The inside of an Instance: what it joins, and in which order that comes up. instance.cpp has the configuration, the
// rules, the cache and the FDB; instance_ports.cpp has the ports and what becomes of their interfaces.
//
// Threads: control.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "user/control/instance.h"
#include "user/control/port_attachment.h"
#include "user/control/text.h"
#include "user/net/link_monitor.h"
#include "user/pipeline/switch.h"
#include "user/ports/port_watcher.h"
#include "user/worker/flow_maps.h"

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
  void load_features(std::uint32_t wanted);  // those too
  void load_rule_features(std::span<const FlowMod> rules);

  [[nodiscard]] const BridgeState& bridge(const std::string& name) const;
  [[nodiscard]] Port& port(const std::string& bridge_name, const std::string& interface);
  [[nodiscard]] PortStatus status(const Port& port) const;

  [[nodiscard]] DpPort free_dp() const;
  [[nodiscard]] PortNo choose_number(const BridgeState& bridge, std::optional<PortNo> wanted) const;
  [[nodiscard]] PortAttachment::Context context() {
    return {datapath, umem, revalidator, workers, options.upcall_rate, options.upcall_burst, options.busy_poll};
  }
  Port& add_port(const BridgeState& bridge, PortNo number, const PortRequest& request, PortDevice device);
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
  Revalidator revalidator;
  WorkerPool workers;
  LinkMonitor monitor;
  PortWatcher watcher;
  UniqueFd epoll;
  std::map<DpPort, Port> ports;
};

}  // namespace shunt
