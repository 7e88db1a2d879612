// SPDX-License-Identifier: Apache-2.0
// Rules that end by themselves: when, and which of them is due.
//
// A rule ends `hard_timeout` after it was installed or last modified, or `idle_timeout` after its last packet. Packets
// move the second, fin_timeout may bring both closer at any moment: so a rule is asked again when it seems to be due,
// and each second where it has a fin_timeout action. Threads: control; lower_timeouts() any.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "user/base/clock.h"
#include "user/pipeline/rule.h"
#include "user/pipeline/switch.h"

namespace shunt {

struct RuleEnd {
  TimePoint when;
  RemovedReason reason;
};
// When the rule ends if it meets no packet any more; none: never.
[[nodiscard]] std::optional<RuleEnd> end_of(const Rule& rule);

class RuleTimeouts {
 public:
  void add(const RuleRef& rule, TimePoint now);  // rules that never end are left out
  void remove(const Rule& rule);

  [[nodiscard]] bool empty() const { return rules_.empty(); }
  [[nodiscard]] std::optional<TimePoint> next() const;  // of due()
  // Rules whose time has come; they stay until remove().
  [[nodiscard]] std::vector<RemovedRule> due(TimePoint now);
  // Rules of the table that have a timeout, in the order in which eviction takes them. Packets may have moved an end
  // since it was asked: none ends sooner than it says here, but for what fin_timeout did within a second.
  struct Rank {
    std::uint16_t importance;
    TimePoint end, created;
    const Rule* rule;
    friend auto operator<=>(const Rank&, const Rank&) = default;
  };
  using Ranks = std::set<Rank>;
  [[nodiscard]] const Ranks& ranks(std::uint8_t table) const { return ranks_[table]; }

 private:
  struct Entry {
    RuleRef rule;
    TimePoint ask;
    bool by_fin;  // may be brought closer at any moment
  };
  using Queue = std::set<std::pair<TimePoint, const Rule*>>;
  static Rank rank_of(const Entry& entry) {
    return {entry.rule->importance, entry.ask, entry.rule->created, entry.rule.get()};
  }

  void enqueue(Entry& entry, TimePoint now);
  void dequeue(const Entry& entry);

  std::unordered_map<const Rule*, Entry> rules_;
  Queue queue_;
  std::array<Ranks, kTableCount> ranks_;
};

}  // namespace shunt
