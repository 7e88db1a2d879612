// SPDX-License-Identifier: Apache-2.0
// The megaflow table: what the cache's maps hold (maps/flow.h), and with each flow what userspace knows of it: the
// translation it came from, its counters, its age. It allocates slots, mask numbers and output groups, keeps each
// port's ordered list of masks, and publishes and retires in the order that a look-up running at the same time needs.
//
// Invariants: an element of the maps that a program may still read is not written until a grace period has passed
// (epochs: what is retired carries retire_epoch(); reclaim() frees what is old enough). A flow's mask is in its port's
// list, or the flow is exact. Two live flows never have the same mask and masked key.
//
// Threads: the revalidator alone. The kernel's programs read the maps meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "user/base/clock.h"
#include "user/worker/bridge_table.h"
#include "user/worker/encode.h"
#include "user/worker/flow_macs.h"
#include "user/worker/flow_maps.h"
#include "user/worker/upcall.h"

namespace shunt {

class AffectedIndex;
class MegaflowWriter;

// What of a cached flow's counters has been credited.
struct FlowCredit {
  std::uint64_t slot = 0, hash = 0;                                               // hash: of its masked key and mask
  std::uint64_t packets = 0, bytes = 0;                                           // in its whole life
  std::uint64_t seen_packets = 0, seen_bytes = 0, seen_lost = 0, seen_delta = 0;  // of what its slot counted
  TimePoint::rep created = 0;
};

class MegaflowTable {
 public:
  static constexpr std::uint32_t kNoSlot = ~std::uint32_t{0};
  static constexpr std::uint32_t kNoList = ~std::uint32_t{0};

  enum class Publish {
    kPublished,
    kExists,    // an equal flow is there; its translation was refreshed
    kFull,      // no free slot or mask number just now; evict or reclaim, the flow's next packet asks again
    kFeatures,  // the loaded program lacks what this flow needs: see wanted_features()
    kNoPort,    // in_port is no port
    kError,     // a map refused
  };

  // A live flow: what each has, for there are many. References are good until the next call that retires.
  struct Flow {
    TranslationRef translation;  // where `shared` others have it too: but for version and MACs, which are macs()
    std::uint64_t version = 0;                       // of the switch's state that it was translated under
    TimePoint created{}, used{};                     // used: last seen to have hits; creation at first
    std::uint64_t seen_packets = 0, seen_bytes = 0;  // of the slot's counters, at the last collection
    std::uint64_t hash = 0;
    std::uint32_t next = kNoSlot;  // in the chain of its index bucket
    std::uint32_t birth = 0;       // tells a slot's users apart
    std::uint32_t decayed = 0;     // hits, halved each second
    std::uint32_t list = kNoList;  // of actions; none: one output
    std::uint32_t youth = 0;       // tells which of the queue's young ones it is; 0: none any more
    std::uint16_t mask = 0;
    std::uint16_t port = 0;
    std::uint16_t group = 0;  // 0: none
    std::uint8_t reason = 0;  // where userspace answers: enum shunt_upcall_reason
    enum class State : std::uint8_t { kFree, kLive, kVoid, kRetired } state = State::kFree;
    bool indexed : 1 = false;
    bool in_kernel : 1 = true;
    bool bridged : 1 = false;  // BRIDGE: answers only what the FDB's entries know
    bool shared : 1 = false;
  };
  static_assert(sizeof(Flow) == 96);

  struct Stats {
    std::uint64_t published = 0, refused = 0, exact_fallback = 0, evicted = 0, replaced = 0, retired = 0;
    std::uint64_t let_go = 0;  // translations, by flows that ended or found another of the same content
    std::uint32_t flows = 0, masks = 0, groups = 0, overflow = 0;
    std::uint32_t microflow_units = 0, microflow_unit_limit = 0;  // of the exact-match cache: in use, of all
  };

  // What of the cache is one port's.
  struct Share {
    std::uint32_t flows = 0, masks = 0;  // masks: listed, of SHUNT_PORT_MASKS
  };

  // What a flow counted since the last time. What was sent may follow what was counted later: then `lost` and `delta`
  // are all there is.
  struct Counted {
    std::uint64_t packets = 0, bytes = 0;  // as received
    std::uint64_t lost = 0;                // of these, packets that did not leave though the flow has an output
    std::int64_t delta = 0;                // bytes sent less bytes received
  };
  using Credit = std::function<void(std::uint32_t slot, const Flow& flow, const Counted& counted)>;

  explicit MegaflowTable(FlowMaps& maps);  // borrows; the maps are empty, or inherit() comes first
  ~MegaflowTable();
  MegaflowTable(const MegaflowTable&) = delete;
  MegaflowTable& operator=(const MegaflowTable&) = delete;

  void set_credit(Credit credit);

  // Ports. add_port gives it a generation of its own; remove_port retires its flows. update_outputs tells how a port is
  // reached and rebuilds the groups it is in.
  void add_port(DpPort port);
  void inherit_port(DpPort port);  // instead of add_port(): with the generation and masks that it has in the maps
  void remove_port(DpPort port);
  void update_output(DpPort port, const PortOutput& output);
  [[nodiscard]] const PortOutputs& outputs() const;

