// SPDX-License-Identifier: Apache-2.0
#include "user/worker/megaflow_table.h"

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <utility>

#include "user/worker/eviction.h"
#include "user/worker/megaflow_table_impl.h"

namespace shunt {

MegaflowTable::MegaflowTable(FlowMaps& maps) : impl_{std::make_unique<Impl>(maps)} {}
MegaflowTable::~MegaflowTable() = default;

void MegaflowTable::set_credit(Credit credit) { impl_->credit = std::move(credit); }

void MegaflowTable::add_port(DpPort port) { impl_->ports.add_port(port); }

void MegaflowTable::remove_port(DpPort port) {
  commit();
  impl_->ports.raise_generation(port);
  for (std::uint32_t slot = 0; slot < slot_end(); ++slot)
    if (const Flow* flow = this->flow(slot); flow != nullptr && flow->port == port.value) retire(slot);
  impl_->ports.remove_port(port);
}

void MegaflowTable::update_output(DpPort port, const PortOutput& output) {
  impl_->outputs[port.value] = output;
  impl_->groups.rebuild(port, impl_->outputs);
}

const PortOutputs& MegaflowTable::outputs() const { return impl_->outputs; }

MegaflowTable::Publish MegaflowTable::publish(const FlowKey& key, TranslationRef translation, TimePoint now) {
  commit();
  const std::uint64_t refused = impl_->stats.refused;
  const Publish result = stage(key, std::move(translation), now);
  settle();
  return impl_->stats.refused != refused ? Publish::kError : result;
}

MegaflowTable::Publish MegaflowTable::stage(const FlowKey& key, TranslationRef translation, TimePoint now) {
  Impl& t = *impl_;
  if (t.staged.size() == kStage) commit();
  const DpPort port{key.in_port};
  if (!t.ports.exists(port)) return Publish::kNoPort;
  // A flow that is there already, under its own mask or exactly, needs no new number, group or slot.
  const std::optional<std::uint16_t> known = t.masks.find(translation->mask);
  std::uint32_t there = known ? t.find(key, *known, t.hash_of(key, *known)) : kNoSlot;
  if (there == kNoSlot && !translation->bridged && known != SHUNT_MASK_EXACT && t.ports.has_exact_flows(port))
    there = t.find(key, SHUNT_MASK_EXACT, t.hash_of(key, SHUNT_MASK_EXACT));
  if (there != kNoSlot) {
    update(there, std::move(translation), now);
    return Publish::kExists;
  }
  if (t.free_slots() == 0) return Publish::kFull;

  Impl::Verdict verdict = t.decide(*translation, port);
  const auto mask = t.choose_mask(*translation, known, port, verdict.encoded);
  if (!mask) {
    t.undo(verdict);
    return Publish::kFeatures;
  }
  if (*mask == SHUNT_MASK_EXACT && !equal(translation->mask, t.masks.bits(SHUNT_MASK_EXACT))) ++t.stats.exact_fallback;

  const std::uint64_t hash = t.hash_of(key, *mask);
  // The hash map has one entry for both.
  if (const std::uint32_t gone = t.voided.empty() ? kNoSlot : t.find(key, *mask, hash, Flow::State::kVoid);
      gone != kNoSlot) {
    commit();
    t.retire_void(gone);
  }
  const std::uint32_t slot = t.take_slot();
  Flow& flow = t.flows[slot];
  flow = Flow{};
  t.set_translation(slot, std::move(translation));
  flow.created = flow.used = now;
  flow.mask = *mask;
  flow.port = static_cast<std::uint16_t>(port.value);
  flow.group = verdict.group;
  flow.list = verdict.list;
  flow.hash = hash;
  flow.in_kernel = verdict.encoded.in_kernel;
  flow.reason = static_cast<std::uint8_t>(verdict.encoded.reason);
  t.begin_youth(slot, now);
  flow.bridged = flow.translation->bridged.has_value();
  flow.state = Flow::State::kLive;
  ++t.live;
  if (flow.bridged) ++t.bridged_flows[flow.port];
  t.ports.add_flow(port, *mask, t.fields_of(flow));
  t.link_dependencies(slot);
  t.set_affected(slot, key);
  t.chain(slot);
  t.write_slot(slot, key, verdict, true);
  t.staged.push_back(slot);
  return Publish::kPublished;
}

void MegaflowTable::commit() {
  Impl& t = *impl_;
  if (t.staged.empty()) return;
  for (const std::uint32_t slot : t.staged) t.write_megaflow(slot);
  t.writer.commit();
  for (const std::uint32_t slot : t.staged) t.index_flow(slot);
  t.stats.published += t.staged.size();
  t.staged.clear();
}

void MegaflowTable::write_out() {
  commit();
  impl_->writer.commit();
  impl_->take_back_refused();
}

void MegaflowTable::settle() {
  write_out();
  impl_->writer.settle();
  impl_->take_back_refused();
}

MegaflowWriter& MegaflowTable::writer() { return impl_->writer; }

// Each pass asks for what the next one, or stage(), reads.
void MegaflowTable::prefetch(std::span<const FlowRequest> requests) const {
  constexpr int kWrite = 1;
  const Impl& t = *impl_;
  std::array<std::uint32_t, kStage> buckets;
  std::size_t count = 0;
  for (const FlowRequest& request : requests) {
    // Its count of owners, which make_shared() puts in front.
    if (request.displaced)
      __builtin_prefetch(reinterpret_cast<const std::uint64_t*>(request.displaced.get()) - 1, kWrite);
    const auto mask = t.masks.find(request.decision->translation.mask);
    if (!mask) continue;
    const std::uint32_t bucket = t.bucket_of(t.hash_of(request.decision->key, *mask));
    __builtin_prefetch(&t.heads[bucket], kWrite);
    __builtin_prefetch(&t.maps.index[bucket], kWrite);
    buckets[count++] = bucket;
  }
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::uint32_t slot = t.upcoming_slot(i);
    if (slot == kNoSlot) break;
    const auto* element = reinterpret_cast<const std::byte*>(&t.maps.flows[slot]);
    for (std::size_t at = 0; at < sizeof(shunt_flow); at += 64) __builtin_prefetch(element + at, kWrite);
  }
  for (std::size_t i = 0; i < count; ++i)
    if (const std::uint32_t slot = t.heads[buckets[i]]; slot != kNoSlot) __builtin_prefetch(&t.flows[slot].hash);
}

