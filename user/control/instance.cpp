// SPDX-License-Identifier: Apache-2.0
#include "user/control/instance.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "user/base/error.h"
#include "user/control/instance_impl.h"

namespace shunt {

namespace {

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

// Rules go where packets come by: with one table, that is table 0.
void refuse_other_tables(std::span<const FlowMod> rules) {
  for (const FlowMod& rule : rules)
    if (rule.command == FlowMod::Command::kAdd && rule.table.value_or(0) != 0)
      throw Error(
          "table {}: no packet would ever reach this rule, for this version looks at table 0 only; leave out "
          "table={}",
          *rule.table, *rule.table);
}

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

void Instance::flow_mod(const std::string& bridge, std::span<const FlowMod> mods) {
  const BridgeId id = impl_->bridge(bridge).id;
  refuse_other_tables(mods);
  impl_->load_rule_features(mods);
  impl_->commit(impl_->sw.apply(id, mods, Clock::now()));
}

void Instance::flow_replace(const std::string& bridge, std::span<const FlowMod> rules) {
  const BridgeId id = impl_->bridge(bridge).id;
  refuse_other_tables(rules);
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

std::vector<FlowSnapshot> Instance::cache_list(std::size_t limit) { return impl_->revalidator.list(limit); }

CacheStats Instance::cache_stats() {
  CacheStats s;
  static_cast<RevalidatorStats&>(s) = impl_->revalidator.stats();
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
  if (::eventfd_read(impl_->features_wanted.get(), &ignored) == 0) {
    try {
      impl_->load_features(impl_->revalidator.wanted_features());
    } catch (const std::exception& e) {  // nobody asked who could be answered; the flows go on through userspace
      spdlog::error("no larger XDP program: {}", e.what());
    }
  }
  for (const LinkEvent& event : impl_->monitor.read()) impl_->on_link(event);
}

}  // namespace shunt
