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
#include <set>
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

  // Who names a group, a meter.
  struct Users {
    std::uint32_t references = 0;  // a rule that names it twice counts twice
    std::set<RuleRef> rules;
  };
  [[nodiscard]] const Users& group_users(std::uint32_t group) const { return users(groups_, group); }
  [[nodiscard]] const Users& meter_users(std::uint32_t meter) const { return users(meters_, meter); }
  [[nodiscard]] std::uint32_t learners(const Learned& learned) const;
  [[nodiscard]] RuleTimeouts& timeouts() { return timeouts_; }
  [[nodiscard]] const RuleTimeouts& timeouts() const { return timeouts_; }

 private:
  using UsersById = std::unordered_map<std::uint32_t, Users>;
  static const Users& users(const UsersById& all, std::uint32_t id) {
    static const Users kNone;
    const auto found = all.find(id);
    return found == all.end() ? kNone : found->second;
  }

  UsersById groups_, meters_;
  std::map<Learned, std::uint32_t> learners_;
  RuleTimeouts timeouts_;
};

}  // namespace shunt