// Each flow's lines one step behind those that lead to them.
void MegaflowTable::prefetch_walk(std::span<const std::uint32_t> slots) const {
  constexpr std::size_t kRecord = 24, kTranslation = 16, kRules = 8;  // flows ahead
  constexpr int kWrite = 1;
  const Impl& t = *impl_;
  if (slots.size() > kRecord) {
    __builtin_prefetch(&t.flows[slots[kRecord]]);
    __builtin_prefetch(&t.maps.flows[slots[kRecord]]);
  }
  if (slots.size() > kTranslation)
    if (const Translation* translation = t.flows[slots[kTranslation]].translation.get()) {
      // Its version, its rules; its bridge and dependencies.
      __builtin_prefetch(translation);
      __builtin_prefetch(&translation->rules);
      const auto* end = reinterpret_cast<const std::byte*>(&translation->follow_ups);
      for (const auto* at = reinterpret_cast<const std::byte*>(&translation->bridge); at < end; at += 64)
        __builtin_prefetch(at);
    }
  if (slots.size() > kRules)
    if (const Translation* translation = t.flows[slots[kRules]].translation.get())
      for (const RuleRef& rule : translation->rules) __builtin_prefetch(&rule->counters, kWrite);
}

bool MegaflowTable::update(std::uint32_t slot, TranslationRef translation, TimePoint now) {
  commit();
  Impl& t = *impl_;
  const Flow& flow = t.flows[slot];
  const DpPort port{flow.port};
  Impl::Verdict verdict = t.decide(*translation, port);
  // A flow of bridged packets is none of packets of their own, nor the other way round.
  const bool fits = flow.bridged == translation->bridged.has_value() &&
                    is_subset(translation->mask, t.masks.bits(flow.mask)) &&
                    t.has_features(t.masks.bits(flow.mask), verdict.encoded);
  const bool same = fits && flow.list == verdict.list && t.maps.flows[slot].head.output == verdict.encoded.output.value;
  if (same || !fits || t.free_slots() == 0) {
    t.undo(verdict);
    if (same) {
      t.refresh(slot, std::move(translation));
      return false;
    }
    retire(slot);
    return true;
  }
  t.replace(slot, std::move(verdict), std::move(translation), t.take_slot(), now);
  ++t.stats.replaced;
  return true;
}

