// SPDX-License-Identifier: Apache-2.0
// What of an Instance outlives a daemon: its ports and flows in the kernel, its counters in a file.
#include <spdlog/spdlog.h>
#include <sys/timerfd.h>

#include <exception>
#include <filesystem>
#include <map>
#include <utility>

#include "user/base/error.h"
#include "user/control/instance_impl.h"

namespace shunt {
namespace {

constexpr std::chrono::seconds kLongestSave{60};

}  // namespace

void Instance::start() { impl_->start(); }
void Instance::keep_forwarding(bool keep) { impl_->datapath.keep(keep); }

void Instance::wait_for_threads() {
  impl_->workers.quiesce();
  (void)impl_->revalidator.stats();
}

// Threads last: what they would do to half of a configuration is not to be thought of.
void Instance::Impl::start() {
  restore();
  revalidator.set_features(datapath.features());
  attach_restored();
  if (datapath.inherited()) {
    inherit(restore_counters());
  } else if (saver) {
    std::error_code ignored;
    std::filesystem::remove(saver->path(), ignored);  // of flows that are no more
  }
  datapath.drop_inherited_links();
  if (!lane) LaneDevice::remove_left_behind(options.name);
  started = true;
  insists = false;
  revalidator.start();
  workers.start();
  const itimerspec each_second{{1, 0}, {1, 0}};
  check(::timerfd_settime(tick.get(), 0, &each_second, nullptr), "timerfd_settime");
}

void Instance::Impl::inherit(std::span<const FlowCredit> credited) {
  for (std::uint32_t dp = 0; dp < SHUNT_MAX_PORTS; ++dp) {
    const auto port = ports.find(DpPort{dp});
    const bool attached = port != ports.end() && port->second.attachment;
    if (dp == SHUNT_LANE && lane) continue;
    if (datapath.ports[dp].ifindex != 0 && !attached) datapath.clear_port(DpPort{dp});
  }
  const Revalidator::Inherited result = revalidator.inherit(credited);
  if (result.changed > 0) Datapath::wait_grace_period();
  spdlog::info("{} cached flows taken over, {} of them changed; {} were not whole", result.flows, result.changed,
               result.broken);
}

// The port's flows and counters are an earlier daemon's. (Not any more once this one has had a port there.)
bool Instance::Impl::is_inherited(DpPort dp) const {
  return !started && datapath.inherited() && datapath.ports[dp.value].ifindex != 0;
}

PortCounters Instance::Impl::worker_counters(DpPort dp) const {
  PortCounters counters = workers.counters(dp);
  if (const auto found = earlier.find(dp); found != earlier.end()) {
    counters.tx_packets += found->second.tx_packets;
    counters.tx_bytes += found->second.tx_bytes;
    for (std::size_t reason = 0; reason < SHUNT_DROP_COUNTERS; ++reason)
      counters.drops[reason] += found->second.drops[reason];
  }
  return counters;
}

// Begins it: what flows have counted is gathered, and all of it written, while this thread goes on.
void Instance::Impl::save_counters() {
  const auto counters = std::make_shared<SavedCounters>();
  saver->begin(Clock::now());
  try {
    revalidator.gather_credits(
        [this, &counters = *counters] {
          for (const SwitchStateRef state = sw.state(); const auto& bridge : state->bridges)
            for_each_counter(sw, *bridge, [&counters](const CounterName& name, const FlowCounters& value) {
              if (value.packets() != 0)
                counters.values.push_back(
                    {name, value.packets(), value.bytes(), value.used().time_since_epoch().count()});
            });
          counters.ports.push_back({0, {}, worker_counters(DpPort{0})});
          for (const auto& [dp, port] : ports)
            counters.ports.push_back({dp.value, revalidator.transmitted(dp), worker_counters(dp)});
        },
        [saver = &*saver, counters](std::vector<FlowCredit> flows) {
          counters->flows = std::move(flows);
          saver->submit(std::move(*counters));
        });
  } catch (...) {
    saver->abandon();
    throw;
  }
}

// The last save: all that was counted is in it.
void Instance::Impl::save_counters_at_end() {
  if (!saver || !started) return;
  saver->wait(kLongestSave);
  revalidator.collect_counters();
  save_counters();
  saver->wait(kLongestSave);
}

std::vector<FlowCredit> Instance::Impl::restore_counters() {
  if (!saver) return {};
  std::optional<SavedCounters> counters = read_saved_counters(saver->path());
  if (!counters) return {};
  std::map<CounterName, const SavedCounters::Value*> by_name;
  for (const SavedCounters::Value& value : counters->values) by_name.emplace(value.name, &value);
  for (const SwitchStateRef state = sw.state(); const auto& bridge : state->bridges)
    for_each_counter(sw, *bridge, [&by_name](const CounterName& name, const FlowCounters& fresh) {
      if (const auto found = by_name.find(name); found != by_name.end())
        fresh.add(found->second->packets, found->second->bytes, TimePoint{TimePoint::duration{found->second->used}});
    });
  for (const SavedCounters::Port& port : counters->ports) {
    const DpPort dp{static_cast<std::uint32_t>(port.dp)};
    if (dp.value != 0 && !ports.contains(dp)) continue;
    revalidator.add_transmitted(dp, port.transmitted);
    earlier[dp] = port.workers;
  }
  saver->holds(*counters);
  return std::move(counters->flows);
}

}  // namespace shunt
