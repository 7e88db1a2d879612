// SPDX-License-Identifier: Apache-2.0
// The flow cache's maps in plain memory, and a model of the kernel's look-up over them: the steps of maps/flow.h, by
// the same mask.h. The simple thing that the megaflow table is compared with.
#pragma once

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "bpf/datapath/fdb.h"
#include "bpf/datapath/mask.h"
#include "user/flow/flow_key.h"
#include "user/worker/flow_maps.h"

namespace shunt::test {

inline shunt_action output_to(std::uint16_t port, bool also_in_port = false) {
  shunt_action action{};
  action.type = SHUNT_ACT_OUTPUT;
  action.arg = port;
  action.field = also_in_port ? 1 : 0;
  return action;
}

class MemoryMaps final : public FlowMaps {
 public:
  explicit MemoryMaps(std::uint32_t flow_limit, std::uint32_t buckets = 64, std::uint32_t elements = 4096)
      : flows_(flow_limit),
        action_lists_(elements),
        index_(buckets),
        microflows_(kMicroflowGroups),
        counters_(flow_limit * kCpus),
        deltas_(flow_limit * kCpus),
        masks_(SHUNT_MAX_MASKS),
        ports_(SHUNT_MAX_PORTS),
        fdb_(SHUNT_FDB_BUCKETS) {
    config.flow_limit = flow_limit;
    config.index_mask = buckets - 1;
    config.cpu_count = kCpus;
    config.hash_seed = 0x1234567890abcdef;
    config.hash_multiplier = 0x9e3779b97f4a7c15;
    flows = flows_;
    action_lists = action_lists_;
    index = index_;
    microflows = microflows_;
    counters = counters_;
    deltas = deltas_;
    masks = masks_;
    ports = ports_;
    fdb = fdb_;
  }

  void update_megaflows(std::span<const shunt_megaflow_key> keys, std::span<const shunt_megaflow> values,
                        std::span<int> errors) noexcept override {
    const std::lock_guard lock{table_mutex};
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const bool refuses = fail_updates || (refused && (*refused)-- == 0);
      errors[i] = refuses ? -ENOMEM : 0;
      if (!refuses) table[key_bytes(keys[i])] = values[i];
    }
  }
  void erase_megaflows(std::span<const shunt_megaflow_key> keys) noexcept override {
    const std::lock_guard lock{table_mutex};
    for (const shunt_megaflow_key& key : keys) table.erase(key_bytes(key));
  }
  int set_group(std::uint16_t group, std::span<const Ifindex> members) noexcept override {
    if (fail_groups) return -ENOMEM;
    groups[group].assign(members.begin(), members.end());
    return 0;
  }
  void for_each_megaflow(
      const std::function<void(const shunt_megaflow_key&, const shunt_megaflow&)>& visit) const override {
    for (const auto& [bytes, value] : table) {
      shunt_megaflow_key key;
      std::memcpy(&key, bytes.data(), sizeof key);
      visit(key, value);
    }
  }
  [[nodiscard]] std::vector<Ifindex> group_members(std::uint16_t group) const override {
    const auto found = groups.find(group);
    return found == groups.end() ? std::vector<Ifindex>{} : found->second;
  }
  void wait_grace_period() override {
    while (hold_grace_periods) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    ++grace_periods;
  }

  struct Hit {
    std::uint32_t slot;
    std::vector<shunt_action> actions;
    std::uint8_t flags;
    unsigned lookups;  // masks tried
  };
  // What the kernel does with a packet: its port's masks in order, then the exact one. What the FDB answers is an
  // OUTPUT.
  [[nodiscard]] std::optional<Hit> lookup(const FlowKey& key) const {
    const shunt_port& port = ports[key.in_port];
    unsigned lookups = 0;
    for (unsigned i = 0; i < port.mask_count && i < SHUNT_PORT_MASKS; ++i) {
      ++lookups;
      if (const auto slot = under_mask(key, port.masks[i], port.generation))
        if (auto found = hit(*slot, lookups, key)) return found;
    }
    if ((port.flags & SHUNT_PORT_EXACT) == 0) return std::nullopt;
    ++lookups;
    if (const auto slot = under_mask(key, SHUNT_MASK_EXACT, port.generation)) return hit(*slot, lookups, key);
    return std::nullopt;
  }
  // A packet that hits, counted by a CPU.
  bool packet(const FlowKey& key, std::uint32_t bytes = 100, std::size_t cpu = 0) {
    const auto found = lookup(key);
    if (!found) return false;
    counters[cpu * config.flow_limit + found->slot].packets += 1;
    counters[cpu * config.flow_limit + found->slot].bytes += bytes;
    return true;
  }

  static constexpr std::uint32_t kCpus = 2, kMicroflowGroups = 4096;
  using KeyBytes = std::vector<unsigned char>;
  std::map<KeyBytes, shunt_megaflow> table;
  std::mutex table_mutex;  // for the megaflow writer's thread, and who reads while it may write
  std::map<std::uint16_t, std::vector<Ifindex>> groups;
  std::atomic<int> grace_periods{0};
  std::atomic<bool> hold_grace_periods{false};  // a program runs for so long
  bool fail_updates = false, fail_groups = false;
  std::optional<std::size_t> refused;  // so many updates succeed, then one fails

