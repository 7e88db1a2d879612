// SPDX-License-Identifier: Apache-2.0
// A flow's way into the maps and out of them: the order of the stores is what a look-up at the same time relies on
// (maps/flow.h).
#include <algorithm>
#include <atomic>
#include <utility>

#include "user/worker/megaflow_table_impl.h"
#include "user/worker/plain_fields.h"

namespace shunt {
namespace {

template <typename T>
void store(T& at, T value) noexcept {
  std::atomic_ref<T>{at}.store(value, std::memory_order_release);
}
template <typename T>
T load(T& at) noexcept {
  return std::atomic_ref<T>{at}.load(std::memory_order_relaxed);
}

bool same_dependencies(std::span<const FdbDependency> a, std::span<const FdbDependency> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const FdbDependency& x, const FdbDependency& y) {
    return x.bridge == y.bridge && x.key == y.key;
  });
}

}  // namespace

MegaflowTable::Impl::Verdict MegaflowTable::Impl::decide(const Translation& translation, DpPort port) {
  Verdict verdict{encode(translation, port, outputs)};
  Encoded& encoded = verdict.encoded;
  if (translation.bridged) {
    const std::uint16_t number = bridges.number(*translation.bridge, *translation.bridged);
    encoded.actions.back().arg = number;
    encoded.output = DpPort{number};
  } else if (!encoded.group.empty()) {
    verdict.group = groups.acquire(encoded.group, outputs);
    if (verdict.group == 0)
      encoded = encode_userspace(SHUNT_UPCALL_UNSUPPORTED);
    else
      encoded.actions.back().arg = verdict.group;
  }
  if ((encoded.flags & SHUNT_FLOW_SINGLE_OUTPUT) != 0) return verdict;
  if (const auto list = lists.acquire(as_span(encoded.actions))) {
    verdict.list = list->first;
    if (list->has_rewrite) encoded.flags |= SHUNT_FLOW_REWRITE;
    return verdict;
  }
  undo(verdict);
  return {encode_userspace(SHUNT_UPCALL_UNSUPPORTED), 0, lists.share(unsupported)};
}

void MegaflowTable::Impl::undo(const Verdict& verdict) {
  if (verdict.group != 0) groups.release(verdict.group, epoch);
  if (verdict.list != kNoList) lists.release(verdict.list, epoch);
}

bool MegaflowTable::Impl::has_features(const FlowMask& mask, const Encoded& encoded) {
  const std::uint32_t needed = features_of(mask, encoded);
  wanted |= needed;
  return (needed & ~features) == 0;
}

// Takes a reference to the mask that the flow gets: its own where the port's list has room, else exact. Nothing when
// the program does not parse what the mask looks at, or there is no room for a flow of bridged packets.
std::optional<std::uint16_t> MegaflowTable::Impl::choose_mask(const Translation& translation,
                                                              std::optional<std::uint16_t> known, DpPort port,
                                                              const Encoded& encoded) {
  if (!has_features(translation.mask, encoded)) return std::nullopt;
  if ((known && ports.listed(port, *known)) || ports.has_room(port))
    if (const auto number = masks.acquire(translation.mask)) return number;
  if (translation.bridged) return std::nullopt;  // of one packet it would say nothing
  if (!has_features(masks.bits(SHUNT_MASK_EXACT), encoded)) return std::nullopt;
  return masks.acquire(masks.bits(SHUNT_MASK_EXACT));
}

std::uint32_t MegaflowTable::Impl::find(const FlowKey& key, std::uint16_t mask, std::uint64_t hash,
                                        Flow::State state) const {
  for (std::uint32_t slot = heads[bucket_of(hash)]; slot != kNoSlot; slot = flows[slot].next) {
    const Flow& flow = flows[slot];
    if (flow.hash == hash && flow.mask == mask && flow.state == state &&
        shunt_packed_equal(&key, &masks.layout(mask), maps.flows[slot].key))
      return slot;
  }
  return kNoSlot;
}

std::uint16_t MegaflowTable::Impl::fields_of(const Flow& flow) const {
  const std::uint16_t fields =
      flow.mask == SHUNT_MASK_EXACT ? plain_fields(flow.translation->mask) : masks.fields(flow.mask);
  return flow.bridged ? static_cast<std::uint16_t>(fields | kFdbFields) : fields;
}