  // Takes over the flows that an earlier daemon left in the maps; before any is published, after the ports and their
  // outputs are known. `credited` may say what that daemon had credited of a slot's flow already, else all that the
  // slot counted is credited anew. Returns how many were not whole, and are gone. Each flow must be confirmed before
  // any other call: with what it would be today, which update() then makes of it.
  using Credited = std::function<const FlowCredit*(std::uint32_t slot, std::uint64_t hash)>;
  std::uint32_t inherit(const Credited& credited, TimePoint now);
  bool confirm(std::uint32_t slot, TranslationRef translation, TimePoint now);

  // Publishes the flow of a packet with `key`.
  Publish publish(const FlowKey& key, TranslationRef translation, TimePoint now);
  // The same of many flows: those that stage() says to be published are so when commit() has returned. At most kStage
  // wait; whatever changes flows commits them first.
  static constexpr std::size_t kStage = 64;
  Publish stage(const FlowKey& key, TranslationRef translation, TimePoint now);
  void commit();
  // What is to be written to the hash map is handed to its writer; what that refused is retired (Stats::refused).
  void write_out();
  void settle();  // likewise, and is written when this returns
  [[nodiscard]] MegaflowWriter& writer();
  // Fetches into the processor's cache what staging these will touch. At most kStage.
  void prefetch(std::span<const FlowRequest> requests) const;
  // Likewise what translating flows again will touch, of a walk over these slots that has come to the first.
  void prefetch_walk(std::span<const std::uint32_t> slots) const;
  // The flow is answered by `translation` from now on: in place where the actions are the same, by a new slot where
  // they differ; retires it where the new mask looks at more than the flow's, or only one of the two is bridged. True:
  // the kernel had to be changed.
  bool update(std::uint32_t slot, TranslationRef translation, TimePoint now);
  void retire(std::uint32_t slot);
  void flush();  // all flows, at once by their ports' generation
  // All of a port's flows, of which no program finds any from here on; their packets ask for new ones. Slots, memory
  // and entries in the hash map come back by clear_void(), which retires at most so many. False: there were none.
  void void_flows(DpPort port);
  bool clear_void(std::size_t most);

  // Slots run to slot_end(); `flow` is null for one that holds no live flow.
  [[nodiscard]] std::uint32_t slot_end() const;
  [[nodiscard]] const Flow* flow(std::uint32_t slot) const;
  [[nodiscard]] const FlowMacs& macs(std::uint32_t slot) const;
  [[nodiscard]] FlowCredit credited(std::uint32_t slot) const;   // of a live flow, at the last collection
  [[nodiscard]] FlowKey key(std::uint32_t slot) const;           // masked
  [[nodiscard]] const FlowMask& mask(std::uint32_t slot) const;  // that of the table: all ones where exact
  [[nodiscard]] DpActions actions(std::uint32_t slot) const;
  [[nodiscard]] TranslationRef translation(std::uint32_t slot) const;  // the flow's, whole
  [[nodiscard]] std::uint32_t find(const FlowKey& key) const;  // a live flow of its port that matches, or kNoSlot

  // Which flows a change may alter.
  [[nodiscard]] const AffectedIndex& affected() const;
  // Flows whose decision depended on that MAC.
  [[nodiscard]] std::vector<std::uint32_t> dependents(const FdbDependency& dependency) const;

  // What such flows ask. set_mac() and ask_bridges_again() also say so to the exact-match cache.
  [[nodiscard]] BridgeTable& bridges();
  [[nodiscard]] const BridgeTable& bridges() const;
  bool set_mac(BridgeId bridge, const FdbKey& key, const std::optional<BridgeTable::Place>& place, TimePoint now);
  bool remove_bridge(BridgeId bridge);
  // Behind BridgeTable::take_used(): what answers without asking the entries asks them again, once.
  void ask_bridges_again();

  // Timers. collect: reads the counters of a range of slots and credits them; once a second with `decay`, which
  // halves the flows' hits. collect_retired: of flows that programs may still be running over, or were a moment ago.
  // mature: clears YOUNG from flows published before `before`. rank: decays hits and sorts the ports' lists (once a
  // second).
  void collect(std::uint32_t begin, std::uint32_t end, TimePoint now, bool decay);
  void collect_retired();
  // Of a range of slots: flows that were published since share what they have alike with others, at most so many. It
  // costs half a set-up, and may wait until there is time.
  void share(std::uint32_t begin, std::uint32_t end, std::size_t most);
  void mature(TimePoint before);
  [[nodiscard]] bool has_young() const;
  void rank();
  // Retires the least used flows (choose_victims()) when free slots run low. True: it did.
  bool evict(TimePoint now);

  // Grace periods. What was retired so far waits for retire_epoch() to pass; reclaim(epoch) frees it when the owner has
  // seen a grace period that began after the epoch was read, and what the writer had been given by then was written.
  // Reading it starts the next epoch where something waits.
  [[nodiscard]] bool awaits_grace_period() const;  // a program may still be acting on a flow that is retired
  [[nodiscard]] std::optional<std::uint64_t> close_epoch();
  void reclaim(std::uint64_t epoch);

  void set_features(std::uint32_t loaded);              // of the program in force; SHUNT_FEATURE_ALL at first
  [[nodiscard]] std::uint32_t wanted_features() const;  // all that flows asked for so far, loaded or not

  [[nodiscard]] Stats stats() const;
  [[nodiscard]] Share share(DpPort port) const;  // nothing where there is no such port
  [[nodiscard]] std::uint32_t size() const;
  [[nodiscard]] std::uint32_t limit() const;
  [[nodiscard]] std::uint32_t free_slots() const;  // for flows that are published now

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace shunt