  [[nodiscard]] __u64* fdb_entry(std::uint64_t key) const {
    const std::uint64_t spread = shunt_fdb_spread(key, config.hash_seed, config.hash_multiplier);
    for (std::uint32_t probe = 0; probe < SHUNT_FDB_PROBES; ++probe)
      for (__u64& entry : fdb[shunt_fdb_bucket_of(spread, probe)].entry)
        if (shunt_fdb_has_name(entry, shunt_fdb_name(spread, probe)) != 0) return &entry;
    return nullptr;
  }

 private:
  static KeyBytes key_bytes(const shunt_megaflow_key& key) {
    const auto* at = reinterpret_cast<const unsigned char*>(&key);
    return {at, at + sizeof key};
  }
  [[nodiscard]] bool answers(std::uint32_t slot, const FlowKey& key, std::uint32_t mask,
                             std::uint32_t generation) const {
    const shunt_flow& flow = flows[slot];
    return flow.head.generation == generation && flow.head.mask == mask &&
           shunt_packed_equal(&key, &masks[mask], flow.key) != 0;
  }
  [[nodiscard]] std::optional<std::uint32_t> under_mask(const FlowKey& key, std::uint32_t mask,
                                                        std::uint32_t generation) const {
    const std::uint64_t hash = shunt_hash_masked(&key, &masks[mask], mask, config.hash_seed, config.hash_multiplier);
    const shunt_index_bucket& bucket = index[shunt_hash_bucket(hash, config.index_mask)];
    bool tag_matched = false;
    for (const __u64 entry : bucket.entry) {
      if (entry == 0 || SHUNT_INDEX_TAG(entry) != shunt_hash_tag(hash)) continue;
      tag_matched = true;
      if (answers(SHUNT_INDEX_SLOT(entry), key, mask, generation)) return SHUNT_INDEX_SLOT(entry);
      break;
    }
    if (!tag_matched && bucket.overflow == 0) return std::nullopt;
    shunt_megaflow_key masked{};
    shunt_mask_key(&key, &masks[mask], &masked.key);
    masked.mask = mask;
    const auto found = table.find(key_bytes(masked));
    if (found == table.end() || !answers(found->second.head.slot, key, mask, generation)) return std::nullopt;
    return found->second.head.slot;
  }
  [[nodiscard]] std::optional<Hit> hit(std::uint32_t slot, unsigned lookups, const FlowKey& key) const {
    const shunt_flow& flow = flows[slot];
    if ((flow.head.flags & SHUNT_FLOW_SINGLE_OUTPUT) != 0)
      return Hit{slot, {output_to(flow.head.output)}, flow.head.flags, lookups};
    const auto actions = action_lists.subspan(flow.actions, flow.head.action_count);
    Hit hit{slot, {actions.begin(), actions.end()}, flow.head.flags, lookups};
    if ((flow.head.flags & SHUNT_FLOW_BRIDGE) == 0) return hit;
    const std::uint16_t number = flow.head.output;
    __u64 *src = fdb_entry(shunt_fdb_src(&key, number)), *dst = fdb_entry(shunt_fdb_dst(&key, number));
    if (src == nullptr || dst == nullptr || SHUNT_FDB_PORT(*src) != key.in_port ||
        SHUNT_FDB_PORT(*dst) == key.in_port || (*dst & shunt_fdb_form(&key)) == 0)
      return std::nullopt;
    *src |= SHUNT_FDB_USED;
    if (((*src | *dst) & SHUNT_FDB_YOUNG) != 0) hit.flags |= SHUNT_FLOW_YOUNG;
    hit.actions = {output_to(static_cast<std::uint16_t>(SHUNT_FDB_PORT(*dst)))};
    return hit;
  }

  std::vector<shunt_flow> flows_;
  std::vector<shunt_action> action_lists_;
  std::vector<shunt_index_bucket> index_;
  std::vector<shunt_microflow_group> microflows_;
  std::vector<shunt_flow_counters> counters_;
  std::vector<shunt_flow_delta> deltas_;
  std::vector<shunt_mask> masks_;
  std::vector<shunt_port> ports_;
  std::vector<shunt_fdb_bucket> fdb_;
};

inline shunt_action simple(shunt_action_type type, std::uint16_t arg = 0) {
  shunt_action action{};
  action.type = static_cast<__u8>(type);
  action.arg = arg;
  return action;
}
inline shunt_action push_vlan(std::uint8_t vid) {
  shunt_action action{};
  action.type = SHUNT_ACT_PUSH_VLAN;
  action.value[0] = 0x81;
  action.value[3] = vid;
  return action;
}
inline shunt_action set_eth_dst(std::uint8_t last) {
  shunt_action action{};
  action.type = SHUNT_ACT_SET_FIELD;
  action.field = SHUNT_FIELD_ETH_DST;
  action.value[5] = last;
  std::memset(action.mask, 0xff, sizeof action.mask);
  return action;
}

}  // namespace shunt::test