std::uint32_t MegaflowTable::Impl::take_slot() {
  if (free.empty()) {
    flows.emplace_back();
    return static_cast<std::uint32_t>(flows.size() - 1);
  }
  const std::uint32_t slot = free.back();
  free.pop_back();
  return slot;
}

void MegaflowTable::Impl::free_slot(std::uint32_t slot) {
  ++stats.let_go;
  flows[slot] = Flow{};
  macs.clear(slot);
  earlier.clear(slot);
  otherwise.clear(slot);
  free.push_back(slot);
}

void MegaflowTable::Impl::begin_youth(std::uint32_t slot, TimePoint now) {
  if (++youths == 0) ++youths;
  flows[slot].youth = youths;
  young.push_back({slot, youths, now});
}

// No program reads the slot: its generation is 0, and a grace period has passed. The generation comes last, since an
// old hint of the exact-match level may lead here at any moment.
void MegaflowTable::Impl::write_slot(std::uint32_t slot, const FlowKey& key, const Verdict& verdict, bool is_young) {
  const Flow& flow = flows[slot];
  shunt_flow& element = maps.flows[slot];
  shunt_flow fresh{};
  fresh.head.slot = slot;
  fresh.head.mask = flow.mask;
  fresh.head.output = static_cast<__u16>(verdict.encoded.output.value);
  if (verdict.list != kNoList) {
    fresh.head.action_count = static_cast<__u8>(verdict.encoded.actions.size());
    fresh.actions = verdict.list;
  }
  fresh.head.flags = static_cast<__u8>(verdict.encoded.flags | (is_young ? SHUNT_FLOW_YOUNG : 0));
  fresh.head.fields = fields_of(flow);
  shunt_pack_key(&key, &masks.layout(flow.mask), fresh.key);
  element = fresh;
  for (std::size_t cpu = 0; cpu < maps.config.cpu_count; ++cpu) {
    maps.counters[cpu * limit + slot] = {};
    maps.deltas[cpu * limit + slot] = {};
  }
  store(element.head.generation, ports.generation(DpPort{flow.port}));
}

shunt_megaflow_key MegaflowTable::Impl::megaflow_key(std::uint32_t slot) const {
  shunt_megaflow_key key{};
  key.key = key_of(slot);
  key.mask = flows[slot].mask;
  return key;
}

void MegaflowTable::Impl::write_megaflow(std::uint32_t slot) {
  const shunt_flow& element = maps.flows[slot];
  shunt_megaflow value{};
  value.head = element.head;
  value.actions = element.actions;
  writer.put(megaflow_key(slot), value, slot);
}

// The slots are whole and right; only the table that a restart would adopt lacks them. Their packets ask again.
void MegaflowTable::Impl::take_back_refused() {
  for (const std::uint32_t slot : writer.take_refused()) {
    if (flows[slot].state != Flow::State::kLive) continue;
    retire(slot);
    ++stats.refused;
  }
}

void MegaflowTable::Impl::index_flow(std::uint32_t slot) {
  Flow& flow = flows[slot];
  shunt_index_bucket& bucket = maps.index[bucket_of(flow.hash)];
  for (__u64& entry : bucket.entry) {
    if (entry != 0) continue;
    store(entry, SHUNT_INDEX_ENTRY(shunt_hash_tag(flow.hash), slot));
    flow.indexed = true;
    return;
  }
  store(bucket.overflow, bucket.overflow + 1);
  ++overflow;
}

void MegaflowTable::Impl::unindex_flow(std::uint32_t slot) {
  Flow& flow = flows[slot];
  const std::uint32_t number = bucket_of(flow.hash);
  shunt_index_bucket& bucket = maps.index[number];
  if (!flow.indexed) {
    store(bucket.overflow, bucket.overflow - 1);
    --overflow;
    return;
  }
  flow.indexed = false;
  for (__u64& entry : bucket.entry)
    if (entry == SHUNT_INDEX_ENTRY(shunt_hash_tag(flow.hash), slot)) store(entry, __u64{0});
  if (bucket.overflow > 0) promote_overflow(number);
}