void MegaflowTable::retire(std::uint32_t slot) {
  commit();
  impl_->retire(slot);
}

void MegaflowTable::flush() {
  commit();
  for (std::uint32_t port = 0; port < SHUNT_MAX_PORTS; ++port)
    if (impl_->ports.exists(DpPort{port})) impl_->ports.raise_generation(DpPort{port});
  for (std::uint32_t slot = 0; slot < slot_end(); ++slot)
    if (flow(slot) != nullptr) retire(slot);
}

std::uint32_t MegaflowTable::slot_end() const { return static_cast<std::uint32_t>(impl_->flows.size()); }

const MegaflowTable::Flow* MegaflowTable::flow(std::uint32_t slot) const {
  const Flow& flow = impl_->flows[slot];
  return flow.state == Flow::State::kLive ? &flow : nullptr;
}

const FlowMacs& MegaflowTable::macs(std::uint32_t slot) const { return impl_->macs[slot]; }

FlowCredit MegaflowTable::credited(std::uint32_t slot) const {
  const Flow& flow = impl_->flows[slot];
  const Impl::Traffic& earlier = impl_->earlier[slot];
  const Impl::Otherwise& otherwise = impl_->otherwise[slot];
  return {slot,
          flow.hash,
          earlier.packets + flow.seen_packets,
          earlier.bytes + flow.seen_bytes,
          flow.seen_packets,
          flow.seen_bytes,
          otherwise.lost,
          otherwise.delta,
          flow.created.time_since_epoch().count()};
}

FlowKey MegaflowTable::key(std::uint32_t slot) const { return impl_->key_of(slot); }

const FlowMask& MegaflowTable::mask(std::uint32_t slot) const { return impl_->masks.bits(impl_->flows[slot].mask); }

DpActions MegaflowTable::actions(std::uint32_t slot) const {
  if (const std::uint32_t list = impl_->flows[slot].list; list != kNoList) {
    const std::span<const shunt_action> actions = impl_->lists.actions(list);
    return {actions.begin(), actions.end()};
  }
  shunt_action output{};
  output.type = SHUNT_ACT_OUTPUT;
  output.arg = impl_->maps.flows[slot].head.output;
  return {output};
}

TranslationRef MegaflowTable::translation(std::uint32_t slot) const {
  const Flow& flow = impl_->flows[slot];
  auto whole = std::make_shared<Translation>(*flow.translation);
  whole->version = flow.version;
  const auto learns = macs(slot).learns();
  const auto dependencies = macs(slot).dependencies();
  whole->learns.assign(learns.begin(), learns.end());
  whole->fdb_dependencies.assign(dependencies.begin(), dependencies.end());
  return whole;
}

