// SPDX-License-Identifier: Apache-2.0
// What the kernel knows of the bridges' FDBs (maps/fdb.h): an entry for each MAC, under the number of its bridge and
// VLAN, with its port and what that sends unchanged. By it one flow a port and VLAN answers all packets between MACs
// that are known, however many pairs of them talk. A MAC that finds no room has flows of its own pairs, as packets have
// that are no matter of two entries.
//
// Threads: the revalidator. The kernel's programs read the map meanwhile, and note who sends.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "maps/fdb.h"
#include "user/base/clock.h"
#include "user/base/strong_types.h"
#include "user/flow/flow_key.h"
#include "user/l2/fdb.h"
#include "user/worker/flow_maps.h"

namespace shunt {

class BridgeTable {
 public:
  explicit BridgeTable(FlowMaps& maps);

  // Of a bridge's VLAN; given at the first call. 0: none is left.
  [[nodiscard]] std::uint16_t number(BridgeId bridge, VlanId vlan);
  // Under the number that an earlier daemon gave it, unless that is another one's; before any other call.
  void inherit(std::uint16_t number, BridgeId bridge, VlanId vlan);
  // Behind inherit(): entries without a number that is known go. Its owner waits for a grace period.
  void forget_unknown();

  // Where a MAC is.
  struct Place {
    DpPort port;
    std::uint16_t flags = 0;  // SHUNT_FDB_UNTAGGED, SHUNT_FDB_TAGGED
  };
  // Nothing: nowhere. True: the kernel may have answered packets otherwise before, and does for a grace period.
  bool set(BridgeId bridge, const FdbKey& key, const std::optional<Place>& place, std::uint64_t epoch, TimePoint now);
  // Forgets a bridge that is gone, and its numbers. True as above.
  bool remove(BridgeId bridge, std::uint64_t epoch);

  // Where the kernel sends a packet that a flow with this number matches; none: it does not know.
  [[nodiscard]] std::optional<DpPort> lookup(const FlowKey& key, std::uint16_t number) const;

  struct Entry {
    BridgeId bridge;
    FdbKey key;
    DpPort port;
    std::uint32_t position;  // in the map
  };
  // Entries of a range of buckets, of those that say something.
  static constexpr std::uint32_t kBuckets = SHUNT_FDB_BUCKETS;
  void visit(std::uint32_t begin, std::uint32_t end, const std::function<void(const Entry&)>& visit) const;
  // Of a range of buckets those MACs that a packet came from since this was last called for them.
  void take_used(std::uint32_t begin, std::uint32_t end, const std::function<void(const Entry&)>& visitor);
  // Whether one came since the call before the last.
  [[nodiscard]] bool is_used(BridgeId bridge, const FdbKey& key) const;

  [[nodiscard]] bool has_young() const { return !young_.empty(); }
  void mature(TimePoint before);  // entries that came or changed before are young no more
  [[nodiscard]] std::vector<BridgeId> bridges() const;
  [[nodiscard]] std::uint32_t size() const { return size_; }          // MACs that have an entry
  [[nodiscard]] std::uint32_t homeless() const { return homeless_; }  // times that one found no room

  [[nodiscard]] bool awaits_grace_period() const { return changed_in_.has_value(); }
  [[nodiscard]] bool has_changed(std::uint64_t epoch) const { return changed_in_ == epoch; }
  void reclaim(std::uint64_t epoch);

 private:
  using Domain = std::pair<BridgeId, VlanId>;
  [[nodiscard]] std::optional<std::uint16_t> find_number(const Domain& domain) const;
  // By position in the map; kNone.
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  [[nodiscard]] std::uint32_t find(std::uint64_t key) const;
  [[nodiscard]] __u64& at(std::uint32_t position) const {
    return maps_.fdb[position / SHUNT_FDB_ENTRIES].entry[position % SHUNT_FDB_ENTRIES];
  }
  [[nodiscard]] std::uint64_t spread(std::uint64_t key) const;
  [[nodiscard]] std::uint64_t key_at(std::uint32_t position) const;  // of an entry that is not free
  [[nodiscard]] const std::optional<Domain>& domain_of(std::uint64_t key) const;
  [[nodiscard]] std::optional<Entry> entry_at(std::uint32_t position) const;  // none: it says nothing
  [[nodiscard]] bool is_used(std::uint32_t position) const;
  struct Spot {
    std::uint32_t position, probe;
  };
  void insert(std::uint64_t key, const Place& place, TimePoint now);
  [[nodiscard]] std::optional<Spot> find_free(std::uint64_t where) const;  // `where`: a key, spread
  bool make_room(std::uint64_t where, TimePoint now);
  void grow_young(std::uint32_t position, TimePoint now);
  void clear(std::uint32_t position, std::uint64_t epoch);

  FlowMaps& maps_;
  const std::uint64_t unmultiply_;  // the inverse of the maps' multiplier
  std::map<Domain, std::uint16_t> numbers_;
  std::vector<std::optional<Domain>> domains_;  // by number; 0 is none's
  std::uint16_t last_number_ = 0;
  std::deque<std::pair<std::uint32_t, TimePoint>> young_;
  std::unordered_map<std::uint32_t, TimePoint> young_since_;  // the last one counts
  std::vector<bool> was_used_;                                // by position: when take_used() looked last
  // The last epoch in which the kernel may have answered otherwise; none: that is over.
  std::optional<std::uint64_t> changed_in_;
  std::uint32_t size_ = 0, homeless_ = 0;
};

}  // namespace shunt
