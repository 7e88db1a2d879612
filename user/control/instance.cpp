// SPDX-License-Identifier: Apache-2.0
#include "user/control/instance.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "user/base/error.h"
#include "user/control/port_attachment.h"
#include "user/net/link_monitor.h"
#include "user/pipeline/switch.h"
#include "user/ports/port_watcher.h"
#include "user/worker/flow_maps.h"

namespace shunt {

namespace {

// A port as configured. `attachment` is empty while its interface is gone.
struct Port {
  BridgeId bridge;
  std::string bridge_name;
  BridgePort config;
  PortRequest request;
  std::unique_ptr<PortAttachment> attachment;
};

// What the program must be able to do for the flows that such a rule will make: loaded before the rule is in force, so
// that its first flows find it. What is missed here is asked for by the flow itself (Revalidator::wanted_features).
std::uint32_t features_of_rule(const FlowMod& rule) {
  constexpr std::uint32_t kHeaderEdit = SHUNT_FEATURE_EDITS | SHUNT_FEATURE_L3 | SHUNT_FEATURE_L4;
  std::uint32_t features = features_of(rule.match.mask, Encoded{});
  for (const Action& action : rule.actions) {
    if (const auto* set = std::get_if<SetFieldAction>(&action))
      features |= kHeaderEdit | features_of(set->set.mask, Encoded{});
    else if (std::holds_alternative<MoveAction>(action) || std::holds_alternative<DecTtlAction>(action))
      features |= kHeaderEdit;
    else if (!std::holds_alternative<OutputAction>(action) && !std::holds_alternative<DropAction>(action))
      features |= SHUNT_FEATURE_EDITS;
  }
  return features;
}

std::string format_mac(MacAddr mac) { return fmt::format("{:02x}", fmt::join(mac.bytes, ":")); }

void add_counters(shunt_port_stats& sum, const PortCounters& worker) {
  for (std::size_t i = 0; i < SHUNT_DROP_COUNTERS; ++i) sum.drops[i] += worker.drops[i];
}

}  // namespace

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

namespace {

Datapath::Options datapath_options(const InstanceOptions& o) {
  return {.instance = o.name, .flow_limit = o.flow_limit, .features = 0};
}

unsigned worker_count(const InstanceOptions& o) { return WorkerPool::worker_count({o.cores, o.busy_poll}); }

WorkerPool::Context worker_context(const Switch& sw, Umem& umem, Datapath& datapath, Revalidator& revalidator,
                                   unsigned count) {
  WorkerPool::Context context{
      .sw = sw, .umem = umem, .order = datapath.order.span(), .ports = datapath.ports.span(), .queues = {}};
  for (unsigned i = 0; i < count; ++i) context.queues.push_back(&revalidator.queue(i));
  return context;
}

}  // namespace

Instance::Impl::Impl(const InstanceOptions& o)
    : options{o},
      datapath{datapath_options(o)},
      umem{o.umem_frames},
      maps{datapath},
      features_wanted{check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")},
      revalidator{sw,
                  maps,
                  {.workers = worker_count(o),
                   .idle_timeout = o.idle_timeout,
                   .on_features_wanted = [fd = features_wanted.get()] { ::eventfd_write(fd, 1); }}},
      workers{{o.cores, o.busy_poll}, worker_context(sw, umem, datapath, revalidator, worker_count(o))},
      epoll{check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")} {
  for (const int fd : {monitor.fd(), features_wanted.get()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    check(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }
  revalidator.set_features(datapath.features());
  revalidator.start();
  workers.start();
}

Instance::Impl::~Impl() {
  ports.clear();
  workers.stop();
  revalidator.stop();
}

void Instance::Impl::commit(const Change& change) {
  if (change.empty()) return;
  workers.quiesce();
  settle(revalidator.revalidate(change));
  sw.collect(change.version);
}

void Instance::Impl::load_features(std::uint32_t wanted) {
  wanted |= datapath.features();
  if (wanted == datapath.features()) return;
  datapath.require_features(wanted);
  revalidator.set_features(datapath.features());
}

void Instance::Impl::load_rule_features(std::span<const FlowMod> rules) {
  std::uint32_t wanted = 0;
  for (const FlowMod& rule : rules) wanted |= features_of_rule(rule);
  load_features(wanted);
}

const BridgeState& Instance::Impl::bridge(const std::string& name) const {
  const BridgeState* found = sw.find_bridge(name);
  if (found == nullptr) throw Error("no bridge '{}'; `shunt bridge list` shows those there are", name);
  return *found;
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

Port& Instance::Impl::add_port(const BridgeState& bridge, PortNo number, const PortRequest& request,
                               PortDevice device) {
  const DpPort dp = free_dp();
  datapath.reset_port_stats(dp);
  workers.reset_counters(dp);
  revalidator.add_port(dp, {device.ifindex(), device.xdp_transmit()});
  try {
    Port port{.bridge = bridge.id,
              .bridge_name = bridge.name,
              .config = {.number = number, .dp = dp, .name = device.link().name, .vlan = request.vlan},
              .request = request,
              .attachment = nullptr};
    if (number == kPortLocal) port.config.name = bridge.name;
    port.request.create_tap = port.request.force = false;  // for when the interface comes back
    port.attachment = std::make_unique<PortAttachment>(context(), dp, std::move(device), request.mode, request.force);
    const Link& link = port.attachment->device().link();
    port.config.up = is_usable(link);
    revalidator.set_features(datapath.features());
    if (request.vlan.is_access()) load_features(SHUNT_FEATURE_EDITS);
    const Change change = sw.add_port(bridge.id, port.config);
    Port& added = ports.emplace(dp, std::move(port)).first->second;
    settle(revalidator.update_port(dp, added.attachment->output()));
    commit(change);
    watcher.adopt(dp, link);
    return added;
  } catch (...) {
    revalidator.remove_port(dp);
    throw;
  }
}

void Instance::Impl::remove_port(Port& port) {
  const DpPort dp = port.config.dp;
  const BridgeId id = port.bridge;
  const PortNo number = port.config.number;
  watcher.forget(dp);
  port.attachment.reset();
  commit(sw.remove_port(id, number));
  settle(revalidator.change_fdb(id, [number](Fdb& fdb) { return fdb.remove_port(number); }));
  settle(revalidator.remove_port(dp));
  ports.erase(dp);
}

void Instance::Impl::update(Port& port, const BridgePort& config) {
  if (config.vlan.is_access()) load_features(SHUNT_FEATURE_EDITS);
  const Change change = sw.update_port(port.bridge, config);
  port.config = config;
  commit(change);
}

void Instance::Impl::on_link(const LinkEvent& event) {
  for (const PortAction& action : watcher.on_event(event)) {
    try {
      carry_out(action);
    } catch (const std::exception& e) {
      spdlog::error("port {} ({}): {}", action.port.value, action.link.name, e.what());
    }
  }
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
  PortDevice device = PortDevice::prepare({.interface = link.name,
                                           .queues = port.request.queues,
                                           .create_tap = false,
                                           .generic = port.request.mode == XdpMode::kGeneric});
  port.attachment = std::make_unique<PortAttachment>(context(), port.config.dp, std::move(device), port.request.mode,
                                                     /*force=*/false);
  const Link now = port.attachment->device().link();
  watcher.adopt(port.config.dp, now);
  revalidator.set_features(datapath.features());
  settle(revalidator.update_port(port.config.dp, port.attachment->output()));
  BridgePort config = port.config;
  config.up = is_usable(now);
  update(port, config);
  spdlog::info("port '{}' of bridge '{}': its interface is back", config.name, port.bridge_name);
}

PortStatus Instance::Impl::status(const Port& port) const {
  PortStatus s;
  s.bridge = port.bridge_name;
  s.name = port.config.name;
  s.number = port.config.number;
  s.dp = port.config.dp;
  s.up = port.config.up;
  s.vlan = port.config.vlan;
  s.mode = port.request.mode;
  if (port.attachment) {
    const PortDevice& device = port.attachment->device();
    s.ifindex = device.ifindex();
    s.kind = to_string(device.kind());
    s.mac = format_mac(device.link().mac);
    s.zero_copy = port.attachment->zero_copy();
    s.queues = device.queues();
    s.mtu = datapath.ports[s.dp.value].mtu;
    s.xdp_transmit = device.xdp_transmit();
    s.changes = device.changes();
  }
  s.stats = datapath.port_stats(s.dp);
  const PortCounters worker = workers.counters(s.dp);
  add_counters(s.stats, worker);
  const PortTraffic kernel = revalidator.transmitted(s.dp);
  s.tx_packets = kernel.packets + worker.tx_packets;
  s.tx_bytes = kernel.bytes + worker.tx_bytes;
  return s;
}

Instance::Instance(const InstanceOptions& options) : impl_{std::make_unique<Impl>(options)} {}
Instance::~Instance() = default;

void Instance::add_bridge(const std::string& name) {
  check_link_name(name);
  const BridgeId id = impl_->sw.add_bridge(name);
  try {
    PortRequest request;
    request.interface = name;
    impl_->add_port(impl_->bridge(name), kPortLocal, request, PortDevice::prepare_local(impl_->options.name, name));
  } catch (...) {
    impl_->commit(impl_->sw.del_bridge(name));
    throw;
  }
  spdlog::info("bridge '{}' added (id {})", name, id.value);
}

void Instance::del_bridge(const std::string& name) {
  const BridgeId id = impl_->bridge(name).id;
  std::vector<DpPort> members;
  for (const auto& [dp, port] : impl_->ports)
    if (port.bridge == id) members.push_back(dp);
  for (const DpPort dp : members) impl_->remove_port(impl_->ports.at(dp));
  impl_->commit(impl_->sw.del_bridge(name));
  spdlog::info("bridge '{}' deleted", name);
}

std::vector<std::string> Instance::bridges() const {
  std::vector<std::string> names;
  for (const auto& bridge : impl_->sw.state()->bridges) names.push_back(bridge->name);
  std::ranges::sort(names);
  return names;
}

PortStatus Instance::attach_port(const std::string& bridge, const PortRequest& request) {
  const BridgeState& state = impl_->bridge(bridge);
  for (const auto& [dp, port] : impl_->ports)
    if (port.config.name == request.interface)
      throw Error("'{}' is already a port of bridge '{}'; detach it there first (shunt port detach {} {})",
                  request.interface, port.bridge_name, port.bridge_name, request.interface);
  const PortNo number = impl_->choose_number(state, request.number);
  PortDevice device = PortDevice::prepare({.interface = request.interface,
                                           .queues = request.queues,
                                           .create_tap = request.create_tap,
                                           .generic = request.mode == XdpMode::kGeneric});
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

void Instance::set_port(const std::string& bridge, const std::string& interface, const VlanConfig& vlan) {
  Port& port = impl_->port(bridge, interface);
  BridgePort config = port.config;
  config.vlan = vlan;
  impl_->update(port, config);
}

std::vector<PortStatus> Instance::ports(const std::string& bridge) const {
  const BridgeId id = impl_->bridge(bridge).id;
  impl_->revalidator.collect_counters();
  std::vector<PortStatus> statuses;
  for (const auto& [dp, port] : impl_->ports)
    if (port.bridge == id) statuses.push_back(impl_->status(port));
  std::ranges::sort(statuses, {}, &PortStatus::number);
  return statuses;
}

shunt_port_stats Instance::stray_stats() const {
  shunt_port_stats stats = impl_->datapath.port_stats(DpPort{0});
  add_counters(stats, impl_->workers.counters(DpPort{0}));
  return stats;
}

void Instance::flow_mod(const std::string& bridge, std::span<const FlowMod> mods) {
  const BridgeId id = impl_->bridge(bridge).id;
  impl_->load_rule_features(mods);
  impl_->commit(impl_->sw.apply(id, mods, Clock::now()));
}

void Instance::flow_replace(const std::string& bridge, std::span<const FlowMod> rules) {
  const BridgeId id = impl_->bridge(bridge).id;
  impl_->load_rule_features(rules);
  impl_->commit(impl_->sw.replace(id, rules, Clock::now()));
}

std::vector<RuleRef> Instance::flow_list(const std::string& bridge, const FlowMod& filter) {
  const BridgeId id = impl_->bridge(bridge).id;
  impl_->revalidator.collect_counters();
  return impl_->sw.list(id, filter);
}

std::map<std::string, PortNo> Instance::port_names(const std::string& bridge) const {
  std::map<std::string, PortNo> names;
  for (const BridgePort& port : impl_->bridge(bridge).ports) names.emplace(port.name, port.number);
  return names;
}

std::vector<CachedFlow> Instance::cache_list(std::size_t limit) {
  std::vector<CachedFlow> flows;
  for (FlowSnapshot& f : impl_->revalidator.list(limit)) {
    flows.push_back({.key = f.key,
                     .mask = f.mask,
                     .actions = std::move(f.actions),
                     .in_kernel = f.in_kernel,
                     .reason = f.reason,
                     .packets = f.packets,
                     .bytes = f.bytes,
                     .age = f.age,
                     .idle = f.idle,
                     .cookies = std::move(f.cookies)});
  }
  return flows;
}

CacheStats Instance::cache_stats() {
  CacheStats s;
  const RevalidatorStats r = impl_->revalidator.stats();
  s.flows = r.flows;
  s.flow_limit = r.flow_limit;
  s.masks = r.masks;
  s.groups = r.groups;
  s.indexed_overflow = r.indexed_overflow;
  s.published = r.published;
  s.rejected_stale = r.rejected_stale;
  s.evicted = r.evicted;
  s.expired = r.expired;
  s.revalidated = r.revalidated;
  s.exact_fallback = r.exact_fallback;
  const WorkerStats w = impl_->workers.stats();
  s.upcalls_handled = w.upcalls;
  s.upcall_nanoseconds = w.nanoseconds;
  s.umem_frames = impl_->umem.frame_count();
  s.umem_free = impl_->umem.census().pool;
  s.features = impl_->datapath.features();
  static constexpr const char* kReasons[] = {
#define SHUNT_REASON_TEXT(name, text, help) text,
      SHUNT_UPCALL_REASONS(SHUNT_REASON_TEXT)
#undef SHUNT_REASON_TEXT
  };
  for (const char* reason : kReasons) s.upcalls[reason] = 0;
  for (const auto& [dp, port] : impl_->ports) {
    const shunt_port_stats stats = impl_->datapath.port_stats(dp);
    s.exact_hits += stats.exact_hits;
    s.megaflow_hits += stats.megaflow_hits;
    s.misses += stats.misses;
    s.lookups += stats.lookups;
    for (std::size_t i = 0; i < std::size(kReasons); ++i) s.upcalls[kReasons[i]] += stats.upcalls[i];
  }
  return s;
}

void Instance::cache_flush() { impl_->settle(impl_->revalidator.flush()); }

std::vector<FdbEntry> Instance::fdb_list(const std::string& bridge) {
  return impl_->revalidator.fdb_list(impl_->bridge(bridge).id);
}

void Instance::fdb_add(const std::string& bridge, FdbKey key, const std::string& interface) {
  const PortNo number = impl_->port(bridge, interface).config.number;
  impl_->settle(impl_->revalidator.change_fdb(impl_->bridge(bridge).id, [key, number](Fdb& fdb) {
    fdb.add_static(key, number);
    return std::vector{key};
  }));
}

void Instance::fdb_del(const std::string& bridge, FdbKey key) {
  impl_->settle(impl_->revalidator.change_fdb(impl_->bridge(bridge).id, [key, bridge](Fdb& fdb) {
    if (!fdb.remove(key))
      throw Error("bridge '{}' has no entry for {} in VLAN {}", bridge, format_mac(key.mac), key.vlan.value);
    return std::vector{key};
  }));
}

void Instance::fdb_flush(const std::string& bridge, std::optional<std::string> interface) {
  std::optional<PortNo> number;
  if (interface) number = impl_->port(bridge, *interface).config.number;
  impl_->settle(
      impl_->revalidator.change_fdb(impl_->bridge(bridge).id, [number](Fdb& fdb) { return fdb.flush(number); }));
}

void Instance::fdb_set(const std::string& bridge, std::optional<std::chrono::seconds> ageing,
                       std::optional<std::size_t> limit) {
  impl_->settle(impl_->revalidator.change_fdb(impl_->bridge(bridge).id, [ageing, limit](Fdb& fdb) {
    if (ageing) fdb.set_ageing(*ageing);
    return limit ? fdb.set_limit(*limit) : std::vector<FdbKey>{};
  }));
}

FdbSettings Instance::fdb_settings(const std::string& bridge) {
  FdbSettings settings;
  impl_->revalidator.change_fdb(impl_->bridge(bridge).id, [&settings](Fdb& fdb) {
    settings = {fdb.size(), fdb.limit(), fdb.ageing()};
    return std::vector<FdbKey>{};
  });
  return settings;
}

int Instance::event_fd() const { return impl_->epoll.get(); }

void Instance::handle_events() {
  eventfd_t ignored = 0;
  if (::eventfd_read(impl_->features_wanted.get(), &ignored) == 0)
    impl_->load_features(impl_->revalidator.wanted_features());
  for (const LinkEvent& event : impl_->monitor.read()) impl_->on_link(event);
}

}  // namespace shunt
