// SPDX-License-Identifier: Apache-2.0
// What MegaflowTable is made of: its public steps are in megaflow_table.cpp, how a flow gets into the maps and out of
// them in megaflow_slots.cpp, how those of an earlier daemon are taken over in megaflow_inherit.cpp. Included by these
// alone.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "bpf/datapath/mask.h"
#include "user/worker/action_lists.h"
#include "user/worker/affected_index.h"
#include "user/worker/dependency_index.h"
#include "user/worker/epoch_queue.h"
#include "user/worker/group_table.h"
#include "user/worker/mask_table.h"
#include "user/worker/megaflow_table.h"
#include "user/worker/megaflow_writer.h"
#include "user/worker/microflow_region.h"
#include "user/worker/port_masks.h"
#include "user/worker/shared_translations.h"
#include "user/worker/slot_values.h"

namespace shunt {

// A retired slot comes back after a grace period of 8-20 ms: evicting so much at once lets 100,000 new flows a second
// in.
inline constexpr std::uint32_t kEvictShare = 64;

// What the FDB's answer hangs on beside the flow's mask, which has the VLAN.
inline constexpr std::uint16_t kFdbFields = SHUNT_PLAIN_BRIDGE | SHUNT_PLAIN_DST | SHUNT_PLAIN_SRC | SHUNT_PLAIN_VLAN;

// Pairs of so many MACs are few enough for elements of the exact-match cache that are found in the processor's caches,
// and cost less than asking the FDB; of more the flow is kept and the FDB asked. The change back is at half of it.
inline constexpr std::uint32_t kMacsInPairs = 256;

struct MegaflowTable::Impl {
  explicit Impl(FlowMaps& flow_maps)
      : maps{flow_maps},
        limit{flow_maps.config.flow_limit},
        spare{std::max(1u, limit / kEvictShare)},
        masks{flow_maps.masks},
        groups{flow_maps},
        lists{flow_maps.action_lists},
        unsupported{lists.acquire(as_span(encode_userspace(SHUNT_UPCALL_UNSUPPORTED).actions)).value().first},
        writer{flow_maps},
        ports{flow_maps.ports},
        region{flow_maps.microflows, flow_maps.ports, flow_maps.config},
        bridges{flow_maps},
        affected{flow_maps.config.flow_limit},
        macs{limit},
        earlier{limit},
        otherwise{limit},
        heads(flow_maps.index.size(), kNoSlot) {
    flows.reserve(limit);
    ports.set_microflow_groups(region.size());
  }

  struct Traffic {
    std::uint64_t packets = 0, bytes = 0;
    [[nodiscard]] bool empty() const { return packets == 0 && bytes == 0; }
  };
  // What left otherwise than it was counted (shunt_flow_delta).
  struct Otherwise {
    std::uint64_t lost = 0, delta = 0;
    [[nodiscard]] bool empty() const { return lost == 0 && delta == 0; }
  };
  // What a flow becomes in the kernel: an encoding whose group has a number, and its actions a place.
  struct Verdict {
    Encoded encoded;
    std::uint16_t group = 0;
    std::uint32_t list = kNoList;
  };

  Verdict decide(const Translation& translation, DpPort port);
  void undo(const Verdict& verdict);  // which no flow got
  // `known`: the number of the translation's mask, where it has one.
  std::optional<std::uint16_t> choose_mask(const Translation& translation, std::optional<std::uint16_t> known,
                                           DpPort port, const Encoded& encoded);
  bool has_features(const FlowMask& mask, const Encoded& encoded);
  std::uint32_t find(const FlowKey& key, std::uint16_t mask, std::uint64_t hash,
                     Flow::State state = Flow::State::kLive) const;

  // What a packet must have alike with the flow's for the exact-match cache to answer it (SHUNT_PLAIN_*): what the mask
  // looks at; of flows that are cached exactly for want of room what their translation looked at, which is all that
  // matters.
  [[nodiscard]] std::uint16_t fields_of(const Flow& flow) const;