// As the kernel does: by the masks of the port, then exactly, and by the FDB's entries. (It also asks whether the slot
// is still live.) A bridged flow is found by its own key too, which has no MACs to ask for.
std::uint32_t MegaflowTable::find(const FlowKey& key) const {
  const Impl& t = *impl_;
  if (!t.ports.exists(DpPort{key.in_port})) return kNoSlot;
  for (const std::uint16_t mask : t.ports.masks(DpPort{key.in_port}))
    if (const std::uint32_t slot = t.find(key, mask, t.hash_of(key, mask));
        slot != kNoSlot && (!t.flows[slot].bridged || equal(key & t.masks.bits(mask), key) ||
                            t.bridges.lookup(key, t.maps.flows[slot].head.output)))
      return slot;
  return t.find(key, SHUNT_MASK_EXACT, t.hash_of(key, SHUNT_MASK_EXACT));
}

const AffectedIndex& MegaflowTable::affected() const { return impl_->affected; }

std::vector<std::uint32_t> MegaflowTable::dependents(const FdbDependency& dependency) const {
  std::vector<std::uint32_t> slots;
  for (const auto& [slot, birth] : impl_->dependencies.find(dependency))
    if (const Flow& flow = impl_->flows[slot]; flow.state == Flow::State::kLive && flow.birth == birth)
      slots.push_back(slot);
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  return slots;
}

void MegaflowTable::collect(std::uint32_t begin, std::uint32_t end, TimePoint now, bool decay) {
  Impl& t = *impl_;
  for (std::uint32_t slot = begin; slot < std::min(end, slot_end()); ++slot) {
    Flow& flow = t.flows[slot];
    if (flow.state != Flow::State::kLive) continue;
    if (decay) flow.decayed /= 2;
    const std::uint64_t hits = t.collect(slot);
    if (hits == 0) continue;
    flow.used = now;
    flow.decayed = static_cast<std::uint32_t>(std::min<std::uint64_t>(flow.decayed + hits, ~std::uint32_t{0}));
    t.ports.count_hits(DpPort{flow.port}, flow.mask, hits);
  }
}

void MegaflowTable::collect_retired() {
  impl_->retired.for_each([this](std::uint32_t slot) { impl_->collect(slot); });
  for (const std::uint32_t slot : impl_->voided)
    if (impl_->flows[slot].state == Flow::State::kVoid) impl_->collect(slot);
}

void MegaflowTable::share(std::uint32_t begin, std::uint32_t end, std::size_t most) {
  for (std::uint32_t slot = begin; slot < std::min(end, slot_end()) && most > 0; ++slot) {
    Flow& flow = impl_->flows[slot];
    if (flow.state != Flow::State::kLive || flow.shared) continue;
    impl_->share_translation(flow);
    --most;
  }
}

bool MegaflowTable::has_young() const { return !impl_->young.empty() || impl_->bridges.has_young(); }

void MegaflowTable::mature(TimePoint before) {
  Impl& t = *impl_;
  t.bridges.mature(before);
  for (; !t.young.empty() && t.young.front().published <= before; t.young.pop_front()) {
    const std::uint32_t slot = t.young.front().slot;
    Flow& flow = t.flows[slot];
    // A slot that was used anew since is further down the queue.
    if (flow.state != Flow::State::kLive || flow.youth != t.young.front().youth) continue;
    flow.youth = 0;
    shunt_flow_head& head = t.maps.flows[slot].head;
    std::atomic_ref<__u8>{head.flags}.store(static_cast<__u8>(head.flags & ~SHUNT_FLOW_YOUNG),
                                            std::memory_order_release);
    // What the index leads to is the slot; only a flow without an entry there is read from the hash map.
    if (!flow.indexed) t.write_megaflow(slot);
  }
}

void MegaflowTable::rank() {
  impl_->ports.rank();
  impl_->follow_keys();
  impl_->masks.shrink_union();
  if (impl_->ports.wants_hints()) impl_->wanted |= SHUNT_FEATURE_HINTS;
}

