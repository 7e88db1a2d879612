// SPDX-License-Identifier: Apache-2.0
// The forwarding database: which port a MAC address was last seen on, per VLAN, of one bridge.
//
// Entries that are not static age; the table has a limit, and a full table evicts the oldest entry of the port that
// holds the most, so that one port's forged addresses push out only its own (as Open vSwitch's mac-learning does).
//
// Threads: one writer (the revalidator); any number of readers, which never wait and never see a torn entry. Readers:
// lookup(), version(), size(). Each change of where a MAC is (not a refresh of its age) raises version().
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "user/base/clock.h"
#include "user/base/strong_types.h"

namespace shunt {

struct FdbKey {
  VlanId vlan;  // 0: frames without a tag on ports that have no VLAN configured
  MacAddr mac;
  friend auto operator<=>(const FdbKey&, const FdbKey&) = default;
};

struct FdbEntry {
  FdbKey key;
  PortNo port;
  bool is_static = false;
  TimePoint seen{};  // last refresh; meaningless where static
};

// What changed of an FDB since it was last asked: entries that came or moved as they are now, nothing for those that
// went. More than it keeps: `everything`, and all entries there are.
struct FdbChanges {
  struct Change {
    FdbKey key;
    std::optional<FdbEntry> now;
  };
  bool everything = false;
  std::vector<Change> changes{};
};

class Fdb {
 public:
  static constexpr std::chrono::seconds kDefaultAgeing{300};
  static constexpr std::size_t kDefaultLimit = 100'000;

  enum class Learned { kRefreshed, kAdded, kMoved, kIgnored /* static entry, or limit 0 */ };
  struct LearnResult {
    Learned outcome;
    std::optional<PortNo> old_port;  // where it moved from
    std::optional<FdbKey> evicted;   // what had to go for it
  };

  explicit Fdb(std::size_t limit = kDefaultLimit, std::chrono::seconds ageing = kDefaultAgeing);
  ~Fdb();
  Fdb(const Fdb&) = delete;
  Fdb& operator=(const Fdb&) = delete;

  // Readers.
  [[nodiscard]] std::optional<PortNo> lookup(FdbKey key) const noexcept;
  [[nodiscard]] std::uint64_t version() const noexcept;
  [[nodiscard]] std::size_t size() const noexcept;

  // Writer. Functions that remove entries return their keys, so that flows that depended on them are revalidated.
  LearnResult learn(FdbKey key, PortNo port, TimePoint now);
  void add_static(FdbKey key, PortNo port);               // replaces a learned entry
  bool remove(FdbKey key);                                // false: there was none
  std::vector<FdbKey> flush(std::optional<PortNo> port);  // learned entries (of a port); static ones stay
  std::vector<FdbKey> remove_port(PortNo port);           // all entries of a port that goes, static too
  // Those that `still_used` says so of stay, as seen now.
  std::vector<FdbKey> expire(TimePoint now, const std::function<bool(const FdbKey&)>& still_used = {});
  void set_ageing(std::chrono::seconds ageing);
  std::vector<FdbKey> set_limit(std::size_t limit);
  [[nodiscard]] std::chrono::seconds ageing() const;
  [[nodiscard]] std::size_t limit() const;
  [[nodiscard]] std::optional<PortNo> fullest_port() const;  // by learned entries; writer's thread
  [[nodiscard]] std::vector<FdbEntry> list() const;  // writer's thread; sorted by VLAN, MAC
  // Writer's thread. From the first call on changes are kept, at most kKeptChanges; ages are none.
  static constexpr std::size_t kKeptChanges = 16'384;
  [[nodiscard]] FdbChanges take_changes();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace shunt