  std::uint32_t take_slot();
  void free_slot(std::uint32_t slot);
  void begin_youth(std::uint32_t slot, TimePoint now);
  void write_slot(std::uint32_t slot, const FlowKey& key, const Verdict& verdict, bool young);
  [[nodiscard]] shunt_megaflow_key megaflow_key(std::uint32_t slot) const;
  void write_megaflow(std::uint32_t slot);
  void take_back_refused();
  void index_flow(std::uint32_t slot);
  void unindex_flow(std::uint32_t slot);
  void promote_overflow(std::uint32_t bucket);
  void chain(std::uint32_t slot);
  void unchain(std::uint32_t slot);
  void retire_slot(std::uint32_t slot);  // what is left when nothing leads to it any more
  void retire(std::uint32_t slot);
  void take_out(std::uint32_t slot);
  void retire_void(std::uint32_t slot);
  void replace(std::uint32_t slot, Verdict&& verdict, TranslationRef translation, std::uint32_t fresh, TimePoint now);
  void refresh(std::uint32_t slot, TranslationRef translation);
  void forget_bridged();   // by the exact-match cache
  void follow_mac_count(); // so does what it keeps
  void follow_keys();      // and how much of it is in use
  void link_dependencies(std::uint32_t slot);
  void set_affected(std::uint32_t slot, const FlowKey& key);  // in the index: what the flow's translation looked at
  void unlink_dependencies(const FlowMacs& of);
  void set_translation(std::uint32_t slot, TranslationRef translation);
  void set_shared(std::uint32_t slot, TranslationRef translation);
  void share_translation(Flow& flow);
  // What a slot counted since it was written, over all CPUs.
  struct Sums {
    std::uint64_t packets = 0, bytes = 0, lost = 0, delta = 0;
  };
  [[nodiscard]] Sums sums(std::uint32_t slot) const;
  std::uint64_t collect(std::uint32_t slot);
  bool inherit(const shunt_megaflow_key& key, std::uint32_t slot, const Credited& credited, TimePoint now);
  void inherit_credit(std::uint32_t slot, const FlowCredit& before);
  void inherit_index();

  [[nodiscard]] std::uint32_t bucket_of(std::uint64_t hash) const {
    return shunt_hash_bucket(hash, maps.config.index_mask);
  }
  [[nodiscard]] std::uint64_t hash_of(const FlowKey& key, std::uint16_t mask) const {
    return shunt_hash_masked(&key, &masks.layout(mask), mask, maps.config.hash_seed, maps.config.hash_multiplier);
  }
  [[nodiscard]] FlowKey key_of(std::uint32_t slot) const {
    const shunt_mask& layout = masks.layout(flows[slot].mask);
    KeyWords words{};
    for (std::size_t i = 0; i < layout.word_count; ++i) words[layout.word[i]] = maps.flows[slot].key[i];
    return from_words(words);
  }
  // The i-th that take_slot() will give from now on, unless more come back; kNoSlot: not known.
  [[nodiscard]] std::uint32_t upcoming_slot(std::size_t i) const {
    if (i < free.size()) return free[free.size() - 1 - i];
    return free.empty() && flows.size() + i < limit ? static_cast<std::uint32_t>(flows.size() + i) : kNoSlot;
  }
  [[nodiscard]] std::uint32_t free_slots() const {
    return static_cast<std::uint32_t>(free.size()) + limit - static_cast<std::uint32_t>(flows.size());
  }

  FlowMaps& maps;
  const std::uint32_t limit, spare;
  MaskTable masks;
  GroupTable groups;
  ActionLists lists;
  const std::uint32_t unsupported;  // the list that is left where there is room for no other
  MegaflowWriter writer;
  PortMasks ports;
  MicroflowRegion region;
  BridgeTable bridges;
  AffectedIndex affected;
  SharedTranslations translations;
  std::array<std::uint32_t, SHUNT_MAX_PORTS> bridged_flows{};  // by port
  PortOutputs outputs{};
  std::vector<Flow> flows;           // by slot; grows to the limit, for which it has room: none ever moves
  SlotValues<FlowMacs> macs;         // where its translation's MACs are each flow's own
  SlotValues<Traffic> earlier;       // what flows counted in the slots that they had before
  SlotValues<Otherwise> otherwise;   // of the slot's counters, at the last collection
  std::vector<std::uint32_t> heads;  // by index bucket: chain of its live flows, indexed or overflowed
  std::vector<std::uint32_t> free;
  DependencyIndex dependencies;
  struct Young {
    std::uint32_t slot;
    std::uint32_t youth;
    TimePoint published;  // with these actions
  };
  std::deque<Young> young;
  std::vector<std::uint32_t> staged;  // live, and nothing leads to them yet
  EpochQueue<std::uint32_t> retired;
  std::vector<std::uint32_t> voided;  // slots; some were retired since, and may be in use again
  std::uint64_t epoch = 1;
  std::uint32_t births = 0, youths = 0, live = 0, overflow = 0;
  std::uint32_t features = SHUNT_FEATURE_ALL, wanted = 0;
  Credit credit;
  Stats stats;
};

}  // namespace shunt