bool MegaflowTable::evict(TimePoint now) {
  Impl& t = *impl_;
  // Slots on their way back count: they are here after the next grace period.
  if (t.free_slots() + t.retired.size() + t.voided.size() >= t.spare) return false;
  collect(0, slot_end(), now, false);
  std::vector<EvictionCandidate> candidates;
  candidates.reserve(t.live);
  for (std::uint32_t slot = 0; slot < slot_end(); ++slot)
    if (const Flow* flow = this->flow(slot))
      candidates.push_back({slot, flow->port, static_cast<std::uint8_t>(std::bit_width(flow->decayed)), flow->used});
  const std::vector<std::uint32_t> victims = choose_victims(std::move(candidates), t.spare);
  for (const std::uint32_t slot : victims) retire(slot);
  t.stats.evicted += victims.size();
  return !victims.empty();
}

BridgeTable& MegaflowTable::bridges() { return impl_->bridges; }
const BridgeTable& MegaflowTable::bridges() const { return impl_->bridges; }

bool MegaflowTable::set_mac(BridgeId bridge, const FdbKey& key, const std::optional<BridgeTable::Place>& place,
                            TimePoint now) {
  const bool changed = impl_->bridges.set(bridge, key, place, impl_->epoch, now);
  impl_->follow_mac_count();
  if (changed) impl_->forget_bridged();
  return changed;
}

bool MegaflowTable::remove_bridge(BridgeId bridge) {
  const bool changed = impl_->bridges.remove(bridge, impl_->epoch);
  impl_->follow_mac_count();
  if (changed) impl_->forget_bridged();
  return changed;
}

void MegaflowTable::ask_bridges_again() { impl_->forget_bridged(); }

bool MegaflowTable::awaits_grace_period() const {
  return !impl_->retired.empty() || !impl_->voided.empty() || impl_->bridges.awaits_grace_period();
}

std::optional<std::uint64_t> MegaflowTable::close_epoch() {
  Impl& t = *impl_;
  if (!t.retired.has(t.epoch) && !t.bridges.has_changed(t.epoch) && !t.masks.has_retired(t.epoch) &&
      !t.groups.has_retired(t.epoch) && !t.lists.has_retired(t.epoch))
    return std::nullopt;
  write_out();
  return t.epoch++;
}

void MegaflowTable::reclaim(std::uint64_t epoch) {
  Impl& t = *impl_;
  t.take_back_refused();  // of slots that come free here, some may be among those
  t.retired.reclaim(epoch, [&t](std::uint64_t, std::uint32_t slot) {
    t.collect(slot);  // what programs counted after it was retired
    t.free_slot(slot);
  });
  t.masks.reclaim(epoch);
  t.groups.reclaim(epoch);
  t.lists.reclaim(epoch);
  t.bridges.reclaim(epoch);
}

void MegaflowTable::set_features(std::uint32_t loaded) { impl_->features = loaded; }
std::uint32_t MegaflowTable::wanted_features() const { return impl_->wanted; }

MegaflowTable::Stats MegaflowTable::stats() const {
  Stats stats = impl_->stats;
  stats.flows = impl_->live;
  stats.masks = impl_->masks.count();
  stats.groups = impl_->groups.count();
  stats.overflow = impl_->overflow;
  stats.microflow_units = impl_->region.size() * SHUNT_MICROFLOW_UNITS;
  stats.microflow_unit_limit = impl_->region.limit() * SHUNT_MICROFLOW_UNITS;
  return stats;
}

MegaflowTable::Share MegaflowTable::share(DpPort port) const {
  const PortMasks& ports = impl_->ports;
  if (!ports.exists(port)) return {};
  return {ports.flow_count(port), static_cast<std::uint32_t>(ports.masks(port).size())};
}

std::uint32_t MegaflowTable::size() const { return impl_->live; }
std::uint32_t MegaflowTable::limit() const { return impl_->limit; }
std::uint32_t MegaflowTable::free_slots() const { return impl_->free_slots(); }

}  // namespace shunt
