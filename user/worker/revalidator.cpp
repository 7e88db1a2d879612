// SPDX-License-Identifier: Apache-2.0
#include "user/worker/revalidator.h"

#include <pthread.h>

#include <algorithm>

#include "user/worker/revalidator_impl.h"

namespace shunt {

Revalidator::Revalidator(const Switch& sw, FlowMaps& maps, const Options& options)
    : impl_{std::make_unique<Impl>(sw, maps, options)} {
  impl_->now = Clock::now();
  impl_->refresh_state();
}

Revalidator::~Revalidator() { stop(); }

RequestQueue& Revalidator::queue(unsigned worker) { return *impl_->queues.at(worker); }

Youth& Revalidator::youth() { return impl_->youth; }

void Revalidator::start() {
  if (impl_->thread.joinable()) return;
  impl_->stopping = false;
  impl_->now = Clock::now();
  impl_->write_macs();
  impl_->mailbox.open();
  impl_->table.writer().start();
  impl_->grace.start();
  impl_->thread = std::thread{[impl = impl_.get()] { impl->run(); }};
  ::pthread_setname_np(impl_->thread.native_handle(), "revalidator");
}

void Revalidator::stop() {
  if (!impl_->thread.joinable()) return;
  impl_->stopping = true;
  impl_->doorbell.ring();
  impl_->thread.join();
  impl_->grace.stop();
  impl_->mailbox.close();
  impl_->table.writer().stop();
}

void Revalidator::add_port(DpPort port, const PortOutput& output, bool inherited) {
  impl_->call([impl = impl_.get(), port, output, inherited] {
    if (inherited)
      impl->table.inherit_port(port);
    else
      impl->table.add_port(port);
    impl->table.update_output(port, output);
    impl->transmitted[port.value].packets = 0;
    impl->transmitted[port.value].bytes = 0;
  });
}

bool Revalidator::update_port(DpPort port, const PortOutput& output) {
  return impl_->call([impl = impl_.get(), port, output] {
    impl->table.collect(0, impl->table.slot_end(), impl->now, false);  // sent by the older outputs
    impl->table.update_output(port, output);
    impl->refresh_state();
    // The translations stand; what the kernel can do of them may not.
    bool changed = impl->rewrite_macs(std::nullopt, port);
    for (std::uint32_t slot = 0; slot < impl->table.slot_end(); ++slot) {
      const MegaflowTable::Flow* flow = impl->table.flow(slot);
      if (flow == nullptr) continue;
      const DpActions& actions = flow->translation->actions;
      const bool outputs_there = std::any_of(actions.begin(), actions.end(), [&](const shunt_action& action) {
        return action.type == SHUNT_ACT_OUTPUT && action.arg == port.value;
      });
      if (outputs_there) changed = impl->table.update(slot, impl->table.translation(slot), impl->now) || changed;
    }
    return impl->needs_grace_period(changed);
  });
}

bool Revalidator::remove_port(DpPort port) {
  return impl_->call([impl = impl_.get(), port] {
    const std::uint32_t before = impl->table.size();
    impl->table.remove_port(port);
    impl->table.update_output(port, PortOutput{});
    return impl->needs_grace_period(impl->table.size() != before);
  });
}

Revalidator::Inherited Revalidator::inherit(std::span<const FlowCredit> credited) {
  return impl_->call([impl = impl_.get(), credited] { return impl->inherit(credited); });
}

void Revalidator::gather_credits(const std::function<void()>& also, CreditSnapshot::Done done) {
  impl_->call([impl = impl_.get(), also, done = std::move(done)] {
    also();
    impl->credits.begin(impl->table, done);
  });
}

bool Revalidator::meets(const Change& change) {
  return impl_->call([impl = impl_.get(), change] { return impl->meets(change); });
}

bool Revalidator::revalidate(const Change& change) {
  return impl_->call([impl = impl_.get(), change] { return impl->revalidate(change); });
}

bool Revalidator::change_fdb(BridgeId bridge, std::function<std::vector<FdbKey>(Fdb&)> change) {
  return impl_->call([impl = impl_.get(), bridge, change = std::move(change)] {
    impl->refresh_state();
    const BridgeState* found = impl->state->find(bridge);
    if (found == nullptr) return false;
    bool changed = false;
    for (const FdbKey& key : change(*found->fdb)) {
      const MacChange what = found->fdb->lookup(key) ? MacChange::kSet : MacChange::kRemoved;
      changed = impl->mac_changed(*found, key, what) || changed;
    }
    return impl->needs_grace_period(changed);
  });
}

std::vector<FdbEntry> Revalidator::fdb_list(BridgeId bridge) {
  return impl_->call([impl = impl_.get(), bridge]() -> std::vector<FdbEntry> {
    impl->refresh_state();
    impl->collect_counters();
    impl->turn_round();
    const BridgeState* found = impl->state->find(bridge);
    if (found == nullptr) return {};
    return found->fdb->list();
  });
}

FdbChanges Revalidator::take_fdb_changes(BridgeId bridge) {
  return impl_->call([impl = impl_.get(), bridge]() -> FdbChanges {
    impl->refresh_state();
    const BridgeState* found = impl->state->find(bridge);
    if (found == nullptr) return {};
    return found->fdb->take_changes();
  });
}

bool Revalidator::flush() {
  return impl_->call([impl = impl_.get()] {
    const bool any = impl->table.size() > 0;
    impl->table.flush();
    return impl->needs_grace_period(any);
  });
}

void Revalidator::collect_counters() {
  impl_->call([impl = impl_.get()] { impl->collect_counters(); });
}

std::optional<FlowSnapshot> Revalidator::find(const FlowKey& key) {
  return impl_->call([impl = impl_.get(), key]() -> std::optional<FlowSnapshot> {
    const std::uint32_t slot = impl->table.find(key);
    if (slot == MegaflowTable::kNoSlot) return std::nullopt;
    impl->table.collect(slot, slot + 1, impl->now, false);
    return impl->snapshot(slot);
  });
}

std::optional<FlowSnapshot> Revalidator::find(std::uint64_t id) {
  return impl_->call([impl = impl_.get(), id]() -> std::optional<FlowSnapshot> {
    const std::uint32_t slot = slot_of(impl->table, id);
    if (slot == MegaflowTable::kNoSlot) return std::nullopt;
    impl->table.collect(slot, slot + 1, impl->now, false);
    return impl->snapshot(slot);
  });
}

std::vector<FlowSnapshot> Revalidator::top(std::size_t count, FlowOrder order) {
  return impl_->call([impl = impl_.get(), count, order] { return impl->top(count, order); });
}

std::vector<FlowSnapshot> Revalidator::list(std::size_t limit) {
  return impl_->call([impl = impl_.get(), limit] { return impl->list(limit); });
}

RevalidatorStats Revalidator::stats() {
  return impl_->call([impl = impl_.get()] {
    const MegaflowTable::Stats table = impl->table.stats();
    RevalidatorStats stats = impl->stats;
    stats.flows = table.flows;
    stats.flow_limit = impl->table.limit();
    stats.masks = table.masks;
    stats.groups = table.groups;
    stats.indexed_overflow = table.overflow;
    stats.microflow_units = table.microflow_units;
    stats.microflow_unit_limit = table.microflow_unit_limit;
    stats.writer_busy_nanoseconds = static_cast<std::uint64_t>(impl->table.writer().busy().count());
    stats.published = table.published;
    stats.rejected_full += table.refused;
    stats.evicted = table.evicted;
    stats.exact_fallback = table.exact_fallback;
    stats.requests_pending = static_cast<std::uint32_t>(impl->backlog.size());
    stats.requests_waiting = std::max(impl->waiting, impl->waited);
    stats.shares.resize(SHUNT_MAX_PORTS);
    for (std::uint32_t port = 1; port < SHUNT_MAX_PORTS; ++port) stats.shares[port] = impl->table.share(DpPort{port});
    return stats;
  });
}

PortTraffic Revalidator::transmitted(DpPort port) const noexcept {
  const Impl::Transmitted& figures = impl_->transmitted[port.value];
  return {figures.packets.load(std::memory_order_relaxed), figures.bytes.load(std::memory_order_relaxed)};
}

void Revalidator::add_transmitted(DpPort port, const PortTraffic& traffic) noexcept {
  Impl::Transmitted& figures = impl_->transmitted[port.value];
  figures.packets.fetch_add(traffic.packets, std::memory_order_relaxed);
  figures.bytes.fetch_add(traffic.bytes, std::memory_order_relaxed);
}

std::uint32_t Revalidator::wanted_features() const noexcept { return impl_->wanted.load(std::memory_order_relaxed); }

void Revalidator::set_features(std::uint32_t loaded) {
  impl_->call([impl = impl_.get(), loaded] {
    impl->loaded = loaded;
    impl->table.set_features(loaded);
  });
}

}  // namespace shunt
