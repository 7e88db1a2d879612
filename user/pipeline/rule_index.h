// SPDX-License-Identifier: Apache-2.0
// What control knows of a bridge's rules besides its tables: who names which group and meter, which learned rules go
// with whom, which rules end by themselves. Kept up as rules come and go, so that nothing of it needs a walk over all
// rules.
//
// Threads: control.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>

#include "user/pipeline/rule.h"
#include "user/pipeline/rule_timeouts.h"

namespace shunt {

class RuleIndex {
 public:
  // Rules with such a cookie in such a table go with the last rule that would learn more of them (learn's
  // delete_learned).
  using Learned = std::pair<std::uint8_t, std::uint64_t>;

  void add(const RuleRef& rule, TimePoint now);
  void remove(const Rule& rule);

  [[nodiscard]] std::uint32_t group_references(std::uint32_t group) const { return count(groups_, group); }
  [[nodiscard]] std::uint32_t meter_references(std::uint32_t meter) const { return count(meters_, meter); }
  [[nodiscard]] std::uint32_t learners(const Learned& learned) const;
  [[nodiscard]] RuleTimeouts& timeouts() { return timeouts_; }
  [[nodiscard]] const RuleTimeouts& timeouts() const { return timeouts_; }

  // Rules in `table` with `cookie`, for learn's limit. Asked once, a pair's number is kept up; `count_them` finds the
  // first.
  template <typename Count>
  std::size_t rules_with(const Learned& learned, Count&& count_them) {
    const auto found = by_cookie_.find(learned);
    if (found != by_cookie_.end()) return found->second;
    return by_cookie_.emplace(learned, count_them()).first->second;
  }

 private:
  using Counts = std::unordered_map<std::uint32_t, std::uint32_t>;
  static std::uint32_t count(const Counts& counts, std::uint32_t id) {
    const auto found = counts.find(id);
    return found == counts.end() ? 0 : found->second;
  }

  Counts groups_, meters_;  // an id that a rule names twice counts twice
  std::map<Learned, std::uint32_t> learners_;
  std::map<Learned, std::size_t> by_cookie_;
  RuleTimeouts timeouts_;
};

}  // namespace shunt