// An entry came free: a flow that had to do without gets it.
void MegaflowTable::Impl::promote_overflow(std::uint32_t number) {
  for (std::uint32_t slot = heads[number]; slot != kNoSlot; slot = flows[slot].next) {
    if (flows[slot].indexed) continue;
    index_flow(slot);
    if (!flows[slot].indexed) return;
    store(maps.index[number].overflow, maps.index[number].overflow - 1);
    --overflow;
    return;
  }
}

void MegaflowTable::Impl::chain(std::uint32_t slot) {
  std::uint32_t& head = heads[bucket_of(flows[slot].hash)];
  flows[slot].next = head;
  head = slot;
}

void MegaflowTable::Impl::unchain(std::uint32_t slot) {
  std::uint32_t* at = &heads[bucket_of(flows[slot].hash)];
  while (*at != slot) at = &flows[*at].next;
  *at = flows[slot].next;
}

void MegaflowTable::Impl::retire(std::uint32_t slot) {
  const Flow& flow = flows[slot];
  take_out(slot);
  ports.remove_flow(DpPort{flow.port}, flow.mask);
  retire_slot(slot);
  --live;
  ports.forget_microflows(DpPort{flow.port});
}

// Nothing leads to the slot any more.
void MegaflowTable::Impl::take_out(std::uint32_t slot) {
  const Flow& flow = flows[slot];
  unchain(slot);  // first: a freed index entry must not go to this flow
  unindex_flow(slot);
  writer.erase(megaflow_key(slot));
  masks.release(flow.mask, epoch);
  ++stats.retired;
}

void MegaflowTable::Impl::retire_slot(std::uint32_t slot) {
  Flow& flow = flows[slot];
  store(maps.flows[slot].head.generation, __u32{0});
  if (flow.bridged) --bridged_flows[flow.port];
  flow.state = Flow::State::kRetired;
  collect(slot);
  affected.clear(slot);
  unlink_dependencies(macs[slot]);
  if (flow.group != 0) groups.release(flow.group, epoch);
  if (flow.list != kNoList) lists.release(flow.list, epoch);
  retired.add(epoch, slot);
}

// The flow moves to slot `fresh` with its new actions: each place that leads to it is changed by one store, so that a
// packet meets the older verdict or the newer one, never none.
void MegaflowTable::Impl::replace(std::uint32_t slot, Verdict&& verdict, TranslationRef translation,
                                  std::uint32_t fresh, TimePoint now) {
  const FlowKey key = key_of(slot);
  collect(slot);
  Flow& old_flow = flows[slot];
  Flow& flow = flows[fresh];
  flow = old_flow;
  set_shared(fresh, std::move(translation));
  earlier.set(fresh, {earlier[slot].packets + flow.seen_packets, earlier[slot].bytes + flow.seen_bytes});
  flow.seen_packets = flow.seen_bytes = 0;
  flow.group = verdict.group;
  flow.list = verdict.list;
  if (flow.bridged) ++bridged_flows[flow.port];
  begin_youth(fresh, now);  // the older actions may have sent packets up that are still on their way
  flow.in_kernel = verdict.encoded.in_kernel;
  flow.reason = static_cast<std::uint8_t>(verdict.encoded.reason);
  unchain(slot);
  chain(fresh);
  link_dependencies(fresh);
  set_affected(fresh, key);
  write_slot(fresh, key, verdict, true);
  write_megaflow(fresh);  // of a key that is there the value changes, which needs memory but no room
  if (flow.indexed) {
    const std::uint32_t tag = shunt_hash_tag(flow.hash);
    for (__u64& entry : maps.index[bucket_of(flow.hash)].entry)
      if (entry == SHUNT_INDEX_ENTRY(tag, slot)) store(entry, SHUNT_INDEX_ENTRY(tag, fresh));
  }
  retire_slot(slot);
  ports.forget_microflows(DpPort{flow.port});
}

void MegaflowTable::Impl::refresh(std::uint32_t slot, TranslationRef translation) {
  Flow& flow = flows[slot];
  collect(slot);  // what was counted so far is the old rules'
  const FlowMacs before = macs[slot];
  set_shared(slot, std::move(translation));
  set_affected(slot, key_of(slot));
  if (const std::uint16_t fields = fields_of(flow); fields != maps.flows[slot].head.fields) {
    store(maps.flows[slot].head.fields, fields);
    ports.keep_fields(DpPort{flow.port}, fields);
    ports.forget_microflows(DpPort{flow.port});
  }
  if (same_dependencies(before.dependencies(), macs[slot].dependencies())) return;
  link_dependencies(slot);  // under a new birth: what the older one is entered for counts as dead from here on
  unlink_dependencies(before);
}

