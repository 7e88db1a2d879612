// SPDX-License-Identifier: Apache-2.0
// Taking over the flows that an earlier daemon left in the maps. It may have died between any two stores: what counts
// is `megaflows`; the index is brought in line with it, and what nothing leads to is free.
#include <algorithm>
#include <atomic>
#include <vector>

#include "user/worker/megaflow_table_impl.h"

namespace shunt {
namespace {

template <typename T>
void store(T& at, T value) noexcept {
  std::atomic_ref<T>{at}.store(value, std::memory_order_release);
}

}  // namespace

void MegaflowTable::inherit_port(DpPort port) { impl_->ports.inherit_port(port); }

std::uint32_t MegaflowTable::inherit(const Credited& credited, TimePoint now) {
  Impl& t = *impl_;
  t.masks.inherit();
  std::vector<shunt_megaflow_key> strays;
  t.maps.for_each_megaflow([&](const shunt_megaflow_key& key, const shunt_megaflow& value) {
    if (!t.inherit(key, value.head.slot, credited, now)) strays.push_back(key);
  });
  t.maps.erase_megaflows(strays);
  t.lists.found_all();
  t.inherit_index();
  for (std::uint32_t slot = 0; slot < slot_end(); ++slot) {
    if (flow(slot) != nullptr) continue;
    store(t.maps.flows[slot].head.generation, __u32{0});  // an old hint may still lead there
    t.free.push_back(slot);
  }
  t.ports.forget_unused();
  t.masks.forget_unused(t.epoch);
  t.maps.wait_grace_period();  // free slots and groups are free of programs too from here on
  return static_cast<std::uint32_t>(strays.size());
}

bool MegaflowTable::confirm(std::uint32_t slot, TranslationRef translation, TimePoint now) {
  impl_->set_translation(slot, translation);
  impl_->link_dependencies(slot);
  impl_->set_affected(slot, key(slot));
  return update(slot, std::move(translation), now);
}

// True where what the maps hold of the flow is whole and belongs together.
bool MegaflowTable::Impl::inherit(const shunt_megaflow_key& key, std::uint32_t slot, const Credited& credited,
                                  TimePoint now) {
  const DpPort port{key.key.in_port};
  if (slot >= limit || !ports.exists(port) || !masks.has_number(key.mask)) return false;
  const shunt_flow& element = maps.flows[slot];
  const auto mask = static_cast<std::uint16_t>(key.mask);
  if (element.head.generation != ports.generation(port) || element.head.mask != mask ||
      !shunt_packed_equal(&key.key, &masks.layout(mask), element.key))
    return false;
  if (slot < flows.size() && flows[slot].state == Flow::State::kLive) return false;
  const bool has_list = (element.head.flags & SHUNT_FLOW_SINGLE_OUTPUT) == 0;
  const bool has_rewrite = (element.head.flags & SHUNT_FLOW_REWRITE) != 0;
  if (has_list && !lists.inherit(element.actions, element.head.action_count, has_rewrite)) return false;
  const std::span<const shunt_action> actions =
      has_list ? lists.actions(element.actions) : std::span<const shunt_action>{};
  const std::uint16_t group =
      has_list && actions.back().type == SHUNT_ACT_OUTPUT_GROUP ? actions.back().arg : std::uint16_t{0};
  if (group != 0 && !groups.inherit(group, outputs)) {
    lists.release(element.actions, epoch);
    return false;
  }

  if (flows.size() <= slot) flows.resize(slot + 1);
  Flow& flow = flows[slot];
  flow.created = flow.used = now;
  flow.hash = hash_of(key.key, mask);
  flow.mask = mask;
  flow.port = static_cast<std::uint16_t>(port.value);
  flow.group = group;
  flow.list = has_list ? element.actions : kNoList;
  flow.in_kernel = !has_list || actions.front().type != SHUNT_ACT_USERSPACE;
  flow.reason = flow.in_kernel ? std::uint8_t{0} : actions.front().field;
  flow.bridged = (element.head.flags & SHUNT_FLOW_BRIDGE) != 0;
  flow.state = Flow::State::kLive;
  if (flow.bridged) ++bridged_flows[flow.port];
  if ((element.head.flags & SHUNT_FLOW_YOUNG) != 0) begin_youth(slot, now);
  if (const FlowCredit* before = credited ? credited(slot, flow.hash) : nullptr) inherit_credit(slot, *before);
  (void)masks.acquire(masks.bits(mask));  // known, so it gets the same number
  ports.add_flow(port, mask, static_cast<std::uint16_t>(masks.fields(mask) | (flow.bridged ? kFdbFields : 0)));
  chain(slot);
  ++live;
  return true;
}

void MegaflowTable::Impl::inherit_credit(std::uint32_t slot, const FlowCredit& before) {
  Flow& flow = flows[slot];
  flow.created = TimePoint{TimePoint::duration{before.created}};
  // Else it is an earlier user's of the slot, under the same key.
  if (const Sums counted = sums(slot); before.seen_packets > counted.packets || before.seen_bytes > counted.bytes)
    return;
  flow.seen_packets = before.seen_packets;
  flow.seen_bytes = before.seen_bytes;
  earlier.set(slot, {before.packets - before.seen_packets, before.bytes - before.seen_bytes});
  otherwise.set(slot, {before.seen_lost, before.seen_delta});
}

void MegaflowTable::Impl::inherit_index() {
  for (std::uint32_t number = 0; number < maps.index.size(); ++number) {
    for (__u64& entry : maps.index[number].entry) {
      if (entry == 0) continue;
      const std::uint32_t slot = SHUNT_INDEX_SLOT(entry);
      Flow* flow = slot < flows.size() && flows[slot].state == Flow::State::kLive ? &flows[slot] : nullptr;
      if (flow != nullptr && !flow->indexed && bucket_of(flow->hash) == number &&
          SHUNT_INDEX_TAG(entry) == shunt_hash_tag(flow->hash))
        flow->indexed = true;
      else
        store(entry, __u64{0});
    }
  }
  // First the flows that get an entry, then the counts of those that find none: the hash map answers for them
  // meanwhile.
  std::vector<__u64> overflowed(maps.index.size());
  for (std::uint32_t slot = 0; slot < flows.size(); ++slot) {
    Flow& flow = flows[slot];
    if (flow.state != Flow::State::kLive || flow.indexed) continue;
    const std::uint32_t number = bucket_of(flow.hash);
    const auto entries = std::span{maps.index[number].entry};
    const auto free_entry = std::ranges::find(entries, __u64{0});
    if (free_entry == entries.end()) {
      ++overflowed[number];
      ++overflow;
      continue;
    }
    store(*free_entry, SHUNT_INDEX_ENTRY(shunt_hash_tag(flow.hash), slot));
    flow.indexed = true;
  }
  for (std::uint32_t number = 0; number < maps.index.size(); ++number)
    if (maps.index[number].overflow != overflowed[number]) store(maps.index[number].overflow, overflowed[number]);
}

}  // namespace shunt
