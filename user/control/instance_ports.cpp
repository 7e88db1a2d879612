// SPDX-License-Identifier: Apache-2.0
// An Instance's ports: attaching, detaching, and following their interfaces as they vanish, come back and are renamed.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <utility>

#include "user/base/error.h"
#include "user/control/instance_impl.h"
#include "user/control/rule_features.h"

namespace shunt {

BridgePort with_flags(BridgePort port, const PortFlags& flags) {
  port.flood = flags.flood;
  port.receive = flags.receive;
  port.forward = flags.forward;
  port.packet_in = flags.packet_in;
  port.protected_port = flags.protected_port;
  port.down = flags.down;
  return port;
}

PortFlags flags_of(const BridgePort& port) {
  return {port.flood, port.receive, port.forward, port.packet_in, port.protected_port, port.down};
}

Port& Instance::Impl::port(const std::string& bridge_name, const std::string& interface) {
  const BridgeId id = bridge(bridge_name).id;
  for (auto& [dp, port] : ports)
    if (port.bridge == id && port.config.name == interface) return port;
  throw Error("bridge '{}' has no port '{}'; `shunt port list {}` shows its ports", bridge_name, interface,
              bridge_name);
}

DpPort Instance::Impl::free_dp() const {
  for (std::uint32_t i = 1; i < SHUNT_MAX_PORTS; ++i)
    if (!ports.contains(DpPort{i})) return DpPort{i};
  throw Error("all {} ports of this instance are in use; detach one, or start another instance", SHUNT_MAX_PORTS - 1);
}

PortNo Instance::Impl::choose_number(const BridgeState& bridge, std::optional<PortNo> wanted) const {
  if (!wanted) {
    PortNo number{1};
    for (const BridgePort& port : bridge.ports)
      if (port.number == number) ++number.value;
    return number;
  }
  if (wanted->value == 0 || wanted->value >= kPortMax.value)
    throw Error("port number {} is reserved; give one from 1 to {}", wanted->value, kPortMax.value - 1);
  if (const BridgePort* holder = bridge.find(*wanted))
    throw Error("port number {} is taken by '{}'; give another, or none for the lowest free one", wanted->value,
                holder->name);
  return *wanted;
}

void Instance::Impl::open_lane() {
  if (!lane_failure.empty()) throw Error("{}", lane_failure);
  if (lane) return;
  try {
    lane = std::make_unique<Lane>(options.name, datapath, umem, workers, options.busy_poll);
  } catch (const std::exception& e) {
    lane_failure = e.what();
    throw;
  }
}

PortMode Instance::Impl::choose_mode(const PortRequest& request, bool is_local) {
  const std::optional<PortMode> wanted = request.mode ? request.mode : options.port_mode;
  if (wanted) {
    if (*wanted == PortMode::kTcx) open_lane();
    return *wanted;
  }
  const PortMode suitable = is_local ? PortMode::kTcx : PortDevice::suitable_mode(request.interface);
  if (suitable != PortMode::kTcx || request.queues) return PortMode::kNative;
  const bool known = !lane_failure.empty();
  try {
    open_lane();
    return PortMode::kTcx;
  } catch (const std::exception& e) {
    if (!known) spdlog::warn("ports run in mode native, for mode tcx cannot be had: {}", e.what());
    return PortMode::kNative;
  }
}

Port& Instance::Impl::add_port(const BridgeState& bridge, PortNo number, const PortRequest& request,
                               PortDevice device) {
  const DpPort dp = free_dp();
  datapath.reset_port_stats(dp);
  workers.reset_counters(dp);
  revalidator.add_port(dp, {device.ifindex(), device.xdp_transmit()});
  try {
    Port port{.bridge = bridge.id,
              .bridge_name = bridge.name,
              .config = with_flags({.number = number, .dp = dp, .name = device.link().name, .vlan = request.vlan},
                                   request.flags),
              .request = request,
              .attachment = nullptr};
    if (number == kPortLocal) port.config.name = bridge.name;
    port.makes_tap = request.create_tap;
    port.request.create_tap = port.request.force = false;  // for when the interface comes back
    port.attachment =
        std::make_unique<PortAttachment>(context(), dp, std::move(device), request.queue_workers, request.force);
    const Link& link = port.attachment->device().link();
    port.config.up = is_usable(link);
    const Change change = sw.add_port(bridge.id, port.config);
    datapath.request_features(features_of(request.vlan), fmt::format("VLANs of port {}", request.interface));
    Port& added = ports.emplace(dp, std::move(port)).first->second;
    settle(revalidator.update_port(dp, added.attachment->output()));
    commit(change);
    watcher.adopt(dp, link);
    store_port(added);
    tell(InstanceListener::PortEvent::kAdded, added);
    return added;
  } catch (...) {
    if (const auto added = ports.find(dp); added != ports.end())
      remove_port(added->second);
    else
      revalidator.remove_port(dp);
    throw;
  }
}

Port& Instance::Impl::add_waiting_port(BridgeId id, PortNo number, DpPort dp, const PortRequest& request) {
  Port port{.bridge = id,
            .bridge_name = sw.find_bridge(id)->name,
            .config = with_flags({.number = number, .dp = dp, .name = request.interface, .vlan = request.vlan},
                                 request.flags),
            .request = request,
            .makes_tap = request.create_tap,
            .attachment = nullptr};
  port.config.up = false;
  port.request.create_tap = port.request.force = false;
  const Change change = sw.add_port(id, port.config);
  const bool inherited = is_inherited(dp);
  if (!inherited) datapath.reset_port_stats(dp);
  workers.reset_counters(dp);
  revalidator.add_port(dp, {Ifindex{0}, true}, inherited);
  commit(change);
  return ports.emplace(dp, std::move(port)).first->second;
}

void Instance::Impl::remove_port(Port& port) {
  const DpPort dp = port.config.dp;
  const BridgeId id = port.bridge;
  const PortNo number = port.config.number;
  watcher.forget(dp);
  tell(InstanceListener::PortEvent::kRemoved, port);
  if (port.config.down) set_admin(port, true);
  port.attachment.reset();
  commit(sw.remove_port(id, number));
  settle(revalidator.change_fdb(id, [number](Fdb& fdb) { return fdb.remove_port(number); }));
  settle(revalidator.remove_port(dp));
  earlier.erase(dp);
  if (recorder) recorder->remove_port(id, dp);
  ports.erase(dp);
}

void Instance::Impl::update(Port& port, const BridgePort& config) {
  make(features_of(config.vlan), fmt::format("VLANs of port {}", config.name), [&] {
    Change change = sw.update_port(port.bridge, config);
    port.config = config;
    return change;
  });
  store_port(port);
  tell(InstanceListener::PortEvent::kChanged, port);
}

void Instance::Impl::check_places(const QueueWorkers& places) const {
  const unsigned count = WorkerPool::worker_count({options.cores, options.busy_poll});
  for (const auto& [queue, worker] : places)
    if (worker >= count)
      throw Error("there is no worker {} for queue {}: they are 0 to {}, one a core (shuntd --cores)", worker, queue,
                  count - 1);
}

// What the kernel tells of it then makes the port up, or down.
void Instance::Impl::set_admin(const Port& port, bool up) {
  if (port.attachment) Netlink{}.set_up(port.attachment->device().ifindex(), up);
}

void Instance::Impl::tell(InstanceListener::PortEvent event, const Port& port) {
  if (event == InstanceListener::PortEvent::kRemoved) {
    captures.port_went(port.config.dp);
    watchers.port_went(port.bridge, port.config);
  } else {
    captures.port_came(port.bridge_name, {port.config.dp, port.config.name});
    watchers.port_stands(port.bridge, port.config, port.attachment != nullptr);
  }
  if (listener.on_port) listener.on_port(port.bridge, event, status(port));
}

void Instance::Impl::on_link(const LinkEvent& event) {
  for (const PortAction& action : watcher.on_event(event)) {
    try {
      carry_out(action);
    } catch (const std::exception& e) {
      if (const auto port = ports.find(action.port); port != ports.end() && !port->second.attachment)
        if (std::exchange(port->second.failure, e.what()) == e.what()) continue;  // told
      spdlog::error("port {} ({}): {}", action.port.value, action.link.name, e.what());
    }
  }
}

// An interface may be there that could not be attached for a reason that has passed: memory, a queue that was in use.
void Instance::Impl::retry_waiting_ports() {
  std::set<std::string> names;
  for (const auto& [dp, port] : ports)
    if (!port.attachment) names.insert(port.config.name);
  if (names.empty()) return;
  for (const Link& link : monitor.links())
    if (names.contains(link.name)) on_link({LinkEvent::Kind::kChanged, link, {}});
}

void Instance::Impl::carry_out(const PortAction& action) {
  const auto found = ports.find(action.port);
  if (found == ports.end()) return;
  Port& port = found->second;
  BridgePort config = port.config;
  switch (action.kind) {
    case PortAction::Kind::kVanished:
      vanish(port);
      break;
    case PortAction::Kind::kReturned:
      come_back(port, action.link);
      break;
    case PortAction::Kind::kRenamed:
      if (config.number == kPortLocal) break;  // known by its bridge's name, not by the switch's end
      spdlog::info("port '{}' of bridge '{}' is now called '{}'", config.name, port.bridge_name, action.link.name);
      config.name = port.request.interface = action.link.name;
      update(port, config);
      break;
    case PortAction::Kind::kState:
      config.up = is_usable(action.link);
      spdlog::info("port '{}' of bridge '{}' is {}", config.name, port.bridge_name, config.up ? "up" : "down");
      update(port, config);
      break;
    case PortAction::Kind::kMtu:
      if (port.attachment) port.attachment->set_mtu(action.link.mtu);
      break;
    case PortAction::Kind::kPeer:
      if (port.attachment && port.attachment->recheck())
        settle(revalidator.update_port(config.dp, port.attachment->output()));
      store_port(port);
      break;
  }
}

void Instance::Impl::vanish(Port& port) {
  spdlog::warn("port '{}' of bridge '{}': its interface is gone; waiting for one of that name", port.config.name,
               port.bridge_name);
  port.attachment.reset();
  BridgePort config = port.config;
  config.up = false;
  update(port, config);
  settle(revalidator.update_port(config.dp, {Ifindex{0}, true}));
  watcher.await(config.dp, config.name);
}

void Instance::Impl::come_back(Port& port, const Link& link) {
  const bool is_local = port.config.number == kPortLocal;
  const PortMode mode = choose_mode(port.request, is_local);
  join(port, is_local
                 ? PortDevice::prepare_local(options.name, port.bridge_name, mode)
                 : PortDevice::prepare(
                       {.interface = link.name, .queues = port.request.queues, .create_tap = false, .mode = mode}));
  spdlog::info("port '{}' of bridge '{}': its interface is back", port.config.name, port.bridge_name);
}

void Instance::Impl::join(Port& port, PortDevice device) {
  port.attachment = std::make_unique<PortAttachment>(context(), port.config.dp, std::move(device),
                                                     port.request.queue_workers, /*force=*/false);
  port.failure.clear();
  const Link now = port.attachment->device().link();
  watcher.adopt(port.config.dp, now);
  settle(revalidator.update_port(port.config.dp, port.attachment->output()));
  BridgePort config = port.config;
  config.up = is_usable(now);
  update(port, config);
  if (config.down) set_admin(port, false);
}

PortStatus Instance::Impl::status(const Port& port) const {
  PortStatus s;
  s.bridge = port.bridge_name;
  s.name = port.config.name;
  s.number = port.config.number;
  s.dp = port.config.dp;
  s.up = port.config.up;
  s.vlan = port.config.vlan;
  s.flags = flags_of(port.config);
  s.mode_wanted = port.request.mode;
  s.mode = port.request.mode.value_or(PortMode::kNative);
  s.queues_wanted = port.request.queues;
  s.queue_workers = port.request.queue_workers;
  s.makes_tap = port.makes_tap;
  if (port.attachment) {
    const PortDevice& device = port.attachment->device();
    s.ifindex = device.ifindex();
    s.kind = to_string(device.kind());
    s.mode = device.mode();
    s.mac = format_mac(device.link().mac);
    s.zero_copy = port.attachment->zero_copy();
    s.queues = device.queues();
    s.mtu = datapath.ports[s.dp.value].mtu;
    s.xdp_transmit = device.xdp_transmit();
    s.changes = device.changes();
    s.peer = device.peer();
    s.megabits = ethtool.speed(device.link().name).value_or(Ethtool::Speed{}).megabits;
  }
  s.stats = datapath.port_stats(s.dp);
  const PortCounters worker = worker_counters(s.dp);
  add_counters(s.stats, worker);
  const PortTraffic kernel = revalidator.transmitted(s.dp);
  s.tx_packets = kernel.packets + s.stats.bridged_packets + worker.tx_packets;
  s.tx_bytes = kernel.bytes + s.stats.bridged_bytes + worker.tx_bytes;
  s.upcall_rate = options.upcall_rate;
  s.since = port.since;
  return s;
}

PortStatus Instance::attach_port(const std::string& bridge, const PortRequest& request) {
  const BridgeState& state = impl_->bridge(bridge);
  for (const auto& [dp, port] : impl_->ports)
    if (port.config.name == request.interface)
      throw Error("'{}' is already a port of bridge '{}'; detach it there first (shunt port detach {} {})",
                  request.interface, port.bridge_name, port.bridge_name, request.interface);
  impl_->check_places(request.queue_workers);
  const PortNo number = impl_->choose_number(state, request.number);
  if (request.may_wait && !request.create_tap && !Netlink{}.find(request.interface)) {
    const Port& port = impl_->add_waiting_port(state.id, number, impl_->free_dp(), request);
    impl_->watcher.await(port.config.dp, request.interface);
    impl_->store_port(port);
    impl_->tell(InstanceListener::PortEvent::kAdded, port);
    spdlog::info("port '{}' of bridge '{}' waits for its interface", request.interface, bridge);
    return impl_->status(port);
  }
  // Before anything of the interface is touched.
  impl_->await_features(features_of(request.vlan), fmt::format("VLANs of port {}", request.interface),
                        Switch::change_by_port(state.id, number));
  const PortMode mode = impl_->choose_mode(request, /*is_local=*/false);
  PortDevice device = PortDevice::prepare(
      {.interface = request.interface, .queues = request.queues, .create_tap = request.create_tap, .mode = mode});
  const Port& port = impl_->add_port(state, number, request, std::move(device));
  spdlog::info("port '{}' attached to bridge '{}' as {}", request.interface, bridge, number.value);
  return impl_->status(port);
}

void Instance::detach_port(const std::string& bridge, const std::string& interface) {
  Port& port = impl_->port(bridge, interface);
  if (port.config.number == kPortLocal)
    throw Error("'{}' is the bridge's own port; it goes with the bridge (shunt bridge del {})", interface, bridge);
  impl_->remove_port(port);
  spdlog::info("port '{}' detached from bridge '{}'", interface, bridge);
}

void Instance::place_queues(const std::string& bridge, const std::string& interface, const QueueWorkers& places) {
  Port& port = impl_->port(bridge, interface);
  impl_->check_places(places);
  if (port.attachment) impl_->workers.place(port.config.dp, places);
  port.request.queue_workers = places;
  impl_->store_port(port);
}

void Instance::set_port(const std::string& bridge, const std::string& interface, const VlanConfig& vlan,
                        const PortFlags& flags) {
  Port& port = impl_->port(bridge, interface);
  BridgePort config = with_flags(port.config, flags);
  config.vlan = vlan;
  const bool admin_changes = config.down != port.config.down;
  impl_->update(port, config);
  if (admin_changes) Impl::set_admin(port, !config.down);
}

std::vector<PortStatus> Instance::ports(const std::string& bridge) const {
  impl_->revalidator.collect_counters();
  return port_settings(bridge);
}

std::vector<PortStatus> Instance::port_settings(const std::string& bridge) const {
  const BridgeId id = impl_->bridge(bridge).id;
  std::vector<PortStatus> statuses;
  for (const auto& [dp, port] : impl_->ports)
    if (port.bridge == id) statuses.push_back(impl_->status(port));
  std::ranges::sort(statuses, {}, &PortStatus::number);
  return statuses;
}

shunt_port_stats Instance::stray_stats() const {
  shunt_port_stats stats = impl_->datapath.port_stats(DpPort{0});
  add_counters(stats, impl_->worker_counters(DpPort{0}));
  return stats;
}

}  // namespace shunt