void MegaflowTable::Impl::follow_mac_count() {
  const std::uint32_t most = ports.keeps_pairs() ? kMacsInPairs : kMacsInPairs / 2;
  if (const bool pairs = bridges.size() <= most; pairs != ports.keeps_pairs()) ports.keep_pairs(pairs);
}

void MegaflowTable::Impl::follow_keys() {
  region.follow(live);
  if (region.size() != ports.microflow_groups() || region.wants_refill()) ports.set_microflow_groups(region.size());
}

void MegaflowTable::Impl::forget_bridged() {
  if (!ports.keeps_pairs()) return;
  for (std::uint32_t port = 0; port < bridged_flows.size(); ++port)
    if (bridged_flows[port] != 0) ports.forget_microflows(DpPort{port});
}

void MegaflowTable::Impl::link_dependencies(std::uint32_t slot) {
  flows[slot].birth = ++births;
  dependencies.add(macs[slot].dependencies(), {slot, flows[slot].birth});
}

void MegaflowTable::Impl::set_affected(std::uint32_t slot, const FlowKey& key) {
  const Flow& flow = flows[slot];
  affected.set(slot, {DpPort{flow.port}, flow.mask, flow.translation->bridge, flow.translation->dependencies},
               masks.bits(flow.mask), key);
}

void MegaflowTable::Impl::set_translation(std::uint32_t slot, TranslationRef translation) {
  Flow& flow = flows[slot];
  flow.version = translation->version;
  macs.set(slot, FlowMacs{*translation});
  flow.translation = std::move(translation);
  flow.shared = false;
}

// By one that is shared: what the flow had, where that says the same.
void MegaflowTable::Impl::set_shared(std::uint32_t slot, TranslationRef translation) {
  Flow& flow = flows[slot];
  TranslationRef before = flow.shared ? std::move(flow.translation) : nullptr;
  set_translation(slot, std::move(translation));
  if (before != nullptr && SharedTranslations::are_alike(*before, *flow.translation)) {
    flow.translation = std::move(before);
    flow.shared = true;
  } else {
    share_translation(flow);
  }
}

void MegaflowTable::Impl::share_translation(Flow& flow) {
  const Translation* const before = flow.translation.get();
  flow.translation = translations.share(std::move(flow.translation));
  if (flow.translation.get() != before) ++stats.let_go;
  flow.shared = true;
}

void MegaflowTable::Impl::unlink_dependencies(const FlowMacs& of) {
  dependencies.remove(of.dependencies(), [&](const DependencyIndex::Dependent& dependent) {
    const Flow& flow = flows[dependent.slot];
    return flow.state == Flow::State::kLive && flow.birth == dependent.birth;
  });
}

MegaflowTable::Impl::Sums MegaflowTable::Impl::sums(std::uint32_t slot) const {
  Sums sums;
  for (std::size_t cpu = 0; cpu < maps.config.cpu_count; ++cpu) {
    const std::size_t at = cpu * limit + slot;
    // The kernel writes them in the other order: what is read here was counted there.
    sums.lost += load(maps.deltas[at].lost);
    sums.delta += load(maps.deltas[at].bytes);
    std::atomic_thread_fence(std::memory_order_acquire);
    sums.packets += load(maps.counters[at].packets);
    sums.bytes += load(maps.counters[at].bytes);
  }
  return sums;
}

// Credits what the slot counted since it was read last; returns the packets.
std::uint64_t MegaflowTable::Impl::collect(std::uint32_t slot) {
  Flow& flow = flows[slot];
  const Sums now = sums(slot);
  const Otherwise& seen = otherwise[slot];
  const Counted counted{now.packets - flow.seen_packets, now.bytes - flow.seen_bytes, now.lost - seen.lost,
                        static_cast<std::int64_t>(now.delta - seen.delta)};
  if (counted.packets == 0 && counted.lost == 0 && counted.delta == 0) return 0;
  flow.seen_packets = now.packets;
  flow.seen_bytes = now.bytes;
  otherwise.set(slot, {now.lost, now.delta});
  if (credit) credit(slot, flow, counted);
  return counted.packets;
}

}  // namespace shunt
