// SPDX-License-Identifier: Apache-2.0
#include "user/control/instance.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "user/base/error.h"
#include "user/base/reasons.h"
#include "user/control/instance_impl.h"
#include "user/control/not_yet.h"
#include "user/control/rule_features.h"
#include "user/pipeline/rule_text.h"
#include "user/pipeline/rule_walk.h"

namespace shunt {

namespace {

// A variable that has another value as long as this lives.
template <typename T>
class ForScope {
 public:
  ForScope(T& variable, T value) : variable_{variable}, before_{std::exchange(variable, value)} {}
  ~ForScope() { variable_ = before_; }
  ForScope(const ForScope&) = delete;
  ForScope& operator=(const ForScope&) = delete;

 private:
  T& variable_;
  T before_;
};

Datapath::Options datapath_options(const InstanceOptions& o) {
  // What a new bridge's rule, `normal`, needs.
  return {.instance = o.name, .flow_limit = o.flow_limit, .features = SHUNT_FEATURE_BRIDGE};
}

unsigned worker_count(const InstanceOptions& o) { return WorkerPool::worker_count({o.cores, o.busy_poll}); }

WorkerPool::Context worker_context(const Switch& sw, Umem& umem, Datapath& datapath, Revalidator& revalidator,
                                   EventQueue& events, unsigned count) {
  WorkerPool::Context context{.sw = sw,
                              .umem = umem,
                              .order = datapath.order.span(),
                              .ports = datapath.ports.span(),
                              .queues = {},
                              .youth = revalidator.youth(),
                              .meters = datapath.meters.span(),
                              .hash = {datapath.config().hash_seed, datapath.config().hash_multiplier},
                              .events = &events};
  for (unsigned i = 0; i < count; ++i) context.queues.push_back(&revalidator.queue(i));
  return context;
}

}  // namespace

Instance::Impl::Impl(const InstanceOptions& o)
    : options{o},
      store{o.state_directory.empty() ? nullptr : std::make_unique<StateStore>(o.state_directory, o.name)},
      recorder{store ? std::make_unique<StateRecorder>(*store) : nullptr},
      datapath{datapath_options(o)},
      umem{o.umem_frames},
      maps{datapath},
      features_wanted{check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")},
      expiry{check(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create")},
      tick{check(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create")},
      events{worker_count(o) + 1},
      revalidator{sw,
                  maps,
                  {.workers = worker_count(o),
                   .idle_timeout = o.idle_timeout,
                   .on_features_wanted = [fd = features_wanted.get()] { ::eventfd_write(fd, 1); },
                   .events = &events}},
      workers{{o.cores, o.busy_poll}, worker_context(sw, umem, datapath, revalidator, events, worker_count(o))},
      captures{datapath, workers, worker_count(o)},
      watchers{sw, events},
      epoll{check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")} {
  if (!o.counter_file.empty()) saver.emplace(o.counter_file);
  datapath.on_features([this](std::uint32_t features) { revalidator.set_features(features); });
  sw.before_publishing(
      [this](const Change& change) { await_features(needed_features, needed_because, change); });
  sw.observe_rules(&watchers);
  sw.on_meter([this](const Meter& meter) {
    // What flows of an earlier daemon run over goes on where it is the same.
    if (!started && datapath.inherited() && is_as_configured(datapath.meters.span(), meter)) return;
    write_meter(datapath.meters.span(), meter);
  });
  for (const int fd : {monitor.fd(), features_wanted.get(), datapath.loading_fd(), expiry.get(), tick.get(),
                       events.fd()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    check(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }
}

Instance::Impl::~Impl() {
  save_counters_at_end();
  close_state();
  if (datapath.keeps())
    for (auto& [dp, port] : ports)
      if (port.attachment) port.attachment->keep();
  ports.clear();
  if (datapath.keeps() && lane) lane->keep();
  lane.reset();
  workers.stop();
  revalidator.stop();
}

void Instance::Impl::commit(const Change& change) {
  if (batching) return merge(gathered, Change{change});
  put_in_force(change);
}

void Instance::Impl::end_batch() {
  batching = false;
  const bool waits_for_packets = std::exchange(packets_sent, false);
  const Change all = std::exchange(gathered, Change{});
  put_in_force(all);
  if (all.empty() && waits_for_packets) workers.quiesce();
}

void Instance::Impl::put_in_force(const Change& change) {
  arm_expiry();
  if (change.empty()) return;
  workers.quiesce();
  settle(revalidator.revalidate(change));
  sw.collect(change.version);
  const auto wants_to_be_told = [](const RemovedRule& removed) {
    return (removed.rule->flags & kSendFlowRemoved) != 0;
  };
  if (!listener.on_flow_removed || std::ranges::none_of(change.removed, wants_to_be_told)) return;
  revalidator.collect_counters();  // no program counts for them any more: their counters are final
  for (const RemovedRule& removed : change.removed)
    if (wants_to_be_told(removed)) listener.on_flow_removed(removed);
}

// No more often than ten times a second: rules that end one after the other end in batches.
void Instance::Impl::arm_expiry() {
  constexpr std::chrono::milliseconds kSoonest{100};
  itimerspec when{};
  if (const auto next = sw.next_expiry()) {
    const auto wait = std::max<Clock::duration>(*next - Clock::now(), kSoonest);
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(wait);
    when.it_value.tv_sec = whole.count();
    when.it_value.tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(wait - whole).count();
  }
  check(::timerfd_settime(expiry.get(), 0, &when, nullptr), "timerfd_settime");
}

void merge(Change& into, Change&& more) {
  if (more.version > into.version) {
    // The bridge that both are of, or every bridge.
    if (into.empty())
      into.bridge = more.bridge;
    else if (!more.empty() && into.bridge != more.bridge)
      into.bridge.reset();
    into.version = more.version;
  }
  into.all = into.all || more.all;
  into.tags |= more.tags;
  into.rules.insert(into.rules.end(), more.rules.begin(), more.rules.end());
  into.all = into.all || into.rules.size() > Change::kMaxMatches;
  if (into.all) into.rules.clear();
  into.removed.insert(into.removed.end(), std::make_move_iterator(more.removed.begin()),
                      std::make_move_iterator(more.removed.end()));
}

void Instance::Impl::make(std::uint32_t features, const std::string& because, const std::function<Change()>& change) {
  needed_because = because;
  const Change made = [&] {
    const ForScope needed{needed_features, features};
    return change();
  }();
  datapath.request_features(features, because);
  commit(made);
}

void Instance::Impl::make_rules(std::span<const FlowMod> rules, const std::function<Change()>& change) {
  std::uint32_t features = 0;
  std::string because;
  for (const FlowMod& rule : rules) {
    const std::uint32_t its = features_of(rule);
    if (because.empty() && (its & ~datapath.features()) != 0)
      because = fmt::format("rule '{}'", format_flow_spec(rule));
    features |= its;
  }
  make(features, because, change);
}

// Cached flows that the change alters would all leave the kernel until the program that they need then is loaded, and
// userspace has a budget: they go on as before, and the change is made when it is there. Where no flow is altered
// nobody waits: until then userspace answers those that need it, as the rules have it.
void Instance::Impl::await_features(std::uint32_t features, const std::string& because, const Change& change) {
  if (may_await(features) && !change.empty() && revalidator.meets(change)) await_features(features, because);
}

void Instance::Impl::await_features(std::uint32_t features, const std::string& because) {
  if (!may_await(features)) return;
  datapath.request_features(features, because);
  awaited_features |= features & datapath.pending_features();
  throw NotYet{};
}

// What could not be loaded is asked for again by each change, and not waited for until it was.
bool Instance::Impl::may_await(std::uint32_t features) const {
  return !insists && (features & ~datapath.features() & ~datapath.failed_features()) != 0;
}

void Instance::Impl::tell_awaited() {
  const std::uint32_t before = std::exchange(awaited_features, awaited_features & datapath.pending_features());
  if (before != awaited_features && awaited_came) awaited_came();
}

void Instance::Impl::insist(const std::function<void()>& changes) {
  const ForScope now{insists, true};
  changes();
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
    const PortMode mode = impl_->choose_mode(request, /*is_local=*/true);
    impl_->add_port(impl_->bridge(name), kPortLocal, request,
                    PortDevice::prepare_local(impl_->options.name, name, mode));
  } catch (...) {
    impl_->commit(impl_->sw.del_bridge(name));
    throw;
  }
  spdlog::info("bridge '{}' added (id {})", name, id.value);
  if (impl_->listener.on_bridge) impl_->listener.on_bridge(name, true);
}

void Instance::del_bridge(const std::string& name) {
  const BridgeId id = impl_->bridge(name).id;
  if (impl_->listener.on_bridge) impl_->listener.on_bridge(name, false);
  std::vector<DpPort> members;
  for (const auto& [dp, port] : impl_->ports)
    if (port.bridge == id) members.push_back(dp);
  for (const DpPort dp : members) impl_->remove_port(impl_->ports.at(dp));
  impl_->packet_ins.erase(id);
  impl_->openflow.erase(id);
  impl_->commit(impl_->sw.del_bridge(name));
  spdlog::info("bridge '{}' deleted", name);
}

BridgeId Instance::bridge_id(const std::string& name) const { return impl_->bridge(name).id; }

std::vector<std::string> Instance::bridges() const {
  std::vector<std::string> names;
  for (const SwitchStateRef state = impl_->sw.state(); const auto& bridge : state->bridges)
    names.push_back(bridge->name);
  std::ranges::sort(names);
  return names;
}

void Instance::batch(const std::function<void()>& work) {
  if (impl_->batching) return work();
  impl_->batching = true;
  try {
    work();
  } catch (...) {
    impl_->end_batch();
    throw;
  }
  impl_->end_batch();
}

void Instance::with_features(std::uint32_t features, const std::function<void()>& work) {
  Change every;
  every.all = true;
  impl_->await_features(features, "several changes at once", every);
  impl_->insist(work);
}

void Instance::on_program(std::function<void()> tell) { impl_->awaited_came = std::move(tell); }

void Instance::wait_for_program() {
  try {
    impl_->datapath.require_features(impl_->datapath.pending_features());
  } catch (const std::exception& e) {
    spdlog::error("no larger XDP program: {}", e.what());
  }
}

void Instance::flow_mod(const std::string& bridge, std::span<const FlowMod> mods) {
  const BridgeId id = impl_->bridge(bridge).id;
  impl_->make_rules(mods, [&] { return impl_->sw.apply(id, mods, Clock::now()); });
}

void Instance::flow_replace(const std::string& bridge, std::span<const FlowMod> rules) {
  const BridgeId id = impl_->bridge(bridge).id;
  impl_->make_rules(rules, [&] { return impl_->sw.replace(id, rules, Clock::now()); });
}

std::vector<RuleRef> Instance::flow_list(const std::string& bridge, const FlowMod& filter) {
  const BridgeId id = impl_->bridge(bridge).id;
  impl_->revalidator.collect_counters();
  return impl_->sw.list(id, filter);
}

InstanceApi::RuleSource Instance::flow_walk(const std::string& bridge, const FlowMod& filter) {
  const BridgeId id = impl_->bridge(bridge).id;
  impl_->revalidator.collect_counters();
  impl_->sw.settle_counters();
  return [walk = std::make_shared<RuleWalk>(impl_->sw, id, filter)](std::vector<RuleRef>& rules) {
    return walk->next(rules);
  };
}

std::map<std::string, PortNo> Instance::port_names(const std::string& bridge) const {
  std::map<std::string, PortNo> names;
  for (const BridgePort& port : impl_->bridge(bridge).ports) names.emplace(port.name, port.number);
  return names;
}

std::vector<FlowSnapshot> Instance::cache_list(std::size_t limit) { return impl_->revalidator.list(limit); }

void Instance::cache_flush() { impl_->settle(impl_->revalidator.flush()); }

// When it returns no packet is under way any more that was decided by the entries of before.
void Instance::Impl::change_fdb(BridgeId id, std::function<std::vector<FdbKey>(Fdb&)> change) {
  settle(revalidator.change_fdb(id, std::move(change)));
  workers.quiesce();
  store_macs();
}

std::vector<FdbEntry> Instance::fdb_list(const std::string& bridge) {
  return impl_->revalidator.fdb_list(impl_->bridge(bridge).id);
}

void Instance::fdb_add(const std::string& bridge, FdbKey key, const std::string& interface) {
  const PortNo number = impl_->port(bridge, interface).config.number;
  impl_->change_fdb(impl_->bridge(bridge).id, [key, number](Fdb& fdb) {
    fdb.add_static(key, number);
    return std::vector{key};
  });
}

void Instance::fdb_del(const std::string& bridge, FdbKey key) {
  impl_->change_fdb(impl_->bridge(bridge).id, [key, bridge](Fdb& fdb) {
    if (!fdb.remove(key))
      throw Error("bridge '{}' has no entry for {} in VLAN {}", bridge, format_mac(key.mac), key.vlan.value);
    return std::vector{key};
  });
}

void Instance::fdb_flush(const std::string& bridge, std::optional<std::string> interface) {
  std::optional<PortNo> number;
  if (interface) number = impl_->port(bridge, *interface).config.number;
  impl_->change_fdb(impl_->bridge(bridge).id, [number](Fdb& fdb) { return fdb.flush(number); });
}

void Instance::fdb_set(const std::string& bridge, std::optional<std::chrono::seconds> ageing,
                       std::optional<std::size_t> limit) {
  impl_->change_fdb(impl_->bridge(bridge).id, [ageing, limit](Fdb& fdb) {
    if (ageing) fdb.set_ageing(*ageing);
    return limit ? fdb.set_limit(*limit) : std::vector<FdbKey>{};
  });
  if (!impl_->recorder) return;
  const FdbSettings settings = fdb_settings(bridge);
  impl_->recorder->set_fdb(impl_->bridge(bridge).id, settings.limit, settings.ageing);
}

FdbSettings Instance::fdb_settings(const std::string& bridge) {
  FdbSettings settings;
  impl_->revalidator.change_fdb(impl_->bridge(bridge).id, [&settings](Fdb& fdb) {
    settings = {fdb.size(), fdb.limit(), fdb.ageing(), fdb.fullest_port()};
    return std::vector<FdbKey>{};
  });
  return settings;
}

// What packets, time and the kernel change.
void Instance::Impl::follow_events() {
  for (const LinkEvent& event : monitor.read()) on_link(event);
  try {
    take_events();
    std::uint64_t expirations = 0;
    if (::read(expiry.get(), &expirations, sizeof expirations) > 0) expire_rules();
    if (::read(tick.get(), &expirations, sizeof expirations) > 0) on_tick();
  } catch (const std::exception& e) {
    spdlog::error("rules that packets and time change: {}", e.what());
  }
}

int Instance::event_fd() const { return impl_->epoll.get(); }

void Instance::handle_events() {
  eventfd_t ignored = 0;
  if (::eventfd_read(impl_->features_wanted.get(), &ignored) == 0)
    impl_->datapath.request_features(impl_->revalidator.wanted_features(), "a flow that packets made");
  impl_->datapath.go_on_loading();
  impl_->tell_awaited();
  impl_->insist([this] { impl_->follow_events(); });
  impl_->submit_changes();
}

}  // namespace shunt
