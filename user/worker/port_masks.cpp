// SPDX-License-Identifier: Apache-2.0
#include "user/worker/port_masks.h"

#include <algorithm>
#include <atomic>

namespace shunt {
namespace {

template <typename T>
void store(T& at, T value) noexcept {
  std::atomic_ref<T>{at}.store(value, std::memory_order_release);
}

}  // namespace

void PortMasks::add_port(DpPort port) {
  List& list = lists_[port.value];
  list.exists = true;
  list.exact_flows = list.exact_fields = 0;
  list.masks.clear();
  list.generation = std::max(list.generation, ports_[port.value].generation);  // of an earlier daemon's port
  list.microflows = std::max<std::uint64_t>(list.microflows, ports_[port.value].microflows >> SHUNT_MICROFLOWS_SHIFT);
  store(ports_[port.value].microflow_groups, microflow_groups_);
  publish(port);
  raise_generation(port);
}

void PortMasks::inherit_port(DpPort port) {
  const shunt_port& element = ports_[port.value];
  if (element.generation == 0) return add_port(port);
  List& list = lists_[port.value];
  list = List{};
  list.exists = true;
  list.generation = element.generation;
  store(ports_[port.value].microflow_groups, microflow_groups_);
  list.microflows = element.microflows >> SHUNT_MICROFLOWS_SHIFT;
  for (std::size_t i = 0; i < std::min<std::size_t>(element.mask_count, SHUNT_PORT_MASKS); ++i) {
    // Twice there where a daemon died while it swapped two.
    const auto is_it = [&](const Listed& listed) { return listed.mask == element.masks[i]; };
    if (std::ranges::none_of(list.masks, is_it)) list.masks.push_back({.mask = element.masks[i]});
  }
}

void PortMasks::forget_unused() {
  for (std::uint32_t number = 0; number < lists_.size(); ++number) {
    List& list = lists_[number];
    if (!list.exists) continue;
    std::erase_if(list.masks, [](const Listed& listed) { return listed.flows == 0; });
    publish(DpPort{number});
  }
}

void PortMasks::keep_pairs(bool pairs) {
  keeps_pairs_ = pairs;
  for (std::uint32_t number = 0; number < lists_.size(); ++number)
    if (lists_[number].exists) publish(DpPort{number});
}

void PortMasks::remove_port(DpPort port) {
  lists_[port.value].exists = false;
  raise_generation(port);
}

void PortMasks::raise_generation(DpPort port) {
  // Kept here and not read back: a port number that is used anew must not meet flows of its last life.
  std::uint32_t& generation = lists_[port.value].generation;
  if (++generation == 0) ++generation;
  store(ports_[port.value].generation, generation);
  forget_microflows(port);
}

void PortMasks::forget_microflows(DpPort port) {
  List& list = lists_[port.value];
  store(ports_[port.value].microflows, __u64{SHUNT_MICROFLOWS(++list.microflows, list.fields)});
}

// What lies elsewhere than it would now would count as in use.
void PortMasks::set_microflow_groups(std::uint32_t groups) {
  microflow_groups_ = groups;
  for (std::uint32_t number = 0; number < lists_.size(); ++number) {
    if (!lists_[number].exists) continue;
    store(ports_[number].microflow_groups, groups);
    forget_microflows(DpPort{number});
  }
}

std::vector<std::uint16_t> PortMasks::masks(DpPort port) const {
  std::vector<std::uint16_t> masks;
  for (const Listed& listed : lists_[port.value].masks) masks.push_back(listed.mask);
  return masks;
}

std::uint32_t PortMasks::flow_count(DpPort port) const {
  const List& list = lists_[port.value];
  std::uint32_t sum = list.exact_flows;
  for (const Listed& listed : list.masks) sum += listed.flows;
  return sum;
}

bool PortMasks::listed(DpPort port, std::uint16_t mask) const {
  const auto& masks = lists_[port.value].masks;
  return std::any_of(masks.begin(), masks.end(), [&](const Listed& listed) { return listed.mask == mask; });
}

void PortMasks::add_flow(DpPort port, std::uint16_t mask, std::uint16_t fields) {
  List& list = lists_[port.value];
  if (mask == SHUNT_MASK_EXACT) {
    if (list.exact_flows++ == 0) set_flags(port);
    keep_fields(port, fields);
    return;
  }
  for (Listed& listed : list.masks) {
    if (listed.mask != mask) continue;
    ++listed.flows;
    if ((fields & ~listed.fields) == 0) return;
    listed.fields = static_cast<std::uint16_t>(listed.fields | fields);
    return publish(port);
  }
  list.masks.push_back({.mask = mask, .fields = fields, .flows = 1});
  publish(port);
}

void PortMasks::remove_flow(DpPort port, std::uint16_t mask) {
  List& list = lists_[port.value];
  if (mask == SHUNT_MASK_EXACT) {
    if (--list.exact_flows != 0) return;
    list.exact_fields = 0;
    publish(port);
    return;
  }
  const auto listed =
      std::find_if(list.masks.begin(), list.masks.end(), [&](const Listed& entry) { return entry.mask == mask; });
  if (listed == list.masks.end() || --listed->flows > 0) return;
  list.masks.erase(listed);
  publish(port);
}

void PortMasks::keep_fields(DpPort port, std::uint16_t fields) {
  std::uint16_t& kept = lists_[port.value].exact_fields;
  if ((fields & SHUNT_PLAIN_OTHER) != 0 || (fields & ~kept) == 0) return;
  kept = static_cast<std::uint16_t>(kept | fields);
  publish(port);
}

void PortMasks::count_hits(DpPort port, std::uint16_t mask, std::uint64_t hits) {
  for (Listed& listed : lists_[port.value].masks)
    if (listed.mask == mask) listed.hits += hits;
}

void PortMasks::rank() {
  for (std::uint32_t number = 0; number < lists_.size(); ++number) {
    auto& masks = lists_[number].masks;
    bool moved = false;
    // A mask overtakes its neighbour when it has a quarter more hits: near equals stay, for each move costs some
    // packets a way through userspace.
    for (std::size_t i = 1; i < masks.size(); ++i)
      for (std::size_t j = i; j > 0 && masks[j].hits > masks[j - 1].hits + masks[j - 1].hits / 4; --j) {
        std::swap(masks[j], masks[j - 1]);
        moved = true;
      }
    for (Listed& listed : masks) listed.hits /= 2;
    if (moved) publish(DpPort{number});
  }
}

void PortMasks::publish(DpPort port) {
  shunt_port& element = ports_[port.value];
  List& list = lists_[port.value];
  const auto& masks = list.masks;
  for (std::size_t i = 0; i < masks.size(); ++i) store(element.masks[i], masks[i].mask);
  store(element.mask_count, static_cast<__u16>(masks.size()));
  set_flags(port);
  // What flows look at that the exact-match cache can keep: a key that holds less than one of them is never given to
  // it.
  list.fields = std::uint64_t{SHUNT_PLAIN_ON} | list.exact_fields;
  for (const Listed& listed : masks)
    if ((listed.fields & SHUNT_PLAIN_OTHER) == 0) list.fields |= listed.fields;
  if (keeps_pairs_) list.fields &= ~std::uint64_t{SHUNT_PLAIN_BRIDGE};
  forget_microflows(port);
}

void PortMasks::set_flags(DpPort port) {
  const List& list = lists_[port.value];
  const std::uint32_t exact = list.exact_flows > 0 ? SHUNT_PORT_EXACT : 0;
  const bool pays = list.masks.size() + (exact != 0 ? 1 : 0) >= kHintsFrom;
  wants_hints_ = wants_hints_ || pays;
  const std::uint32_t set = exact | (pays ? SHUNT_PORT_HINTS : 0);
  const std::uint32_t clear = (SHUNT_PORT_EXACT | SHUNT_PORT_HINTS) & ~set;
  // The word's other flags are written by control.
  std::atomic_ref<__u32> flags{ports_[port.value].flags};
  flags.fetch_or(set, std::memory_order_release);
  flags.fetch_and(~clear, std::memory_order_release);
}

}  // namespace shunt
