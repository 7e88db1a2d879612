// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <unordered_map>

#include "user/worker/affected.h"
#include "user/worker/credit.h"
#include "user/worker/revalidator_impl.h"

namespace shunt {
namespace {

using std::chrono::milliseconds;

// Requests that are served in a row, and flows that a sweep looks at before requests are served again.
constexpr std::size_t kRequestBatch = 256;
constexpr std::uint32_t kSlice = 2048;
// A walk that has found a port's flows altered (Extent), with more than so many more to go, ends them all at once: their
// packets ask again, for new flows that are often fewer. Of void flows so many are cleared before requests are served
// again.
constexpr std::uint32_t kLeftForVoid = 32'768;
constexpr std::size_t kVoidSlice = 256;
// Likewise flows that share their translations from then on; not while more requests than these come at a time.
constexpr std::size_t kSharedSlice = 256, kCalm = 64;
// Memory of so many translations goes back to the kernel, some 20 MB, when a second brought and ended fewer than these.
constexpr std::uint64_t kWorthTrimming = 32'768, kFewChanges = 1024;
constexpr milliseconds kSweepInterval{1000};
constexpr milliseconds kBusyPause{10}, kIdlePause{250};

}  // namespace

void Revalidator::Impl::run() {
  TimePoint awake = Clock::now();  // since when its time has not been counted
  while (!stopping.load(std::memory_order_relaxed)) {
    now = Clock::now();
    count_busy(awake, now);
    const bool commanded = mailbox.take_and_run();
    refresh_state();
    const std::size_t served = serve_requests();
    housekeeping(served);
    const bool clearing = table.clear_void(kVoidSlice);
    const bool gathering = credits.step(table, kSlice);
    if (commanded || served != 0 || clearing || gathering || sweep_at) continue;
    count_busy(awake, Clock::now());
    rest();
    awake = Clock::now();
  }
}

void Revalidator::Impl::count_busy(TimePoint& since, TimePoint until) {
  stats.busy_nanoseconds += static_cast<std::uint64_t>((until - since).count());
  since = until;
}

void Revalidator::Impl::rest() {
  doorbell.arm();
  const bool idle =
      std::all_of(queues.begin(), queues.end(), [](const auto& queue) { return queue->empty(); }) && mailbox.empty() &&
      grace.completed() == reclaimed;
  const milliseconds pause = table.has_young() ? kBusyPause : kIdlePause;
  if (idle && !stopping) doorbell.wait(pause);
  doorbell.disarm();
}

std::size_t Revalidator::Impl::serve_requests() {
  now = Clock::now();  // between the slices of long work, too: the youth of what is published begins
  take_requests();
  std::size_t served = 0;
  while (served < kRequestBatch) {
    // Without a slot they wait for those that are on their way back; where none is, there is something to evict.
    const std::size_t room = table.awaits_grace_period() ? table.free_slots() : MegaflowTable::kStage;
    const std::size_t most = std::min({kRequestBatch - served, MegaflowTable::kStage, room});
    taken.clear();
    for (FlowRequest request; taken.size() < most && backlog.pop(request);) taken.push_back(std::move(request));
    if (taken.empty()) break;
    serve(taken);
    served += taken.size();
  }
  taken.clear();  // and with it the translations that nobody else wants
  return served;
}

void Revalidator::Impl::take_requests() {
  FlowRequest request;
  for (const auto& queue : queues)
    for (std::size_t left = queue->size(); left > 0 && queue->pop(request); --left)
      if (!backlog.push(std::move(request))) ++stats.put_off;
  waiting = std::max(waiting, static_cast<std::uint32_t>(backlog.size()));
}

// Several at once: their memory is fetched together, and the hash map is written once.
void Revalidator::Impl::serve(std::span<FlowRequest> requests) {
  table.prefetch(requests);
  const std::uint32_t slots = table.slot_end();
  for (FlowRequest& request : requests) serve(request);
  table.commit();
  // At once where there is time: memory that comes back later leaves holes.
  if (requests.size() < kCalm) table.share(slots, table.slot_end(), kCalm);
  const TimePoint published = Clock::now();
  for (const FlowRequest& request : requests)
    if (request.received != TimePoint{}) stats.publish.record(published - request.received);
  table.evict(now);
  free_retired();
}

// Control loads what flows asked for and the program lacks: told once for each feature.
void Revalidator::Impl::tell_wanted_features() {
  const std::uint32_t now_wanted = table.wanted_features();
  const std::uint32_t before = wanted.exchange(now_wanted, std::memory_order_relaxed);
  if ((now_wanted & ~before & ~loaded) != 0 && options.on_features_wanted) options.on_features_wanted();
}

// The request keeps its time where its flow has been staged.
void Revalidator::Impl::serve(FlowRequest& request) {
  refresh_state();
  const TimePoint received = std::exchange(request.received, TimePoint{});
  const FlowKey key = request.decision->key;
  TranslationRef translation = translation_of(std::move(request.decision));
  if (is_stale(*translation)) {
    ++stats.rejected_stale;
    translation = translate_now(key);
  }
  // What is learned may change what was decided: then it is decided again.
  if (learn(*translation) && is_stale(*translation)) translation = translate_now(key);
  if (answered_as_bridged(key, *translation)) return;
  switch (table.stage(key, std::move(translation), now)) {
    case MegaflowTable::Publish::kPublished:
      request.received = received;
      break;
    case MegaflowTable::Publish::kFull:
      ++stats.rejected_full;
      break;
    default:
      break;
  }
}

// Every second: counters, ages, order. A slice of the walk over all flows at a time: no command waits for all of it.
void Revalidator::Impl::housekeeping(std::size_t served) {
  table.mature(youth.ends_before(Clock::now()));
  table.write_out();
  free_retired();
  tell_wanted_features();
  if (!sweep_at) {
    if (now < next_sweep) return;
    next_sweep = now + kSweepInterval;
    sweep_began = now;
    sweep_at = 0;
    waited = std::exchange(waiting, 0);
    table.collect_retired();
  }
  if (*sweep_at < table.slot_end()) {
    sweep_slice(*sweep_at, true);
    if (served < kCalm) table.share(*sweep_at, *sweep_at + kSlice, kSharedSlice);
    *sweep_at += kSlice;
    return;
  }
  sweep_at.reset();
  stats.sweeps.record(Clock::now() - sweep_began);
  if (now - round_began >= round_length()) turn_round();
  expire_macs();
  table.rank();
  give_back_memory();
}

// A flood's translations were a block each until their flows shared them: what they leave the heap would keep.
void Revalidator::Impl::give_back_memory() {
  const MegaflowTable::Stats table_now = table.stats();
  const std::uint64_t changes = table_now.published + table_now.let_go;
  const bool calm = changes - std::exchange(changes_before, changes) < kFewChanges;
  if (!calm || table_now.let_go - let_go_before < kWorthTrimming) return;
  let_go_before = table_now.let_go;
  ::malloc_trim(0);
}

// All flows' counters, for a command.
void Revalidator::Impl::collect_counters() {
  table.collect_retired();
  for (std::uint32_t begin = 0; begin < table.slot_end(); begin += kSlice) {
    sweep_slice(begin, false);
    serve_requests();
  }
}

void Revalidator::Impl::sweep_slice(std::uint32_t begin, bool decay) {
  table.collect(begin, begin + kSlice, now, decay);
  for (std::uint32_t slot = begin; decay && slot < std::min(begin + kSlice, table.slot_end()); ++slot) {
    const MegaflowTable::Flow* flow = table.flow(slot);
    if (flow == nullptr || now - flow->used < options.idle_timeout) continue;
    table.retire(slot);
    ++stats.expired;
  }
  refresh_macs();
}

void Revalidator::Impl::expire_macs() {
  for (const auto& bridge : state->bridges) {
    const auto is_used = [&](const FdbKey& mac) { return table.bridges().is_used(bridge->id, mac); };
    for (const FdbKey& key : bridge->fdb->expire(now, is_used)) mac_changed(*bridge, key, MacChange::kAged);
  }
}

// One epoch at a time is on its way through a grace period.
void Revalidator::Impl::free_retired() {
  if (grace.busy()) return;
  if (const std::uint64_t completed = grace.completed(); completed != reclaimed) {
    table.reclaim(completed);
    reclaimed = completed;
  }
  if (const auto epoch = table.close_epoch()) grace.request(*epoch);
}

const BridgeState* Revalidator::Impl::bridge_of(const Translation& translation) const {
  return translation.bridge ? state->find(*translation.bridge) : nullptr;
}

bool Revalidator::Impl::is_stale(const Translation& translation) const {
  if (translation.version != state->version) return true;
  const BridgeState* bridge = bridge_of(translation);
  return bridge != nullptr && bridge->fdb->version() != translation.fdb_version;
}

// True where a MAC came, moved or went for it.
bool Revalidator::Impl::learn(const Translation& translation) {
  const BridgeState* bridge = bridge_of(translation);
  if (bridge == nullptr) return false;
  bool changed = false;
  for (const Translation::Learn& learn : translation.learns) {
    const Fdb::LearnResult result = bridge->fdb->learn(learn.key, learn.port, now);
    if (result.evicted) {
      mac_changed(*bridge, *result.evicted, MacChange::kEvicted);
      changed = true;
    }
    if (result.outcome == Fdb::Learned::kAdded || result.outcome == Fdb::Learned::kMoved) {
      const bool moved = result.outcome == Fdb::Learned::kMoved;
      mac_changed(*bridge, learn.key, moved ? MacChange::kMoved : MacChange::kLearned, result.old_port);
      changed = true;
    }
  }
  return changed;
}

// A MAC is somewhere else, or nowhere, or somewhere at last: flows that asked for it are translated again. Flows from
// it go where the FDB does not know it on their port: their next packet must come up to be learned from.
bool Revalidator::Impl::mac_changed(const BridgeState& bridge, FdbKey key, MacChange change,
                                    std::optional<PortNo> old_port) {
  bool changed = write_mac(bridge, key);
  const std::optional<PortNo> port = bridge.fdb->lookup(key);
  if (options.events != nullptr && options.events->macs_wanted())
    options.events->push_mac(options.workers, {bridge.id, change, key, port, old_port});
  for (const std::uint32_t slot : table.dependents({bridge.id, key})) {
    const MegaflowTable::Flow* flow = table.flow(slot);
    if (flow == nullptr) continue;
    const auto learns = table.macs(slot).learns();
    if (std::any_of(learns.begin(), learns.end(),
                    [&](const Translation::Learn& learn) { return learn.key == key && learn.port != port; })) {
      table.retire(slot);
      changed = true;
    } else {
      changed = retranslate(slot, table.key(slot)) || changed;
    }
  }
  return changed;
}

bool Revalidator::Impl::retranslate(std::uint32_t slot, const FlowKey& key) {
  ++stats.revalidated;
  const std::uint32_t birth = table.flow(slot)->birth;
  TranslationRef translation = translate_as(slot, key);
  // Where it is the FDB now that decides, no flow of these packets' own.
  if (!table.flow(slot)->bridged && answered_as_bridged(key, *translation)) {
    // Unless the bridged flow has taken its place already.
    if (const MegaflowTable::Flow* flow = table.flow(slot); flow != nullptr && flow->birth == birth) table.retire(slot);
    return true;
  }
  return table.update(slot, std::move(translation), now);
}

bool Revalidator::Impl::affects(const Change& change, std::uint32_t slot, const FlowKey& key) const {
  const MegaflowTable::Flow& flow = *table.flow(slot);
  const BridgeState* found = state->bridge_of[flow.port];
  const std::optional<BridgeId> bridge = found != nullptr ? std::optional{found->id} : std::nullopt;
  // The port has left its bridge since, or come into one: a packet may be faster than the command that attaches it.
  if (flow.translation->bridge != bridge) return true;
  if (change.bridge && bridge != change.bridge) return false;
  if (change.all) return true;
  return is_affected(flow.translation->dependencies, key, table.mask(slot), change);
}

bool Revalidator::Impl::meets(const Change& change) {
  refresh_state();
  const AffectedIndex::Query query = table.affected().query(change, *state);
  std::vector<std::uint32_t> slots;
  for (std::uint32_t begin = 0; begin < table.slot_end(); begin += kSlice) {
    slots.clear();
    table.affected().find(query, begin, begin + kSlice, slots);
    for (const std::uint32_t slot : slots)
      if (table.flow(slot) != nullptr && affects(change, slot, table.key(slot))) return true;
    serve_requests();
  }
  return false;
}

bool Revalidator::Impl::revalidate(const Change& change) {
  refresh_state();
  if (change.empty()) return false;
  const TimePoint started = Clock::now();
  bool changed = (change.all || change.tags != 0) && follow_ports(change.bridge);
  const AffectedIndex::Query query = table.affected().query(change, *state);
  std::vector<Extent> extents(SHUNT_MAX_PORTS);
  std::vector<std::uint32_t> slots;
  for (std::uint32_t begin = 0; begin < table.slot_end(); begin += kSlice) {
    slots.clear();
    table.affected().find(query, begin, begin + kSlice, slots);
    for (std::size_t i = 0; i < slots.size(); ++i) {
      table.prefetch_walk(std::span{slots}.subspan(i));
      const std::uint32_t slot = slots[i];
      const MegaflowTable::Flow* flow = table.flow(slot);
      // Translated since: by a packet of its own, or here, before it moved to this slot.
      if (flow == nullptr || (change.version != 0 && flow->version >= change.version)) continue;
      const DpPort port{flow->port};
      Extent& extent = extents[port.value];
      ++extent.met;
      const FlowKey key = table.key(slot);
      if (!affects(change, slot, key) || !retranslate(slot, key)) continue;
      changed = true;
      ++extent.altered;
      if (!may_end_all(extent, query, slot + 1, port)) continue;
      table.void_flows(port);
      refresh_macs();
    }
    serve_requests();
  }
  stats.changes.record(Clock::now() - started);
  return needs_grace_period(changed);
}

// Whether a walk ends all of a port's flows at once: nearly all that it met are altered, nearly all others are still to
// come, and it is worth it.
bool Revalidator::Impl::may_end_all(Extent& extent, const AffectedIndex::Query& query, std::uint32_t next,
                                    DpPort port) const {
  if (extent.altered < extent.next_try || extent.met - extent.altered >= extent.met / 16) return false;
  extent.next_try = 2 * extent.altered;  // the count looks at all that is left
  const std::uint32_t ahead = table.affected().count(query, next, port);
  return ahead > kLeftForVoid && table.share(port).flows <= ahead + ahead / 16 + extent.altered;
}

Revalidator::Inherited Revalidator::Impl::inherit(std::span<const FlowCredit> credited) {
  now = Clock::now();
  refresh_state();
  std::unordered_map<std::uint64_t, const FlowCredit*> by_slot;
  for (const FlowCredit& credit : credited) by_slot.emplace(credit.slot, &credit);
  Inherited result;
  result.broken = table.inherit(
      [&by_slot](std::uint32_t slot, std::uint64_t hash) {
        const auto found = by_slot.find(slot);
        return found == by_slot.end() || found->second->hash != hash ? nullptr : found->second;
      },
      now);
  // MACs first: what they decide must not depend on the order of the flows.
  std::vector<std::uint32_t> slots;
  const auto list_slots = [&] {
    slots.clear();
    for (std::uint32_t slot = 0; slot < table.slot_end(); ++slot)
      if (table.flow(slot) != nullptr) slots.push_back(slot);
  };
  list_slots();
  for (const std::uint32_t slot : slots) {
    if (table.flow(slot)->bridged) continue;
    const TranslationRef translation = translate_now(table.key(slot));
    const BridgeState* bridge = bridge_of(*translation);
    if (bridge == nullptr) continue;
    for (const Translation::Learn& learned : translation->learns)
      if (!bridge->fdb->lookup(learned.key)) bridge->fdb->learn(learned.key, learned.port, now);
  }
  inherit_macs(slots);
  // Those that confirm() moves to another slot are behind it then, or in a gap that was passed: each is met once.
  list_slots();
  for (const std::uint32_t slot : slots)
    if (table.confirm(slot, translate_as(slot, table.key(slot)), now)) ++result.changed;
  result.flows = static_cast<std::uint32_t>(slots.size());
  return result;
}

// Who runs a packet credits it: a flow that userspace answers counts for its own age only.
void Revalidator::Impl::credit(std::uint32_t slot, const MegaflowTable::Flow& flow,
                               const MegaflowTable::Counted& counted) {
  const Translation& translation = *flow.translation;
  if (counted.packets > 0 && translation.bridge)
    for (const Translation::Learn& learn : table.macs(slot).learns()) {
      const Seen one{*translation.bridge, learn};
      if (seen.empty() || !(seen.back() == one)) seen.push_back(one);
    }
  if (!flow.in_kernel) return;
  count_sent(flow, counted);
  if (counted.packets == 0) return;
  shunt::credit(translation, counted.packets, counted.bytes, now);
  if (options.events != nullptr && !translation.follow_ups->learned.empty())
    (void)options.events->push(options.workers, LearnEvent{flow.translation});
}

// By output port, as the kernel sent it.
void Revalidator::Impl::count_sent(const MegaflowTable::Flow& flow, const MegaflowTable::Counted& counted) {
  const std::uint64_t packets = counted.packets - counted.lost;
  const std::uint64_t bytes = counted.bytes + static_cast<std::uint64_t>(counted.delta);
  for (const DpPort port : sent_to(*flow.translation, DpPort{flow.port}, table.outputs())) {
    transmitted[port.value].packets.fetch_add(packets, std::memory_order_relaxed);
    transmitted[port.value].bytes.fetch_add(bytes, std::memory_order_relaxed);
  }
}

void Revalidator::Impl::refresh_macs() {
  const std::vector<Seen> work = std::exchange(seen, {});
  for (const auto& [id, learn] : work) {
    const BridgeState* bridge = state->find(id);
    // A flow of a port that the MAC has left must not pull it back: only a packet that comes up does.
    if (bridge != nullptr && bridge->fdb->lookup(learn.key) == learn.port)
      bridge->fdb->learn(learn.key, learn.port, now);
  }
}

std::vector<FlowSnapshot> Revalidator::Impl::list(std::size_t limit) {
  collect_counters();
  std::vector<FlowSnapshot> snapshots;
  for (std::uint32_t slot = 0; slot < table.slot_end() && snapshots.size() < limit; ++slot) {
    const MegaflowTable::Flow* flow = table.flow(slot);
    if (flow == nullptr) continue;
    snapshots.push_back(snapshot(slot));
  }
  return snapshots;
}

std::vector<FlowSnapshot> Revalidator::Impl::top(std::size_t count, FlowOrder order) {
  TopFlows best{count, order};
  for (std::uint32_t begin = 0; begin < table.slot_end(); begin += kSlice) {
    best.consider(table, begin, begin + kSlice);
    serve_requests();
  }
  std::vector<FlowSnapshot> snapshots;
  for (const std::uint64_t id : best.take())  // some may have gone since
    if (const std::uint32_t slot = slot_of(table, id); slot != MegaflowTable::kNoSlot)
      snapshots.push_back(snapshot(slot));
  return snapshots;
}

FlowSnapshot Revalidator::Impl::snapshot(std::uint32_t slot) const {
  const MegaflowTable::Flow& flow = *table.flow(slot);
  FlowSnapshot snapshot;
  snapshot.id = flow_id(slot, flow);
  snapshot.key.key = table.key(slot);
  snapshot.key.mask = flow.mask;
  snapshot.mask = table.mask(slot);
  // What was decided, port by port: the kernel's form may name an output group, or just say "to userspace".
  snapshot.actions = flow.translation->actions;
  if (snapshot.actions.empty() || flow.translation->is_drop()) {
    shunt_action drop{};
    drop.type = SHUNT_ACT_DROP;
    drop.field = static_cast<__u8>(flow.translation->drop);
    snapshot.actions.push_back(drop);
  }
  snapshot.in_kernel = flow.in_kernel;
  snapshot.reason = static_cast<shunt_upcall_reason>(flow.reason);
  const FlowCredit credited = table.credited(slot);
  snapshot.packets = credited.packets;
  snapshot.bytes = credited.bytes;
  snapshot.age = std::chrono::duration_cast<milliseconds>(now - flow.created);
  snapshot.idle = std::chrono::duration_cast<milliseconds>(now - flow.used);
  for (const RuleRef& rule : flow.translation->rules) snapshot.cookies.push_back(rule->cookie);
  return snapshot;
}

}  // namespace shunt
